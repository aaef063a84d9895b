"""The command `evaluate`."""

from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ris_pipeline._errors import InputError
from ris_pipeline._tables import plain_console
from ris_pipeline.cli._options import (
    ESTIMATORS,
    SWEEPS,
    Overrides,
    Preset,
    Seed,
    chosen,
    completed,
    listed,
    path,
)
from ris_pipeline.config import Scenario, check_used, parse_value

if TYPE_CHECKING:
    from ris_pipeline.evaluation import Estimator, Table

WORKERS = typer.Option(
    help="Processes.", show_default="2, or 1 without dask, which the extra cluster brings"
)


def evaluate(
    out: Annotated[
        Path,
        typer.Option(help="Folder for tables, figures and the units.", parser=path, metavar="PATH"),
    ],
    sweep: Annotated[
        list[str] | None,
        typer.Option(
            help=f"Property to vary, by default snr; may be given again: {', '.join(SWEEPS)}.",
            autocompletion=completed(SWEEPS),
        ),
    ] = None,
    battery: Annotated[str | None, typer.Option(help="Named set of tables: original.")] = None,
    values: Annotated[
        str | None, typer.Option(help="Values of the one sweep, e.g. -5,0,5; TOML or words.")
    ] = None,
    estimators: Annotated[
        str,
        typer.Option(help=f"Names, separated by commas, of {', '.join(ESTIMATORS)}; all: each."),
    ] = "all",
    model: Annotated[
        str | None,
        typer.Option(help="A trained model beside them: its name, or the path of its file."),
    ] = None,
    number: Annotated[
        str, typer.Option(help="Number of sources: known, estimated, or both with a comma.")
    ] = "known,estimated",
    scenes: Annotated[int, typer.Option(help="Scenes of a cell.")] = 1000,
    preset: Preset = "reference",
    set_: Overrides = None,
    seed: Seed = None,
    workers: Annotated[int | None, WORKERS] = None,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler, instead of local processes.")
    ] = None,
    resume: Annotated[
        bool, typer.Option("--resume", help="Keep the units in OUT; start where there are none.")
    ] = False,
) -> None:
    """Monte-Carlo runs: sources found, errors against the bound.

    Every estimator locates --scenes of every cell, told the number of sources and not: --sweep snr
    is 7 cells x 10 series x 1000 scenes = 70000, an hour of one core. The number of scenes is
    printed before it starts; Ctrl-C keeps what is done, and --resume goes on.

    Exit code 1 if an estimator failed in some cell: the others are in the tables.
    """
    from ris_pipeline.commands.evaluate import run_evaluation
    from ris_pipeline.evaluation.plan import Evaluation, make_series

    check_used(set_ or (), "evaluate", ("scenario", "seed"))
    settings = chosen(preset, set_, seed)
    tables = _tables(settings.scenario, sweep, battery, values)
    wanted, known = _estimators(estimators, model, tables)
    series = make_series(wanted, listed(number), known)
    evaluation = Evaluation(tables, series, settings.seed, scenes, known)
    if workers is None:
        workers = 2 if find_spec("distributed") else 1
    if not run_evaluation(plain_console(), out, evaluation, workers, scheduler, resume):
        raise typer.Exit(1)


def _tables(
    scenario: Scenario, sweep: Sequence[str] | None, battery: str | None, values: str | None
) -> "tuple[Table, ...]":
    """The tables that are asked for.

    Raises:
        InputError: values of several sweeps, or of none.
    """
    from ris_pipeline import evaluation as room

    names = sweep or ([] if battery else ["snr"])
    if values is not None and len(names) != 1:
        raise InputError(f"values = {values!r}: allowed with one sweep, not with {len(names)}")
    places = [] if values is None else [parse_value(text) for text in values.split(",")]
    tables = [room.sweep(name, scenario, places) for name in names]
    return (*tables, *(room.battery(battery, scenario) if battery else ()))


def _estimators(
    names: str, model: str | None, tables: "Sequence[Table]"
) -> "tuple[list[str], dict[str, Estimator]]":
    """The names that are asked for, and all that are known: with a model, the network's too.

    Raises:
        InputError: no such model, or one that was trained for other scenes than those of a table.
    """
    from ris_pipeline import evaluation as room
    from ris_pipeline.learning import find_model

    wanted = list(ESTIMATORS) if names == "all" else listed(names)
    known = dict(room.ESTIMATORS)
    if model is not None:
        learned = room.Learned.of(find_model(model))
        for cell in (cell for table in tables for cell in table.cells):
            learned.check(cell.receiver_scenario or cell.scenario)
        known[learned.name] = learned
        wanted.append(learned.name)
    return wanted, known
