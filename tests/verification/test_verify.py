"""The verdict on somebody's functions: right ones hold, wrong ones fail and are told why."""

import json
from dataclasses import replace

import pytest
import torch

from ris_pipeline._errors import InputError
from ris_pipeline.verification.adapters import SIGNATURES
from ris_pipeline.verification.implementation import Options, load
from ris_pipeline.verification.laws import LawResult, Outcome, load_laws, thorough
from ris_pipeline.verification.verify import Verdict, judge, report_json, sentence, verify

QUICK = 12


def verdict_on(spec: str, name: str | None = None, **said) -> Verdict:
    (verdict,) = verify(spec, name, Options(**said), examples=QUICK)
    return verdict


def result_of(verdict: Verdict, law: str) -> LawResult:
    return next(result for result in verdict.laws if result.law.endswith(law))


@pytest.mark.parametrize("name", SIGNATURES)
@pytest.mark.parametrize("module", ["their_numpy", "their_torch"])
def test_a_right_function_holds(module: str, name: str) -> None:
    verdict = verdict_on(f"{module}:{name}")
    red = [(r.law, r.reason) for r in verdict.laws if r.outcome is Outcome.FAILS]
    assert not red
    assert any(r.outcome is Outcome.HOLDS and r.examples >= QUICK for r in verdict.laws)
    assert not verdict.causes
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
        ("conjugated", "steering_vector", "conjugated"),
        ("conjugated_in_another_order", "steering_vector", "conjugated"),
        ("half_an_element_off", "steering_vector", "half an element off centre"),
        ("rows_for_columns", "music_spectrum", "rows for columns"),
        ("poisoned", "gradient_norm", "NaN poisons the sum"),
        ("in_the_step_block", "epoch_mean", "summed in the wrong block"),
    ],
)
def test_a_wrong_function_fails_and_its_cause_is_named(bug: str, name: str, cause: str) -> None:
    verdict = verdict_on(f"their_bugs:{bug}", name)
    assert not verdict.holds
    assert verdict.causes[0].cause == cause
    assert all(r.reason and r.counterexample for r in verdict.laws if r.outcome is Outcome.FAILS)


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


def test_a_plane_wave_holds_as_one() -> None:
    verdict = verdict_on("their_bugs:plane_wave", "steering_vector")
    assert not verdict.holds
    assert verdict.holds_on == "plane"
    assert verdict_on("their_bugs:plane_wave", "steering_vector", domain="plane").holds


def test_a_numpy_function_has_no_gradient_and_that_is_no_failure() -> None:
    verdict = verdict_on("their_numpy:eigengap_loss")
    live = result_of(verdict, "a_descent_step_opens_the_gap")
    assert (live.outcome, live.reason) == (
        Outcome.DOES_NOT_APPLY,
        "needs a gradient, which numpy has not",
    )


def test_what_a_plain_function_has_not_is_no_failure() -> None:
    reasons = {
        r.reason
        for name in ("eigengap", "gradient_norm", "epoch_mean", "eigenvalues")
        for r in verdict_on(f"their_numpy:{name}").laws
        if r.outcome is Outcome.DOES_NOT_APPLY
    }
    assert reasons >= {
        "needs a LowRankCovariance argument",
        "needs one k or margin for each matrix",
        "needs the number of gradients left out",
        "needs the number of optimiser steps",
        "needs a batch, also an empty one",
    }


def test_a_batch_that_is_claimed_has_to_be_right() -> None:
    assert not verdict_on("their_numpy:eigenvalues", batched=True).holds


def test_a_domain_that_no_law_is_about() -> None:
    (one,) = load("their_numpy:steering_vector", options=Options(domain="plane"))
    nothing = replace(one, never=frozenset({torch.float32, torch.float64}))
    with pytest.raises(InputError, match="no law applies to steering_vector on domain 'plane'"):
        judge(nothing, load_laws(thorough(QUICK)))


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
        "holds",
        "holds_on",
        "laws",
        "causes",
    ]
    assert function["causes"][0]["cause"] == "summed in the wrong block"
    assert set(function["causes"][0]) == {"cause", "bug", "story", "pattern", "numbers", "fit"}
    assert set(function["laws"][0]) == {
        "law",
        "outcome",
        "reason",
        "counterexample",
        "examples",
        "seconds",
        "holds_on",
    }
    assert {law["outcome"] for law in function["laws"]} == {"fails", "does not apply"}
