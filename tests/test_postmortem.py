"""The bugs of the post-mortem, put back one at a time: something named must turn red.

`KILLS` says which properties catch which bug; `pytest tests/test_postmortem.py -v` prints the
pairs. Every property has to be in it, and every bug.
"""

import inspect
import sys
from collections.abc import Callable
from functools import cache
from importlib import import_module
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import Phase, settings

from ris_pipeline.config import load_settings
from ris_pipeline.learning import Trainer, history_curve
from ris_pipeline.verification.golden import column_moves
from ris_pipeline.verification.known_bugs import KNOWN_BUGS, KnownBug
from ris_pipeline.verification.target import PLACES

ROOT = Path(__file__).parents[1]
BUGS = {f"{bug.name}@{bug.replaces}": bug for bug in KNOWN_BUGS}

# Deterministic and without shrinking: the question is whether it turns red, not how prettily.
QUICK = settings(
    max_examples=60,
    derandomize=True,
    database=None,
    deadline=None,
    report_multiple_bugs=False,
    phases=(Phase.explicit, Phase.generate),
)

# Bug -> properties that must turn red. A bug is named `function@what it replaces`.
KILLS: dict[str, tuple[str, ...]] = {
    "hinge_of_flipped_singular_values@eigengap_hinge": (
        "test_gap_sign::test_the_hinge_is_zero_when_the_gap_is_open",
        "test_gap_sign::test_the_hinge_has_the_right_value",
    ),
    "gap_of_flipped_singular_values@eigengap": (
        "test_gap_sign::test_the_gap_is_never_negative",
        "test_gradient_direction::test_the_gradient_is_the_difference_of_projectors",
    ),
    "hinge_of_ascending_eigenvalues@eigengap_hinge": (
        "test_gradient_direction::test_the_gradient_agrees_with_differences_of_scipy",
    ),
    "gap_of_ascending_eigenvalues@eigengap": (
        "test_gap_sign::test_a_factored_covariance_has_the_same_gap",
    ),
    "gap_off_by_one@eigengap": ("test_gap_sign::test_the_gap_has_the_right_size",),
    "hinge_off_by_one@eigengap_hinge": (
        "test_gradient_direction::test_the_gradient_is_hermitian_of_norm_root_two",
    ),
    "gap_of_singular_values@eigengap": ("test_gap_sign::test_a_tensor_of_orders_takes_one_each",),
    "hinge_with_the_sign_swapped@eigengap_hinge": (
        "test_gap_sign::test_the_hinge_rises_with_the_margin",
    ),
    "hinge_summed@eigengap_hinge": (
        "test_gradient_direction::test_the_gradient_is_finite_and_bounded_at_ties",
    ),
    "hinge_without_relu@eigengap_hinge": (
        "test_gradient_direction::test_the_gradient_is_zero_when_the_gap_is_open",
    ),
    "hinge_detached@eigengap_hinge": (
        "test_gradient_direction::test_a_descent_step_opens_the_gap",
    ),
    "hinge_through_eigenvectors@eigengap_hinge": (
        "test_gradient_direction::test_the_gradient_is_hermitian_for_any_matrix",
    ),
    "singular_values_ascending@singular_values": (
        "test_singular_value_order::test_singular_values_descend",
        "test_singular_value_order::test_singular_values_are_eigenvalues_when_semidefinite",
    ),
    "singular_values_signed@singular_values": (
        "test_singular_value_order::test_singular_values_are_those_of_scipy",
        "test_singular_value_order::test_singular_values_are_sorted_magnitudes_when_indefinite",
    ),
    "eigenvalues_ascending@eigenvalues": (
        "test_singular_value_order::test_eigenvalues_descend",
        "test_singular_value_order::test_a_factored_covariance_has_the_same_spectrum",
    ),
    "eigenvalues_as_magnitudes@eigenvalues": (
        "test_singular_value_order::test_eigenvalues_are_those_of_scipy",
    ),
    "hinge_without_hermitization@eigengap_hinge": (
        "test_gap_sign::test_the_hinge_is_that_of_the_hermitian_part",
    ),
    "gap_without_hermitization@eigengap": (
        "test_gap_sign::test_the_gap_is_that_of_the_hermitian_part",
    ),
    "singular_values_unhermitized@singular_values": (
        "test_singular_value_order::test_spectra_are_those_of_the_hermitian_part",
    ),
    "hermitize_nothing@hermitize": (
        "test_hermitization::test_the_result_is_hermitian_exactly",
        "test_hermitization::test_the_result_is_half_of_matrix_plus_adjoint",
    ),
    "hermitize_by_transpose@hermitize": (
        "test_hermitization::test_the_spectrum_is_real",
        "test_hermitization::test_a_hermitian_matrix_is_left_alone",
    ),
    "hermitize_without_half@hermitize": ("test_hermitization::test_twice_is_once",),
    "hermitize_by_triangle@hermitize": ("test_hermitization::test_no_hermitian_matrix_is_nearer",),
    "hermitize_and_load@hermitize": ("test_hermitization::test_real_factors_pass_through",),
    "epoch_loss_in_the_step_block@run_epoch": (
        "test_epoch_mean::test_the_epoch_loss_is_the_mean_over_every_batch",
    ),
    "epoch_drops_the_last_group@run_epoch": (
        "test_epoch_mean::test_every_group_steps_once_and_weighs_its_batches_equally",
    ),
    "norm_poisoned@group_gradient_norm": (
        "test_gradient_norm::test_the_norm_is_that_of_the_finite_gradients",
    ),
    "norm_hiding_what_it_left_out@group_gradient_norm": (
        "test_gradient_norm::test_what_is_left_out_is_counted",
    ),
    "no_debug_line@debug_line": ("test_log_lines::test_the_loss_line",),
    "no_optimiser_line@optimiser_line": (
        "test_log_lines::test_gradients_left_out_are_named",
        "test_log_lines::test_the_optimiser_line",
    ),
    "no_gradient_line@gradient_line": ("test_log_lines::test_the_gradient_line",),
    "no_step_line@step_line": ("test_log_lines::test_the_step_line",),
    "no_epoch_line@epoch_line": ("test_log_lines::test_the_epoch_line",),
}

PAIRS = [(bug, name) for bug, names in KILLS.items() for name in names]


@cache
def properties() -> dict[str, Callable[[], None]]:
    """Every property, as `file::function`."""
    found = {}
    for path in sorted((ROOT / "properties").glob("test_*.py")):
        spec = import_module_from(path)
        for name, function in inspect.getmembers(spec, inspect.isfunction):
            if name.startswith("test_"):
                found[f"{path.stem}::{name}"] = QUICK(function)
    return found


def import_module_from(path: Path):
    """Import a test file that is in no package."""
    from importlib.util import module_from_spec, spec_from_file_location

    spec = spec_from_file_location(f"_property_{path.stem}", path)
    module = module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def put_back(bug: KnownBug, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replace the right function by the wrong one, wherever the package has imported it."""
    home, _, attribute = PLACES[bug.replaces].partition(":")
    right = getattr(import_module(home), attribute)
    for name, module in list(sys.modules.items()):
        if name.startswith("ris_pipeline.") and ".verification" not in name:
            for key, value in list(vars(module).items()):
                if value is right:
                    monkeypatch.setattr(module, key, bug.function)


def turns_red(name: str) -> bool:
    """Whether the property fails an assertion with what is in place; other errors pass through."""
    try:
        properties()[name]()
    except AssertionError:
        return True
    return False


@pytest.mark.parametrize(("bug", "name"), PAIRS, ids=[f"{b} by {n}" for b, n in PAIRS])
def test_a_bug_put_back_turns_its_property_red(
    bug: str, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    put_back(BUGS[bug], monkeypatch)
    assert turns_red(name), f"{name} stays green with {bug} in place: {BUGS[bug].story}"


@pytest.mark.parametrize("name", sorted({name for _, name in PAIRS}))
def test_the_property_is_green_without_a_bug(name: str) -> None:
    assert not turns_red(name)


def test_every_bug_is_caught_and_every_property_catches_one() -> None:
    assert KILLS.keys() == BUGS.keys()
    assert all(KILLS.values())
    assert {name for names in KILLS.values() for name in names} == properties().keys()


def first_epochs(count: int) -> dict[str, np.ndarray]:
    """The start of the run whose curve is kept as `thirty_epochs`."""
    trainer = Trainer(load_settings("golden"))
    for _ in range(count):
        trainer.train_epoch()
    return history_curve(trainer.history)


def moved_columns(curve: dict[str, np.ndarray]) -> set[str]:
    """Columns of the golden curve that the run has left."""
    frame = pd.read_csv(ROOT / "golden" / "curves" / "thirty_epochs.csv", index_col=0)
    stored = {column: frame[column].to_numpy() for column in frame.columns}
    return {move.column for move in column_moves(curve, stored) if move.first_epoch}


# Bug -> a column of the golden curve that must move. Bugs 4 and 5 leave a healthy run as it is.
GOLDEN_KILLS = {
    "hinge_of_flipped_singular_values@eigengap_hinge": "train",
    "hinge_of_ascending_eigenvalues@eigengap_hinge": "train",
    "hinge_detached@eigengap_hinge": "validation",
    "hermitize_by_transpose@hermitize": "train_eigengap",
    "epoch_loss_in_the_step_block@run_epoch": "train",
    "epoch_drops_the_last_group@run_epoch": "validation",
}


@pytest.mark.parametrize("bug", GOLDEN_KILLS)
def test_a_bug_put_back_moves_the_golden_curve(bug: str, monkeypatch: pytest.MonkeyPatch) -> None:
    put_back(BUGS[bug], monkeypatch)
    moved = moved_columns(first_epochs(2))
    assert GOLDEN_KILLS[bug] in moved, f"golden stays green with {bug} in place"


def test_the_golden_curve_stays_without_a_bug() -> None:
    assert not moved_columns(first_epochs(2))
