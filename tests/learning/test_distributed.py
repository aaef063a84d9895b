"""Two processes are one run: the same curve in double precision, one writer."""

import json
import subprocess
import sys
from pathlib import Path

import pytest
from lightning_fabric import Fabric

from ris_pipeline._errors import InputError
from ris_pipeline.config import load_settings
from ris_pipeline.learning import Trainer, make_fabric

pytestmark = pytest.mark.slow

SET = (
    "training.epochs=2",
    "training.batches=3",
    "training.batch_size=8",
    "training.validation_scenes=16",
    "training.accumulation=2",
)
AGREEMENT = 1e-6
"""Of two runs at the same global batch, as promised; sums in another order differ by 1e-15."""


COMMAND = "import sys; from ris_pipeline.cli import main; main(sys.argv[1:])"

LAUNCHERS = {
    "our own": ["-W", "ignore"],
    "torchrun": ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"],
}


@pytest.mark.parametrize(
    "launcher", ["our own", pytest.param("torchrun", marks=pytest.mark.nightly)]
)
def test_two_processes_give_the_curve_of_one(launcher: str, tmp_path: Path) -> None:
    words = ["train", "--preset", "golden", "--devices", "2", "--out", str(tmp_path / "two")]
    overrides = [word for value in SET for word in ("--set", value)]
    script = tmp_path / "run.py"
    script.write_text(COMMAND)
    done = subprocess.run(
        [sys.executable, *LAUNCHERS[launcher], str(script), *words, *overrides],
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.count("Epoch 002/002") == 1
    lines = (tmp_path / "two" / "metrics.jsonl").read_text().splitlines()
    alone = Trainer(load_settings("golden", SET)).fit()
    for line, record in zip(lines, alone, strict=True):
        two = json.loads(line)
        assert two["train"] == pytest.approx(record.train, rel=AGREEMENT)
        assert two["validation"] == pytest.approx(record.validation, rel=AGREEMENT)
        assert two["terms"] == pytest.approx(record.terms, rel=AGREEMENT)
        assert two["gradient_heads"] == pytest.approx(record.gradient_heads, rel=AGREEMENT)
    assert (tmp_path / "two" / "model.safetensors").exists()


def test_a_batch_that_does_not_divide_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Fabric, "world_size", 2)
    with pytest.raises(InputError, match="batch_size = 9: allowed are multiples of the 2"):
        Trainer(load_settings("golden", ["training.batch_size=9"]))
    with pytest.raises(InputError, match="devices = 0"):
        make_fabric("64-true", devices=0)
