"""Averages of a covariance over parts of the panel, for sources that are coherent.

One code block, T = 1, leaves a covariance of rank one whatever the number of sources: MUSIC and
MVDR cannot tell them apart. `smooth_panel` averages over all positions of a sub-panel, and
`forward_backward` (of `spectral`) over the panel and its mirror image through the centre.

Both are exact for plane waves. In the near field a source at p is seen by a window centred at o
from p - o: its direction turns by up to |o| / r, and its curvature with it, so smoothing is right
where that is well below the sub-panel's beamwidth. The mirror image of a spherical wave is one that
runs towards a focus behind the panel: the curvature changes sign, forward-backward averaging adds a
source at -r and is right where the curvature is not seen, `R^2 / (2 r)` well below a wavelength.
"""

import torch
from jaxtyping import Int
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_shape
from ris_pipeline.config import Scenario
from ris_pipeline.scene import on_even_grid
from ris_pipeline.spectral import spatial_smoothing
from ris_pipeline.spectral.low_rank import AnyForm


def sub_panel_size(panel: tuple[int, int], share: float) -> tuple[int, int]:
    """The size next to `share` of each side, at least one element; all of a panel of which that
    would be a single one, which has no direction."""
    n_h, n_v = (max(1, round(share * side)) for side in panel)
    return (n_h, n_v) if n_h * n_v > 1 else panel


def check_even_grid(scenario: Scenario) -> None:
    """Raise `InputError` unless parts of the panel look like each other."""
    if not on_even_grid(scenario):
        raise InputError(
            "positions are on no even grid: allowed for an average over sub-panels is one, "
            "horizontal fastest"
        )


def sub_panel_windows(
    panel: tuple[int, int],
    size: tuple[int, int],
    device: torch.device | str | None = None,
) -> Int[Tensor, "w m"]:
    """Elements of every sub-panel of size (n_h, n_v), in the panel's order within each.

    The windows run as elements do, horizontal fastest: W = (N_H - n_h + 1) (N_V - n_v + 1).

    Raises:
        InputError: a size below 1 or above the panel's.
    """
    for name, part, whole in zip(("n_h", "n_v"), size, panel, strict=True):
        if not 1 <= part <= whole:
            raise InputError(f"{name} = {part}: allowed is 1..{whole}")
    elements = torch.arange(panel[0] * panel[1], device=device).reshape(panel[1], panel[0])
    # (rows of windows, columns of windows, n_v, n_h)
    windows = elements.unfold(0, size[1], 1).unfold(1, size[0], 1)
    return windows.flatten(2).flatten(0, 1).contiguous()


def smooth_panel(
    covariance: AnyForm, scenario: Scenario, size: tuple[int, int]
) -> tuple[AnyForm, Scenario]:
    """`1/W sum_w R[window_w, window_w]`, and the scenario of the sub-panel, as
    `locate_from_covariance` takes them.

    Raises:
        InputError: a size below 1 or above the panel's, a covariance of another panel, or elements
            on no even grid.
    """
    values = covariance if isinstance(covariance, Tensor) else covariance.factor
    check_shape("covariance", values, (None, None))
    if values.shape[-2] != scenario.elements:
        raise InputError(
            f"covariance is of order {values.shape[-2]}: allowed is {scenario.elements}"
        )
    check_even_grid(scenario)
    windows = sub_panel_windows(scenario.panel, size, values.device)
    return spatial_smoothing(covariance, windows), sub_panel_scenario(scenario, size)


def sub_panel_scenario(scenario: Scenario, size: tuple[int, int]) -> Scenario:
    """A scenario of the sub-panel, on the even grid, with no more sources than it tells apart.

    Raises:
        InputError: a size of one element.
    """
    most = size[0] * size[1] - 1
    if most < 1:
        raise InputError(f"size = {tuple(size)}: allowed are sub-panels of 2 elements or more")
    return scenario.replace(
        panel=size,
        positions=None,
        panel_file=None,
        sources=tuple(min(number, most) for number in scenario.sources),
    )
