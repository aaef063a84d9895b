"""The runs whose curves are kept, and what their curves have to say."""

import numpy as np
import pytest

from ris_pipeline.config import Settings, load_settings
from ris_pipeline.learning import TERMS, Trainer, history_curve, overfit_settings
from ris_pipeline.verification.golden import Curve, column_moves, describe_curve, read_page
from ris_pipeline.verification.post_mortem import POST_MORTEM_RUNS, first_epochs

OVERFIT_EPOCHS, REMEMBERED = 90, 0.1
"""Long enough to pass this loss; later epochs, which pass the 0.05 of the command, sit at the kinks
of the hinges, where CPUs part ways."""

HEALTHY = {
    "thirty_epochs": load_settings("golden"),
    "overfit": overfit_settings(load_settings("golden"), epochs=OVERFIT_EPOCHS),
}
EPOCHS_OF_EVERY_RUN = {"thirty_epochs": 8, "overfit": 20}
"""What `tox` repeats of a healthy run; every night repeats all of it. The bugs of the post-mortem
leave the curve within the first epoch (`tests/test_postmortem.py`)."""


def whole(name: str) -> tuple[Curve, Settings]:
    return history_curve(Trainer(HEALTHY[name]).fit()), HEALTHY[name]


@pytest.mark.nightly
@pytest.mark.slow
@pytest.mark.parametrize("name", HEALTHY)
def test_the_whole_curve_is_the_stored_one(name: str, golden_curve) -> None:
    golden_curve(name, *whole(name))


@pytest.mark.slow
@pytest.mark.parametrize("name", HEALTHY)
def test_the_curve_begins_as_the_stored_one(name: str, golden_curve) -> None:
    curve, settings = first_epochs(HEALTHY[name], EPOCHS_OF_EVERY_RUN[name])
    moves = column_moves(curve, golden_curve.stored(name))
    assert not [str(move) for move in moves if move.first_row is not None]
    stored = read_page(golden_curve.folder / f"{name}.json")
    page = describe_curve(curve, settings)
    assert (page.columns, page.settings) == (stored.columns, stored.settings)


@pytest.mark.slow
@pytest.mark.parametrize("name", POST_MORTEM_RUNS)
def test_the_curve_is_the_stored_one(name: str, golden_curve) -> None:
    golden_curve(name, *POST_MORTEM_RUNS[name]())


def test_every_stored_file_belongs_to_a_run(golden_curve) -> None:
    golden_curve.only([*HEALTHY, *POST_MORTEM_RUNS])


@pytest.mark.parametrize("name", ["thirty_epochs", "overfit"])
def test_every_term_norm_and_rate_has_a_column(name: str, golden_curve) -> None:
    columns = {f"{split}_{term}" for split in ("train", "validation") for term in TERMS}
    columns |= {f"{what}_{group}" for what in ("gradient", "rate") for group in _GROUPS}
    assert set(golden_curve.stored(name)) == columns | {"train", "validation"}


_GROUPS = "backbone", "heads"


def test_the_healthy_runs_learn(golden_curve) -> None:
    thirty, memory = golden_curve.stored("thirty_epochs"), golden_curve.stored("overfit")
    assert thirty["train"][-1] < thirty["train"][0]
    assert thirty["validation"][-1] < thirty["validation"][0]
    assert memory["train"][-1] < REMEMBERED


def test_bug_1_alone_never_moves_a_digit(golden_curve) -> None:
    healthy, broken = golden_curve.stored("gap_alone"), golden_curve.stored("gap_alone_bug_1")
    assert np.ptp(broken["validation"]) < 1e-6 < np.ptp(broken["train"])
    assert healthy["validation"][-1] < 0.5 * broken["validation"][-1]


def test_bug_1_leaves_its_term_where_it_was(golden_curve) -> None:
    healthy, broken = (
        golden_curve.stored(n)["validation_eigengap"] for n in ("thirty_epochs", "bug_1")
    )
    assert np.ptp(broken) < 1e-6
    assert healthy[len(broken) - 1] < 0.5 * broken[-1]


def test_bug_2_reports_a_gap_that_is_not_there(golden_curve) -> None:
    healthy, broken = (
        golden_curve.stored("dense_descent"),
        golden_curve.stored("dense_descent_bug_2"),
    )
    assert healthy["hinge"][-1] == healthy["hinge_seen"][-1] == broken["hinge"][-1] == 0
    assert broken["hinge_seen"][-1] > 0.05


def test_bug_3_reports_another_loss_of_the_same_run(golden_curve) -> None:
    healthy, broken = golden_curve.stored("thirty_epochs"), golden_curve.stored("bug_3")
    count = len(broken["train"])
    assert np.allclose(broken["validation"], healthy["validation"][:count], rtol=1e-6)
    assert np.all(broken["train"] < 0.5 * healthy["train"][:count])


def test_bug_4_loses_the_norm_of_a_whole_group(golden_curve) -> None:
    healthy, broken = golden_curve.stored("poisoned"), golden_curve.stored("poisoned_bug_4")
    assert np.isfinite(healthy["gradient_heads"]).all()
    assert np.isnan(broken["gradient_heads"]).sum() == 3
    assert (healthy["non_finite"] > 0).sum() == (healthy["skipped_steps"] > 0).sum() == 3
    assert not broken["non_finite"].any()


def test_bug_5_leaves_nothing_to_read(golden_curve) -> None:
    healthy, broken = golden_curve.stored("log_lines"), golden_curve.stored("log_lines_bug_5")
    assert [int(healthy[kind][0]) for kind in healthy] == [1, 3, 2, 1, 1]
    assert not any(values.any() for values in broken.values())
