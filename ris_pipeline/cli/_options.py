"""Options that several commands have, and what help and completion list of them."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Annotated

import typer

from ris_pipeline.config import Settings, load_settings, preset_names

SWEEPS = (
    "snr", "sources", "distance", "separation", "codes", "blocks", "codebook", "bits", "power_law",
)  # fmt: skip
ESTIMATORS = "maximum_likelihood", "modified_music", "plane_music", "mvdr_planes", "omp"
METHODS = "music", "mvdr", "bartlett", "soft_music"
DOMAINS = (
    "hermitian", "all", "positive", "distinct", "indefinite", "low_rank", "repeated",
    "clustered", "wilkinson", "graded", "zero", "plane", "fresnel", "spherical",
)  # fmt: skip
"""What the rooms behind torch know by name; `tests/test_help.py` holds them equal."""


def completed(names: Sequence[str]) -> Callable[[str], list[str]]:
    """For the completion of a shell: the names that go on from what is typed."""
    return lambda incomplete: [name for name in names if name.startswith(incomplete)]


def path(text: str | Path) -> Path:
    """A path, which an empty word is not."""
    if not str(text).strip():
        raise typer.BadParameter(f"{text!r}: allowed is a path")
    return Path(text)


Overrides = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="KEY=VALUE", help="Change a setting, e.g. training.epochs=5."),
]
PRESET = typer.Option(
    help=f"One of {', '.join(preset_names())}, or the path of a TOML file.",
    autocompletion=completed(preset_names()),
)
Preset = Annotated[str, PRESET]
Seed = Annotated[int | None, typer.Option(help="Seed of the scenes and of the weights.")]


def with_seed(overrides: Sequence[str] | None, seed: int | None) -> list[str]:
    """The overrides, and the seed where one is given."""
    return [*(overrides or []), *([] if seed is None else [f"seed={seed}"])]


def chosen(preset: str, overrides: Sequence[str] | None, seed: int | None) -> Settings:
    """The settings that a command asks for."""
    return load_settings(preset, with_seed(overrides, seed))


def listed(text: str) -> list[str]:
    """Words between commas."""
    return [word.strip() for word in text.split(",")]
