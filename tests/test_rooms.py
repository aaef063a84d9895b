"""The house: which room imports which, and that the physics is defined once."""

import ast
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ris_pipeline"

ROOMS = (
    "_errors",
    "_entry",
    "_files",
    "_laws",
    "_verified",
    "_sealed",
    "_recorder",
    "_replay",
    "_validation",
    "_arrays",
    "_tables",
    "_version",
    "config",
    "scene",
    "spectral",
    "localization",
    "data",
    "watch",
    "learning",
    "evaluation",
    "report",
    "commands",
    "cli",
    "__main__",
)
"""In order: a room imports only rooms before it. `verification` may use all of them."""

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def modules(tree: ast.AST) -> set[str]:
    """Every module that is imported somewhere."""
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module)
        elif isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
    return names


def imported_rooms(tree: ast.AST) -> set[str]:
    return {name.split(".")[1] for name in modules(tree) if name.startswith("ris_pipeline.")}


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_rooms_before_it(path: Path) -> None:
    room = room_of(path)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = imported_rooms(tree)
    if room == "verification":
        return
    if room == "cli":
        # The door: it opens verification, and only for the command that needs it.
        top = ast.Module(
            [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)], []
        )
        assert "verification" not in imported_rooms(top)
        imported.discard("verification")
    assert "verification" not in imported, f"{path} imports verification"
    if room == "__init__":
        assert imported <= {"_errors", "_version", "config"}
        return
    later = {name for name in imported if ROOMS.index(name) > ROOMS.index(room)}
    assert not later, f"{path} in {room} imports {sorted(later)}"


def test_every_room_is_listed() -> None:
    assert {room_of(path) for path in FILES} == {*ROOMS, "verification", "__init__"}


def test_an_import_against_the_order_is_seen() -> None:
    assert imported_rooms(ast.parse("from ris_pipeline.learning import Trainer")) == {"learning"}


LOCALIZATION = PACKAGE / "localization"

FLOORS = 5
"""Most floors of `localization`: what stands on nothing is on the first, everything else one above
the highest that it imports."""


def parts_of(folder: Path) -> dict[str, set[str]]:
    """What each part of a room, a file or a folder, imports of the others; the door apart."""
    inside = f"ris_pipeline.{folder.name}."
    found: dict[str, set[str]] = {}
    for path in folder.rglob("*.py"):
        part = path.relative_to(folder).parts[0].removesuffix(".py")
        if part == "__init__":
            continue
        names = modules(ast.parse(path.read_text(encoding="utf-8")))
        others = {name.removeprefix(inside).split(".")[0] for name in names if inside in name}
        found.setdefault(part, set()).update(others - {part})
    return found


def floors(parts: dict[str, set[str]]) -> dict[str, int]:
    """The floor of each part; raises `CycleError` where they go round in a circle."""
    found: dict[str, int] = {}
    for part in TopologicalSorter(parts).static_order():
        found[part] = 1 + max((found[other] for other in parts[part]), default=0)
    return found


def test_localization_has_few_floors_and_no_circle() -> None:
    found = floors(parts_of(LOCALIZATION))
    assert set(found) == {path.stem for path in LOCALIZATION.iterdir() if path.stem[0] != "_"}
    assert max(found.values()) <= FLOORS, found


@pytest.mark.parametrize("path", sorted(LOCALIZATION.rglob("*.py")), ids=lambda path: path.stem)
def test_nobody_inside_goes_round_by_the_door(path: Path) -> None:
    assert "ris_pipeline.localization" not in modules(ast.parse(path.read_text(encoding="utf-8")))


def test_a_circle_and_a_floor_too_many_are_seen() -> None:
    with pytest.raises(CycleError):
        floors({"a": {"b"}, "b": {"a"}})
    assert floors({"a": set(), "b": {"a"}, "c": {"a", "b"}}) == {"a": 1, "b": 2, "c": 3}


MAKERS = ("phasor", "torch.polar", "torch.complex", "torch.exp", "cmath.exp", "np.exp")


def exponentials(tree: ast.AST) -> list[str]:
    """Calls that turn a phase into a complex number: what a steering vector is made of."""
    calls = (node for node in ast.walk(tree) if isinstance(node, ast.Call))
    names = [ast.unparse(call.func) for call in calls]
    return [name for name in names if name in MAKERS]


PHASORS = {
    "scene/_phasor.py": "the one way to make them",
    "scene/array.py": "the steering vector",
    "scene/codebook.py": "RIS codes",
    "scene/impairments.py": "element responses",
    "scene/simulate.py": "path and symbol phases",
    "scene/_random.py": "complex Gaussian numbers",
    "verification/conventions/_steering.py": "phases from another reference",
    "verification/known_bugs/array.py": "steering vectors that are wrong",
    "verification/steering_mistakes.py": "the same, of anybody's",
    "verification/textbook/_array_forms.py": "formulas as books write them, for their slips",
    "verification/known_bugs/scenes.py": "codes that are wrong",
}
"""The only files that may make complex exponentials."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_no_second_steering_vector(path: Path) -> None:
    found = exponentials(ast.parse(path.read_text(encoding="utf-8")))
    if path.relative_to(PACKAGE).as_posix() not in PHASORS:
        assert not found, f"{path} makes complex exponentials: {found}"


def decompositions(tree: ast.AST) -> list[str]:
    names = [ast.unparse(n.func) for n in ast.walk(tree) if isinstance(n, ast.Call)]
    ordered = ("eig", "eigh", "eigvalsh", "svd", "svdvals", "eigvals")
    return [name for name in names if name.startswith("torch.linalg.") and name.endswith(ordered)]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_one_place_knows_the_order_of_a_spectrum(path: Path) -> None:
    name = path.relative_to(PACKAGE).as_posix()
    rooms = ("known_bugs/", "mistakes.py", "textbook/")
    wrong_on_purpose = name.startswith(tuple(f"verification/{room}" for room in rooms))
    if name != "spectral/hermitian.py" and not wrong_on_purpose:
        assert not decompositions(ast.parse(path.read_text(encoding="utf-8")))


JSON = {
    "_files.py": "the one door to strict JSON",
    "_sealed.py": "the header that safetensors wrote, in one order",
    "data/store.py": "the same header",
    "evaluation/store.py": "a key in one order; strict",
    "learning/study_file.py": "Optuna's own format",
    "learning/tuning.py": "strings and finite numbers of TOML",
    "watch/doctor.py": "metrics of version 0.2, where NaN stands",
}
"""Files outside `verification` that may use Python's own reader and writer, which take NaN."""


def lenient(tree: ast.AST) -> list[str]:
    """Calls of `json` that take NaN, as Python's do unless they are told not to."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    names = ("json.dumps", "json.dump", "json.loads", "json.load")
    return [ast.unparse(call) for call in calls if ast.unparse(call.func) in names]


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_json_is_strict(path: Path) -> None:
    name = path.relative_to(PACKAGE).as_posix()
    found = lenient(ast.parse(path.read_text(encoding="utf-8")))
    assert name in JSON or name.startswith("verification/") or not found
    assert name not in JSON or found, f"{name} needs no exception"


CONSOLES = {"_tables.py": "prints text as it is", "commands/train.py": "prints nothing"}
"""Files that may make a console; rich reads markup in what others print."""


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_console_prints_text_as_it_is(path: Path) -> None:
    made = called(ast.parse(path.read_text(encoding="utf-8")), "Console")
    assert bool(made) == (path.relative_to(PACKAGE).as_posix() in CONSOLES)


def called(tree: ast.AST, *names: str) -> list[str]:
    """Calls of functions or methods of these names."""
    calls = [node for node in ast.walk(tree) if isinstance(node, ast.Call)]
    return [ast.unparse(c) for c in calls if ast.unparse(c.func).rpartition(".")[2] in names]


OURS = [path for path in FILES if room_of(path) != "verification"]


@pytest.mark.parametrize("path", OURS, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_name_that_no_file_can_have_is_no_error(path: Path) -> None:
    """As pathlib makes of it; `_files.is_file` and `is_folder` do not."""
    found = called(ast.parse(path.read_text(encoding="utf-8")), "is_dir", "exists", "is_file")
    assert not [call for call in found if not call.startswith("is_file(")]


def test_the_scans_see_what_they_forbid() -> None:
    assert exponentials(ast.parse("a = torch.polar(one, phase)"))
    assert decompositions(ast.parse("w = torch.linalg.eigvalsh(R)"))
    assert lenient(ast.parse("json.dumps({'x': 1})"))
    assert called(ast.parse("(a / b).exists() or rich.Console()"), "exists", "Console")
