"""The kill matrix as it is stored: which law turns red with which known bug.

Apart from `kill_matrix`, which measures it and therefore imports every bug and what it replaces.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

STORED = Path(__file__).with_name("kill_matrix.json")


@dataclass(frozen=True)
class KillMatrix:
    """laws: `file::test` -> names it looks up; red: key of a bug -> laws that turn red."""

    laws: dict[str, tuple[str, ...]]
    red: dict[str, tuple[str, ...]]

    def to_json(self, causes: Mapping[str, str]) -> str:
        """The stored form: `{"laws": {law: {"uses"}}, "bugs": {key: {"cause", "red"}}}`."""
        bugs = {key: {"cause": cause, "red": list(self.red[key])} for key, cause in causes.items()}
        laws = {law: {"uses": list(names)} for law, names in self.laws.items()}
        return json.dumps({"laws": laws, "bugs": bugs}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "KillMatrix":
        """The inverse of `to_json`; causes are the catalogue's."""
        stored = json.loads(text)
        return cls(
            {law: tuple(entry["uses"]) for law, entry in stored["laws"].items()},
            {key: tuple(entry["red"]) for key, entry in stored["bugs"].items()},
        )


@cache
def stored_matrix() -> KillMatrix:
    """The kill matrix of the catalogue."""
    return KillMatrix.from_json(STORED.read_text(encoding="utf-8"))
