"""What a user of the verification imports: laws as tests, strategies, checks, causes.

    from ris_pipeline.verification import check_laws, hermitian_matrices

Names are looked up when they are asked for: the laws need the extra `verify`, the rest does not.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from ris_pipeline.verification.cause import Cause as Cause
    from ris_pipeline.verification.checks import assert_true as assert_true
    from ris_pipeline.verification.checks import assert_within as assert_within
    from ris_pipeline.verification.strategies import (
        SpectralMatrix as SpectralMatrix,
    )
    from ris_pipeline.verification.strategies import (
        hermitian_matrices as hermitian_matrices,
    )
    from ris_pipeline.verification.strategies import (
        scene_batches as scene_batches,
    )
    from ris_pipeline.verification.user_laws import check_laws as check_laws

_HOMES = {
    "Cause": "cause",
    "SpectralMatrix": "strategies",
    "assert_true": "checks",
    "assert_within": "checks",
    "check_laws": "user_laws",
    "hermitian_matrices": "strategies",
    "scene_batches": "strategies",
}

__all__ = [
    "Cause",
    "SpectralMatrix",
    "assert_true",
    "assert_within",
    "check_laws",
    "hermitian_matrices",
    "scene_batches",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_HOMES[name]}"), name)
