"""From a file to sources, and scenes into files."""

from pathlib import Path

from rich.console import Console
from rich.progress import Progress

from ris_pipeline._errors import InputError, check_choice, printable
from ris_pipeline._files import check_output, json_text
from ris_pipeline._validation import check_range
from ris_pipeline.data import (
    SUFFIXES,
    OwnCovariance,
    read_measurements,
    write_csv,
    write_mat,
    write_scenes,
    write_store,
)
from ris_pipeline.evaluation.estimators import ESTIMATORS
from ris_pipeline.localization import Estimates, locate_from_covariance
from ris_pipeline.scene import SceneSet

_AT_ONCE = 1024

_MOST_IN_ONE_FILE = 20_000
"""Scenes of one file, which is made in memory; more go into a folder."""


def locate_file(path: Path, number: int | None, estimator: str, method: str) -> Estimates:
    """Sources of the measurements, or of the covariance, in a file.

    Raises:
        InputError: as `read_measurements`, the estimator and `locate_from_covariance`.
    """
    check_choice("estimator", estimator, ESTIMATORS)
    data = read_measurements(path)
    if isinstance(data, OwnCovariance):
        return locate_from_covariance(data.covariance, data.scenario, number, method)  # type: ignore[arg-type]
    return ESTIMATORS[estimator](data, number)


def run_locate(
    path: Path,
    number: int | None,
    estimator: str,
    method: str,
    as_json: bool,
    csv: Path | None,
    mat: Path | None,
) -> str:
    """What `ris-pipeline locate` prints.

    Raises:
        InputError: as `locate_file`; two kinds of output, or one that cannot be written.
    """
    chosen = [name for name, on in (("--json", as_json), ("--csv", csv), ("--mat", mat)) if on]
    if len(chosen) > 1:
        raise InputError(f"{' and '.join(chosen)}: allowed is one of --json, --csv and --mat")
    if csv is not None:
        check_output("--csv", csv, (".csv",), [path])
    if mat is not None:
        check_output("--mat", mat, (".mat",), [path])
    found = locate_file(path, number, estimator, method)
    if as_json:
        return json_text(found.to_dict())
    if csv is not None:
        write_csv(csv, found)
    elif mat is not None:
        write_mat(mat, found)
    else:
        return repr(found)
    return f"{printable(csv or mat)}: {found.summary()}"


def run_simulate(console: Console, out: Path, scenes: SceneSet, shard: int, matlab: str) -> None:
    """Write scenes: one file by its suffix, or a folder of shards.

    Raises:
        InputError: a suffix that is none of ours, too many scenes for one file, fewer than one, or
            what cannot be written.
    """
    check_range("scenes", scenes.size, 1, 10**9)
    if out.suffix:
        check_choice("suffix of OUT", out.suffix, (*SUFFIXES, "none (a folder)"))
        check_output("OUT", out, SUFFIXES, [scenes.scenario.panel_file])
        if scenes.size > _MOST_IN_ONE_FILE:
            raise InputError(
                f"scenes = {scenes.size}: allowed in one file are {_MOST_IN_ONE_FILE}; name a "
                "folder"
            )
        write_scenes(out, list(scenes.batches(_AT_ONCE)), matlab)
        console.print(f"{printable(out)}: {scenes.size} scenes", highlight=False, soft_wrap=True)
        return
    try:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("simulating", total=scenes.size)
            store = write_store(out, scenes, shard, lambda done: bar.advance(task, done))
    except KeyboardInterrupt:
        console.print(
            f"stopped: the files in {printable(out)} are kept: the same command goes on",
            highlight=False,
            soft_wrap=True,
        )
        raise
    total = sum(entry["bytes"] for entry in store.manifest["shards"])
    console.print(
        f"{printable(out)}: {store.size} scenes in {len(store.manifest['shards'])} files, "
        f"{total / 1e6:.0f} MB",
        highlight=False,
        soft_wrap=True,
    )
