"""`kill_nine.py` in small: SIGKILL in the middle of a training, and the same files after it."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

pytestmark = pytest.mark.slow


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_a_run_that_is_killed_is_the_same_run() -> None:
    script = Path(__file__).with_name("kill_nine.py")
    done = subprocess.run(
        [sys.executable, str(script), "3"],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr[-2000:]
    assert "killed 3 times" in done.stdout
