"""Files that are written whole or not at all, strict JSON, and a folder's one run at a time.

Free of torch.
"""

import json
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any, NoReturn

from ris_pipeline._errors import InputError

if sys.platform == "win32":
    import msvcrt

    def _take(file: IO[bytes]) -> None:
        msvcrt.locking(file.fileno(), msvcrt.LK_NBLCK, 1)
else:
    import fcntl

    def _take(file: IO[bytes]) -> None:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX | fcntl.LOCK_NB)


LOCK = ".lock"
"""The file in a run's folder while its process holds it; empty."""

_UNREADABLE = (ValueError, RecursionError)
"""What a parser raises at text that is not of its language; a stack that ends is one of them."""


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
        raise cannot_write(path, error) from None
    finally:
        # Here only after a failure, which may be one of the folder.
        with suppress(OSError):
            temporary.unlink()


def cannot_write(path: Path, error: OSError) -> InputError:
    """The line of a file that cannot be written."""
    return InputError(f"{str(path)!r} cannot be written: {error.strerror or error}")


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file.

    Raises:
        InputError: it cannot be written.
    """
    with whole_file(path) as temporary:
        temporary.write_bytes(data)


def write_text(path: Path, text: str) -> None:
    """Write a small text file.

    Raises:
        InputError: it cannot be written.
    """
    write_bytes(path, text.encode("utf-8"))


def append_text(path: Path, text: str) -> None:
    """Add to the end of a file, all of it or nothing.

    Raises:
        InputError: it cannot be written.
    """
    try:
        with path.open("ab", buffering=0) as file:
            before, data = os.fstat(file.fileno()).st_size, text.encode("utf-8")
            try:
                _write_all(file, data)
            except OSError:
                file.truncate(before)
                raise
    except OSError as error:
        raise cannot_write(path, error) from None


def _write_all(file: Any, data: bytes) -> None:
    # A disk that fills up takes a part of what it is given, and refuses the next.
    while data:
        data = data[file.write(data) :]


def read_bytes(path: Path, kind: str) -> bytes:
    """All of a file; `kind` is what the error calls it.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return path.read_bytes()
    except FileNotFoundError:
        raise InputError(f"{kind} {str(path)!r}: no such file") from None
    except OSError as error:
        said = error.strerror or error
        raise InputError(f"{kind} {_short(path)} cannot be read: {said}") from None
    except ValueError as error:
        raise InputError(f"{kind} {_short(path)} cannot be read: {error}") from None


def _short(path: Path) -> str:
    text = repr(str(path))
    return text if len(text) <= 200 else f"{text[:80]}...{text[-80:]} ({len(text)} characters)"


def read_text(path: Path, kind: str) -> str:
    """All of a text file.

    Raises:
        InputError: it cannot be read, or is not UTF-8.
    """
    try:
        return read_bytes(path, kind).decode("utf-8")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{kind} {str(path)!r} is not UTF-8: byte {error.start} is "
            f"0x{error.object[error.start]:02x}"
        ) from None


def parse_json(text: str) -> Any:
    """Strict JSON: no NaN, no infinity, no number beyond float64, no key twice.

    Raises:
        ValueError: anything else.
    """
    try:
        return json.loads(
            text,
            parse_constant=_refuse,
            parse_float=_finite,
            parse_int=_whole,
            object_pairs_hook=_once,
        )
    except _UNREADABLE as error:
        raise ValueError(str(error) or type(error).__name__) from None


def _refuse(token: str) -> NoReturn:
    raise ValueError(f"{token} is not JSON")


def _finite(token: str) -> float:
    value = float(token)
    if value in (float("inf"), float("-inf")):
        raise ValueError(f"{token:.40} is beyond float64")
    return value


def _whole(token: str) -> int:
    # float() is asked first: it knows every number of digits, int() does not.
    _finite(token)
    return int(token)


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key is there twice")
    return found


def json_text(value: Any, indent: int | None = 1) -> str:
    """Strict JSON.

    Raises:
        ValueError: a number that is not finite.
    """
    return json.dumps(value, indent=indent, allow_nan=False)


@contextmanager
def only_run_in(folder: Path) -> Iterator[None]:
    """Hold the folder against other processes; the lock ends with the process, however that ends.

    Raises:
        InputError: another process holds it, or it cannot be written.
    """
    path = folder / LOCK
    with _locked(path):
        try:
            yield
        finally:
            # While it is held: whoever waits for this file finds that it is no longer the one.
            with suppress(OSError):
                path.unlink()


def _locked(path: Path) -> IO[bytes]:
    while True:
        try:
            file = path.open("ab")
        except OSError as error:
            raise cannot_write(path, error) from None
        try:
            _take(file)
        except OSError:
            file.close()
            raise InputError(
                f"{str(path.parent)!r} is in use by another run: allowed is one at a time"
            ) from None
        with suppress(FileNotFoundError):
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                return file
        file.close()
