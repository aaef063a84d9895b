"""From a file to sources, and scenes into files."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from ris_pipeline._errors import InputError, check_choice, printable, shown
from ris_pipeline._files import check_output, json_text
from ris_pipeline._validation import check_range
from ris_pipeline.data import (
    SHARD,
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


def locate_file(
    path: Path, number: int | None, estimator: str | None, method: str | None
) -> Estimates:
    """Sources of the measurements, or of the covariance, in a file.

    Args:
        estimator: for measurements; None: maximum likelihood.
        method: for a covariance; None: music.

    Raises:
        InputError: as `read_measurements`, the estimator and `locate_from_covariance`; an estimator
            for a covariance, or a method for measurements.
    """
    chosen = "maximum_likelihood" if estimator is None else estimator
    check_choice("estimator", chosen, ESTIMATORS)
    data = read_measurements(path)
    if isinstance(data, OwnCovariance):
        _check_unused("estimator", estimator, "measurements, and method with a covariance")
        spectrum: Any = "music" if method is None else method
        return locate_from_covariance(data.covariance, data.scenario, number, spectrum)
    _check_unused("method", method, "a covariance, and estimator with measurements")
    return ESTIMATORS[chosen](data, number)


def _check_unused(name: str, value: object, where: str) -> None:
    """Raise `InputError` for an option that nothing would come of."""
    if value is not None:
        raise InputError(f"{name} = {shown(value)}: allowed with {where}")


def run_locate(
    path: Path,
    number: int | None,
    estimator: str | None,
    method: str | None,
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


def run_simulate(
    console: Console, out: Path, scenes: SceneSet, shard: int | None, matlab: str | None
) -> None:
    """Write scenes: one file by its suffix, or a folder of shards.

    Args:
        shard: scenes of each file in a folder; None: as `write_store`.
        matlab: version of a .mat file; None: 5.

    Raises:
        InputError: one of these for another kind of output, a suffix that is none of ours, too many
            scenes for one file, fewer than one, or what cannot be written.
    """
    check_range("scenes", scenes.size, 1, 10**9)
    if out.suffix != ".mat":
        _check_unused("matlab", matlab, "a file named .mat")
    if out.suffix:
        _check_unused("shard", shard, "a folder")
        check_choice("suffix of OUT", out.suffix, (*SUFFIXES, "none (a folder)"))
        check_output("OUT", out, SUFFIXES, [scenes.scenario.panel_file])
        if scenes.size > _MOST_IN_ONE_FILE:
            raise InputError(
                f"scenes = {scenes.size}: allowed in one file are {_MOST_IN_ONE_FILE}; name a "
                "folder"
            )
        write_scenes(out, list(scenes.batches(_AT_ONCE)), matlab or "5")
        console.print(f"{printable(out)}: {scenes.size} scenes", highlight=False, soft_wrap=True)
        return
    try:
        with Progress(console=console, transient=True, disable=not console.is_terminal) as bar:
            task = bar.add_task("simulating", total=scenes.size)
            each = SHARD if shard is None else shard
            store = write_store(out, scenes, each, lambda done: bar.advance(task, done))
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
