"""`fuzz_readers.py` in small."""

from pathlib import Path

import pytest
from fuzz_readers import READERS, fuzz


@pytest.mark.parametrize("name", READERS)
def test_nothing_but_input_error(name: str, tmp_path: Path) -> None:
    if name.startswith("study"):
        pytest.importorskip("optuna")
    assert not fuzz(READERS[name], tmp_path, 60, 0)
