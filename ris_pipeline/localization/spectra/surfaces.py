"""The surface a peak is sought on: one quadratic form over positions, with slope and curvature.

    f(theta) = a^H Q a,   df/2 = Re(da^H Q a),   d2f/2 ~ Re(da^H Q da),   Q = mu I + V diag(w) V^H

Of plane waves on an even panel f is a trigonometric polynomial in u and v, and so are slope and
curvature:

    a^H V diag(w) V^H a = Re sum_{l, m >= 0} c_lm exp(-j k (l d_h u + m d_v v))

    c_lm = e_m / N sum_i w_i sum_n v_i[n + (l, m)] conj(v_i[n])           e_0 = 1, e_m = 2

A slope multiplies c_lm by `-j k l d_h`; the curvature has the coefficients of the vectors x o v_i,
since da/du = j k x o a. A sum of a hundred and twenty terms for each takes the place of 4 N q
products.
"""

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from jaxtyping import Complex, Float, Int, Shaped
from torch import Tensor
from torch.nn.functional import pad

from ris_pipeline.config import Scenario, Wavefront
from ris_pipeline.localization.coordinates import distance_by_inverse
from ris_pipeline.scene import (
    Panel,
    believed_panel,
    ideal_panel,
    steering_derivatives,
    steering_vector,
)
from ris_pipeline.scene.array import turning_cosines


@dataclass(frozen=True)
class Form:
    """`Q = shift I + V diag(weights) V^H` of S scenes; weights (S, q), shift (S,) or None, basis V
    (B, N, q), owner (S,): which of these a scene has.

    None: the shift is minus `a^H V diag(weights) V^H a` at each point, so that f vanishes there and
    only its derivatives count; f is then the form without the shift.
    """

    basis: Tensor
    weights: Tensor
    shift: Tensor | None
    owner: Tensor


class Surface(ABC):
    """f of every scene of a batch."""

    wavefront: Wavefront

    @abstractmethod
    def expand(
        self, place: Float[Tensor, "p 3"], scene: Int[Tensor, " p"]
    ) -> tuple[Float[Tensor, " p"], Float[Tensor, "p 3"], Float[Tensor, "p 3 3"]]:
        """f, -df/2 and d2f/2 at P places (azimuth, elevation, 1 / distance).

        Args:
            scene: of each place, ascending.
        """


def surface_of(form: Form, scenario: Scenario) -> Surface:
    """The surface of a form over the positions of a scenario, in double precision."""
    even = scenario.positions is None and scenario.panel_file is None
    # A Fourier transform of no scenes there is not.
    if even and scenario.wavefront == "plane" and form.basis.numel():
        return PlaneSurface.of(form, scenario)
    panel = believed_panel(scenario, torch.float64, form.basis.device).panel
    return WaveSurface(form, form.basis[form.owner].conj(), panel, scenario.wavefront)


def _shifted(
    form: Form, scene: Tensor, part: Tensor, whole: Tensor
) -> tuple[Float[Tensor, " p"], Float[Tensor, "p d d"]]:
    """f, and all of the form: `part` of V, and the shift times `whole`, both `C^H Q C`."""
    value = part[:, 0, 0]
    shift = -value if form.shift is None else form.shift[scene]
    total = part + shift[:, None, None] * whole
    return value if form.shift is None else total[:, 0, 0], total


def _of_scenes(
    rows: Shaped[Tensor, "p c n"], scene: Int[Tensor, " p"], matrices: Shaped[Tensor, "b n q"]
) -> Shaped[Tensor, "p c q"]:
    """Rows times the matrix of their scene, one product a scene: a matrix is larger than the rows
    of a place.

    Args:
        scene: ascending.
    """
    if not scene.numel():
        return rows @ matrices[scene]
    first, last = int(scene[0]), int(scene[-1])
    slot = torch.arange(scene.shape[0], device=scene.device) - torch.searchsorted(scene, scene)
    where = scene - first, slot
    side = rows.new_zeros(last - first + 1, int(slot.max()) + 1, *rows.shape[1:])
    side[where] = rows
    seen = side.flatten(1, 2) @ matrices[first : last + 1]
    return seen.unflatten(1, side.shape[1:3])[where]


@dataclass(frozen=True)
class WaveSurface(Surface):
    """By the steering vectors and their derivatives, whatever panel and wavefront.

    rows (S, N, q): the conjugate of the basis of every scene.
    """

    form: Form
    rows: Tensor
    panel: Panel
    wavefront: Wavefront

    def expand(
        self, place: Float[Tensor, "p 3"], scene: Int[Tensor, " p"]
    ) -> tuple[Float[Tensor, " p"], Float[Tensor, "p 3"], Float[Tensor, "p 3 3"]]:
        azimuth, elevation, inverse = place.unbind(-1)
        a, da = steering_derivatives(self.panel, azimuth, elevation, 1 / inverse, self.wavefront)
        da = da * distance_by_inverse(place)[..., None]
        columns = torch.cat((a[:, None], da), dim=1)
        inside = _of_scenes(columns, scene, self.rows)
        part = (inside.conj() @ (self.form.weights[scene][:, None] * inside).mT).real
        value, total = _shifted(self.form, scene, part, (columns.conj() @ columns.mT).real)
        return value, -total[:, 1:, 0], total[:, 1:, 1:]


@dataclass(frozen=True)
class PlaneSurface(Surface):
    """By the coefficients of f and of its slope and curvature in u and v.

    table (S, 2 L, 6): real and imaginary parts of c, L lags; lags: elements where the lags of v and
    of u are, whose plane waves are the terms; whole (3, 3): `Re(C^H C)`, C = [a, da/du, da/dv].
    """

    form: Form
    table: Tensor
    lags: tuple[Panel, Panel]
    whole: Tensor
    wavefront: Wavefront = "plane"

    @classmethod
    def of(cls, form: Form, scenario: Scenario) -> "PlaneSurface":
        (n_h, n_v), device = scenario.panel, form.basis.device
        panel = ideal_panel(scenario, torch.float64, device)
        k = 2 * math.pi / scenario.wavelength
        x, y = (k * panel.positions[:, i] for i in (0, 1))
        up_u, lags_v = (
            2 * math.pi * d * torch.arange(n, dtype=torch.float64, device=device)
            for d, n in zip(scenario.spacing, (n_h, n_v), strict=True)
        )
        lags_u = torch.cat((up_u, -up_u[1:].flip(0)))
        own, cross = _correlations(form, x, y, scenario.panel)
        table = torch.cat((own, -1j * lags_u * own, -1j * lags_v[:, None] * own, cross), dim=1)
        table = torch.cat((table[..., :1, :], 2 * table[..., 1:, :]), dim=-2).flatten(2)
        # A steering vector has unit norm, a term unit modulus.
        real = torch.view_as_real(table.conj().resolve_conj() * table.shape[-1] ** 0.5)
        none_u, none_v = torch.zeros_like(lags_u), torch.zeros_like(lags_v)
        lags = (
            Panel(torch.stack((none_v, -lags_v / k, none_v), dim=1), scenario.wavelength),
            Panel(torch.stack((-lags_u / k, none_u, none_u), dim=1), scenario.wavelength),
        )
        zero = torch.zeros((), dtype=torch.float64, device=device)
        rows = ((zero + 1, zero, zero), (zero, x @ x, x @ y), (zero, x @ y, y @ y))
        whole = torch.stack([torch.stack(row) for row in rows])
        whole[1:, 1:] /= panel.elements
        return cls(form, real.flatten(2).mT.contiguous(), lags, whole)

    def expand(
        self, place: Float[Tensor, "p 3"], scene: Int[Tensor, " p"]
    ) -> tuple[Float[Tensor, " p"], Float[Tensor, "p 3"], Float[Tensor, "p 3 3"]]:
        azimuth, elevation, inverse = place.unbind(-1)
        along_v, along_u = (
            steering_vector(panel, azimuth, elevation, 1 / inverse, self.wavefront)
            for panel in self.lags
        )
        terms = torch.view_as_real(along_v[:, :, None] * along_u[:, None]).flatten(1)
        sums = _of_scenes(terms[:, None], scene, self.table)[:, 0]
        order = [0, 1, 2, 1, 3, 4, 2, 4, 5]
        halves = torch.cat((sums[:, :1], sums[:, 1:3] / 2, sums[:, 3:]), dim=1)
        part = halves[:, order].unflatten(1, (3, 3))
        value, total = _shifted(self.form, scene, part, self.whole)
        # A plane wave does not see the distance.
        jacobian = pad(turning_cosines(azimuth, elevation)[:, 1:, :2], (0, 0, 0, 1))
        score = -(jacobian @ total[:, 1:, :1])[..., 0]
        return value, score, jacobian @ total[:, 1:, 1:] @ jacobian.mT


def _correlations(
    form: Form, x: Float[Tensor, " n"], y: Float[Tensor, " n"], panel: tuple[int, int]
) -> tuple[Complex[Tensor, "b 1 v u"], Complex[Tensor, "b 3 v u"]]:
    """`1/N sum_i w_i sum_n v_i[n + lag] conj(v_i[n])` for lags m >= 0 along v and all along u, and
    the same of (x v, x v), (x v, y v) and (y v, y v)."""
    n_h, n_v = panel
    vectors = form.basis.mT
    size = (2 * n_v, 2 * n_h)
    plain, by_x, by_y = (
        torch.fft.fft2((vectors * factor).unflatten(-1, (n_v, n_h)), s=size)
        for factor in (torch.ones_like(x), x, y)
    )
    pairs = ((plain, plain), (by_x, by_x), (by_x, by_y), (by_y, by_y))
    power = torch.stack([(a.conj() * b).real for a, b in pairs], dim=2)
    order = form.owner.argsort(stable=True)
    weighted = _of_scenes(form.weights[order][:, None], form.owner[order], power.flatten(2))
    weighted = weighted[order.argsort(), 0].unflatten(1, power.shape[2:])
    sums = torch.fft.ifft2(weighted) / (n_h * n_v)
    every = torch.cat((sums[..., :n_v, :n_h], sums[..., :n_v, n_h + 1 :]), dim=-1)
    return every[:, :1], every[:, 1:]
