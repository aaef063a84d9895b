"""Which of the functions of a matrix are alike: the general laws are about families."""

from collections.abc import Collection

MEANS = ("eigengap_loss", "factor_eigengap_loss")
"""Those that answer a batch by its mean."""

VALUES = ("hermitize", "eigenvalues", "singular_values", "eigengap", *MEANS)
AVERAGES = ("forward_backward", "spatial_smoothing", "add_loading")
FUNCTIONS = ("matrix_sqrt", "psd_projection", "whitening", "pseudo_inverse")
ESTIMATES = ("sample_covariance", "ledoit_wolf")
BASES = ("signal_subspace", "noise_subspace", "projector")
SPECTRA = ("music_spectrum", "mvdr_spectrum", "bartlett_spectrum", "soft_music_spectrum")
ULA = {
    "ula_music": "music_spectrum",
    "ula_mvdr": "mvdr_spectrum",
    "ula_bartlett": "bartlett_spectrum",
}
"""Spectra over the angles of a linear array, and what each is of its steering vectors."""
NAMES = (*VALUES, *AVERAGES, *FUNCTIONS, *ESTIMATES, *BASES, *SPECTRA, *ULA)
"""The functions of a matrix that the general laws are about."""

ORDERED = (
    "eigengap",
    "eigengap_loss",
    "signal_subspace",
    "noise_subspace",
    "music_spectrum",
    "spatial_smoothing",
    "ula_music",
    "factor_eigengap_loss",
)
"""Those that ask for n > 1 to part a spectrum, or a matrix, in two."""

NOT_ALONE = (*ORDERED, "ledoit_wolf")
"""Those that ask for n > 1: of one antenna S = tr(S) I, and the weight is 0/0."""

OF_EACH = ("music_spectrum", "mvdr_spectrum")
"""Those that take steering vectors of each matrix's own."""

HERMITIZED = tuple(
    name
    for name in (
        *VALUES,
        *FUNCTIONS,
        "signal_subspace",
        "noise_subspace",
        *OF_EACH,
        *ULA,
    )
    if name not in ("factor_eigengap_loss", "pseudo_inverse")
)
"""Functions of the Hermitian part of any matrix."""


def askable(names: Collection[str], n: int) -> tuple[str, ...]:
    """Those of the names that a matrix of order n can be handed to."""
    return tuple(name for name in names if n > 1 or name not in NOT_ALONE)
