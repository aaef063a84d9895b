"""Somebody's functions, called as the laws call ours; nothing is asked of the functions.

`SIGNATURES` says what each of the public names takes in plain tensors or arrays. How a function
wants to be called, torch or numpy, batched or one matrix at a time, is found out by calling it.
"""

from dataclasses import replace
from typing import Any, Protocol

from ris_pipeline._errors import CALL_ERRORS, check_choice
from ris_pipeline.verification.adapters._arrays import PlainSmoothing, adapt_source_number
from ris_pipeline.verification.adapters._binding import constructed
from ris_pipeline.verification.adapters._calling import Backend, Function
from ris_pipeline.verification.adapters._learning import adapt_epoch_mean, adapt_gradient_norm
from ris_pipeline.verification.adapters._matrices import (
    MatrixFunction,
    PlainMatrixFunction,
    adapt_matrix,
)
from ris_pipeline.verification.adapters._steering import (
    BY_POSITIONS,
    PROBE_WAVELENGTH,
    PlainSteering,
    adapt_steering,
)
from ris_pipeline.verification.adapters._strangers import (
    Stopped,
    TheirError,
    across,
    describe,
    guarded,
    parameters_of,
)
from ris_pipeline.verification.conventions._entry import OURS, Conventions
from ris_pipeline.verification.target import TARGET, provide

MATRIX_FUNCTIONS = {
    "hermitize": MatrixFunction(("matrix",), lambda n, m, k, g: (n, n), real=False),
    "eigenvalues": MatrixFunction(("matrix",), lambda n, m, k, g: (n,)),
    "singular_values": MatrixFunction(("matrix",), lambda n, m, k, g: (n,)),
    "eigengap": MatrixFunction(("matrix", "k"), lambda n, m, k, g: ()),
    "eigengap_loss": MatrixFunction(("matrix", "k", "margin"), lambda n, m, k, g: (), mean=True),
    "signal_subspace": MatrixFunction(("matrix", "k"), lambda n, m, k, g: (n, k), real=False),
    "noise_subspace": MatrixFunction(("matrix", "k"), lambda n, m, k, g: (n, n - k), real=False),
    "projector": MatrixFunction(("basis",), lambda n, m, k, g: (n, n), real=False),
    "matrix_sqrt": MatrixFunction(("matrix",), lambda n, m, k, g: (n, n), real=False),
    "psd_projection": MatrixFunction(("matrix",), lambda n, m, k, g: (n, n), real=False),
    "whitening": MatrixFunction(("matrix",), lambda n, m, k, g: (n, n), real=False),
    "pseudo_inverse": MatrixFunction(("matrix",), lambda n, m, k, g: (m, n), real=False),
    "diagonal_loading": MatrixFunction(
        ("matrix", "loading"), lambda n, m, k, g: (n, n), real=False
    ),
    "forward_backward": MatrixFunction(("matrix",), lambda n, m, k, g: (n, n), real=False),
    "spatial_smoothing": MatrixFunction(("matrix", "size"), lambda n, m, k, g: (k, k), real=False),
    "sample_covariance": MatrixFunction(("snapshots",), lambda n, m, k, g: (n, n), real=False),
    "ledoit_wolf": MatrixFunction(("snapshots",), lambda n, m, k, g: (n, n), real=False),
    "factor_eigengap_loss": MatrixFunction(
        ("factor", "k", "margin"), lambda n, m, k, g: (), mean=True
    ),
    "esprit": MatrixFunction(("matrix", "k"), lambda n, m, k, g: (k,)),
    "root_music": MatrixFunction(("matrix", "k"), lambda n, m, k, g: (k,)),
    "ula_bartlett": MatrixFunction(("matrix", "angles"), lambda n, m, k, g: (g,)),
    "ula_mvdr": MatrixFunction(("matrix", "angles"), lambda n, m, k, g: (g,)),
    "ula_music": MatrixFunction(("matrix", "k", "angles"), lambda n, m, k, g: (g,)),
    "music_spectrum": MatrixFunction(("matrix", "steering", "k"), lambda n, m, k, g: (g,)),
    "mvdr_spectrum": MatrixFunction(("matrix", "steering"), lambda n, m, k, g: (g,)),
}

SIGNATURES = {
    **{name: f"{name}({', '.join(kind.parameters)})" for name, kind in MATRIX_FUNCTIONS.items()},
    "steering_vector": "steering_vector(positions, azimuth, elevation, distance, wavelength) or "
    "steering_vector(shape, spacing, azimuth, elevation, distance, wavelength)",
    "mdl": "mdl(eigenvalues, samples)",
    "aic": "aic(eigenvalues, samples)",
    "gradient_norm": "gradient_norm(parameters)",
    "epoch_mean": "epoch_mean(losses, accumulation)",
}
"""The plain signature of each public name."""

PLAIN = {
    **{name: kind.parameters for name, kind in MATRIX_FUNCTIONS.items()},
    "steering_vector": BY_POSITIONS,
    "mdl": ("eigenvalues", "samples"),
    "aic": ("eigenvalues", "samples"),
    "gradient_norm": ("parameters",),
    "epoch_mean": ("losses", "accumulation"),
}
"""The plain parameters of each public name; a steering vector may take a shape and a spacing."""

CALLED_AS_OURS = frozenset(
    {
        "hermitize",
        "eigenvalues",
        "singular_values",
        "eigengap",
        "eigengap_loss",
        "signal_subspace",
        "noise_subspace",
        "projector",
        "music_spectrum",
        "mvdr_spectrum",
    }
)
"""Functions of a matrix whose plain signature is ours."""

PLACE = {name: name for name in SIGNATURES} | {
    "epoch_mean": "run_epoch",
    "diagonal_loading": "add_loading",
}
"""The name in `target.places()` that each public name stands for."""


class Adapted(Protocol):
    """A function called as ours is; `how` says in words how it is called in turn."""

    @property
    def how(self) -> str: ...

    def __call__(self, *arguments: Any) -> Any: ...


def adapt(
    name: str,
    function: Function,
    backend: Backend | None = None,
    batched: bool | None = None,
    conventions: Conventions = OURS,
) -> Adapted:
    """A function with the plain signature of a public name, to be called as ours of that name.

    Args:
        name: one of `SIGNATURES`.
        function: of tensors or arrays.
        backend: torch or numpy; found out by calling where it is not given.
        batched: whether it takes leading axes; found out by calling where it is not given.
        conventions: in what it differs from ours.

    Raises:
        InputError: another name, or a function that cannot be called so.
    """
    check_choice("name", name, SIGNATURES)
    if isinstance(function, type):
        function = constructed(function, PLAIN[name])
    signature, function = SIGNATURES[name], guarded(function)
    if name == "steering_vector":
        return adapt_steering(function, signature, backend, conventions)
    if name == "gradient_norm":
        return adapt_gradient_norm(function, signature, backend)
    if name == "epoch_mean":
        return adapt_epoch_mean(function, signature)
    if name in ("mdl", "aic"):
        return adapt_source_number(function, signature, backend, conventions)
    with provide({}):
        ours = getattr(TARGET, name, None) if name in CALLED_AS_OURS else None
    kind = replace(MATRIX_FUNCTIONS[name], truth=ours)
    plain = adapt_matrix(function, kind, signature, backend, batched, conventions)
    return PlainSmoothing(plain) if name == "spatial_smoothing" else plain


__all__ = [
    "CALL_ERRORS",
    "MATRIX_FUNCTIONS",
    "PLACE",
    "PLAIN",
    "PROBE_WAVELENGTH",
    "SIGNATURES",
    "Adapted",
    "Backend",
    "Function",
    "PlainMatrixFunction",
    "PlainSteering",
    "Stopped",
    "TheirError",
    "across",
    "adapt",
    "describe",
    "guarded",
    "parameters_of",
]
