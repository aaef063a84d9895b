"""Law: the steering vector is that of its formula wherever the elements and the sources are.

Off the plane and off the centre, to the side, a few extents away and ten thousand; many directions
at once.
"""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import phase_bound
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.oracles import steering_at
from ris_pipeline.verification.strategies import Sources, extent_of, sources_anywhere
from ris_pipeline.verification.target import TARGET, Claim, taken


def _expected(drawn: Sources) -> np.ndarray:
    panel = drawn.panel
    where = torch.stack((drawn.azimuth, drawn.elevation, drawn.distance), dim=-1).double().tolist()
    positions, wavelength = panel.positions.double().numpy(), float(panel.wavelength)
    return np.array([steering_at(positions, tuple(one), wavelength) for one in where])


def _check(drawn: Sources) -> None:
    got = TARGET.steering_vector(drawn.panel, drawn.azimuth, drawn.elevation, drawn.distance)
    bound = phase_bound(extent_of(drawn.panel), float(drawn.panel.wavelength), drawn.azimuth.dtype)
    assert_within("a_n", got.to(torch.complex128).numpy(), _expected(drawn), bound)


@given(sources_anywhere())
def test_elements_and_sources_anywhere(drawn: Sources) -> None:
    _check(drawn)


@given(sources_anywhere(regular=True))
def test_regular_panels_and_sources_anywhere(drawn: Sources) -> None:
    _check(drawn)


@given(sources_anywhere(regular=True), st.sampled_from((9, 70)))
def test_many_directions_at_once(drawn: Sources, times: int) -> None:
    many = Sources(
        drawn.panel,
        drawn.azimuth.repeat(times),
        drawn.elevation.repeat(times),
        drawn.distance.repeat(times),
    )
    _check(many)


@given(sources_anywhere(regular=True))
def test_at_infinity_there_is_a_plane_wave_or_no_answer(drawn: Sources) -> None:
    taken((Claim.INFINITE,))
    panel, wavelength = drawn.panel, float(drawn.panel.wavelength)
    azimuth, elevation = drawn.azimuth[0], drawn.elevation[0]
    got = TARGET.steering_vector(panel, azimuth, elevation, torch.full_like(azimuth, math.inf))
    # A plane wave comes from any distance.
    where = float(azimuth), float(elevation), 1.0
    expected = steering_at(panel.positions.double().numpy(), where, wavelength, "plane")
    bound = phase_bound(extent_of(panel), wavelength, azimuth.dtype)
    assert_within("a_n", got.to(torch.complex128).numpy(), expected, bound)


@given(sources_anywhere(regular=True))
def test_the_arguments_are_left_as_they_were(drawn: Sources) -> None:
    given = (drawn.panel.positions, drawn.azimuth, drawn.elevation, drawn.distance)
    before = [tensor.clone() for tensor in given]
    TARGET.steering_vector(drawn.panel, *given[1:])
    same = [torch.equal(tensor, old) for tensor, old in zip(given, before, strict=True)]
    assert_true("steering_vector leaves its arguments alone", same, same)
