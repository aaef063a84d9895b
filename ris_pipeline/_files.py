"""Files that are written whole or not at all. Free of torch."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from ris_pipeline._errors import InputError


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to, moved into its place at the end: no reader ever meets half
    a file, and a writer that fails leaves what was there.

    Raises:
        InputError: it cannot be written.
    """
    temporary = path.with_name(path.name + ".partial")
    try:
        yield temporary
        os.replace(temporary, path)
    except OSError as error:
        raise InputError(f"{str(path)!r} cannot be written: {error.strerror or error}") from None
    finally:
        # Here only after a failure, and perhaps not even then.
        if temporary.is_file():
            temporary.unlink()


def write_text(path: Path, text: str) -> None:
    """Write a small text file.

    Raises:
        InputError: it cannot be written.
    """
    with whole_file(path) as temporary:
        temporary.write_text(text, encoding="utf-8")
