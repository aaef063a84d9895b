"""Sources one by one: detect, refine jointly, look again for every source with the others in place.

The first search is whitened against what has not been found yet (`whitening`). Once K sources are
in place nothing else is left in the data, so the second look uses the white filter, which is then
the exact likelihood ratio; a source moves when its best place lies in another lobe and lowers the
residual.

Source: J. Li and P. Stoica, "Efficient mixed-spectrum estimation with applications to target
feature extraction", IEEE Trans. Signal Process. 44(2), 1996 (the second look is RELAX's).
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from ris_pipeline.localization.cholesky import regular_cholesky
from ris_pipeline.localization.coordinates import Domain, line_of_sight
from ris_pipeline.localization.grid_search.detection import (
    Detector,
    grid_gains,
    next_places,
    next_source,
)
from ris_pipeline.localization.least_squares.refinement import STAGE_TOLERANCE, refine
from ris_pipeline.localization.measurement.columns import source_columns
from ris_pipeline.localization.measurement.noise import rounding_floor
from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.localization.measurement.whitening import (
    amplitude_ridge,
    noise_over_power,
    whiten,
)

_ROUNDS = 4
"""Second looks at all sources of a scene; a scene leaves after the first that moved nothing."""

_WORTH_MOVING = 0.5
"""A source moves when -ln likelihood falls by this much: less is not another place but slower
convergence to the same."""

_WORTH_TRYING = 0.5
"""A place is tried when its score is this part of the best one's: the grid and the sources beside
it, which are not refined with it, can hide a third."""


@dataclass(frozen=True)
class Search:
    """What the searches of a batch share: data and grid gains, white and whitened."""

    detector: Detector
    white: Measurement
    white_gains: Tensor
    whitened: Measurement
    whitened_gains: Tensor
    outside: Tensor | None
    """Energy outside the range of Phi (B,), see `Measurement.outside_energy`."""
    domain: Domain
    lobe: Tensor
    """Extent of a lobe in (u, v, 1/r), (3,): half a beamwidth and half a depth of focus."""

    def take(self, index: Tensor) -> "Search":
        """The scenes `index`."""
        if index.numel() == self.white.scenes:
            return self
        return Search(
            self.detector,
            self.white.take(index),
            self.white_gains[index],
            self.whitened.take(index),
            self.whitened_gains[index],
            None if self.outside is None else self.outside[index],
            self.domain,
            self.lobe,
        )


def prepare_search(
    detector: Detector,
    measurement: Measurement,
    domain: Domain,
    lobe: Tensor,
    interference: bool = True,
) -> Search:
    """Whiten the data and evaluate the grid once for all searches of a batch.

    Args:
        interference: False where no scene has more than one source: the white filter is then exact.
    """
    gains = grid_gains(detector, measurement)
    whitened, whitened_gains = measurement, gains
    outside = measurement.outside_energy()
    if interference:
        dtype = detector.grid.panel.positions.dtype.to_complex()
        whitened = whiten(measurement, noise_over_power(measurement, outside), dtype)
        whitened_gains = grid_gains(detector, whitened)
        measurement = replace(measurement, ridge=amplitude_ridge(measurement, outside))
    return Search(detector, measurement, gains, whitened, whitened_gains, outside, domain, lobe)


def add_source(
    search: Search, parameters: Float[Tensor, "b k 3"]
) -> tuple[Float[Tensor, "b kk 3"], Float[Tensor, " b"]]:
    """One more source, and all refined together: parameters (B, K+1, 3) and objective (B,)."""
    scenes, k = parameters.shape[:2]
    active = torch.ones(scenes, k + 1, dtype=torch.bool, device=parameters.device)
    where, _ = next_source(
        search.detector, search.whitened, search.whitened_gains, parameters, active[:, :k]
    )
    start = torch.cat((parameters, search.detector.grid.coordinates(where)[:, None]), dim=1)
    refined = refine(search.white, start, active, search.domain, STAGE_TOLERANCE)
    parameters, rss = refined.parameters.clone(), refined.fit.objective.clone()
    if k:
        _look_again(search, parameters, rss)
    return parameters, rss


def drop_weakest(
    search: Search, parameters: Float[Tensor, "b kk 3"]
) -> tuple[Float[Tensor, "b k 3"], Float[Tensor, " b"]]:
    """One source fewer: without the one that explains least beside the others, refined again.

    Leaving out source k raises the residual by `|x_k|^2 / [(B^H B)^-1]_kk`, summed over the blocks.
    Where that is the source added last the fit before it is returned to, and nothing is refined:
    the residual (B,) is then infinite.
    """
    kept = parameters.shape[1] - 1
    active = torch.ones(parameters.shape[:2], dtype=torch.bool, device=parameters.device)
    loss = loss_without(search.white, parameters, active)
    weakest = loss.argmin(1)
    slots = torch.arange(kept, device=parameters.device)
    slots = slots + (slots >= weakest[:, None]).to(torch.int64)
    fewer = parameters.gather(1, slots[..., None].expand(-1, -1, 3))
    rss = torch.full_like(search.white.energy, torch.inf)
    index = torch.nonzero(weakest < kept)[:, 0]
    if index.numel():
        data = search.white.take(index)
        refined = refine(data, fewer[index], active[index, 1:], search.domain, STAGE_TOLERANCE)
        fewer[index], rss[index] = refined.parameters, refined.fit.objective
    return fewer, rss


def loss_without(
    measurement: Measurement, parameters: Tensor, active: Tensor
) -> Float[Tensor, "b k"]:
    """By how much the residual rises without each source: `sum_t |x_k|^2 / [(B^H B)^-1]_kk`."""
    a = source_columns(measurement, parameters, active)
    # Sources that coincide to rounding: without one of them nothing is lost.
    factor, apart = regular_cholesky(measurement.inner(a))
    amplitudes = torch.cholesky_solve(measurement.correlate(a)[..., None], factor)[..., 0]
    inverse = torch.cholesky_inverse(factor).diagonal(dim1=-2, dim2=-1).real
    return torch.where(apart[..., None], amplitudes.abs().square() / inverse, 0.0).sum(1)


def _look_again(search: Search, parameters: Tensor, rss: Tensor) -> None:
    """Move sources to better lobes until none wants to; in place."""
    waiting = torch.arange(parameters.shape[0], device=parameters.device)
    for _ in range(_ROUNDS):
        moved = torch.zeros_like(rss, dtype=torch.bool)
        for source in range(parameters.shape[1]):
            moved |= relocate(search, parameters, rss, waiting, source)
        waiting = torch.nonzero(moved)[:, 0]
        if waiting.numel() == 0:
            return


def relocate(
    search: Search,
    parameters: Float[Tensor, "b k 3"],
    rss: Float[Tensor, " b"],
    waiting: Tensor,
    source: int,
    places: int = 1,
) -> Bool[Tensor, " b"]:
    """Try the best places for one source of the scenes `waiting`, in place; True where it moved."""
    part, here = search.take(waiting), parameters[waiting]
    others = torch.cat((here[:, :source], here[:, source + 1 :]), dim=1)
    active = torch.ones(here.shape[:2], dtype=torch.bool, device=here.device)
    found, scores = next_places(
        part.detector,
        part.white,
        part.white_gains,
        others,
        active[:, 1:],
        places,
        2 * search.lobe,
    )
    start = here[:, None].repeat(1, places, 1, 1)
    start[:, :, source] = search.detector.grid.coordinates(found)
    now = here[:, None, source].expand(-1, places, -1)
    tried = ~_same_lobe(start[:, :, source].flatten(0, 1), now.flatten(0, 1), search.lobe)
    tried = tried.unflatten(0, found.shape) & (scores > _WORTH_TRYING * scores[:, :1])
    return try_from(search, parameters, rss, waiting[tried.nonzero()[:, 0]], start[tried])


def try_from(
    search: Search,
    parameters: Float[Tensor, "b k 3"],
    rss: Float[Tensor, " b"],
    index: Int[Tensor, " s"],
    start: Float[Tensor, "s k 3"],
) -> Bool[Tensor, " b"]:
    """Refine the scenes `index`, in which one may occur often, each from its `start`, and keep what
    is best and better, in place; True where a scene moved."""
    moved = torch.zeros_like(rss, dtype=torch.bool)
    if index.numel() == 0:
        return moved
    data = search.white.take(index)
    active = torch.ones(start.shape[:2], dtype=torch.bool, device=start.device)
    refined = refine(data, start, active, search.domain, STAGE_TOLERANCE)
    samples = data.samples
    lower = refined.fit.objective
    least = torch.full_like(rss, torch.inf).scatter_reduce(0, index, lower, "amin")
    gain = samples * (rss[index] / lower.clamp_min(rounding_floor(data))).log()
    better = (gain > _WORTH_MOVING) & (lower < rss[index]) & (lower == least[index])
    index = index[better]
    parameters[index], rss[index] = refined.parameters[better], lower[better]
    moved[index] = True
    return moved


def _same_lobe(place: Tensor, other: Tensor, lobe: Tensor) -> Bool[Tensor, " b"]:
    return ((line_of_sight(place) - line_of_sight(other)).abs() < lobe).all(1)
