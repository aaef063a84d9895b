"""The verdict on somebody's functions: right ones hold, wrong ones fail and are told why."""

import json

import pytest
import their_numpy
import their_torch

from ris_pipeline._errors import InputError
from ris_pipeline.verification.adapters import SIGNATURES
from ris_pipeline.verification.implementation import Options
from ris_pipeline.verification.laws import SHRINK_S, LawResult, Outcome
from ris_pipeline.verification.titles import title
from ris_pipeline.verification.verify import (
    Judgement,
    Selection,
    Verdict,
    exit_code,
    report_json,
    sentence,
    verify,
)

pytestmark = pytest.mark.no_shapes

QUICK = 8


def verdict_on(spec: str, name: str | None = None, **said) -> Verdict:
    (verdict,) = verify(spec, name, Options(**said), examples=QUICK)
    return verdict


def result_of(verdict: Verdict, law: str) -> LawResult:
    return next(result for result in verdict.laws if result.law.endswith(law))


MODULES = {"their_numpy": their_numpy, "their_torch": their_torch}
RIGHT = [(m, n) for m, module in MODULES.items() for n in SIGNATURES if hasattr(module, n)]


@pytest.mark.parametrize(("module", "name"), RIGHT)
def test_a_right_function_holds(module: str, name: str) -> None:
    verdict = verdict_on(f"{module}:{name}")
    red = [(r.law, r.reason) for r in verdict.laws if r.outcome is Outcome.FAILS]
    assert not red
    assert any(r.outcome is Outcome.HOLDS and r.examples >= QUICK for r in verdict.laws)
    assert exit_code([verdict]) == 0
    assert not verdict.causes
    assert json.loads(json.dumps(verdict.as_json(), allow_nan=False))["holds"]
    assert verdict.implementation.how.startswith(module[6:]) or name == "epoch_mean"


def test_ours_holds_with_everything_it_has() -> None:
    verdict = verdict_on("ris_pipeline.spectral:eigengap_loss")
    assert verdict.holds
    assert {r.outcome for r in verdict.laws} == {Outcome.HOLDS}


@pytest.mark.parametrize(
    ("bug", "name", "cause"),
    [
        ("ascending", "eigengap_loss", "ascending order"),
        ("off_by_one", "eigengap", "off by one in k"),
        ("not_hermitian_first", "eigengap_loss", "not Hermitian first"),
        ("detached", "eigengap_loss", "detached"),
        ("unsorted", "signal_subspace", "eigenvectors unsorted"),
        ("half_an_element_off", "steering_vector", "half an element off centre"),
        ("rows_for_columns", "music_spectrum", "rows for columns"),
        ("poisoned", "gradient_norm", "NaN poisons the sum"),
        ("in_the_step_block", "epoch_mean", "summed in the wrong block"),
        ("running", "sample_covariance", "remembers an earlier argument"),
        ("forgetful", "eigengap_loss", "chain rule broken off"),
        ("in_whole_chunks", "music_spectrum", "last chunk lost"),
    ],
)
def test_a_wrong_function_fails_and_its_cause_is_named(bug: str, name: str, cause: str) -> None:
    verdict = verdict_on(f"their_bugs:{bug}", name)
    assert not verdict.holds
    assert exit_code([verdict]) == 1
    assert verdict.causes[0].cause == cause
    red = [r for r in verdict.laws if r.outcome is Outcome.FAILS]
    assert all(r.reason for r in red)
    # Where a machine is slow, the search for the smallest ends before hypothesis notes one.
    assert all(r.counterexample for r in red if r.seconds < SHRINK_S)


def test_what_resembles_no_known_bug_has_no_cause() -> None:
    verdict = verdict_on("their_bugs:nonsense", "eigengap_loss")
    assert not verdict.holds
    assert not verdict.causes


def test_singular_values_hold_on_semidefinite_matrices_only() -> None:
    verdict = verdict_on("their_bugs:gap_of_singular_values", "eigengap")
    assert not verdict.holds
    assert verdict.holds_on == "positive"
    assert verdict.causes[0].cause == "singular values for eigenvalues"
    assert "it holds on positive semidefinite matrices only" in sentence(verdict)
    red = [result for result in verdict.laws if result.outcome is Outcome.FAILS]
    assert red
    assert all(result.holds_on == "positive" and result.counterexample for result in red)
    stated = verdict_on("their_bugs:gap_of_singular_values", "eigengap", domain="positive")
    assert stated.holds
    assert sentence(stated).endswith("holds as eigengap on positive semidefinite matrices")
    indefinite = verdict_on("their_bugs:gap_of_singular_values", "eigengap", domain="indefinite")
    assert not indefinite.holds
    assert not indefinite.holds_on


@pytest.mark.parametrize(
    ("function", "conventions"),
    [
        ("conjugated", ("opposite phase",)),
        ("conjugated_in_another_order", ("opposite phase",)),
        ("degrees_from_the_corner", ("corner origin", "degrees")),
    ],
)
def test_another_convention_is_named_and_has_to_be_stated(
    function: str, conventions: tuple[str, ...]
) -> None:
    verdict = verdict_on(f"their_bugs:{function}", "steering_vector")
    assert verdict.judgement is Judgement.CONVENTION
    assert exit_code([verdict]) == 3
    assert verdict.unstated == conventions
    assert all(f"--convention '{name}'" in sentence(verdict) for name in conventions)
    compile(verdict.adapter, "adapter", "exec")
    stated = verdict_on(f"their_bugs:{function}", "steering_vector", conventions=conventions)
    assert stated.holds
    assert exit_code([stated]) == 0
    assert sentence(stated).endswith(f"with: {', '.join(conventions)}")


@pytest.mark.parametrize(
    ("function", "name", "convention"),
    [
        ("hinge_of_each", "eigengap_loss", "per sample"),
        ("smooth", "eigengap_loss", "smooth hinge"),
        ("in_parts_of_the_mean", "diagonal_loading", "relative loading"),
        ("by_degrees", "ula_music", "degrees"),
        ("of_peak_one", "music_spectrum", "normalized by maximum"),
        ("in_millimetres", "steering_vector", "millimetres"),
        ("from_the_corner_with_one_spacing", "steering_vector", "corner origin"),
        ("receding", "ula_mvdr", "opposite phase"),
        ("of_unit_norm", "ula_mvdr", "unit norm"),
        ("from_the_axis", "esprit", "angle from the axis"),
        ("of_rows", "sample_covariance", "rows for columns"),
        ("summed", "factor_eigengap_loss", "sum reduction"),
        ("decibels_of_values", "eigenvalues", "dB"),
        ("whitened_with_a_guard", "whitening", "guarded"),
        ("linear_array_loaded", "ula_mvdr", "diagonal loading"),
    ],
)
def test_conventions_of_functions_of_a_matrix(function: str, name: str, convention: str) -> None:
    verdict = verdict_on(f"their_conventions:{function}", name)
    assert verdict.judgement is Judgement.CONVENTION
    assert verdict.unstated == (convention,)


def test_a_mean_that_answers_what_can_be_read_once_answers_it_rightly() -> None:
    (failed,) = (
        r
        for r in verdict_on("their_bugs:read_twice", "epoch_mean").laws
        if r.outcome is Outcome.FAILS
    )
    assert failed.law == "test_epoch_mean::test_losses_that_are_read_once_have_the_same_mean"
    assert verdict_on("their_bugs:of_a_list", "epoch_mean").holds


def test_a_convention_that_is_not_the_functions_is_refused() -> None:
    with pytest.raises(InputError, match="it is not right with degrees"):
        verdict_on("their_bugs:conjugated", "steering_vector", conventions=("degrees",))
    with pytest.raises(InputError, match="convention = 'upside down': allowed are"):
        verdict_on("their_bugs:conjugated", "steering_vector", conventions=("upside down",))


def test_a_batch_that_is_answered_wrongly_fails_unless_single_is_said() -> None:
    verdict = verdict_on("their_bugs:flipped_along_the_batch", "eigenvalues")
    assert not verdict.holds
    assert verdict.holds_on == "one matrix at a time"
    assert sentence(verdict).endswith("it holds one matrix at a time only (state --single)")
    assert verdict_on("their_bugs:flipped_along_the_batch", "eigenvalues", batched=False).holds


def test_a_mean_over_one_of_two_axes_is_no_mean() -> None:
    verdict = verdict_on("their_bugs:hinge_over_one_axis", "eigengap_loss")
    assert not verdict.holds
    assert verdict.causes[0].cause == "batch axis lost or mixed"


def test_a_class_is_another_object_for_another_grid() -> None:
    assert verdict_on("their_bugs:Scanner", "music_spectrum").holds


def test_what_takes_hermitian_matrices_for_granted_has_to_say_so() -> None:
    verdict = verdict_on("their_bugs:of_hermitian_ones", "singular_values")
    assert exit_code([verdict]) == 1
    assert verdict.holds_on == "hermitian"
    assert verdict_on("their_bugs:of_hermitian_ones", "singular_values", domain="hermitian").holds
    refusing = verdict_on("their_bugs:refusing_others", "eigenvalues")
    assert refusing.holds
    assert "Hermitian matrices only" in refusing.implementation.how


@pytest.mark.parametrize(
    "spec",
    [
        "their_forms:Hinge",
        "their_forms:hinge_module",
        "their_forms:Losses.eigengap_loss",
        "their_forms:partly",
        "their_forms:by_keyword",
        "their_forms:in_another_order",
    ],
)
def test_classes_modules_methods_and_partials_are_functions_too(spec: str) -> None:
    assert verdict_on(spec, "eigengap_loss").holds


def test_a_module_answers_for_what_it_has_itself() -> None:
    verdicts = verify("their_module", examples=QUICK)
    # Not for the hermitize that it imports, nor for a `trace` that is something else.
    assert [one.implementation.name for one in verdicts] == ["eigenvalues"]
    assert exit_code(verdicts) == 1


def test_laws_can_be_left_out_or_expected_to_fail() -> None:
    red = "test_singular_value_order::test_spectra_are_those_of_the_hermitian_part"
    selection = Selection(expected={red: "Hermitian by construction"})
    (verdict,) = verify("their_bugs:of_hermitian_ones", "eigenvalues", examples=QUICK)
    others = {r.law for r in verdict.laws if r.outcome is Outcome.FAILS} - {red}
    # By either name: that of the test, and the one that is printed.
    chosen = Selection(frozenset(map(title, others)), {title(red): "Hermitian by construction"})
    (expected,) = verify(
        "their_bugs:of_hermitian_ones", "eigenvalues", examples=QUICK, selection=chosen
    )
    assert expected.holds
    assert result_of(expected, red).outcome is Outcome.EXPECTED
    (right,) = verify("their_torch:eigenvalues", examples=QUICK, selection=selection)
    assert result_of(right, red).outcome is Outcome.UNEXPECTED
    assert exit_code([right]) == 1
    with pytest.raises(InputError, match="no such law of this function; did you mean"):
        verify("their_torch:eigenvalues", selection=Selection(frozenset({red[:-3]})))


def test_a_plane_wave_holds_as_one() -> None:
    verdict = verdict_on("their_bugs:plane_wave", "steering_vector")
    assert not verdict.holds
    assert verdict.holds_on == "plane"
    assert verdict_on("their_bugs:plane_wave", "steering_vector", domain="plane").holds


@pytest.mark.parametrize("spec", ["their_numpy:eigengap_loss", "their_forms:a_plain_number"])
def test_without_a_gradient_a_law_of_gradients_does_not_apply(spec: str) -> None:
    live = result_of(verdict_on(spec, "eigengap_loss"), "a_descent_step_opens_the_gap")
    assert live.outcome is Outcome.DOES_NOT_APPLY
    assert live.reason == "needs a gradient, and it has none"


def test_a_gradient_that_torch_refuses_openly_is_none_but_for_a_loss() -> None:
    slope = "the_slope_is_the_whole_slope"
    basis = verdict_on("their_forms:rest_of_a_complete_qr", "noise_subspace")
    assert basis.holds
    assert result_of(basis, slope).reason == "needs a gradient, and it has none"
    loss = verdict_on("their_forms:loss_by_a_complete_qr", "eigengap_loss")
    assert "not differentiable" in result_of(loss, "a_descent_step_opens_the_gap").reason


def test_what_a_plain_function_has_not_is_no_failure() -> None:
    reasons = {
        r.reason
        for name in ("eigengap", "gradient_norm", "epoch_mean", "eigenvalues")
        for r in verdict_on(f"their_numpy:{name}").laws
        if r.outcome is Outcome.DOES_NOT_APPLY
    }
    assert reasons >= {
        "needs a LowRankCovariance argument",
        "needs a gradient, and it has none",
        "needs the number of gradients left out",
        "needs the number of optimiser steps",
        "needs a batch, also an empty one",
    }


def test_a_batch_that_is_claimed_has_to_be_right() -> None:
    assert not verdict_on("their_numpy:eigenvalues", batched=True).holds


def test_the_verdict_as_json() -> None:
    good = verify("their_numpy:epoch_mean", examples=QUICK)
    bad = verify("their_bugs:in_the_step_block", "epoch_mean", examples=QUICK)
    report = json.loads(json.dumps(report_json("x", [*good, *bad])))
    assert list(report) == ["version", "target", "holds", "functions"]
    assert [report["holds"], *(f["holds"] for f in report["functions"])] == [False, True, False]
    function = report["functions"][1]
    assert list(function) == [
        "name",
        "label",
        "called",
        "domain",
        "verdict",
        "holds",
        "holds_on",
        "conventions",
        "adapter",
        "laws",
        "causes",
    ]
    assert function["causes"][0]["cause"] == "summed in the wrong block"
    signs = {"pattern", "numbers", "cases", "fit"}
    assert set(function["causes"][0]) == {"cause", "bug", "story", *signs}
    assert set(function["laws"][0]) == {
        "law",
        "outcome",
        "reason",
        "counterexample",
        "examples",
        "seconds",
        "holds_on",
    }
    assert {law["outcome"] for law in function["laws"]} >= {"fails", "does not apply"}
