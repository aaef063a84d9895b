"""The kill matrix as it is stored: which law turns red with which known bug.

Apart from `kill_matrix`, which measures it and therefore imports every bug and what it replaces.
"""

import json
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path

STORED = Path(__file__).with_name("kill_matrix.json")


@dataclass(frozen=True)
class KillMatrix:
    """laws: `file::test` -> names it looks up; red: key of a bug -> laws that turn red, and the
    example that did it."""

    laws: dict[str, tuple[str, ...]]
    red: dict[str, dict[str, int]]

    def witnesses(self, each: int) -> dict[str, tuple[str, ...]]:
        """Key of a bug -> the `each` laws that see it first.

        A law that sees no bug that early stands with the bug that it sees first, there in place of
        one that stands with another bug too.
        """
        chosen = {
            key: set(sorted(red, key=lambda law: (red[law], law))[:each])
            for key, red in self.red.items()
        }
        for law in self.laws.keys() - set().union(*chosen.values()):
            seen = {key: red[law] for key, red in self.red.items() if law in red}
            if seen:
                chosen[min(seen, key=lambda key: (seen[key], key))].add(law)
        stands = Counter(law for laws in chosen.values() for law in laws)
        for laws in chosen.values():
            for law in sorted(laws):
                if len(laws) > each and stands[law] > 1:
                    laws.remove(law)
                    stands[law] -= 1
        return {key: tuple(sorted(laws)) for key, laws in chosen.items()}

    def to_json(self, causes: Mapping[str, str]) -> str:
        """The stored form: `{"laws": {law: {"uses"}}, "bugs": {key: {"cause", "red"}}}`, where
        `red` is `{law: example}`."""
        bugs = {key: {"cause": cause, "red": self.red[key]} for key, cause in causes.items()}
        laws = {law: {"uses": list(names)} for law, names in self.laws.items()}
        return json.dumps({"laws": laws, "bugs": bugs}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "KillMatrix":
        """The inverse of `to_json`; causes are the catalogue's."""
        stored = json.loads(text)
        return cls(
            {law: tuple(entry["uses"]) for law, entry in stored["laws"].items()},
            {key: dict(entry["red"]) for key, entry in stored["bugs"].items()},
        )


@cache
def stored_matrix() -> KillMatrix:
    """The kill matrix of the catalogue."""
    return KillMatrix.from_json(STORED.read_text(encoding="utf-8"))
