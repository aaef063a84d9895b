"""Law: `a_n = exp(+j k (r - |p - q_n|)) / sqrt(N)`, centred, horizontal index fastest, metres."""

import math

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification import oracles
from ris_pipeline.verification.bounds import phase_bound, product_bound
from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.strategies import Setting, settings_before_a_panel, wavefronts
from ris_pipeline.verification.target import TARGET

fronts = wavefronts()
shapes = st.sampled_from((lambda n: (n,), lambda n: (1, n), lambda n: (n, 1)))
"""Where the axis of the sources stands."""


def vector(setting: Setting, wavefront: str, *, opposite: bool = False) -> np.ndarray:
    panel = TARGET.ideal_panel(setting.scenario, setting.dtype)
    azimuth, elevation, distance = setting.where()
    sign = -1 if opposite else 1
    a = TARGET.steering_vector(panel, sign * azimuth, sign * elevation, distance, wavefront)
    return a.to(torch.complex128).numpy()


def _formula(setting: Setting, wavefront: str) -> np.ndarray:
    scenario = setting.scenario
    where = (setting.azimuth, setting.elevation, setting.distance / scenario.wavelength)
    return oracles.steering(scenario.panel, scenario.spacing, where, wavefront)


def _rounding(setting: Setting) -> float:
    return phase_bound(setting.extent, setting.scenario.wavelength, setting.dtype)


@given(settings_before_a_panel(), fronts)
def test_the_steering_vector_has_unit_norm(setting: Setting, wavefront: str) -> None:
    a = vector(setting, wavefront)
    bound = product_bound(1.0, a.size, setting.dtype)
    assert_within("|a|", np.linalg.norm(a), 1.0, bound)
    modulus = np.full(a.size, a.size**-0.5)
    assert_within("|a_n|", np.abs(a), modulus, bound)


@given(settings_before_a_panel(), fronts)
def test_the_steering_vector_is_that_of_the_formula(setting: Setting, wavefront: str) -> None:
    expected = _formula(setting, wavefront)
    assert_within("a_n", vector(setting, wavefront), expected, _rounding(setting))


@given(settings_before_a_panel(), fronts)
def test_a_centred_panel_turns_end_for_end_with_the_source(setting: Setting, wavefront) -> None:
    # q_n = -q_{N-1-n}, so the opposite direction sees the panel backwards.
    turned = vector(setting, wavefront, opposite=True)[::-1]
    assert_within("a(-az, -el)", turned, _formula(setting, wavefront), _rounding(setting))


@given(st.lists(settings_before_a_panel(), min_size=1, max_size=4), fronts, shapes)
def test_a_batch_of_sources_is_each_of_them(settings: list[Setting], wavefront, shape) -> None:
    first = settings[0]
    scenario, dtype = first.scenario, first.dtype
    wavelength = scenario.wavelength
    sources = [(s.azimuth, s.elevation, first.distance * 2**i) for i, s in enumerate(settings)]
    azimuth, elevation, distance = (
        # Every second entry of a larger tensor, as a column of a table is.
        torch.tensor([[x, math.nan] for x in column], dtype=dtype)[:, 0].reshape(shape(len(column)))
        for column in zip(*sources, strict=True)
    )
    panel = TARGET.ideal_panel(scenario, dtype)
    got = TARGET.steering_vector(panel, azimuth, elevation, distance, wavefront)
    expected = np.stack(
        [
            oracles.steering(scenario.panel, scenario.spacing, (az, el, r / wavelength), wavefront)
            for az, el, r in sources
        ]
    )
    bound = phase_bound(first.extent, wavelength, dtype)
    wide = got.resolve_conj().to(torch.complex128).numpy()
    assert_within("a_n", wide, expected.reshape(*azimuth.shape, -1), bound)


@given(settings_before_a_panel(), fronts)
def test_no_source_gives_no_vector(setting: Setting, wavefront: str) -> None:
    panel, none = TARGET.ideal_panel(setting.scenario, setting.dtype), torch.zeros(0)
    where = (none.to(setting.dtype),) * 3
    got = TARGET.steering_vector(panel, *where, wavefront)
    assert_within("shape", got.shape, (0, setting.scenario.elements), 0)
