"""The baselines: right where theory says so, and refused input named as `locate` names it."""

import math
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from localization_helpers import draw, noiseless

from ris_pipeline._errors import InputError
from ris_pipeline.config import Scenario
from ris_pipeline.evaluation import Task, evaluate_unit, statistics
from ris_pipeline.evaluation.estimators import ESTIMATORS
from ris_pipeline.localization import (
    Status,
    beamwidths,
    diffuse_ratio,
    estimation_errors,
    measure,
    search_domain,
)
from ris_pipeline.localization.baselines.folded_directions import aliases
from ris_pipeline.localization.baselines.modified_music import anti_diagonal
from ris_pipeline.localization.measurement.aperture import sample_covariance
from ris_pipeline.scene import ideal_panel, sensing_matrix, steering_matrix, steering_vector
from ris_pipeline.spectral import LowRankCovariance

pytestmark = pytest.mark.no_shapes

EPS = torch.finfo(torch.float64).eps
BASELINES = tuple(name for name in ESTIMATORS if name != "maximum_likelihood")
APART: dict[str, Any] = {
    "panel": (10, 10),
    "antennas": 16,
    "codes": 16,
    "sources": (2, 2),
    "separation_deg": 40.0,
    "elevation_deg": (-10.0, 10.0),
    "distance": (8.0, 12.0),
}
"""Two sources three beamwidths apart, where the wavefront is nearly plane."""


def off(found, scenes):
    """Largest distance of an estimate from its source in direction cosines, about."""
    return estimation_errors(found, scenes).angle[scenes.sources.active].max().item()


@pytest.mark.parametrize("name", BASELINES)
@pytest.mark.parametrize("blocks", [1, 6])
def test_two_sources_far_apart_are_found(name: str, blocks: int) -> None:
    scenes = noiseless(draw(size=6, **APART, blocks=blocks))
    found = ESTIMATORS[name](scenes, 2)
    assert found.count.tolist() == [2] * 6
    # What each is blind to: the other source at its sidelobes, the wavefront's curvature, or what
    # lies between grid points. A quarter of a beamwidth is half a cell of the coarsest grid.
    assert off(found, scenes) < beamwidths(scenes.scenario)[0] / 4
    power = found.power.sum(1) / scenes.sources.powers.sum(1)
    assert (power - 1).abs().max() < 0.5
    assert torch.isnan(found.distance).all() == (name == "plane_music")
    assert torch.isnan(found.std).all()


def test_one_source_is_found_to_rounding_where_the_model_holds() -> None:
    # No noise, one source, a ridge at its floor: plane waves for the two methods that assume them.
    for name, wavefront in (("plane_music", "plane"), ("mvdr_planes", "spherical")):
        settings = {**APART, "sources": (1, 1), "separation_deg": None, "distance": (1.0, 5.0)}
        scenes = noiseless(draw(size=6, wavefront=wavefront, **settings))
        found = ESTIMATORS[name](scenes, 1)
        # The ridge of the back-projection, at least 1e-4 of the mean eigenvalue, bends the field by
        # its ratio to the smallest, a hundredth of that.
        assert off(found, scenes) < 1e-4 * 1e2


def test_directions_on_the_anti_diagonal_have_no_curvature() -> None:
    scenario = Scenario(panel=(6, 5))
    panel = ideal_panel(scenario, torch.float64)
    azimuth, elevation = torch.tensor([0.4]).double(), torch.tensor([-0.2]).double()
    a = steering_vector(panel, azimuth, elevation, torch.tensor([1.0]).double(), "fresnel").mT
    doubled = replace(panel, positions=2 * panel.positions)
    b = steering_vector(doubled, azimuth, elevation, torch.tensor([1.0]).double(), "plane")
    r = anti_diagonal(LowRankCovariance(a[None]))[0]
    assert (r * math.sqrt(30) - b[0]).abs().max() < 30 * EPS * 2 * math.pi * 3


def test_every_alias_inside_the_domain_is_listed() -> None:
    domain = search_domain(Scenario(azimuth_deg=(-60, 60), elevation_deg=(-20, 20)))
    angles = torch.tensor([[[0.3, 0.1]]], dtype=torch.float64)
    places, inside = aliases(angles, torch.tensor([1.0, math.inf]).double(), domain)
    u = torch.sin(places[..., 0]) * torch.cos(places[..., 1])
    first = math.sin(0.3) * math.cos(0.1)
    assert sorted(u[inside].tolist()) == pytest.approx([first - 1, first], rel=1e2 * EPS)
    assert torch.sin(places[..., 1])[inside] == pytest.approx(math.sin(0.1), rel=1e2 * EPS)


def test_modified_music_tells_aliases_apart() -> None:
    # Directions beyond half a period, where the doubled panel cannot tell u from u - 1.
    settings = {**APART, "sources": (1, 1), "separation_deg": None, "azimuth_deg": (40.0, 60.0)}
    for side in (1, -1):
        low, high = sorted((side * 40.0, side * 60.0))
        scenes = noiseless(draw(size=8, **{**settings, "azimuth_deg": (low, high)}))
        wide = replace(scenes, scenario=scenes.scenario.replace(azimuth_deg=(-60.0, 60.0)))
        found = ESTIMATORS["modified_music"](wide, 1)
        assert off(found, scenes) < beamwidths(scenes.scenario)[0] / 4


@pytest.mark.parametrize("name", BASELINES)
def test_scenes_of_a_batch_do_not_see_each_other(name: str) -> None:
    scenes = draw(size=3, **APART)
    together = ESTIMATORS[name](scenes, torch.tensor([2, 1, 2]))
    for scene, k in enumerate((2, 1, 2)):
        alone = ESTIMATORS[name](scenes.between(scene, scene + 1), k)
        assert together.count[scene] == alone.count[0] == k
        # What a climb leaves open.
        assert (together.azimuth[scene, :k] - alone.azimuth[0]).abs().max() < 1e-4
        assert torch.equal(together.status[scene, :k], alone.status[0])


@pytest.mark.slow
@pytest.mark.parametrize("name", BASELINES)
def test_the_number_is_found_where_the_fit_is_good(name: str) -> None:
    scenes = draw(size=6, **{**APART, "sources": (1, 1), "separation_deg": None}, snr_db=(0, 0))
    found = ESTIMATORS[name](scenes, None)
    assert found.azimuth.shape == (6, 5)
    assert (found.count >= 1).all()
    if name in ("plane_music", "mvdr_planes"):
        assert found.count.tolist() == [1] * 6
    assert torch.equal(found.active, ~torch.isnan(found.azimuth))


@pytest.mark.slow
def test_noise_alone_holds_no_source() -> None:
    scenes = draw(size=4, **APART)
    generator = torch.Generator().manual_seed(3)
    noise = torch.randn(scenes.snapshots.shape, dtype=torch.complex128, generator=generator)
    for name in BASELINES:
        assert ESTIMATORS[name](replace(scenes, snapshots=noise), None).count.tolist() == [0] * 4


@pytest.mark.parametrize("name", BASELINES)
def test_a_source_beyond_the_domain_is_at_its_edge(name: str) -> None:
    settings = {**APART, "sources": (1, 1), "separation_deg": None, "azimuth_deg": (31.0, 32.0)}
    scenes = noiseless(draw(size=4, **settings))
    narrow = replace(scenes, scenario=scenes.scenario.replace(azimuth_deg=(-30.0, 30.0)))
    found = ESTIMATORS[name](narrow, 1)
    assert found.status.eq(int(Status.EDGE)).all()
    assert found.azimuth == pytest.approx(math.radians(30.0), rel=1e-6)


@pytest.mark.parametrize("name", BASELINES)
def test_single_precision_and_an_empty_batch(name: str) -> None:
    scenes = draw(size=2, dtype=torch.float32, **APART)
    found = ESTIMATORS[name](scenes, 2)
    assert found.azimuth.dtype == torch.float32
    empty = ESTIMATORS[name](scenes.between(0, 0), 2)
    assert empty.azimuth.shape[0] == 0


@pytest.mark.parametrize("name", BASELINES)
def test_refused_input(name: str) -> None:
    scenes = draw(size=2, **APART)
    for number in (0, 6, True, torch.tensor([1])):
        with pytest.raises(InputError, match="number"):
            ESTIMATORS[name](scenes, number)
    broken = replace(scenes, snapshots=scenes.snapshots * math.nan)
    with pytest.raises(InputError, match="snapshots has"):
        ESTIMATORS[name](broken, 1)


def test_neither_truth_nor_noise_variance_is_used() -> None:
    scenes = draw(size=2, **APART)
    lost = replace(scenes.sources, azimuth=scenes.sources.azimuth + 1)
    blind = replace(scenes, sources=lost, noise_variance=scenes.noise_variance * math.nan)
    for name in BASELINES:
        first, second = (ESTIMATORS[name](x, 2) for x in (scenes, blind))
        assert torch.equal(first.azimuth, second.azimuth)


@pytest.mark.parametrize("codes", [4, 16])
def test_the_aperture_field_solves_the_normal_equations(codes: int) -> None:
    scenes = draw(size=3, blocks=2, codes=codes)
    measurement = measure(scenes)
    ratio = diffuse_ratio(measurement)
    field = measurement.regularised_inverse(ratio, torch.complex128)
    phi = sensing_matrix(scenes.channel, scenes.codes)
    left = (phi.mH @ (phi @ field[..., None]))[..., 0] + ratio[:, None, None] * field
    gram = phi.abs().square().sum((2, 3))
    bound = 36 * EPS * (gram / ratio[:, None])[..., None] * measurement.matched.abs().amax()
    assert ((left - measurement.matched).abs() < bound).all()
    covariance = sample_covariance(measurement, ratio, torch.complex128).dense()
    expected = torch.einsum("btn,btm->bnm", field, field.conj()) / 2
    assert (covariance - expected).abs().max() < 8 * EPS * expected.abs().max()


def test_the_aperture_field_is_that_of_the_sources_but_for_the_ridge() -> None:
    scenes = noiseless(draw(size=3, antennas=16, codes=16))
    ratio = torch.full((3,), 1e-3, dtype=torch.float64)
    field = measure(scenes).regularised_inverse(ratio, torch.complex128)[:, 0]
    amplitudes = scenes.sources.gains * scenes.sources.symbols[..., 0]
    truth = (steering_matrix(scenes) @ amplitudes[..., None])[..., 0]
    phi = sensing_matrix(scenes.channel, scenes.codes)[:, 0].numpy()
    least = np.linalg.svd(phi, compute_uv=False)[:, -1] ** 2
    # I - (W + eps I)^-1 W = eps (W + eps I)^-1
    bound = torch.from_numpy(1e-3 / least) * truth.norm(dim=1)
    assert ((field - truth).norm(dim=1) < bound).all()


def test_a_distance_that_is_not_estimated_is_not_scored() -> None:
    scenario = Scenario(**APART, snr_db=(20.0, 20.0))
    task = Task(scenario, "plane_music", True, 0, 0, 12)
    records = evaluate_unit(task, ESTIMATORS[task.estimator])
    row = statistics(records)
    assert row["detected"] > 0
    assert math.isfinite(row["azimuth_rmse_deg"])
    assert math.isfinite(row["azimuth_ratio_low"])
    assert all(math.isnan(row[f"distance_{x}"]) for x in ("rmse_m", "ratio", "normalized"))
    assert np.isnan(records.error[..., 2]).all()


@pytest.mark.parametrize("name", ESTIMATORS)
def test_numbers_of_numpy_are_numbers(name) -> None:
    scenes = draw(3, sources=(2, 2), snr_db=(20.0, 20.0))
    each = torch.tensor([2, 1, 2])
    pairs: list[tuple[Any, Any]] = [(2, np.int64(2)), (each, each.numpy())]
    for number, other in pairs:
        found, again = ESTIMATORS[name](scenes, number), ESTIMATORS[name](scenes, other)
        assert torch.equal(found.count, again.count)
        assert torch.equal(found.azimuth.nan_to_num(), again.azimuth.nan_to_num())
    # Workers are sent it.
    assert pickle.loads(pickle.dumps(ESTIMATORS[name])) is ESTIMATORS[name]  # noqa: S301
