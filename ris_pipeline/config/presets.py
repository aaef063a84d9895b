"""Presets: one TOML file each in `presets/`, by name or by path, with `key=value` overrides."""

import tomllib
from collections.abc import Iterator, Mapping, Sequence
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any

from ris_pipeline._errors import InputError, shown
from ris_pipeline._files import read_text
from ris_pipeline.config._base import shown_key, validated
from ris_pipeline.config.learning import Settings

_UNITS_OF = "scenario.", "model.cells", "model.depths"
"""Keys that the units of the loss depend on."""


def preset_names() -> list[str]:
    """Names of the presets that come with the package, sorted."""
    folder = resources.files("ris_pipeline") / "presets"
    return sorted(
        f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")
    )


def load_settings(preset: str, overrides: Sequence[str] = ()) -> Settings:
    """Settings of a preset (by name, or the path of a TOML file) with `key=value` overrides.

    `key` is dotted (`scenario.snr_db`), `value` is TOML (`[0, 10]`, `"plane"`; a bare word is taken
    as a string). A preset's units of the loss are those of its scenario and cells: an override of
    these drops them, and they are measured anew.

    Raises:
        InputError: unknown preset or key, or a value outside its range.
    """
    tree = _read_toml(preset)
    if any(override.strip().startswith(_UNITS_OF) for override in overrides):
        tree.get("loss", {}).pop("scales", None)
    for override in overrides:
        _apply_override(tree, override)
    return parse_settings(tree)


def override_settings(settings: Settings, overrides: Sequence[str]) -> Settings:
    """Settings with overrides; otherwise as `load_settings`."""
    tree = settings.model_dump(mode="json")
    for override in overrides:
        _apply_override(tree, override)
    return parse_settings(tree)


def parse_settings(tree: Mapping[str, Any]) -> Settings:
    """Validate a nested mapping.

    Raises:
        InputError: one line naming the offending keys, their values and what is allowed.
    """
    return validated(Settings, tree)


def _read_toml(preset: str) -> dict[str, Any]:
    if preset.endswith(".toml"):
        text = read_text(Path(preset), "preset")
    else:
        if preset not in preset_names():
            close = get_close_matches(preset[:60], preset_names(), 1)
            meant = f"did you mean {close[0]}? " if close else ""
            raise InputError(
                f"preset = {shown(preset)}: {meant}allowed are {', '.join(preset_names())}, "
                "or the path of a .toml file"
            )
        folder = resources.files("ris_pipeline") / "presets"
        text = (folder / f"{preset}.toml").read_text(encoding="utf-8")
    try:
        return tomllib.loads(text)
    except (ValueError, RecursionError) as error:
        said = "nested too deep" if isinstance(error, RecursionError) else str(error)
        raise InputError(f"preset {preset!r} is not TOML: {said:.200}") from None


def parse_value(text: str) -> Any:
    """A TOML value; a bare word is taken as a string."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except (ValueError, RecursionError):
        return text.strip()


def _apply_override(tree: dict[str, Any], override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise InputError(f"override {shown(override)}: allowed is key=value")
    value = parse_value(text)
    *parents, leaf = key.strip().split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
        if not isinstance(tree, dict):
            raise InputError(
                f"override {shown(override)}: {shown_key(parent)} is a value, not a table"
            )
    tree[leaf] = value


def check_used(overrides: Sequence[str], command: str, used: Sequence[str]) -> None:
    """Raise `InputError` for an override outside the tables that a command uses."""
    for override in overrides:
        key = override.partition("=")[0].strip()
        if key.partition(".")[0] not in used and key.partition(".")[0] in Settings.model_fields:
            raise InputError(
                f"--set {shown(override)}: {command} does not use it; allowed are {', '.join(used)}"
            )


def changed_settings(old: Settings, new: Settings) -> dict[str, tuple[Any, Any]]:
    """Both values of every setting that differs, by its dotted key."""
    flat = [dict(flattened(settings.model_dump(mode="json"))) for settings in (old, new)]
    keys = dict.fromkeys([*flat[0], *flat[1]])
    pairs = {key: (flat[0].get(key), flat[1].get(key)) for key in keys}
    return {key: pair for key, pair in pairs.items() if pair[0] != pair[1]}


def flattened(tree: Mapping[str, Any], before: str = "") -> Iterator[tuple[str, Any]]:
    """The values of a nested mapping by their dotted keys; an empty mapping is a value."""
    for name, value in tree.items():
        if isinstance(value, Mapping) and value:
            yield from flattened(value, f"{before}{name}.")
        else:
            yield before + name, value
