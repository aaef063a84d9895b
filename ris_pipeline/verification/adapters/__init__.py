"""Somebody's functions, called as the laws call ours; nothing is asked of the functions.

`SIGNATURES` says what each of the public names takes in plain tensors or arrays. How a function
wants to be called, torch or numpy, batched or one matrix at a time, is found out by calling it.
"""

from dataclasses import replace
from typing import Any, Protocol

from ris_pipeline._errors import CALL_ERRORS, check_choice
from ris_pipeline._verified import VERIFIED
from ris_pipeline.verification.adapters._arrays import PlainSmoothing, adapt_source_number
from ris_pipeline.verification.adapters._binding import constructed
from ris_pipeline.verification.adapters._calling import Backend, Function
from ris_pipeline.verification.adapters._learning import adapt_epoch_mean, adapt_gradient_norm
from ris_pipeline.verification.adapters._matrices import PlainMatrixFunction
from ris_pipeline.verification.adapters._matrix_function import MatrixFunction
from ris_pipeline.verification.adapters._matrix_probes import adapt_matrix
from ris_pipeline.verification.adapters._steering import (
    BY_SHAPE,
    PROBE_WAVELENGTH,
    PlainSteering,
    adapt_steering,
    grid_of,
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
    name: MatrixFunction(one.parameters, one.shape, one.real, one.mean)
    for name, one in VERIFIED.items()
    if one.shape is not None
}

PLAIN = {name: one.parameters for name, one in VERIFIED.items()}
"""The plain parameters of each public name; a steering vector may take a shape and a spacing."""

SIGNATURES = {name: f"{name}({', '.join(plain)})" for name, plain in PLAIN.items()}
SIGNATURES["steering_vector"] += f" or steering_vector({', '.join(BY_SHAPE)})"
"""The plain signature of each public name."""

PLACE = {name: one.ours for name, one in VERIFIED.items()}
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
        return adapt_epoch_mean(function, signature, conventions)
    if name in ("mdl", "aic"):
        return adapt_source_number(function, signature, backend, conventions)
    with provide({}):
        ours = getattr(TARGET, name, None) if VERIFIED[name].as_ours else None
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
    "grid_of",
    "guarded",
    "parameters_of",
]
