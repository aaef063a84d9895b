"""Files that are written whole or not at all, strict JSON, and a folder's one run at a time.

Free of torch.
"""

import errno
import json
import os
import re
import secrets
import stat
import sys
import time
from collections.abc import Iterable, Iterator, Sequence
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


_PARTIAL = re.compile(r"\.[0-9a-f]{16}\.partial")
"""Names of files under way: drawn, so that two writers never share one, and no file of anybody's
else has it."""

_ABANDONED = 3600.0
"""Seconds after which nobody still writes such a file."""

_KINDS = (
    (stat.S_ISFIFO, "a FIFO"),
    (stat.S_ISSOCK, "a socket"),
    (stat.S_ISCHR, "a device"),
    (stat.S_ISBLK, "a device"),
)


def _place(path: Path) -> tuple[Path, os.stat_result | None]:
    """Where a file of this name is, behind its links, and what is there: a regular file or None.

    Raises:
        OSError: a folder, a device, a FIFO or a socket; links in a circle; a name that none has.
    """
    place = Path(os.path.realpath(path))
    try:
        found = place.stat()
    except FileNotFoundError:
        return place, None
    if stat.S_ISDIR(found.st_mode):
        raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
    for is_kind, kind in _KINDS:
        if is_kind(found.st_mode):
            raise OSError(errno.EINVAL, f"it is {kind}, allowed is a regular file")
    return place, found


@contextmanager
def whole_file(path: Path) -> Iterator[Path]:
    """A name beside `path` to write to, moved into its place at the end: no reader ever meets half
    a file, and a writer that fails leaves what was there. Links are followed, and a file that is
    there keeps its mode.

    Raises:
        InputError: it cannot be written, or is there and no regular file.
    """
    temporary = None
    try:
        place, there = _place(path)
        if there is not None:
            # A file that may not be written is not replaced either, though the folder would let us.
            os.close(os.open(place, os.O_WRONLY))
        temporary = place.with_name(f".{secrets.token_hex(8)}.partial")
        os.close(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o666))
        yield temporary
        if there is not None:
            temporary.chmod(stat.S_IMODE(there.st_mode))
        os.replace(temporary, place)
    except OSError as error:
        raise cannot_write(path, error) from None
    finally:
        # Here only after a failure, which may be one of the folder.
        if temporary is not None:
            with suppress(OSError):
                temporary.unlink()


def remove_partial(folder: Path) -> None:
    """Remove what writers left in a folder that were killed."""
    for path in folder.glob(".*.partial"):
        with suppress(OSError):
            if _PARTIAL.fullmatch(path.name) and time.time() - path.stat().st_mtime > _ABANDONED:
                path.unlink()


def check_output(
    name: str, path: Path, suffixes: Sequence[str], read: Iterable[Path | str | None] = ()
) -> None:
    """Raise `InputError` unless a file that a command writes is named as one of its kind, can be
    one, and is none that the command reads."""
    if path.suffix not in suffixes:
        raise InputError(
            f"{name} {shown_path(path)}: allowed are files named {', '.join(suffixes)}"
        )
    try:
        _place(path)
    except OSError as error:
        raise cannot_write(path, error) from None
    for other in read:
        with suppress(OSError):
            if other is not None and os.path.samefile(path, other):
                raise InputError(
                    f"{name} {shown_path(path)} is the file that is read: allowed is another"
                )


def cannot_write(path: Path, error: OSError) -> InputError:
    """The line of a file that cannot be written."""
    return InputError(f"{shown_path(path)} cannot be written: {error.strerror or error}")


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
        with open_to_append(path) as file:
            before, data = os.fstat(file.fileno()).st_size, text.encode("utf-8")
            try:
                _write_all(file, data)
            except OSError:
                file.truncate(before)
                raise
    except OSError as error:
        raise cannot_write(path, error) from None


def open_to_append(path: Path) -> Any:
    """A file without a buffer, opened at its end.

    Raises:
        OSError: it cannot be opened, or is there and no regular file.
    """
    return _place(path)[0].open("ab", buffering=0)


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
        return _place(path)[0].read_bytes()
    except FileNotFoundError:
        raise InputError(f"{kind} {str(path)!r}: no such file") from None
    except OSError as error:
        said = error.strerror or error
        raise InputError(f"{kind} {shown_path(path)} cannot be read: {said}") from None
    except ValueError as error:
        raise InputError(f"{kind} {shown_path(path)} cannot be read: {error}") from None


def is_file(path: Path) -> bool:
    """Whether a file is there; a name that no file can have, which pathlib raises at, is none."""
    return os.path.isfile(path)


def is_folder(path: Path) -> bool:
    """Whether a folder is there; as `is_file`."""
    return os.path.isdir(path)


def shown_path(path: Path) -> str:
    """A path in an error, cut in its middle where it is long."""
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
        remove_partial(folder)
        try:
            yield
        finally:
            # While it is held: whoever waits for this file finds that it is no longer the one.
            with suppress(OSError):
                path.unlink()


def _locked(path: Path) -> IO[bytes]:
    while True:
        try:
            file = open_to_append(path)
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
