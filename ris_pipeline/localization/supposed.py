"""Sources supposed to be there: what turns measurements into scenes that bounds can be taken at.

    x_t = argmin |y_t - Phi_t A x_t|^2,      sigma^2 = the residual over its degrees of freedom

Bounds are functions of the truth. Of measurements of one's own nobody knows it, and a bound is
taken where the sources are thought to be: at what an estimator found, or at a place of interest.
"""

import torch
from jaxtyping import Float
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_finite
from ris_pipeline.localization.coordinates import free_coordinates, search_domain
from ris_pipeline.localization.least_squares.linearisation import linearise
from ris_pipeline.localization.measurement.checks import check_scenes
from ris_pipeline.localization.measurement.measure import measure
from ris_pipeline.localization.measurement.noise import noise_estimate
from ris_pipeline.scene import Received, SceneBatch, Sources


def suppose_sources(
    scenes: Received,
    azimuth: Float[Tensor, "b k"],
    elevation: Float[Tensor, "b k"],
    distance: Float[Tensor, "b k"],
    noise_variance: Float[Tensor, " b"] | None = None,
) -> SceneBatch:
    """The same scenes with sources at given places; their amplitudes are fitted.

        suppose_sources(scenes, found.azimuth, found.elevation, found.distance)

    is the scene as an estimator saw it: what `cramer_rao_bound` and `estimation_errors` take. With
    a plane wavefront any distance will do.

    Args:
        azimuth, elevation, distance: (B, K), radians and metres, NaN in empty slots, which come
            last: as `Estimates` has them.
        noise_variance: (B,); by default that of `scenes`, and where nobody knows it the estimate of
            the fit.

    Raises:
        InputError: as `locate` for the scenes; places of another shape, in no order, or sources
            that coincide; no noise variance where nothing is left to estimate it from.
    """
    check_scenes(scenes)
    flat = scenes.scenario.wavefront == "plane"
    places = torch.stack((azimuth, elevation, torch.ones_like(azimuth) if flat else distance), -1)
    active = _active(places, scenes.size)
    parameters = torch.where(active[..., None], places.double(), 1.0)
    parameters[..., 2] = 1 / parameters[..., 2]
    measurement = measure(scenes)
    fit = linearise(measurement, parameters, active)
    if not bool(torch.isfinite(fit.rss).all()):
        raise InputError("sources coincide: allowed are places that the panel tells apart")
    noise = scenes.noise_variance if noise_variance is None else noise_variance
    if noise is None:
        noise = noise_estimate(measurement, fit.rss, active.sum(1), _fitted(scenes))
    check_finite("noise_variance", noise)
    amplitudes = torch.where(active[:, None], fit.amplitudes, 0.0).mT
    size = amplitudes.abs().square().mean(-1).sqrt()
    symbols = amplitudes / torch.where(size > 0, size, 1.0)[..., None]
    signal = measurement.energy - fit.rss
    snr = 10 * (signal / (measurement.samples * noise)).clamp_min(0).log10()
    real, kind = scenes.snapshots.real.dtype, scenes.snapshots.dtype
    sources = Sources(
        azimuth=parameters[..., 0].to(real),
        elevation=parameters[..., 1].to(real),
        distance=(1 / parameters[..., 2]).to(real),
        gains=size.to(kind),
        symbols=symbols.to(kind),
        count=active.sum(1),
    )
    return _scenes_of(scenes, sources, noise.to(real), snr.to(real))


def _scenes_of(scenes: Received, sources: Sources, noise: Tensor, snr: Tensor) -> SceneBatch:
    """What was received, with a truth."""
    return SceneBatch(
        snapshots=scenes.snapshots,
        channel=scenes.channel,
        codes=scenes.codes,
        panel=scenes.panel,
        scenario=scenes.scenario,
        noise_variance=noise,
        snr_db=snr,
        sources=sources,
    )


def _fitted(scenes: Received) -> int:
    """Coordinates of a source that somebody fitted."""
    domain = search_domain(scenes.scenario, scenes.snapshots.device)
    return int(free_coordinates(domain, scenes.scenario.wavefront).sum())


def _active(places: Tensor, scenes: int) -> Tensor:
    """(B, K): which slots hold a source."""
    if places.ndim != 3 or places.shape[0] != scenes:
        raise InputError(
            f"azimuth has shape {tuple(places.shape[:-1])}: allowed is ({scenes}, sources)"
        )
    empty = places.isnan().any(-1)
    active = ~empty
    if bool((active[:, 1:] & empty[:, :-1]).any()):
        raise InputError("azimuth has an empty slot before a source: allowed are empty ones last")
    check_finite("azimuth, elevation, distance", places[active])
    if bool((places[active][:, 2] <= 0).any()):
        least = float(places[active][:, 2].min())
        raise InputError(f"distance holds {least}: allowed are positive numbers")
    return active
