"""Locating the sources: back-projection, detection, refinement, source number, bound, scoring."""

from ris_pipeline.localization.backprojection import (
    code_gram,
    matched_filter,
    regularised_least_squares,
    sensing_gram,
    snr_regularisation,
)
from ris_pipeline.localization.bound import cramer_rao_bound, fisher_information
from ris_pipeline.localization.covariance_route import locate_from_covariance
from ris_pipeline.localization.detection import detection_spectrum
from ris_pipeline.localization.estimates import Estimates
from ris_pipeline.localization.gospa import gospa, gospa_metric
from ris_pipeline.localization.grid import (
    Domain,
    SteeringGrid,
    beamwidths,
    depth_of_focus,
    grid_at,
    search_domain,
    steering_grid,
)
from ris_pipeline.localization.linear_array import (
    esprit,
    root_music,
    ula_bartlett,
    ula_music,
    ula_mvdr,
    ula_steering,
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
from ris_pipeline.localization.misspecified_bound import (
    MisspecifiedBound,
    misspecified_cramer_rao_bound,
)
from ris_pipeline.localization.peaks import DirectionGrid, direction_grid, direction_peaks
from ris_pipeline.localization.refinement import Status
from ris_pipeline.localization.source_number import CRITERIA, Threshold
from ris_pipeline.localization.stochastic_bound import (
    stochastic_cramer_rao_bound,
    stochastic_fisher_information,
)
from ris_pipeline.localization.sub_panels import smooth_panel, sub_panel_windows
from ris_pipeline.localization.varpro import measure
from ris_pipeline.localization.whitening import diffuse_ratio, whiten

__all__ = [
    "CRITERIA",
    "DETECTION_ANGLE",
    "DirectionGrid",
    "Domain",
    "Errors",
    "Estimates",
    "MisspecifiedBound",
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
    "direction_grid",
    "direction_peaks",
    "esprit",
    "estimation_errors",
    "fisher_information",
    "gospa",
    "gospa_metric",
    "great_circle",
    "grid_at",
    "locate",
    "locate_from_covariance",
    "match_sources",
    "matched_filter",
    "measure",
    "misspecified_cramer_rao_bound",
    "regularised_least_squares",
    "root_music",
    "search_domain",
    "sensing_gram",
    "smooth_panel",
    "snr_regularisation",
    "steering_grid",
    "stochastic_cramer_rao_bound",
    "stochastic_fisher_information",
    "sub_panel_windows",
    "summarise",
    "ula_bartlett",
    "ula_music",
    "ula_mvdr",
    "ula_steering",
    "whiten",
]
