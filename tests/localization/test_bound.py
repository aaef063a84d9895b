from dataclasses import replace

import pytest
import torch
from localization_helpers import (
    MOVING,
    SMALL,
    draw,
    model,
    noiseless,
    residual,
    second_differences,
    true_parameters,
)

from ris_pipeline.localization import (
    cramer_rao_bound,
    fisher_information,
    misspecified_cramer_rao_bound,
    stochastic_cramer_rao_bound,
)
from ris_pipeline.localization.cholesky import invert_information

STEP = 1e-6
DIFFERENCE = 1e-5  # central differences (1e-8 of the slopes) times the conditioning of F


def numerical_bound(scenes):
    """Inverse of the full Fisher information, amplitudes included, by central differences."""
    s = scenes.sources
    parameters = true_parameters(scenes)
    amplitudes = (s.gains[..., None] * s.symbols).mT
    blocks, k = amplitudes.shape[1:]
    slopes = []
    for source in range(k):
        for axis in range(3):
            up, down = parameters.clone(), parameters.clone()
            if axis == 2:
                up[:, source, 2] = 1 / (s.distance[:, source] + STEP)
                down[:, source, 2] = 1 / (s.distance[:, source] - STEP)
            else:
                up[:, source, axis] += STEP
                down[:, source, axis] -= STEP
            change = model(scenes, up, amplitudes) - model(scenes, down, amplitudes)
            slopes.append(change.flatten(1) / (2 * STEP))
    for block in range(blocks):
        for source in range(k):
            for unit in (1.0, 1j):
                one = torch.zeros_like(amplitudes)
                one[:, block, source] = unit
                slopes.append(model(scenes, parameters, one).flatten(1))
    jacobian = torch.stack(slopes, dim=-1)
    fisher = 2 / scenes.noise_variance[:, None, None] * (jacobian.mH @ jacobian).real
    variance = torch.linalg.inv(fisher).diagonal(dim1=1, dim2=2)
    return variance[:, : 3 * k].reshape(-1, k, 3)


@pytest.mark.parametrize(
    "settings",
    [
        SMALL,
        MOVING,
        {**SMALL, "blocks": 2, "codebook": "random"},
        {**SMALL, "wavefront": "fresnel"},
    ],
    ids=["static", "moving", "blocks", "fresnel"],
)
@pytest.mark.parametrize("count", [1, 2])
def test_bound_is_the_inverse_of_a_finite_difference_fisher_information(settings, count):
    scenes = draw(4, sources=(count, count), snr_db=(10, 10), **settings)
    bound = cramer_rao_bound(scenes)
    torch.testing.assert_close(bound, numerical_bound(scenes), rtol=DIFFERENCE, atol=0.0)


@pytest.mark.parametrize("settings", [SMALL, MOVING], ids=["static", "moving"])
def test_information_is_the_curvature_of_the_residual_without_noise(settings):
    # sum_t |P_t(theta) m_t|^2 has the Hessian 2 F at the truth; the information is 2 F / sigma^2.
    scenes = draw(4, sources=(2, 2), snr_db=(10, 10), **settings)
    clean, place = noiseless(scenes), true_parameters(scenes)
    place[..., 2] = 1 / place[..., 2]

    def concentrated(point):
        where = point.reshape_as(place).clone()
        where[..., 2] = 1 / where[..., 2]
        return residual(clean, where)

    curvature = second_differences(concentrated, place.flatten(1))
    information = fisher_information(scenes)
    scale = information.diagonal(dim1=1, dim2=2).rsqrt()
    error = curvature / scenes.noise_variance[:, None, None] - information
    assert (error * scale[:, :, None] * scale[:, None, :]).abs().max() < DIFFERENCE


def test_bound_falls_with_the_noise_and_is_float64():
    loud, quiet = (draw(4, sources=(1, 1), snr_db=(s, s), dtype=torch.float32) for s in (0, 10))
    bound = cramer_rao_bound(loud)
    assert bound.dtype == torch.float64
    # The simulator sets the noise variance in float32.
    torch.testing.assert_close(bound, 10 * cramer_rao_bound(quiet), rtol=1e-5, atol=0.0)


def test_empty_slots_are_nan_and_leave_the_others_alone():
    scenes = draw(12, sources=(1, 3))
    bound, active = cramer_rao_bound(scenes), scenes.sources.active
    assert torch.isnan(bound[~active]).all()
    assert torch.isfinite(bound[active]).all()
    assert (fisher_information(scenes)[~active.repeat_interleave(3, 1)] == 0).all()


def test_another_source_never_lowers_the_bound():
    both = draw(8, sources=(2, 2))
    first = replace(both.sources, count=torch.ones_like(both.sources.count))
    alone = cramer_rao_bound(replace(both, sources=first))[:, 0]
    rounding = 1e-9
    assert (cramer_rao_bound(both)[:, 0] >= alone * (1 - rounding)).all()


def test_a_plane_wave_has_no_distance():
    bound = cramer_rao_bound(draw(4, sources=(2, 2), wavefront="plane"))
    assert torch.isinf(bound[..., 2]).all()
    assert torch.isfinite(bound[..., :2]).all()


def in_one_place(scenes, scene):
    """The scenes, with both sources of one of them at one place."""
    moved = {}
    for name in ("azimuth", "elevation", "distance"):
        moved[name] = getattr(scenes.sources, name).clone()
        moved[name][scene, 1] = moved[name][scene, 0]
    return replace(scenes, sources=replace(scenes.sources, **moved))


def test_sources_in_one_place_have_no_bound_that_means_anything():
    # Six coordinates, of which one block shows three: F is zero to rounding in the others.
    scenes = draw(3, sources=(2, 2))
    variance = cramer_rao_bound(in_one_place(scenes, 1))
    rounding = 6 * torch.finfo(torch.float64).eps
    assert (variance[1] > variance[::2].min() / rounding**0.5).all()


@pytest.mark.parametrize(
    "bound",
    [
        cramer_rao_bound,
        stochastic_cramer_rao_bound,
        lambda scenes: misspecified_cramer_rao_bound(scenes).variance,
    ],
    ids=["deterministic", "stochastic", "misspecified"],
)
def test_sources_in_one_place_harm_no_other_scene(bound):
    scenes = draw(3, sources=(2, 2), **MOVING)
    variance = bound(in_one_place(scenes, 1))
    torch.testing.assert_close(variance[::2], bound(scenes)[::2], rtol=0.0, atol=0.0)


def test_a_singular_information_is_an_infinite_deviation():
    unit = torch.ones(2, 2, 2, dtype=torch.float64)
    unit[1] = torch.eye(2)
    one = torch.ones(2, dtype=torch.float64)
    deviation = invert_information(unit, torch.ones(2, 2, dtype=torch.float64), 2 * one)
    assert torch.isinf(deviation[0]).all()
    assert (deviation[1] == 1).all()
