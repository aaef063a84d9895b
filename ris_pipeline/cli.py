"""The command line: parses, calls, prints.

Exit codes: 0 done, 1 a run that failed its own check, 2 bad input (one line on stderr), 130 Ctrl-C,
143 SIGTERM.
"""

import io
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any

import typer
from pydantic import ValidationError
from rich.console import Console

from ris_pipeline._errors import InputError, RunFailed, check_choice
from ris_pipeline._version import __version__
from ris_pipeline.config import Settings, check_used, load_settings, parse_value, preset_names


def _path(text: str | Path) -> Path:
    if not str(text).strip():
        raise typer.BadParameter(f"{text!r}: allowed is a path")
    return Path(text)


app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    help="Locate radio sources in the near field of a RIS, and verify the learning behind it.",
)

Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. training.epochs=5."),
]
Preset = Annotated[str, typer.Option(help="A preset's name, or the path of a TOML file.")]
Seed = Annotated[int | None, typer.Option(help="Seed of the scenes and of the weights.")]


def _settings(preset: str, overrides: Sequence[str] | None, seed: int | None) -> Settings:
    extra = [] if seed is None else [f"seed={seed}"]
    return load_settings(preset, [*(overrides or []), *extra])


@app.command()
def demo(
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder for the results, without a run in it; else runs/demo, -2, ...",
            parser=_path,
            metavar="PATH",
        ),
    ] = None,
    seed: Annotated[int, typer.Option(help="Seed of everything.")] = 0,
    epochs: Annotated[int, typer.Option(help="Epochs of training: 2 take about a minute.")] = 2,
    scenes: Annotated[int, typer.Option(help="Scenes located at each SNR.")] = 100,
    set_: Overrides = None,
) -> None:
    """Train on small scenes, locate sources with the network and without, show both."""
    from ris_pipeline.commands.demo import run_demo

    settings = _settings("small", [f"training.epochs={epochs}", *(set_ or [])], seed)
    run_demo(Console(), out, settings, scenes)


@app.command()
def overfit(
    preset: Preset = "small",
    set_: Overrides = None,
    seed: Seed = None,
    epochs: Annotated[int, typer.Option(help="Optimiser steps on the fixed scenes.")] = 150,
) -> None:
    """Drive one fixed set of 64 scenes below a loss of 0.05; exit code 1 if it stays above."""
    from ris_pipeline.commands.train import train_with_progress
    from ris_pipeline.learning import OVERFIT_LOSS, overfit_settings

    settings = overfit_settings(_settings(preset, set_, seed), epochs)
    console = Console()
    loss = train_with_progress(console, settings, every=10).history[-1].train
    verdict = "below" if loss < OVERFIT_LOSS else "NOT below"
    console.print(f"overfit: loss {loss:.4f} after {epochs} steps, {verdict} {OVERFIT_LOSS}")
    if loss >= OVERFIT_LOSS:
        raise typer.Exit(1)


@app.command()
def train(
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for metrics, checkpoint and figure.", parser=_path, metavar="PATH"
        ),
    ],
    preset: Preset = "small",
    set_: Overrides = None,
    seed: Seed = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the run in OUT.")] = False,
    accelerator: Annotated[str, typer.Option(help="cpu, cuda or auto.")] = "cpu",
    devices: Annotated[int, typer.Option(help="Processes on this host.")] = 1,
    hosts: Annotated[int, typer.Option(help="Hosts; each is started by torchrun.")] = 1,
    tensorboard: Annotated[
        bool, typer.Option("--tensorboard", help="Write OUT/tensorboard too (an extra).")
    ] = False,
) -> None:
    """Train the covariance network of a preset."""
    from ris_pipeline.commands.train import train_with_progress
    from ris_pipeline.report.run_folder import RunFolder
    from ris_pipeline.report.tensorboard import check_tensorboard

    settings = _settings(preset, set_, seed)
    if tensorboard:
        check_tensorboard()
    folder, console = RunFolder(out), Console()
    with folder.held():
        if folder.checkpoint.exists() and not resume:
            raise InputError(
                f"--out {str(out)!r} holds a checkpoint: add --resume, or name another"
            )
        if resume and not folder.checkpoint.exists():
            raise InputError(f"--resume: {str(out)!r} holds no checkpoint")
        trainer = train_with_progress(
            console,
            settings,
            folder=folder,
            resume=resume,
            accelerator=accelerator,
            devices=devices,
            hosts=hosts,
            tensorboard=tensorboard,
        )
    if trainer.fabric.is_global_zero:
        console.print(f"{folder.path}: validation {trainer.history[-1].validation:.3f}")


@app.command()
def tune(
    study: Annotated[
        Path,
        typer.Option(
            help="Journal of the search; shared and resumable.", parser=_path, metavar="PATH"
        ),
    ],
    out: Annotated[
        Path,
        typer.Option(
            help="TOML preset of the best trial, for `train`.", parser=_path, metavar="PATH"
        ),
    ],
    preset: Preset = "small",
    set_: Overrides = None,
    seed: Seed = None,
    trials: Annotated[int, typer.Option(help="Trials of this process.")] = 20,
) -> None:
    """Search rates, network shape and weights; several processes may share one study."""
    from ris_pipeline.learning import tuning

    best, value = tuning.tune(_settings(preset, set_, seed), study, trials)
    tuning.write_preset(out, best)
    typer.echo(f"{out}: validation NMSE {value:.4f} of the best answer that ignores the data")


@app.command()
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
    """Localise simulated scenes with a trained network and least squares together."""
    from ris_pipeline.commands.localize import run_localize
    from ris_pipeline.config import override_settings
    from ris_pipeline.learning import find_model, load_model
    from ris_pipeline.scene import Split

    check_choice("split", split, ("validation", "test"))
    trained = load_model(find_model(model))
    scenario = override_settings(trained.settings, set_ or []).scenario
    run_localize(Console(), trained, scenario, seed, scenes, Split[split.upper()], number)


@app.command()
def locate(
    file: Annotated[
        Path,
        typer.Argument(help="Measurements or a covariance: .safetensors, .npz, .mat."),
    ],
    number: Annotated[int | None, typer.Option(help="Sources, where it is known.")] = None,
    estimator: Annotated[
        str, typer.Option(help="For measurements; a name as in `evaluate`.")
    ] = "maximum_likelihood",
    method: Annotated[
        str, typer.Option(help="For a covariance: music, mvdr, bartlett or soft_music.")
    ] = "music",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    csv: Annotated[Path | None, typer.Option(help="Write a table instead.")] = None,
    mat: Annotated[Path | None, typer.Option(help="Write a MATLAB file instead.")] = None,
) -> None:
    """Locate the sources of your own measurements, in a file."""
    from ris_pipeline.commands.files import run_locate

    typer.echo(run_locate(file, number, estimator, method, as_json, csv, mat))


@app.command()
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
    shard: Annotated[int, typer.Option(help="Scenes of each file in a folder.")] = 4096,
    matlab: Annotated[str, typer.Option(help="Version of a .mat file: 5 or 7.3.")] = "5",
) -> None:
    """Write simulated scenes, with their truth; a folder that was cut off is gone on with."""
    from ris_pipeline.commands.files import run_simulate
    from ris_pipeline.scene import SceneSet, Split

    check_choice("split", split, ("train", "validation", "test"))
    check_choice("matlab", matlab, ("5", "7.3"))
    settings = _settings(preset, set_, seed)
    chosen = SceneSet(settings.scenario, settings.seed, scenes, Split[split.upper()])
    run_simulate(Console(), out, chosen, shard, matlab)


@app.command()
def calibrate(
    out: Annotated[
        Path,
        typer.Option(help="Panel file, for scenario.panel_file.", parser=_path, metavar="PATH"),
    ],
    preset: Preset = "reference",
    set_: Overrides = None,
    seed: Seed = None,
    scenes: Annotated[int, typer.Option(help="Scenes to calibrate on.")] = 64,
    blind: Annotated[bool, typer.Option("--blind", help="Source positions are not known.")] = False,
    test: Annotated[int, typer.Option(help="Unseen scenes to compare on; 0: none.")] = 100,
) -> None:
    """Estimate element responses and positions of a fixed, miscalibrated panel."""
    from ris_pipeline.commands.calibrate import run_calibrate

    check_used(set_ or (), "calibrate", ("scenario", "seed"))
    settings = _settings(preset, set_, seed)
    run_calibrate(Console(), out, settings.scenario, settings.seed, scenes, blind, test)


@app.command()
def scales(preset: Preset = "small", set_: Overrides = None, seed: Seed = None) -> None:
    """Measure the units of the loss: each term for the best answer that ignores the data."""
    from ris_pipeline.learning import measure_scales

    typer.echo("[loss.scales]")
    for name, value in measure_scales(_settings(preset, set_, seed)).items():
        typer.echo(f"{name} = {value:.6g}")


@app.command()
def evaluate(
    out: Annotated[
        Path,
        typer.Option(
            help="Folder for tables, figures and the units.", parser=_path, metavar="PATH"
        ),
    ],
    sweep: Annotated[
        list[str] | None, typer.Option(help="Property to vary; can be given several times.")
    ] = None,
    battery: Annotated[str | None, typer.Option(help="Named set of tables: original.")] = None,
    values: Annotated[
        str | None, typer.Option(help="Values of the one sweep, e.g. -5,0,5; TOML or words.")
    ] = None,
    estimators: Annotated[
        str, typer.Option(help="Names, separated by commas; all: every one.")
    ] = "all",
    number: Annotated[
        str, typer.Option(help="Number of sources: known, estimated, or both with a comma.")
    ] = "known,estimated",
    scenes: Annotated[int, typer.Option(help="Scenes of a cell.")] = 1000,
    preset: Preset = "reference",
    set_: Overrides = None,
    seed: Seed = None,
    workers: Annotated[int, typer.Option(help="Processes; 1 needs no dask.")] = 2,
    scheduler: Annotated[
        str | None, typer.Option(help="Address of a dask scheduler, instead of local processes.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Keep the units in OUT.")] = False,
) -> None:
    """Monte-Carlo runs of the estimators: detection, errors against the bound, source number.

    Exit code 1 if an estimator failed in some cell: the others are in the tables.
    """
    from ris_pipeline import evaluation as rooms
    from ris_pipeline.commands.evaluate import run_evaluation
    from ris_pipeline.evaluation.estimators import ESTIMATORS
    from ris_pipeline.evaluation.plan import Evaluation, make_series

    check_used(set_ or (), "evaluate", ("scenario", "seed"))
    settings = _settings(preset, set_, seed)
    names = list(sweep or ([] if battery else ["snr"]))
    if values is not None and len(names) != 1:
        raise InputError(f"values = {values!r}: allowed with one sweep, not with {len(names)}")
    chosen = [] if values is None else [parse_value(text) for text in values.split(",")]
    tables = [rooms.sweep(name, settings.scenario, chosen) for name in names]
    tables += rooms.battery(battery, settings.scenario) if battery else []
    listed = list(ESTIMATORS) if estimators == "all" else _listed(estimators)
    series = make_series(listed, _listed(number))
    evaluation = Evaluation(tuple(tables), series, settings.seed, scenes)
    if not run_evaluation(Console(), out, evaluation, workers, scheduler, resume):
        raise typer.Exit(1)


def _listed(text: str) -> list[str]:
    return [name.strip() for name in text.split(",")]


@app.command()
def bench(
    state: Annotated[
        bool, typer.Option("--state", help="Store what is measured as the table's figures.")
    ] = False,
) -> None:
    """Measure the README's figures again; exit code 1 if one is below two thirds of the table."""
    folder = Path(__file__).parents[1] / "tests" / "benchmarks"
    if not (folder / "pytest.ini").is_file():
        raise InputError(f"no benchmarks in {str(folder)!r}: allowed is an install from a clone")
    if find_spec("pytest_benchmark") is None:
        raise InputError("pytest-benchmark is not installed: the extra `dev` brings it")
    command = [sys.executable, "-m", "pytest", "-q", *(["--state"] if state else []), "."]
    raise typer.Exit(min(1, subprocess.run(command, cwd=folder, check=False).returncode))


@app.command()
def verify(
    target: Annotated[
        str,
        typer.Argument(
            help="package.module, path/to/file.py, module:object or module:function=name."
        ),
    ],
    name: Annotated[
        str | None, typer.Option("--as", help="The name the function goes by, e.g. eigengap_loss.")
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
    examples: Annotated[int, typer.Option(help="Examples a law.")] = 100,
    domain: Annotated[
        str, typer.Option(help="What it takes, e.g. hermitian, positive, indefinite or plane.")
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
    code = command.run(Console(), asked)
    if code:
        raise typer.Exit(code)


@app.command()
def doctor(
    run: Annotated[
        Path | None,
        typer.Argument(help="A run's folder, a journal, or a text log; none: the installation."),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Go through the checklist of a healthy run; exit code 1 if something is wrong."""
    from ris_pipeline.commands.doctor import run_doctor

    if not run_doctor(Console(), run, as_json):
        raise typer.Exit(1)


@app.command()
def report(
    runs: Annotated[
        list[Path], typer.Argument(metavar="RUN...", help="Folders of train, demo or evaluate.")
    ],
    out: Annotated[Path, typer.Option(help="The HTML file; replaced.")] = Path("report.html"),
    draws: Annotated[
        int, typer.Option(help="Draws of the noise for the error ellipses; 0: none.")
    ] = 100,
) -> None:
    """Draw one page of a run, or of several side by side: one HTML file that needs nothing else."""
    from ris_pipeline.commands.report import run_report

    run_report(Console(), runs, out, draws)


@app.command()
def presets() -> None:
    """List the presets."""
    for name in preset_names():
        typer.echo(name)


@app.callback(invoke_without_command=True)
def _root(
    version: Annotated[bool, typer.Option("--version", help="Print the version.")] = False,
) -> None:
    if version:
        typer.echo(__version__)
        raise typer.Exit


def _usage_line(error: typer.TyperException) -> str:
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
    return message


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command line and exit the process."""
    # Read by OpenMP when torch is loaded. Threads that spin while they wait made training on a
    # busy two-core machine four times slower than threads that sleep.
    os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
    _say_what_can_be_said()
    command = typer.main.get_command(app)
    try:
        with _stopped_by_sigterm() as received:
            code = command.main(
                args=list(arguments) if arguments is not None else None,
                prog_name="ris-pipeline",
                standalone_mode=False,
            )
    except InputError as error:
        _fail(str(error))
    except RunFailed as error:
        _fail(str(error), code=1)
    except typer.TyperException as error:
        _fail(_usage_line(error))
    else:
        stopped = 128 + signal.SIGTERM if received else code
        sys.exit(stopped if isinstance(stopped, int) else 0)


def _say_what_can_be_said() -> None:
    """A terminal that lacks a character shows a question mark."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")


@contextmanager
def _stopped_by_sigterm() -> Iterator[list[int]]:
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


def _fail(message: str, code: int = 2) -> None:
    typer.echo(f"error: {message}", err=True)
    sys.exit(code)
