"""What the golden comparison must notice, and what `--update` must say."""

import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from ris_pipeline.config import load_settings
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.golden import (
    CURVE_RTOL,
    column_moves,
    describe_curve,
    describe_move,
    structure_faults,
)

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


@pytest.fixture
def copy_of_golden(tmp_path: Path) -> Path:
    """The golden folder with one quick curve in place of the runs."""
    golden = Path(__file__).parents[2] / "golden"
    shutil.copy(golden / "conftest.py", tmp_path)
    (tmp_path / "curves").mkdir()
    return tmp_path


def run_golden(folder: Path, values: str, *options: str) -> subprocess.CompletedProcess[str]:
    (folder / "test_quick.py").write_text(
        "import numpy as np\n"
        "from ris_pipeline.config import load_settings\n"
        "def test_quick(check_curve):\n"
        f"    check_curve('quick', {values}, load_settings('golden'))\n"
    )
    command = [sys.executable, "-m", "pytest", "-p", "no:cacheprovider", "-q", "."]
    return subprocess.run([*command, *options], cwd=folder, capture_output=True, text=True)


def test_update_writes_compares_and_says_what_moved(copy_of_golden: Path) -> None:
    first = "{'train': np.array([2.0, 1.0]), 'validation': np.array([3.0, 2.0])}"
    second = "{'train': np.array([2.0, 1.5]), 'validation': np.array([3.0, 2.0])}"
    fewer = "{'train': np.array([2.0, 1.5])}"
    single = "{'train': np.array([2.0, 1.5]), 'validation': np.float32([3.0, 2.0])}"
    made = run_golden(copy_of_golden, first, "--update")
    assert made.returncode == 0, made.stdout
    assert "quick: new" in made.stdout
    assert run_golden(copy_of_golden, first).returncode == 0
    differs = run_golden(copy_of_golden, second)
    assert differs.returncode == 1
    moved = "train: moved by up to 5.0e-01 (relative), beyond tolerance from epoch 2"
    assert moved in differs.stdout
    updated = run_golden(copy_of_golden, second, "--update")
    assert updated.returncode == 0
    assert "quick: train: moved by up to 5.0e-01" in updated.stdout
    assert "quick: validation: within tolerance" in updated.stdout
    assert run_golden(copy_of_golden, second).returncode == 0
    for changed in (fewer, single):
        assert run_golden(copy_of_golden, changed).returncode == 1


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
