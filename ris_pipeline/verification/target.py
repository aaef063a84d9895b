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
    "eigengap_hinge": "ris_pipeline.spectral.eigengap:eigengap_hinge",
    "group_gradient_norm": "ris_pipeline.learning.diagnostics:group_gradient_norm",
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
