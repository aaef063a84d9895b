"""Commands about files of measurements, scenes and panels: locate, simulate, calibrate."""

from pathlib import Path
from typing import Annotated

import typer

from ris_pipeline._errors import check_choice
from ris_pipeline._tables import plain_console
from ris_pipeline.cli._options import (
    ESTIMATORS,
    METHODS,
    Overrides,
    Preset,
    Seed,
    chosen,
    completed,
    path,
)
from ris_pipeline.config import check_used


def locate(
    file: Annotated[
        Path,
        typer.Argument(help="Measurements or a covariance: .safetensors, .npz, .mat."),
    ],
    number: Annotated[int | None, typer.Option(help="Sources, where it is known.")] = None,
    estimator: Annotated[
        str | None,
        typer.Option(
            help=f"For measurements: {', '.join(ESTIMATORS)}; the first where none is given.",
            autocompletion=completed(ESTIMATORS),
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(
            help=f"For a covariance: {', '.join(METHODS)}; the first where none is given.",
            autocompletion=completed(METHODS),
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write a table instead.")] = None,
    mat: Annotated[Path | None, typer.Option(help="Write a MATLAB file instead.")] = None,
) -> None:
    """Locate the sources of your own measurements, in a file."""
    from ris_pipeline.commands.files import run_locate

    typer.echo(run_locate(file, number, estimator, method, as_json, csv, mat))


def simulate(
    out: Annotated[
        Path,
        typer.Argument(
            help="OUT.safetensors, OUT.npz or OUT.mat; a folder for sets larger than memory."
        ),
    ],
    preset: Preset = "reference",
    set_: Overrides = None,
    seed: Seed = None,
    scenes: Annotated[int, typer.Option(help="How many.")] = 100,
    split: Annotated[str, typer.Option(help="Family of scenes: train, validation, test.")] = "test",
    shard: Annotated[
        int | None, typer.Option(help="Scenes of each file in a folder, by default 4096.")
    ] = None,
    matlab: Annotated[
        str | None, typer.Option(help="Version of a .mat file: 5, the default, or 7.3.")
    ] = None,
) -> None:
    """Write simulated scenes, with their truth.

    A folder that was cut off is gone on with.
    """
    from ris_pipeline.commands.files import run_simulate
    from ris_pipeline.scene import SceneSet, Split

    check_choice("split", split, ("train", "validation", "test"))
    check_choice("matlab", matlab or "5", ("5", "7.3"))
    settings = chosen(preset, set_, seed)
    asked = SceneSet(settings.scenario, settings.seed, scenes, Split[split.upper()])
    run_simulate(plain_console(), out, asked, shard, matlab)


def calibrate(
    out: Annotated[
        Path,
        typer.Option(help="Panel file, for scenario.panel_file.", parser=path, metavar="PATH"),
    ],
    preset: Preset = "reference",
    set_: Overrides = None,
    seed: Seed = None,
    scenes: Annotated[int, typer.Option(help="Scenes to calibrate on.")] = 64,
    blind: Annotated[bool, typer.Option("--blind", help="Source positions are not known.")] = False,
    test: Annotated[int, typer.Option(help="Unseen scenes to compare on; 0: none.")] = 100,
) -> None:
    """Estimate responses and positions of a panel's elements.

    The panel is fixed and miscalibrated; it is written, and compared on unseen scenes, in
    about a minute of one core.
    """
    from ris_pipeline.commands.calibrate import run_calibrate

    check_used(set_ or (), "calibrate", ("scenario", "seed"))
    settings = chosen(preset, set_, seed)
    run_calibrate(plain_console(), out, settings.scenario, settings.seed, scenes, blind, test)
