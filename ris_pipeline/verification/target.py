"""What the properties test: a set of functions, looked up when they are called.

Looking up late lets a known bug be put in place of the right function, and another implementation
in place of ours.
"""

from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module
from typing import Any

PLACES = {
    "hermitize": "ris_pipeline.spectral.hermitian:hermitize",
    "eigenvalues": "ris_pipeline.spectral.hermitian:eigenvalues",
    "singular_values": "ris_pipeline.spectral.hermitian:singular_values",
    "eigengap": "ris_pipeline.spectral.eigengap:eigengap",
    "eigengap_loss": "ris_pipeline.spectral.eigengap:eigengap_loss",
    "gradient_norm": "ris_pipeline.learning.diagnostics:gradient_norm",
    "trace": "ris_pipeline.spectral.covariance:trace",
    "add_loading": "ris_pipeline.spectral.covariance:add_loading",
    "normalize_trace": "ris_pipeline.spectral.covariance:normalize_trace",
    "shrinkage_weight": "ris_pipeline.spectral.covariance:shrinkage_weight",
    "shrink": "ris_pipeline.spectral.covariance:shrink",
    "blend": "ris_pipeline.spectral.covariance:blend",
    "prepare_covariance": "ris_pipeline.spectral.covariance:prepare_covariance",
    "nmse": "ris_pipeline.spectral.covariance:nmse",
    "LowRankCovariance": "ris_pipeline.spectral.low_rank:LowRankCovariance",
    "signal_power_hinge": "ris_pipeline.spectral.eigengap:signal_power_hinge",
    "signal_subspace": "ris_pipeline.spectral.subspaces:signal_subspace",
    "noise_subspace": "ris_pipeline.spectral.subspaces:noise_subspace",
    "projector": "ris_pipeline.spectral.subspaces:projector",
    "noise_projection": "ris_pipeline.spectral.subspaces:noise_projection",
    "soft_alignment": "ris_pipeline.spectral.subspaces:soft_alignment",
    "bartlett_spectrum": "ris_pipeline.spectral.spectra:bartlett_spectrum",
    "mvdr_spectrum": "ris_pipeline.spectral.spectra:mvdr_spectrum",
    "music_spectrum": "ris_pipeline.spectral.spectra:music_spectrum",
    "ideal_panel": "ris_pipeline.scene.array:ideal_panel",
    "steering_vector": "ris_pipeline.scene.array:steering_vector",
    "steering_derivatives": "ris_pipeline.scene.array:steering_derivatives",
    "quantise_phase": "ris_pipeline.scene.codebook:quantise_phase",
    "dft_codebook": "ris_pipeline.scene.codebook:dft_codebook",
    "random_codebook": "ris_pipeline.scene.codebook:random_codebook",
    "hadamard_codebook": "ris_pipeline.scene.codebook:hadamard_codebook",
    "simulate": "ris_pipeline.scene.simulate:simulate",
    "covariance_factor": "ris_pipeline.scene.simulate:covariance_factor",
    "match_sources": "ris_pipeline.localization.matching:match_sources",
    "cramer_rao_bound": "ris_pipeline.localization.bound:cramer_rao_bound",
    "wrap_angle": "ris_pipeline.learning.losses:wrap_angle",
    "huber": "ris_pipeline.learning.losses:huber",
    "match_slots": "ris_pipeline.learning.losses:match_slots",
    "covariance_nmse": "ris_pipeline.learning.losses:covariance_nmse",
    "prediction_nmse": "ris_pipeline.learning.losses:prediction_nmse",
    "orthogonality": "ris_pipeline.learning.losses:orthogonality",
    "cross_term": "ris_pipeline.learning.losses:cross_term",
    "eigengap_term": "ris_pipeline.learning.losses:eigengap_term",
    "subspace_margin": "ris_pipeline.learning.losses:subspace_margin",
    "angle": "ris_pipeline.learning.losses:angle",
    "distance": "ris_pipeline.learning.losses:distance",
    "chamfer": "ris_pipeline.learning.losses:chamfer",
    "alignment": "ris_pipeline.learning.losses:alignment",
    "peak_contrast": "ris_pipeline.learning.losses:peak_contrast",
    "run_epoch": "ris_pipeline.learning.epoch:run_epoch",
    "debug_line": "ris_pipeline.learning.diagnostics:debug_line",
    "optimiser_line": "ris_pipeline.learning.diagnostics:optimiser_line",
    "gradient_line": "ris_pipeline.learning.diagnostics:gradient_line",
    "step_line": "ris_pipeline.learning.diagnostics:step_line",
    "epoch_line": "ris_pipeline.learning.diagnostics:epoch_line",
}
"""Where each function under test stands, as `module:attribute`."""


@dataclass(frozen=True)
class Target:
    """Functions by the names of `PLACES`, e.g. `Target().eigengap(matrix, 2)`."""

    def __getattr__(self, name: str) -> Callable[..., Any]:
        if name not in PLACES:
            raise AttributeError(name)
        module, _, attribute = PLACES[name].partition(":")
        return getattr(import_module(module), attribute)


TARGET = Target()
"""The functions of this package."""
