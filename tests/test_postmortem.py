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
    "subspace_margin_constant_zero@subspace_margin": (
        "test_loss_terms::test_a_positive_term_has_a_live_and_finite_gradient",
    ),
    "normalized_to_one@normalize_trace": (
        "test_trace_normalisation::test_the_eigenvalues_are_scaled_to_the_mean_one",
        "test_trace_normalisation::test_the_trace_becomes_n",
    ),
    "normalized_without_floor@normalize_trace": (
        "test_trace_normalisation::test_a_matrix_of_zeros_stays_zero",
    ),
    "loading_on_every_entry@add_loading": (
        "test_loading::test_every_eigenvalue_rises_by_the_loading",
        "test_loading::test_only_the_diagonal_changes",
        "test_low_rank_and_dense::test_loading_normalisation_and_shrinkage",
        "test_low_rank_and_dense::test_the_prepared_covariance",
    ),
    "shrunk_to_the_trace@shrink": (
        "test_shrinkage::test_shrinkage_keeps_the_trace",
        "test_shrinkage::test_shrinkage_moves_eigenvalues_to_their_mean",
    ),
    "shrunk_without_loading@shrink": (
        "test_shrinkage::test_the_smallest_eigenvalue_is_at_least_its_part_of_the_mean",
    ),
    "weight_rising_with_snr@shrinkage_weight": (
        "test_shrinkage::test_the_weight_falls_with_the_amplitude_of_the_signal",
    ),
    "blended_without_normalisation@blend": (
        "test_hybrid_blend::test_the_blend_has_trace_n_and_a_spectrum_between",
        "test_hybrid_blend::test_the_blend_is_the_weighted_mean_of_normalised_matrices",
        "test_low_rank_and_dense::test_blends",
    ),
    "prepared_before_shrinkage@prepare_covariance": (
        "test_low_rank_and_dense::test_the_prepared_covariance",
    ),
    "nmse_of_the_root@nmse": (
        "test_loss_terms::test_a_term_is_zero_at_the_truth",
        "test_low_rank_and_dense::test_errors_of_covariances",
    ),
    "trace_of_the_factor@trace": (
        "test_low_rank_and_dense::test_the_matrix_and_its_trace",
        "test_low_rank_and_dense::test_the_subspace_margin",
    ),
    "FactoredWithoutLoading@LowRankCovariance": (
        "test_low_rank_and_dense::test_eigenvalues_and_gaps",
        "test_low_rank_and_dense::test_products_and_scaling",
    ),
    "FactoredDetached@LowRankCovariance": (
        "test_factor_gradient::test_the_gradient_by_a_factor_is_finite_and_bounded_at_ties",
    ),
    "signal_of_the_smallest@signal_subspace": (
        "test_low_rank_and_dense::test_music_spectra",
        "test_low_rank_and_dense::test_signal_subspaces",
        "test_music::test_music_is_the_distance_to_the_signal_subspace",
        "test_music::test_the_noiseless_peak_is_at_the_truth",
        "test_subspaces::test_the_bases_are_orthonormal_and_complete",
        "test_subspaces::test_the_basis_holds_the_most_power",
        "test_subspaces::test_the_signal_subspace_is_that_of_the_k_largest",
    ),
    "signal_of_one_more@signal_subspace": ("test_low_rank_and_dense::test_music_spectra",),
    "signal_not_normalised@signal_subspace": ("test_low_rank_and_dense::test_music_spectra",),
    "noise_of_the_largest@noise_subspace": (
        "test_subspaces::test_the_noise_subspace_is_the_orthogonal_complement",
    ),
    "projector_by_transpose@projector": (
        "test_projectors::test_a_projector_does_not_see_the_phase_of_the_eigenvectors",
        "test_projectors::test_a_projector_has_rank_k",
        "test_projectors::test_a_projector_is_idempotent_and_hermitian",
    ),
    "projector_on_noise@projector": ("test_projectors::test_a_projector_has_rank_k",),
    "projection_on_signal@noise_projection": (
        "test_projectors::test_what_a_projector_leaves_is_the_distance_to_the_subspace",
    ),
    "alignment_without_ridge@soft_alignment": ("test_low_rank_and_dense::test_soft_alignment",),
    "bartlett_by_transpose@bartlett_spectrum": (
        "test_bartlett::test_bartlett_is_the_quadratic_form",
    ),
    "bartlett_of_the_factor@bartlett_spectrum": (
        "test_low_rank_and_dense::test_bartlett_and_mvdr_spectra",
    ),
    "mvdr_upside_down@mvdr_spectrum": (
        "test_mvdr::test_mvdr_does_not_fall_when_noise_is_added",
        "test_mvdr::test_mvdr_inverts_the_covariance",
        "test_mvdr::test_mvdr_is_positive_and_no_higher_than_bartlett",
    ),
    "mvdr_without_inverse@mvdr_spectrum": (
        "test_mvdr::test_mvdr_does_not_fall_when_noise_is_added",
    ),
    "music_on_signal@music_spectrum": (
        "test_music::test_music_is_the_distance_to_the_signal_subspace",
    ),
    "power_of_one_fewer@signal_power_hinge": (
        "test_gap_sign::test_the_subspace_margin_falls_with_k",
    ),
    "steering_conjugated@steering_vector": (
        "test_steering_derivatives::test_derivatives_agree_with_differences",
        "test_steering_vector::test_the_steering_vector_is_that_of_the_formula",
    ),
    "steering_not_normalised@steering_vector": (
        "test_steering_vector::test_the_steering_vector_has_unit_norm",
    ),
    "steering_in_wavelengths@steering_vector": (
        "test_steering_derivatives::test_derivatives_agree_with_differences",
    ),
    "steering_axes_swapped@steering_vector": (
        "test_steering_derivatives::test_derivatives_agree_with_differences",
    ),
    "steering_in_degrees@steering_vector": (
        "test_steering_derivatives::test_derivatives_agree_with_differences",
    ),
    "steering_curved_the_other_way@steering_vector": (
        "test_wavefront_limits::test_the_fresnel_wave_tends_to_the_spherical_one",
    ),
    "steering_always_spherical@steering_vector": (
        "test_wavefront_limits::test_the_plane_wave_tends_to_the_fresnel_one",
    ),
    "panel_half_an_element_off@ideal_panel": (
        "test_steering_vector::test_a_centred_panel_turns_end_for_end_with_the_source",
    ),
    "derivatives_with_cosines_lost@steering_derivatives": (
        "test_steering_derivatives::test_derivatives_agree_with_differences",
    ),
    "derivatives_without_j@steering_derivatives": (
        "test_steering_derivatives::test_the_vector_moves_at_constant_norm",
    ),
    "simulate_with_power_decibels@simulate": (
        "test_simulator::test_the_signal_to_noise_ratio_is_reached_exactly",
    ),
    "simulate_with_real_noise@simulate": (
        "test_simulator::test_the_noise_has_the_variance_it_says",
    ),
    "simulate_conjugated@simulate": (
        "test_simulator::test_a_noiseless_snapshot_is_what_the_formula_says",
    ),
    "factor_of_amplitudes@covariance_factor": (
        "test_simulator::test_the_true_covariance_has_trace_n_and_the_sources_powers",
    ),
    "quantised_by_floor@quantise_phase": (
        "test_phase_quantisation::test_no_phase_of_the_grid_is_nearer",
        "test_phase_quantisation::test_phases_are_on_the_grid_at_unit_modulus",
    ),
    "quantised_with_its_amplitude@quantise_phase": (
        "test_phase_quantisation::test_no_phase_of_the_grid_is_nearer",
    ),
    "dft_of_the_wrong_size@dft_codebook": (
        "test_codebooks::test_a_full_dft_book_is_orthogonal",
        "test_codebooks::test_dft_codes_are_plane_waves",
    ),
    "hadamard_cut_short@hadamard_codebook": (
        "test_codebooks::test_hadamard_codes_are_signs_with_orthogonal_columns",
    ),
    "random_codes_with_amplitudes@random_codebook": (
        "test_codebooks::test_random_codes_have_unit_modulus_and_come_back",
    ),
    "angle_in_slot_order@angle": (
        "test_loss_terms::test_the_order_of_the_slots_does_not_matter",
        "test_loss_terms::test_the_order_of_the_sources_does_not_matter",
    ),
    "angle_over_every_slot@chamfer": ("test_loss_terms::test_a_term_is_zero_at_the_truth",),
    "distance_without_logarithm@distance": ("test_loss_terms::test_a_term_is_zero_at_the_truth",),
    "orthogonality_not_normalised@orthogonality": ("test_loss_terms::test_a_term_is_in_its_range",),
    "cross_term_summed@cross_term": ("test_loss_terms::test_a_batch_costs_the_mean_of_its_scenes",),
    "nmse_of_the_raw_prediction@prediction_nmse": (
        "test_loss_terms::test_the_unblended_error_does_not_see_the_scale",
    ),
    "contrast_without_the_truth@peak_contrast": (
        "test_loss_terms::test_a_term_is_zero_at_the_truth",
    ),
    "wrap_to_a_positive_angle@wrap_angle": (
        "test_angle_wrap::test_a_wrapped_angle_is_the_same_direction_within_half_a_turn",
    ),
    "huber_without_half@huber": ("test_angle_wrap::test_huber_is_quadratic_then_linear",),
    "matched_greedily@match_slots": (
        "test_matching::test_slots_are_matched_at_the_least_total_cost",
    ),
    "sources_matched_in_order@match_sources": (
        "test_matching::test_sources_are_matched_at_the_least_total_angle",
        "test_matching::test_the_truth_is_matched_to_itself_in_any_order",
    ),
    "sources_matched_by_nearest@match_sources": (
        "test_matching::test_sources_are_matched_at_the_least_total_angle",
    ),
    "bound_of_deviations@cramer_rao_bound": (
        "test_cramer_rao::test_the_bound_falls_with_the_power_and_sees_no_phase",
        "test_cramer_rao::test_the_bound_is_proportional_to_the_noise_variance",
    ),
    "bound_at_unit_noise@cramer_rao_bound": (
        "test_cramer_rao::test_the_bound_is_proportional_to_the_noise_variance",
    ),
    "bound_from_the_snapshots@cramer_rao_bound": (
        "test_cramer_rao::test_the_bound_does_not_see_a_rotation_of_the_antennas",
    ),
    "bound_of_the_first_source@cramer_rao_bound": (
        "test_cramer_rao::test_the_bound_goes_with_its_source_and_falls_without_the_other",
    ),
    "epoch_mean_of_group_means@run_epoch": (
        "test_epoch_mean::test_the_accumulation_factor_does_not_change_the_mean",
    ),
    "eigenvalues_of_the_buffer@eigenvalues": (
        "test_memory_layout::test_the_layout_does_not_matter",
    ),
    "eigenvalues_squeezed@eigenvalues": (
        "test_memory_layout::test_a_batch_of_one_is_the_matrix_alone",
    ),
    "eigenvalues_of_an_empty_batch@eigenvalues": (
        "test_memory_layout::test_an_empty_batch_gives_an_empty_answer",
    ),
    "angle_not_wrapped@angle": ("test_loss_terms::test_a_full_turn_changes_nothing",),
    "alignment_constant_zero@alignment": (
        "test_loss_terms::test_a_positive_term_has_a_live_and_finite_gradient",
    ),
    "hinge_of_flipped_singular_values@eigengap_loss": (
        "test_gap_sign::test_the_hinge_is_zero_when_the_gap_is_open",
        "test_gap_sign::test_the_hinge_has_the_right_value",
    ),
    "gap_of_flipped_singular_values@eigengap": (
        "test_gap_sign::test_the_gap_is_never_negative",
        "test_gradient_direction::test_the_gradient_is_the_difference_of_projectors",
    ),
    "hinge_of_ascending_eigenvalues@eigengap_loss": (
        "test_gradient_direction::test_the_gradient_agrees_with_differences_of_scipy",
    ),
    "gap_of_ascending_eigenvalues@eigengap": (
        "test_gap_sign::test_a_factored_covariance_has_the_same_gap",
        "test_gap_sign::test_the_gaps_add_up_and_their_sum_rises_with_k",
    ),
    "gap_off_by_one@eigengap": ("test_gap_sign::test_the_gap_has_the_right_size",),
    "hinge_off_by_one@eigengap_loss": (
        "test_gradient_direction::test_the_gradient_is_hermitian_of_norm_root_two",
    ),
    "gap_of_singular_values@eigengap": ("test_gap_sign::test_a_tensor_of_orders_takes_one_each",),
    "hinge_with_the_sign_swapped@eigengap_loss": (
        "test_gap_sign::test_the_hinge_rises_with_the_margin",
    ),
    "hinge_summed@eigengap_loss": (
        "test_gradient_direction::test_the_gradient_is_finite_and_bounded_at_ties",
    ),
    "hinge_without_relu@eigengap_loss": (
        "test_gradient_direction::test_the_gradient_is_zero_when_the_gap_is_open",
    ),
    "hinge_detached@eigengap_loss": (
        "test_gradient_direction::test_a_descent_step_opens_the_gap",
        "test_factor_gradient::test_the_gradient_by_a_factor_is_twice_that_by_the_matrix_times_it",
    ),
    "hinge_through_eigenvectors@eigengap_loss": (
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
    "hinge_without_hermitization@eigengap_loss": (
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
    "norm_poisoned@gradient_norm": (
        "test_gradient_norm::test_the_norm_is_that_of_the_finite_gradients",
    ),
    "norm_hiding_what_it_left_out@gradient_norm": (
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
    "hinge_of_flipped_singular_values@eigengap_loss": "train",
    "hinge_of_ascending_eigenvalues@eigengap_loss": "train",
    "hinge_detached@eigengap_loss": "validation",
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
