"""Law: an answer depends on the numbers, not on their place in memory or in a batch."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import eigenvalue_bound
from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.strategies import (
    DTYPES,
    Layout,
    SpectralMatrix,
    hermitian_matrices,
    lay_out,
)
from ris_pipeline.verification.target import TARGET, under_test


@st.composite
def names(draw: st.DrawFn) -> str:
    every = ("eigenvalues", "singular_values", "hermitize", "eigengap")
    return draw(st.sampled_from(under_test(every)))


def _answer(name: str, matrix: torch.Tensor) -> np.ndarray:
    arguments = (1,) if name == "eigengap" else ()
    return getattr(TARGET, name)(matrix, *arguments).resolve_conj().cdouble().numpy()


@given(names(), hermitian_matrices(), st.sampled_from(tuple(Layout)))
def test_the_layout_does_not_matter(name: str, drawn: SpectralMatrix, layout: Layout) -> None:
    expected = _answer(name, drawn.matrix)
    bound = eigenvalue_bound(drawn.values, drawn.matrix.dtype).max(initial=0.0)
    assert_within(
        f"{name}, {layout}", _answer(name, lay_out(drawn.matrix, layout)), expected, bound
    )


@given(names(), st.sampled_from(DTYPES), st.integers(2, 6))
def test_an_empty_batch_gives_an_empty_answer(name: str, dtype: torch.dtype, n: int) -> None:
    shape = {"hermitize": (0, n, n), "eigengap": (0,)}.get(name, (0, n))
    assert_within("shape", _answer(name, torch.zeros(0, n, n, dtype=dtype)).shape, shape, 0)


@given(names(), hermitian_matrices(batches=((), (3,))))
def test_a_batch_of_one_is_the_matrix_alone(name: str, drawn: SpectralMatrix) -> None:
    bound = eigenvalue_bound(drawn.values, drawn.matrix.dtype).max(initial=0.0)
    got, expected = _answer(name, drawn.matrix[None])[0], _answer(name, drawn.matrix)
    assert_within(name, got, expected, bound)
