"""Hypothesis strategies for spectral code, for this package and for anybody's.

Simple cases come first in every choice, so that a failure shrinks to something a person can read:
a small matrix with an identity eigenbasis and round numbers.
"""

from ris_pipeline.verification.strategies.factors import (
    LOADINGS,
    FactoredMatrix,
    Rank,
    low_rank_factors,
    unit_vectors,
)
from ris_pipeline.verification.strategies.hermitian import (
    BATCHES,
    CLUSTER,
    DTYPES,
    LARGEST_ORDER,
    SCALES,
    SEMIDEFINITE,
    Basis,
    Domain,
    NearHermitian,
    SpectralMatrix,
    eigenbasis,
    hermitian_matrices,
    near_hermitian_matrices,
    orders,
    skew_part,
    spectrum,
    wilkinson_spectrum,
)
from ris_pipeline.verification.strategies.layouts import Layout, lay_out
from ris_pipeline.verification.strategies.learning import (
    broken_loss_sequences,
    gradients,
    loss_sequences,
)
from ris_pipeline.verification.strategies.panels import (
    Sources,
    extent_of,
    some_panel,
    sources_anywhere,
)
from ris_pipeline.verification.strategies.scenes import (
    NOISELESS_DB,
    REAL_DTYPES,
    WAVEFRONTS,
    Setting,
    scenarios,
    scene_batches,
    settings_before_a_panel,
    wavefronts,
)

__all__ = [
    "BATCHES",
    "CLUSTER",
    "DTYPES",
    "LARGEST_ORDER",
    "LOADINGS",
    "NOISELESS_DB",
    "REAL_DTYPES",
    "SCALES",
    "SEMIDEFINITE",
    "WAVEFRONTS",
    "Basis",
    "Domain",
    "FactoredMatrix",
    "Layout",
    "NearHermitian",
    "Rank",
    "Setting",
    "Sources",
    "SpectralMatrix",
    "broken_loss_sequences",
    "eigenbasis",
    "extent_of",
    "gradients",
    "hermitian_matrices",
    "lay_out",
    "loss_sequences",
    "low_rank_factors",
    "near_hermitian_matrices",
    "orders",
    "scenarios",
    "scene_batches",
    "settings_before_a_panel",
    "skew_part",
    "some_panel",
    "sources_anywhere",
    "spectrum",
    "unit_vectors",
    "wavefronts",
    "wilkinson_spectrum",
]
