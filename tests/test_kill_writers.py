"""`kill_writers.py` in small."""

import os
import random

import pytest
from kill_writers import WRITERS, Writer, kill


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
@pytest.mark.parametrize("writer", WRITERS, ids=lambda writer: writer.name.split()[0])
def test_what_was_finished_is_there(writer: Writer) -> None:
    draw = random.Random(0)
    for _ in range(3):
        assert kill(writer, draw) >= 1
