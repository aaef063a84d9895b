"""The command line: parses, calls, prints.

Exit codes: 0 done, 1 a run that failed its own check, 2 bad input (one line on stderr), 130 Ctrl-C,
143 SIGTERM.
"""

import os
import signal
import sys
from collections.abc import Sequence
from typing import Annotated

import typer

from ris_pipeline._errors import InputError, RunFailed
from ris_pipeline._version import __version__
from ris_pipeline.cli import checking, data, evaluating, learning
from ris_pipeline.cli._process import (
    check_ranks,
    fail,
    fail_if_deaf,
    say_what_can_be_said,
    stopped_by_sigterm,
    usage_line,
)

__all__ = ["app", "main"]

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    # Plain help: as narrow as the terminal, the same in a pipe and in a file.
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Locate radio sources in the near field of a RIS, and verify the learning behind it.",
    epilog="`ris-pipeline COMMAND -h` says what a command takes and how long it runs.",
)

for _command in (
    learning.demo,
    learning.train,
    learning.overfit,
    learning.tune,
    learning.scales,
    learning.presets,
    learning.localize,
    data.locate,
    data.simulate,
    data.calibrate,
    evaluating.evaluate,
    checking.verify,
    checking.doctor,
    checking.report,
):
    app.command()(_command)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit the process."""
    # Read by OpenMP when torch is loaded. Threads that spin while they wait made training on a
    # busy two-core machine four times slower than threads that sleep.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    say_what_can_be_said()
    command = typer.main.get_command(app)
    try:
        check_ranks()
        with stopped_by_sigterm() as received:
            code = command.main(
                args=list(arguments) if arguments is not None else None,
                prog_name="ris-pipeline",
                standalone_mode=False,
            )
        sys.stdout.flush()
    except InputError as error:
        fail(str(error))
    except RunFailed as error:
        fail(str(error), code=1)
    except typer.TyperException as error:
        fail(usage_line(error))
    except OSError:
        fail_if_deaf()
        raise
    else:
        stopped = 128 + signal.SIGTERM if received else code
        sys.exit(stopped if isinstance(stopped, int) else 0)
