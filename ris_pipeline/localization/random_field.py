"""How much the best of all places explains of noise alone.

beta(theta) = sum_t |(Phi_t a)^H y_t|^2 / |Phi_t a|^2  /  sum_t |y_t|^2        a = a(theta)
P(max over theta of beta > b)  ~  sum_{j=0}^{d} L_j rho_j(b)

is the expected Euler characteristic of {theta: beta > b}, which at high b is one where the maximum
is above b and zero elsewhere. A domain in d coordinates has more places than a grid has points, and
few where it is small beside a resolution cell; its sizes are those in the metric of the field,

    g_ij = mean_t Re(d_i^H P_t d_j) / |Phi_t a|^2      d_i = Phi_t d a / d theta_i,  P_t: without a
    L_j  = sum over its j-dimensional faces of the volume / 2^(d - j)           L_0 = 1

and rho_j, of a sum of nu = 2 T squares u with metric g, are known in closed form,

    rho_0 = P(chi2_nu > u)            rho_1 = K u^((nu-1)/2) e^(-u/2) / (2 pi)^(1/2)
    rho_2 = K u^((nu-2)/2) e^(-u/2) (u - (nu-1)) / (2 pi)
    rho_3 = K u^((nu-3)/2) e^(-u/2) (u^2 - (2 nu-1) u + (nu-1)(nu-2)) / (2 pi)^(3/2)
    K     = 1 / (2^((nu-2)/2) Gamma(nu/2))

beta is such a sum over the energy of n complex numbers, of which it is independent: u^q e^(-u/2)
then becomes `2^q Gamma(n) / Gamma(n-q) b^q (1-b)^(n-q-1)`, and rho_0 the tail of Beta(T, n - T).

The faces are taken for flat; their curvature moves L_j below the largest. Of codes and a channel
that nothing is known of, `E Phi^H Phi ~ I`, the metric is the panel's own: smooth, and one for all
scenes.

Source: R. J. Adler, J. E. Taylor, "Random Fields and Geometry", 2007, theorem 12.4.1 and section
14.4; K. J. Worsley, "Local maxima and the expected Euler characteristic of excursion sets of chi2,
F and t fields", Adv. Appl. Probab. 26(1), 1994, for rho.
"""

import math
from collections.abc import Callable
from functools import partial
from itertools import combinations

import torch
from jaxtyping import Float
from scipy.special import betainc
from torch import Tensor

from ris_pipeline.config import Wavefront
from ris_pipeline.localization.coordinates import Domain, free_coordinates
from ris_pipeline.localization.measurement.columns import waves_by_inverse
from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.scene import Panel

_NODES_A_CELL = 3.0
"""Nodes of the integrals in a resolution cell; at 2 and at 4 the sizes differ by 1 %."""

_PANEL_NODES = 5
"""Nodes an axis of the panel's own metric, which turns like the cosines of the angles: 30 degrees
apart the trapezoid is wrong by 2 %."""

_NODES_AT_ONCE = 256
_BISECTIONS = 60
"""Halvings of the level's bracket: to the last digit."""


def field_sizes(
    measurement: Measurement, domain: Domain, cell: Float[Tensor, "3"]
) -> Float[Tensor, "b d"]:
    """`L_0 .. L_d` of the domain, (B, d + 1).

    Args:
        cell: beamwidths of u and v, depth of focus: what an axis is divided by.
    """
    cells = ((domain.upper - domain.lower) / cell * _NODES_A_CELL).tolist()
    counts = [max(3, math.ceil(number) + 1) for number in cells]
    return _sizes(partial(_metric, measurement), measurement.wavefront, domain, counts)


def panel_sizes(panel: Panel, wavefront: Wavefront, domain: Domain) -> Float[Tensor, "1 d"]:
    """`L_0 .. L_d` of the domain in the panel's own metric, (1, d + 1)."""
    own = Panel(panel.positions.double(), panel.wavelength)

    def metric(nodes: Tensor) -> Tensor:
        columns = _columns(own, wavefront, nodes)
        return _projected(torch.einsum("ngi,ngj->gij", columns.conj(), columns)[None])[None]

    return _sizes(metric, wavefront, domain, [_PANEL_NODES] * 3)


def _sizes(
    metric_at: Callable[[Tensor], Tensor], wavefront: str, domain: Domain, counts: list[int]
) -> Float[Tensor, "b d"]:
    unknown = free_coordinates(domain, wavefront).nonzero()[:, 0].tolist()
    axes = [
        _axis(domain, i, counts[i]) if i in unknown else domain.lower[i : i + 1] for i in range(3)
    ]
    nodes = torch.stack(torch.meshgrid(*axes, indexing="ij"), dim=-1)
    metric = torch.cat([metric_at(part) for part in _parts(nodes.flatten(0, 2))], dim=1)
    metric = metric.unflatten(1, nodes.shape[:3])
    sizes = [metric.new_ones(metric.shape[0])]
    for dimension in range(1, len(unknown) + 1):
        faces = [_volume(metric, axes, face) for face in combinations(unknown, dimension)]
        sizes.append(torch.stack(faces).sum(0))
    return torch.stack(sizes, dim=1)


def _axis(domain: Domain, i: int, count: int) -> Tensor:
    extent = domain.upper[i] - domain.lower[i]
    axis = torch.linspace(0, 1, count, dtype=torch.float64, device=domain.lower.device)
    return domain.lower[i] + extent * axis


def _columns(panel: Panel, wavefront: Wavefront, nodes: Float[Tensor, "g 3"]) -> Tensor:
    """a and its three derivatives at every node, (N, G, 4)."""
    a, da = waves_by_inverse(panel, wavefront, nodes)
    return torch.cat((a[:, None], da), dim=1).movedim(2, 0)


def _parts(nodes: Float[Tensor, "g 3"]) -> tuple[Tensor, ...]:
    return nodes.split(_NODES_AT_ONCE)


def _metric(measurement: Measurement, nodes: Float[Tensor, "g 3"]) -> Float[Tensor, "b g 3 3"]:
    """`mean_t Re(D^H P D) / |Phi a|^2` at every node."""
    own, count = _columns(measurement.panel, measurement.wavefront, nodes), nodes.shape[0]
    metrics = []
    for scene in range(measurement.scenes):
        index = torch.tensor([scene], device=nodes.device)
        image = measurement.take(index).normal(own.flatten(1)[None])[0].unflatten(2, (count, 4))
        inner = torch.einsum("ngi,tngj->tgij", own.conj(), image)
        metrics.append(_projected(inner))
    return torch.stack(metrics) if metrics else nodes.new_empty(0, count, 3, 3)


def _projected(inner: Tensor) -> Float[Tensor, "g 3 3"]:
    power = inner[..., :1, :1].real
    seen = power > 0
    power = torch.where(seen, power, torch.ones_like(power))
    cross = inner[..., 1:, :1]
    metric = (inner[..., 1:, 1:] - cross @ cross.mH / power).real / power * seen
    return metric.mean(0)


def _volume(metric: Tensor, axes: list[Tensor], face: tuple[int, ...]) -> Float[Tensor, " b"]:
    """Volume of the faces along the axes `face`, the mean over the ends of the other axes."""
    index = torch.tensor(face, device=metric.device)
    part = metric.index_select(-1, index).index_select(-2, index)
    density = torch.linalg.det(part).clamp_min(0).sqrt()
    for i in (2, 1, 0):
        axis = 1 + i
        if i in face:
            density = torch.trapezoid(density, axes[i], dim=axis)
        else:
            density = (density.select(axis, 0) + density.select(axis, -1)) / 2
    return density


def exceedance(
    level: Float[Tensor, "*b"],
    sizes: Float[Tensor, "*#b d"],
    blocks: int,
    free: float | Float[Tensor, "*#b"],
) -> Float[Tensor, "*b"]:
    """`sum_j L_j rho_j(b)`, a probability where it is small.

    Args:
        level: `-ln(1 - b)`: b itself rounds to 1 where few numbers are free.
        free: complex numbers n of the noise.
    """
    numbers = torch.as_tensor(free, dtype=torch.float64, device=level.device)
    left = (-level).exp().cpu().numpy()
    tail = betainc((numbers - blocks).cpu().numpy(), float(blocks), left)
    total = torch.from_numpy(tail).to(sizes)
    for j in range(1, sizes.shape[-1]):
        total = total + sizes[..., j] * _density(j, level, blocks, numbers)
    return total


def _density(j: int, level: Tensor, blocks: int, free: Tensor) -> Float[Tensor, "*b"]:
    """rho_j as a polynomial in u times `K u^((nu - j) / 2) e^(-u / 2)`, turned into one in b."""
    nu = 2 * blocks
    terms = {
        1: {0: 1.0},
        2: {1: 1.0, 0: -(nu - 1.0)},
        3: {2: 1.0, 1: -(2 * nu - 1.0), 0: (nu - 1.0) * (nu - 2.0)},
    }[j]
    log_part = (-torch.expm1(-level)).log()
    log_k = -(nu - 2) / 2 * math.log(2) - math.lgamma(nu / 2) - j / 2 * math.log(2 * math.pi)
    total = torch.zeros_like(level)
    for power, factor in terms.items():
        q = power + (nu - j) / 2
        log = log_k + q * math.log(2) + free.lgamma() - (free - q).lgamma()
        total = total + factor * (log + q * log_part - (free - q - 1) * level).exp()
    return total


def alarm_level(
    sizes: Float[Tensor, "#b d"],
    blocks: int,
    free: float | Float[Tensor, " b"],
    false_alarm: float,
) -> Float[Tensor, " b"]:
    """`-ln(1 - b)` of the part b that the best place explains with probability `false_alarm`: the
    largest of that `exceedance`, by bisection."""
    numbers = torch.as_tensor(free, dtype=sizes.dtype, device=sizes.device)
    low = (-torch.log1p(-1 / numbers)).expand(max(sizes.shape[0], numbers.numel()))
    high = (700.0 / (numbers - blocks).clamp_min(1.0)).expand_as(low)
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        above = exceedance(middle, sizes, blocks, free) > false_alarm
        low, high = torch.where(above, middle, low), torch.where(above, high, middle)
    return high
