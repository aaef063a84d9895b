"""MUSIC with plane waves."""

from torch import Tensor

from ris_pipeline.localization.baselines.run import Find, aperture_covariance, run_baseline
from ris_pipeline.localization.estimates import Estimates
from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.localization.spectra.search import (
    default_search,
    largest_order,
    narrowest,
    spectrum_positions,
)
from ris_pipeline.localization.spectra.sub_panels import smooth_panel, sub_panel_size
from ris_pipeline.scene import Received
from ris_pipeline.spectral import forward_backward

PLANE_SUB_PANEL = 0.75
"""Side of `plane_music`'s sub-panels in sides of the panel: a smaller one sees less of the
curvature, a larger one separates more. Detection of two sources at T = 1 and 10 dB was 0.61, 0.68,
0.71 and 0.71 at 0.34, 0.5, 0.58 and 0.75."""


def _plane_music(scenes: Received, measurement: Measurement) -> Find:
    scenario = scenes.scenario.replace(wavefront="plane")
    size = sub_panel_size(scenario.panel, PLANE_SUB_PANEL)
    smooth, part = smooth_panel(aperture_covariance(scenes, measurement), scenario, size)
    covariance = narrowest(forward_backward(smooth))
    search = default_search(part, scenes.snapshots.real.dtype, scenes.snapshots.device)
    most = largest_order(covariance)
    return lambda numbers: [
        spectrum_positions(covariance, search, number.clamp_max(most), number, "music")
        for number in numbers
    ]


def plane_music(scenes: Received, number: int | Tensor | None = None) -> Estimates:
    """Two-dimensional MUSIC with plane waves, on the sub-panel and forward-backward average.

    It knows no distance: that is NaN, and the fit for power and number is one of plane waves too.

    Raises:
        InputError: as `locate`.

    Sources: R. O. Schmidt, IEEE Trans. Antennas Propag. 34(3), 1986; S. U. Pillai and B. H. Kwon,
    IEEE Trans. ASSP 37(1), 1989.
    """
    return run_baseline(_plane_music, scenes, number, plane=True)
