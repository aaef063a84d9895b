"""The steering vector against an element-by-element reference, its limits and derivatives."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline._errors import InputError
from ris_pipeline.config import Scenario, Wavefront
from ris_pipeline.scene import (
    Panel,
    angles_from_cosines,
    direction_cosines,
    ideal_panel,
    steering_derivatives,
    steering_second_derivatives,
    steering_vector,
    uniform_linear_array,
)

SCENARIO = Scenario(panel=(4, 3), spacing=(0.5, 0.4))
DOUBLE = np.finfo(np.float64).eps

angles = st.floats(-1.2, 1.2)
distances = st.floats(0.5, 50.0)


def element_by_element(azimuth: float, elevation: float, distance: float) -> np.ndarray:
    """Section 2 of the signal model, one element at a time."""
    (n_h, n_v), (d_h, d_v) = SCENARIO.panel, SCENARIO.spacing
    wavelength = SCENARIO.wavelength
    source = distance * np.array(
        [
            math.sin(azimuth) * math.cos(elevation),
            math.sin(elevation),
            math.cos(azimuth) * math.cos(elevation),
        ]
    )
    response = []
    for i_v in range(n_v):
        for i_h in range(n_h):
            x = (i_h - (n_h - 1) / 2) * d_h * wavelength
            y = (i_v - (n_v - 1) / 2) * d_v * wavelength
            path = math.dist(source, (x, y, 0.0))
            response.append(np.exp(2j * math.pi / wavelength * (distance - path)))
    return np.array(response) / math.sqrt(n_h * n_v)


def scalars(*values: float) -> Any:
    """Tensors without axes, as many as there are numbers."""
    return [torch.tensor(value, dtype=torch.float64) for value in values]


def vector(*where: float, wavefront: Wavefront = "spherical") -> torch.Tensor:
    return steering_vector(
        ideal_panel(SCENARIO, torch.float64), *scalars(*where), wavefront=wavefront
    )


@given(angles, angles, distances)
def test_matches_the_element_by_element_reference(az: float, el: float, r: float) -> None:
    # The reference subtracts two lengths of r metres: k r eps of phase.
    bound = 10 * 2 * math.pi / SCENARIO.wavelength * r * DOUBLE
    assert np.abs(vector(az, el, r).numpy() - element_by_element(az, el, r)).max() <= bound


@given(angles, angles, distances, st.sampled_from(("spherical", "fresnel", "plane")))
def test_has_unit_norm(az: float, el: float, r: float, wavefront: Wavefront) -> None:
    norm = vector(az, el, r, wavefront=wavefront).norm().item()
    assert abs(norm - 1) <= SCENARIO.elements * DOUBLE


@pytest.mark.parametrize(
    ("coarse", "fine", "power"), [("fresnel", "spherical", 2), ("plane", "fresnel", 1)]
)
def test_wavefronts_approach_each_other_with_distance(
    coarse: Wavefront, fine: Wavefront, power: int
) -> None:
    # The first term left out falls as r^-power: tenfold distance, 10^power smaller difference.
    gaps = [
        (vector(0.4, -0.3, r, wavefront=coarse) - vector(0.4, -0.3, r, wavefront=fine)).norm()
        for r in (30.0, 300.0)
    ]
    assert gaps[0] / gaps[1] == pytest.approx(10**power, rel=0.1)


def test_float32_keeps_the_phase_of_a_distant_source() -> None:
    panel = ideal_panel(SCENARIO, torch.float32)
    single = steering_vector(panel, *(x.float() for x in scalars(0.4, -0.3, 1000.0)))
    # A few roundings of a phase below 10 rad; two subtracted lengths of 1 km would be off by 1e-3.
    assert (single - vector(0.4, -0.3, 1000.0)).abs().max() < 50 * torch.finfo(torch.float32).eps


@given(angles, angles, distances, st.sampled_from(("spherical", "fresnel", "plane")))
def test_derivatives_agree_with_differences(
    az: float, el: float, r: float, wavefront: Wavefront
) -> None:
    panel = ideal_panel(SCENARIO, torch.float64)
    derivative = steering_derivatives(panel, *scalars(az, el, r), wavefront=wavefront)[1]
    step = DOUBLE ** (1 / 3)
    for index in range(3):
        ahead, behind = [az, el, r], [az, el, r]
        ahead[index] += step
        behind[index] -= step
        difference = vector(*ahead, wavefront=wavefront) - vector(*behind, wavefront=wavefront)
        # Truncation step^2 / 6 times a third derivative <= (k extent)^3 < 1e4; rounding eps / step.
        bound = 1e4 * step**2 + 10 * DOUBLE / step
        assert (difference / (2 * step) - derivative[index]).abs().max() < bound


def test_a_panel_with_scene_axes_takes_one_panel_a_scene() -> None:
    base = ideal_panel(SCENARIO, torch.float64)
    positions = torch.stack((base.positions, 1.1 * base.positions))
    batched = Panel(positions, torch.tensor([0.3, 0.2], dtype=torch.float64))
    azimuth, elevation, distance = (torch.rand(2, 3, dtype=torch.float64) + 0.1 for _ in range(3))
    a, da = steering_derivatives(batched, azimuth, elevation, distance)
    for i, wavelength in enumerate((0.3, 0.2)):
        single = Panel(positions[i], wavelength)
        b, db = steering_derivatives(single, azimuth[i], elevation[i], distance[i])
        torch.testing.assert_close(a[i], b)
        torch.testing.assert_close(da[i], db)


def test_a_panel_may_have_two_scene_axes() -> None:
    base = ideal_panel(SCENARIO, torch.float64).positions
    stretch = torch.tensor([1.0, 1.1, 0.9, 1.2, 0.8, 1.3], dtype=torch.float64)
    flat = Panel(stretch[:, None, None] * base, 0.3)
    where: Any = [torch.rand(6, 4, dtype=torch.float64) + 0.1 for _ in range(3)]
    folded = Panel(flat.positions.unflatten(0, (2, 3)), 0.3)
    got = steering_derivatives(folded, *(x.unflatten(0, (2, 3)) for x in where))
    for one, other in zip(got, steering_derivatives(flat, *where), strict=True):
        torch.testing.assert_close(one.flatten(0, 1), other)


@given(angles, angles)
def test_angles_come_back_from_cosines(az: float, el: float) -> None:
    u, v, _ = direction_cosines(*scalars(az, el)).unbind(-1)
    # asin loses eps / cos near the pole; 1.2 rad keeps cos above 0.36.
    assert [x.item() for x in angles_from_cosines(u, v)] == pytest.approx([az, el], abs=1e-14)


def test_second_derivatives_of_a_panel_drawn_per_scene_are_those_of_each() -> None:
    ideal = ideal_panel(SCENARIO, torch.float64)
    stretch = torch.tensor([1.0, 1.1], dtype=torch.float64)
    wavelength = SCENARIO.wavelength * torch.tensor([1.0, 0.9], dtype=torch.float64)
    batched = Panel(ideal.positions * stretch[:, None, None], wavelength)
    where: Any = [
        torch.tensor(x, dtype=torch.float64)
        for x in ([[0.1], [0.4]], [[0.2], [0.3]], [[2.0], [3.0]])
    ]
    together = steering_second_derivatives(batched, *where)
    for i in range(2):
        single = Panel(batched.positions[i], float(wavelength[i]))
        alone = steering_second_derivatives(single, *(x[i] for x in where), wavefront="spherical")
        scale = alone.abs().max().item()
        assert (together[i] - alone).abs().max() <= 100 * DOUBLE * scale


def test_derivatives_of_a_panel_that_is_not_flat() -> None:
    generator = torch.Generator().manual_seed(2)
    panel = Panel(0.3 * torch.randn(5, 3, dtype=torch.float64, generator=generator), 0.3)
    where = [0.4, -0.3, 2.0]
    derivative = steering_derivatives(panel, *scalars(*where))[1]
    step = DOUBLE ** (1 / 3)
    for index in range(3):
        ahead, behind = list(where), list(where)
        ahead[index] += step
        behind[index] -= step
        pair = [steering_vector(panel, *scalars(*place)) for place in (ahead, behind)]
        # As above; the panel reaches a metre, so that (k extent)^3 < 1e5.
        bound = 1e5 * step**2 + 10 * DOUBLE / step
        difference = (pair[0] - pair[1]) / (2 * step)
        assert (difference - derivative[index]).abs().max() < bound


def test_a_linear_array_is_centred_at_half_a_wavelength() -> None:
    array = uniform_linear_array(4, 0.3, torch.float64)
    expected = [[x, 0.0, 0.0] for x in (-0.225, -0.075, 0.075, 0.225)]
    assert array.positions.tolist() == [pytest.approx(row, abs=1e-16) for row in expected]
    assert (array.wavelength, array.positions.dtype) == (0.3, torch.float64)
    assert uniform_linear_array(2, 0.3).positions.dtype == torch.float32


def test_arrays_are_made_on_the_device_asked_for() -> None:
    for positions in (
        ideal_panel(SCENARIO, device="meta").positions,
        uniform_linear_array(3, 0.3, device="meta").positions,
    ):
        assert positions.device.type == "meta"


@pytest.mark.parametrize("sign", [-1.0, 1.0])
def test_cosines_beyond_one_by_rounding_are_the_horizon(sign: float) -> None:
    v = torch.tensor(0.6, dtype=torch.float64)
    u = torch.tensor(sign * 0.8 * (1 + 4 * DOUBLE), dtype=torch.float64)
    azimuth, elevation = angles_from_cosines(u, v)
    assert azimuth.item() == sign * math.pi / 2
    assert elevation.item() == math.asin(0.6)


def test_an_unknown_wavefront_is_named(untyped) -> None:
    with untyped(), pytest.raises(InputError) as caught:
        vector(0.1, 0.1, 1.0, wavefront="round")  # type: ignore[arg-type]
    assert str(caught.value) == "wavefront = 'round': allowed are spherical, fresnel, plane"


@pytest.mark.parametrize("distance", [-0.1, 0.0])
@pytest.mark.parametrize("function", [steering_vector, steering_derivatives])
def test_a_distance_is_positive_but_for_a_plane_wave(function, distance):
    panel = Panel(torch.eye(3, dtype=torch.float64), 0.3)
    where = torch.tensor(0.1, dtype=torch.float64)
    there = torch.tensor(distance, dtype=torch.float64)
    for wavefront in ("spherical", "fresnel"):
        with pytest.raises(InputError, match=f"^distance holds {distance}: allowed is above 0$"):
            function(panel, where, where, there, wavefront)
    far = torch.tensor(9.0, dtype=torch.float64)
    one, other = (function(panel, where, where, x, "plane") for x in (there, far))
    pairs = zip(one, other, strict=True) if isinstance(one, tuple) else [(one, other)]
    assert all(torch.equal(x, y) for x, y in pairs)


def test_derivatives_name_a_wavefront_that_is_none():
    where = torch.tensor(0.1, dtype=torch.float64)
    panel = Panel(torch.eye(3, dtype=torch.float64), 0.3)
    with pytest.raises(InputError, match=r"^wavefront = 'flat': allowed"):
        steering_derivatives(panel, where, where, where, "flat")


def test_a_linear_array_has_one_antenna_or_more():
    assert uniform_linear_array(1, 0.3).elements == 1
    with pytest.raises(InputError, match=r"^antennas = 0: allowed"):
        uniform_linear_array(0, 0.3)
