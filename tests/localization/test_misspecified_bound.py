"""The misspecified bound: differences of the likelihood, closed forms, and the estimator itself."""

import math
from dataclasses import replace

import pytest
import torch
from localization_helpers import (
    DIFFERENCE_STEP,
    MOVING,
    SMALL,
    draw,
    model,
    residual,
    second_differences,
    true_parameters,
)

from ris_pipeline._errors import InputError
from ris_pipeline.config import Impairments, PhaseAmplitude
from ris_pipeline.localization import (
    Status,
    cramer_rao_bound,
    locate,
    measure,
    misspecified_cramer_rao_bound,
    search_domain,
)
from ris_pipeline.localization.least_squares.linearisation import linearise
from ris_pipeline.localization.least_squares.refinement import refine
from ris_pipeline.scene import clean_snapshots

pytestmark = pytest.mark.no_shapes

DIFFERENCE = 1e-5
"""Differences of fourth order: truncation (k |q| STEP)^4 = 1e-8 and rounding eps / STEP^2 = 2e-10,
times the conditioning of H, 1e3."""
ROUNDING = 1e-9  # eps times the conditioning of F, below 1e6 in these scenes

IMPAIRMENTS = {
    "phase error": Impairments(phase_error_deg=15),
    "phase amplitude": Impairments(phase_amplitude=PhaseAmplitude(minimum=0.5)),
    "positions": Impairments(position_jitter=0.05),
    "gains and dead": Impairments(gain_jitter_db=1.5, dead_fraction=0.05, fixed=False),
    "spacing and wavelength": Impairments(spacing_error=0.02, wavelength_offset=-0.01),
}
SETTINGS = {
    "static": SMALL,
    "moving": {**MOVING, "blocks": 3},
    "fresnel": {**SMALL, "wavefront": "fresnel"},
}


def impaired(impairments, size=4, count=2, snr=10, **settings):
    return draw(
        size, sources=(count, count), snr_db=(snr, snr), impairments=impairments, **settings
    )


def pseudo_true(scenes, bound):
    """Where the bound stands, (azimuth, elevation, 1 / distance)."""
    place = true_parameters(scenes)
    place[..., 2] = 1 / place[..., 2]
    place = place + bound.bias
    place[..., 2] = 1 / place[..., 2]
    return place


def split(point, scenes):
    """Coordinates (B, K, 3) with inverse distance, and amplitudes (B, T, K)."""
    k, blocks = scenes.sources.azimuth.shape[1], scenes.codes.shape[0]
    where, rest = point[:, : 3 * k].reshape(-1, k, 3), point[:, 3 * k :]
    return where, torch.view_as_complex(rest.reshape(-1, blocks, k, 2).contiguous())


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("impairments", IMPAIRMENTS.values(), ids=IMPAIRMENTS)
def test_the_sandwich_of_every_unknown_by_differences(settings, impairments):
    scenes = impaired(impairments, **settings)
    bound = misspecified_cramer_rao_bound(scenes)
    good = (bound.status == Status.CONVERGED).all(1)
    assert good.sum() >= 3
    clean = clean_snapshots(scenes).flatten(2)
    place = pseudo_true(scenes, bound).nan_to_num(1.0)
    data = measure(replace(scenes, snapshots=clean_snapshots(scenes)))
    amplitudes = linearise(data, place, scenes.sources.active).amplitudes
    rest = torch.view_as_real(amplitudes.resolve_conj()).flatten(1)
    point = torch.cat((place.flatten(1), rest), dim=1)

    def signal(point):
        return torch.view_as_real(model(scenes, *split(point, scenes))).flatten(1)

    def misfit(point):
        return (signal(point) - torch.view_as_real(clean).flatten(1)).square().sum(1)

    slopes = []
    for unit in torch.eye(point.shape[1], dtype=point.dtype):
        step = DIFFERENCE_STEP * unit
        near = signal(point + step) - signal(point - step)
        far = signal(point + 2 * step) - signal(point - 2 * step)
        slopes.append((8 * near - far) / (12 * DIFFERENCE_STEP))
    jacobian = torch.stack(slopes, dim=-1)
    hessian, gram = second_differences(misfit, point) / 2, jacobian.mT @ jacobian
    scale = gram.diagonal(dim1=1, dim2=2).rsqrt()
    inverse = torch.linalg.inv(hessian * scale[:, :, None] * scale[:, None, :])
    middle = gram * scale[:, :, None] * scale[:, None, :]
    variance = (inverse @ middle @ inverse).diagonal(dim1=1, dim2=2) * scale.square()
    variance = (variance * scenes.noise_variance[:, None] / 2)[:, :6].reshape(-1, 2, 3)
    variance[..., 2] *= place[..., 2] ** -4
    torch.testing.assert_close(bound.variance[good], variance[good], rtol=DIFFERENCE, atol=0.0)


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@pytest.mark.parametrize("impairments", IMPAIRMENTS.values(), ids=IMPAIRMENTS)
def test_the_pseudo_true_place_is_a_minimum_of_the_dense_residual(settings, impairments):
    scenes = impaired(impairments, **settings)
    bound = misspecified_cramer_rao_bound(scenes)
    good = (bound.status == Status.CONVERGED).all(1)
    clean = replace(scenes, snapshots=clean_snapshots(scenes))
    place = pseudo_true(scenes, bound).nan_to_num(1.0)
    least = residual(clean, place)
    assert (least <= residual(clean, true_parameters(scenes)))[good].all()
    for axis in range(6):
        for sign in (-1, 1):
            nearby = place.flatten(1).clone()
            nearby[:, axis] += sign * 1e-5
            # Second differences of 1e-10: above the rounding of the residual.
            assert (residual(clean, nearby.reshape_as(place)) > least)[good].all()


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32])
@pytest.mark.parametrize(
    "settings", [*SETTINGS.values(), {**SMALL, "wavefront": "plane"}], ids=[*SETTINGS, "plane"]
)
def test_a_perfect_panel_has_the_cramer_rao_bound_and_no_bias(settings, dtype):
    scenes = draw(8, sources=(1, 3), snr_db=(5, 5), dtype=dtype, **settings)
    bound, active = misspecified_cramer_rao_bound(scenes), scenes.sources.active
    expected = cramer_rao_bound(scenes)
    assert (bound.status[active] == Status.CONVERGED).all()
    assert (bound.status[~active] == Status.UNRESOLVED).all()
    torch.testing.assert_close(bound.variance, expected, rtol=ROUNDING, atol=0.0, equal_nan=True)
    deviation = expected.sqrt().clamp_max(1.0)
    assert (bound.bias.abs() / deviation)[active].max() < ROUNDING
    assert torch.isnan(bound.bias[~active]).all()
    torch.testing.assert_close(
        bound.mean_squared_error, expected, rtol=ROUNDING, atol=0.0, equal_nan=True
    )


def noisy(scenes, trials, seed=0):
    """One scene `trials` times, each with its own noise."""
    clean = clean_snapshots(scenes).expand(trials, *scenes.snapshots.shape[1:])
    generator = torch.Generator().manual_seed(seed)
    noise = torch.randn(clean.shape, dtype=torch.complex128, generator=generator)
    deviation = scenes.noise_variance.sqrt()
    s = scenes.sources
    names = ("azimuth", "elevation", "distance", "gains", "symbols", "count")
    repeated = {
        name: getattr(s, name).expand(trials, *getattr(s, name).shape[1:]) for name in names
    }
    return replace(
        scenes,
        snapshots=clean + deviation * noise,
        channel=scenes.channel.expand(trials, -1, -1),
        noise_variance=scenes.noise_variance.expand(trials),
        sources=replace(s, **repeated),
    )


TRIALS = 2000
INTERVAL = 5.0
"""Standard errors: missed once in 10^6."""


@pytest.mark.slow
@pytest.mark.parametrize(
    "impairments",
    [
        Impairments(phase_error_deg=20, position_jitter=0.05),
        Impairments(phase_amplitude=PhaseAmplitude()),
    ],
    ids=["phase and position errors", "phase amplitude"],
)
@pytest.mark.parametrize("settings", [SMALL, MOVING], ids=["static", "moving"])
def test_least_squares_meets_the_bound_at_high_snr(settings, impairments):
    one = impaired(impairments, size=1, snr=45, **settings)
    bound = misspecified_cramer_rao_bound(one)
    assert (bound.status == Status.CONVERGED).all()
    trials = noisy(one, TRIALS)
    domain = search_domain(one.scenario.replace(distance=(0.1, 1e3), elevation_deg=(-80, 80)))
    start = true_parameters(trials)
    found = refine(measure(trials), start, trials.sources.active, domain, 1e-5).parameters
    place = pseudo_true(one, bound)
    deviation = bound.variance.sqrt()
    deviation[..., 2] *= place[..., 2].square()
    error = ((found - place) / deviation).flatten(1)
    assert (error.mean(0).abs() < INTERVAL / math.sqrt(TRIALS)).all()
    assert ((error.var(0) - 1).abs() < INTERVAL * math.sqrt(2 / TRIALS)).all()
    # The deterministic bound of a panel that is perfect is not what the estimator has.
    wrong = (cramer_rao_bound(one) / bound.variance - 1).abs().max()
    assert wrong > INTERVAL * math.sqrt(2 / TRIALS)


@pytest.mark.slow
def test_locate_on_a_miscalibrated_panel_has_the_mean_squared_error_of_the_bound():
    trials = 400
    one = impaired(Impairments(phase_error_deg=20, position_jitter=0.05), 1, 1, 30, **SMALL)
    bound = misspecified_cramer_rao_bound(one)
    scenes = noisy(one, trials)
    found = locate(scenes, 1)
    assert (found.status == Status.CONVERGED).all()
    place = torch.stack((found.azimuth, found.elevation, found.distance), dim=-1)[:, 0]
    s = one.sources
    truth = torch.stack((s.azimuth, s.elevation, s.distance), dim=-1)[0, 0]
    square = (place - truth).square()
    error = square.std(0) / math.sqrt(trials)
    assert ((square.mean(0) - bound.mean_squared_error[0, 0]).abs() < INTERVAL * error).all()
    # The bias is what counts: without it the bound would be missed by far.
    assert (bound.bias[0, 0].square() > 5 * bound.variance[0, 0]).any()


@pytest.mark.parametrize("error", [0.02, -0.03])
def test_a_stretched_panel_turns_plane_waves(error):
    # q (1 + e) . (u, v) = q . (1 + e)(u, v): the model is met exactly, in another direction.
    scenes = impaired(
        Impairments(spacing_error=error), wavefront="plane", azimuth_deg=(-40, 40), **SMALL
    )
    bound = misspecified_cramer_rao_bound(scenes)
    s = scenes.sources
    v = (1 + error) * torch.sin(s.elevation)
    u = (1 + error) * torch.sin(s.azimuth) * torch.cos(s.elevation)
    elevation = torch.asin(v)
    azimuth = torch.asin(u / torch.cos(elevation))
    torch.testing.assert_close(bound.bias[..., 0], azimuth - s.azimuth, rtol=0, atol=ROUNDING)
    torch.testing.assert_close(bound.bias[..., 1], elevation - s.elevation, rtol=0, atol=ROUNDING)
    there = replace(scenes, sources=replace(s, azimuth=azimuth, elevation=elevation))
    torch.testing.assert_close(
        bound.variance, cramer_rao_bound(there), rtol=ROUNDING, atol=0.0, equal_nan=True
    )


def test_the_bias_does_not_depend_on_the_noise_and_the_variance_is_proportional_to_it():
    scenes = impaired(IMPAIRMENTS["phase error"])
    louder = replace(scenes, noise_variance=100 * scenes.noise_variance)
    one, other = (misspecified_cramer_rao_bound(x) for x in (scenes, louder))
    torch.testing.assert_close(one.bias, other.bias, rtol=0, atol=0, equal_nan=True)
    expected = 100 * one.variance
    torch.testing.assert_close(other.variance, expected, rtol=ROUNDING, atol=0, equal_nan=True)


def test_a_place_at_infinity_is_an_edge_and_has_no_bound_of_distance():
    scenes = impaired(Impairments(phase_error_deg=60, fixed=False), 40, 1, 10, distance=(2.9, 3.0))
    bound = misspecified_cramer_rao_bound(scenes)
    edge = bound.status[:, 0] == Status.EDGE
    assert edge.any()
    assert torch.isinf(bound.variance[edge, 0]).any(-1).all()
    assert torch.isinf(bound.mean_squared_error[edge, 0]).any(-1).all()
    assert torch.isfinite(bound.variance[bound.status == Status.CONVERGED]).all()


def test_snapshots_without_a_known_truth_are_refused():
    scenes = replace(draw(2, sources=(1, 1)), truth=None)
    with pytest.raises(InputError, match=r"scenes\.truth is None"):
        misspecified_cramer_rao_bound(scenes)


def test_sources_at_one_place_are_unresolved_or_have_no_tight_bound():
    scenes = draw(4, sources=(2, 2), **SMALL)
    s = scenes.sources
    places = {n: getattr(s, n)[:, :1].expand(-1, 2) for n in ("azimuth", "elevation", "distance")}
    bound = misspecified_cramer_rao_bound(replace(scenes, sources=replace(s, **places)))
    separate = misspecified_cramer_rao_bound(scenes).variance
    assert (torch.isnan(bound.variance) | (bound.variance > separate / DIFFERENCE)).all()
