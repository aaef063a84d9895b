"""Locating the sources: back-projection, detection, refinement, source number, bound, scoring."""

from ris_pipeline.localization.backprojection import (
    code_gram,
    matched_filter,
    regularised_least_squares,
    sensing_gram,
    snr_regularisation,
)
from ris_pipeline.localization.bound import cramer_rao_bound, fisher_information
from ris_pipeline.localization.detection import detection_spectrum
from ris_pipeline.localization.estimates import Estimates
from ris_pipeline.localization.grid import (
    Domain,
    SteeringGrid,
    beamwidths,
    depth_of_focus,
    grid_at,
    search_domain,
    steering_grid,
)
from ris_pipeline.localization.locate import locate
from ris_pipeline.localization.matching import great_circle, match_sources
from ris_pipeline.localization.metrics import (
    DETECTION_ANGLE,
    Errors,
    SnrResult,
    estimation_errors,
    summarise,
)
from ris_pipeline.localization.peaks import spectrum_peaks
from ris_pipeline.localization.refinement import Status
from ris_pipeline.localization.source_number import CRITERIA, Threshold
from ris_pipeline.localization.varpro import measure
from ris_pipeline.localization.whitening import diffuse_ratio, whiten

__all__ = [
    "CRITERIA",
    "DETECTION_ANGLE",
    "Domain",
    "Errors",
    "Estimates",
    "SnrResult",
    "Status",
    "SteeringGrid",
    "Threshold",
    "beamwidths",
    "code_gram",
    "cramer_rao_bound",
    "depth_of_focus",
    "detection_spectrum",
    "diffuse_ratio",
    "estimation_errors",
    "fisher_information",
    "great_circle",
    "grid_at",
    "locate",
    "match_sources",
    "matched_filter",
    "measure",
    "regularised_least_squares",
    "search_domain",
    "sensing_gram",
    "snr_regularisation",
    "spectrum_peaks",
    "steering_grid",
    "summarise",
    "whiten",
]
