"""`manifest.json` of a folder of scenes: what it is, and which files hold it."""

from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from ris_pipeline._errors import InputError
from ris_pipeline._files import is_file, parse_json, read_text, shown_path
from ris_pipeline.config import Count, Frozen, Scenario, validated

FORMAT = 1
"""Version of the layout; another one is refused."""

NAME = "manifest.json"


class Shard(Frozen):
    """A file, its scenes and bytes, and the SHA-256 of all of it."""

    file: str
    scenes: Count
    bytes: Count
    sha256: Annotated[str, Field(pattern="^[0-9a-f]{64}$")]


class Manifest(Frozen):
    """All of the page; the shards are the first ones of the set, in order."""

    format: Literal[1]
    versions: dict[str, str]
    scenario: Scenario
    seed: Annotated[int, Field(strict=True)]
    split: Literal["train", "validation", "test"]
    size: Count
    shard: Count
    shards: tuple[Shard, ...]

    @model_validator(mode="after")
    def _fits(self) -> Self:
        for number, entry in enumerate(self.shards):
            if entry.file != shard_name(number):
                raise ValueError("its shards are not numbered")
            here = min(self.shard, self.size - number * self.shard)
            if entry.scenes != here:
                raise ValueError(
                    f"{entry.file} holds {entry.scenes} scenes: allowed are {max(here, 0)} of "
                    f"size = {self.size} in shards of {self.shard}"
                )
        return self

    @property
    def missing(self) -> int:
        """Shards that are still to be written."""
        return -(-self.size // self.shard) - len(self.shards)


def shard_name(number: int) -> str:
    """Of a shard, from 0."""
    return f"{number:05d}.safetensors"


def read_manifest(folder: Path) -> Manifest:
    """The manifest of a folder.

    Raises:
        InputError: none, one of another format, or no manifest.
    """
    path = folder / NAME
    if not is_file(path):
        raise InputError(f"{shown_path(folder)} holds no {NAME}")
    try:
        page = parse_json(read_text(path, "manifest"))
        if not isinstance(page, dict):
            raise ValueError("allowed is a JSON object")
        if page.get("format", FORMAT) != FORMAT:
            raise InputError(
                f"{shown_path(path)} has format {page['format']!r:.60}: allowed is {FORMAT}"
            )
        return validated(Manifest, page)
    except ValueError as error:
        raise InputError(f"{shown_path(path)} is no manifest: {error}") from None
