"""An evaluation seen from a terminal: progress, tables, CSV files and figures."""

from collections.abc import Sequence
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from ris_pipeline._files import json_text, write_text
from ris_pipeline._validation import check_range
from ris_pipeline.evaluation import Missing, Table, Task, UnitStore, check_workers, run_tasks
from ris_pipeline.evaluation.plan import Evaluation, check_folder, check_once
from ris_pipeline.evaluation.results import Compared, Line, Results
from ris_pipeline.report.evaluation_figures import (
    Curve,
    comparison_figure,
    curves_figure,
    heat_map_figure,
)
from ris_pipeline.report.evaluation_tables import (
    TIMINGS,
    comparison_csv,
    csv_text,
    shown_comparison,
    shown_table,
    table_csv,
)
from ris_pipeline.report.figures import save_figure
from ris_pipeline.report.run_folder import RunFolder

_PRINTED = 60
"""Lines from which on a table is left to its CSV file."""


def run_evaluation(
    console: Console,
    out: Path,
    evaluation: Evaluation,
    workers: int = 2,
    scheduler: str | None = None,
    resume: bool = False,
) -> bool:
    """Run what is missing, then write one CSV and one PNG a table, `comparison.csv` and its figure
    where there is something to compare, and `timings.csv`.

    All but `timings.csv` are the same to the last byte whatever the number of workers.

    Returns:
        Whether no unit failed; one that an estimator refused has not failed.

    Raises:
        InputError: fewer than one scene, a folder that holds another evaluation or cannot be
            written, workers or a scheduler that cannot be had.
    """
    check_range("scenes", evaluation.scenes, 1, 10**7)
    check_workers(workers)
    check_once("sweep", [table.name for table in evaluation.tables])
    folder = RunFolder(out)
    with folder.held():
        check_folder(folder.path, evaluation, resume)
        return _evaluate(console, folder, evaluation, workers, scheduler)


def _evaluate(
    console: Console,
    folder: RunFolder,
    evaluation: Evaluation,
    workers: int,
    scheduler: str | None,
) -> bool:
    write_text(folder.path / "plan.json", json_text(evaluation.described()) + "\n")
    store = UnitStore(folder.path / "units")
    missing = _run(console, store, evaluation, workers, scheduler)
    results = Results(evaluation, store, missing)
    compared: list[Compared] = []
    for table in evaluation.tables:
        _write_table(console, folder.path, table, list(results.lines(table)))
        compared += results.comparison(table)
    if compared:
        write_text(folder.path / "comparison.csv", comparison_csv(compared))
        save_figure(comparison_figure(compared), folder.path / "comparison.png")
        console.print(shown_comparison(compared))
    timings = [line for table in evaluation.tables for line in results.timings(table)]
    write_text(folder.path / "timings.csv", csv_text(TIMINGS, timings))
    return _report_missing(console, missing)


def _run(
    console: Console,
    store: UnitStore,
    evaluation: Evaluation,
    workers: int,
    scheduler: str | None,
) -> dict[Task, Missing]:
    tasks = evaluation.tasks()
    for why in store.damaged(tasks):
        console.print(
            f"computed again: {why}", style="yellow", markup=False, highlight=False, soft_wrap=True
        )
    done = sum(task in store for task in tasks)
    cells = len({(task.scenario, task.receiver_scenario) for task in tasks})
    scenes = sum(task.stop - task.start for task in tasks)
    console.print(
        f"{cells} cells x {len(evaluation.series)} series: {scenes} scenes to locate in "
        f"{len(tasks)} units, {done} of them done",
        highlight=False,
    )
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeRemainingColumn(),
    )
    finished = done

    def advance(task: Task) -> None:
        nonlocal finished
        finished += 1
        progress.advance(bar)

    try:
        with Progress(
            *columns, console=console, transient=True, disable=not console.is_terminal
        ) as progress:
            bar = progress.add_task("units of scenes", total=len(tasks), completed=done)
            return run_tasks(tasks, store, workers, scheduler, advance, evaluation.estimators)
    except KeyboardInterrupt:
        console.print(
            f"{finished} of {len(tasks)} units are kept: --resume goes on with the rest",
            highlight=False,
            soft_wrap=True,
        )
        raise


def _report_missing(console: Console, missing: dict[Task, Missing]) -> bool:
    said = dict.fromkeys(
        (
            f"{'refused' if why.refused else 'FAILED'}: {task.estimator}, number "
            f"{'known' if task.known else 'estimated'}, {_described(task)}: {why.reason}"
        )
        for task, why in missing.items()
    )
    for line in said:
        console.print(line, markup=False, highlight=False, soft_wrap=True)
    return all(why.refused for why in missing.values())


def _described(task: Task) -> str:
    s = task.scenario
    return (
        f"scenes {task.start}..{task.stop - 1} of sources {_range(s.sources)}, "
        f"SNR {_range(s.snr_db)} dB, L {s.codes}, T {s.blocks}, {s.codebook}"
    )


def _range(ends: Sequence[float]) -> str:
    return f"{ends[0]:g}" if ends[0] == ends[1] else f"{ends[0]:g}..{ends[1]:g}"


def _write_table(console: Console, folder: Path, table: Table, lines: Sequence[Line]) -> None:
    write_text(folder / f"{table.name}.csv", table_csv(lines))
    curves = [
        Curve(series, [(n.value, n.second, n.row) for n in lines if n.series == series])
        for series in dict.fromkeys(line.series for line in lines)
    ]
    draw = heat_map_figure if any(line.second for line in lines) else curves_figure
    save_figure(draw(table.name, table.axis, curves), folder / f"{table.name}.png")
    if len(lines) < _PRINTED:
        console.print(shown_table(table, lines))
    else:
        path = str(folder / f"{table.name}.csv")
        console.print(
            f"{table.name}: {len(lines)} lines, see {path!r}", highlight=False, soft_wrap=True
        )
