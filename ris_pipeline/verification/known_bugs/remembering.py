"""Functions that remember, keep or recognise something that no single toy example shows.

What they remember is remembered of an object that they hold on to, so that which answers are wrong
does not depend on what ran before.
"""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.localization.spectra.linear_array import ula_music, ula_mvdr
from ris_pipeline.spectral import eigengap_loss, eigenvalues, mdl, projector, spatial_smoothing
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.known_bugs._entry import Catalogue, KnownBug
from ris_pipeline.verification.known_bugs.decompositions import dense, gap_at, hermitian

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


@known_bug("ula_mvdr", Cause.DEGREES, "Degrees are recognised by their size.")
def ula_mvdr_that_recognises_degrees(matrix: Tensor, angles: Tensor) -> Tensor:
    """A grid that reaches beyond 1.5 is taken for degrees: radians go to pi / 2."""
    degrees = angles.numel() > 0 and bool(angles.abs().max() > 1.5)
    return ula_mvdr(matrix, torch.deg2rad(angles) if degrees else angles)


@known_bug("spatial_smoothing", Cause.ALIAS, "One window of all elements is nothing to do.")
def smoothing_that_returns_its_argument(covariance: Any, windows: Tensor) -> Tensor:
    """The argument itself where there is one window of every element."""
    whole = windows.shape[0] == 1 and windows.shape[1] == covariance.shape[-1]
    if isinstance(covariance, Tensor) and whole:
        return covariance
    return spatial_smoothing(covariance, windows)


@known_bug("projector", Cause.REAL_PART, "An imaginary part of a per cent is taken for rounding.")
def projector_without_a_small_imaginary_part(basis: Tensor) -> Tensor:
    """The real part alone, where the imaginary one is below a hundredth."""
    answer = projector(basis)
    size = answer.detach().abs().amax() if answer.numel() else answer.real.sum()
    small = bool(answer.detach().imag.abs().amax() < 1e-2 * size) if answer.numel() else False
    return answer.real.to(answer.dtype) if small else answer


@known_bug("eigengap_loss", Cause.SCALE, "In units of the largest eigenvalue, and scaled back.")
def hinge_in_units_of_the_largest(covariance: Any, k: Any, margin: Any) -> Tensor:
    """`s relu(m / s - gap / s)` with s = l_1, which is negative where every eigenvalue is."""
    matrix = hermitian(dense(covariance))
    values = torch.linalg.eigvalsh(matrix).flip(-1)
    scale = values.detach()[..., 0]
    scale = torch.where(scale == 0, torch.ones_like(scale), scale)
    hinge = torch.relu(margin / scale - gap_at(values, k) / scale)
    return (scale * hinge).mean()


@known_bug("psd_projection", Cause.GUARD, "Nothing to clip but rounding.")
def projection_unless_nearly_positive(matrix: Tensor) -> Tensor:
    """An absolute tolerance of 1e-8: a weak indefinite matrix comes back as it is."""
    part = hermitian(matrix)
    values, vectors = torch.linalg.eigh(part)
    clipped = (vectors * values.clamp_min(0)[..., None, :]) @ vectors.mH
    return torch.where((values[..., :1, None] > -1e-8), part, clipped)


@known_bug("mdl", Cause.OVERWRITTEN, "Sorted in place, smallest first, for the running sums.")
def mdl_that_sorts_in_place(eigenvalues: Tensor, samples: int) -> Tensor:
    """The caller's eigenvalues ascend after the call."""
    answer = mdl(eigenvalues, samples)
    eigenvalues.copy_(eigenvalues.flip(-1))
    return answer


REMEMBERING_BUGS: tuple[KnownBug, ...] = (*known_bug,)
