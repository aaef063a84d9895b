"""The house: which room imports which, and that the physics is defined once."""

import ast
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "ris_pipeline"

ROOMS = (
    "_errors",
    "_laws",
    "_validation",
    "_version",
    "config",
    "scene",
    "spectral",
    "localization",
    "watch",
    "learning",
    "evaluation",
    "report",
    "cli",
)
"""In order: a room imports only rooms before it. `verification` may use all of them."""

FILES = sorted(PACKAGE.rglob("*.py"))


def room_of(path: Path) -> str:
    relative = path.relative_to(PACKAGE)
    return relative.parts[0] if len(relative.parts) > 1 else relative.stem


def imported_rooms(tree: ast.AST) -> set[str]:
    rooms = set()
    for node in ast.walk(tree):
        names = []
        if isinstance(node, ast.ImportFrom) and node.module:
            names = [node.module]
        elif isinstance(node, ast.Import):
            names = [alias.name for alias in node.names]
        rooms |= {n.split(".")[1] for n in names if n.startswith("ris_pipeline.")}
    return rooms


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(PACKAGE)))
def test_a_room_imports_only_rooms_before_it(path: Path) -> None:
    room = room_of(path)
    tree = ast.parse(path.read_text(encoding="utf-8"))
    imported = imported_rooms(tree)
    if room == "verification":
        return
    if room == "cli":
        # The door: it opens verification, and only for the command that needs it.
        top = [node for node in tree.body if isinstance(node, ast.Import | ast.ImportFrom)]
        assert "verification" not in imported_rooms(ast.Module(top, []))
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
    if name != "spectral/hermitian.py" and not name.startswith("verification/known_bugs/"):
        assert not decompositions(ast.parse(path.read_text(encoding="utf-8")))


def test_the_scans_see_what_they_forbid() -> None:
    assert exponentials(ast.parse("a = torch.polar(one, phase)"))
    assert decompositions(ast.parse("w = torch.linalg.eigvalsh(R)"))
