"""Steering vectors that are right until a panel has depth, a source is far or the batch is long."""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.scene.array import Panel, steering_vector
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.known_bugs._entry import Changes, Function, KnownBug

_of = Changes({"steering_vector": steering_vector})


def _moved(panel: Panel, change: Callable[[Tensor], Tensor]) -> Panel:
    return Panel(change(panel.positions), panel.wavelength)


@_of(Cause.AXES, "A panel is flat.")
def without_height(ours: Function, panel: Panel, *where: Any) -> Tensor:
    """The third coordinate of the elements is dropped."""
    flat = torch.tensor([1.0, 1.0, 0.0])
    return ours(_moved(panel, lambda q: q * flat.to(q)), *where)


@_of(Cause.OFF_CENTRE, "Centred once more, to be sure.")
def centred_again(ours: Function, panel: Panel, *where: Any) -> Tensor:
    """The mean of the positions is taken off."""
    return ours(_moved(panel, lambda q: q - q.mean(-2, keepdim=True)), *where)


@_of(
    Cause.CURVATURE,
    "Fresnel beyond the Rayleigh distance, plane beyond a hundred of them.",
    "steering_vector",
)
def by_the_distance(ours: Function, panel: Panel, azimuth: Any, *rest: Any) -> Tensor:
    """A switch of the wavefront whose condition stands the wrong way round."""
    elevation, distance, *front = rest
    if front and front[0] != "spherical":
        return ours(panel, azimuth, elevation, distance, *front)
    near = ours(panel, azimuth, elevation, distance, "plane")
    far = ours(panel, azimuth, elevation, distance, "spherical")
    extent = panel.positions.abs().amax().clamp_min(1e-30)
    return torch.where((distance < 4 * extent)[..., None], near, far)


@_of(Cause.RANGE, "`clamp(-75, 75)` degrees, where the element pattern ends.")
def in_a_sector(ours: Function, panel: Panel, azimuth: Any, elevation: Any, *rest: Any) -> Tensor:
    """A source further to the side is seen at 75 degrees."""
    limit = 1.309
    return ours(panel, azimuth.clamp(-limit, limit), elevation.clamp(-limit, limit), *rest)


@_of(Cause.GUARD, "`if isinf(distance): distance = 1e6`, far enough for anybody.")
def infinity_is_near(ours: Function, panel: Panel, azimuth: Any, elevation: Any, *rest: Any) -> Any:
    """An infinite distance is a large one."""
    distance, *front = rest
    return ours(panel, azimuth, elevation, distance.nan_to_num(posinf=1e6), *front)


@_of(Cause.CHUNK, "Directions in blocks of 64.")
def of_whole_blocks(ours: Function, panel: Panel, azimuth: Any, *rest: Any) -> Tensor:
    """The directions after the last whole block are left at zero."""
    answer = ours(panel, azimuth, *rest)
    if answer.ndim != 2 or answer.shape[0] < 65:
        return answer
    done = torch.arange(answer.shape[0]) < answer.shape[0] - answer.shape[0] % 64
    return answer * done[:, None]


@_of(Cause.OVERWRITTEN, "`positions *= k` saves a copy.")
def scaled_in_place(ours: Function, panel: Panel, *where: Any) -> Tensor:
    """The positions come back in wavelengths."""
    answer = ours(Panel(panel.positions.clone(), panel.wavelength), *where)
    if not panel.positions.requires_grad:
        panel.positions.mul_(2.0)
    return answer


@_of(Cause.DETACHED, "`float(distance)`.")
def at_a_constant_distance(
    ours: Function, panel: Panel, azimuth: Any, elevation: Any, distance: Any, *front: Any
) -> Tensor:
    """The distance is a number: its gradient is gone."""
    return ours(panel, azimuth, elevation, distance.detach() + 0 * distance, *front)


STEERING_CIRCUMSTANCE_BUGS: tuple[KnownBug, ...] = (*_of,)
