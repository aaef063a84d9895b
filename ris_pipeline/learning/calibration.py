"""Calibration of a panel: element responses and positions from scenes, maximum likelihood.

    min over e (N), d (N, 2), x   sum_bt |y_bt - Phi_bt diag(e) A(q + d) x_bt|^2 / sigma_b^2
                                  + sum |d|^2 / s^2

by turns: the amplitudes x of every scene by least squares, then one Gauss-Newton step for the 4 N
real numbers (Re e, Im e, d) of the panel. With f = diag(e) A x the field of a scene, an element's
four derivatives of it stand in that element alone, so the normal equations are

    [ Re sum_bt (conj(D_i) D_j^T) o (Phi^H Phi) / sigma^2 ]   of N x N blocks (i, j)

and Phi is never formed. Derivatives of the wavefront by element position are
autograd's, of the one steering vector.

What cannot be told: a common factor of e, which x takes up (it is set to a mean power of one and a
mean phase of zero), and next to it a shift of the whole panel; s, a tenth of a wavelength, decides
there.

`self_calibrate` has no labels: positions are located with the panel so far, then taken for labels.

Source: B. C. Ng and C. M. S. See, "Sensor-array calibration using a maximum-likelihood approach",
IEEE Trans. Antennas Propag. 44(6), 1996. B. Friedlander and A. J. Weiss, "Direction finding in the
presence of mutual coupling", IEEE Trans. Antennas Propag. 39(3), 1991 (the alternation).
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex
from torch import Tensor

from ris_pipeline._validation import check_range
from ris_pipeline.localization import locate, matched_filter, sensing_gram, steering_grid
from ris_pipeline.scene import BelievedPanel, Panel, SceneBatch, Sources, steering_vector
from ris_pipeline.spectral import squared_norm

_PRIOR = 0.1
"""Standard deviation of an element's displacement beforehand, in wavelengths."""

_STEPS = 60
_TOLERANCE = 1e-4
"""Relative fall of the cost at which the turns end."""


@dataclass(frozen=True)
class Calibration:
    """The panel found, and the cost `sum |y - model|^2 / sigma^2` a complex number of the data,
    before and after each step: near one when the panel explains them."""

    believed: BelievedPanel
    costs: list[float]


@dataclass(frozen=True)
class _Data:
    """Gram matrices and matched filters of the codes as sent, complex128; noise (B,)."""

    gram: Tensor
    matched: Tensor
    energy: Tensor
    noise: Tensor
    numbers: int


@dataclass(frozen=True)
class _Labels:
    """Where the sources are: azimuth, elevation (rad), distance (m), active, (B, K)."""

    azimuth: Tensor
    elevation: Tensor
    distance: Tensor
    active: Tensor


def _data(scenes: SceneBatch) -> _Data:
    snapshots, channel, sent = (
        x.to(torch.complex128) for x in (scenes.snapshots, scenes.channel, scenes.codes)
    )
    return _Data(
        sensing_gram(channel, sent),
        matched_filter(snapshots, channel, sent),
        snapshots.abs().square().sum((1, 2, 3)),
        scenes.noise_variance.double(),
        snapshots.numel(),
    )


def _wavefronts(
    labels: _Labels, panel: Panel, scenes: SceneBatch
) -> tuple[Complex[Tensor, "b k n"], list[Complex[Tensor, "b k n"]]]:
    """A, and its derivatives by each element's own x and y."""
    batch, n = labels.active.shape, panel.elements
    azimuth, elevation, distance = (
        x.reshape(-1, 1) for x in (labels.azimuth, labels.elevation, labels.distance)
    )
    # A panel a source: a_n depends on q_n alone, so the gradient of a sum holds each derivative.
    positions = panel.positions.expand(batch.numel(), n, 3).clone().requires_grad_()
    with torch.enable_grad():
        here = replace(panel, positions=positions)
        a = steering_vector(here, azimuth, elevation, distance, scenes.scenario.wavefront)
        real, imaginary = (
            torch.autograd.grad(part.sum(), positions, retain_graph=True)[0]
            for part in (a.real, a.imag)
        )
    slopes = real + 1j * imaginary
    active = labels.active[..., None]
    whole = a.detach().reshape(*batch, n) * active
    return whole, [slopes[..., axis].reshape(*batch, n) * active for axis in range(2)]


def _amplitudes(data: _Data, columns: Complex[Tensor, "b n k"], labels: _Labels) -> Tensor:
    """x (B, T, K) by least squares, zero in empty slots."""
    idle = torch.diag_embed((~labels.active).to(columns.dtype))
    inner = columns.mH[:, None] @ (data.gram @ columns[:, None]) + idle[:, None]
    # Sources that coincide share an amplitude; the ridge is of the rounding of the entries.
    size = inner.diagonal(dim1=-2, dim2=-1).real.mean(-1) * columns.shape[1]
    eye = torch.eye(inner.shape[-1], dtype=inner.dtype, device=inner.device)
    ridge = torch.finfo(size.dtype).eps * size[..., None, None] * eye
    seen = columns.mH[:, None] @ data.matched[..., None]
    return torch.linalg.solve(inner + ridge, seen)[..., 0] * labels.active[:, None]


def _step(
    data: _Data, labels: _Labels, panel: Panel, response: Tensor, scenes: SceneBatch, start: Tensor
) -> tuple[Tensor, Tensor, float]:
    """New positions and response after one turn, and the cost before it."""
    a, slopes = _wavefronts(labels, panel, scenes)
    x = _amplitudes(data, (a * response).mT, labels)
    bare = x @ a
    field = response * bare
    image = (data.gram @ field[..., None])[..., 0]
    weight = 1 / data.noise[:, None, None]
    explained = (2 * (field.conj() * data.matched) - field.conj() * image).real.sum((1, 2))
    cost = float(((data.energy - explained) / data.noise).sum()) / data.numbers
    fields = torch.stack([bare, 1j * bare, *(response * (x @ s) for s in slopes)])
    residual = data.matched - image
    score = (fields.conj() * (weight * residual)).real.sum((1, 2))
    n = panel.elements
    flat = (fields * weight.sqrt()).movedim(0, 2).flatten(2)
    gram = data.gram.repeat(1, 1, 4, 4)
    information = ((flat.conj()[..., :, None] * flat[..., None, :]) * gram).real.sum((0, 1))
    prior = 1 / (_PRIOR * float(panel.wavelength)) ** 2
    precision = torch.cat((score.new_zeros(2 * n), score.new_full((2 * n,), prior)))
    shift = (panel.positions - start)[:, :2].mT.flatten()
    right = score.flatten() - precision * torch.cat((score.new_zeros(2 * n), shift))
    # An element that nothing was seen of keeps what it has.
    floor = n * torch.finfo(score.dtype).eps * information.diagonal().mean()
    solution = torch.linalg.solve(information + torch.diag(precision + floor), right).reshape(4, n)
    moved = panel.positions.clone()
    moved[:, :2] += solution[2:].mT
    return moved, response + (solution[0] + 1j * solution[1]), cost


def normalized_response(response: Complex[Tensor, " n"]) -> Complex[Tensor, " n"]:
    """Mean power one, mean phase zero."""
    power = squared_norm(response[None]) / response.numel()
    turn = torch.sgn(response.sum()).conj()
    return response * turn / power.sqrt()


def _fit(scenes: SceneBatch, labels: _Labels, believed: BelievedPanel) -> Calibration:
    data = _data(scenes)
    panel = replace(believed.panel, positions=believed.panel.positions.double())
    start = panel.positions
    ones = torch.ones(panel.elements, dtype=torch.complex128, device=start.device)
    response = ones if believed.response is None else believed.response.to(ones)
    costs: list[float] = []
    for _ in range(_STEPS):
        positions, new, cost = _step(data, labels, panel, response, scenes, start)
        costs.append(cost)
        if len(costs) > 1 and costs[-2] - cost < _TOLERANCE * cost:
            break
        panel, response = replace(panel, positions=positions), normalized_response(new)
    return Calibration(BelievedPanel(panel, response), costs)


def calibrate(scenes: SceneBatch, sources: Sources | None = None) -> Calibration:
    """The panel that explains scenes whose source positions are known.

    Args:
        sources: positions of the sources, by default the truth of `scenes`; gains and symbols are
            not used.

    Raises:
        InputError: no scene, or shapes that do not fit.
    """
    check_range("scenes", scenes.size, 1, 10**9)
    known = scenes.sources if sources is None else sources
    azimuth, elevation, distance = (
        x.double() for x in (known.azimuth, known.elevation, known.distance)
    )
    labels = _Labels(azimuth, elevation, distance, known.active)
    return _fit(scenes, labels, BelievedPanel(scenes.panel))


def calibrated(scenes: SceneBatch, believed: BelievedPanel) -> SceneBatch:
    """Scenes of an uncalibrated receiver as one sees them that believes in another panel."""
    positions = believed.panel.positions.to(scenes.panel.positions)
    panel = replace(scenes.panel, positions=positions)
    return replace(scenes, panel=panel, codes=believed.apply(scenes.codes))


def self_calibrate(
    scenes: SceneBatch, number: int | Tensor | None = None, rounds: int = 5
) -> Calibration:
    """The panel without labels: sources are located with the panel so far and taken for labels.

    Raises:
        InputError: as `locate`; fewer than one round.
    """
    check_range("rounds", rounds, 1, 1000)
    grid, costs = steering_grid(scenes.scenario), list[float]()
    found = Calibration(BelievedPanel(scenes.panel), costs)
    for _ in range(rounds):
        located = locate(calibrated(scenes, found.believed), number, grid)
        active = located.active
        azimuth, elevation, distance = (
            torch.where(active, x.double(), 1.0)
            for x in (located.azimuth, located.elevation, located.distance)
        )
        labels = _Labels(azimuth, elevation, distance, active)
        found = _fit(scenes, labels, found.believed)
        costs += found.costs
    return Calibration(found.believed, costs)
