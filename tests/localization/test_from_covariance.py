"""From a covariance to positions, in either form, by every spectrum."""

import math
from dataclasses import fields

import pytest
import torch
from localization_helpers import SMALL

from ris_pipeline._errors import InputError
from ris_pipeline.config import Scenario, Wavefront
from ris_pipeline.localization import (
    Estimates,
    Status,
    grid_at,
    locate_from_covariance,
    smooth_panel,
    steering_grid,
    sub_panel_windows,
)
from ris_pipeline.localization.coordinates import (
    beamwidths,
    depth_of_focus,
    resolution_cell,
    search_domain,
)
from ris_pipeline.localization.spectra.peak_refinement import TOLERANCE, refine_peaks
from ris_pipeline.localization.spectra.search import Method, noise_level, quadratic_form, spectrum
from ris_pipeline.localization.spectra.surfaces import (
    Form,
    PlaneSurface,
    WaveSurface,
    surface_of,
)
from ris_pipeline.scene import ideal_panel, steering_vector
from ris_pipeline.spectral import (
    LowRankCovariance,
    eigenvalues,
    forward_backward,
    noise_projection,
    signal_subspace,
)

SCENARIO = Scenario(**SMALL, sources=(2, 2))
METHODS: tuple[Method, ...] = ("music", "mvdr", "bartlett", "soft_music")
NOISE = 1e-3
EPS = torch.finfo(torch.float64).eps
AZIMUTH = torch.tensor([[-0.5, 0.4], [0.1, 0.9], [-0.2, 0.35]], dtype=torch.float64)
ELEVATION = torch.tensor([[0.2, -0.3], [0.3, 0.0], [-0.4, 0.3]], dtype=torch.float64)
DISTANCE = torch.tensor([[0.5, 2.0], [1.1, 0.8], [2.5, 0.4]], dtype=torch.float64)
POWERS = torch.tensor([3.0, 2.0], dtype=torch.float64)
STEP = TOLERANCE * beamwidths(SCENARIO)[0]
"""The last step is below this, and what follows it smaller still."""


def steering(scenario=SCENARIO):
    panel = ideal_panel(scenario, torch.float64)
    return steering_vector(panel, AZIMUTH, ELEVATION, DISTANCE, scenario.wavefront).mT


def covariance(noise=NOISE, scenario=SCENARIO):
    return LowRankCovariance(steering(scenario) * POWERS.sqrt(), noise)


def columns(found, name):
    return getattr(found, name).nan_to_num(-7.0)


@pytest.mark.parametrize("method", ["music", "mvdr", "soft_music"])
@pytest.mark.parametrize("dense", [False, True])
def test_sources_are_found_where_they_are(method: Method, dense: bool) -> None:
    given = covariance().dense() if dense else covariance()
    found = locate_from_covariance(given, SCENARIO, 2, method)
    assert found.status.eq(int(Status.CONVERGED)).all()
    # MUSIC is exact; the others pull sources towards each other in proportion to the noise.
    bias = {"music": 0.0, "mvdr": NOISE, "soft_music": NOISE**2}[method]
    for name, truth in (("azimuth", AZIMUTH), ("elevation", ELEVATION)):
        assert (getattr(found, name) - truth).abs().max() < STEP + bias
    curvature = depth_of_focus(SCENARIO) * (TOLERANCE + bias)
    assert (1 / found.distance - 1 / DISTANCE).abs().max() < curvature
    assert found.power == pytest.approx(POWERS.expand(3, 2), rel=1e2 * (STEP + bias))
    assert found.noise_variance == pytest.approx(NOISE, rel=1e2 * (STEP + bias) / NOISE)
    assert torch.isnan(found.std).all()
    assert found.count.tolist() == [2, 2, 2]


def test_bartlett_finds_them_to_the_width_of_its_lobes() -> None:
    found = locate_from_covariance(covariance(), SCENARIO, 2, "bartlett")
    assert (found.azimuth - AZIMUTH).abs().max() < beamwidths(SCENARIO)[0] / 2
    alone = LowRankCovariance(steering()[..., :1])
    found = locate_from_covariance(alone, SCENARIO, 1, "bartlett")
    assert (found.azimuth - AZIMUTH[:, :1]).abs().max() < STEP


@pytest.mark.parametrize("method", METHODS)
def test_the_form_is_the_spectrum(method: Method) -> None:
    given, number = covariance(), torch.full((3,), 2)
    grid = steering_grid(SCENARIO, torch.float64, density=1.0)
    level = spectrum(given, grid, number, method)
    place = grid.coordinates(torch.arange(grid.size)).repeat(3, 1)
    scene = torch.arange(3).repeat_interleave(grid.size)
    for form in (quadratic_form(x, number, method) for x in (given, given.dense())):
        value, _, _ = surface_of(form, SCENARIO).expand(place, scene)
        expected = -level + NOISE if method == "bartlett" else 1 / level
        scale = NOISE if method == "mvdr" else 1.0
        size = SCENARIO.elements * EPS * 5 / NOISE
        assert (value.unflatten(0, (3, -1)) - scale * expected).abs().max() < size


@pytest.mark.parametrize("method", METHODS)
def test_the_score_is_the_slope_of_the_form(method: Method) -> None:
    form = quadratic_form(covariance(), torch.full((3,), 2), method)
    surface, scene = surface_of(form, SCENARIO), torch.arange(3).repeat_interleave(2)
    here = torch.stack((AZIMUTH + 0.05, ELEVATION - 0.03, 1 / DISTANCE + 0.1), dim=-1)
    here = here.flatten(0, 1)
    score = surface.expand(here, scene)[1]
    step = EPS ** (1 / 3)
    for axis in range(3):
        move = torch.zeros(3, dtype=torch.float64)
        move[axis] = step
        up, down = (surface.expand(here + s * move, scene)[0] for s in (1, -1))
        slope = -(up - down) / (4 * step)
        # Truncation and rounding of a central difference are both of the order of step^2, and the
        # phase turns by up to pi n_h / 2 across the panel.
        assert (score[:, axis] - slope).abs().max() < 5 * (math.pi * 6) ** 3 * step**2


@pytest.mark.parametrize("panel", [(6, 6), (5, 3), (1, 4), (7, 1)])
@pytest.mark.parametrize("shifted", [False, True])
def test_plane_waves_on_an_even_panel_make_a_polynomial(panel: tuple, shifted: bool) -> None:
    plane = Scenario(panel=panel, spacing=(1.0, 0.7), sources=(1, 1), wavefront="plane")
    generator = torch.Generator().manual_seed(0)
    basis = torch.randn(2, plane.elements, 3, dtype=torch.complex128, generator=generator)
    weights = torch.randn(4, 3, dtype=torch.float64, generator=generator)
    owner = torch.tensor([1, 0, 1, 1])
    form = Form(basis, weights, weights[:, 0] if shifted else None, owner)
    scene = torch.tensor([0, 0, 2, 3])
    place = torch.rand(4, 3, dtype=torch.float64, generator=generator) - 0.4
    place[:, 2] = 0.1
    polynomial = surface_of(form, plane)
    assert isinstance(polynomial, PlaneSurface)
    waves = WaveSurface(form, basis[owner].conj(), ideal_panel(plane, torch.float64), "plane")
    # Sums of N^2 terms, the slopes and curvatures of which turn k R faster.
    size = plane.elements**2 * EPS * (2 * math.pi * 7) ** 2
    for own, expected in zip(
        polynomial.expand(place, scene), waves.expand(place, scene), strict=True
    ):
        assert (own - expected).abs().max() < size


def test_scenes_of_a_batch_do_not_see_each_other() -> None:
    for method in METHODS:
        number = torch.tensor([2, 1, 2])
        together = locate_from_covariance(covariance(), SCENARIO, number, method)
        for scene in range(3):
            part = LowRankCovariance(covariance().factor[scene : scene + 1], NOISE)
            alone = locate_from_covariance(part, SCENARIO, int(number[scene]), method)
            k = int(number[scene])
            assert together.count[scene] == alone.count[0] == k
            assert (together.azimuth[scene, :k] - alone.azimuth[0]).abs().max() < STEP


def test_a_number_per_scene_leaves_the_other_slots_empty() -> None:
    found = locate_from_covariance(covariance(), SCENARIO, torch.tensor([1, 2, 1]))
    assert found.count.tolist() == [1, 2, 1]
    assert torch.isnan(found.azimuth[0, 1])
    assert torch.isnan(found.power[2, 1])
    assert found.status[0, 1] == int(Status.UNRESOLVED)
    assert torch.equal(found.active, ~torch.isnan(found.azimuth))


def test_an_empty_batch() -> None:
    found = locate_from_covariance(LowRankCovariance(covariance().factor[:0], 0.1), SCENARIO, 2)
    assert isinstance(found, Estimates)
    assert {getattr(found, field.name).shape[0] for field in fields(found)} == {0}


def test_a_source_beyond_the_domain_is_at_its_edge() -> None:
    near = SCENARIO.replace(distance=(0.7, 3.0))
    found = locate_from_covariance(LowRankCovariance(steering()[:1, :, :1]), near, 1)
    assert found.status.item() == int(Status.EDGE)
    assert found.distance.item() == pytest.approx(0.7, rel=4 * EPS)


def test_one_direction_has_one_peak_over_its_distances() -> None:
    depths = torch.tensor([0.5, 1.0, 2.0], dtype=torch.float64)
    grid = grid_at(SCENARIO, torch.zeros(3).double(), torch.zeros(3).double(), depths)
    found = locate_from_covariance(covariance(), SCENARIO, 2, grid=grid)
    assert found.count.tolist() == [1, 1, 1]
    assert torch.equal(found.active, ~torch.isnan(found.azimuth))


def test_plane_waves_have_no_distance() -> None:
    plane = SCENARIO.replace(wavefront="plane")
    found = locate_from_covariance(covariance(scenario=plane), plane, 2)
    assert torch.isnan(found.distance).all()
    assert (found.azimuth - AZIMUTH).abs().max() < STEP


def test_a_peak_stays_in_the_domain_and_knows_what_it_was_not_asked_for() -> None:
    number = torch.full((3,), 2)
    form = quadratic_form(covariance(), number, "music")
    domain = search_domain(SCENARIO)
    start = torch.stack((AZIMUTH, ELEVATION, 1 / DISTANCE), dim=-1)
    cell = resolution_cell(SCENARIO)
    wanted = torch.tensor([[True, False]]).expand(3, 2)
    top = refine_peaks(surface_of(form, SCENARIO), start + 0.05, domain, cell, wanted)
    assert torch.equal(top.converged, wanted)
    inside = (top.parameters >= domain.lower) & (top.parameters <= domain.upper)
    assert inside.all()
    assert (top.parameters[:, 0] - start[:, 0])[:, :2].abs().max() < STEP


def test_the_noise_level_is_the_mean_of_the_small_eigenvalues() -> None:
    level = noise_level(covariance(), torch.tensor([2, 2, 2]))
    assert level == pytest.approx(NOISE, rel=36 * EPS * 5 / NOISE)
    nothing = noise_level(LowRankCovariance(steering()), torch.tensor([2, 2, 2]))
    assert (nothing > 0).all()
    assert (nothing < 1e2 * EPS).all()


GRID = steering_grid(Scenario(), torch.float64, density=0.5)
ERRORS = [
    (lambda: locate_from_covariance(covariance(), SCENARIO, None), "number = None"),
    (lambda: locate_from_covariance(covariance(), SCENARIO, 0), "number = 0"),
    (lambda: locate_from_covariance(covariance(), SCENARIO, 6), "number = 6"),
    (lambda: locate_from_covariance(covariance(), SCENARIO, 3), "order = 3"),
    (
        lambda: locate_from_covariance(covariance(), SCENARIO, 2, "root"),  # type: ignore[arg-type]
        "method = 'root'",
    ),
    (lambda: locate_from_covariance(covariance(), Scenario(), 2), "covariance.factor has shape"),
    (lambda: locate_from_covariance(covariance().dense(), Scenario(), 2), "covariance has shape"),
    (lambda: locate_from_covariance(covariance().dense()[0], SCENARIO, 2), "covariance has 2 axes"),
    (
        lambda: locate_from_covariance(covariance().dense().real, SCENARIO, 2),
        "covariance has dtype",
    ),
    (lambda: locate_from_covariance(covariance().dense() * math.nan, SCENARIO, 2), "non-finite"),
    (lambda: locate_from_covariance(covariance(0.0), SCENARIO, 2, "mvdr"), "smallest eigenvalue"),
    (
        lambda: locate_from_covariance(covariance(0.0).dense(), SCENARIO, 2, "mvdr"),
        "smallest eigenvalue",
    ),
    (lambda: locate_from_covariance(covariance(), SCENARIO, 2, grid=GRID), "grid is for 144"),
    (
        lambda: locate_from_covariance(
            covariance(), SCENARIO, 2, "soft_music", noise=torch.zeros(3, dtype=torch.float64)
        ),
        "noise holds 0.0",
    ),
    (lambda: smooth_panel(covariance(), SCENARIO, (7, 3)), "n_h = 7: allowed is 1..6"),
    (lambda: smooth_panel(covariance(), SCENARIO, (3, 0)), "n_v = 0: allowed is 1..6"),
    (lambda: smooth_panel(covariance(), Scenario(), (3, 3)), "covariance is of order 36"),
]


@pytest.mark.parametrize(("call", "message"), ERRORS, ids=[message for _, message in ERRORS])
def test_what_cannot_be_used_is_named(call, message: str, untyped) -> None:
    with untyped(), pytest.raises(InputError) as caught:
        call()
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_windows_list_their_elements_in_the_panel_order() -> None:
    windows = sub_panel_windows((4, 3), (3, 2))
    assert windows.tolist() == [
        [0, 1, 2, 4, 5, 6],
        [1, 2, 3, 5, 6, 7],
        [4, 5, 6, 8, 9, 10],
        [5, 6, 7, 9, 10, 11],
    ]


def test_smoothing_separates_coherent_plane_waves() -> None:
    plane = SCENARIO.replace(wavefront="plane")
    summed = LowRankCovariance(steering(plane).sum(-1, keepdim=True))
    smoothed, part = smooth_panel(summed, plane, (4, 5))
    assert part.panel == (4, 5)
    values = eigenvalues(smoothed)
    rounding = 36 * EPS * values[:, 0]
    assert (values[:, 1] > 1e3 * rounding).all()
    assert (values[:, 2] < rounding).all()
    a = steering_vector(ideal_panel(part, torch.float64), AZIMUTH, ELEVATION, DISTANCE, "plane").mT
    left = noise_projection(signal_subspace(smoothed, 2), a)
    # The subspace is off by rounding over its gap.
    assert (left.sqrt() < (36 * EPS * values[:, 0] / values[:, 1])[:, None]).all()
    found = locate_from_covariance(smoothed, part, 2)
    assert (columns(found, "azimuth").sort().values - AZIMUTH.sort().values).abs().max() < STEP


def test_forward_backward_keeps_a_plane_wave_and_mirrors_a_curved_one() -> None:
    panel = ideal_panel(SCENARIO, torch.float64)
    wavefronts: tuple[Wavefront, ...] = ("plane", "fresnel")
    for wavefront in wavefronts:
        a = steering_vector(panel, AZIMUTH, ELEVATION, DISTANCE, wavefront).mT[..., :1]
        # Towards a focus as far behind the panel: s stays, and the curvature changes sign.
        opposite = steering_vector(panel, -AZIMUTH, -ELEVATION, DISTANCE, wavefront)
        mirror = opposite.conj().mT[..., :1]
        both = forward_backward(LowRankCovariance(a)).dense()
        expected = (a @ a.mH + mirror @ mirror.mH) / 2
        # A phase of k R, rounded.
        assert (both - expected).abs().max() < 36 * EPS * math.pi * 6
