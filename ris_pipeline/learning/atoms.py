"""Atoms on the exact wavefront: what the network believes, and what the data say of it.

    R_pred = N / (sum_i w_i) sum_i w_i a_i a_i^H,    a_i = a(p_i, v_i, r_i),    w = softmax(logit)

the strongest q cells of the sector, each moved inside and a little beyond its cell. Physics makes
the factor; the network only says where and how much.

`look_again` asks the likelihood about them. With the atoms' powers N P w_i for a prior:

    S_t = D A^H W_t A D / sigma^2 + I,   D = diag(N P w)^1/2          (never singular)
    x_t = D S_t^-1 D A^H z_t / sigma^2                                posterior mean
    spread_t = diag(D S_t^-1 D)                                       posterior variance
    r_t = z_t - W_t A x_t                                             the residual's matched filter

and each atom's own Gauss-Newton step, at the prior of its cell's half widths h:

    (Re sum_t |x_t|^2 G^H W_t G / sigma^2 + diag(1 / h^2)) step
        = Re sum_t conj(x_t) G^H r_t / sigma^2
"""

from typing import NamedTuple

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from ris_pipeline._errors import RunFailed
from ris_pipeline.config import Wavefront
from ris_pipeline.learning.features import Features, as_image, principal_snapshot
from ris_pipeline.learning.losses import Prediction
from ris_pipeline.learning.sector import Sector
from ris_pipeline.localization.cholesky import invert_factored, solve_factored
from ris_pipeline.scene import Panel, steering_derivatives, steering_vector
from ris_pipeline.spectral import LowRankCovariance

ATOM_CHANNELS = 11
"""Numbers that an atom tells its cell: weight, posterior share, step (3), its deviation (3), place
(3)."""

REACH = 1.5
"""How far an atom may move from the centre of its cell, in half widths: it can meet a neighbour's
inside the neighbour's cell."""

_LARGEST_SINE = 0.9999
"""Of either angle: 89.2 degrees, where the derivative of the arc sine is still 70."""


class OutputNotFinite(RunFailed):
    """The network answers with NaN or infinity."""

    def __init__(self) -> None:
        super().__init__("the network's output is not finite")


class Atoms(NamedTuple):
    """The q strongest cells: weight, p, v, depth `ln(1 / r)` and cell, all (B, q); logit
    (B, cells); steering (B, N, q) of unit norm."""

    logit: Tensor
    cell: Tensor
    weight: Tensor
    p: Tensor
    v: Tensor
    depth: Tensor
    steering: Tensor

    @property
    def azimuth(self) -> Float[Tensor, "b q"]:
        """Radians."""
        return torch.asin(self.p)

    @property
    def elevation(self) -> Float[Tensor, "b q"]:
        """Radians."""
        return torch.asin(self.v)

    @property
    def share(self) -> Float[Tensor, "b q"]:
        """Weights that sum to one."""
        return self.weight / self.weight.sum(1, keepdim=True)

    def covariance(self) -> LowRankCovariance:
        """`R_pred`, trace N."""
        scale = (self.steering.shape[1] * self.share).sqrt()
        return LowRankCovariance(self.steering * scale[:, None])


def answer_channels(depths: int) -> int:
    """Numbers that the network answers in every cell: logit, two offsets, depth offset, bins."""
    return 4 + depths


def output_is_finite(atoms: Atoms) -> Bool[Tensor, ""]:
    """Whether cells and steering vectors are."""
    return atoms.logit.isfinite().all() & atoms.steering.isfinite().all()


def check_output(atoms: Atoms) -> None:
    """Raise `OutputNotFinite` where cells or steering vectors hold NaN or infinity.

    For training, which one such scene ends; where scenes are located it is for each to say.
    """
    if not bool(output_is_finite(atoms)):
        raise OutputNotFinite


def read_atoms(
    answer: Float[Tensor, "b c cells_p cells_v"],
    sector: Sector,
    count: int,
    panel: Panel,
    wavefront: Wavefront,
) -> Atoms:
    """The `count` strongest cells of an answer."""
    flat = answer.flatten(2)
    logit = flat[:, 0]
    bins = (flat[:, 4:].softmax(1) * sector.depth[:, None]).sum(1)
    centres = sector.p, sector.v, bins
    moved = [
        centre + REACH * half * torch.tanh(flat[:, 1 + axis])
        for axis, (centre, half) in enumerate(zip(centres, sector.half, strict=True))
    ]
    weight, cell = logit.softmax(1).topk(count, 1)
    p, v, depth = (value.gather(1, cell) for value in moved)
    p, v = (x.clamp(-_LARGEST_SINE, _LARGEST_SINE) for x in (p, v))
    depth = depth.clamp(sector.lower[2], sector.upper[2])
    steering = steering_vector(panel, torch.asin(p), torch.asin(v), (-depth).exp(), wavefront)
    return Atoms(logit, cell, weight, p, v, depth, steering.mT)


def _posterior(atoms: Atoms, features: Features) -> tuple[Tensor, Tensor, Tensor]:
    """x (B, T, q), spread (B, T, q) and the residual (B, T, N)."""
    a, data = atoms.steering, features.data
    n, noise = a.shape[1], features.noise[:, None, None]
    root = (n * features.power[:, None] * atoms.weight).sqrt()[:, None]
    image = data.normal(a)
    inner = (a.mH[:, None] @ image) * (root[..., None] * root[:, :, None, :] / noise[..., None])
    eye = torch.eye(inner.shape[-1], dtype=inner.dtype, device=inner.device)
    # It exists wherever the entries are finite, and NaN goes on to the answer of that scene.
    factor = torch.linalg.cholesky_ex(0.5 * (inner + inner.mH) + eye).L
    seen = data.correlate(a) * (root / noise)
    x = solve_factored(seen[..., None], factor)[..., 0] * root
    inverse = invert_factored(factor).diagonal(dim1=-2, dim2=-1).real
    return x, inverse * root.square(), data.matched - (image @ x[..., None])[..., 0]


@torch.no_grad()
def _newton_steps(
    atoms: Atoms, x: Tensor, residual: Tensor, features: Features, sector: Sector
) -> tuple[Tensor, Tensor]:
    """Step and its posterior deviation, (B, 3, q) each, in half widths of a cell."""
    data = features.data
    azimuth, elevation, distance = atoms.azimuth, atoms.elevation, (-atoms.depth).exp()
    _, slopes = steering_derivatives(data.panel, azimuth, elevation, distance, data.wavefront)
    # d/dp = d/dazimuth / cos, d/dv alike, d/d ln(1/r) = -r d/dr; in half widths.
    unit = 1 / azimuth.cos(), 1 / elevation.cos(), -distance
    scale = torch.stack([half * one for half, one in zip(sector.half, unit, strict=True)], -1)
    slopes = slopes * scale[..., None]
    columns = slopes.flatten(1, 2).mT
    image = data.normal(columns).unflatten(-1, (-1, 3))
    power = x.abs().square()[:, :, None, :] / features.noise[:, None, None, None]
    curve = torch.einsum("bqin,btnqj,btq->bqij", slopes.conj(), image, power[:, :, 0] + 0j).real
    down = torch.einsum("bqin,btn,btq->bqi", slopes.conj(), residual, x.conj()).real
    eye = torch.eye(3, dtype=curve.dtype, device=curve.device)
    factor = torch.linalg.cholesky_ex(0.5 * (curve + curve.mT) + eye).L
    step = solve_factored(down[..., None] / features.noise[:, None, None, None], factor)
    deviation = invert_factored(factor).diagonal(dim1=-2, dim2=-1).clamp_min(0).sqrt()
    return step[..., 0].mT, deviation.mT


def look_again(
    atoms: Atoms, features: Features, sector: Sector
) -> Float[Tensor, "b c cells_p cells_v"]:
    """The residual over the cells (3 D channels) and what each atom tells its own (11)."""
    x, spread, residual = _posterior(atoms, features)
    leading = principal_snapshot(residual) @ features.steering.conj()
    leading = leading / (features.gain * features.noise[:, None].square()).sqrt()
    size = leading.abs().clamp_min(torch.finfo(spread.dtype).eps)
    damped = leading / size * torch.log1p(size)
    image = as_image(
        torch.stack((torch.log1p(size.square()), damped.real, damped.imag), 1), sector.shape
    )
    post = (x.abs().square() + spread).mean(1)
    post = post / post.sum(1, keepdim=True).clamp_min(torch.finfo(post.dtype).tiny)
    step, deviation = _newton_steps(atoms, x, residual, features, sector)
    place = [
        (value - centre) / half
        for value, centre, half in (
            (atoms.p, sector.p[atoms.cell], sector.half[0]),
            (atoms.v, sector.v[atoms.cell], sector.half[1]),
            (atoms.depth, sector.depth.mean(), sector.half[2]),
        )
    ]
    own = torch.stack((atoms.weight, post, *place), 1)
    told = torch.cat((own, torch.tanh(step), deviation), 1)
    index = atoms.cell[:, None].expand(-1, ATOM_CHANNELS, -1)
    cells = told.new_zeros(told.shape[0], ATOM_CHANNELS, sector.cells).scatter(2, index, told)
    return torch.cat((image, cells.unflatten(2, sector.shape)), 1)


def read_slots(atoms: Atoms, count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Azimuth, elevation (rad) and log distance (ln m) of the `count` strongest groups, (B, S).

    `b_i = sum_j w_j |a_i^H a_j|^2` is the spectrum of R_pred at its own atoms. A group is the atom
    where it is largest, with every other as far as it is the same to the panel, `|a_i^H a_j|^2`;
    what went into one group is missing from the next.
    """
    alike = (atoms.steering.mH @ atoms.steering).abs().square().detach()
    left, found = atoms.share, []
    coordinates = torch.stack((atoms.p, atoms.v, atoms.depth), 1)
    for _ in range(count):
        level = (alike @ left.detach()[..., None])[..., 0]
        member = alike.gather(1, level.argmax(1)[:, None, None].expand(-1, 1, alike.shape[2]))[:, 0]
        # Where nothing is left the group is told from the likeness alone.
        part = member * (left + torch.finfo(left.dtype).eps)
        found.append((coordinates * part[:, None]).sum(2) / part.sum(1, keepdim=True))
        left = left * (1 - member).clamp_min(0)
    p, v, depth = torch.stack(found, 2).unbind(1)
    return torch.asin(p), torch.asin(v), -depth


def make_prediction(believed: list[Atoms], slots: int) -> Prediction:
    """What the loss compares with the truth; `slots`: most sources of a scene."""
    last = believed[-1]
    return Prediction(
        tuple(atoms.covariance() for atoms in believed),
        last.logit.log_softmax(1),
        last.share,
        last.azimuth,
        last.elevation,
        *read_slots(last, slots),
    )
