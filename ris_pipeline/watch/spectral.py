"""What is seen of a covariance on a step that is looked at: against scipy, in double precision.

The laws are those that `verification` holds a function to (`_laws.py`). R is (..., n, n) complex,
eigenvalues descend and gap = lambda_k - lambda_{k+1}.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from ris_pipeline._laws import (
    Complex,
    Real,
    decomposition,
    eigenvalue_bound,
    eigenvalues,
    epsilon,
    gap_bound,
    gap_gradient,
    gap_of,
    hermitian_part,
    rounding,
    skewness,
    spectral_norm,
)
from ris_pipeline.spectral import LowRankCovariance
from ris_pipeline.watch._seen import Block, Streaks, Tell, gradients_at

MATRICES = 2
"""Matrices of a batch that are looked at."""

TWICE = 2
"""Looks at which a law must be broken: one may fall on a batch that is not like the others."""

OPEN_GAP = 1e-3
"""Gap over the largest eigenvalue from which a subspace is well defined in single precision: the
sine of its angle errs by n eps over that (Davis and Kahan)."""


@dataclass(frozen=True)
class Spectrum:
    """What a step gives about its covariance.

    covariance: (..., n, n) complex or real, or factored; k: order of the gap, an integer or (...);
    eigenvalues: (..., m), claimed to descend, the largest m; gap: (...) or its mean;
    subspace: (..., n, k), claimed to span the signal; sources: the true number, as k.
    """

    covariance: Tensor | LowRankCovariance
    k: int | Tensor | None = None
    eigenvalues: Tensor | None = None
    gap: Tensor | None = None
    subspace: Tensor | None = None
    sources: int | Tensor | None = None

    @property
    def leaves(self) -> list[Tensor]:
        """The tensor that the loss was computed from."""
        held = self.covariance
        return [held.factor if isinstance(held, LowRankCovariance) else held]


def named_gap(values: Real, k: int, claimed: float, bound: float) -> str | None:
    """The formula that gives a claimed gap from descending eigenvalues, if one of these does."""
    ascending, absolute = values[::-1], np.sort(np.abs(values))[::-1]
    n = len(values)
    formulas = {
        "S[k-1] - S[k] of ASCENDING eigenvalues": ascending[k - 1] - ascending[k],
        "S[k] - S[k-1] (the sign)": values[k] - values[k - 1],
        "S[k-1] - S[k] of singular values": absolute[k - 1] - absolute[k],
        "S[k] - S[k+1] (k one too large)": values[k] - values[min(k + 1, n - 1)],
        "S[k-2] - S[k-1] (k one too small)": values[max(k - 2, 0)] - values[k - 1],
        "S[0] - S[k]": values[0] - values[k],
    }
    fits = [name for name, value in formulas.items() if abs(value - claimed) <= bound]
    return fits[0] if fits else None


class Spectral:
    """Raises the alarms of the family `spectral`.

    Args:
        hinge: the term that opens the gap; by default the first one with "gap" in its name.
    """

    def __init__(self, tell: Tell, hinge: str | None) -> None:
        self.tell, self.hinge = tell, hinge
        self.streaks = Streaks()

    def begin(self, block: Block, spectrum: Spectrum) -> None:
        """Check a sample of the batch, and the gradients of the terms at the covariance."""
        held = spectrum.covariance
        dense = held.dense() if isinstance(held, LowRankCovariance) else held
        n = dense.shape[-1]
        flat = dense.detach().reshape(-1, n, n)
        if not flat.numel():
            return
        orders = _each(spectrum.k, len(flat))
        matrices = flat[:MATRICES].to("cpu", torch.complex128).numpy()
        finite = bool(np.isfinite(matrices).all())
        if not finite:
            self.tell("covariance-not-finite", "the covariance holds a NaN or an infinity")
            return
        self._matrices(matrices, dense.dtype)
        if orders is not None:
            self._orders(spectrum, orders, n)
            spectra = [decomposition(hermitian_part(matrix)) for matrix in matrices]
            self._claims(spectrum, spectra, orders, dense.dtype)
            if all(1 <= k < n for k in orders[: len(spectra)]):
                self._gradients(block, spectrum, spectra, orders)

    def _often(self, name: str, condition: bool, seen: str) -> None:
        if self.streaks.held(name, condition, TWICE):
            self.tell(name, seen)

    def _matrices(self, matrices: Complex, dtype: torch.dtype) -> None:
        values = eigenvalues(hermitian_part(matrices))
        sizes = np.maximum(spectral_norm(values), np.finfo(np.float64).tiny)
        skew, least = max(map(skewness, matrices)), min(0.0, float((values[:, -1] / sizes).min()))
        limit = rounding(matrices.shape[-1], dtype)
        said = f"|R - R^H| / |R| = {skew:.1e}, rounding allows {limit:.1e}"
        self._often("covariance-not-hermitian", skew > limit, said)
        said = f"lambda_min / |lambda|_max = {least:.1e}, rounding allows {-limit:.1e}"
        self._often("covariance-indefinite", least < -limit, said)

    def _orders(self, spectrum: Spectrum, orders: list[int], n: int) -> None:
        outside = [k for k in orders if not 1 <= k < n]
        true = _each(spectrum.sources, len(orders))
        differ = (
            [] if true is None else [(k, t) for k, t in zip(orders, true, strict=True) if k != t]
        )
        said = f"k = {outside[0]} of {n}" if outside else ""
        if not outside and differ:
            said = f"k = {differ[0][0]} where there are {differ[0][1]} sources"
        self._often("order-k", bool(outside or differ), said)

    def _claims(
        self,
        spectrum: Spectrum,
        spectra: list[tuple[Real, Complex]],
        orders: list[int],
        dtype: torch.dtype,
    ) -> None:
        n = len(spectra[0][0])
        for place, (values, vectors) in enumerate(spectra):
            k = orders[place]
            bound = float(eigenvalue_bound(values, dtype))
            if spectrum.eigenvalues is not None:
                claimed = _row(spectrum.eigenvalues, place)
                self._eigenvalues(claimed, values, bound)
            inside = 1 <= k < n
            if spectrum.gap is not None and spectrum.gap.ndim and inside:
                claimed_gap = float(_row(spectrum.gap[..., None], place)[0])
                self._gap(claimed_gap, values, k, float(gap_bound(values, dtype)))
            if spectrum.subspace is not None and inside:
                given = spectrum.subspace.detach().to("cpu", torch.complex128)
                basis = given.reshape(-1, *given.shape[-2:])[place].numpy()
                self._subspace(basis, values, vectors[:, :k])

    def _eigenvalues(self, claimed: Real, values: Real, bound: float) -> None:
        def off(ordered: Real) -> float:
            return float(np.abs(ordered - values[: len(claimed)]).max())

        least = float(np.abs(claimed[::-1] - values[::-1][: len(claimed)][::-1]).max())
        reversed_ = min(off(claimed[::-1]), least) <= bound < off(claimed)
        said = f"first {claimed[0]:.4g}, last {claimed[-1]:.4g}"
        self._often("eigenvalue-order", reversed_ and claimed[0] < claimed[-1], said)
        wrong = off(np.sort(claimed)[::-1]) > bound and not reversed_
        said = f"off scipy's by {off(np.sort(claimed)[::-1]):.1e}, rounding allows {bound:.1e}"
        self._often("eigenvalues-wrong", wrong, said)

    def _gap(self, claimed: float, values: Real, k: int, bound: float) -> None:
        true = float(gap_of(values, k))
        fits = named_gap(values, k, claimed, bound)
        said = f"gap {claimed:.4g} is given for k = {k}, scipy has {true:.4g}"
        said += f"; it is {fits}" if fits else ""
        self._often("gap-wrong", abs(claimed - true) > bound, said)

    def _subspace(self, basis: Complex, values: Real, signal: Complex) -> None:
        k = signal.shape[1]
        if gap_of(values, k) < OPEN_GAP * values[0]:
            return
        # Orthonormalized, so that the scale of the columns does not count.
        held = np.linalg.norm(np.linalg.qr(basis)[0].conj().T @ signal) ** 2 / k
        said = f"it holds {held:.0%} of the {k} leading directions"
        self._often("subspace-exchanged", held < 0.5, said)

    def _gradients(
        self,
        block: Block,
        spectrum: Spectrum,
        spectra: list[tuple[Real, Complex]],
        orders: list[int],
    ) -> None:
        (leaf,) = spectrum.leaves
        if not leaf.requires_grad:
            return
        gradients, steepness = _gradients_at(leaf, block.terms), {}
        for name, gradient in gradients.items():
            size = max(1.0, abs(block.values[name].item()))
            norm = float(leaf.detach().abs().square().sum() ** 0.5)
            steepness[name] = float(gradient.abs().square().sum() ** 0.5) * norm
            steep = steepness[name] / size
            said = f"term {name!r} at R: |gradient| |R| = {steep:.1e} of its value"
            if self.streaks.held(f"ties {name}", not steep <= epsilon(leaf.dtype) ** -0.5, TWICE):
                self.tell("gradient-at-ties", said)
        hinge = self.hinge or next((name for name in gradients if "gap" in name.lower()), "")
        if hinge in gradients and bool(gradients[hinge].isfinite().all()):
            value = abs(block.values[hinge].item())
            flat = steepness[hinge] <= rounding(leaf.shape[-2], leaf.dtype) * value
            if value > 0 and flat:
                # Rounding has a direction too, and it is nobody's.
                said = f"{hinge!r} is {value:.3g} and its gradient is rounding"
                self._often("hinge-direction", True, said)
            else:
                self._hinge(hinge, gradients[hinge], spectrum, spectra, orders)

    def _hinge(
        self,
        name: str,
        gradient: Tensor,
        spectrum: Spectrum,
        spectra: list[tuple[Real, Complex]],
        orders: list[int],
    ) -> None:
        """The derivative of the gap along a descent step, as a cosine, for each live matrix."""
        held, opens = spectrum.covariance, []
        steps = -gradient.reshape(-1, *gradient.shape[-2:])[: len(spectra)]
        for place, step in enumerate(steps.to("cpu", torch.complex128).numpy()):
            vectors, k = spectra[place][1], orders[place]
            ideal = gap_gradient(vectors, k)
            if isinstance(held, LowRankCovariance):
                factor = held.factor.detach().reshape(-1, *held.factor.shape[-2:])[place]
                ideal = 2 * ideal @ factor.to("cpu", torch.complex128).numpy()
            size = float(np.linalg.norm(step) * np.linalg.norm(ideal))
            if size:
                opens.append(float(np.vdot(ideal, step).real) / size)
        # The cosine of a right hinge is one, of one about other eigenvalues it is rounding.
        said = f"a descent step of {name!r} moves the gap by {max(opens, default=0):.2f} of it"
        self._often("hinge-direction", bool(opens) and max(opens) < 1e-3, said)


def _gradients_at(leaf: Tensor, terms: Mapping[str, Tensor]) -> dict[str, Tensor]:
    found = {}
    for name, term in terms.items():
        if term.requires_grad:
            (part,) = gradients_at(term, [leaf])
            if part is not None:
                found[name] = part.detach()
    return found


def _each(value: int | Tensor | None, count: int) -> list[int] | None:
    """One integer for each matrix of the batch."""
    if value is None:
        return None
    if isinstance(value, Tensor) and value.numel() > 1:
        return [int(x) for x in value.detach().reshape(-1)[:count].tolist()]
    return [int(value)] * count


def _row(value: Tensor, place: int) -> Real:
    """One row of a batch of vectors, in double precision."""
    rows = value.detach().to("cpu", torch.float64)
    return rows.reshape(-1, rows.shape[-1])[place].numpy()
