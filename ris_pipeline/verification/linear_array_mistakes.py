"""Mistakes made with uniform linear arrays: their spectra, ESPRIT and root-MUSIC."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from ris_pipeline.localization.spectra.linear_array import (
    esprit,
    root_music,
    ula_bartlett,
    ula_music,
    ula_mvdr,
)
from ris_pipeline.spectral import noise_subspace, signal_subspace
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.named_mistakes import Named
from ris_pipeline.verification.oracles import ula
from ris_pipeline.verification.spectrum_mistakes import FORMED


def _directions(find: Callable[..., Tensor]) -> Named:
    """Of k angles, ascending."""

    def by_sines(change: Callable[[Tensor], Tensor]) -> Callable[..., Tensor]:
        return lambda r, k: change(find(r, k).sin()).clamp(-1, 1).asin()

    return (
        (Cause.SIGN, "Its angles have the other sign.", lambda r, k: -find(r, k).flip(-1)),
        (Cause.DEGREES, "It answers in degrees.", lambda r, k: find(r, k).rad2deg()),
        (Cause.AXES, "It answers sines.", lambda r, k: find(r, k).sin()),
        (Cause.AXES, "It takes the arc tangent of the sine.", lambda r, k: find(r, k).sin().atan()),
        (Cause.AXES, "It counts from the axis.", lambda r, k: (math.pi / 2 - find(r, k)).flip(-1)),
        (Cause.AXES, "It counts from the axis.", lambda r, k: math.pi / 2 - find(r, k)),
        (Cause.HALF, "Its sines are twice ours.", by_sines(lambda s: 2 * s)),
        (Cause.HALF, "Its sines are half of ours.", by_sines(lambda s: s / 2)),
        (
            Cause.RANGE,
            "It takes the arc tangent of a quotient: half of a turn.",
            by_sines(lambda s: (math.pi * s).tan().atan() / math.pi),
        ),
        (
            Cause.UNITS,
            "It takes 2 pi for pi: radians of phase.",
            lambda r, k: find(r, k).sin() * math.pi,
        ),
        (Cause.ASCENDING, "Its angles descend.", lambda r, k: find(r, k).flip(-1)),
        (Cause.OTHER_SUBSPACE, "It takes the noise for the signal.", lambda r, k: find(-r, k)),
        (Cause.CONJUGATED, "It answers for R^*.", lambda r, k: find(r.conj().resolve_conj(), k)),
        (Cause.REAL_PART, "It answers for Re R.", lambda r, k: find(r.real.to(r.dtype), k)),
    )


def _spectra(find: Callable[..., Tensor]) -> Named:
    """Of (matrix, [k], angles)."""

    def asked(change: Callable[[Tensor], Tensor], spacing: float = 0.5) -> Callable[..., Tensor]:
        return lambda r, *rest: find(r, *rest[:-1], change(rest[-1]), spacing)

    def scaled(power: int) -> Callable[..., Tensor]:
        return lambda r, *rest: find(r, *rest) * float(r.shape[-1]) ** power

    def squared(power: int) -> Callable[..., Tensor]:
        return lambda r, *rest: find(r, *rest).square() * float(r.shape[-1]) ** power

    return (
        (Cause.CONJUGATED, "Its angles have the other sign.", asked(torch.neg)),
        (Cause.DEGREES, "It takes radians for degrees.", asked(torch.deg2rad)),
        (Cause.AXES, "It counts from the axis.", asked(lambda t: math.pi / 2 - t)),
        (Cause.AXES, "It takes angles for sines.", asked(lambda t: t.clamp(-1, 1).asin())),
        (Cause.HALF, "2 pi for pi: its spacing is a wavelength.", asked(lambda t: t, 1.0)),
        (Cause.HALF, "Its spacing is a quarter of a wavelength.", asked(lambda t: t, 0.25)),
        *((Cause.SCALE, f"It is N^{p} times ours.", scaled(p)) for p in (-2, -1, 1, 2)),
        (
            Cause.FENCEPOST,
            "N elements over N spacings, not N - 1.",
            lambda r, *rest: find(r, *rest, 0.5 * r.shape[-1] / max(1, r.shape[-1] - 1)),
        ),
        *(
            (Cause.ROOT, "It squares what is a power already.", squared(p))
            for p in (-2, -1, 0, 1, 2, 4)
        ),
    )


def _by_steering(name: str, power: int = 0) -> Named:
    """What is done with any steering vectors, done with those of the angles, times N^power."""

    def made(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
        def mistaken(matrix: Tensor, *rest: Any) -> Tensor:
            vectors = torch.from_numpy(ula(matrix.shape[-1], rest[-1].numpy()))
            return function(matrix, vectors, *rest[:-1]) * float(matrix.shape[-1]) ** power

        return mistaken

    return tuple((cause, story, made(function)) for cause, story, function in FORMED[name])


Pick = Callable[[NDArray[Any], int], NDArray[Any]]


def _roots(subspace: Callable[[Tensor, int], Tensor], pick: Pick) -> Callable[..., Tensor]:
    """Angles of some roots of the polynomial of a subspace."""

    def one(matrix: Tensor, k: int) -> NDArray[Any]:
        basis = subspace(matrix, k).numpy()
        form = basis @ basis.conj().T
        roots = np.roots([np.trace(form, lag) for lag in range(len(form) - 1, -len(form), -1)])
        chosen = pick(roots, k)
        phasors = np.concatenate((chosen, np.ones(max(0, k - len(chosen)))))
        return np.sort(np.arcsin(np.clip(np.angle(phasors) / np.pi, -1, 1)))

    return lambda matrix, k: torch.from_numpy(one(matrix, k))


def _inside(roots: NDArray[Any]) -> NDArray[Any]:
    """Those within the circle, nearest to it first."""
    inside = roots[np.abs(roots) < 1]
    return np.asarray(inside[np.argsort(-np.abs(inside))])


ROOTS: Named = (
    (
        Cause.OTHER_SUBSPACE,
        "Its polynomial is of the signal subspace.",
        _roots(signal_subspace, lambda z, k: _inside(z)[:k]),
    ),
    (
        Cause.SIGN,
        "It takes the roots farthest inside.",
        _roots(noise_subspace, lambda z, k: _inside(z)[::-1][:k]),
    ),
    (
        Cause.RECIPROCAL,
        "It takes the roots farthest outside.",
        _roots(noise_subspace, lambda z, k: z[np.argsort(-np.abs(z))][:k]),
    ),
    (
        Cause.FENCEPOST,
        "It takes the roots on both sides of the circle: a pair counts twice.",
        _roots(noise_subspace, lambda z, k: z[np.argsort(np.abs(np.abs(z) - 1))][:k]),
    ),
)


def _without_inverse(matrix: Tensor, k: int) -> Tensor:
    basis = signal_subspace(matrix, k)
    values = np.linalg.eigvals((basis[..., :-1, :].mH @ basis[..., 1:, :]).numpy())
    phases = torch.from_numpy(np.angle(values))
    return (phases / math.pi).clamp(-1, 1).asin().sort()[0]


LINEAR_ARRAYS: dict[str, Named] = {
    "esprit": (
        *_directions(esprit),
        (Cause.RECIPROCAL, "The inverse of the Gram matrix is left out.", _without_inverse),
    ),
    "root_music": (*_directions(root_music), *ROOTS),
    "ula_bartlett": (
        *_spectra(ula_bartlett),
        *(one for power in (-2, -1, 0) for one in _by_steering("bartlett_spectrum", power)),
    ),
    "ula_mvdr": (*_spectra(ula_mvdr), *_by_steering("mvdr_spectrum")),
    "ula_music": (*_spectra(ula_music), *_by_steering("music_spectrum")),
}
"""By the names of `target.places()`."""
