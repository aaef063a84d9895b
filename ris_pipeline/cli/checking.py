"""Commands that judge: verify, doctor, report."""

from pathlib import Path
from typing import Annotated

import typer

from ris_pipeline._tables import plain_console
from ris_pipeline._verified import VERIFIED
from ris_pipeline.cli._options import DOMAINS, completed

TARGET = typer.Argument(
    help="package.module, path/to/file.py, module:object or module:function=name."
)
ROLE = typer.Option(
    "--as",
    help=f"What the function is: {', '.join(VERIFIED)}.",
    autocompletion=completed(list(VERIFIED)),
)


def verify(
    target: Annotated[str, TARGET],
    name: Annotated[str | None, ROLE] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    examples: Annotated[int, typer.Option(help="Examples a law.")] = 100,
    domain: Annotated[
        str, typer.Option(help=f"What it takes, several with commas: {', '.join(DOMAINS)}.")
    ] = "",
    backend: Annotated[str | None, typer.Option(help="torch or numpy, if not both.")] = None,
    batched: Annotated[
        bool | None,
        typer.Option("--batched/--single", help="Whether it takes leading batch axes."),
    ] = None,
    convention: Annotated[
        list[str] | None,
        typer.Option(help="In what it differs from ours, e.g. degrees; may be given again."),
    ] = None,
    skip: Annotated[
        list[str] | None, typer.Option(metavar="LAW", help="A law to leave out.")
    ] = None,
    expect_failure: Annotated[
        list[str] | None, typer.Option(metavar="LAW=REASON", help="A law that has to fail.")
    ] = None,
    timeout: Annotated[float, typer.Option(help="Seconds that the import or a law may take.")] = 30,
    processes: Annotated[int, typer.Option(help="Laws at a time.")] = 2,
) -> None:
    """Run every law about your function, or your module's.

    A function takes from some seconds to a minute, unless --examples says more.

    Exit code 0: it holds; 1: a law fails; 2: it cannot be judged; 3: it is right under another
    convention, which it does not state.
    """
    from ris_pipeline.verification import command

    asked = command.Asked(
        target=target,
        name=name,
        examples=examples,
        domain=domain,
        backend=backend,
        batched=batched,
        conventions=convention or (),
        skip=skip or (),
        expected=expect_failure or (),
        timeout=timeout,
        processes=processes,
        as_json=as_json,
    )
    code = command.run(plain_console(), asked)
    if code:
        raise typer.Exit(code)


def doctor(
    run: Annotated[
        Path | None,
        typer.Argument(help="A run's folder, a journal, or a text log; none: the installation."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Go through the checklist of a healthy run.

    Exit code 1 if something is wrong.
    """
    from ris_pipeline.commands.doctor import run_doctor

    if not run_doctor(plain_console(), run, as_json):
        raise typer.Exit(1)


def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders of train, demo or evaluate.")
    ],
    out: Annotated[Path, typer.Option(help="The HTML file; replaced.")] = Path("report.html"),
    draws: Annotated[
        int, typer.Option(help="Draws of the noise for the error ellipses; 0: none.")
    ] = 100,
) -> None:
    """Draw one page of a run, or of several side by side.

    One HTML file that needs nothing else.
    """
    from ris_pipeline.commands.report import run_report

    run_report(plain_console(), runs, out, draws)
