"""Every public function answers bad arguments in one line."""

import subprocess
import sys
from pathlib import Path


def test_every_argument_of_every_public_function_is_answered_for(tmp_path: Path):
    program = Path(__file__).resolve().with_name("walk_public_entries.py")
    # There, since a bad name of a file may be a good one.
    done = subprocess.run(
        [sys.executable, program], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout[-4000:] + done.stderr[-2000:]
    # A walk that calls nothing proves nothing.
    assert int(done.stdout.split()[-4]) > 3000, done.stdout
