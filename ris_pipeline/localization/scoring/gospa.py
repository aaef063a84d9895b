"""Generalised optimal sub-pattern assignment: one number for errors, misses and false alarms.

GOSPA^2 = min over assignments of  sum_pairs d^2 + (c^2 / 2) (missed + false),    d < c

in great-circle angle d with cutoff c, order p = 2 and alpha = 2.

Source: A. S. Rahmathullah, A. F. Garcia-Fernandez, L. Svensson, "Generalized optimal sub-pattern
assignment metric", FUSION 2017, eq. (3) and proposition 1.
"""

import torch
from jaxtyping import Bool, Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_range
from ris_pipeline.localization.estimates import Estimates
from ris_pipeline.localization.scoring.errors import DETECTION_ANGLE
from ris_pipeline.localization.scoring.matching import every_angle
from ris_pipeline.scene import SceneBatch

_FAR = 1e3
"""Radians, beyond all angles: of a longer cut the square may not be finite."""


def gospa_metric(
    azimuth: Float[Tensor, "b e"],
    elevation: Float[Tensor, "b e"],
    active: Bool[Tensor, "b e"],
    true_azimuth: Float[Tensor, "b k"],
    true_elevation: Float[Tensor, "b k"],
    true_active: Bool[Tensor, "b k"],
    *,
    cutoff: float = DETECTION_ANGLE,
) -> Float[Tensor, " b"]:
    """`min sqrt(sum d^2 + (c^2 / 2) (missed + false))` of each scene in radians, float64.

    A metric on finite sets of directions, at most `cutoff sqrt((estimates + sources) / 2)`.

    Args:
        azimuth, elevation: radians; entries of inactive slots are not looked at.
        cutoff: angle (rad) from which an estimate is no estimate of a source.

    Raises:
        InputError: shapes that do not fit, an angle of a filled slot that is not finite, a cutoff
            that is not positive.
    """
    check_range("cutoff", cutoff, 0.0, _FAR)
    if not cutoff > 0:
        raise InputError(f"cutoff = {cutoff}: allowed is above 0")
    angles = every_angle(azimuth, elevation, active, true_azimuth, true_elevation, true_active)
    squares = angles.square().clamp_max(cutoff**2)
    totals = torch.zeros(azimuth.shape[0], dtype=torch.float64)
    for scene in range(len(totals)):
        cost = squares[scene][true_active[scene].cpu()][:, active[scene].cpu()]
        rows, columns = linear_sum_assignment(cost.numpy())
        # A pair beyond the cutoff costs c^2: one missed source and one false alarm.
        alone = abs(cost.shape[0] - cost.shape[1])
        totals[scene] = cost[rows, columns].sum() + alone * cutoff**2 / 2
    return totals.sqrt().to(true_azimuth.device)


def gospa(
    estimates: Estimates, scenes: SceneBatch, cutoff: float = DETECTION_ANGLE
) -> Float[Tensor, " b"]:
    """`gospa_metric` between estimates and the true sources of each scene.

    Raises:
        InputError: estimates of another number of scenes, or a NaN among them.
    """
    truth = scenes.sources
    return gospa_metric(
        estimates.azimuth,
        estimates.elevation,
        estimates.active,
        truth.azimuth,
        truth.elevation,
        truth.active,
        cutoff=cutoff,
    )
