"""Law: matrices that are nearly real, have no positive eigenvalue or one far above the others, are
matrices like others."""

from dataclasses import replace
from math import pi

import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.checks import assert_true
from ris_pipeline.verification.families import NAMES, ULA
from ris_pipeline.verification.problems import Size, beside_a_source, problem, shifted
from ris_pipeline.verification.target import TARGET, under_test

NEARLY_REAL = tuple(
    Size(4, batch, k=2, imaginary=part) for batch in ((), (2,)) for part in (0.0, 1e-3, 1e-6)
)
UNMOVED = (
    "eigenvalues",
    "eigengap",
    "eigengap_loss",
    "signal_subspace",
    "noise_subspace",
    "music_spectrum",
)
"""What knows eigenvectors, order and differences of any Hermitian matrix."""


@given(st.sampled_from(NEARLY_REAL))
def test_a_small_imaginary_part_counts(size: Size) -> None:
    for name in under_test(NAMES):
        given = problem(size)
        given.check(name, given.answer(name))


@given(st.sampled_from((Size(4), Size(4, (2,), k=2))), st.sampled_from((3.0, 8.0, 100.0)))
def test_eigenvalues_may_all_be_negative(size: Size, by: float) -> None:
    for name in under_test(UNMOVED):
        given = shifted(problem(size), by)
        given.check(name, given.answer(name))


@given(st.sampled_from((Size(4, k=2, vectors=5), Size(3, (2,), vectors=2))))
def test_directions_reach_both_ends_of_a_linear_array(size: Size) -> None:
    for name in under_test(tuple(ULA)):
        for turn in (pi / 2, -pi / 2):
            given = problem(size)
            given = replace(given, turn=turn, reach=pi / 2)
            given.check(name, given.answer(name))


@given(st.sampled_from((1e4, 1e6)), st.sampled_from((1e-4, 1e-3)))
def test_a_linear_array_may_see_a_strong_source(power: float, offset: float) -> None:
    for name in under_test(tuple(ULA)):
        given = beside_a_source(problem(Size(5, vectors=4)), power, offset)
        given.check(name, given.answer(name))


@given(st.sampled_from((Size(3), Size(3, (2,)))))
def test_one_window_of_all_elements_is_a_matrix_of_its_own(size: Size) -> None:
    for name in under_test(("spatial_smoothing",)):
        matrix = problem(size).argument(name).clone()
        answer = getattr(TARGET, name)(matrix, torch.arange(size.n)[None])
        before = answer.clone()
        matrix.zero_()
        same = torch.equal(answer, before)
        assert_true(f"{name} stays when its argument is overwritten", same, same)
