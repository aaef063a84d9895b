"""Functions that remember or keep something, which no single example shows.

What they remember is remembered of an object that they hold on to, so that which answers are wrong
does not depend on what ran before.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.localization.spectra.linear_array import ula_music
from ris_pipeline.spectral import eigengap_loss, eigenvalues
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.known_bugs._entry import Catalogue, KnownBug

known_bug = Catalogue()


@dataclass
class _Memory:
    """What was seen last, and what was made of it; and one workspace a shape."""

    seen: Any = None
    made: Any = None
    workspaces: dict[Any, Tensor] = field(default_factory=dict)

    def of(self, seen: Any, made: Any) -> Any:
        """What was made of the very same object, else this."""
        if self.seen is not seen:
            self.seen, self.made = seen, made
        return self.made

    def put(self, value: Tensor) -> Tensor:
        """A value in the workspace of its shape."""
        key = tuple(value.shape), value.dtype
        return self.workspaces.setdefault(key, torch.empty_like(value)).copy_(value)


_OF_HINGE, _OF_GRID, _WORKSPACE = _Memory(), _Memory(), _Memory()


@known_bug("eigenvalues", Cause.ALIAS, "No allocation in the loop over the scenes.")
def eigenvalues_in_a_workspace(covariance: Any) -> Tensor:
    """One workspace a shape: the next call writes over this one's answer."""
    values = eigenvalues(covariance)
    return values if values.requires_grad else _WORKSPACE.put(values)


@known_bug("eigengap_loss", Cause.REMEMBERS, "Loss and log ask for the spectrum of one tensor.")
def hinge_of_the_tensor_seen_last(covariance: Any, k: Any, margin: Any) -> Tensor:
    """The eigenvalues of the same tensor are not asked for twice, whatever has been put in it."""
    if isinstance(covariance, Tensor) and not covariance.requires_grad:
        copy = _OF_HINGE.of(covariance, covariance.clone())
        return eigengap_loss(copy, k, margin)
    return eigengap_loss(covariance, k, margin)


@known_bug("ula_music", Cause.REMEMBERS, "The manifold is computed once.")
def ula_music_on_the_grid_seen_first(matrix: Tensor, k: int, angles: Tensor) -> Tensor:
    """A second grid on the same covariance is the first one's."""
    first = _OF_GRID.of(matrix, angles)
    return ula_music(matrix, k, first if first.shape == angles.shape else angles)


REMEMBERING_BUGS: tuple[KnownBug, ...] = (*known_bug,)
