"""Conventions with a constant that the function is asked for: guards, loading, smooth hinges."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.spectral import matrix_sqrt
from ris_pipeline.verification.conventions._entry import Convention, Values
from ris_pipeline.verification.conventions._matrices import LOSSES
from ris_pipeline.verification.target import Claim

Call = Callable[..., Tensor]

FITTED: dict[str, frozenset[str]] = {
    "guarded": frozenset({"music_spectrum", "mvdr_spectrum", "ula_music", "ula_mvdr", "whitening"}),
    "diagonal loading": frozenset({"mvdr_spectrum", "ula_mvdr", "whitening"}),
    "smooth hinge": LOSSES,
}
"""The names that each goes with."""
_AT_ONE = frozenset({Claim.SCALE})
_TINY = 1e-13
"""A fitted constant below this is rounding."""
_A_GUARD = 1e-9
"""A number under a root is a guard up to here, and loading beyond."""
_N = 3
_HUGE = 1e9


def fitted(name: str, call: Call) -> Iterator[Convention]:
    """Conventions with a constant in them.

    Args:
        name: public name.
        call: the function, called as ours.
    """
    if name in FITTED["guarded"] and name != "whitening":
        yield from _guards(name, call)
    if name in FITTED["diagonal loading"]:
        yield from _loadings(name, call)
    if name in LOSSES:
        yield from _smooth(name, call)


def _diagonal(*values: float) -> Tensor:
    return torch.diag(torch.tensor(values, dtype=torch.complex128))


def _axes() -> Tensor:
    return torch.eye(_N, dtype=torch.complex128)


def _broadside() -> Tensor:
    return torch.zeros(1, dtype=torch.float64)


def _denominator(name: str, call: Call) -> float:
    """One over the answer where ours would be zero, or next to it; ours is subtracted."""
    match name:
        case "music_spectrum":
            return float((1 / call(_diagonal(4.0, 2.0, 1.0), _axes(), 1))[0])
        case "ula_music":
            # The source stands at broadside: a = (1, 1, 1).
            source = torch.ones(_N, _N, dtype=torch.complex128) + _diagonal(1.0, 1.0, 1.0)
            return float((1 / call(source, 1, _broadside()))[0])
        case "mvdr_spectrum":
            return float((1 / call(_HUGE * _axes(), _axes()))[0]) - 1 / _HUGE
        case _:
            return float((1 / call(_HUGE * _axes(), _broadside()))[0]) - _N / _HUGE


def _guards(name: str, call: Call) -> Iterator[Convention]:
    """`1 / (d + g)`, from d = 0 (MUSIC, at a peak) or d = 1e-9 (MVDR)."""
    guard = _denominator(name, call)
    if not _TINY**1.5 < guard < 1e-2:
        return
    guard = float(f"{guard:.3g}")
    yield Convention(
        "guarded",
        frozenset({name}),
        rank=2,
        result=lambda answer, given: 1 / (1 / answer - guard),
        after=(f"answer = 1 / (1 / answer - {guard:g})",),
        group="guard",
        never=_AT_ONE,
    )


def _seen(name: str, call: Call, scale: float) -> float:
    """What the function takes `scale I` for."""
    match name:
        case "mvdr_spectrum":
            return float(call(scale * _axes(), _axes())[0])
        case "ula_mvdr":
            return _N * float(call(scale * _axes(), _broadside())[0])
        case _:
            root = call(scale * _axes())
            return 1 / float((root.mH @ root)[0, 0].real)


def _loadings(name: str, call: Call) -> Iterator[Convention]:
    """`R + delta I`, delta a number or a part of the mean eigenvalue, from R = I and R = 2 I."""
    one, two = (_seen(name, call, scale) - scale for scale in (1.0, 2.0))
    if not _TINY < one < 10:
        return
    if abs(two - one) <= 1e-3 * one:
        yield _loading(name, float(f"{one:.3g}"), relative=False)
    elif abs(two - 2 * one) <= 2e-3 * one:
        yield _loading(name, float(f"{one:.3g}"), relative=True)
    elif name == "whitening" and abs(two - 2**0.5 * one) <= 2e-3 * one:
        # (sqrt(s) + g)^2 - s, next to 2 sqrt(s) g.
        yield _beside_a_root(float(f"{one / 2:.3g}"))


def _loading(name: str, delta: float, *, relative: bool) -> Convention:
    def arguments(given: Values) -> dict[str, Any]:
        matrix = given["matrix"]
        n = matrix.shape[-1]
        eye = torch.eye(n, dtype=matrix.dtype)
        mean = matrix.diagonal(dim1=-2, dim2=-1).real.sum(-1)[..., None, None] / n
        less = delta / (1 + delta) * mean if relative else delta
        return {**given, "matrix": matrix - less * eye}

    said = f"{delta / (1 + delta):.6g} * np.trace(matrix).real / len(matrix)"
    guard = name == "whitening" and delta <= _A_GUARD and not relative
    return Convention(
        "guarded" if guard else "diagonal loading",
        frozenset({name}),
        arguments=arguments,
        before=(f"matrix = matrix - {said if relative else f'{delta:g}'} * np.eye(len(matrix))",),
        group="loading",
        never=frozenset() if relative else _AT_ONE,
    )


def _beside_a_root(guard: float) -> Convention:
    """`1 / (sqrt(w) + g)`: W^H W = (S + g)^-2, and S^-1 is as good a whitening as any."""

    def result(answer: Tensor, given: Values) -> Tensor:
        root = matrix_sqrt(torch.linalg.inv(answer.mH @ answer))
        return torch.linalg.inv(root - guard * torch.eye(root.shape[-1], dtype=root.dtype))

    return Convention(
        "guarded",
        frozenset({"whitening"}),
        result=result,
        after=(
            "root = scipy.linalg.sqrtm(np.linalg.inv(answer.conj().T @ answer))",
            f"answer = np.linalg.inv(root - {guard:g} * np.eye(len(root)))",
        ),
        group="loading",
        never=_AT_ONE,
    )


def _smooth(name: str, call: Call) -> Iterator[Convention]:
    """`log(1 + exp(b x)) / b`, from x = 0; some take x itself where b x > 20, as torch does."""
    matrix = _diagonal(3.0, 2.0, 1.0)
    given = matrix if name == "eigengap_loss" else matrix.sqrt()
    at_zero = float(call(given, 1, 1.0))
    if not 1e-3 < at_zero < 10:
        return
    slope = float(f"{torch.log(torch.tensor(2.0)).item() / at_zero:.6g}")
    for straight in (20.0, float("inf")):
        yield Convention(
            "smooth hinge",
            frozenset({name}),
            rank=1,
            result=_softplus_undone(slope, straight),
            after=(
                f"answer = np.log(np.expm1({slope:g} * answer)) / {slope:g}  # of each matrix",
                "answer = np.maximum(answer, 0.0)",
            ),
            group="hinge",
            each=True,
            never=_AT_ONE,
        )


def _softplus_undone(slope: float, straight: float) -> Callable[[Tensor, Values], Tensor]:
    def result(answer: Tensor, given: Values) -> Tensor:
        scaled = slope * answer
        # log(expm1(s)) = s + log(1 - exp(-s)), which does not overflow.
        seen = scaled > torch.finfo(scaled.dtype).tiny
        safe = torch.where(seen, scaled, 1.0)
        x = torch.where(safe > straight, safe, safe + torch.log(-torch.expm1(-safe))) / slope
        return torch.where(seen, torch.relu(x), 0.0 * answer)

    return result
