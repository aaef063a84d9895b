"""Locating the sources: back-projection, detection, refinement, source number, bound, scoring."""

from ris_pipeline._arrays import open_doors
from ris_pipeline._entry import checked
from ris_pipeline.localization.bounds.deterministic import cramer_rao_bound, fisher_information
from ris_pipeline.localization.bounds.misspecified import (
    MisspecifiedBound,
    misspecified_cramer_rao_bound,
)
from ris_pipeline.localization.bounds.stochastic import (
    stochastic_cramer_rao_bound,
    stochastic_fisher_information,
)
from ris_pipeline.localization.bounds.table import BoundTable
from ris_pipeline.localization.coordinates import Domain, beamwidths, depth_of_focus, search_domain
from ris_pipeline.localization.estimates import Estimates, Status
from ris_pipeline.localization.grid_search.detection import detection_spectrum
from ris_pipeline.localization.grid_search.grid import SteeringGrid, grid_at, steering_grid
from ris_pipeline.localization.grid_search.peaks import (
    DirectionGrid,
    direction_grid,
    direction_peaks,
)
from ris_pipeline.localization.maximum_likelihood.locate import locate
from ris_pipeline.localization.measurement.back_projection import (
    code_gram,
    matched_filter,
    regularised_least_squares,
    sensing_gram,
    snr_regularisation,
)
from ris_pipeline.localization.measurement.measure import measure
from ris_pipeline.localization.measurement.whitening import diffuse_ratio, whiten
from ris_pipeline.localization.scoring.errors import (
    DETECTION_ANGLE,
    Errors,
    SnrResult,
    estimation_errors,
    summarise,
)
from ris_pipeline.localization.scoring.gospa import gospa, gospa_metric
from ris_pipeline.localization.scoring.matching import great_circle, match_sources
from ris_pipeline.localization.source_number import CRITERIA, Threshold
from ris_pipeline.localization.spectra.from_covariance import locate_from_covariance
from ris_pipeline.localization.spectra.linear_array import (
    esprit,
    root_music,
    ula_bartlett,
    ula_music,
    ula_mvdr,
    ula_steering,
)
from ris_pipeline.localization.spectra.sub_panels import smooth_panel, sub_panel_windows
from ris_pipeline.localization.supposed import suppose_sources

__all__ = [
    "CRITERIA",
    "DETECTION_ANGLE",
    "BoundTable",
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
    "suppose_sources",
    "ula_bartlett",
    "ula_music",
    "ula_mvdr",
    "ula_steering",
    "whiten",
]

open_doors(globals(), __all__, checked)
