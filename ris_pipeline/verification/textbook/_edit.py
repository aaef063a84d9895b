"""A slip of a formula: what is written for what, and the mistake that it is."""

from dataclasses import dataclass

from ris_pipeline.verification.cause import Cause


@dataclass(frozen=True)
class Edit:
    """A slip; names: of the functions it is made in, by default any."""

    cause: Cause
    old: str
    new: str
    names: tuple[str, ...] = ()
