"""Greedy detection: the next source is where the grid explains most of what is left.

score(g) = sum_t |(Phi_t a_g)^H P_t y_t|^2 / |P_t Phi_t a_g|^2

with P_t the projection that removes the sources found so far. It is the decrease of the residual
when a source at g joins the others and all amplitudes are fitted again: the likelihood ratio.

Source: S. Chen, S. A. Billings, W. Luo, "Orthogonal least squares methods and their application to
non-linear system identification", Int. J. Control 50(5), 1989.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from jaxtyping import Bool, Complex, Float, Int
from torch import Tensor

from ris_pipeline._replay import Same
from ris_pipeline.localization.at_once import at_once
from ris_pipeline.localization.cholesky import regular_cholesky
from ris_pipeline.localization.grid_search.grid import SteeringGrid, pair_products
from ris_pipeline.localization.measurement.back_projection import linked_elements
from ris_pipeline.localization.measurement.columns import source_columns
from ris_pipeline.localization.measurement.gram import GramMeasurement
from ris_pipeline.localization.measurement.sensing import SensingMeasurement
from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.scene import direction_cosines
from ris_pipeline.scene.array import waves

COLLINEAR = 0.1
"""Grid points are left out where less than this part of |Phi a|^2 survives the projection: they are
neighbours of a source that is already there, and their score is a ratio of two small numbers."""

_BLIND = 1e-4
"""A block in which less than this part survives says nothing about the point: in float32 what is
left of a sum of a few hundred terms is rounding."""

_TABLE_ENTRIES = 2**25
"""Largest table of element pairs (128 MiB in float32)."""

_TABLE_AT_ONCE = 2**23
"""Of a table that is too large, the part that is formed at once (32 MiB in float32)."""

_PAIRS_PAY = 64
"""Blocks of all scenes from which on it takes less time to form such a table than to do without."""

_SCENES_AT_ONCE = 8
"""Scenes whose `Phi^H Phi a` over the grid are formed together: a few MiB each, to bound memory."""

_RESPONSES_AT_ONCE = 2**19
"""Complex responses of the grid formed together (4 MiB in complex64): as many as stay in a cache
while they are squared, summed and divided."""


@dataclass(frozen=True)
class Detector:
    """A grid, and the element pairs that codes let interfere.

    With W = Phi^H Phi Hermitian and real products p_nm(g) = conj(a_n) a_m,

        |Phi a_g|^2 = sum_n W_nn |a_n|^2 + 2 sum_{n<m} (Re W_nm Re p_nm - Im W_nm Im p_nm)

    and W_nm vanishes with `sum_l conj(c_ln) c_lm`. DFT codes on an even sub-grid leave one pair in
    sixteen; the sum over pairs is then a real matrix product with `table` (G, 2 pairs). Where the
    codes leave too many pairs, `table` is None: for many blocks it is formed part by part, for few
    W is applied as it is.
    """

    grid: SteeringGrid
    first: Tensor
    second: Tensor
    table: Tensor | None


def _interfering_pairs(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Pairs n < m of elements that interfere, see `linked_elements`."""
    linked = linked_elements(codes)
    first, second = torch.nonzero(torch.triu(linked, diagonal=1), as_tuple=True)
    return first, second


def build_detector(grid: SteeringGrid, codes: Tensor) -> Detector:
    """Prepare a grid for the codes (T, L, N) of a batch."""
    first, second = _interfering_pairs(codes)
    if grid.steering is None or 2 * first.numel() * grid.size > _TABLE_ENTRIES:
        return Detector(grid, first, second, None)
    return Detector(grid, first, second, grid.pair_table(first, second))


def grid_gains(detector: Detector, measurement: Measurement) -> Float[Tensor, "b t g"]:
    """`|Phi_t a_g|^2` in the real dtype of the grid."""
    if isinstance(measurement, GramMeasurement) and _pairs_pay(detector, measurement):
        return _gains_by_pairs(detector, measurement)
    scenes = torch.arange(measurement.scenes, device=measurement.energy.device)
    return torch.cat(
        [
            _gains_directly(detector.grid, measurement.take(some))
            for some in scenes.split(at_once(_SCENES_AT_ONCE, scenes.device))
        ]
    )


def _pairs_pay(detector: Detector, measurement: Measurement) -> bool:
    return detector.table is not None or (
        detector.first.numel() > 0 and measurement.scenes * measurement.blocks >= _PAIRS_PAY
    )


def _gains_by_pairs(detector: Detector, measurement: GramMeasurement) -> Float[Tensor, "b t g"]:
    pairs = measurement.entries(detector.first, detector.second)
    dtype = detector.grid.dtype.to_real()
    weights = torch.cat((pairs.real, pairs.imag), dim=-1).to(dtype)
    diagonal = measurement.mean_diagonal()[..., None].to(dtype)
    gains = [weights @ table.mT for table in _tables(detector)]
    return torch.cat(gains, dim=-1).add_(diagonal)


def _tables(detector: Detector) -> Iterator[Float[Tensor, "g two_p"]]:
    """`Detector.table`, part by part of the grid where it is too large to keep."""
    if detector.table is not None:
        yield detector.table
        return
    step = max(1, _TABLE_AT_ONCE // (2 * detector.first.numel()))
    for _, _, steering in detector.grid.chunks():
        for part in steering.split(step):
            yield pair_products(part, detector.first, detector.second)


def gains_and_whitened(
    detector: Detector, measurement: Measurement, whitened: Measurement, ratio: Float[Tensor, " b"]
) -> tuple[Float[Tensor, "b t g"], Float[Tensor, "b t g"]]:
    """`grid_gains` of the data, and of the same `whitened` with `ratio`."""
    along = measurement.along_axes(ratio) if isinstance(measurement, SensingMeasurement) else None
    if along is None:
        return grid_gains(detector, measurement), grid_gains(detector, whitened)
    data, weights = along
    parts = [data.weighted_gains(steering, weights) for _, _, steering in detector.grid.chunks()]
    gains, white = torch.cat(parts, dim=-1)
    return gains, white


def _gains_directly(grid: SteeringGrid, measurement: Measurement) -> Float[Tensor, "b t g"]:
    gains = [measurement.gains(steering) for _, _, steering in grid.chunks()]
    return torch.cat(gains, dim=-1)


def next_source(
    detector: Detector,
    measurement: Measurement,
    gains: Float[Tensor, "b t h"],
    parameters: Float[Tensor, "b k 3"],
    active: Bool[Tensor, "b k"],
) -> tuple[Int[Tensor, " b"], Float[Tensor, " b"]]:
    """Grid index of the strongest peak beside the active sources, and its score.

    Gains are in the order of `SteeringGrid.at_points`, here and below. The score is zero where
    every grid point is `COLLINEAR` with the sources, over all blocks.
    """
    return _by_scenes(_strongest, detector.grid, measurement, gains, parameters, active)


def _strongest(
    grid: Same[SteeringGrid], measurement: Measurement, gains: Tensor, *sources: Tensor
) -> tuple[Tensor, Tensor]:
    score, where = grid_scores(grid.value, _probes(measurement, *sources), gains).max(1)
    return where, score.to(measurement.energy.dtype)


def _by_scenes(
    function: Callable[..., tuple[Tensor, Tensor]],
    grid: SteeringGrid,
    measurement: Measurement,
    gains: Tensor,
    parameters: Tensor,
    active: Tensor,
    *shared: Any,
) -> tuple[Tensor, Tensor]:
    """`function` of all scenes, replayed where the grid has recordings."""

    def taken(index: Tensor) -> tuple[Any, ...]:
        by_scene = (value[index] for value in (gains, parameters, active))
        return Same(grid), measurement.take(index), *by_scene, *shared

    if grid.recordings is None:
        return function(Same(grid), measurement, gains, parameters, active, *shared)
    scenes = torch.arange(measurement.scenes, device=gains.device)
    return grid.recordings.of_rows(function, scenes, taken)


def next_places(
    detector: Detector,
    measurement: Measurement,
    gains: Float[Tensor, "b t h"],
    parameters: Float[Tensor, "b k 3"],
    active: Bool[Tensor, "b k"],
    places: int,
    apart: Float[Tensor, "3"],
) -> tuple[Int[Tensor, "b p"], Float[Tensor, "b p"]]:
    """Grid indices of the `places` strongest peaks, each more than `apart` from those before it in
    one of (u, v, 1/r), and their scores."""
    return _by_scenes(_apart, detector.grid, measurement, gains, parameters, active, places, apart)


def _apart(
    same: Same[SteeringGrid],
    measurement: Measurement,
    gains: Tensor,
    parameters: Tensor,
    active: Tensor,
    places: int,
    apart: Tensor,
) -> tuple[Tensor, Tensor]:
    grid = same.value
    scores = grid_scores(grid, _probes(measurement, parameters, active), gains)
    cosines = direction_cosines(grid.azimuth, grid.elevation)[:, :2]
    points = torch.cat((cosines, grid.inverse_distance[:, None]), dim=1).double()
    found = [scores.max(1)]
    for _ in range(places - 1):
        near = ((points - points[found[-1][1]][:, None]).abs() <= apart).all(-1)
        scores = scores.masked_fill(near, 0.0)
        found.append(scores.max(1))
    peaks, indices = zip(*found, strict=True)
    return torch.stack(indices, dim=1), torch.stack(peaks, dim=1).to(measurement.energy.dtype)


def scores_at(
    grid: SteeringGrid,
    measurement: Measurement,
    parameters: Float[Tensor, "b k 3"],
    active: Bool[Tensor, "b k"],
    places: Float[Tensor, "b p 3"],
) -> Float[Tensor, "b p"]:
    """The score at places of each scene's own, off the grid, in the precision of the grid."""
    azimuth, elevation, inverse = places.to(grid.azimuth.dtype).unbind(-1)
    columns = waves(grid.panel, azimuth, elevation, 1 / inverse, grid.wavefront).mT
    probes = _probes(measurement, parameters, active).to(grid.dtype)
    responses = (probes.conj().flatten(1, 2) @ columns).unflatten(1, probes.shape[1:3])
    return _scores(*_powers(responses), measurement.to(grid.dtype).power(columns))


def grid_scores(
    grid: SteeringGrid, probes: Complex[Tensor, "b t p n"], gains: Float[Tensor, "b t h"]
) -> Float[Tensor, "b g"]:
    """`sum_t |a^H p_t0|^2 / (|Phi_t a|^2 - sum_{j>0} |a^H p_tj|^2)`, see `_probes`.

    Args:
        gains: `|Phi_t a_g|^2` in the order of `SteeringGrid.at_points`.
    """
    return _over_grid(grid, probes, _scores, gains)


def _over_grid(
    grid: SteeringGrid,
    probes: Complex[Tensor, "b t p n"],
    make: Callable[..., Tensor],
    gains: Float[Tensor, "b t h"],
    *scalars: Float[Tensor, " b"],
) -> Float[Tensor, "b g"]:
    """What `make` makes of `|a^H p_t0|^2`, `sum_{j>0} |a^H p_tj|^2` (None without any j), the gains
    and the scalars: at all points, so many scenes at a time that what is in the making stays in a
    cache."""
    blocks, count, elements = probes.shape[1:]
    responses = at_once(_RESPONSES_AT_ONCE, probes.device)
    some = max(1, responses // (blocks * count * max(1, grid.size)))
    parts = []
    for probe, gain, *own in zip(
        *(values.split(some) for values in (probes, gains, *scalars)), strict=True
    ):
        rows = probe.conj().resolve_conj().reshape(-1, elements).to(grid.dtype)
        made = [
            make(*_powers(response.unflatten(0, probe.shape[:3])), gain[..., start:stop], *own)
            for start, stop, response in grid.responses(rows)
        ]
        parts.append(grid.in_order(torch.cat(made, dim=-1)))
    return torch.cat(parts)


def _powers(
    response: Complex[Tensor, "b t p g"],
) -> tuple[Float[Tensor, "b t g"], Float[Tensor, "b t g"] | None]:
    """`|r_0|^2`, and `sum_{j>0} |r_j|^2`."""
    first, *others = torch.view_as_real(response).unbind(2)
    square = first.square()
    own = square[..., 0] + square[..., 1]
    if not others:
        return own, None
    square = others[0].square()
    for other in others[1:]:
        square.addcmul_(other, other)
    return own, square[..., 0] + square[..., 1]


def _probes(measurement: Measurement, parameters: Tensor, active: Tensor) -> Tensor:
    """`Phi^H P y` and `Phi^H Q`, Q an orthonormal basis of the sources: (B, T, 1 + K, N)."""
    k = active.shape[1]
    if k == 0:
        return measurement.matched[:, :, None]
    a = source_columns(measurement, parameters, active).to(measurement.matched.dtype)
    image = measurement.normal(a)
    inner = a.mH[:, None] @ image
    # Sources that the refinement has drawn together would make this singular to rounding. A source
    # that does not show has an image of zero, and takes nothing with it.
    size = inner.diagonal(dim1=-2, dim2=-1).real
    ridge = (~active)[:, None] + a.shape[1] * torch.finfo(a.dtype).eps * size
    factor, _ = regular_cholesky(inner + torch.diag_embed(ridge).to(a.dtype))
    basis = torch.linalg.solve_triangular(factor.mH, image, upper=True, left=False)
    seen = torch.linalg.solve_triangular(factor, measurement.correlate(a)[..., None], upper=False)
    residual = measurement.matched[..., None] - basis @ seen
    return torch.cat((residual, basis), dim=-1).mT


def _scores(first: Tensor, others: Tensor | None, gains: Tensor) -> Float[Tensor, "b g"]:
    if others is None:
        return (first / gains.clamp_min(torch.finfo(gains.dtype).tiny)).sum(1)
    left = gains - others
    # Where too little is left the quotient is not used.
    total = torch.where(left > _BLIND * gains, first / left, 0.0).sum(1)
    return torch.where(left.sum(1) > COLLINEAR * gains.sum(1), total, 0.0)


def evidence_of_another(
    detector: Detector,
    measurement: Measurement,
    gains: Float[Tensor, "b t h"],
    parameters: Float[Tensor, "b k 3"],
    active: Bool[Tensor, "b k"],
    ratio: Float[Tensor, " b"],
    energy: Float[Tensor, " b"],
) -> Float[Tensor, " b"]:
    """`ln mean_g prod_t (1 + l_tg / rho)^-1 (1 - q_g / J)^-n`, l_tg = |P_t Phi_t a_g|^2 and
    q_g = sum_t |a_g^H Phi_t^H P_t y_t|^2 / (l_tg + rho).

    Args:
        ratio: rho; energy: J.
    """
    probes = _probes(measurement, parameters, active)
    logs = _over_grid(
        detector.grid, probes, partial(_log_evidence, measurement.samples), gains, ratio, energy
    )
    return logs.logsumexp(1) - math.log(logs.shape[1])


def _log_evidence(
    samples: int,
    first: Tensor,
    others: Tensor | None,
    gains: Tensor,
    ratio: Float[Tensor, " b"],
    energy: Float[Tensor, " b"],
) -> Float[Tensor, "b g"]:
    left = gains if others is None else (gains - others).clamp_min(0)
    rho = ratio[:, None, None].to(left.dtype)
    explained = (first / (left + rho)).sum(1).double() / energy[:, None]
    volume = torch.log1p(left / rho).sum(1).double()
    return -volume - samples * torch.log1p(-explained.clamp_max(1 - 1e-9))


def detection_spectrum(measurement: Measurement, grid: SteeringGrid) -> Float[Tensor, "b g"]:
    """`sum_t |a^H z_t|^2 / (a^H W_t a)` over the grid: the score before any source is found."""
    detector = Detector(grid, torch.empty(0), torch.empty(0), None)
    gains = grid.at_points(grid_gains(detector, measurement))
    return grid_scores(grid, measurement.matched[:, :, None], gains)
