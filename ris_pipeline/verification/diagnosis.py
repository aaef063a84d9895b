"""What is likely wrong with a function.

Five questions to its answers on a few fixed arguments:

    symptoms   it is right where nothing is out of the way: where is it wrong? Or the other way?
    relations  are its numbers ours to a factor, or to single precision?
    mistakes   does it answer what ours would, asked or answered otherwise?
    slips      does it answer what a textbook's formula would, one sign, axis or factor otherwise?
    bugs       does it answer, and do its laws fail, as a bug of the catalogue?

The pattern of red and green laws says how a function is wrong, the numbers whether it is this bug.
"""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from functools import cache
from typing import TYPE_CHECKING, Any

from torch import Tensor

from ris_pipeline._errors import CALL_ERRORS
from ris_pipeline.spectral import eigenvalues
from ris_pipeline.verification import acts
from ris_pipeline.verification.case import SAME, Case, Numbers
from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.families import NAMES
from ris_pipeline.verification.fixed_cases import answer, fixed_cases, same_numbers
from ris_pipeline.verification.implementation import Implementation
from ris_pipeline.verification.laws import LawResult, Outcome
from ris_pipeline.verification.mistakes import Mistake, mistakes, two_mistakes
from ris_pipeline.verification.problems import fresh, problem
from ris_pipeline.verification.relations import (
    DIGITS,
    added,
    columns,
    constant,
    cut_short,
    limited,
    of_real_numbers,
    relations,
    reordered,
    turned,
)
from ris_pipeline.verification.seen import (
    ALONE,
    ASIDE,
    COARSE,
    DERIVED,
    INDEPENDENT,
    Diagnosis,
    Seen,
)
from ris_pipeline.verification.stored_matrix import KillMatrix, stored_matrix
from ris_pipeline.verification.target import TARGET, DoesNotApply, provide
from ris_pipeline.verification.textbook import slips

if TYPE_CHECKING:
    from ris_pipeline.verification.known_bugs import KnownBug

ENOUGH = 0.5
"""A cause that fits no better is not named: one sign alone, however clear, is half of what is
seen."""
MOST, CLOSE = 3, 0.25
"""Causes named at most, and how much worse than the best a second one may fit."""
NEARLY_ALL = 0.9
"""Share of the fixed cases that a slip of a formula explains, where it is named."""
BY_HAND = "Its values are right; its backward is written by hand."
LIKELY = 0.85
"""What that is worth: the mistake in it may have a name."""
ROUGHLY = 1e-3
"""Relative distance of numbers that something small has been added to."""
FIRST = 8
"""Cases after which a cause that hardly ever fits is given up."""


def diagnose(
    implementation: Implementation,
    results: Iterable[LawResult],
    but: Collection[Cause] = (),
) -> tuple[Diagnosis, ...]:
    """Up to three causes, best first; none where nothing known fits.

    but: symptoms not looked for, such as `NAN_HIDDEN` where NaN ends the process.
    """
    decided = {r.law: r.outcome is Outcome.FAILS for r in results if r.outcome in _DECIDED}
    if not any(decided.values()):
        return ()
    place = implementation.place
    ours = getattr(TARGET, place)
    seen = _in_their_meaning(sorted(_seen(implementation, but), key=Seen.right), place)
    best = _best(
        (
            *_circumstance(decided),
            *constant(seen, place),
            # Rounding is of either sign.
            *added(seen, place),
            # To be the same to the last case says more than where it is wrong.
            *(named := list(_answered(mistakes(place, ours), seen))),
            *(
                []
                if any(one.numbers == 1 for one in named)
                else _answered(slips(place), seen, share=NEARLY_ALL)
            ),
            *reordered(seen, place),
            *columns(seen, place),
            *of_real_numbers(seen, place),
            *_symptoms(seen, implementation),
            *_eased(seen),
            # A factor of two says more than a factor.
            *relations(seen, place),
            *limited(seen),
            *cut_short(seen, place),
            *_bugs(seen, place, decided),
        )
    )
    # A mistake that is made in single precision, or after another.
    best = best or _best(_answered(mistakes(place, ours), seen, DIGITS[0][0]))
    best = best or _best(_answered(_likely(two_mistakes(place), seen), seen, share=NEARLY_ALL))
    for cause in _refuted(seen):
        best.pop(cause, None)
    if any(one.story == BY_HAND for one in best.values()):
        # What is written out is not cut off.
        best.pop(Cause.DETACHED, None)
    ranked = sorted(best.values(), key=lambda one: -one.fit)
    return tuple(one for one in ranked[:MOST] if one.fit >= ranked[0].fit - CLOSE)


def _best(every: Iterable[Diagnosis]) -> dict[str, Diagnosis]:
    """The best of each cause that fits."""
    best: dict[str, Diagnosis] = {}
    for found in every:
        if found.fit > ENOUGH and (found.cause not in best or found.fit > best[found.cause].fit):
            best[found.cause] = found
    return best


def _refuted(seen: list[Seen]) -> Iterator[Cause]:
    """What would show whatever else is wrong, and does not."""
    for cause in INDEPENDENT:
        cases = [one for one in seen if cause in one.case.symptoms and one.theirs is not None]
        if cases and all(one.right() for one in cases):
            yield cause


def _in_their_meaning(seen: list[Seen], place: str) -> list[Seen]:
    """Without the matrices that are not Hermitian, where singular values of the matrix itself are
    meant and something else is wrong as well."""
    if place != "singular_values":
        return seen
    skewed = [one for one in seen if Cause.NOT_HERMITIAN in one.case.symptoms]
    plain = [one for one in skewed if one.case.symptoms == (Cause.NOT_HERMITIAN,)]
    meant = all(same_numbers(one.theirs, _known(one.case, _of_itself)) for one in plain)
    rest = [one for one in seen if one not in skewed]
    return rest if meant and not all(one.right() for one in rest) else seen


def _of_itself(matrix: Tensor) -> Tensor:
    return eigenvalues(matrix.mH @ matrix).clamp_min(0).sqrt()


_DECIDED = (Outcome.HOLDS, Outcome.FAILS)


def _seen(implementation: Implementation, but: Collection[Cause]) -> list[Seen]:
    """The fixed cases that a function takes, but those of some symptoms."""
    ours, seen = getattr(TARGET, implementation.place), []
    with provide({}, implementation.without()):
        for case in fixed_cases(implementation.place):
            if set(case.symptoms) & set(but):
                continue
            try:
                seen.append(Seen(case, answer(case, implementation.function), _known(case, ours)))
            except DoesNotApply:
                continue
    return seen


@cache
def _known(case: Case, function: Callable[..., Any]) -> Numbers | None:
    """The answer of a known function, which is asked for by many a diagnosis."""
    return answer(case, function)


LAW_SYMPTOMS = {
    "test_side_effects::test_the_same_arguments_have_the_same_answer": Cause.RANDOM,
    "test_memory_layout::test_the_arguments_are_left_as_they_were": Cause.OVERWRITTEN,
    "test_steering_anywhere::test_the_arguments_are_left_as_they_were": Cause.OVERWRITTEN,
    "test_gradient_norm::test_the_gradients_are_left_as_they_were": Cause.OVERWRITTEN,
    "test_model_order::test_the_eigenvalues_are_left_as_they_were": Cause.OVERWRITTEN,
    "test_memory_layout::test_an_answer_is_no_window_on_the_argument": Cause.ALIAS,
    "test_unusual_matrices::test_one_window_of_all_elements_is_a_matrix_of_its_own": Cause.ALIAS,
    "test_calls::test_an_answer_stays_when_the_function_is_called_again": Cause.ALIAS,
    "test_calls::test_a_matrix_that_is_filled_anew_has_a_new_answer": Cause.REMEMBERS,
    "test_calls::test_another_grid_of_the_same_size_has_another_answer": Cause.REMEMBERS,
    "test_unusual_matrices::test_a_small_imaginary_part_counts": Cause.REAL_PART,
    "test_side_effects::test_no_global_generator_is_seeded": Cause.SIDE_EFFECT,
    "test_side_effects::test_settings_of_the_process_are_left_alone": Cause.SIDE_EFFECT,
    "test_side_effects::test_the_mode_of_torch_does_not_matter": Cause.MODE,
    "test_size::test_the_skew_part_does_not_count_at_any_size": Cause.NOT_HERMITIAN,
    "test_side_effects::test_the_hermitian_part_is_taken_in_every_mode": Cause.MODE,
    "test_side_effects::test_a_gradient_that_is_asked_for_does_not_change_the_answer": Cause.MODE,
    "test_memory_layout::test_the_layout_does_not_matter": Cause.MEMORY,
    "test_special_values::test_what_is_not_finite_shows": Cause.NAN_HIDDEN,
    "test_gap_sign::test_a_margin_of_zero_costs_nothing": Cause.EMPTY_SLOTS,
    "test_epoch_mean::test_a_loss_that_is_not_finite_shows": Cause.NAN_HIDDEN,
    "test_epoch_mean::test_losses_may_be_tensors_and_are_left_as_they_were": Cause.OVERWRITTEN,
    "test_special_values::test_an_order_is_a_whole_number_of_any_type": Cause.TRUNCATED,
    "test_size::test_matrices_of_any_order": Cause.SIZE,
    "test_special_values::test_real_and_whole_numbers_are_not_cut_to_size": Cause.TRUNCATED,
    "test_size::test_batches_of_any_size": Cause.BATCH,
    "test_size::test_any_number_of_steering_vectors": Cause.CHUNK,
    "test_size::test_steering_vectors_of_each_matrix": Cause.BATCH,
    "test_size::test_steering_vectors_of_any_norm": Cause.MODULUS,
    "test_size::test_equal_eigenvalues_on_either_side_of_an_open_gap": Cause.TIES,
    "test_scale::test_an_answer_is_right_at_any_scale": Cause.GUARD,
    "test_scale::test_the_skew_part_does_not_count_at_any_scale": Cause.GUARD,
    "test_steering_anywhere::test_many_directions_at_once": Cause.BATCH,
    "test_steering_anywhere::test_at_infinity_there_is_a_plane_wave_or_no_answer": Cause.GUARD,
    "test_derivatives::test_a_simple_eigenvalue_has_its_slope_beside_equal_ones": (
        Cause.DIVIDES_BY_GAPS
    ),
    "test_derivatives::test_the_slope_is_the_whole_slope": Cause.DETACHED,
    "test_derivatives::test_the_slope_by_the_steering_vectors": Cause.DETACHED,
    "test_derivatives::test_the_slope_of_a_steering_vector": Cause.DETACHED,
    "test_derivatives::test_the_second_derivative_is_kept_or_refused": Cause.SECOND,
}
"""Laws about one circumstance each, what explains more first."""


def _circumstance(decided: Mapping[str, bool]) -> Iterator[Diagnosis]:
    """What the red laws have in common, if each of them is about one circumstance."""
    red = [law for law, failed in decided.items() if failed]
    of_transforms = [law for law in red if law.startswith("test_transforms::")]
    known = [cause for law, cause in LAW_SYMPTOMS.items() if law in red]
    if len(known) + len(of_transforms) < len(red):
        return
    cause = known[0] if known else Cause.TRANSFORM
    story = "Every other law holds."
    yield Diagnosis(
        cause, "", story, (1 + known.count(cause) / len(red)) / 2 if known else 1.0, None
    )


def _by_hand(implementation: Implementation) -> bool:
    """Whether it answers a gradient that somebody wrote out."""
    if implementation.place not in NAMES:
        return False
    given = fresh(problem(acts.USUAL))
    try:
        return acts.writes_its_backward(implementation.place, implementation.function, given)
    except (*CALL_ERRORS, DoesNotApply):
        return False


def _symptoms(seen: list[Seen], implementation: Implementation) -> Iterator[Diagnosis]:
    """Where it is wrong, if it is right wherever nothing is out of the way."""
    # What it refuses it does not answer wrongly.
    seen = [one for one in seen if one.theirs is not None and one.ours is not None]
    for cause, story in INDEPENDENT.items():
        if any(cause in one.case.symptoms and not one.right() for one in seen):
            yield Diagnosis(cause, "", story, None, 1.0)
            return
    seen = [one for one in seen if one.case.eases is None]
    for tolerance in (SAME, ROUGHLY):
        usual = [one for one in seen if tolerance * one.case.condition < COARSE]
        wrong = [one.case for one in usual if not one.right(tolerance)]
        if all(one.case.symptoms for one in usual) or not all(case.symptoms for case in wrong):
            continue
        # A rounding here and there is not what is wrong, where there is more.
        wrong = [o.case for o in usual if not o.right(ROUGHLY) and o.case in wrong] or wrong
        values = [case for case in wrong if not set(case.symptoms) & set(ASIDE)]
        slopes = [o for o in usual if o.case in wrong and Cause.DETACHED in o.case.symptoms]
        if slopes and not values:
            chained = all(Cause.CHAIN_RULE in one.case.symptoms for one in slopes)
            said = [] if chained else list(turned(slopes))
            if not said and _by_hand(implementation):
                said = [Diagnosis(Cause.CHAIN_RULE, "", BY_HAND, None, LIKELY)]
            yield from said
            if said:
                return
        told = values or [one.case for one in slopes] or wrong
        yield from _explained(told, [one.case for one in usual])
        return


def _explained(wrong: list[Case], asked: list[Case]) -> Iterator[Diagnosis]:
    """What the wrong cases have in common, and the right ones have not."""
    every = Counter(cause for case in asked for cause in case.symptoms)
    for cause, count in Counter(cause for case in wrong for cause in case.symptoms).most_common():
        where = dict.fromkeys(case.where for case in wrong if cause in case.symptoms)
        story = f"It is right elsewhere and wrong here: {', '.join(where)}."
        share = count / len(wrong) * (3 + count / every[cause]) / 4
        # A second thing that is wrong makes the first less likely, not wrong.
        yield Diagnosis(cause, "", story, None, (1 + share) / 2)


def _eased(seen: list[Seen]) -> Iterator[Diagnosis]:
    """Where it is right, if it is wrong almost everywhere else."""
    values = [one for one in seen if not set(one.case.symptoms) & set((*DERIVED, *INDEPENDENT))]
    for one in values:
        others = [o for o in values if o.case.eases is None and not o.case.diagonal]
        if one.case.eases is not None and one.right() and one.theirs is not None and others:
            wrong = sum(not other.right() for other in others) / len(others)
            story = f"It is wrong elsewhere and right here: {one.case.where}."
            yield Diagnosis(one.case.eases, "", story, None, wrong)


def _likely(made: Iterable[Mistake], seen: list[Seen]) -> Iterator[Mistake]:
    """Those that answer as it does where it is wrong and nothing is out of the way: there are
    hundreds, most of them soon refuted."""
    wrong = [one for one in seen if not one.right() and one.theirs is not None]
    plain = [one for one in wrong if not one.case.symptoms][:1]
    for mistake in made:
        if all(same_numbers(_known(one.case, mistake.function), one.theirs) for one in plain):
            yield mistake


def _answered(
    made: Iterable[Mistake], seen: list[Seen], digits: float = 0.0, share: float = 0.0
) -> Iterator[Diagnosis]:
    """The mistakes that answer as it does, to the digits of a format.

    share: of the cases that has to be met, where there are hundreds: some are met by chance, or
    have some of a mistake in common.
    """
    for one in made:
        agree, telling = _agreement(seen, one.function, max(share, ENOUGH / ALONE), digits)
        # One number is soon met by chance.
        if telling > 1 and agree >= share * telling:
            yield Diagnosis(one.cause, "", one.story, None, agree / telling, telling)


def _bugs(seen: list[Seen], place: str, decided: Mapping[str, bool]) -> Iterator[Diagnosis]:
    # The catalogue imports every room: only where something is wrong.
    from ris_pipeline.verification.known_bugs import KNOWN_BUGS

    matrix = stored_matrix()
    for bug in KNOWN_BUGS:
        if bug.replaces == place and bug.key in matrix.red:
            alike = pattern(decided, matrix, bug)
            agree, telling = _agreement(seen, bug.function, 2 * ENOUGH - alike)
            numbers = agree / telling if telling else None
            yield Diagnosis(bug.cause, bug.name, bug.story, alike, numbers)


def pattern(decided: Mapping[str, bool], matrix: KillMatrix, bug: "KnownBug") -> float:
    """Red laws in common over red laws of either, among those that ran on the function and are in
    the matrix."""
    ran = {law for law in decided if law in matrix.laws}
    theirs, known = {law for law in ran if decided[law]}, ran & set(matrix.red[bug.key])
    either = theirs | known
    return len(theirs & known) / len(either) if either else 0.0


def _agreement(
    seen: Iterable[Seen], function: Callable[..., Any], required: float, digits: float = 0.0
) -> tuple[int, int]:
    """On how many of the fixed cases both answer alike, and on how many one of them answers
    otherwise than ours.

    required: the share that is of use; the cases end where it is out of reach; digits: relative
    distance of numbers that are alike.
    """
    agree, telling = 0, 0
    for one in seen:
        try:
            known = _known(one.case, function)
        except DoesNotApply:
            # A formula of a shape and a spacing knows regular panels alone.
            continue
        tolerance = max(SAME, digits * one.case.condition)
        if one.right(tolerance) and same_numbers(known, one.ours, tolerance):
            continue
        if one.theirs is None and known is None:
            # That both fail says little: a misspelt attribute fails everywhere.
            continue
        telling += 1
        agree += same_numbers(one.theirs, known, tolerance)
        if telling >= FIRST and agree < required * telling / 2:
            break
    return agree, telling
