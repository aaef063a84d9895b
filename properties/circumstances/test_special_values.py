"""Law: what is no ordinary complex matrix is refused, or answered rightly; never in between.

A NaN that goes in comes out, or stops the function. Real and whole numbers are not cut to size,
and an order is a whole number of whatever type.
"""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline._errors import CALL_ERRORS
from ris_pipeline.verification import oracles
from ris_pipeline.verification.bounds import eigenvalue_bound, entry_bound, gap_bound
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.families import MEANS, NAMES, VALUES
from ris_pipeline.verification.problems import Size, comparable, problem
from ris_pipeline.verification.target import TARGET, Claim, takes, under_test

OF_MATRICES = tuple(name for name in NAMES if name != "projector")
WHOLE = ("hermitize", "eigenvalues", "singular_values", "eigengap", "eigengap_loss")
KINDS = (np.uint8, np.int8, np.int32, np.int64)


@given(st.sampled_from((Size(4, k=2), Size(4, (3,), k=2))), st.sampled_from((np.nan, np.inf)))
def test_what_is_not_finite_shows(size: Size, value: float) -> None:
    # An infinite eigenvalue has its eigenvector; its size is what shows.
    for name in under_test(OF_MATRICES if np.isnan(value) else VALUES):
        given = problem(size)
        matrix = given.drawn.matrix.clone()
        matrix[..., 1, 1] = value
        try:
            answer = getattr(TARGET, name)(matrix, *given.more(name))
        except CALL_ERRORS:
            continue
        # The spectrum of MUSIC is infinite at a peak, and its reciprocal is not.
        got = answer.detach().resolve_conj().to(torch.complex128).numpy()
        shown = ~np.isfinite(got)
        # Where it entered, not in every entry of a matrix that it went into.
        seen = shown.any() if name in MEANS or got.ndim == 0 else _every(shown, size)
        assert_true(f"{name} of a matrix with {value} says so", seen, got)


def _every(shown: np.ndarray, size: Size) -> bool:
    """Whether each matrix of the batch shows it somewhere."""
    axes = tuple(range(len(size.batch), shown.ndim))
    return bool(shown.any(axis=axes).all())


@given(st.sampled_from((torch.float64, torch.int64)))
def test_real_and_whole_numbers_are_not_cut_to_size(dtype: torch.dtype) -> None:
    skew = 1 if takes(Claim.NOT_HERMITIAN) else 0
    whole = np.array([[7, 2 + skew, 0], [2, 4, 1], [0, 1 + skew, 1]])
    exact = 0.5 * (whole + whole.T) + 0j
    values = np.linalg.eigvalsh(exact)[::-1]
    # Torch makes single precision of whole numbers.
    digits = torch.complex64 if dtype is torch.int64 else torch.complex128
    for name in under_test(WHOLE):
        more = {"eigengap": (1,), "eigengap_loss": (1, 50.0)}.get(name, ())
        try:
            answer = getattr(TARGET, name)(torch.from_numpy(whole).to(dtype), *more)
        except CALL_ERRORS:
            continue
        expected = {
            "hermitize": exact,
            "eigengap": values[0] - values[1],
            "eigengap_loss": 50.0 - (values[0] - values[1]),
        }.get(name, values)
        bound = {
            "hermitize": entry_bound(8.0, 4, digits),
            "eigengap": gap_bound(values, digits),
            "eigengap_loss": gap_bound(values, digits) + entry_bound(50.0, 4, digits),
        }.get(name, eigenvalue_bound(values, digits))
        assert_within(name, comparable(name, answer), expected, bound)


WHOLE_AVERAGES = ("sample_covariance", "ledoit_wolf", "add_loading", "forward_backward")


@given(st.sampled_from((torch.float64, torch.int64)))
def test_averages_of_whole_numbers_are_not_whole(dtype: torch.dtype) -> None:
    if dtype is torch.int64 and not takes(Claim.WHOLE):
        return
    rows = np.array([[3, -1, 2, 1], [0, 2, 1, 4], [5, 1, -2, 0]])
    matrix = rows[:, :3] + rows[:, :3].T
    turned = matrix[::-1, ::-1]
    digits = torch.complex64 if dtype is torch.int64 else torch.complex128
    asked = {
        "sample_covariance": ((rows,), rows @ rows.T / 4),
        "ledoit_wolf": ((rows,), oracles.shrunk_covariance(rows + 0j)),
        "add_loading": ((matrix, 0.25), matrix + 0.25 * np.eye(3)),
        "forward_backward": ((matrix,), (matrix + turned) / 2),
    }
    for name in under_test(WHOLE_AVERAGES):
        (given, *more), exact = asked[name]
        try:
            answer = getattr(TARGET, name)(torch.from_numpy(given.copy()).to(dtype), *more)
        except CALL_ERRORS:
            continue
        bound = entry_bound(8.0 * float(np.abs(exact).max()), 64, digits)
        assert_within(name, comparable(name, answer), exact, bound)


@given(st.sampled_from(KINDS), st.sampled_from((Size(5, k=2), Size(5, (2,), k=3))))
def test_an_order_is_a_whole_number_of_any_type(kind: type, size: Size) -> None:
    for name in under_test(("eigengap", "eigengap_loss", "signal_subspace", "noise_subspace")):
        given = problem(size)
        more = (kind(given.k), *given.more(name)[1:])
        try:
            answer = getattr(TARGET, name)(given.argument(name), *more)
        except CALL_ERRORS:
            continue
        # `[:, -k:]` of an unsigned k is another shape, which nobody takes for an answer.
        columns = given.k if name == "signal_subspace" else given.drawn.n - given.k
        if name.endswith("_subspace") and answer.shape[-1] != columns:
            continue
        given.check(name, comparable(name, answer))
