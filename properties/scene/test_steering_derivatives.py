"""Law: the steering vector's derivatives are the limits of its differences."""

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import (
    entry_bound,
    steering_curvature_bound,
    steering_slope_bound,
    steering_step,
)
from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.strategies import Setting, settings_before_a_panel, wavefronts
from ris_pipeline.verification.target import TARGET

fronts = wavefronts()


@given(settings_before_a_panel(dtypes=(torch.float64,)), fronts, st.integers(0, 2))
def test_derivatives_agree_with_differences(setting: Setting, wavefront: str, axis: int) -> None:
    panel = TARGET.ideal_panel(setting.scenario, torch.float64)
    where = setting.where()
    slopes = TARGET.steering_derivatives(panel, *where, wavefront)[1][axis].numpy()
    # The distance moves in parts of itself.
    unit = setting.distance if axis == 2 else 1.0
    ends = []
    for sign in (1, -1):
        moved = [x + sign * steering_step() * unit * (i == axis) for i, x in enumerate(where)]
        ends.append(TARGET.steering_vector(panel, *moved, wavefront).numpy())
    difference = (ends[0] - ends[1]) / (2 * steering_step())
    bound = steering_slope_bound(setting.extent, setting.scenario.wavelength)
    assert_within("da_n", unit * slopes, difference, bound)


@given(settings_before_a_panel(dtypes=(torch.float64,)), fronts, st.integers(0, 2))
def test_second_derivatives_agree_with_differences(
    setting: Setting, wavefront: str, axis: int
) -> None:
    panel = TARGET.ideal_panel(setting.scenario, torch.float64)
    where = setting.where()
    curvatures = TARGET.steering_second_derivatives(panel, *where, wavefront)[axis].numpy()
    unit = setting.distance if axis == 2 else 1.0
    units = np.array((1.0, 1.0, setting.distance))[:, None]
    ends = []
    for sign in (1, -1):
        moved = [x + sign * steering_step() * unit * (i == axis) for i, x in enumerate(where)]
        ends.append(TARGET.steering_derivatives(panel, *moved, wavefront)[1].numpy())
    difference = units * (ends[0] - ends[1]) / (2 * steering_step())
    bound = steering_curvature_bound(setting.extent, setting.scenario.wavelength)
    assert_within("dda_n", unit * units * curvatures, difference, bound)


@given(settings_before_a_panel(dtypes=(torch.float64,)), fronts)
def test_the_vector_moves_at_constant_norm(setting: Setting, wavefront: str) -> None:
    panel = TARGET.ideal_panel(setting.scenario, torch.float64)
    a, slopes = TARGET.steering_derivatives(panel, *setting.where(), wavefront)
    # |a_n| is constant, so conj(a_n) da_n has no real part.
    radial = (a.conj() * slopes).real.numpy()
    size = float(slopes.abs().max() * a.abs().max())
    # Two products of complex numbers, four roundings each.
    bound = entry_bound(size, 8, torch.float64)
    assert_within("Re conj(a) da", radial, np.zeros_like(radial), bound)
