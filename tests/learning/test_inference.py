"""A trained network at work: blends, refuses, falls back, travels."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from ris_pipeline._errors import InputError
from ris_pipeline.config import load_settings
from ris_pipeline.learning import (
    CovarianceModel,
    Trainer,
    Verdict,
    export_model,
    find_model,
    load_model,
    localise,
    model_names,
    save_checkpoint,
)
from ris_pipeline.learning.blending import blend_weight, fit_error, fitted_covariance
from ris_pipeline.localization import locate, search_domain
from ris_pipeline.localization.bounds.deterministic import true_amplitudes, true_parameters
from ris_pipeline.localization.least_squares.linearisation import linearise
from ris_pipeline.localization.measurement.measure import measure
from ris_pipeline.scene import SceneBatch, SceneSet, Split, covariance_factor
from ris_pipeline.spectral import LowRankCovariance, nmse
from ris_pipeline.verification.bounds import product_bound

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def model() -> CovarianceModel:
    return load_model(find_model("small"))


@pytest.fixture(scope="module")
def scenes(model: CovarianceModel) -> SceneBatch:
    return SceneSet(model.settings.scenario, 11, 32, Split.TEST).scenes(0, 32)


def truth_of(scenes: SceneBatch) -> LowRankCovariance:
    return LowRankCovariance(covariance_factor(scenes).to(torch.complex128))


def test_the_shipped_model_is_small_and_beats_least_squares(model, scenes) -> None:
    assert model_names() == ["small"]
    assert find_model("small").stat().st_size <= 2_000_000
    found, truth = localise(model, scenes), truth_of(scenes)
    learned, fitted, both = (
        nmse(r, truth).mean() for r in (found.learned, found.fitted, found.covariance)
    )
    # Over 2,048 scenes 0.55 and 0.51 of it; 32 scenes scatter by a fifth.
    assert max(learned, both) < 0.85 * fitted
    assert (found.verdict == Verdict.USED).all()
    # The network's half is in single precision.
    torch.testing.assert_close(found.covariance.trace().float(), torch.full((32,), 36.0))
    assert ((found.beta >= 0) & (found.beta <= 1)).all()


def test_what_was_localised_is_read_as_a_table(model, scenes) -> None:
    found = localise(model, scenes)
    rows = found.rows()
    assert len(rows) == int(found.estimates.count.sum())
    assert {row["prediction"] for row in rows} <= {verdict.name.lower() for verdict in Verdict}
    assert all(0 <= float(row["beta"] or 0) <= 1 for row in rows)
    assert repr(found).startswith("Localised, the prediction used in ")


def test_an_estimate_is_never_a_worse_fit_than_that_of_locate(model, scenes) -> None:
    found, alone = localise(model, scenes), locate(scenes)
    assert torch.equal(found.located.azimuth.nan_to_num(), alone.azimuth.nan_to_num())
    assert torch.equal(found.estimates.count, alone.count)
    kept = ~found.taken
    assert torch.equal(found.estimates.azimuth[kept].nan_to_num(), alone.azimuth[kept].nan_to_num())
    assert (found.estimates.noise_variance <= alone.noise_variance * (1 + 1e-3)).all()


@pytest.mark.parametrize("verdict", [Verdict.NOT_FINITE, Verdict.FLAT, Verdict.SATURATED])
def test_a_useless_prediction_leaves_the_scene_to_locate(model, scenes, verdict) -> None:
    network: Any = load_model(find_model("small")).network
    last = network.heads[-1][1]
    with torch.no_grad():
        for head in network.heads:
            head[1].weight.zero_()
            head[1].bias.zero_()
        if verdict == Verdict.NOT_FINITE:
            last.bias[0] = torch.nan
        if verdict == Verdict.SATURATED:
            # One cell stands out, and points out of the sector.
            last.weight[0] = 1.0
            last.bias[1:3] = 50.0
            network.bodies[-1].place[0, :, 3, 3] = 100.0
    fields = "snapshots", "channel", "noise_variance", "snr_db"
    few = replace(scenes, **{name: getattr(scenes, name)[:4] for name in fields})
    found = localise(replace(model, network=network), few)
    assert (found.verdict == verdict).all()
    assert (found.beta == 1).all()
    blended, fitted = found.covariance.dense(), found.fitted.dense()
    # The same columns beside others of zeros, which a kernel may add in another order.
    allowed = product_bound(1.0, found.covariance.factor.shape[-1], fitted.dtype)
    assert (blended - fitted).abs().max() <= allowed


def test_of_a_source_alone_the_likelihood_decides(model) -> None:
    scenario = model.settings.scenario.replace(snr_db=(-10, -10), sources=(1, 1))
    scenes = SceneSet(scenario, 0, 60, Split.TEST).scenes(0, 60)
    found, domain = localise(model, scenes, 1), search_domain(scenario)
    mine, alone = (
        linearise(
            measure(scenes),
            torch.stack((x.azimuth, x.elevation, 1 / x.distance), -1)
            .double()
            .clamp(domain.lower, domain.upper),
            x.active,
        ).rss
        for x in (found.estimates, found.located)
    )
    assert (mine <= alone * (1 + 1e-6)).all()


def test_the_error_of_a_fit_is_that_of_many_fits(model) -> None:
    """At 20 dB the posterior is narrow: the mean over scenes of the expected error is the error."""
    scenario = model.settings.scenario.replace(snr_db=(20, 20), sources=(1, 2))
    scenes = SceneSet(scenario, 5, 100, Split.TEST).scenes(0, 100)
    found = locate(scenes, scenes.sources.count)
    domain = search_domain(scenario)
    parameters = torch.stack((found.azimuth, found.elevation, 1 / found.distance), -1).double()
    parameters = torch.where(parameters.isnan(), domain.lower, parameters)
    noise = found.noise_variance.double()
    best, error = fit_error(measure(scenes), parameters, found.active, noise, domain)
    truth = truth_of(scenes)
    size = truth.gram().abs().square().sum((1, 2))
    actual = (nmse(best, truth) * size).median()
    # Of 100 scenes; a median of a sum of few squares is about two thirds of its mean.
    assert 0.4 < actual / error.median() < 1.5


def test_a_sharp_fit_takes_all_and_an_empty_one_nothing(scenes) -> None:
    data, domain = measure(scenes), search_domain(scenes.scenario)
    sources = scenes.sources
    parameters = true_parameters(sources).clamp(domain.lower, domain.upper)
    fitted = fitted_covariance(data, parameters, sources.active, true_amplitudes(sources))
    assert (nmse(fitted, truth_of(scenes)) < 1e-6).all()
    away = LowRankCovariance(torch.roll(fitted.factor, 1, dims=0))
    none = torch.zeros(scenes.size, dtype=torch.float64)
    empty = LowRankCovariance(torch.zeros_like(fitted.factor))
    given = none + torch.nan
    assert (blend_weight(away, empty, none, given) == 0).all()
    assert (blend_weight(fitted, fitted, none, given) == 1).all()
    assert (blend_weight(fitted, away, none + 1e9, given) < 1e-3).all()


def test_a_fit_of_doubtful_number_gives_way_to_an_undecided_posterior(scenes) -> None:
    data, sources = measure(scenes), scenes.sources
    parameters = true_parameters(sources)
    fitted = fitted_covariance(data, parameters, sources.active, true_amplitudes(sources))
    eye = torch.eye(data.elements, dtype=fitted.factor.dtype).expand(scenes.size, -1, -1)
    undecided, none = LowRankCovariance(eye), torch.zeros(scenes.size, dtype=torch.float64)
    sure, doubtful = (blend_weight(undecided, fitted, none, none + c) for c in (1.0, 0.1))
    assert (doubtful < sure).all()
    # |P|^2 = N and |M|^2 = N^2 of one source: r = N - 1, and beta = 1 / (1 + r^2 / c).
    alone = sources.count == 1
    doubt = data.elements - 1
    assert torch.allclose(sure[alone], torch.tensor(1 / (1 + doubt**2), dtype=torch.float64))


def test_a_model_travels_as_one_file(tmp_path: Path) -> None:
    settings = load_settings("golden", ["training.epochs=1", "training.batches=2"])
    trainer = Trainer(settings)
    trainer.train_epoch()
    run, alone = tmp_path / "checkpoint.safetensors", tmp_path / "model.safetensors"
    save_checkpoint(run, trainer.checkpoint())
    save_checkpoint(alone, export_model(trainer.settings, trainer.ema), page=False)
    assert [p.name for p in tmp_path.glob("model*")] == ["model.safetensors"]
    scenes = SceneSet(settings.scenario, 0, 4, Split.TEST).scenes(0, 4)
    first, second = (load_model(path).predict(scenes).steering for path in (run, alone))
    assert torch.equal(first, second)


def test_a_model_refuses_what_it_was_not_trained_for(model, scenes, tmp_path: Path) -> None:
    other = replace(scenes, scenario=scenes.scenario.replace(azimuth_deg=(-30, 30)))
    with pytest.raises(InputError, match=r"azimuth_deg .* the model was trained for"):
        model.predict(other)
    with pytest.raises(InputError, match="model = 'large': allowed are small"):
        find_model("large")
    settings = load_settings("golden")
    path = tmp_path / "wrong.safetensors"
    save_checkpoint(path, export_model(settings, {"x": torch.zeros(1)}))
    with pytest.raises(InputError, match="holds no weights of the network"):
        load_model(path)


@pytest.mark.parametrize("blocks", [1, 2])
def test_a_channel_of_zero_leaves_its_scene_to_locate_and_the_others_alone(model, blocks) -> None:
    scenario = model.settings.scenario.replace(blocks=blocks)
    scenes = SceneSet(scenario, 0, 3, Split.TEST).scenes(0, 3)
    channel = scenes.channel.clone()
    channel[1] = 0
    found, before = localise(model, replace(scenes, channel=channel)), localise(model, scenes)
    assert found.verdict[1] == Verdict.NOT_FINITE
    assert found.estimates.count[1] == 0
    for index in (0, 2):
        assert found.verdict[index] == before.verdict[index]
        assert found.estimates.count[index] == before.estimates.count[index]
