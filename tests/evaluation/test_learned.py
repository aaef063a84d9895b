"""A trained network among the estimators: the positions of `localise`, under a name of its own."""

import csv
from pathlib import Path

import pytest
import torch

from ris_pipeline._errors import InputError
from ris_pipeline.cli import main
from ris_pipeline.config import load_settings
from ris_pipeline.evaluation import Learned
from ris_pipeline.learning import find_model, load_model, localise
from ris_pipeline.scene import SceneSet, Split

SMALL = find_model("small")


@pytest.fixture(scope="module")
def learned() -> Learned:
    return Learned.of(SMALL)


WORDS = ["--estimators", "maximum_likelihood", "--model", "small", "--values", "10"]


def run(*words: str) -> int:
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", *WORDS, "--workers", "1", *words])
    return int(stop.value.code or 0)


@pytest.mark.slow
def test_it_is_localise(learned: Learned) -> None:
    scenes = SceneSet(load_settings("small").scenario, 0, 6, Split.TEST).scenes(0, 6)
    found = learned(scenes, None)
    expected = localise(load_model(SMALL), scenes).estimates
    assert torch.equal(found.azimuth.nan_to_num(9.0), expected.azimuth.nan_to_num(9.0))
    assert torch.equal(found.count, expected.count)


def test_the_name_is_that_of_the_model(learned: Learned, tmp_path: Path) -> None:
    copy = tmp_path / "model.safetensors"
    copy.write_bytes(SMALL.read_bytes())
    assert Learned.of(copy).name == learned.name
    assert learned.name == f"localize:{learned.digest}"


@pytest.mark.slow
def test_the_command_puts_it_beside_the_others(tmp_path: Path) -> None:
    assert run("--out", str(tmp_path), "--preset", "small", "--scenes", "8") == 0
    with (tmp_path / "snr.csv").open(encoding="utf-8", newline="") as file:
        names = {row["estimator"] for row in csv.DictReader(file)}
    assert names == {"maximum_likelihood", Learned.of(SMALL).name}


def test_a_panel_that_the_model_was_not_trained_for_is_refused_first(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("--out", str(tmp_path / "out"), "--scenes", "8") == 2
    assert "the model was trained for" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_no_such_model() -> None:
    with pytest.raises(InputError, match="nowhere"):
        Learned.of(Path("nowhere.safetensors"))
