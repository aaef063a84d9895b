"""Mistakes that are made with spectra: other forms of `a^H X a`, subspaces and inverses."""

from collections.abc import Callable
from functools import partial

import numpy as np
import torch
from torch import Tensor

from ris_pipeline.spectral import hermitize, projector, signal_subspace
from ris_pipeline.spectral.hermitian import eigh
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.named_mistakes import Named, columns


def _form(left: Tensor, middle: Tensor, right: Tensor) -> Tensor:
    """a^H X a of each column."""
    return (left.conj() * (middle @ right)).sum(-2)


def _real_products(x: Tensor, a: Tensor) -> Tensor:
    return (a.real * (x @ a).real).sum(-2)


_OF_SQUARES = "It takes a^H X a / a^H X^2 a."
_FORMS: tuple[tuple[Cause, str, Callable[[Tensor, Tensor], Tensor]], ...] = (
    (Cause.RECIPROCAL, "It answers upside down.", lambda x, a: _form(a, x, a).real),
    (Cause.REAL_PART, "It multiplies real parts alone.", _real_products),
    (
        Cause.STATISTIC,
        "It adds the moduli of the products.",
        lambda x, a: (a.abs() * (x @ a).abs()).sum(-2),
    ),
    (Cause.CONJUGATED, "It takes |a^T X a|.", lambda x, a: _form(a.conj(), x, a).abs()),
    (Cause.CONJUGATED, "It takes Re a^T X a.", lambda x, a: _form(a.conj(), x, a).real),
    (Cause.REAL_PART, "It takes a^H Re X a.", lambda x, a: _form(a, x.real.to(a.dtype), a).real),
    (
        Cause.REAL_PART,
        "It takes the real part of a.",
        lambda x, a: _form(a.real.to(a.dtype), x, a.real.to(a.dtype)).real,
    ),
    (Cause.ROOT, "It takes |X a|.", lambda x, a: _form(a, x @ x, a).real.sqrt()),
    (Cause.ROOT, "It takes a^H X^2 a.", lambda x, a: _form(a, x @ x, a).real),
    (
        Cause.ROOT,
        _OF_SQUARES,
        lambda x, a: (_form(a, x @ x, a) / _form(a, x, a)).real,
    ),
    (
        Cause.MODULUS,
        "It divides by |a|^2.",
        lambda x, a: _form(a, x, a).real / a.abs().square().sum(-2),
    ),
    (Cause.RECIPROCAL, "It takes a^H X^-1 a.", lambda x, a: _form(a, torch.linalg.inv(x), a).real),
    (
        Cause.BROADCAST,
        "It pairs every vector with every other, and adds.",
        lambda x, a: (a.mH @ x @ a).sum(-1).real,
    ),
    (
        Cause.BROADCAST,
        "It pairs every vector with every other, and adds.",
        lambda x, a: (a.mH @ x @ a).sum(-2).real,
    ),
)


def _spectra(of: Callable[..., Tensor]) -> Named:
    """1 / q of the forms q, and q."""
    return tuple(
        (
            cause,
            story,
            lambda r, a, *rest, form=form, upside=upside: form(of(r, *rest), a) ** upside,
        )
        for cause, story, form in _FORMS
        for upside in (-1, 1)
    )


def _signal_spectrum(matrix: Tensor, a: Tensor, k: int) -> Tensor:
    return 1 / _form(a, projector(signal_subspace(matrix, k)), a).real


def _weighted_noise(matrix: Tensor, k: int) -> Tensor:
    """The EV method of Johnson and DeGraaf, 1982."""
    values, vectors = eigh(matrix)
    noise = vectors[..., k:]
    return (noise / values[..., None, k:]) @ noise.mH


def _noise_projector(matrix: Tensor, k: int) -> Tensor:
    return torch.eye(matrix.shape[-1]) - projector(signal_subspace(matrix, k))


def _inverse(matrix: Tensor) -> Tensor:
    return torch.linalg.inv(hermitize(matrix))


def _by_adjoint_factor(matrix: Tensor) -> Tensor:
    """R = L L^H solved with L^H for L."""
    factor = torch.linalg.cholesky(hermitize(matrix)).mH
    return torch.linalg.inv(factor @ factor.mH)


def _capon(inverse: Callable[[Tensor], Tensor]) -> Callable[[Tensor, Tensor], Tensor]:
    return lambda r, a: 1 / _form(a, inverse(r).to(a.dtype), a).real


def _without(share: float) -> Callable[[Tensor], Tensor]:
    return lambda r: torch.linalg.pinv(hermitize(r), rtol=share, hermitian=True)


INVERTED: Named = (
    (Cause.AXES, "It solves with L^H for L.", _capon(_by_adjoint_factor)),
    (Cause.BROADCAST, "It inverts every entry.", _capon(lambda r: 1 / hermitize(r))),
    *(
        (
            Cause.GUARD,
            f"It leaves out eigenvalues below {share:g} of the largest.",
            _capon(_without(share)),
        )
        for share in (0.1, 0.05, 0.01)
    ),
)


def _by_transposed_factor(matrix: Tensor) -> Tensor:
    """R = L L^H solved with L^T for L."""
    factor = torch.linalg.cholesky(hermitize(matrix)).mT
    return torch.linalg.inv(factor @ factor.mH)


def _solved_transposed() -> Named:
    return tuple(
        (
            Cause.CONJUGATED,
            "It solves with L^T for L.",
            lambda r, a, up=up: _form(a, _by_transposed_factor(r), a).real ** up,
        )
        for up in (-1, 1)
    )


def _unsorted(first: bool, matrix: Tensor, a: Tensor, k: int) -> Tensor:
    """Noise vectors by a solver of general matrices, as they come."""
    vectors = torch.from_numpy(np.linalg.eig(hermitize(matrix).numpy())[1])
    noise = vectors[..., : matrix.shape[-1] - k] if first else vectors[..., k:]
    return 1 / (noise.mH @ a).abs().square().sum(-2)


FORMED: dict[str, Named] = {
    "music_spectrum": (
        # Of a projector X^2 is X, and the quotient one.
        *(one for one in _spectra(_noise_projector) if one[1] != _OF_SQUARES),
        (Cause.OTHER_SUBSPACE, "It takes the signal for the noise.", _signal_spectrum),
        *(
            (Cause.UNSORTED, "Its eigenvectors are in no order.", partial(_unsorted, first))
            for first in (True, False)
        ),
        (
            Cause.BROADCAST,
            "It takes the norm over all directions.",
            lambda r, a, k: (
                torch.full_like(a[..., 0, :].real, 1.0)
                / (columns(r)[..., k:].mH @ a).abs().square().sum((-2, -1))[..., None]
            ),
        ),
        (
            Cause.SCALE,
            "It takes n for |a|^2.",
            lambda r, a, k: 1 / (r.shape[-1] - 1 / _signal_spectrum(r, a, k)),
        ),
        *(
            (
                Cause.OFF_BY_ONE,
                f"It takes the {which} noise vector alone.",
                lambda r, a, k, at=at: (
                    1 / _form(a, projector(columns(r)[..., k:][..., at]), a).real
                ),
            )
            for which, at in (("first", slice(1)), ("last", slice(-1, None)))
        ),
        (
            Cause.ROOT,
            "It adds moduli, not their squares.",
            lambda r, a, k: 1 / (columns(r)[..., k:].mH @ a).abs().sum(-2),
        ),
        (
            Cause.STATISTIC,
            "It adds moduli and squares the sum.",
            lambda r, a, k: 1 / (columns(r)[..., k:].mH @ a).abs().sum(-2).square(),
        ),
        (
            Cause.STATISTIC,
            "It weights by 1 / lambda, as the EV method.",
            lambda r, a, k: 1 / _form(a, _weighted_noise(r, k), a).real,
        ),
    ),
    "mvdr_spectrum": (*_spectra(_inverse), *_solved_transposed(), *INVERTED),
    "bartlett_spectrum": _spectra(hermitize),
}
"""By the names of `target.places()`."""
