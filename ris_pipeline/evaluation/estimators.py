"""Every estimator by name, all with one signature."""

from collections.abc import Callable, Mapping
from types import MappingProxyType

from torch import Tensor

from ris_pipeline._arrays import open_doors
from ris_pipeline._entry import checked
from ris_pipeline.localization import Estimates, locate
from ris_pipeline.localization.baselines.modified_music import modified_music
from ris_pipeline.localization.baselines.mvdr_planes import mvdr_planes
from ris_pipeline.localization.baselines.omp import omp
from ris_pipeline.localization.baselines.plane_music import plane_music
from ris_pipeline.scene import Received

Estimator = Callable[[Received, int | Tensor | None], Estimates]
"""Scenes and the number of sources (None: to be estimated) in, positions out."""

open_doors(globals(), ("modified_music", "plane_music", "mvdr_planes", "omp"), checked)

ESTIMATORS: Mapping[str, Estimator] = MappingProxyType(
    {
        "maximum_likelihood": locate,
        "modified_music": modified_music,
        "plane_music": plane_music,
        "mvdr_planes": mvdr_planes,
        "omp": omp,
    }
)
