"""The known bugs, put back one at a time: what the kill matrix says turns red must turn red.

`ris_pipeline/verification/kill_matrix.json` is measured by `ris_pipeline.verification.kill_page`;
here each bug meets the laws that see it first, and each law a bug. All pairs: `tox -e kill`.
That it still holds for the laws without a bug is for `tests/verification/test_tightness.py`.
"""

import inspect
import json
import sys
from importlib import import_module
from pathlib import Path

import pytest

from ris_pipeline.config import load_settings
from ris_pipeline.verification.diagnosis import diagnose
from ris_pipeline.verification.golden import column_moves, read_curve
from ris_pipeline.verification.implementation import Implementation
from ris_pipeline.verification.kill_matrix import QUICK, STORED, KillMatrix, turns_red
from ris_pipeline.verification.kill_page import PAGE, render
from ris_pipeline.verification.known_bugs import KNOWN_BUGS, KnownBug
from ris_pipeline.verification.laws import LawResult, Outcome, load_laws
from ris_pipeline.verification.post_mortem import first_epochs
from ris_pipeline.verification.target import places

ROOT = Path(__file__).parents[1]
BUGS = {bug.key: bug for bug in KNOWN_BUGS}
MATRIX = KillMatrix.from_json(STORED.read_text(encoding="utf-8"))
WITNESSES = MATRIX.witnesses(each=2)
LAWS = load_laws(QUICK)

pytestmark = pytest.mark.no_shapes


@pytest.mark.parametrize("key", BUGS)
def test_a_bug_put_back_turns_its_laws_red(key: str) -> None:
    green = [name for name in WITNESSES[key] if not turns_red(LAWS[name], BUGS[key])]
    assert not green, f"green with {key} in place: {green}: {BUGS[key].story}"


def test_every_bug_is_caught_and_every_law_catches_one() -> None:
    assert MATRIX.red.keys() == BUGS.keys()
    assert all(MATRIX.red.values())
    assert {name for names in WITNESSES.values() for name in names} == LAWS.keys()


def test_the_stored_matrix_and_its_page_are_current() -> None:
    stored = json.loads(STORED.read_text(encoding="utf-8"))
    causes = {key: entry["cause"] for key, entry in stored["bugs"].items()}
    assert causes == {bug.key: bug.cause for bug in KNOWN_BUGS}
    assert stored["laws"].keys() == LAWS.keys()
    assert PAGE.read_text(encoding="utf-8") == render(MATRIX)


def test_a_name_tells_one_bug_from_another_and_every_story_is_told() -> None:
    assert len(BUGS) == len(KNOWN_BUGS)
    assert all(
        bug.replaces in places() and bug.story and bug.number in range(6) for bug in BUGS.values()
    )
    assert {bug.number for bug in KNOWN_BUGS} >= {1, 2, 3, 4, 5}


PUBLIC = (
    "hermitize",
    "singular_values",
    "eigenvalues",
    "eigengap",
    "eigengap_loss",
    "signal_subspace",
    "noise_subspace",
    "projector",
    "music_spectrum",
    "mvdr_spectrum",
    "steering_vector",
    "gradient_norm",
    "run_epoch",
)


def test_every_public_function_has_bugs_of_several_causes() -> None:
    causes = {name: {b.cause for b in KNOWN_BUGS if b.replaces == name} for name in PUBLIC}
    assert min(map(len, causes.values())) >= 4, causes


def as_if_verified(bug: KnownBug) -> list[LawResult]:
    """What the laws say of the bug."""
    red = MATRIX.red[bug.key]
    return [
        LawResult(law, Outcome.FAILS if law in red else Outcome.HOLDS)
        for law, uses in MATRIX.laws.items()
        if bug.replaces in uses
    ]


@pytest.mark.parametrize("key", BUGS)
def test_the_diagnosis_names_the_bug(key: str) -> None:
    bug = BUGS[key]
    found = diagnose(Implementation(bug.replaces, key, bug.function, ""), as_if_verified(bug))
    assert bug.cause in [one.cause for one in found], found


def put_back(bug: KnownBug, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the right function by the wrong one, wherever the package has imported it."""
    home, _, attribute = places()[bug.replaces].partition(":")
    right = getattr(import_module(home), attribute)
    for name, module in list(sys.modules.items()):
        if name.startswith("ris_pipeline.") and ".verification" not in name:
            for key, value in list(vars(module).items()):
                # A public function is a door before the one inside.
                if callable(value) and inspect.unwrap(value, stop=lambda f: f is right) is right:
                    monkeypatch.setattr(module, key, bug.function)


def moved_columns() -> set[str]:
    """Columns of the golden curve that its run has left after one epoch."""
    curve, _ = first_epochs(load_settings("golden"), 1)
    stored = read_curve(ROOT / "golden" / "curves" / "thirty_epochs.csv")
    return {move.column for move in column_moves(curve, stored) if move.first_row}


# Bug -> a column of the golden curve that must move. Bugs 4 and 5 leave a healthy run as it is.
GOLDEN_KILLS = {
    "hinge_of_flipped_singular_values@eigengap_loss": "train",
    "eigengap_loss_ascending@eigengap_loss": "train",
    "hinge_detached@eigengap_loss": "validation",
    "epoch_loss_in_the_step_block@run_epoch": "train",
    "epoch_drops_the_last_group@run_epoch": "validation",
}


@pytest.mark.parametrize("bug", GOLDEN_KILLS)
def test_a_bug_put_back_moves_the_golden_curve(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put_back(BUGS[bug], monkeypatch)
    moved = moved_columns()
    assert GOLDEN_KILLS[bug] in moved, f"golden stays green with {bug} in place"


def test_the_golden_curve_stays_without_a_bug() -> None:
    assert not moved_columns()
