"""Responses of a grid that is its own mirror image, in a quarter of the products.

    a_n(-u, v, r) = a_n'(u, v, r),   n' the mirror image of element n in the axis x = 0

With I mirror images (4: both axes) and their characters chi_p(m) = +-1, a probe and a steering
vector split into parts of one parity each, on a quarter of the elements:

    s_p = 1/I sum_m chi_p(m) a_{m n},   q_p = sum_m chi_p(m) z_{m n}       n: one of each orbit
    a_{m g}^H z = sum_p chi_p(m) s_p(g)^H q_p                             g: one of each orbit

an exact identity: I products of a quarter of the rows and columns, and sums of I terms.

Source: J.-P. Serre, "Linear Representations of Finite Groups", 1977, section 2.6 (canonical
decomposition).
"""

from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

_SAME = 1e-6
"""Two places are one that differ by less of the largest u, v and 1/r: they come in float32."""


@dataclass(frozen=True)
class Mirrors:
    """The orbits of a grid and its panel.

    steering (I, N', G'): s_p; elements (I, N'): the images of each orbit's first element; share
    (N',): 1 over how often these repeat; points (I, G'): of the grid's points; order (G,): where in
    `points` each point of the grid is; characters (I, I).
    """

    steering: Tensor
    elements: Tensor
    share: Tensor
    points: Tensor
    order: Tensor
    characters: Tensor

    def responses(self, rows: Complex[Tensor, "r n"]) -> list[Complex[Tensor, "r g"]]:
        """`z^H a_g` for the rows `z^H`, at each of `points`."""
        folded = torch.einsum(
            "pm,rmn->prn", self.characters.to(rows.dtype), rows[:, self.elements] * self.share
        )
        parts = list((folded @ self.steering).unbind(0))
        step = 1
        while step < len(parts):
            pairs = [(i, i + step) for i in range(len(parts)) if not i & step]
            for low, high in pairs:
                even, odd = parts[low], parts[high]
                parts[low], parts[high] = even + odd, even - odd
            step *= 2
        return parts


def mirrors_of(
    places: Float[Tensor, "g 3"], positions: Float[Tensor, "n 3"], steering: Complex[Tensor, "g n"]
) -> Mirrors | None:
    """The mirror images that a grid at `places` (u, v, 1/r) has; None where it has none."""
    flips = ((-1.0, 1.0, 1.0), (1.0, -1.0, 1.0))
    maps = [(_image(places, flip), _image(positions, flip)) for flip in flips]
    found = [(g, n) for g, n in maps if g is not None and n is not None]
    if not found:
        return None
    images_g, images_n = (_group([axis[i] for axis in found]) for i in (0, 1))
    first_g, first_n = (_orbits(images) for images in (images_g, images_n))
    points, elements = images_g[:, first_g], images_n[:, first_n]
    count = len(points)
    characters = torch.tensor(
        [[(-1.0) ** bin(p & m).count("1") for m in range(count)] for p in range(count)],
        dtype=steering.real.dtype,
        device=steering.device,
    )
    own = steering[points[0]][:, elements]
    parts = torch.einsum("pm,gmn->png", characters.to(steering.dtype), own) / count
    order = torch.empty(len(places), dtype=torch.int64, device=places.device)
    order[points.flatten()] = torch.arange(points.numel(), device=places.device)
    distinct = (elements == elements[:1]).sum(0)
    return Mirrors(
        steering=parts.contiguous(),
        elements=elements,
        share=(1 / distinct).to(characters),
        points=points,
        order=order,
        characters=characters,
    )


def _image(places: Tensor, flip: tuple[float, float, float]) -> Int[Tensor, " g"] | None:
    """Where the mirror image of each place is among them."""
    here = places.double().cpu().numpy()
    step = _SAME * np.abs(here).max(axis=0).clip(np.finfo(float).tiny)
    there = here * np.array(flip)
    one, other = (np.lexsort(np.round(x / step).T) for x in (here, there))
    if (np.abs(here[one] - there[other]) > step).any():
        return None
    index = np.empty(len(here), dtype=np.int64)
    index[other] = one
    return torch.from_numpy(index).to(places.device)


def _group(axes: list[Tensor]) -> Int[Tensor, "m g"]:
    """All products of the reflections, bit i of their number saying whether axis i is in."""
    images = [torch.arange(axes[0].shape[0], device=axes[0].device)]
    for axis in axes:
        images += [axis[image] for image in images]
    return torch.stack(images)


def _orbits(images: Int[Tensor, "m g"]) -> Int[Tensor, " h"]:
    """The first of each orbit."""
    return torch.nonzero(images.amin(0) == images[0])[:, 0]
