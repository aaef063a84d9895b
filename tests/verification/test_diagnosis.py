"""The diagnosis: what it names of mistakes made on purpose, and that nothing in it is dead."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from ris_pipeline.scene.array import Panel, steering_vector
from ris_pipeline.spectral import (
    eigengap,
    eigengap_loss,
    eigenvalues,
    hermitize,
    music_spectrum,
    mvdr_spectrum,
    psd_projection,
    sample_covariance,
)
from ris_pipeline.verification import laws
from ris_pipeline.verification.adapters import PROBE_WAVELENGTH
from ris_pipeline.verification.bookkeeping_mistakes import as_norm
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.diagnosis import LAW_SYMPTOMS, diagnose
from ris_pipeline.verification.fixed_cases import answer, fixed_cases, same_numbers
from ris_pipeline.verification.implementation import Implementation
from ris_pipeline.verification.laws import LawResult, Outcome, load_laws, run_law, thorough
from ris_pipeline.verification.mistakes import mistakes
from ris_pipeline.verification.stored_matrix import stored_matrix
from ris_pipeline.verification.target import TARGET, places

pytestmark = pytest.mark.no_shapes

PLACES_WITH_CASES = tuple(place for place in places() if fixed_cases(place))


def named(place: str, function: Callable[..., object], *red: str) -> str | None:
    one = Implementation(place, place, function, "")
    found = diagnose(one, [LawResult(law, Outcome.FAILS) for law in red or ("a law",)])
    return found[0].cause if found else None


def beyond_eight(matrix: Tensor) -> Tensor:
    """The last of a batch are left as they come."""
    answers = eigenvalues(matrix)
    return answers if answers.ndim < 2 else torch.cat((answers[:8], 0 * answers[8:]))


def by_a_few_steps(matrix: Tensor) -> Tensor:
    """Thirty steps of QR, without shifts."""
    for _ in range(30):
        q, r = torch.linalg.qr(hermitize(matrix))
        matrix = r @ q
    return matrix.diagonal(dim1=-2, dim2=-1).real.sort(-1, descending=True).values


def leaky(matrix: Tensor, k: int, margin: float) -> Tensor:
    return torch.nn.functional.leaky_relu(margin - eigengap(matrix, k), 0.01).mean()


def normalized_in_place(matrix: Tensor) -> Tensor:
    matrix /= matrix.abs().amax()
    return eigenvalues(matrix)


def half_live(matrix: Tensor, k: int, margin: float) -> Tensor:
    values = eigenvalues(matrix)
    return (margin - values[..., k - 1].detach() + values[..., k]).relu().mean()


def with_a_gradient_that_is_summed(matrix: Tensor, k: int, margin: float) -> Tensor:
    """The value of the mean, the gradient of the sum."""
    hinges = (margin - eigengap(matrix, k)).relu()
    return hinges.sum() - (hinges.sum() - hinges.mean()).detach()


def of_the_first_order(matrix: Tensor, k: int, known: dict[int, int] = {}) -> Tensor:  # noqa: B006
    """The k of the first call with matrices of that order."""
    return eigengap(matrix, known.setdefault(matrix.shape[-1], k))


def up_to_the_last(matrix: Tensor, k: int) -> Tensor:
    values = eigenvalues(matrix)
    return values[..., k - 1] - (values[..., k] if k < values.shape[-1] - 1 else 0)


def without_small_ones(matrix: Tensor) -> Tensor:
    """Of the matrix as it is, Hermitian or not."""
    values = torch.linalg.svdvals(matrix)
    return values * (values > 1e-8 * values[..., :1])


def dropped_at_times(matrix: Tensor, k: int, margin: float) -> Tensor:
    return torch.nn.functional.dropout(eigengap_loss(matrix, k, margin), 0.3)


def from_another_point(panel: Panel, *where: Any) -> Tensor:
    a = steering_vector(panel, *where)
    return a * (a[..., :1] / a[..., :1].abs()).conj()


def fading(panel: Panel, *where: Any) -> Tensor:
    return steering_vector(panel, *where) / (1 + panel.positions.norm(dim=-1))


class Remembering:
    """The answers of a shape are kept."""

    def __init__(self) -> None:
        self.known: dict[tuple[int, ...], Tensor] = {}

    def __call__(self, matrix: Tensor) -> Tensor:
        return self.known.setdefault(tuple(matrix.shape), eigenvalues(matrix)).clone()


def off_centre_in_single(panel: Panel, *where: Any) -> Tensor:
    positions = (panel.positions - panel.positions.amin(0)).float().double()
    return steering_vector(replace(panel, positions=positions), *where)


def with_a_floor(matrix: Tensor, steering: Tensor, k: int) -> Tensor:
    return music_spectrum(matrix, steering, k).clamp(max=2.0)


def of_whole_blocks(snapshots: Tensor) -> Tensor:
    count = snapshots.shape[-1]
    return sample_covariance(snapshots[..., : count - count % 32] if count > 32 else snapshots)


def of_the_smaller_rank(factor: Tensor, k: int, margin: float) -> Tensor:
    values = eigenvalues(factor.mH @ factor)
    last = values.shape[-1] - 1
    return (margin - values[..., min(k - 1, last)] + values[..., min(k, last)]).relu().mean()


def at_the_first_wavelength(panel: Panel, *where: Any) -> Tensor:
    return steering_vector(replace(panel, wavelength=PROBE_WAVELENGTH), *where)


def in_plain_numbers(matrix: Tensor, k: int, margin: float) -> Tensor:
    """Without a gradient, and in the default precision."""
    gaps = eigengap(matrix, k).detach().reshape(-1)
    return torch.tensor([max(0.0, margin - gap.item()) for gap in gaps], dtype=torch.float32).mean()


def above_a_threshold(matrix: Tensor, k: int) -> Tensor:
    """As many columns as there are large eigenvalues."""
    values, vectors = torch.linalg.eigh(hermitize(matrix))
    return vectors[..., values > values[..., -1] / 20]


def of_a_hermitian_rotation(matrix: Tensor, k: int) -> Tensor:
    signal = torch.linalg.eigh(hermitize(matrix))[1][..., -k:]
    turns = torch.linalg.pinv(signal[..., :-1, :]) @ signal[..., 1:, :]
    phases = torch.angle(torch.linalg.eigvalsh(turns).to(turns.dtype))
    return torch.asin((phases / torch.pi).clamp(-1, 1)).sort(-1).values


def of_every_pair_of_windows(matrix: Tensor, windows: Tensor) -> Tensor:
    """The transpose of it, at that."""
    pairs = matrix[..., windows[:, None, :, None], windows[None, :, None, :]]
    return pairs.mean((-4, -3)).mT


def with_something_under_the_root(gradients: list[Tensor]) -> float:
    finite = [one.abs().double() for one in gradients if one.isfinite().all()]
    return math.sqrt(sum(float(one.square().sum()) for one in finite) + 1e-6)


@pytest.mark.parametrize(
    ("place", "function", "cause"),
    [
        ("eigengap_loss", in_plain_numbers, Cause.DETACHED),
        ("whitening", lambda r: 0 * r, Cause.ZERO_TERM),
        ("signal_subspace", above_a_threshold, Cause.GUARD),
        ("esprit", of_a_hermitian_rotation, Cause.REAL_PART),
        ("spatial_smoothing", of_every_pair_of_windows, Cause.BROADCAST),
        ("gradient_norm", as_norm(with_something_under_the_root), Cause.GUARD),
        ("music_spectrum", with_a_floor, Cause.GUARD),
        ("sample_covariance", of_whole_blocks, Cause.CHUNK),
        ("factor_eigengap_loss", of_the_smaller_rank, Cause.OFF_BY_ONE),
        ("steering_vector", at_the_first_wavelength, Cause.REMEMBERS),
        ("eigengap_loss", with_a_gradient_that_is_summed, Cause.SUM_FOR_MEAN),
        ("eigengap_loss", dropped_at_times, Cause.RANDOM),
        ("eigengap", of_the_first_order, Cause.REMEMBERS),
        ("eigengap", up_to_the_last, Cause.FENCEPOST),
        ("singular_values", without_small_ones, Cause.GUARD),
        ("steering_vector", from_another_point, Cause.OFF_CENTRE),
        ("steering_vector", fading, Cause.MODULUS),
        ("projector", lambda u: (u @ u.mT).resolve_conj(), Cause.CONJUGATED),
        (
            "psd_projection",
            lambda r: psd_projection(r + 1e-7 * r.abs().amax() * torch.eye(r.shape[-1])),
            Cause.LOADING_ADDED,
        ),
        ("eigenvalues", lambda r: eigenvalues(r).round(decimals=3), Cause.ROUNDED),
        ("mvdr_spectrum", lambda r, a: 20 * mvdr_spectrum(r, a).log10(), Cause.DECIBELS),
        ("eigenvalues", by_a_few_steps, Cause.UNCONVERGED),
        ("eigenvalues", normalized_in_place, Cause.OVERWRITTEN),
        ("eigenvalues", Remembering(), Cause.REMEMBERS),
        ("eigengap_loss", leaky, Cause.NEVER_RESTS),
        ("eigengap_loss", half_live, Cause.DETACHED),
        ("steering_vector", off_centre_in_single, Cause.OFF_CENTRE),
        ("eigenvalues", lambda r: 3 * eigenvalues(r), Cause.SCALE),
        ("eigenvalues", lambda r: eigenvalues(r).flip(-1), Cause.ASCENDING),
        ("eigenvalues", lambda r: eigenvalues(r.detach()), Cause.DETACHED),
        ("eigenvalues", lambda r: eigenvalues(r.to(torch.complex64)).double(), Cause.SINGLE),
        ("eigenvalues", beyond_eight, Cause.CHUNK),
        ("hermitize", lambda r: hermitize(r).conj().resolve_conj(), Cause.CONJUGATED),
        ("hermitize", lambda r: 2 * hermitize(r), Cause.HALF),
        ("eigengap_loss", lambda r, k, m: eigengap_loss(r, k + 1, m), Cause.OFF_BY_ONE),
        ("eigengap_loss", lambda r, k, m: eigengap_loss(r, k, m) ** 2, Cause.ROOT),
    ],
)
def test_a_mistake_made_on_purpose_is_named(
    place: str, function: Callable[..., object], cause: Cause
) -> None:
    assert named(place, function) == cause


def test_of_two_mistakes_both_are_told() -> None:
    one = Implementation("spatial_smoothing", "", of_every_pair_of_windows, "")
    (found,) = diagnose(one, [LawResult("a law", Outcome.FAILS)])
    assert found.story == (
        "It pairs every window of rows with every window of columns. And: its answer is the "
        "transpose of ours."
    )


def test_what_is_right_and_fails_a_law_has_no_cause_but_that_of_the_law() -> None:
    assert named("eigenvalues", eigenvalues) is None
    law = "test_side_effects::test_no_global_generator_is_seeded"
    assert named("eigenvalues", eigenvalues, law) == Cause.SIDE_EFFECT


def test_the_laws_that_are_symptoms_are_laws() -> None:
    assert LAW_SYMPTOMS.keys() <= set(stored_matrix().laws)


def test_every_mistake_shows_in_a_fixed_case_of_some_function() -> None:
    # Not of each: a subspace does not change with the trace.
    stories: dict[str, bool] = {}
    for place in PLACES_WITH_CASES:
        ours = getattr(TARGET, place)
        right = [(case, answer(case, ours)) for case in fixed_cases(place)]
        for one in mistakes(place, ours):
            if not stories.get(one.story):
                stories[one.story] = any(
                    not same_numbers(answer(case, one.function), truth) for case, truth in right
                )
    assert [story for story, shows in stories.items() if not shows] == []


def test_a_failing_example_is_not_made_smaller_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    law = "test_gap_sign::test_the_gap_is_never_negative"
    monkeypatch.setattr(laws, "SHRINK_S", 0.0)
    test = load_laws(thorough(50), stored_matrix().laws, "eigengap")[law]
    wrong = Implementation("eigengap", "wrong", lambda r, k: -1 - TARGET.eigengap(r, k), "")
    result = run_law(law, test, wrong)
    assert result.outcome is Outcome.FAILS
    assert result.reason
