"""The command line as a user meets it."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from ris_pipeline import __version__, load_settings, preset_names
from ris_pipeline._errors import InputError
from ris_pipeline.cli import main
from ris_pipeline.commands.demo import _fresh_folder
from ris_pipeline.learning import Trainer

TINY = [
    "training.epochs=2",
    "training.batches=3",
    "training.batch_size=8",
    "training.validation_scenes=8",
]
SET = [word for value in TINY for word in ("--set", value)]


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    out, err = capsys.readouterr()
    return int(stop.value.code or 0), out, err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["train", "--out", "x", "--preset", "huge"], "preset = 'huge': allowed are curve, golden"),
        (["train", "--out", "x", "--preset", "no.toml"], "preset 'no.toml': no such file"),
        (["train", "--out", "x", "--set", "training.epoch=3"], "training.epoch: no such setting"),
        (["train", "--out", "x", "--set", "training.epochs=0"], "training.epochs = 0"),
        (["train", "--out", "x", "--set", "scenario.sources=[1, 6]"], "sources = [1, 6]: allowed"),
        (["train", "--out", "x", "--set", "scenario.snr_db=[9, 1]"], "snr_db = [9.0, 1.0]"),
        (["train", "--out", "x", "--set", "scenario.wavefront=cubic"], "'spherical', 'fresnel'"),
        (["train", "--out", "x", "--set", "model.atoms=999"], "allowed are at most the 160 cells"),
        (["train", "--out", "x", "--devices", "0"], "devices = 0: allowed is 1"),
        (["localize", "--model", "large"], "model = 'large': allowed are small"),
        (["localize", "--model", "no.safetensors"], "no such file"),
        (["localize", "--set", "scenario.panel=[4, 4]"], "the model was trained for (6, 6)"),
        (["localize", "--split", "train"], "allowed are validation, test"),
        (["calibrate", "--out", "p.safetensors", "--scenes", "0"], "scenes = 0"),
        (
            ["calibrate", "--out", "p.safetensors", "--set", "scenario.impairments.fixed=false"],
            "one panel",
        ),
        (["train", "--out", "x", "--set", "scenario"], "allowed is key=value"),
        (["train", "--out", "x", "--seed", "-1"], "seed = -1"),
        (["train", "--out", "x", "--accelerator", "tpu"], "allowed are cpu, cuda, auto"),
        (["train"], "--out"),
        (["overfit", "--epochs", "0"], "epochs = 0"),
        (["demo", "--scenes", "0", "--out", "x"], "scenes = 0: allowed is 1"),
        (["demo", "--scenes", "many"], "many"),
        (["report", "none"], "RUN 'none': no such folder"),
        (["report", "."], "holds none of metrics.jsonl, watch.jsonl, plan.json"),
        (["report", ".", "--draws", "-1"], "draws = -1"),
        (["report"], "RUN"),
        (["demo", "--speed", "3"], "allowed are --epochs, --out, --scenes, --seed, --set"),
        (["locat"], "allowed are calibrate, demo, doctor, evaluate, localize, locate"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_exit_code_two(
    arguments: list[str], message: str, capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    code, out, err = run(capsys, *arguments)
    assert code == 2
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not out
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_folder_that_cannot_be_made(capsys, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    for command in (["train", *SET], ["demo"]):
        code, _, err = run(capsys, *command, "--out", str(tmp_path / "file" / "run"))
        assert code == 2
        assert "cannot be written" in err
        assert err.count("\n") == 1


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test_a_folder_that_cannot_be_written(capsys, tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    assert run(capsys, "train", *SET, "--out", str(tmp_path))[0] == 2


@pytest.mark.slow
def test_training_writes_a_run_that_can_be_resumed(capsys, tmp_path: Path) -> None:
    out = tmp_path / "run"
    arguments = ["train", "--preset", "golden", *SET, "--out", str(out)]
    code, text, _ = run(capsys, *arguments)
    assert code == 0
    assert "[DEBUG] total loss pre-backward = " in text
    assert "Epoch 002/002: train " in text
    records = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert [record["epoch"] for record in records] == [1, 2]
    assert sorted(path.name for path in out.iterdir()) == [
        "checkpoint.json",
        "checkpoint.safetensors",
        "loss_curve.png",
        "metrics.jsonl",
        "model.safetensors",
        "watch.jsonl",
    ]
    code, _, err = run(capsys, *arguments)
    assert code == 2
    assert "add --resume" in err
    before = (out / "metrics.jsonl").read_text()
    assert run(capsys, *arguments, "--resume")[0] == 0
    assert (out / "metrics.jsonl").read_text() == before


FEW = ["--set", "training.batches=1", "--set", "training.batch_size=4"]
FEW += ["--set", "training.validation_scenes=4"]


def epochs_of(folder: Path) -> list[int]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [json.loads(line)["epoch"] for line in lines]


@pytest.mark.slow
def test_one_command_starts_a_run_and_goes_on_with_it(capsys, tmp_path: Path) -> None:
    out = tmp_path / "run"
    words = ["train", "--preset", "golden", *FEW, "--out", str(out), "--resume"]
    code, text, _ = run(capsys, *words, "--set", "training.epochs=1")
    assert code == 0
    assert f"{out} holds no checkpoint: a new run" in text
    # Alone it goes on: the settings come from the checkpoint.
    before = (out / "metrics.jsonl").read_text()
    assert run(capsys, "train", "--out", str(out), "--resume")[0] == 0
    assert (out / "metrics.jsonl").read_text() == before
    more = ["--set", "training.epochs=3"]
    assert run(capsys, "train", "--out", str(out), "--resume", *more)[0] == 0
    assert epochs_of(out) == [1, 2, 3]
    assert (out / "metrics.jsonl").read_text().startswith(before)
    for changed, named in (
        (["--set", "training.epochs=2"], "training.epochs = 3, not 2"),
        (["--seed", "5"], "seed = 7, not 5"),
        (
            [
                "--preset",
                "golden",
                *FEW,
                *more,
                "--set",
                "model.width=8",
                "--set",
                "loss.gap_fraction=1",
            ],
            "model.width = 16, not 8; loss.gap_fraction = 0.5, not 1.0; allowed to change are",
        ),
    ):
        code, _, err = run(capsys, "train", "--out", str(out), "--resume", *changed)
        assert (code, err.count("\n")) == (2, 1)
        assert named in err
    assert epochs_of(out) == [1, 2, 3]


def test_a_run_without_a_step_has_failed(
    capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.nn.utils.clip_grad_norm_", lambda *_: torch.tensor(torch.nan))
    words = ["train", "--preset", "golden", *FEW, "--set", "training.epochs=1", "--out"]
    code, text, err = run(capsys, *words, str(tmp_path))
    assert code == 1
    assert err == "error: the run has failed: 1 of 1 steps skipped: gradient not finite\n"
    assert "[ALARM] 1 of 1 steps skipped" in text


@pytest.mark.slow
def test_weights_that_are_not_finite_end_a_run_and_the_history_is_kept(
    capsys, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    step = Trainer._step

    def ruined(self: Trainer, sums) -> None:
        step(self, sums)
        if self.counters.step == 3:
            with torch.no_grad():
                next(self.network.parameters()).fill_(torch.nan)

    monkeypatch.setattr(Trainer, "_step", ruined)
    words = ["train", "--preset", "golden", *FEW, "--set", "training.batches=2", "--out"]
    short = ["--set", "training.accumulation=1", "--set", "training.epochs=5"]
    code, _, err = run(capsys, *words, str(tmp_path), *short)
    assert code == 1
    assert err == "error: the network's output is not finite from batch 2 of epoch 2\n"
    assert epochs_of(tmp_path) == [1]
    monkeypatch.undo()
    assert run(capsys, "train", "--out", str(tmp_path), "--resume")[0] == 0
    assert epochs_of(tmp_path) == [1, 2, 3, 4, 5]


@pytest.mark.slow
def test_overfit_says_the_step_of_the_epoch_it_stands_beside(capsys) -> None:
    _, out, _ = run(capsys, "overfit", "--preset", "golden", "--epochs", "20")
    lines = [line for line in out.splitlines() if line.startswith(("Epoch", "[OPT] step"))]
    assert [line.split(":")[0] for line in lines] == [
        *("[OPT] step 1 / batch 1", "Epoch 001/020"),
        *("[OPT] step 10 / batch 10", "Epoch 010/020"),
        *("[OPT] step 20 / batch 20", "Epoch 020/020"),
    ]


def test_overfit_fails_when_it_stays_above(capsys) -> None:
    code, out, _ = run(capsys, "overfit", "--preset", "golden", "--epochs", "2")
    assert code == 1
    assert "NOT below 0.05" in out


@pytest.mark.slow
def test_the_demo_end_to_end(capsys, tmp_path: Path) -> None:
    out = tmp_path / "demo"
    code, text, _ = run(capsys, "demo", "--out", str(out), "--scenes", "2", *SET)
    assert code == 0
    assert "No network in it" in text
    assert "network alone" in text
    # A path is as long as it is.
    assert max(map(len, text.replace(str(out), "").splitlines())) <= 80
    summary = json.loads((out / "summary.json").read_text())
    assert set(summary["learning"]["nmse"]) == {"network_alone", "least_squares_alone", "together"}
    assert list(summary["accuracy"]) == ["-5 dB", "0 dB", "10 dB", "20 dB"]
    names = {path.name for path in out.iterdir()}
    assert names == {
        "checkpoint.json",
        "checkpoint.safetensors",
        "loss_curve.png",
        "metrics.jsonl",
        "model.safetensors",
        "spectrum.png",
        "summary.json",
        "watch.jsonl",
    }
    assert (out / "spectrum.png").read_bytes().startswith(b"\x89PNG")
    before = {path: path.read_bytes() for path in out.iterdir()}
    code, _, err = run(capsys, "demo", "--out", str(out))
    assert code == 2
    assert err == f"error: --out {str(out)!r} holds a run: allowed is a folder without one\n"
    assert {path: path.read_bytes() for path in out.iterdir()} == before


def test_a_demo_without_a_folder_takes_one_without_a_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    assert _fresh_folder(None).path == Path("runs/demo")
    for name in ("demo/model.safetensors", "demo-2/metrics.jsonl"):
        path = tmp_path / "runs" / name
        path.parent.mkdir(exist_ok=True)
        path.touch()
    assert _fresh_folder(None).path == Path("runs/demo-3")
    with pytest.raises(InputError, match="holds a run"):
        _fresh_folder(Path("runs/demo-2"))


def test_version_and_presets(capsys) -> None:
    assert run(capsys, "--version")[1].strip() == __version__
    assert run(capsys, "presets")[1].split() == preset_names()


def test_every_preset_loads_and_a_file_can_be_one(tmp_path: Path) -> None:
    for name in preset_names():
        load_settings(name)
    path = tmp_path / "mine.toml"
    path.write_text("[scenario]\npanel = [3, 3]\n")
    assert load_settings(str(path)).scenario.elements == 9
    path.write_text("[scenario\n")
    with pytest.raises(InputError, match="is not TOML"):
        load_settings(str(path))


@pytest.mark.slow
def test_the_module_runs_without_the_development_packages() -> None:
    blocked = "hypothesis", "pytest", "beartype", "pandas"
    code = (
        "import sys\n"
        f"for name in {blocked!r}: sys.modules[name] = None\n"
        "import ris_pipeline.cli, ris_pipeline.commands.demo\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_the_command_line_can_set_what_torch_reads_when_loaded() -> None:
    code = "import sys, ris_pipeline.cli; sys.exit('torch' in sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.slow
def test_localize_needs_no_training(capsys) -> None:
    code, out, _ = run(capsys, "localize", "--scenes", "6", "--seed", "4")
    assert code == 0
    for text in ("NMSE of the covariance", "network alone", "together", "6 scenes: the network's"):
        assert text in out


@pytest.mark.slow
def test_calibrate_writes_a_panel_that_scenarios_take(capsys, tmp_path: Path) -> None:
    panel, phase = tmp_path / "panel.safetensors", "scenario.impairments.phase_error_deg=40"
    few = ["--preset", "golden", "--scenes", "24", "--test", "4", "--set", phase]
    code, out, _ = run(capsys, "calibrate", "--out", str(panel), *few)
    assert code == 0
    assert "residual over noise" in out
    scenario = load_settings("golden", [f"scenario.panel_file={panel}"]).scenario
    assert scenario.panel_file == str(panel)


@pytest.mark.slow
def test_scales_prints_what_a_preset_takes(capsys, tmp_path: Path) -> None:
    code, out, _ = run(capsys, "scales", "--preset", "golden")
    assert code == 0
    path = tmp_path / "mine.toml"
    path.write_text(out)
    assert load_settings(str(path)).loss.scales is not None
