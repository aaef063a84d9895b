"""Hermitian maths: pure tensor functions that take steering matrices and never make them.

Every spectrum is in DESCENDING order.
"""

from ris_pipeline._arrays import open_doors
from ris_pipeline._entry import checked
from ris_pipeline.spectral.averaging import forward_backward, spatial_smoothing
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
from ris_pipeline.spectral.eigengap import (
    eigengap,
    eigengap_loss,
    factor_eigengap_loss,
    signal_power_hinge,
)
from ris_pipeline.spectral.hermitian import eigh, hermitize, singular_values, unordered_eigenvalues
from ris_pipeline.spectral.low_rank import Covariance, LowRankCovariance
from ris_pipeline.spectral.matrix_functions import (
    matrix_sqrt,
    psd_projection,
    pseudo_inverse,
    whitening,
)
from ris_pipeline.spectral.model_order import aic, eigenvalue_aic, eigenvalue_mdl, mdl
from ris_pipeline.spectral.norms import at_unit_scale, squared_norm
from ris_pipeline.spectral.snapshots import ledoit_wolf, sample_covariance
from ris_pipeline.spectral.spectra import (
    bartlett_spectrum,
    music_spectrum,
    mvdr_spectrum,
    noise_weight,
    soft_music_spectrum,
)
from ris_pipeline.spectral.subspaces import (
    decomposition,
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
    "aic",
    "at_unit_scale",
    "bartlett_spectrum",
    "blend",
    "decomposition",
    "eigengap",
    "eigengap_loss",
    "eigenvalue_aic",
    "eigenvalue_mdl",
    "eigenvalues",
    "eigh",
    "factor_eigengap_loss",
    "forward_backward",
    "hermitize",
    "ledoit_wolf",
    "matrix_sqrt",
    "mdl",
    "music_spectrum",
    "mvdr_spectrum",
    "nmse",
    "noise_projection",
    "noise_subspace",
    "noise_weight",
    "normalize_trace",
    "prepare_covariance",
    "projector",
    "psd_projection",
    "pseudo_inverse",
    "sample_covariance",
    "shrink",
    "shrinkage_weight",
    "signal_power_hinge",
    "signal_subspace",
    "singular_values",
    "soft_alignment",
    "soft_music_spectrum",
    "spatial_smoothing",
    "squared_norm",
    "trace",
    "unordered_eigenvalues",
    "whitening",
]

open_doors(globals(), __all__, checked)
