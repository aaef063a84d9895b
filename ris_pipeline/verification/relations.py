"""Whether a function's numbers are ours: to a factor, to fewer digits, in another order, up to a
limit."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from ris_pipeline.verification.case import SAME, Numbers, row
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.families import SPECTRA, ULA
from ris_pipeline.verification.fixed_cases import same_numbers
from ris_pipeline.verification.seen import ASIDE, COARSE, DERIVED, INDEPENDENT, Diagnosis, Seen

DIGITS = (
    (32 * float(np.finfo(np.float32).eps), 1.0, 1, "Half of its digits are right."),
    (32 * float(np.finfo(np.float16).eps), 0.75, 12, "A fifth of its digits are right."),
)
"""Relative distance of numbers that went through single and half precision; what it is worth to be
as near, which something small that was added may be too; how many numbers it takes."""
_FEW_DECIMALS = 7
"""Numbers of less decimals are round."""


def relations(seen: list[Seen], place: str) -> Iterator[Diagnosis]:
    """Whether its numbers are ours to a factor or to single precision."""
    wrong = [one for one in seen if not one.right()]
    both = [(o.theirs, o.ours) for o in wrong if o.theirs is not None and o.ours is not None]
    if not both:
        return
    plain = [not one.right() for one in seen if not one.case.symptoms]
    # Rounding shows everywhere.
    shown = (1 + sum(plain) / max(1, len(plain))) / 2
    for digits, worth, few, story in DIGITS:
        telling = [one for one in wrong if digits * one.case.condition < COARSE]
        rounded = bool(telling) and all(one.right(digits * one.case.condition) for one in telling)
        # A few numbers are soon met to a few digits.
        several = sum(one.ours.size for one in telling if one.ours is not None) >= few
        rounded = rounded and several
        added = any(Cause.LOADING_ADDED in one.case.symptoms for one in wrong)
        cause = Cause.LOADING_ADDED if added else Cause.SINGLE
        story = "Something small is added to it." if added else story
        yield Diagnosis(cause, "", story, None, worth * shown * rounded)
    yield Diagnosis(Cause.ROUNDED, "", "It rounds its numbers.", None, _rounded(wrong))
    if place == "steering_vector":
        yield from _of_waves(both, len(wrong))
    # A factor as near to one as single precision is a rounding.
    others = [pair for pair in both if not same_numbers(*pair, DIGITS[0][0])]
    scaled = sum(_to_a_factor(theirs, ours) for theirs, ours in others)
    if len(both) > 1:
        story = "Its answers are ours but for a factor."
        yield Diagnosis(Cause.SCALE, "", story, None, scaled / len(wrong))


def constant(seen: list[Seen], place: str) -> Iterator[Diagnosis]:
    """Whether it answers zero alone, as many a formula does that lacks a term."""
    values = [one for one in seen if not set(one.case.symptoms) & set((*ASIDE, *INDEPENDENT))]
    asked = [one for one in values if one.ours is not None and one.ours.any()]
    # Right may be what is no number of it: shapes, and the state of the process.
    wrong = [one for one in asked if not one.right()]
    given = [one.theirs for one in wrong if one.theirs is not None]
    few = len(given) < 2 or 3 * len(wrong) < 2 * len(asked)
    zero = not few and not any(theirs.any() for theirs in given)
    story = "It answers zero, whatever it is asked."
    # No sources is a number like any other.
    cases = 0 if place in ("mdl", "aic") else len(given)
    yield Diagnosis(Cause.ZERO_TERM, "", story, None, float(zero), cases)


_FORMS: tuple[Callable[[Numbers], Numbers], ...] = (
    lambda x: x,
    lambda x: 1 / x,
    lambda x: x * x,
    lambda x: 1 / (x * x),
)
"""Where a guard is added: to an answer, under a fraction, under a root."""
_ONE_NUMBER = 1e-3
"""Relative spread of what is added, if it is one number: rounding is of either sign."""


def added(seen: list[Seen], place: str) -> Iterator[Diagnosis]:
    """Whether one number is between all answers and ours, in one of the forms."""
    # An eigenvalue of R + a I is that of R, and a.
    loaded = place in ("eigenvalues", "singular_values")
    cause = Cause.LOADING_ADDED if loaded else Cause.GUARD
    wrong = [one for one in seen if not one.right() and not one.case.symptoms]
    if place == "gradient_norm":
        # A number a call, and few calls without a circumstance.
        wrong = [one for one in seen if not one.right() and one.theirs is not None]
    found = [_added(one.theirs, one.ours) for one in wrong]
    several = np.unique([x for one in wrong if one.ours is not None for x in one.ours]).size > 2
    if several and any(
        all(any(abs(x - number) <= _ONE_NUMBER * abs(number) for x in others) for others in found)
        for number in found[0]
    ):
        story = "A number is added to it, to its reciprocal or to its square."
        yield Diagnosis(cause, "", story, None, 1.0)


def _added(theirs: Numbers | None, ours: Numbers | None) -> list[complex]:
    """What is added in each of the forms, where that is one number."""
    if theirs is None or ours is None or theirs.shape != ours.shape:
        return []
    if not np.isfinite(theirs).all():
        return []
    with np.errstate(all="ignore"):
        differences = [form(theirs) - form(ours) for form in _FORMS]
    differences = [one for one in differences if np.isfinite(one).all()]
    means = [complex(one.mean()) for one in differences]
    pairs = zip(differences, means, strict=True)
    near = ((mean, np.abs(one - mean).max()) for one, mean in pairs if mean)
    return [mean for mean, spread in near if spread <= _ONE_NUMBER * abs(mean)]


def turned(slopes: list[Seen]) -> Iterator[Diagnosis]:
    """What is made of every gradient that is wrong, if its direction is that of ours."""
    in_batches = all(Cause.BATCH in one.case.symptoms for one in slopes)
    factor = Cause.SUM_FOR_MEAN if in_batches else Cause.SCALE
    for cause, story, change in (
        (Cause.SIGN, "Its gradient points the other way.", lambda x: -x),
        (Cause.CONJUGATED, "Its gradient is the conjugate of ours.", np.conj),
        (factor, "Its gradient is ours but for a factor.", lambda x: x),
    ):
        pairs = ((one.theirs, one.ours) for one in slopes)
        if all(y is not None and x is not None and _to_a_factor(x, change(y)) for x, y in pairs):
            yield Diagnosis(cause, "", story, None, 1.0)
            return


def reordered(seen: list[Seen], place: str) -> Iterator[Diagnosis]:
    """Whether its values are ours in no order."""
    wrong = [one for one in seen if not one.right() and not set(one.case.symptoms) & set(ASIDE)]
    if place in ("eigenvalues", "singular_values", "esprit", "root_music") and wrong:
        share = sum(map(_in_another_order, wrong)) / len(wrong)
        by_size = all(map(_by_magnitude, wrong))
        cause = Cause.SINGULAR_FOR_EIGEN if by_size else Cause.UNSORTED
        story = "in the order of magnitudes" if by_size else "in another order"
        yield Diagnosis(cause, "", f"Its values are ours {story}.", None, share)


def of_real_numbers(seen: list[Seen], place: str) -> Iterator[Diagnosis]:
    """Whether its directions are those of phases of real numbers: none, and half a turn."""
    answers = [one.theirs for one in seen if one.theirs is not None]
    if place not in ("esprit", "root_music") or not answers:
        return
    turns = np.abs(np.concatenate(answers).real) / (np.pi / 2)
    whole = np.isclose(turns, np.round(turns)).all() and turns.max() <= 1
    story = "Its phases are those of real numbers: none, or half a turn."
    yield Diagnosis(Cause.REAL_PART, "", story, None, float(whole and turns.any()))


def _in_another_order(one: Seen) -> bool:
    if one.theirs is None or one.ours is None:
        return False
    theirs, ours = (row(np.sort(values.real)) for values in (one.theirs, one.ours))
    return same_numbers(theirs, ours)


def columns(seen: list[Seen], place: str) -> Iterator[Diagnosis]:
    """Whether its basis is ours with more or fewer columns: as many as something else than k
    says."""
    if place not in ("signal_subspace", "noise_subspace"):
        return
    values = [one for one in seen if not set(one.case.symptoms) & set((*ASIDE, *INDEPENDENT))]
    wrong = [one for one in values if not one.right() and one.theirs is not None]
    more = [_more_columns(one.theirs, one.ours) for one in wrong]
    counts = [x for x in more if x is not None]
    story = "Its basis is ours with more or fewer columns: their number is not that of k."
    # By one too many everywhere is a slip in k.
    cause = Cause.OFF_BY_ONE if len(set(counts)) == 1 else Cause.GUARD
    yield Diagnosis(cause, "", story, None, len(counts) / max(1, len(wrong)))


def _more_columns(theirs: Numbers | None, ours: Numbers | None) -> int | None:
    """How many columns more, where one span contains the other.

    A basis U stands for `U U^H`, and for `U^H U` after it where that is asked: n^2, or n^2 + m^2
    numbers.
    """
    if theirs is None or ours is None or not np.isfinite(theirs).all():
        return None
    for n in range(math.isqrt(ours.size), 0, -1):
        rest = [x.size - n * n for x in (theirs, ours)]
        if min(rest) < 0 or any(math.isqrt(m) ** 2 != m for m in rest):
            continue
        first, second = (x[: n * n].reshape(n, n) for x in (theirs, ours))
        more = round(float((np.trace(first) - np.trace(second)).real))
        nested = same_numbers(row(first @ second), row(first if more < 0 else second))
        return more if nested and more and first.any() else None
    return None


def _by_magnitude(one: Seen) -> bool:
    """Whether the numbers of a single matrix descend in size, and there are negative ones."""
    if one.theirs is None or Cause.BATCH in one.case.symptoms:
        return one.theirs is not None
    values = one.theirs.real
    return bool((values < 0).any() and (np.diff(np.abs(values)) <= SAME).all())


def limited(seen: list[Seen]) -> Iterator[Diagnosis]:
    """Whether its answers are ours within a limit."""
    values = [one for one in seen if not set(one.case.symptoms) & set((*DERIVED, *INDEPENDENT))]
    wrong = [one for one in values if not one.right()]
    # Where numbers are of another size, or nothing is out of the way: elsewhere it is the
    # circumstance that counts.
    if any(not one.case.symptoms or Cause.GUARD in one.case.symptoms for one in wrong):
        story = "Its answers are ours up to a limit."
        share = sum(map(_cut_off, wrong)) / len(wrong)
        yield Diagnosis(Cause.GUARD, "", story, None, share)


def cut_short(seen: list[Seen], place: str) -> Iterator[Diagnosis]:
    """Whether the values over a grid are ours as far as whole chunks of one size go."""
    if place not in (*SPECTRA, *ULA):
        return
    grids = [one for one in seen if Cause.BATCH not in one.case.symptoms and _alike_in_shape(one)]
    grids = [one for one in grids if not set(one.case.symptoms) & set((*DERIVED, *INDEPENDENT))]
    longest = max(grids, key=lambda one: _size(one.ours), default=None)
    whole = 0 if longest is None else _right_to(longest)
    if longest is None or not 0 < whole < _size(longest.ours):
        return
    # So many chunks were whole: fewer than fit into what is left.
    sizes = [whole // n for n in range(1, whole + 1) if whole % n == 0]
    sizes = [size for size in sizes if whole + size > _size(longest.ours)]
    fits = [
        sum(_right_to(one) == _size(one.ours) // size * size for one in grids) for size in sizes
    ]
    story = "Its values are ours as far as whole chunks of the grid go."
    yield Diagnosis(Cause.CHUNK, "", story, None, max(fits, default=0) / len(grids))


def _size(numbers: Numbers | None) -> int:
    return 0 if numbers is None else numbers.size


def _alike_in_shape(one: Seen) -> bool:
    return one.theirs is not None and one.ours is not None and one.theirs.shape == one.ours.shape


def _right_to(one: Seen) -> int:
    """How many numbers are ours before the first that is not."""
    if one.theirs is None or one.ours is None:
        return 0
    size = float(np.abs(one.ours[np.isfinite(one.ours)]).max(initial=1.0))
    with np.errstate(invalid="ignore"):
        wrong = ~(np.abs(one.theirs - one.ours) <= SAME * size)
    return int(wrong.argmax()) if wrong.any() else one.ours.size


def _cut_off(one: Seen) -> bool:
    """Whether some numbers are the largest or the least of theirs, and the others are ours."""
    if one.theirs is None or one.ours is None or one.theirs.shape != one.ours.shape:
        return False
    if not same_numbers(row(one.theirs.imag), row(one.ours.imag)):
        return False
    theirs, ours = one.theirs.real, one.ours.real
    cut = np.clip(ours, theirs.min(), theirs.max())
    limited = theirs.size > 1 and bool(theirs.min() < theirs.max())
    return limited and same_numbers(row(theirs), row(cut))


def _rounded(wrong: list[Seen]) -> float:
    """1 where all numbers have few decimals, and are ours, which have more, to as many."""
    pairs = [
        (one.theirs, one.ours)
        for one in wrong
        if one.theirs is not None
        and one.ours is not None
        and one.case.condition == 1
        and not {*DERIVED, Cause.GUARD} & set(one.case.symptoms)
        and not same_numbers(one.ours, np.round(one.ours))
    ]
    # One number is soon round.
    several = sum(ours.size for _, ours in pairs) > _FEW_DECIMALS
    return float(several and all(_is_round(theirs, ours) for theirs, ours in pairs))


def _is_round(theirs: Numbers, ours: Numbers) -> bool:
    if theirs.shape != ours.shape or not np.isfinite(theirs).all():
        return False
    with np.errstate(over="ignore", invalid="ignore"):
        digits = (d for d in range(_FEW_DECIMALS) if same_numbers(theirs, np.round(theirs, d)))
        return any(bool(np.allclose(theirs, ours, rtol=0.0, atol=0.51 * 10.0**-d)) for d in digits)


def _of_waves(both: list[tuple[Numbers, Numbers]], wrong: int) -> Iterator[Diagnosis]:
    """Whether steering vectors are ours but for one phase, or but for their moduli."""
    alike = [(theirs, ours) for theirs, ours in both if theirs.shape == ours.shape]
    turned = sum(_to_a_factor(theirs * _phase_to(theirs, ours), ours) for theirs, ours in alike)
    story = "Its phases are ours from another point on."
    yield Diagnosis(Cause.OFF_CENTRE, "", story, None, turned / wrong)
    faded = sum(_to_a_factor(*map(_phases, pair)) for pair in alike)
    story = "Its phases are ours, its moduli are not."
    yield Diagnosis(Cause.MODULUS, "", story, None, faded / wrong)


def _phase_to(theirs: Numbers, ours: Numbers) -> complex:
    return complex(_phases(row(np.vdot(theirs, ours)))[0])


def _phases(numbers: Numbers) -> Numbers:
    return numbers / np.maximum(np.abs(numbers), np.finfo(float).tiny)


def _to_a_factor(theirs: Numbers, ours: Numbers) -> bool:
    if theirs.shape != ours.shape or theirs.size < 2 or not np.isfinite((theirs, ours)).all():
        return False
    factor = np.vdot(ours, theirs).real / max(np.vdot(ours, ours).real, np.finfo(float).tiny)
    return bool(factor > 0) and same_numbers(theirs, factor * ours)
