"""What the golden comparison must notice, and what `--update` must say."""

import contextlib
import json
import re
import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline import InputError
from ris_pipeline.config import load_settings
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.figures import mismatch_figure, post_mortem_figure
from ris_pipeline.verification.golden import (
    CURVE_RTOL,
    DIGITS,
    ColumnMove,
    as_curve,
    column_moves,
    describe_curve,
    describe_mismatch,
    orphans,
    plain_settings,
    read_curve,
    read_page,
    setting_changes,
    structure_faults,
    version_notes,
    write_curve,
)

GOLDEN = Path(__file__).parents[2] / "golden"
SETTINGS = load_settings("golden")
CURVE = {"train": np.array([3.0, 2.0, 1.0]), "validation": np.array([3.5, 2.5, 0.0])}


def page(curve, settings=SETTINGS):
    return describe_curve(as_curve("a curve", curve), settings)


def faults(curve, settings=SETTINGS) -> str:
    return "; ".join(structure_faults(page(curve, settings), page(CURVE)))


def test_nothing_has_changed() -> None:
    assert faults(CURVE) == ""
    assert all(move.first_row is None for move in column_moves(CURVE, CURVE))


def test_a_missing_column_a_dtype_and_a_length_are_noticed() -> None:
    assert "'validation': columns was float64, is absent" in faults({"train": CURVE["train"]})
    single = {**CURVE, "train": CURVE["train"].astype(np.float32)}
    assert "'train': columns was float64, is float32" in faults(single)
    shorter = {**CURVE, "train": CURVE["train"][:2]}
    assert "'train': length was 3, is 2" in faults(shorter)
    assert "'extra': columns was absent" in faults({**CURVE, "extra": CURVE["train"]})


def test_the_setting_that_differs_is_named_with_both_values() -> None:
    said = faults(CURVE, SETTINGS.replace(seed=SETTINGS.seed + 7))
    assert re.search(rf"setting seed: \S.* -> {SETTINGS.seed + 7}", said)
    nested = [{"net": {"width": 8, "depth": 2}}, {"net": {"width": 16, "depth": 2}}]
    assert setting_changes(nested[1], nested[0]) == ["setting net.width: 8 -> 16"]
    assert setting_changes({}, nested[0])[0] == "setting net.depth: 2 -> the default"


def test_settings_are_mappings_dataclasses_and_models() -> None:
    assert plain_settings({"a": (1, 2)}) == {"a": [1, 2]}
    assert plain_settings(ColumnMove("a", 0.0, None, 1.0, 2.0))["new"] == 2.0
    assert plain_settings(None) == {}
    for wrong in (3, {"a": object()}, {"a": float("nan")}):
        with pytest.raises(InputError, match="settings"):
            plain_settings(wrong)


@pytest.mark.parametrize(("factor", "beyond"), [(0.9, False), (1.1, True)])
def test_the_tolerance_is_the_tolerance(factor: float, beyond: bool) -> None:
    moved = {**CURVE, "train": CURVE["train"] * [1, 1 + factor * CURVE_RTOL, 1]}
    train = next(m for m in column_moves(moved, CURVE) if m.column == "train")
    assert train.first_row == (2 if beyond else None)


@pytest.mark.parametrize("lost", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_agrees_with_itself_alone(lost: float) -> None:
    there, gone = {"train": np.array([lost, 2.0])}, {"train": np.array([1.0, 2.0])}
    for new, old in ((there, gone), (gone, there)):
        (move,) = column_moves(new, old)
        assert (move.first_row, move.largest_relative) == (1, np.inf)
    (move,) = column_moves(there, there)
    assert (move.first_row, move.largest_relative) == (None, 0.0)
    (move,) = column_moves(there, {"train": np.array([-lost, 2.0])})
    assert move.first_row == (None if np.isnan(lost) else 1)


def test_many_columns_make_one_fault() -> None:
    many = {f"c{i}": np.zeros(2) for i in range(9)}
    (fault,) = structure_faults(*(page({k: v[:n] for k, v in many.items()}) for n in (1, 2)))
    assert fault == "column 'c0', column 'c1', column 'c2' and 6 more: length was 2, is 1"


def test_a_mismatch_says_what_moved_where_to_and_which_versions_differ() -> None:
    moved = {"train": np.array([3.0, 2.2, 1.0]), "validation": np.array([3.5, 2.5, 0.5])}
    new, old = page(moved), page(CURVE)
    said = describe_mismatch(column_moves(moved, CURVE), version_notes(new, old))
    assert said[0] == "2 of 2 columns moved, first in row 2"
    assert said[1] == "train: 1 -> 1 at the end, from row 2, by up to 1.0e-01 (relative)"
    assert said[2].startswith("validation: 0 -> 0.5 at the end (rises), from row 3")
    assert said[3] == "made with the same versions"
    old.versions["torch"] = "2.0.0"
    (note,) = version_notes(new, old)
    assert note == f"made with torch 2.0.0, this is torch {new.versions['torch']}"


@given(
    st.dictionaries(
        st.sampled_from(("total", "angle", "rate")),
        # The largest floats round up to infinity.
        st.lists(st.floats(width=64).filter(lambda x: not 1e308 < abs(x) < np.inf), max_size=4),
        min_size=1,
    )
)
def test_a_stored_curve_is_the_curve(curve: dict[str, list[float]]) -> None:
    vectors = {name: np.array(values, dtype=float) for name, values in curve.items()}
    with tempfile.TemporaryDirectory() as folder:
        write_curve(Path(folder), "one", vectors, page(vectors))
        back = read_curve(Path(folder) / "one.csv")
        assert read_page(Path(folder) / "one.json") == page(vectors)
    assert list(back) == list(vectors)
    for name, values in vectors.items():
        np.testing.assert_allclose(back[name], values, rtol=0.5 * 10.0 ** (1 - DIGITS))


WRONG_CSV = {
    b"": "first line",
    b"\xff\xfe\x00": "cannot be read",
    b"row,train\n1,2.0\n2,two\n": "row 2, column 'train': 'two' is no number",
    b"row,train\n1,2.0\n3,2.0\n": "row 2: ['3', '2.0'] does not fit",
    b"row,train\n1,2.0,3.0\n": "row 1",
    b"row,train\n1,\n2,1.0\n": "row 1, column 'train': '' is no number",
    b"row,train,train\n1,2.0,3.0\n": "distinct columns",
    b'row,"train\n': "cannot be read",
}


@pytest.mark.parametrize("content", WRONG_CSV)
def test_a_damaged_csv_is_one_line_that_names_the_cell(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_bytes(content)
    with pytest.raises(InputError, match=re.escape(WRONG_CSV[content])) as said:
        read_curve(tmp_path / "one.csv")
    assert "one.csv" in str(said.value)
    assert "\n" not in str(said.value)


@pytest.mark.parametrize(
    "content",
    [b"", b"\x00\xff", b"[]", b"{}", b"[" * 10_000, b'{"columns": 3}', b'{"versions": {"a": NaN}}'],
)
def test_a_damaged_page_is_one_line(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "one.json").write_bytes(content)
    with pytest.raises(InputError, match=r"one\.json") as said:
        read_page(tmp_path / "one.json")
    assert "\n" not in str(said.value)


@given(st.binary(max_size=200))
def test_no_bytes_end_in_anything_but_one_line(content: bytes) -> None:
    with tempfile.TemporaryDirectory() as folder:
        for suffix, read in ((".csv", read_curve), (".json", read_page)):
            path = Path(folder) / f"one{suffix}"
            path.write_bytes(content)
            with contextlib.suppress(InputError):
                read(path)


@pytest.mark.parametrize("curve", [{}, {"a": [[1.0]]}, {"a": ["x"]}, {"a": [1j]}])
def test_a_curve_is_vectors_of_real_numbers(curve) -> None:
    with pytest.raises(InputError, match="a curve"):
        as_curve("a curve", curve)


def test_orphans_are_the_files_no_run_makes(tmp_path: Path) -> None:
    for name in ("kept.csv", "kept.json", "left.csv", "kept.obtained.csv"):
        (tmp_path / name).touch()
    assert [p.name for p in orphans(tmp_path, ["kept"])] == ["kept.obtained.csv", "left.csv"]


def test_a_mismatch_is_drawn_worst_column_first() -> None:
    stored = {f"c{i}": np.ones(3) for i in range(8)}
    curve = {name: values * (1 + 0.1 * i) for i, (name, values) in enumerate(stored.items())}
    figure = mismatch_figure("quick", curve, stored, column_moves(curve, stored))
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == [f"c{i}, from row 1" for i in (7, 6, 5, 4, 3, 2)]
    one = mismatch_figure("quick", {"c": np.ones(4)}, {"c": np.zeros(3)}, [_move("c")])
    assert len(one.axes) == 2


def _move(column: str):
    return column_moves({column: np.ones(3)}, {column: np.zeros(3)})[0]


def test_the_post_mortem_figure_draws_every_bug_from_the_stored_curves() -> None:
    curves = {path.stem: read_curve(path) for path in (GOLDEN / "curves").glob("*.csv")}
    figure = post_mortem_figure(curves, ["a line", "Epoch 001/001"])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title.partition(":")[0] for title in titles] == [f"Bug {n}" for n in (1, 1, 2, 3, 4, 5)]


@dataclass(frozen=True)
class Golden:
    pytester: pytest.Pytester

    @property
    def curves(self) -> Path:
        return self.pytester.path / "curves"

    def run(self, values: str, *options: str, settings: str = "{'lr': 0.1}") -> tuple[int, str]:
        """Exit code and what was printed."""
        (self.pytester.path / "test_quick.py").write_text(
            "import numpy as np\n"
            "def test_quick(golden_curve):\n"
            f"    golden_curve('quick', {values}, {settings})\n"
            "def test_orphans(golden_curve):\n"
            "    golden_curve.only(['quick'])\n"
        )
        result = self.pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)
        return int(result.ret), f"{result.stdout}\n{result.stderr}"


@pytest.fixture
def golden(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Golden:
    """Somebody's repository with one quick curve."""
    monkeypatch.delenv("CI", raising=False)
    return Golden(pytester)


FIRST = "{'train': np.array([2.0, 1.0]), 'validation': np.array([3.0, 2.0])}"
SECOND = "{'train': np.array([2.0, 1.5]), 'validation': np.array([3.0, 2.0])}"


def test_update_writes_compares_and_says_what_moved(golden: Golden) -> None:
    fewer = "{'train': np.array([2.0, 1.5])}"
    single = "{'train': np.array([2.0, 1.5]), 'validation': np.float32([3.0, 2.0])}"
    code, text = golden.run(FIRST)
    assert (code, "no such curve is stored" in text) == (1, True)
    code, text = golden.run(FIRST, "--update")
    assert (code, "quick: new" in text) == (0, True)
    assert f"quick: written are {golden.curves / 'quick.csv'}" in text
    assert (golden.curves / "quick.csv").read_text() == "row,train,validation\n1,2,3\n2,1,2\n"
    assert golden.run(FIRST)[0] == 0
    code, text = golden.run(SECOND)
    moved = "train: 1 -> 1.5 at the end (rises), from row 2, by up to 5.0e-01 (relative)"
    assert (code, moved in text) == (1, True)
    picture = golden.pytester.path / "mismatches" / "quick.png"
    assert str(picture) in text
    assert picture.read_bytes().startswith(b"\x89PNG")
    code, text = golden.run(SECOND, "--update")
    assert (code, f"quick: {moved}" in text, "validation:" in text) == (0, True, False)
    assert golden.run(SECOND)[0] == 0
    assert not picture.exists()
    for changed in (fewer, single):
        assert golden.run(changed)[0] == 1
    code, text = golden.run(SECOND, settings="{'lr': 0.2}")
    assert (code, "quick: setting lr: 0.1 -> 0.2" in text) == (1, True)


def test_update_leaves_alone_what_is_within_tolerance(golden: Golden) -> None:
    golden.run(FIRST, "--update")
    page = json.loads((golden.curves / "quick.json").read_text())
    page["versions"]["torch"] = "2.0.0"
    (golden.curves / "quick.json").write_text(json.dumps(page))
    before = {path.name: path.read_bytes() for path in golden.curves.iterdir()}
    near = f"{{k: v * (1 + 1e-8) for k, v in {FIRST}.items()}}"
    code, text = golden.run(near, "--update")
    assert (code, "quick: " in text) == (0, False)
    assert {path.name: path.read_bytes() for path in golden.curves.iterdir()} == before
    assert "made with torch 2.0.0" in golden.run(SECOND)[1]


def test_update_is_refused_in_ci(golden: Golden, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CI", "true")
    code, text = golden.run(FIRST, "--update")
    assert (code, "where CI is set" in text) == (int(pytest.ExitCode.USAGE_ERROR), True)
    assert not golden.curves.exists()


def test_a_file_that_no_run_makes_fails_and_update_removes_it(golden: Golden) -> None:
    golden.run(FIRST, "--update")
    (golden.curves / "old.csv").touch()
    code, text = golden.run(FIRST)
    assert (code, "no run makes ['old.csv']" in text) == (1, True)
    code, text = golden.run(FIRST, "--update")
    assert (code, "old.csv: removed, no run makes it" in text) == (0, True)
    assert sorted(p.name for p in golden.curves.iterdir()) == ["quick.csv", "quick.json"]


def test_a_damaged_curve_fails_in_one_line_and_update_stores_it_anew(golden: Golden) -> None:
    golden.run(FIRST, "--update")
    (golden.curves / "quick.csv").write_text("row,train,validation\n1,2.0,three\n")
    code, text = golden.run(FIRST)
    assert (code, "column 'validation': 'three' is no number" in text) == (1, True)
    assert golden.run(FIRST, "--update")[0] == 0
    assert golden.run(FIRST)[0] == 0


def test_workers_say_what_they_stored(golden: Golden) -> None:
    code, text = golden.run(FIRST, "--update", "-n", "1")
    assert (code, "quick: new" in text) == (0, True)


def test_the_folder_is_a_setting(golden: Golden) -> None:
    golden.pytester.makeini("[pytest]\ngolden_folder = kept/here")
    golden.run(FIRST, "--update")
    assert (golden.pytester.path / "kept" / "here" / "quick.csv").is_file()


def test_checks_pass_and_fail() -> None:
    assert_within("equal", [1.0, 2.0], [1.0, 2.0], 0.0)
    with pytest.raises(AssertionError, match=r"entry \(1,\) is 2.5, expected 2.0: off by 5"):
        assert_within("off", [1.0, 2.5], [1.0, 2.0], 0.1)
    with pytest.raises(AssertionError, match="entry"):
        assert_within("lost", [np.nan], [1.0], 1.0)
    with pytest.raises(AssertionError, match="shape"):
        assert_within("shape", [1.0], [1.0, 1.0], 1.0)
    assert_true("holds", [True, True], [1, 2])
    with pytest.raises(AssertionError, match="with 2"):
        assert_true("fails", [True, False], [1, 2])
