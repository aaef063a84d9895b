"""Generalised optimal sub-pattern assignment: one number for errors, misses and false alarms.

GOSPA^2 = min over assignments of  sum_pairs d^2 + (c^2 / 2) (missed + false),    d < c

in great-circle angle d with cutoff c, order p = 2 and alpha = 2.

Source: A. S. Rahmathullah, A. F. Garcia-Fernandez, L. Svensson, "Generalized optimal sub-pattern
assignment metric", FUSION 2017, eq. (3) and proposition 1.
"""

import torch
from jaxtyping import Float
from scipy.optimize import linear_sum_assignment
from torch import Tensor

from ris_pipeline._validation import check_shape
from ris_pipeline.localization.estimates import Estimates
from ris_pipeline.localization.matching import great_circle
from ris_pipeline.localization.metrics import DETECTION_ANGLE
from ris_pipeline.scene import SceneBatch


def gospa(
    estimates: Estimates, scenes: SceneBatch, cutoff: float = DETECTION_ANGLE
) -> Float[Tensor, " b"]:
    """The metric of each scene in radians, (B,) float64; 0 if every source is met exactly.

    Args:
        cutoff: angle (rad) from which an estimate is no estimate of a source.

    Raises:
        InputError: estimates of another number of scenes.
    """
    check_shape("estimates.count", estimates.count, (scenes.size,))
    truth = scenes.sources
    angles = great_circle(
        estimates.azimuth.double()[:, None],
        estimates.elevation.double()[:, None],
        truth.azimuth.double()[:, :, None],
        truth.elevation.double()[:, :, None],
    ).cpu()
    squares = angles.square().clamp_max(cutoff**2)
    totals = torch.zeros(scenes.size, dtype=torch.float64)
    for scene in range(scenes.size):
        cost = squares[scene][truth.active[scene].cpu()][:, estimates.active[scene].cpu()]
        rows, columns = linear_sum_assignment(cost.numpy())
        # A pair beyond the cutoff costs c^2: one missed source and one false alarm.
        alone = abs(cost.shape[0] - cost.shape[1])
        totals[scene] = cost[rows, columns].sum() + alone * cutoff**2 / 2
    return totals.sqrt().to(truth.azimuth.device)
