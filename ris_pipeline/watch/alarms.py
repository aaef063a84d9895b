"""The alarms: their catalogue, and one that was raised."""

import functools
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files


@dataclass(frozen=True)
class Kind:
    """An entry of the catalogue.

    family: terms, spectral, bookkeeping, optimiser or data; rule: when it is raised, with the
    source of each threshold; why: what is wrong; cause: the likely one; remedy: the smallest thing
    to try; after: alarms of the same cause, after which it is not raised.
    """

    name: str
    family: str
    rule: str
    why: str
    cause: str
    remedy: str
    after: Sequence[str] = ()


@functools.cache
def kinds() -> Mapping[str, Kind]:
    """The catalogue, by name."""
    text = files("ris_pipeline.watch").joinpath("alarms.toml").read_text(encoding="utf-8")
    return {
        name: Kind(name, family, **entry)
        for family, entries in tomllib.loads(text).items()
        for name, entry in entries.items()
    }


@dataclass(frozen=True)
class Alarm:
    """One alarm of a run: what was seen, and where (epoch and step count from 1)."""

    name: str
    seen: str
    epoch: int
    step: int

    @property
    def kind(self) -> Kind:
        """Its entry in the catalogue."""
        return kinds()[self.name]

    def record(self) -> dict[str, str | int]:
        """For the journal."""
        kind = self.kind
        return {
            "name": self.name,
            "family": kind.family,
            "epoch": self.epoch,
            "step": self.step,
            "seen": self.seen,
            "why": kind.why,
            "cause": kind.cause,
            "remedy": kind.remedy,
        }

    def line(self) -> str:
        """`[ALARM] name (epoch 1, step 7): seen. Why. Cause: ... Try: ...`"""
        kind = self.kind
        return (
            f"[ALARM] {self.name} (epoch {self.epoch}, step {self.step}): {self.seen}. "
            f"{kind.why} Cause: {kind.cause} Try: {kind.remedy}"
        )
