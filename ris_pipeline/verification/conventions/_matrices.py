"""Conventions of functions of a matrix: order, decibels, guards, loading, hinges, means."""

import math
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.verification.case import SAME
from ris_pipeline.verification.conventions._entry import Convention, Values
from ris_pipeline.verification.families import ULA
from ris_pipeline.verification.target import TARGET, Claim, DoesNotApply, provide

Call = Callable[..., Tensor]

SPECTRA = frozenset({"music_spectrum", "mvdr_spectrum"})
_LOSS = frozenset({"eigengap_loss", "factor_eigengap_loss"})
_ROOTS = frozenset({"esprit", "root_music"})
_BASES = frozenset({"signal_subspace", "noise_subspace"})
_AT_ONE = frozenset({Claim.SCALE})
_TINY = 1e-13
"""A fitted constant below this is rounding."""


def _power(answer: Tensor, given: Values) -> Tensor:
    return torch.pow(10.0, answer / 10)


def _first(given: Values) -> Tensor:
    """The matrix, the factor or the snapshots."""
    first: Tensor = next(iter(given.values()))
    return first


def _count(given: Values) -> int:
    return max(1, int(torch.Size(_first(given).shape[:-2]).numel()))


def _changed(name: str, change: Callable[[Tensor], Tensor]) -> Callable[[Values], dict[str, Any]]:
    return lambda given: {k: change(v) if k == name else v for k, v in given.items()}


def _per_antenna(power: int) -> Callable[[Tensor, Values], Tensor]:
    """Times a power of the number of antennas."""
    return lambda answer, given: answer * float(given["matrix"].shape[-1]) ** power


def _rescaled(name: str) -> Callable[[Tensor, Values], Tensor]:
    """Times what ours is, over what theirs is, where ours is smallest: far from any pole.

    Raises:
        AssertionError: the largest value is not one.
    """

    def result(answer: Tensor, given: Values) -> Tensor:
        largest = answer.detach().abs().amax(-1)
        # A guard beside the largest value moves it by its digits.
        if largest.numel() and bool((largest - 1).abs().max() > SAME):
            raise AssertionError(f"the largest value is {float(largest.max()):.6g}: expected is 1")
        with provide({}):
            ours = getattr(TARGET, name)(*given.values())
        if not float(ours.detach().abs().max()) < 1 / torch.finfo(ours.dtype).eps:
            raise DoesNotApply("needs the height of a peak that rounding alone limits")
        place = ours.detach().argmin(-1, keepdim=True)
        return answer * (ours.gather(-1, place) / answer.gather(-1, place))

    return result


def _relative(given: Values) -> dict[str, Any]:
    """A loading in parts of the mean eigenvalue."""
    # Of an array as well as of a tensor.
    mean = float(given["matrix"].diagonal(0, -2, -1).real.mean())
    if not mean:
        raise DoesNotApply("needs a matrix whose trace is not zero")
    return {k: float(v) / mean if k == "loading" else v for k, v in given.items()}


def _noise_dimension(given: Values) -> dict[str, Any]:
    n = given["matrix"].shape[-1]
    return {k: n - v if k == "k" else v for k, v in given.items()}


def _root(answer: Tensor, given: Values) -> Tensor:
    # At rest the square has no slope, and its root an infinite one.
    positive = answer > 0
    return torch.where(positive, torch.where(positive, answer, 1.0).sqrt(), 0.0 * answer)


MATRICES: tuple[Convention, ...] = (
    Convention(
        "ascending",
        frozenset({"eigenvalues", "singular_values"}),
        result=lambda answer, given: answer.flip(-1),
        after=("answer = answer.flip(-1)  # numpy: answer[..., ::-1]",),
    ),
    Convention(
        "ascending",
        frozenset({"mdl", "aic"}),
        arguments=_changed("eigenvalues", lambda values: values.flip(-1)),
        before=("eigenvalues = eigenvalues[..., ::-1]",),
    ),
    Convention(
        "scaled losses",
        frozenset({"epoch_mean"}),
        result=lambda answer, given: answer / given["accumulation"],
        after=("answer = answer / accumulation  # losses come divided by it",),
    ),
    Convention(
        "dB",
        SPECTRA | {"eigengap"} | ULA.keys(),
        rank=1,
        result=_power,
        after=("answer = 10 ** (answer / 10)",),
    ),
    *(
        Convention(
            "normalized by maximum",
            frozenset({name}),
            rank=3,
            result=_rescaled(name),
            after=("answer = answer  # known up to its scale alone",),
            group="scale",
        )
        for name in sorted(SPECTRA | ULA.keys())
    ),
    *(
        Convention(
            "divided by |a|^2",
            frozenset({name}),
            rank=3,
            result=lambda answer, given: answer / given["steering"].abs().square().sum(-2),
            after=("answer = answer / (abs(steering) ** 2).sum(-2)",),
            group="scale",
        )
        for name in sorted(SPECTRA)
    ),
    Convention(
        "degrees",
        frozenset(ULA),
        rank=6,
        arguments=_changed("angles", lambda angles: angles * (180 / math.pi)),
        before=("angles = np.degrees(angles)",),
    ),
    Convention(
        "opposite phase",
        frozenset(ULA),
        arguments=_changed("angles", torch.neg),
        before=("angles = -angles",),
    ),
    Convention(
        "angle from the axis",
        frozenset(ULA),
        arguments=_changed("angles", lambda angles: math.pi / 2 - angles),
        before=("angles = np.pi / 2 - angles",),
    ),
    *(
        Convention(
            said,
            frozenset({name}),
            rank=3,
            result=_per_antenna(power),
            after=(f"answer = answer * float(len(matrix)) ** {power}",),
            group="scale",
        )
        for said, name, power in (
            ("unit norm", "ula_music", -1),
            ("unit norm", "ula_mvdr", -1),
            ("unit norm", "ula_bartlett", -1),
            ("not normalized", "ula_bartlett", -2),
        )
    ),
    Convention(
        "opposite phase",
        _ROOTS,
        result=lambda answer, given: -answer.flip(-1),
        after=("answer = -answer[::-1]",),
    ),
    Convention(
        "angle from the axis",
        _ROOTS,
        result=lambda answer, given: (math.pi / 2 - answer).flip(-1),
        after=("answer = (np.pi / 2 - answer)[::-1]",),
    ),
    Convention(
        "rows for columns",
        frozenset({"sample_covariance", "ledoit_wolf"}),
        arguments=_changed("snapshots", lambda x: x.mT),
        before=("snapshots = snapshots.T",),
    ),
    Convention(
        "degrees",
        _ROOTS,
        rank=3,
        result=lambda answer, given: torch.deg2rad(answer),
        after=("answer = np.radians(answer)",),
    ),
    Convention(
        "relative loading",
        frozenset({"diagonal_loading"}),
        arguments=_relative,
        before=("loading = loading * len(matrix) / np.trace(matrix).real",),
        each=True,
    ),
    Convention(
        "transposed steering",
        SPECTRA,
        arguments=_changed("steering", lambda a: a.mT),
        before=("steering = steering.T",),
        group="steering",
    ),
    Convention(
        "adjoint steering",
        SPECTRA,
        arguments=_changed("steering", lambda a: a.mH),
        before=("steering = steering.conj().T",),
        group="steering",
    ),
    Convention(
        "noise dimension",
        frozenset({"music_spectrum", "eigengap", "eigengap_loss", *_BASES}),
        arguments=_noise_dimension,
        before=("k = matrix.shape[-1] - k",),
    ),
    Convention(
        "rows for columns",
        _BASES,
        result=lambda answer, given: answer.mT,
        after=("answer = answer.T",),
        group="form",
    ),
    Convention(
        "rows for columns",
        _BASES,
        result=lambda answer, given: answer.mH,
        after=("answer = answer.conj().T",),
        group="form",
    ),
    Convention(
        "rows for columns",
        frozenset({"projector"}),
        arguments=lambda given: {"basis": given["basis"].mT},
        before=("basis = basis.T",),
        group="form",
    ),
    Convention(
        "rows for columns",
        frozenset({"projector"}),
        arguments=lambda given: {"basis": given["basis"].mH},
        before=("basis = basis.conj().T",),
        group="form",
    ),
    Convention(
        "orthogonal complement",
        frozenset({"projector"}),
        result=lambda answer, given: torch.eye(answer.shape[-1], dtype=answer.dtype) - answer,
        after=("answer = np.eye(len(answer)) - answer",),
    ),
    Convention(
        "per sample",
        _LOSS,
        rank=3,
        result=lambda answer, given: answer.mean(),
        after=("answer = answer.mean()",),
        group="reduction",
    ),
    Convention(
        "sum reduction",
        _LOSS,
        rank=3,
        result=lambda answer, given: answer / _count(given),
        after=("answer = answer / max(1, matrix[..., 0, 0].numel())  # or of the factor",),
        group="reduction",
    ),
    Convention(
        "squared hinge",
        _LOSS,
        rank=1,
        result=_root,
        after=("answer = answer ** 0.5  # of each matrix, before the mean",),
        group="hinge",
        each=True,
    ),
)


def fitted(name: str, call: Call) -> Iterator[Convention]:
    """Conventions with a constant in them, found by asking the function.

    Args:
        name: public name.
        call: the function, called as ours.
    """
    if name in SPECTRA:
        yield from _guards(name, call)
    if name == "mvdr_spectrum":
        yield from _loadings(call)
    if name in _LOSS:
        yield from _smooth(name, call)


def _diagonal(*values: float) -> Tensor:
    return torch.diag(torch.tensor(values, dtype=torch.complex128))


def _guards(name: str, call: Call) -> Iterator[Convention]:
    """`1 / (d + g)`, from d = 0 (MUSIC, at a peak) or d = 1e-6 (MVDR)."""
    axis = torch.eye(3, dtype=torch.complex128)
    if name == "music_spectrum":
        guard = float((1 / call(_diagonal(4.0, 2.0, 1.0), axis, 1))[0])
    else:
        guard = float((1 / call(1e9 * axis, axis))[0]) - 1e-9
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


def _loadings(call: Call) -> Iterator[Convention]:
    """`R + delta I`, delta a number or a part of the mean eigenvalue, from R = I and R = 2 I."""
    axis = torch.eye(3, dtype=torch.complex128)
    one, two = (float(call(scale * axis, axis)[0]) - scale for scale in (1.0, 2.0))
    if not _TINY < one < 10:
        return
    if abs(two - one) <= 1e-3 * one:
        yield _loading(float(f"{one:.3g}"), relative=False)
    elif abs(two - 2 * one) <= 2e-3 * one:
        yield _loading(float(f"{one:.3g}"), relative=True)


def _loading(delta: float, *, relative: bool) -> Convention:
    def arguments(given: Values) -> dict[str, Any]:
        matrix = given["matrix"]
        n = matrix.shape[-1]
        eye = torch.eye(n, dtype=matrix.dtype)
        mean = matrix.diagonal(dim1=-2, dim2=-1).real.sum(-1)[..., None, None] / n
        less = delta / (1 + delta) * mean if relative else delta
        return {**given, "matrix": matrix - less * eye}

    said = f"{delta / (1 + delta):.6g} * np.trace(matrix).real / len(matrix)"
    return Convention(
        "diagonal loading",
        frozenset({"mvdr_spectrum"}),
        arguments=arguments,
        before=(f"matrix = matrix - {said if relative else f'{delta:g}'} * np.eye(len(matrix))",),
        group="loading",
        never=frozenset() if relative else _AT_ONE,
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
