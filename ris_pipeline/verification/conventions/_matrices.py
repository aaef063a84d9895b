"""Conventions of functions of a matrix: order, decibels, guards, loading, hinges, means."""

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ris_pipeline.verification.case import SAME
from ris_pipeline.verification.conventions._entry import Convention, Values
from ris_pipeline.verification.families import ULA
from ris_pipeline.verification.strategies import Domain
from ris_pipeline.verification.target import TARGET, DoesNotApply, provide

Call = Callable[..., Tensor]

SPECTRA = frozenset({"music_spectrum", "mvdr_spectrum"})
LOSSES = frozenset({"eigengap_loss", "factor_eigengap_loss"})
_ROOTS = frozenset({"esprit", "root_music"})
_BASES = frozenset({"signal_subspace", "noise_subspace"})
_POSITIVE = frozenset(Domain) - {Domain.POSITIVE}
"""Families of spectra that may hold a value without a logarithm, or a largest one that is none."""
_WITHOUT_POLES = frozenset({"eigenvalues", "singular_values", "ula_bartlett"})
"""What may be zero or negative, and is never infinite."""


def _power(answer: Tensor, given: Values) -> Tensor:
    return torch.pow(10.0, answer / 10)


def _power_of(name: str) -> Callable[[Tensor, Values], Tensor]:
    """The same where ours has a logarithm, beyond its rounding."""

    def result(answer: Tensor, given: Values) -> Tensor:
        _check_positive(_ours(name, given))
        return _power(answer, given)

    return result


def _ours(name: str, given: Values) -> Tensor:
    with provide({}):
        known: Tensor = getattr(TARGET, name)(*given.values())
    return known


def _check_positive(ours: Tensor) -> None:
    rounding = (
        ours.shape[-1] * torch.finfo(ours.dtype).eps * ours.abs().max() if ours.numel() else 0
    )
    if bool((ours <= rounding).any()):
        raise DoesNotApply("needs values above zero")


def _times_largest(name: str) -> Callable[[Tensor, Values], Tensor]:
    """Times our largest value.

    Raises:
        AssertionError: the largest of theirs is not one.
    """

    def result(answer: Tensor, given: Values) -> Tensor:
        ours = _ours(name, given)
        _check_positive(ours)
        _check_unit(answer)
        return answer * ours.amax(-1, keepdim=True)

    return result


def _check_unit(answer: Tensor) -> None:
    """Raises AssertionError where the largest value is not one."""
    largest = answer.detach().abs().amax(-1)
    # A guard beside the largest value moves it by its digits.
    if largest.numel() and bool((largest - 1).abs().max() > SAME):
        raise AssertionError(f"the largest value is {float(largest.max()):.6g}: expected is 1")


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
        _check_unit(answer)
        ours = _ours(name, given)
        if not float(ours.detach().abs().max()) < 1 / torch.finfo(ours.dtype).eps:
            raise DoesNotApply("needs the height of a peak that rounding alone limits")
        place = ours.detach().argmin(-1, keepdim=True)
        return answer * (ours.gather(-1, place) / answer.gather(-1, place))

    return result


def _relative(given: Values) -> dict[str, Any]:
    """A loading in parts of the mean eigenvalue."""
    mean = torch.as_tensor(given["matrix"]).diagonal(0, -2, -1).real.mean()
    if not mean:
        raise DoesNotApply("needs a matrix whose trace is not zero")
    # A number, unless the slope passes through it.
    part = given["loading"] / (mean if mean.requires_grad else float(mean))
    return {**given, "loading": part}


def _noise_dimension(given: Values) -> dict[str, Any]:
    # Of a factor the rows.
    n = _first(given).shape[-2]
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
        (SPECTRA | {"eigengap"} | ULA.keys()) - _WITHOUT_POLES,
        rank=1,
        result=_power,
        after=("answer = 10 ** (answer / 10)",),
    ),
    *(
        Convention(
            "dB",
            frozenset({name}),
            rank=1,
            result=_power_of(name),
            after=("answer = 10 ** (answer / 10)",),
            never=_POSITIVE,
        )
        for name in sorted(_WITHOUT_POLES)
    ),
    *(
        Convention(
            "normalized by maximum",
            frozenset({name}),
            rank=3,
            result=_times_largest(name) if name in _WITHOUT_POLES else _rescaled(name),
            after=("answer = answer  # known up to its scale alone",),
            group="scale",
            never=_POSITIVE if name in _WITHOUT_POLES else frozenset(),
        )
        for name in sorted(_WITHOUT_POLES | SPECTRA | ULA.keys())
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
        frozenset({"music_spectrum", "ula_music", "eigengap"}) | LOSSES | _BASES | _ROOTS,
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
    *(
        Convention(
            "rows for columns",
            frozenset({"factor_eigengap_loss"}),
            arguments=_changed("factor", change),
            before=(f"factor = factor{said}",),
            group="form",
        )
        for change, said in ((lambda f: f.mT, ".T"), (lambda f: f.mH, ".conj().T"))
    ),
    Convention(
        "orthogonal complement",
        frozenset({"projector"}),
        result=lambda answer, given: torch.eye(answer.shape[-1], dtype=answer.dtype) - answer,
        after=("answer = np.eye(len(answer)) - answer",),
    ),
    Convention(
        "per sample",
        LOSSES,
        rank=3,
        result=lambda answer, given: answer.mean(),
        after=("answer = answer.mean()",),
        group="reduction",
    ),
    Convention(
        "sum reduction",
        LOSSES,
        rank=3,
        result=lambda answer, given: answer / _count(given),
        after=("answer = answer / max(1, matrix[..., 0, 0].numel())  # or of the factor",),
        group="reduction",
    ),
    Convention(
        "squared hinge",
        LOSSES,
        rank=1,
        result=_root,
        after=("answer = answer ** 0.5  # of each matrix, before the mean",),
        group="hinge",
        each=True,
    ),
)
