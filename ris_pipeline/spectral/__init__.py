"""Hermitian maths: pure tensor functions that take steering matrices and never make them.

Every spectrum is in DESCENDING order.
"""

from ris_pipeline.spectral.covariance import (
    add_loading,
    blend,
    eigenvalues,
    nmse,
    normalize_trace,
    prepare_covariance,
    shrink,
    shrinkage_weight,
    trace,
)
from ris_pipeline.spectral.eigengap import eigengap, eigengap_loss, signal_power_hinge
from ris_pipeline.spectral.hermitian import eigh, hermitize, singular_values
from ris_pipeline.spectral.low_rank import Covariance, LowRankCovariance
from ris_pipeline.spectral.model_order import eigenvalue_aic, eigenvalue_mdl
from ris_pipeline.spectral.norms import squared_norm
from ris_pipeline.spectral.spectra import bartlett_spectrum, music_spectrum, mvdr_spectrum
from ris_pipeline.spectral.subspaces import (
    noise_projection,
    noise_subspace,
    projector,
    signal_subspace,
    soft_alignment,
)

__all__ = [
    "Covariance",
    "LowRankCovariance",
    "add_loading",
    "bartlett_spectrum",
    "blend",
    "eigengap",
    "eigengap_loss",
    "eigenvalue_aic",
    "eigenvalue_mdl",
    "eigenvalues",
    "eigh",
    "hermitize",
    "music_spectrum",
    "mvdr_spectrum",
    "nmse",
    "noise_projection",
    "noise_subspace",
    "normalize_trace",
    "prepare_covariance",
    "projector",
    "shrink",
    "shrinkage_weight",
    "signal_power_hinge",
    "signal_subspace",
    "singular_values",
    "soft_alignment",
    "squared_norm",
    "trace",
]
