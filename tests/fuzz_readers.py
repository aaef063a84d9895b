"""Damage to valid files, and bytes that never were one, through every reader: the content that was
written, or `InputError`.

    python tests/fuzz_readers.py [INPUTS OF EACH READER] [SEED]
"""

import json
import random
import sys
import tempfile
import traceback
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.io
import torch

from ris_pipeline._errors import InputError
from ris_pipeline._sealed import read_sealed, write_sealed
from ris_pipeline.config import Scenario, load_settings, preset_names
from ris_pipeline.data import (
    SceneStore,
    read_measurements,
    scene_arrays,
    write_arrays,
    write_store,
)
from ris_pipeline.evaluation import Task, UnitStore
from ris_pipeline.evaluation.plan import Evaluation, Series, check_folder
from ris_pipeline.evaluation.records import Records
from ris_pipeline.evaluation.tables import sweep
from ris_pipeline.learning import load_checkpoint, save_checkpoint, tuning
from ris_pipeline.learning.checkpoint import Checkpoint
from ris_pipeline.learning.records import Counters, EpochRecord
from ris_pipeline.scene import SceneSet, Split, ideal_panel, simulate
from ris_pipeline.scene.believed import BelievedPanel, load_panel, save_panel
from ris_pipeline.verification.golden import read_curve, read_page
from ris_pipeline.watch.doctor import checklist, read_run
from ris_pipeline.watch.journal import Journal, read_journal

MEASURED = scene_arrays([simulate(Scenario(panel=(2, 3), antennas=2, codes=2), 0, torch.arange(1))])
ROOT = Path(__file__).parents[1]
TINY = Scenario(panel=(2, 3), antennas=2, codes=2, sources=(1, 2))
TASK = Task(TINY, "omp", True, 0, 0, 3)
WORDS = (
    b"null", b"true", b"NaN", b"Infinity", b"-1", b"1e999", b"9" * 40, b"9" * 400, b"0", b'""',
    b"[]", b"9" * 5000, b"1e5", b"{}",
    b"[" * 2000, b"{\"a\":" * 2000, b"\xff\xfe", b"\x00", b"\n", b",", b'"', b"=", b"0x", b"I64",
    b"\xed\xa0\x80", b"\\ud800", b"F8_E4M3", b"U64", b"C64", b"__metadata__",
)  # fmt: skip


@dataclass(frozen=True)
class Reader:
    """A file, how it is written, and how it is read."""

    name: str
    write: Callable[[Path], object]
    read: Callable[[Path], object]


def records() -> Records:
    slots = np.zeros((3, 5))
    slots[:, 1:] = np.nan
    return Records(
        active=~np.isnan(slots), detected=~np.isnan(slots), resolved=~np.isnan(slots),
        azimuth=slots, elevation=slots, distance=slots, own_snr_db=slots,
        error=np.zeros((3, 5, 3)), bound=np.zeros((3, 5, 3)), snr_db=np.zeros(3),
        count=np.ones(3, np.int64), estimated=np.ones(3, np.int64),
        false_alarms=np.zeros(3, np.int64), gospa=np.zeros(3), seconds=np.zeros(1),
    )  # fmt: skip


def save_unit(path: Path) -> None:
    store = UnitStore(path.parent / "units")
    store.save(TASK, records())
    path.write_bytes(store._path(TASK).read_bytes())


def load_unit(path: Path) -> Records:
    store = UnitStore(path.parent / "units")
    store._path(TASK).write_bytes(path.read_bytes())
    return store.load([TASK])


EVALUATION = Evaluation((sweep("snr", TINY, [0]),), (Series("omp", True),), 0, 5)


def save_plan(path: Path) -> None:
    (path.parent / "plan" / "units").mkdir(parents=True, exist_ok=True)
    (path.parent / "plan" / "units" / "0.safetensors").touch()
    path.write_text(json.dumps(EVALUATION.described(), indent=1))


def load_plan(path: Path) -> None:
    (path.parent / "plan" / "plan.json").write_bytes(path.read_bytes())
    check_folder(path.parent / "plan", EVALUATION, resume=True)


def checkpoint() -> Checkpoint:
    rows = [
        EpochRecord(e, 1.0, 1 / e, {"nmse": 1.0}, {"nmse": 1.0}, [1.0, 2.0], 1.0, 1.0, 0, 0, e, "x")
        for e in (1, 2)
    ]
    weights = {"a": torch.ones(3), "b": torch.ones(2, 2, dtype=torch.float64)}
    groups = {name: weights for name in ("weights", "ema", "best")}
    return Checkpoint(groups, load_settings("golden"), Counters(2, 2, 2, 0, 0.5, 2, rows))


def save_journal(path: Path) -> None:
    journal = Journal(path)
    for kind in ("start", "step", "epoch", "alarm", "end"):
        journal.write(kind, train=1.0, validation=float("nan"), step=1, norms=[1.0], rates=[1.0])


def save_metrics(path: Path) -> None:
    line = {"train": 1.0, "validation": 1.0, "gradient_backbone": 1.0, "gradient_heads": 1.0}
    path.write_text(json.dumps({**line, "rates": [1.0, 2.0], "step": 3}) + "\n")


def save_panel_file(path: Path) -> None:
    panel = ideal_panel(TINY, torch.float64)
    save_panel(path, BelievedPanel(panel, torch.ones(6, dtype=torch.complex128)))


def save_preset(path: Path) -> None:
    names = preset_names()
    name = names[len(path.parent.name) % len(names)]
    path.write_bytes((ROOT / "ris_pipeline" / "presets" / f"{name}.toml").read_bytes())


def copy(name: str) -> Callable[[Path], object]:
    return lambda path: path.write_bytes((ROOT / "golden" / "curves" / name).read_bytes())


def use_study(path: Path) -> None:
    tuning.open_study(path, load_settings("golden"))


def save_packed(path: Path) -> None:
    """As MATLAB's -v7 and `numpy.savez_compressed` do."""
    if path.suffix == ".npz":
        np.savez_compressed(path, **MEASURED)  # type: ignore[arg-type]
    else:
        words = {name: str(x) if x.dtype.kind == "U" else x for name, x in MEASURED.items()}
        scipy.io.savemat(path, words, do_compression=True)


def save_manifest(path: Path) -> None:
    write_store(path.parent / "scenes", SceneSet(TINY, 0, 5, Split.TRAIN), shard=2)
    path.write_bytes((path.parent / "scenes" / "manifest.json").read_bytes())


def load_scenes(path: Path) -> None:
    (path.parent / "scenes" / "manifest.json").write_bytes(path.read_bytes())
    SceneStore(path.parent / "scenes").scenes(0, 5)


LOG = """[DEBUG] total loss pre-backward = 0.806142
[OPT] batch=1 g_back=1.23e-02 g_head=2.45e-02 LRs=[2.00e-04, 8.00e-04]
[GRAD] no-grad count=0 (sample)=[]
[OPT] step 12 / batch 12
Epoch 001/030: train 0.806  val 1.921
Epoch 002/030: train 0.706  val 1.721
"""

READERS = {
    reader.name: reader
    for reader in (
        Reader("a.toml", save_preset, lambda path: load_settings(str(path))),
        Reader(
            "sealed",
            lambda p: write_sealed(p, {"x": np.ones(3)}, [1]),
            lambda p: read_sealed(p, "file"),
        ),
        Reader(
            "checkpoint.safetensors", lambda p: save_checkpoint(p, checkpoint()), load_checkpoint
        ),
        Reader("unit.safetensors", save_unit, load_unit),
        Reader("the_plan.json", save_plan, load_plan),
        Reader("panel.safetensors", save_panel_file, load_panel),
        Reader("bug_1.csv", copy("bug_1.csv"), read_curve),
        Reader("bug_1.json", copy("bug_1.json"), read_page),
        Reader("watch.jsonl", save_journal, read_journal),
        Reader("run/watch.jsonl", save_journal, read_run),
        Reader("metrics.jsonl", save_metrics, read_run),
        Reader("study.journal", use_study, use_study),
        *(
            Reader(name, lambda p: write_arrays(p, MEASURED), read_measurements)
            for name in ("m.npz", "m.safetensors", "m5.mat")
        ),
        *(Reader(name, save_packed, read_measurements) for name in ("packed.npz", "m7.mat")),
        Reader("m73.mat", lambda p: write_arrays(p, MEASURED, "7.3"), read_measurements),
        Reader("the_manifest.json", save_manifest, load_scenes),
        Reader("train.log", lambda p: p.write_text(LOG), lambda p: checklist(read_run(p))),
    )
}


def damaged(data: bytes, draw: random.Random) -> bytes:
    """Bytes of nothing, or a valid file with bits, words and pieces changed."""
    if draw.random() < 0.1:
        return draw.randbytes(draw.randrange(300))
    new = bytearray(data)
    # Most of a file's meaning is at its head.
    reach = len(new) if draw.random() < 0.5 else min(len(new), 3000)
    for _ in range(draw.choice((1, 1, 2, 4))):
        at = draw.randrange(reach + 1)
        match draw.randrange(5):
            case 0 if at < len(new):
                new[at] ^= 1 << draw.randrange(8)
            case 1:
                del new[at : at + draw.randrange(1, 40)]
            case 2:
                new[at:at] = draw.choice(WORDS)
            case 3:
                word = draw.choice(WORDS)
                new[at : at + len(word)] = word
            case _:
                del new[at:]
    return bytes(new)


def fuzz(reader: Reader, folder: Path, inputs: int, seed: int) -> Mapping[str, str]:
    """What was raised beside `InputError`, by the last line of its traceback, and by what."""
    draw, path, found = random.Random(f"{reader.name} {seed}"), folder / reader.name, {}
    path.parent.mkdir(parents=True, exist_ok=True)
    reader.write(path)
    whole = path.read_bytes()
    reader.read(path)
    for _ in range(inputs):
        data = damaged(whole, draw)
        path.write_bytes(data)
        try:
            reader.read(path)
        except InputError as error:
            if "\n" in str(error) or len(str(error)) > 3000:
                found["not one line"] = repr(str(error))[:500]
        except Exception as error:  # noqa: BLE001  it is what is looked for
            at = traceback.extract_tb(error.__traceback__)[-1]
            found[f"{type(error).__name__} {at.filename}:{at.lineno}"] = repr(error)[:200]
    return found


def main(inputs: int, seed: int) -> int:
    bad = 0
    with tempfile.TemporaryDirectory() as name:
        for reader in READERS.values():
            found = fuzz(reader, Path(name), inputs, seed)
            bad += len(found)
            sys.stdout.write(
                f"{reader.name}: {inputs} inputs, {dict(found) or 'InputError only'}\n"
            )
            sys.stdout.flush()
    return int(bad > 0)


if __name__ == "__main__":
    given = [int(word) for word in sys.argv[1:]]
    sys.exit(main(given[0] if given else 1000, given[1] if len(given) > 1 else 0))
