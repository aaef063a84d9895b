"""What `ris-pipeline verify` does."""

import json
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

from rich.console import Console
from rich.text import Text

from ris_pipeline._errors import InputError, check_choice
from ris_pipeline._tables import plain_console
from ris_pipeline._version import __version__
from ris_pipeline.verification.supervisor import supervise
from ris_pipeline.verification.titles import plain


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What the command line asks for."""

    target: str
    name: str | None = None
    examples: int = 100
    domain: str = ""
    backend: str | None = None
    batched: bool | None = None
    conventions: Sequence[str] = ()
    skip: Sequence[str] = ()
    expected: Sequence[str] = ()
    timeout: float = 30.0
    processes: int = 2
    as_json: bool = False

    def request(self, width: int, colour: bool) -> dict[str, Any]:
        """The same as plain values.

        Raises:
            InputError: a value that is not allowed.
        """
        if self.backend is not None:
            check_choice("backend", self.backend, ("torch", "numpy"))
        for name, value in (("examples", self.examples), ("timeout", self.timeout)):
            if not 0 < value < float("inf"):
                raise InputError(f"{name} = {value}: allowed is a number above 0")
        return {
            "target": self.target,
            "name": self.name,
            "examples": self.examples,
            "domain": self.domain,
            "backend": self.backend,
            "batched": self.batched,
            "conventions": list(self.conventions),
            "skip": list(self.skip),
            "expected": dict(map(_reasoned, self.expected)),
            "processes": self.processes,
            "json": self.as_json,
            "width": width,
            "colour": colour,
        }


def _reasoned(text: str) -> tuple[str, str]:
    law, equals, reason = text.partition("=")
    if not equals or not reason.strip():
        raise InputError(f"expect-failure = {text!r}: expected is LAW=reason")
    return law, reason


def run(console: Console, asked: Asked) -> int:
    """Print the verdict on a target; the exit code.

    Raises:
        InputError: the target cannot be judged, or a package is missing; as JSON where that is
            asked for, it is printed too.
    """
    for package in ("hypothesis", "pytest"):
        if find_spec(package) is None:
            raise InputError(f"verify needs {package}: pip install 'ris-pipeline[verify]'")
    try:
        colour = console.is_terminal and not console.no_color
        request = asked.request(console.width, colour)
        with _Progress() as progress:
            answer = supervise(request, asked.timeout, progress)
    except InputError as error:
        if asked.as_json:
            failed = {"version": __version__, "target": asked.target, "error": str(error)}
            console.file.write(json.dumps(failed, indent=2, allow_nan=False) + "\n")
            console.file.flush()
        raise
    console.file.write(answer["text"])
    console.file.flush()
    return int(answer["code"])


class _Progress:
    """What is running, on standard error, where a person looks at it."""

    def __init__(self) -> None:
        self._console = plain_console(stderr=True)
        self._status = self._console.status("starting")

    def __enter__(self) -> "_Progress":
        if self._console.is_terminal and sys.stdout.isatty():
            self._status.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._status.stop()

    def __call__(self, what: str) -> None:
        self._status.update(Text(plain(what.partition("::")[2]) or what))
