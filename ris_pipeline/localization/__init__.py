"""From snapshots to sources: back-projection, grid search, joint refinement, bound, metrics."""

from ris_pipeline.localization.backprojection import (
    least_squares,
    matched_filter,
    sensing_gram,
)
from ris_pipeline.localization.bound import cramer_rao_bound
from ris_pipeline.localization.detection import first_scores, grid_energy
from ris_pipeline.localization.grid import SteeringGrid, grid_at, steering_grid
from ris_pipeline.localization.locate import Estimates, locate
from ris_pipeline.localization.matching import angular_distance, match_sources
from ris_pipeline.localization.metrics import (
    GATE_DEG,
    Accuracy,
    SourceErrors,
    accuracy,
    source_errors,
)
from ris_pipeline.localization.peaks import spectrum_peaks
from ris_pipeline.localization.refinement import Status
from ris_pipeline.localization.source_number import bayesian_information, estimate_number

__all__ = [
    "GATE_DEG",
    "Accuracy",
    "Estimates",
    "SourceErrors",
    "Status",
    "SteeringGrid",
    "accuracy",
    "angular_distance",
    "bayesian_information",
    "cramer_rao_bound",
    "estimate_number",
    "first_scores",
    "grid_at",
    "grid_energy",
    "least_squares",
    "locate",
    "match_sources",
    "matched_filter",
    "sensing_gram",
    "source_errors",
    "spectrum_peaks",
    "steering_grid",
]
