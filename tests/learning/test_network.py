"""Cells, atoms and the look at the data, against their definitions scene by scene."""

import math
from dataclasses import replace

import pytest
import torch

from ris_pipeline.config import ModelConfig, Scenario, load_settings
from ris_pipeline.learning import (
    CovarianceNetwork,
    make_features,
    make_prediction,
    make_sector,
    make_truth,
    measure_scales,
)
from ris_pipeline.learning.atoms import (
    ATOM_CHANNELS,
    Atoms,
    _newton_steps,
    _posterior,
    answer_channels,
    look_again,
    read_atoms,
    read_slots,
)
from ris_pipeline.scene import SceneBatch, ideal_panel, sensing_matrix, simulate, steering_vector

EPS = torch.finfo(torch.float64).eps
MODEL = ModelConfig(stages=2, width=4, conv_blocks=1, cells=(5, 4), depths=3, atoms=6)
SCENARIOS = {
    "static": Scenario(panel=(4, 3), antennas=3, codes=6, sources=(1, 2)),
    "moving": Scenario(panel=(4, 3), antennas=3, codes=6, blocks=3, sources=(1, 3)),
    "few rows": Scenario(panel=(4, 4), antennas=2, codes=3, blocks=2, sources=(1, 1)),
}
CONDITION = 1e4
"""Of the normal equations up to 20 dB; solutions keep eps times it (Higham, 2002, thm 10.4)."""


@pytest.fixture(params=SCENARIOS)
def scenes(request) -> SceneBatch:
    return simulate(SCENARIOS[request.param], 3, torch.arange(4), torch.float64)


def sector_of(scenes: SceneBatch):
    return make_sector(scenes.scenario, MODEL, torch.float64)


def drawn_atoms(scenes: SceneBatch, seed: int = 0) -> Atoms:
    generator = torch.Generator().manual_seed(seed)
    shape = scenes.size, answer_channels(MODEL.depths), *MODEL.cells
    answer = torch.randn(shape, dtype=torch.float64, generator=generator)
    sector = sector_of(scenes)
    return read_atoms(answer, sector, MODEL.atoms, scenes.panel, scenes.scenario.wavefront)


def test_cells_cover_the_sector_and_hold_their_centres(scenes) -> None:
    sector = sector_of(scenes)
    assert torch.equal(
        sector.cell_of(torch.asin(sector.p), torch.asin(sector.v)), torch.arange(sector.cells)
    )
    low, high = scenes.scenario.azimuth_deg
    corners = torch.tensor([low, high], dtype=torch.float64).deg2rad()
    assert sector.cell_of(corners, torch.zeros(2, dtype=torch.float64)).max() < sector.cells
    assert sector.p.min() - sector.half[0] == pytest.approx(math.sin(math.radians(low)))
    near, far = (1 / sector.grid.inverse_distance.max(), 1 / sector.grid.inverse_distance.min())
    assert scenes.scenario.distance[0] < near < far < scenes.scenario.distance[1]


def test_the_prediction_is_a_sum_of_exact_wavefronts_of_trace_n(scenes) -> None:
    atoms = drawn_atoms(scenes)
    a = steering_vector(
        ideal_panel(scenes.scenario, torch.float64),
        atoms.azimuth,
        atoms.elevation,
        (-atoms.depth).exp(),
    )
    n = scenes.panel.elements
    dense = n * torch.einsum("bq,bqn,bqm->bnm", atoms.share.to(a), a, a.conj())
    covariance = atoms.covariance()
    torch.testing.assert_close(covariance.dense(), dense, rtol=0, atol=n * n * EPS)
    torch.testing.assert_close(covariance.trace(), torch.full((scenes.size,), float(n)).double())
    assert covariance.rank == MODEL.atoms


def test_the_posterior_is_that_of_the_linear_model(scenes) -> None:
    """`x | y` of `y_t = Phi_t A x_t + n_t`, x ~ CN(0, N P w): on the long vector."""
    sector, atoms = sector_of(scenes), drawn_atoms(scenes)
    features = make_features(scenes, sector)
    x, spread, residual = _posterior(atoms, features)
    phi = sensing_matrix(scenes.channel, scenes.codes)
    y = scenes.snapshots.flatten(2)
    for b in range(scenes.size):
        prior = scenes.panel.elements * features.power[b] * atoms.weight[b]
        for t in range(phi.shape[1]):
            g = phi[b, t] @ atoms.steering[b]
            noise = scenes.noise_variance[b]
            cov = (g * prior) @ g.mH + noise * torch.eye(g.shape[0], dtype=g.dtype)
            gain = (prior[:, None] * g.mH) @ torch.linalg.inv(cov)
            bound = CONDITION * g.shape[0] * EPS
            mean = gain @ y[b, t]
            assert (x[b, t] - mean).norm() <= bound * mean.norm() + bound * prior.sqrt().max()
            variance = (prior - (gain @ (g * prior)).diagonal()).real
            assert (spread[b, t] - variance).abs().max() <= bound * prior.max()
            left = phi[b, t].mH @ (y[b, t] - g @ mean)
            scale = (phi[b, t].mH @ y[b, t]).norm()
            assert (residual[b, t] - left).norm() <= bound * scale


def test_the_newton_step_points_down_the_likelihood(scenes) -> None:
    """Its score is the derivative of the misfit by each atom's own coordinates."""
    sector, atoms = sector_of(scenes), drawn_atoms(scenes)
    features = make_features(scenes, sector)
    x, _, residual = _posterior(atoms, features)
    step, deviation = _newton_steps(atoms, x, residual, features, sector)
    assert ((deviation > 0) & (deviation <= 1 + 1e-9)).all(), "never wider than the prior"
    phi = sensing_matrix(scenes.channel, scenes.codes)

    def misfit(p, v, depth) -> torch.Tensor:
        a = steering_vector(scenes.panel, torch.asin(p), torch.asin(v), (-depth).exp()).mT
        model = (phi @ a[:, None] @ x[..., None])[..., 0]
        error = (scenes.snapshots.flatten(2) - model).abs().square().sum((1, 2))
        return 0.5 * (error / scenes.noise_variance).sum()

    places = [z.clone().requires_grad_() for z in (atoms.p, atoms.v, atoms.depth)]
    gradient = torch.autograd.grad(misfit(*places), places)
    down = -torch.stack(gradient, 1) * torch.tensor(sector.half)[:, None]
    # (J + I) step = down with J >= 0: the step is no longer than the score and not against it.
    assert (step.square().sum(1) <= down.square().sum(1) * (1 + 1e-6)).all()
    assert ((step * down).sum(1) >= -1e-9 * down.square().sum(1)).all()


def test_what_atoms_tell_stands_in_their_cells(scenes) -> None:
    sector, atoms = sector_of(scenes), drawn_atoms(scenes)
    seen = look_again(atoms, make_features(scenes, sector), sector)
    assert seen.shape == (scenes.size, 3 * MODEL.depths + ATOM_CHANNELS, *MODEL.cells)
    told = seen[:, 3 * MODEL.depths :].flatten(2)
    assert torch.equal(told[:, 0].gather(1, atoms.cell), atoms.weight)
    assert (told.abs().sum(1) > 0).sum(1).eq(MODEL.atoms).all()


def test_slots_are_the_sources_that_the_atoms_are(scenes) -> None:
    count = scenes.scenario.sources[1]
    atoms, sources = drawn_atoms(scenes), scenes.sources
    where = torch.arange(MODEL.atoms) % count
    depth = -sources.distance.log()
    p, v = torch.sin(sources.azimuth), torch.sin(sources.elevation)
    p, v, depth = (x[:, where] for x in (p, v, depth))
    steering = steering_vector(scenes.panel, torch.asin(p), torch.asin(v), (-depth).exp()).mT
    atoms = atoms._replace(p=p, v=v, depth=depth, steering=steering)
    azimuth, _, log_distance = read_slots(atoms, count)
    assert azimuth.shape == (scenes.size, count)
    if count == 1:
        torch.testing.assert_close(azimuth, sources.azimuth)
        torch.testing.assert_close(log_distance, sources.distance.log())


def test_every_parameter_and_every_stage_gets_a_gradient(scenes) -> None:
    sector = sector_of(scenes)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = CovarianceNetwork(MODEL, sector, scenes.scenario.wavefront)
    believed = network(make_features(scenes, sector))
    prediction = make_prediction(believed, scenes.scenario.sources[1])
    assert len(prediction.stages) == MODEL.stages
    loss = prediction.covariance.gram().abs().square().sum() + prediction.cells.square().sum()
    (loss + prediction.log_distance.square().sum()).backward()
    dead = [n for n, p in network.named_parameters() if p.grad is None or not p.grad.any()]
    assert not dead
    groups = {*network.backbone_parameters()}, {*network.head_parameters()}
    assert groups[0].isdisjoint(groups[1])
    assert groups[0] | groups[1] == {*network.parameters()}


def test_features_do_not_see_the_truth(scenes) -> None:
    sector = sector_of(scenes)
    sources = replace(scenes.sources, azimuth=-scenes.sources.azimuth)
    blind = replace(scenes, sources=sources, truth=None)
    images = [make_features(s, sector).image for s in (scenes, blind)]
    assert torch.equal(*images)
    assert torch.isfinite(images[0]).all()


def test_the_truth_shares_its_power_over_cells(scenes) -> None:
    sector = sector_of(scenes)
    truth = make_truth(scenes, sector)
    torch.testing.assert_close(truth.cells.sum(1), torch.ones(scenes.size, dtype=torch.float64))
    assert (truth.cells > 0).sum(1).le(scenes.sources.count).all()


def test_the_units_are_of_an_answer_that_knows_nothing() -> None:
    settings = load_settings("golden")
    scales = measure_scales(settings)
    assert scales.keys() == settings.loss.weights.model_dump().keys()
    # No answer at all (R = 0) has an NMSE of one, and the best constant one is a little better.
    assert 0.5 < scales["nmse"] < 1
    # Six significant digits are kept in the preset.
    assert settings.loss.scales == pytest.approx(scales, rel=1e-5)


@pytest.mark.parametrize("power", [-14, 20])
def test_features_have_no_units(scenes, power) -> None:
    sector, unit = sector_of(scenes), 2.0**power
    louder = replace(
        scenes,
        snapshots=scenes.snapshots * unit,
        noise_variance=scenes.noise_variance * unit**2,
    )
    nearer = replace(scenes, channel=scenes.channel * unit)
    for there in (louder, nearer):
        assert torch.equal(make_features(there, sector).image, make_features(scenes, sector).image)


def test_the_plain_filter_of_noise_alone_is_near_one(scenes) -> None:
    # |z^H a|^2 / (sigma^2 a^H W a) is exponential of mean one: a mean over cells and scenes.
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(scenes.snapshots.shape, dtype=torch.complex64, generator=generator)
    deviation = scenes.noise_variance.sqrt()[:, None, None, None]
    alone = replace(scenes, snapshots=noise.to(scenes.snapshots) * deviation)
    sector = sector_of(scenes)
    plain = torch.expm1(4 * make_features(alone, sector).image[:, : sector.depth.numel()])
    assert 0.5 < float(plain.mean()) < 2
