"""MVDR over direction and distance planes."""

from torch import Tensor

from ris_pipeline.localization.baselines.run import Find, aperture_covariance, run_baseline
from ris_pipeline.localization.estimates import Estimates
from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.localization.spectra.search import default_search, spectrum_positions
from ris_pipeline.scene import Received
from ris_pipeline.spectral import shrink

MVDR_LOADING = 0.05
"""Shrinkage of `mvdr_planes`' covariance, the largest that `shrinkage_weight` gives. From 0.01 to
0.5 nothing changes; smoothing over sub-panels, which the near field does not allow, loses."""


def _mvdr_planes(scenes: Received, measurement: Measurement) -> Find:
    covariance = shrink(aperture_covariance(scenes, measurement), MVDR_LOADING)
    values = scenes.snapshots
    search = default_search(scenes.scenario, values.real.dtype, values.device)
    return lambda numbers: [
        spectrum_positions(covariance, search, number, number, "mvdr") for number in numbers
    ]


def mvdr_planes(scenes: Received, number: int | Tensor | None = None) -> Estimates:
    """MVDR over direction and distance planes, the best plane of each direction, its peaks (2.5-D).

    At T = 1 the covariance has rank one, and the spectrum's order is that of |a^H x|^2.

    Raises:
        InputError: as `locate`.

    Source: J. Capon, Proc. IEEE 57(8), 1969; distance planes as in the original system.
    """
    return run_baseline(_mvdr_planes, scenes, number)
