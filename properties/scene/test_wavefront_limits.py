"""Law: spherical -> Fresnel -> plane as the source moves away, at the rates of the expansion."""

import numpy as np
import torch
from hypothesis import given

from ris_pipeline.verification.bounds import fresnel_remainder, phase_bound, plane_remainder
from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.strategies import Setting, settings_before_a_panel
from ris_pipeline.verification.target import TARGET


def _vector(setting: Setting, wavefront: str) -> np.ndarray:
    panel = TARGET.ideal_panel(setting.scenario, setting.dtype)
    return TARGET.steering_vector(panel, *setting.where(), wavefront).to(torch.complex128).numpy()


def _rounding(setting: Setting) -> float:
    return 2 * phase_bound(setting.extent, setting.scenario.wavelength, setting.dtype)


@given(settings_before_a_panel())
def test_the_fresnel_wave_tends_to_the_spherical_one(setting: Setting) -> None:
    bound = fresnel_remainder(setting.extent, setting.distance, setting.scenario.wavelength)
    got, expected = _vector(setting, "fresnel"), _vector(setting, "spherical")
    assert_within("Fresnel a_n", got, expected, bound + _rounding(setting))


@given(settings_before_a_panel())
def test_the_plane_wave_tends_to_the_fresnel_one(setting: Setting) -> None:
    bound = plane_remainder(setting.extent, setting.distance, setting.scenario.wavelength)
    got, expected = _vector(setting, "plane"), _vector(setting, "fresnel")
    assert_within("plane a_n", got, expected, bound + _rounding(setting))
