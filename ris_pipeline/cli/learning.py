"""Commands about a network: demo, overfit, train, tune, localize, scales, presets."""

from pathlib import Path
from typing import Annotated

import typer

from ris_pipeline._errors import check_choice
from ris_pipeline._files import check_output, json_text
from ris_pipeline._tables import plain_console
from ris_pipeline.cli._options import PRESET, Overrides, Preset, Seed, chosen, path, with_seed
from ris_pipeline.config import preset_names


def demo(
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the results, without a run in it; else runs/demo, -2, ...",
            parser=path,
            metavar="PATH",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
    epochs: Annotated[int, typer.Option(help="Epochs of training: 2 take about a minute.")] = 2,
    scenes: Annotated[int, typer.Option(help="Scenes located at each SNR.")] = 100,
    set_: Overrides = None,
) -> None:
    """Train, locate sources with the network and without, show both.

    The default takes about five minutes of one core, an epoch of training two of them.
    """
    from ris_pipeline.commands.demo import run_demo

    settings = chosen("small", [f"training.epochs={epochs}", *(set_ or [])], seed)
    run_demo(plain_console(), out, settings, scenes)


def overfit(
    preset: Preset = "small",
    set_: Overrides = None,
    seed: Seed = None,
    epochs: Annotated[int, typer.Option(help="Optimiser steps on the fixed scenes.")] = 150,
) -> None:
    """Drive 64 fixed scenes below a loss of 0.05.

    Exit code 1 if it stays above. 150 steps of `small` take two to three minutes of one core.
    """
    from ris_pipeline.commands.train import train_with_progress
    from ris_pipeline.learning import OVERFIT_LOSS, overfit_settings

    settings = overfit_settings(chosen(preset, set_, seed), epochs)
    console = plain_console()
    loss = train_with_progress(console, settings, every=10).history[-1].train
    verdict = "below" if loss < OVERFIT_LOSS else "NOT below"
    console.print(f"overfit: loss {loss:.4f} after {epochs} steps, {verdict} {OVERFIT_LOSS}")
    if loss >= OVERFIT_LOSS:
        raise typer.Exit(1)


def train(
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for metrics, checkpoint and figure.", parser=path, metavar="PATH"
        ),
    ],
    preset: Annotated[str | None, PRESET] = None,
    set_: Overrides = None,
    seed: Seed = None,
    scenes: Annotated[
        Path | None,
        typer.Option(
            help="Train on the scenes in this folder, of `simulate`, instead of on new ones.",
            parser=path,
            metavar="FOLDER",
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Continue the run in OUT; start it where there is none."),
    ] = False,
    accelerator: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "cpu",
    devices: Annotated[int, typer.Option(help="Processes on this host.")] = 1,
    hosts: Annotated[int, typer.Option(help="Hosts; each is started by torchrun.")] = 1,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write OUT/tensorboard too (an extra).")
    ] = False,
) -> None:
    """Train the covariance network of a preset, by default small.

    Minutes of one core: golden 1, minute 2, curve 5, small 24, reference some 30. What an epoch has
    reached is kept: Ctrl-C and a crash lose the one under way.

    With --resume the settings come from the checkpoint in OUT. Options may give more
    training.epochs and another training.accumulation; what else differs is refused, and named.

    Exit code 1 if the run failed: a loss or the network's output that is not finite, no step taken,
    weights without a gradient, a loss that never moves.
    """
    from ris_pipeline.commands.train import run_train

    stored = [] if scenes is None else [f"training.scene_folder={json_text(str(scenes))}"]
    run_train(
        plain_console(),
        out,
        preset,
        [*with_seed(set_, seed), *stored],
        resume=resume,
        accelerator=accelerator,
        devices=devices,
        hosts=hosts,
        tensorboard=tensorboard,
    )


def tune(
    study: Annotated[
        Path,
        typer.Option(
            help="Journal of the search; shared and resumable.", parser=path, metavar="PATH"
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="TOML preset of the best trial, for `train`.", parser=path, metavar="PATH"
        ),
    ],
    preset: Preset = "small",
    set_: Overrides = None,
    seed: Seed = None,
    trials: Annotated[int, typer.Option(help="Trials of this process.")] = 20,
) -> None:
    """Search rates, network shape and weights.

    Several processes may share one study; a study that was cut off is gone on with. A trial takes
    as long as `train`, unless it is stopped for being worse than the others.
    """
    from ris_pipeline.commands.tune import run_tune

    check_output("--out", out, (".toml",), [study, preset])
    run_tune(plain_console(), study, out, chosen(preset, set_, seed), trials)


def localize(
    model: Annotated[
        str, typer.Option(help="A model's name, or the path of a model or checkpoint.")
    ] = "small",
    scenes: Annotated[int, typer.Option(help="Scenes to simulate and localise.")] = 256,
    seed: Annotated[int, typer.Option(help="Seed of the scenes.")] = 0,
    split: Annotated[str, typer.Option(help="Family of scenes: validation or test.")] = "test",
    number: Annotated[int | None, typer.Option(help="Sources, where it is known.")] = None,
    set_: Overrides = None,
) -> None:
    """Localise simulated scenes with a trained network.

    The network and least squares work together. A hundred scenes take some seconds.
    """
    from ris_pipeline.commands.localize import run_localize
    from ris_pipeline.config import override_settings
    from ris_pipeline.learning import find_model, load_model
    from ris_pipeline.scene import Split

    check_choice("split", split, ("validation", "test"))
    trained = load_model(find_model(model))
    asked = override_settings(trained.settings, with_seed(set_, seed))
    family = Split[split.upper()]
    run_localize(plain_console(), trained, asked.scenario, asked.seed, scenes, family, number)


def scales(preset: Preset = "small", set_: Overrides = None, seed: Seed = None) -> None:
    """Measure the units of the loss.

    The units are each term for the best answer that ignores the data, as TOML of a preset.
    """
    from ris_pipeline.learning import measure_scales

    typer.echo("[loss.scales]")
    for name, value in measure_scales(chosen(preset, set_, seed)).items():
        typer.echo(f"{name} = {value:.6g}")


def presets() -> None:
    """List the presets."""
    for name in preset_names():
        typer.echo(name)
