"""One scene looked at closely: what the estimators see in it, and how their errors scatter."""

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch

from ris_pipeline.commands.views import learned_view, located_view
from ris_pipeline.config import Scenario
from ris_pipeline.learning.inference import CovarianceModel, Verdict, localise
from ris_pipeline.localization import estimation_errors, fisher_information, locate
from ris_pipeline.report.figures import SpectrumView
from ris_pipeline.report.run_page.scene import Profile, Scatter
from ris_pipeline.scene import (
    SceneBatch,
    SceneSet,
    Sources,
    Split,
    clean_snapshots,
    covariance_factor,
)
from ris_pipeline.spectral import LowRankCovariance

_MOST = 3
"""Sources whose errors are shown, those of the first slots."""


@dataclass(frozen=True)
class Look:
    """What there is to draw of one scene; order: its number of sources; verdict: on the network's
    prediction, None without a network."""

    views: Sequence[SpectrumView]
    scatters: Sequence[Scatter]
    profiles: Sequence[Profile]
    order: int
    snr_db: float
    verdict: Verdict | None = None


def look_at(scenario: Scenario, seed: int, draws: int, model: CovarianceModel | None) -> Look:
    """Of the first unseen scene with the most sources at the middle of the SNR.

    Args:
        draws: of the noise, over which errors scatter.
        model: adds the learned covariance.
    """
    middle, high = sum(scenario.snr_db) / 2, scenario.sources[1]
    shown = scenario.replace(snr_db=(middle, middle), sources=(high, high))
    scene = SceneSet(shown, seed, 1, Split.TEST).scenes(0, 1)
    views, profiles = [located_view(scene)], [_profile("true", _truth(scene))]
    verdict = None
    if model is not None:
        found = localise(model, scene)
        verdict = Verdict(int(found.verdict[0]))
        # Also one that `localise` leaves aside because it is flat: that is to be seen.
        learned = model.predict(scene).covariance()
        if verdict != Verdict.NOT_FINITE:
            views.append(learned_view(learned, scene))
            profiles.append(_profile("learned", learned))
        profiles += [
            _profile("least squares", found.fitted),
            _profile("together", found.covariance),
        ]
    scatters = _scatters(scene, draws, seed) if draws else []
    return Look(views, scatters, profiles, high, middle, verdict)


def _truth(scene: SceneBatch) -> LowRankCovariance:
    return LowRankCovariance(covariance_factor(scene).to(torch.complex128))


def _profile(name: str, covariance: LowRankCovariance) -> Profile:
    return Profile(name, covariance.eigenvalues()[0].double().numpy(force=True))


def _with_new_noise(scene: SceneBatch, draws: int, seed: int) -> SceneBatch:
    """The scene `draws` times, `y = Phi A g s + n` with n drawn anew."""
    generator = torch.Generator().manual_seed(seed)
    clean = clean_snapshots(scene)
    shape = (draws, *clean.shape[1:])
    noise = torch.randn(shape, dtype=clean.dtype, generator=generator)
    received = clean + scene.noise_variance.double().sqrt() * noise

    def repeated(value: torch.Tensor) -> torch.Tensor:
        return value.expand(draws, *value.shape[1:])

    sources = {f.name: repeated(getattr(scene.sources, f.name)) for f in fields(Sources)}
    return replace(
        scene,
        snapshots=received.to(scene.snapshots.dtype),
        channel=repeated(scene.channel),
        noise_variance=repeated(scene.noise_variance),
        snr_db=repeated(scene.snr_db),
        sources=Sources(**sources),
    )


def _scatters(scene: SceneBatch, draws: int, seed: int) -> list[Scatter]:
    repeated = _with_new_noise(scene, draws, seed)
    errors = estimation_errors(locate(repeated), repeated)
    information = fisher_information(scene)[0]
    bound = torch.linalg.pinv(information, hermitian=True)
    scatters = []
    sources = scene.sources
    for k in range(min(_MOST, int(sources.count[0]))):
        of_angles = slice(3 * k, 3 * k + 2)
        error = errors.error[errors.detected[:, k], k, :2].double().rad2deg()
        place = (
            float(sources.azimuth[0, k].rad2deg()),
            float(sources.elevation[0, k].rad2deg()),
            float(sources.distance[0, k]),
        )
        unit = torch.tensor(1.0, dtype=torch.float64).rad2deg() ** 2
        covariance = bound[of_angles, of_angles] * unit
        scatters.append(
            Scatter(error.numpy(force=True), covariance.numpy(force=True), draws, place)
        )
    return scatters
