"""The examination in small: its manifest is sound, and a few of its functions are judged rightly.

All of them: `python tests/examination/examine.py`; the table is in `docs/examination.md`.
"""

import sys
from collections import Counter

import pytest
from examine import FOLDER, examine, judged_rightly, manifest

from ris_pipeline.verification.cause import Cause
from ris_pipeline.verification.implementation import find

pytestmark = pytest.mark.no_shapes

ENTRIES = {entry["key"]: entry for entry in manifest()}
SAMPLE = (
    "right_eigen.eig1",
    "right_steering.st1",
    "wrong_gap.loss_max",
    "convention_spectra.music_db",
    "convention_steering.opposite",
)


@pytest.fixture(autouse=True)
def _their_folder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "path", [str(FOLDER), *sys.path])


def test_every_entry_is_whole_and_there_are_many() -> None:
    counts = Counter(entry["verdict"] for entry in ENTRIES.values())
    assert counts.keys() == {"right", "wrong", "convention"}
    assert sum(counts.values()) >= 500
    assert all(e["conventions"] for e in ENTRIES.values() if e["verdict"] == "convention")
    assert all(entry["cause"] for entry in ENTRIES.values() if entry["verdict"] == "wrong")
    causes = [set(entry["causes"]) for entry in ENTRIES.values() if entry["verdict"] == "wrong"]
    assert set().union(*causes) <= set(Cause)
    assert sum(map(bool, causes)) >= 250


@pytest.mark.filterwarnings("ignore")
def test_every_function_can_be_found() -> None:
    for entry in ENTRIES.values():
        assert callable(find(entry["spec"], entry["name"])[0].function)


@pytest.mark.parametrize("key", SAMPLE)
def test_a_function_is_judged_rightly(key: str) -> None:
    result = examine(ENTRIES[key], 4, limit_s=0)
    assert judged_rightly(ENTRIES[key], result), result
