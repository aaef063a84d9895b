"""What an entry of the catalogue holds."""

from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class Cause(StrEnum):
    """The mistake itself, in the field's words: bugs of different functions share one."""

    ASCENDING = "ascending order"
    UNSORTED = "eigenvectors unsorted"
    SINGULAR_FOR_EIGEN = "singular values for eigenvalues"
    EIGEN_FOR_SINGULAR = "eigenvalues for singular values"
    OFF_BY_ONE = "off by one in k"
    NOT_HERMITIAN = "not Hermitian first"
    CONJUGATED = "conjugated"
    ROWS = "rows for columns"
    OTHER_SUBSPACE = "signal and noise subspace exchanged"
    NOT_ORTHONORMAL = "basis not orthonormal"
    DETACHED = "detached"
    DIVIDES_BY_GAPS = "gradient divides by zero at ties"
    CLIPPED = "negative eigenvalues clipped"
    SINGLE = "single precision inside"
    CANCELLATION = "digits lost in a difference"
    SIGN = "sign or order of a difference swapped"
    SUM_FOR_MEAN = "sum for mean"
    MEAN_TOO_EARLY = "mean taken before the hinge"
    NEVER_RESTS = "hinge without its zero zone"
    HALF = "factor of two"
    SCALE = "not normalised, or to the wrong size"
    ROOT = "square or root forgotten"
    RECIPROCAL = "reciprocal or inverse forgotten"
    LOADING_ADDED = "loading slipped in"
    LOADING_LOST = "loading left out"
    BROADCAST = "broadcast over every entry"
    BATCH = "batch axis lost or mixed"
    MEMORY = "memory layout ignored"
    OVERWRITTEN = "argument overwritten"
    OFF_CENTRE = "half an element off centre"
    AXES = "axes swapped"
    UNITS = "metres for wavelengths"
    DEGREES = "degrees for radians"
    ZENITH = "angle from another axis"
    CURVATURE = "wrong curvature of the wavefront"
    CHAIN_RULE = "chain rule broken off"
    DECIBELS = "decibels of power and of amplitude"
    ROUNDED = "rounded down"
    FENCEPOST = "end point counted twice"
    MODULUS = "modulus not one"
    REAL_PART = "real part only"
    UNMATCHED = "sources not matched"
    GREEDY = "matched greedily"
    EMPTY_SLOTS = "empty slots counted"
    WRAP = "angle not wrapped"
    ZERO_TERM = "constant zero"
    LOGARITHM = "logarithm against metres"
    STEP_BLOCK = "summed in the wrong block"
    LAST_GROUP = "last group mishandled"
    NAN = "NaN poisons the sum"
    NAN_HIDDEN = "NaN hidden"
    TRANSFORM = "lost under a transform"
    EXHAUSTED = "iterator read twice"
    MUTE = "nothing logged"
    SIZE = "right for small sizes only"
    CHUNK = "last chunk lost"
    TIES = "equal values taken for one"
    GUARD = "a guard or a limit inside"
    TRUNCATED = "numbers of another type cut to size"
    ALIAS = "answers with the memory of its argument"
    SECOND = "second derivative lost"
    SIDE_EFFECT = "changes the process around it"
    RANDOM = "another answer each time"
    MODE = "depends on the mode of torch"
    RANGE = "cut to a range"


@dataclass(frozen=True)
class KnownBug:
    """A wrong implementation.

    number: of the post-mortem, 1 to 5, or 0 for a bug met or to be expected elsewhere; replaces: a
    name in `target.PLACES`; story: where it happened, or why it is likely.
    """

    name: str
    number: int
    replaces: str
    function: Callable[..., Any]
    cause: Cause
    story: str

    @property
    def key(self) -> str:
        """`function@what it replaces`, unique in the catalogue."""
        return f"{self.name}@{self.replaces}"


def known_bug(
    replaces: str,
    cause: Cause,
    function: Callable[..., Any],
    story: str,
    *,
    number: int = 0,
    name: str | None = None,
) -> KnownBug:
    """An entry, named after its function."""
    return KnownBug(name or function.__name__, number, replaces, function, cause, story)
