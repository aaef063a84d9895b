"""What the golden comparison must notice, and what `--update` must say."""

import json
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from ris_pipeline.config import load_settings
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.figures import mismatch_figure, post_mortem_figure
from ris_pipeline.verification.golden import (
    CURVE_RTOL,
    column_moves,
    describe_curve,
    describe_mismatch,
    describe_move,
    orphans,
    structure_faults,
    version_notes,
)

GOLDEN = Path(__file__).parents[2] / "golden"
SETTINGS = load_settings("golden")
CURVE = {"train": np.array([3.0, 2.0, 1.0]), "validation": np.array([3.5, 2.5, 0.0])}


def faults(curve, settings=SETTINGS) -> str:
    page = describe_curve(curve, settings)
    return "; ".join(structure_faults(page, describe_curve(CURVE, SETTINGS)))


def test_nothing_has_changed() -> None:
    assert faults(CURVE) == ""
    assert all(move.first_epoch is None for move in column_moves(CURVE, CURVE))


def test_a_missing_column_a_dtype_and_a_length_are_noticed() -> None:
    assert "'validation': columns was float64, is absent" in faults({"train": CURVE["train"]})
    single = {**CURVE, "train": CURVE["train"].astype(np.float32)}
    assert "'train': columns was float64, is float32" in faults(single)
    shorter = {**CURVE, "train": CURVE["train"][:2]}
    assert "'train': length was 3, is 2" in faults(shorter)
    assert "'extra': columns was absent" in faults({**CURVE, "extra": CURVE["train"]})
    assert "settings" in faults(CURVE, SETTINGS.replace(seed=1))


@pytest.mark.parametrize(("factor", "beyond"), [(0.9, False), (1.1, True)])
def test_the_tolerance_is_the_tolerance(factor: float, beyond: bool) -> None:
    moved = {**CURVE, "train": CURVE["train"] * [1, 1 + factor * CURVE_RTOL, 1]}
    train = next(m for m in column_moves(moved, CURVE) if m.column == "train")
    assert train.first_epoch == (2 if beyond else None)
    assert ("beyond tolerance from epoch 2" in describe_move(train)) == beyond


def test_a_nan_has_moved() -> None:
    lost = {**CURVE, "train": np.array([3.0, 2.0, np.nan])}
    assert column_moves(lost, CURVE)[0].first_epoch == 3


def test_a_nan_that_was_there_has_not_moved() -> None:
    lost = {"train": np.array([np.nan, 2.0])}
    (move,) = column_moves(lost, lost)
    assert (move.first_epoch, move.largest_relative) == (None, 0.0)


def test_many_columns_make_one_fault() -> None:
    many = {f"c{i}": np.zeros(2) for i in range(9)}
    page, stored = (describe_curve({k: v[:n] for k, v in many.items()}, SETTINGS) for n in (1, 2))
    (fault,) = structure_faults(page, stored)
    assert fault == "column 'c0', column 'c1', column 'c2' and 6 more: length was 2, is 1"


def test_a_mismatch_names_the_first_epoch_the_largest_difference_and_the_version() -> None:
    moved = {"train": np.array([3.0, 2.2, 1.0]), "validation": np.array([3.5, 2.5, 0.5])}
    page, stored = describe_curve(moved, SETTINGS), describe_curve(CURVE, SETTINGS)
    same = describe_mismatch(column_moves(moved, CURVE), version_notes(page, stored))
    assert "first epoch that differs: 2 (train)" in same
    assert "largest relative difference: 5.0e+08 (validation)" in same
    assert same.endswith("made with the same versions")
    stored["versions"]["torch"] = "2.0.0"
    (note,) = version_notes(page, stored)
    assert note == f"made with torch 2.0.0, this is torch {page['versions']['torch']}"
    assert note in describe_mismatch(column_moves(moved, CURVE), [note])


def test_orphans_are_the_files_no_run_makes(tmp_path: Path) -> None:
    for name in ("kept.csv", "kept.json", "left.csv", "kept.obtained.csv"):
        (tmp_path / name).touch()
    assert [p.name for p in orphans(tmp_path, ["kept"])] == ["kept.obtained.csv", "left.csv"]


def test_a_mismatch_is_drawn_worst_column_first() -> None:
    stored = {f"c{i}": np.ones(3) for i in range(8)}
    curve = {name: values * (1 + 0.1 * i) for i, (name, values) in enumerate(stored.items())}
    figure = mismatch_figure("quick", curve, stored, column_moves(curve, stored))
    titles = [axes.get_title() for axes in figure.axes if axes.get_title()]
    assert titles == [f"c{i}, from epoch 1" for i in (7, 6, 5, 4, 3, 2)]
    one = mismatch_figure("quick", {"c": np.ones(4)}, {"c": np.zeros(3)}, [_move("c")])
    assert len(one.axes) == 2


def _move(column: str):
    return column_moves({column: np.ones(3)}, {column: np.zeros(3)})[0]


def test_the_post_mortem_figure_draws_every_bug_from_the_stored_curves() -> None:
    stored = GOLDEN / "curves"
    frames = {path.stem: pd.read_csv(path, index_col=0) for path in stored.glob("*.csv")}
    curves = {name: {c: f[c].to_numpy() for c in f.columns} for name, f in frames.items()}
    figure = post_mortem_figure(curves, ["a line", "Epoch 001/001"])
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert [title.partition(":")[0] for title in titles] == [f"Bug {n}" for n in (1, 1, 2, 3, 4, 5)]


@dataclass(frozen=True)
class Golden:
    pytester: pytest.Pytester

    @property
    def curves(self) -> Path:
        return self.pytester.path / "curves"

    def run(self, values: str, *options: str, names: str = "['quick']") -> tuple[int, str]:
        """Exit code and what was printed."""
        (self.pytester.path / "test_quick.py").write_text(
            "import numpy as np\n"
            "from ris_pipeline.config import load_settings\n"
            "def test_quick(check_curve):\n"
            f"    check_curve('quick', {values}, load_settings('golden'))\n"
            "def test_orphans(check_no_orphans):\n"
            f"    check_no_orphans({names})\n"
        )
        result = self.pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)
        return int(result.ret), f"{result.stdout}\n{result.stderr}"


@pytest.fixture
def golden(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> Golden:
    """The golden folder with one quick curve in place of the runs."""
    monkeypatch.delenv("CI", raising=False)
    shutil.copy(GOLDEN / "conftest.py", pytester.path)
    (pytester.path / "curves").mkdir()
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
    assert golden.run(FIRST)[0] == 0
    code, text = golden.run(SECOND)
    moved = "train: moved by up to 5.0e-01 (relative), beyond tolerance from epoch 2"
    assert (code, moved in text) == (1, True)
    picture = golden.pytester.path / "mismatches" / "quick.png"
    assert str(picture) in text
    assert picture.read_bytes().startswith(b"\x89PNG")
    code, text = golden.run(SECOND, "--update")
    assert (code, f"quick: {moved}" in text, "validation" in text) == (0, True, False)
    assert golden.run(SECOND)[0] == 0
    assert not picture.exists()
    for changed in (fewer, single):
        assert golden.run(changed)[0] == 1


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
    assert not any(golden.curves.iterdir())


def test_a_file_that_no_run_makes_fails_and_update_removes_it(golden: Golden) -> None:
    golden.run(FIRST, "--update")
    (golden.curves / "old.csv").touch()
    code, text = golden.run(FIRST)
    assert (code, "no run makes ['old.csv']" in text) == (1, True)
    code, text = golden.run(FIRST, "--update")
    assert (code, "old.csv: removed, no run makes it" in text) == (0, True)
    assert sorted(p.name for p in golden.curves.iterdir()) == ["quick.csv", "quick.json"]


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
