"""What the process of a command owes its caller: one line for an error, an exit code, signals."""

import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, NoReturn

import typer
from pydantic import ValidationError

from ris_pipeline._errors import InputError, one_line, shown


def usage_line(error: typer.TyperException) -> str:
    """The parser's message on one line, with the options that exist when one does not."""
    full = getattr(error, "format_message", error.__str__)
    message = " ".join(full().split())
    context: Any = getattr(error, "ctx", None)
    if hasattr(error, "option_name") and context is not None:
        known = sorted(o for p in context.command.params for o in p.opts if o.startswith("--"))
        message += f"; allowed are {', '.join(known)}"
    elif message.startswith("No such command"):
        message += f"; allowed are {', '.join(sorted(context.command.commands))}"
    if isinstance(error.__cause__, ValidationError):
        message += f": got {error.__cause__.errors()[0]['input']!r}"
    return one_line(message)


def say_what_can_be_said() -> None:
    """A terminal that lacks a character shows a question mark."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextmanager
def stopped_by_sigterm() -> Iterator[list[int]]:
    """SIGTERM ends a command as Ctrl-C does, everything put away; the list then holds it."""
    received: list[int] = []
    # One process of several may wait for the others where no handler is ever called: torchrun has
    # to be able to end it. Files are written whole either way.
    launched = "RANK" in os.environ or "LOCAL_RANK" in os.environ
    if launched or threading.current_thread() is not threading.main_thread():
        yield received
        return

    def stop(number: int, _: object) -> None:
        received.append(number)
        raise KeyboardInterrupt

    old = signal.signal(signal.SIGTERM, stop)
    try:
        yield received
    finally:
        signal.signal(signal.SIGTERM, old)


_RANKS = (
    *("RANK", "LOCAL_RANK", "GROUP_RANK", "NODE_RANK", "WORLD_SIZE", "MASTER_PORT"),
    *("SLURM_PROCID", "SLURM_LOCALID", "SLURM_NODEID", "SLURM_NTASKS"),
)


def check_ranks() -> None:
    """Raise `InputError` for a launcher's variable that is no number; Lightning reads some of them
    when it is imported."""
    for name in _RANKS:
        value = os.environ.get(name, "0")
        if not (value.isascii() and value.isdigit() and len(value) < 10):
            raise InputError(f"{name} = {shown(value)} in the environment: allowed is a number")


def fail_if_deaf() -> None:
    """End with one line if standard output takes nothing."""
    try:
        sys.stdout.write("\n")
        sys.stdout.flush()
    except OSError as error:
        # What is left would be tried again when the process ends.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        if error.errno == errno.EPIPE:
            # Who reads has enough: `ris-pipeline ... | head`.
            sys.exit(1)
        fail(f"standard output cannot be written: {error.strerror}")


def fail(message: str, code: int = 2) -> NoReturn:
    """End with one line on standard error."""
    typer.echo(f"error: {message}", err=True)
    sys.exit(code)
