"""Locating the sources: back-projection, detection, refinement, source number, bound and scoring."""

from ris_pipeline.localization.backprojection import (
    code_gram,
    matched_filter,
    regularised_least_squares,
    sensing_gram,
    snr_regularisation,
)
from ris_pipeline.localization.bound import cramer_rao_bound, fisher_information
from ris_pipeline.localization.grid import SteeringGrid, steering_grid
from ris_pipeline.localization.locate import Estimates, locate
from ris_pipeline.localization.matching import great_circle, match_sources
from ris_pipeline.localization.refinement import Status

__all__ = [
    "Estimates",
    "Status",
    "SteeringGrid",
    "code_gram",
    "cramer_rao_bound",
    "fisher_information",
    "great_circle",
    "locate",
    "match_sources",
    "matched_filter",
    "regularised_least_squares",
    "sensing_gram",
    "snr_regularisation",
    "steering_grid",
]
