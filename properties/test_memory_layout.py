"""Law: an answer depends on the numbers, not on their place in memory or in a batch."""

from typing import Any

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import (
    condition_number,
    conditioned_bound,
    eigenvalue_bound,
    entry_bound,
    gap_bound,
    largest,
    noise_floor_bound,
    product_bound,
    subspace_bound,
)
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.strategies import (
    Domain,
    Layout,
    SpectralMatrix,
    hermitian_matrices,
    lay_out,
    unit_vectors,
)
from ris_pipeline.verification.target import TARGET, under_test

VALUES = ("hermitize", "eigenvalues", "singular_values", "eigengap", "eigengap_loss")
AVERAGES = ("forward_backward", "spatial_smoothing")
BASES = ("signal_subspace", "noise_subspace", "projector")
SPECTRA = ("music_spectrum", "mvdr_spectrum", "bartlett_spectrum", "soft_music_spectrum")
NAMES = (*VALUES, *AVERAGES, *BASES, *SPECTRA)


def matrices(**limits: Any) -> st.SearchStrategy[SpectralMatrix]:
    """Matrices whose answer of order 1 is well determined."""
    return hermitian_matrices(domains=(Domain.POSITIVE,), **limits)


def _vectors(drawn: SpectralMatrix) -> np.ndarray:
    return np.linalg.eigh(drawn.exact)[1][..., ::-1]


def _argument(name: str, drawn: SpectralMatrix) -> torch.Tensor:
    """What the function takes: the matrix, or a basis of orthonormal columns."""
    if name != "projector":
        return drawn.matrix
    basis = np.ascontiguousarray(_vectors(drawn)[..., :2])
    return torch.from_numpy(basis).to(drawn.matrix.dtype)


def _steering(drawn: SpectralMatrix) -> torch.Tensor:
    return torch.from_numpy(unit_vectors(drawn.n, 0)).to(drawn.matrix.dtype)


def _margin(drawn: SpectralMatrix) -> float:
    """Above every gap."""
    return 4 * largest(drawn.values)


def _windows(drawn: SpectralMatrix) -> np.ndarray:
    """All but one element, without the last and without the first."""
    return np.array([range(drawn.n - 1), range(1, drawn.n)])


def _more(name: str, drawn: SpectralMatrix, steering: torch.Tensor) -> tuple[Any, ...]:
    """What the function takes beside the matrix."""
    return {
        "eigengap": (1,),
        "eigengap_loss": (1, _margin(drawn)),
        "signal_subspace": (1,),
        "noise_subspace": (1,),
        "music_spectrum": (steering, 1),
        "mvdr_spectrum": (steering,),
        "bartlett_spectrum": (steering,),
        "soft_music_spectrum": (steering, largest(drawn.values) / 2, 1.0),
        "spatial_smoothing": (torch.from_numpy(_windows(drawn)),),
    }.get(name, ())


def _answer(name: str, argument: torch.Tensor, more: tuple[Any, ...]) -> np.ndarray:
    """The answer in numbers that do not depend on the choice of a basis."""
    wide = getattr(TARGET, name)(argument, *more).resolve_conj().cdouble().numpy()
    if name.endswith("_subspace"):
        return wide @ wide.conj().swapaxes(-1, -2)
    return 1 / wide if name == "music_spectrum" else wide


def _truth(name: str, drawn: SpectralMatrix) -> tuple[np.ndarray, Any]:
    """What it should be, and how far a right answer may be off."""
    dtype, values, n = drawn.matrix.dtype, drawn.values, drawn.n
    vectors, a, size = _vectors(drawn), unit_vectors(n, 0), largest(drawn.values)
    first, rest = vectors[..., :1], vectors[..., 1:]
    turned = subspace_bound(values, 1, dtype)
    match name:
        case "hermitize":
            return drawn.exact, entry_bound(size, 2, dtype)
        case "forward_backward":
            mirrored = drawn.exact.conj()[..., ::-1, ::-1]
            return (drawn.exact + mirrored) / 2, entry_bound(size, 4, dtype)
        case "spatial_smoothing":
            blocks = [drawn.exact[..., w[:, None], w[None, :]] for w in _windows(drawn)]
            return np.mean(blocks, axis=0), entry_bound(size, 4, dtype)
        case "soft_music_spectrum":
            weights = (size / 2) / np.maximum(values, size / 2)
            parts = np.abs(vectors.conj().swapaxes(-1, -2) @ a) ** 2
            # The weight is Lipschitz with 1 / s, and sqrt(n) for the Frobenius norm.
            moved = 2 * n**0.5 * eigenvalue_bound(values, dtype) / size
            rounding = product_bound(1.0, 2 * n, dtype)
            return 1 / (weights[..., None] * parts).sum(axis=-2), 4 * (moved[..., None] + rounding)
        case "eigenvalues" | "singular_values":
            return values, eigenvalue_bound(values, dtype)[..., None]
        case "eigengap":
            return values[..., 0] - values[..., 1], gap_bound(values, dtype)
        case "eigengap_loss":
            margin = _margin(drawn)
            # The margin is rounded, and the difference.
            bound = gap_bound(values, dtype).mean() + entry_bound(margin, 2, dtype)
            return np.asarray(margin - (values[..., 0] - values[..., 1]).mean()), bound
        case "signal_subspace" | "noise_subspace":
            basis = first if name == "signal_subspace" else rest
            bound = turned + product_bound(1.0, n, dtype)
            return basis @ basis.conj().swapaxes(-1, -2), bound[..., None, None]
        case "projector":
            basis = vectors[..., :2]
            return basis @ basis.conj().swapaxes(-1, -2), product_bound(1.0, 2, dtype)
        case "music_spectrum":
            distance = (np.abs(rest.conj().swapaxes(-1, -2) @ a) ** 2).sum(axis=-2)
            bound = 2 * turned + noise_floor_bound(n, turned, dtype)
            return distance, bound[..., None]
        case "mvdr_spectrum":
            form = (a.conj() * np.linalg.solve(drawn.exact, a)).sum(axis=-2).real
            return 1 / form, conditioned_bound(size, 2 * n, condition_number(values), dtype)
        case _:
            form = (a.conj() * (drawn.exact @ a)).sum(axis=-2).real
            return form, product_bound(size, 2 * n, dtype)


@given(matrices(), st.sampled_from(tuple(Layout)), st.sampled_from(tuple(Layout)))
def test_the_layout_does_not_matter(drawn: SpectralMatrix, layout: Layout, other: Layout) -> None:
    for name in under_test(NAMES):
        more = _more(name, drawn, lay_out(_steering(drawn), other))
        got = _answer(name, lay_out(_argument(name, drawn), layout), more)
        assert_within(name, got, *_truth(name, drawn))


@given(matrices(batches=((1,),)))
def test_an_empty_batch_gives_an_empty_answer(drawn: SpectralMatrix) -> None:
    # The mean over no matrix is nothing in particular.
    for name in under_test(tuple(name for name in NAMES if name != "eigengap_loss")):
        got = _answer(name, _argument(name, drawn)[:0], _more(name, drawn, _steering(drawn)))
        assert_within(f"shape of {name}", got.shape, _truth(name, drawn)[0][:0].shape, 0)


@given(matrices(batches=((),)))
def test_a_batch_of_one_is_the_matrix_alone(drawn: SpectralMatrix) -> None:
    for name in under_test(NAMES):
        expected, bound = _truth(name, drawn)
        got = _answer(name, _argument(name, drawn)[None], _more(name, drawn, _steering(drawn)))
        assert_within(name, got, expected if name == "eigengap_loss" else expected[None], bound)


@given(matrices(), st.sampled_from(tuple(Layout)))
def test_the_arguments_are_left_as_they_were(drawn: SpectralMatrix, layout: Layout) -> None:
    for name in under_test(NAMES):
        argument, steering = _argument(name, drawn), _steering(drawn)
        # A skew part, since a hermitization in place would leave a Hermitian matrix alone.
        argument = lay_out(argument if name == "projector" else argument + 1e-3j, layout)
        before = argument.clone(), steering.clone()
        _answer(name, argument, _more(name, drawn, steering))
        same = torch.equal(argument, before[0]) and torch.equal(steering, before[1])
        assert_true(f"{name} leaves its arguments alone", same, same)
