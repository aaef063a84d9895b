"""Runs somebody's code at arm's length: in a process of its own, for as long as it makes headway.

Free of torch, so that it starts at once and survives whatever the code does to its process.
"""

import contextlib
import json
import os
import queue
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from typing import Any

from ris_pipeline._errors import InputError

Progress = Callable[[str], None]
"""Told what is running now."""
Messages = queue.SimpleQueue["dict[str, Any] | None"]
"""What the process says, None at its end."""


def supervise(
    request: dict[str, Any], timeout: float, progress: Progress = lambda what: None
) -> dict[str, Any]:
    """The answer of `verification.child` to a request: `{"text": ..., "code": ...}`.

    Args:
        request: what is to be judged, and how.
        timeout: seconds that the import, or one law, may take.
        progress: told what is running.

    Raises:
        InputError: the target cannot be judged: it raises, ends its process or does not end.
    """
    with tempfile.TemporaryDirectory() as scratch:
        environment = {**os.environ, "HYPOTHESIS_STORAGE_DIRECTORY": scratch}
        # Matrices here are small, and laws run beside each other.
        environment["OMP_NUM_THREADS"] = "1"
        child = subprocess.Popen(
            [sys.executable, "-m", "ris_pipeline.verification.child", json.dumps(request)],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            env=environment,
            text=True,
            encoding="utf-8",
            start_new_session=os.name == "posix",
        )
        messages: Messages = queue.SimpleQueue()
        reader = threading.Thread(target=_read, args=(child, messages), daemon=True)
        reader.start()
        try:
            return _listen(child, messages, request["target"], timeout, progress)
        finally:
            _end(child)
            reader.join()


def _listen(
    child: "subprocess.Popen[str]",
    messages: Messages,
    target: str,
    timeout: float,
    progress: Progress,
) -> dict[str, Any]:
    # Starting Python and torch is not theirs to answer for.
    running = {"the start of the verification": time.monotonic() + 60.0}
    while True:
        what, until = min(running.items(), key=lambda pair: pair[1])
        try:
            message = messages.get(timeout=max(0.0, until - time.monotonic()))
        except queue.Empty:
            raise InputError(
                f"{target} cannot be judged: {what} does not end within {timeout:g} s (--timeout)"
            ) from None
        if message is None:
            code = child.wait()
            said = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
            raise InputError(f"{target} cannot be judged: its process ended with {said} in {what}")
        if "error" in message:
            raise InputError(message["error"])
        if "done" in message:
            answer: dict[str, Any] = message["done"]
            return answer
        _follow(running, message, timeout)
        progress(message["what"])


def _follow(running: dict[str, float], message: dict[str, Any], timeout: float) -> None:
    """Keep what is running, and until when it may."""
    single = "::" not in message["what"]
    if message["event"] == "end":
        running.pop(message["what"], None)
    else:
        if single:
            running.clear()
        for name in [name for name in running if "::" not in name]:
            del running[name]
        running[message["what"]] = time.monotonic() + timeout
    if not running:
        running["what comes between two laws"] = time.monotonic() + timeout


def _read(child: "subprocess.Popen[str]", messages: Messages) -> None:
    """Every line of the process, and None at its end."""
    assert child.stdout is not None
    with child.stdout as lines:
        for line in lines:
            messages.put(json.loads(line))
    messages.put(None)


def _end(child: "subprocess.Popen[str]") -> None:
    """Kill the process and whatever it has started."""
    if os.name == "posix":
        with contextlib.suppress(ProcessLookupError):
            os.killpg(child.pid, signal.SIGKILL)
    else:
        child.kill()
    child.wait()
