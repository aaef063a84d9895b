"""Which estimate belongs to which source.

angle(e, s) = 2 asin(|p_e - p_s| / 2),   p: unit vectors towards estimate and source

The assignment that minimises the sum of angles over all pairs; the chord form of the great-circle
distance keeps its accuracy at small angles. Two sources one behind the other have nearly the same
direction, and which is which their distances say (`exchange_neighbours`).

Source: H. W. Kuhn, "The Hungarian method for the assignment problem", Naval Res. Logist. Q. 2(1-2),
1955.
"""

import torch
from jaxtyping import Bool, Float, Int
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_shape
from ris_pipeline.scene import direction_cosines


def great_circle(
    azimuth: Float[Tensor, "*#batch"],
    elevation: Float[Tensor, "*#batch"],
    other_azimuth: Float[Tensor, "*#batch"],
    other_elevation: Float[Tensor, "*#batch"],
) -> Float[Tensor, "*#batch"]:
    """Angle between two directions (rad), by the chord: `2 asin(|p - q| / 2)`."""
    chord = direction_cosines(azimuth, elevation) - direction_cosines(
        other_azimuth, other_elevation
    )
    return 2 * torch.asin((chord.square().sum(-1).sqrt() / 2).clamp_max(1.0))


def every_angle(
    azimuth: Float[Tensor, "b e"],
    elevation: Float[Tensor, "b e"],
    active: Bool[Tensor, "b e"],
    true_azimuth: Float[Tensor, "b k"],
    true_elevation: Float[Tensor, "b k"],
    true_active: Bool[Tensor, "b k"],
) -> Float[Tensor, "b k e"]:
    """Angle (rad, float64, on the CPU) between every true source and every estimate of its scene.

    Raises:
        InputError: shapes that do not fit, or an angle of a filled slot that is not finite.
    """
    for name, value in (("elevation", elevation), ("active", active)):
        check_shape(name, value, tuple(azimuth.shape))
    check_shape("true_azimuth", true_azimuth, (azimuth.shape[0], None))
    for name, value in (("true_elevation", true_elevation), ("true_active", true_active)):
        check_shape(name, value, tuple(true_azimuth.shape))
    for name, value, filled in (
        ("azimuth", azimuth, active),
        ("elevation", elevation, active),
        ("true_azimuth", true_azimuth, true_active),
        ("true_elevation", true_elevation, true_active),
    ):
        _check_filled(name, value, filled)
    return great_circle(
        azimuth.double()[:, None],
        elevation.double()[:, None],
        true_azimuth.double()[:, :, None],
        true_elevation.double()[:, :, None],
    ).cpu()


def _check_filled(name: str, value: Tensor, filled: Tensor) -> None:
    bad = filled & ~value.isfinite()
    if bool(bad.any()):
        scene, slot = (int(i) for i in bad.nonzero()[0])
        raise InputError(
            f"{name} is {value[scene, slot].item()} in slot {slot} of scene {scene}, which holds a "
            "source: allowed are finite angles"
        )


def match_sources(
    azimuth: Float[Tensor, "b e"],
    elevation: Float[Tensor, "b e"],
    active: Bool[Tensor, "b e"],
    true_azimuth: Float[Tensor, "b k"],
    true_elevation: Float[Tensor, "b k"],
    true_active: Bool[Tensor, "b k"],
) -> Int[Tensor, "b k"]:
    """For every true source the index of its estimate, -1 where it has none or the slot is empty.

    Args:
        azimuth, elevation: radians; entries of inactive slots are not looked at.

    Raises:
        InputError: shapes that do not fit, or an angle of a filled slot that is not finite.
    """
    angles = every_angle(azimuth, elevation, active, true_azimuth, true_elevation, true_active)
    match = torch.full(true_azimuth.shape, -1, dtype=torch.int64)
    for scene in range(angles.shape[0]):
        sources = torch.nonzero(true_active[scene])[:, 0].cpu()
        found = torch.nonzero(active[scene])[:, 0].cpu()
        rows, columns = linear_sum_assignment(angles[scene][sources][:, found].numpy())
        match[scene, sources[rows]] = found[columns]
    return match.to(true_azimuth.device)


def exchange_neighbours(
    match: Int[Tensor, "b k"], allowed: Bool[Tensor, "b k e"], mismatch: Float[Tensor, "b k e"]
) -> Int[Tensor, "b k"]:
    """Exchange estimates among the matched sources of a scene where their places then fit better.

    The same sources keep an estimate, each one that is allowed, at the least sum of `mismatch`.
    Sources whose match is not allowed are left as they are.

    Args:
        match: the index of the estimate of each source, or -1, as from `match_sources`.
        allowed: whether an estimate may belong to a source.
        mismatch: how badly it fits, 0 or more; what is not allowed is not looked at.
    """
    kept = (match >= 0) & allowed.gather(2, match.clamp_min(0)[..., None])[..., 0]
    result = match.clone()
    # Only where an estimate could belong to two of them is there anything to exchange.
    shared = (allowed & kept[..., None]).sum(1).amax(1) > 1
    for scene in torch.nonzero(shared)[:, 0].tolist():
        rows = torch.nonzero(kept[scene])[:, 0]
        columns = match[scene, rows]
        cost = mismatch[scene][rows][:, columns]
        forbidden = cost.diagonal().sum() + 1
        cost = torch.where(allowed[scene][rows][:, columns], cost, forbidden)
        first, second = linear_sum_assignment(cost.cpu().numpy())
        result[scene, rows[first]] = columns[second]
    return result
