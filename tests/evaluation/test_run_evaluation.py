"""`ris-pipeline evaluate` as a user meets it: files, resuming, refusals, bad input."""

import csv
import io
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from evaluation_helpers import FAKES, TINY
from rich.console import Console

from ris_pipeline._errors import InputError
from ris_pipeline.cli import main
from ris_pipeline.commands.evaluate import run_evaluation
from ris_pipeline.evaluation import COLUMNS, COMPARED, battery, sweep
from ris_pipeline.evaluation.plan import Evaluation, Series, make_series

PAIR = make_series(["maximum_likelihood", "near"], ["known", "estimated"], FAKES)
SWEEP = (sweep("snr", TINY, (-5, 0.5)),)
SET = [
    *("--set", "scenario.panel=[4, 4]", "--set", "scenario.antennas=4"),
    *("--set", "scenario.codes=4", "--set", "scenario.codebook=random"),
    *("--set", "scenario.sources=[1, 2]"),
]


def evaluation(tables=SWEEP, series=PAIR, seed=0, scenes=20) -> Evaluation:
    return Evaluation(tables, series, seed, scenes, FAKES)


def run(out: Path, plan: Evaluation, **options) -> tuple[bool, str]:
    text = io.StringIO()
    console = Console(file=text, width=100)
    return run_evaluation(console, out, plan, **{"workers": 1, **options}), text.getvalue()


def read(path: Path) -> list[dict[str, str]]:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def tables(out: Path) -> dict[str, bytes]:
    """Every CSV and PNG but the timings."""
    return {
        p.name: p.read_bytes()
        for p in out.iterdir()
        if p.suffix in (".csv", ".png") and p.stem != "timings"
    }


@pytest.fixture(scope="module")
def first_run(tmp_path_factory) -> tuple[Path, bool, str]:
    """Its folder, whether it passed, and what it said."""
    folder = tmp_path_factory.mktemp("finished")
    return folder, *run(folder, evaluation())


@pytest.fixture
def finished(first_run, tmp_path) -> Path:
    """A finished evaluation of one's own."""
    shutil.copytree(first_run[0], tmp_path, dirs_exist_ok=True)
    return tmp_path


def test_what_is_written(first_run):
    tmp_path, passed, text = first_run
    assert passed
    assert sorted(p.name for p in tmp_path.iterdir()) == [
        *("comparison.csv", "comparison.png", "plan.json", "snr.csv", "snr.png", "timings.csv"),
        "units",
    ]
    rows = read(tmp_path / "snr.csv")
    assert list(rows[0]) == ["value", "second", "estimator", "number", *COLUMNS, "note"]
    assert [(r["value"], r["estimator"], r["number"]) for r in rows] == [
        (value, s.estimator, s.number) for value in ("-5", "0.5") for s in PAIR
    ]
    assert {r["scenes"] for r in rows} == {"20"}
    assert "2 cells x 4 series: 160 scenes to locate in 8 units, 0 of them done" in text
    assert "maximum_likelihood against the others" in text
    assert max(map(len, text.splitlines())) <= 100
    assert (tmp_path / "snr.png").read_bytes().startswith(b"\x89PNG")
    assert len(read(tmp_path / "timings.csv")) == 8


def test_the_comparison_says_by_how_much(first_run):
    rows = read(first_run[0] / "comparison.csv")
    head = ["item", "value", "second", "estimator", "number"]
    assert list(rows[0]) == [*head, *COMPARED, "verdict", "worse_in"]
    assert [(r["value"], r["estimator"], r["number"]) for r in rows] == [
        (value, "near", number) for value in ("-5", "0.5") for number in ("known", "estimated")
    ]
    assert {r["verdict"] for r in rows} == {"beaten"}
    assert all(0.49 < float(r["azimuth_ratio"]) < 0.51 for r in rows)


def test_nothing_to_compare(tmp_path):
    run(tmp_path, evaluation(series=(Series("near", True), Series("wide", True))))
    assert not (tmp_path / "comparison.csv").exists()
    assert {r["azimuth_ratio"] for r in read(tmp_path / "snr.csv") if r["estimator"] == "wide"} == {
        ""
    }


def test_a_refused_cell_is_a_row_and_a_failed_one_an_exit_code(tmp_path):
    series = tuple(Series(name, True) for name in ("maximum_likelihood", "refusing", "near"))
    passed, text = run(tmp_path / "a", evaluation(series=series))
    assert passed
    refused = [r for r in read(tmp_path / "a" / "snr.csv") if r["estimator"] == "refusing"]
    assert {r["note"] for r in refused} == {"number = 5: allowed is 1..3"}
    assert {r[c] for r in refused for c in COLUMNS} == {""}
    assert "refused: refusing, number known, scenes 0..19 of sources 1..2, SNR -5 dB" in text
    compared = {r["estimator"] for r in read(tmp_path / "a" / "comparison.csv")}
    assert compared == {"near"}
    passed, text = run(tmp_path / "b", evaluation(series=(Series("failing", True),)))
    assert not passed
    assert "FAILED: failing, number known, scenes 0..19" in text
    assert "did not converge" in text
    assert "RuntimeError" in read(tmp_path / "b" / "snr.csv")[0]["note"]


@pytest.mark.slow
def test_more_sources_than_the_measurement_holds_is_a_row(tmp_path):
    from ris_pipeline.evaluation.estimators import ESTIMATORS

    # One code, four antennas: eight real numbers, and a source has five.
    table = sweep("codes", TINY.replace(sources=(2, 2)), (1, 8))
    series = make_series(["maximum_likelihood"], ["known", "estimated"])
    plan = Evaluation((table,), series, 0, 12, ESTIMATORS)
    passed, _ = run(tmp_path, plan)
    assert passed
    rows = read(tmp_path / "codes.csv")
    notes = {(r["value"], r["number"]): r["note"] for r in rows}
    assert notes.pop(("1", "known")) == "number holds 2: allowed is 1..1"
    assert set(notes.values()) == {""}
    told = {(r["value"], r["number"]): r for r in rows}
    # It cannot say two, and has no bound to be compared with.
    assert told["1", "estimated"]["right_number"] == "0"
    assert told["1", "estimated"]["azimuth_ratio"] == ""


@pytest.mark.slow
def test_the_whole_battery(tmp_path):
    plan = evaluation(battery("original", TINY.replace(panel=(3, 3))), scenes=6)
    passed, text = run(tmp_path, plan)
    assert passed
    assert "36 cells x 4 series: 864 scenes to locate in 144 units" in text
    assert "heat_map: 140 lines" in text
    names = {p.stem for p in tmp_path.glob("*.png")} - {"comparison"}
    assert names == {table.name for table in plan.tables}
    assert [r["value"] for r in read(tmp_path / "by_azimuth.csv")][::4] == [
        *("-60..-40", "-40..-20", "-20..0", "0..20", "20..40", "40..60"),
    ]
    heat = read(tmp_path / "heat_map.csv")
    assert {(r["value"], r["second"]) for r in heat} == {
        (str(k), str(s)) for k in range(1, 6) for s in (-10, -5, 0, 5, 10, 15, 20)
    }
    whole = read(tmp_path / "all.csv")
    assert [(r["estimator"], r["number"]) for r in whole] == [(s.estimator, s.number) for s in PAIR]
    by_count = read(tmp_path / "by_sources.csv")
    total = sum(int(r["scenes"]) for r in by_count if r["estimator"] == "near") / 2
    assert total == 6


def test_resuming(finished):
    first = tables(finished)
    with pytest.raises(InputError, match="holds an evaluation: add --resume"):
        run(finished, evaluation())
    ran = sorted((finished / "units").iterdir())
    stamps = [p.stat().st_mtime_ns for p in ran]
    _, text = run(finished, evaluation(), resume=True)
    assert "8 of them done" in text
    assert [p.stat().st_mtime_ns for p in ran] == stamps
    assert tables(finished) == first


@pytest.mark.parametrize(
    ("other", "said"),
    [
        (evaluation(seed=1), "seed 0, now 1"),
        (evaluation(scenes=19), "20 scenes, now 19"),
        (evaluation(series=PAIR[:2]), "with near, known; with near, estimated"),
        (evaluation((sweep("snr", TINY, (-5,)),)), "other scenarios in snr"),
        (evaluation((sweep("codes", TINY, (4,)),)), "with table snr"),
    ],
    ids=["seed", "fewer scenes", "fewer estimators", "other values", "other table"],
)
def test_another_evaluation_is_not_resumed(other, said, finished):
    before = {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()}
    with pytest.raises(InputError, match=r"--resume: .* holds another evaluation") as caught:
        run(finished, other, resume=True)
    assert said in str(caught.value)
    assert {p: p.read_bytes() for p in finished.rglob("*") if p.is_file()} == before


def test_other_software_is_not_mixed_in(finished):
    plan = finished / "plan.json"
    plan.write_text(plan.read_text().replace('"torch": "', '"torch": "0.'))
    with pytest.raises(InputError, match=r"torch 0\..*, now "):
        run(finished, evaluation(), resume=True)
    plan.write_text("{}")
    with pytest.raises(InputError, match=r"plan.json' cannot be read"):
        run(finished, evaluation(), resume=True)


@pytest.mark.slow
def test_an_evaluation_can_grow(tmp_path):
    run(tmp_path / "a", evaluation(series=PAIR[:2], scenes=10))
    more = evaluation((*SWEEP, sweep("codes", TINY, (4,))), scenes=20)
    run(tmp_path / "a", more, resume=True)
    run(tmp_path / "b", more)
    assert tables(tmp_path / "a") == tables(tmp_path / "b")


def test_a_run_that_never_began_is_no_obstacle(tmp_path):
    with pytest.raises(InputError, match="missing port"):
        run(tmp_path, evaluation(), scheduler="foo")
    assert run(tmp_path, evaluation(seed=1))[0]


@pytest.mark.slow
def test_one_command_starts_and_goes_on(tmp_path):
    for _ in range(2):
        assert run(tmp_path, evaluation(), resume=True)[0]


def test_without_dask_one_process_is_the_default(capsys, tmp_path, monkeypatch):
    monkeypatch.setattr("ris_pipeline.cli.evaluating.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "dask.distributed", None)
    words = ["evaluate", "--out", str(tmp_path), "--values", "10", "--scenes", "2", *SET]
    with pytest.raises(SystemExit) as stop:
        main([*words, "--estimators", "omp", "--number", "known"])
    out, err = capsys.readouterr()
    assert stop.value.code == 0, err
    assert out.startswith("1 cells x 1 series: 2 scenes to locate in 1 units")
    for line in out.splitlines():
        assert len(line) <= 80
        assert line == line.rstrip()


def test_ctrl_c_keeps_what_is_finished(first_run, tmp_path):
    calls = 0

    def interrupted(scenes, number):
        nonlocal calls
        calls += 1
        if calls == 3:
            raise KeyboardInterrupt
        return FAKES["near"](scenes, number)

    plan = Evaluation(SWEEP, PAIR, 0, 20, {**FAKES, "near": interrupted})
    text = io.StringIO()
    with pytest.raises(KeyboardInterrupt):
        run_evaluation(Console(file=text, width=100), tmp_path, plan, workers=1)
    # Four series of the first cell, then the two that come before it in the second.
    assert "6 of 8 units are kept: --resume goes on" in text.getvalue()
    run(tmp_path, evaluation(), resume=True)
    assert tables(tmp_path) == tables(first_run[0])


ONE = ["--set", "scenario.sources=[1, 1]"]


def command(out: Path, *more: str) -> list[str]:
    code = "from ris_pipeline.cli import main; main()"
    words = ["--out", str(out), "--values=-5,0,5,10", "--scenes", "20", "--workers", "1"]
    words += ["--estimators", "maximum_likelihood,omp", "--number", "known"]
    return [sys.executable, "-c", code, "evaluate", *words, *SET, *ONE, *more]


def succeeds(words: list[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(words)
    assert stop.value.code == 0


@pytest.mark.slow
def test_killed_in_the_middle_and_resumed_it_is_as_if_it_never_happened(tmp_path):
    out, whole = tmp_path / "killed", tmp_path / "whole"
    with subprocess.Popen(command(out), stdout=subprocess.DEVNULL) as process:
        deadline = time.monotonic() + 120
        while len(list(out.glob("units/*.safetensors"))) < 3 and time.monotonic() < deadline:
            time.sleep(0.02)
        os.kill(process.pid, signal.SIGKILL)
    assert process.returncode == -signal.SIGKILL
    assert 3 <= len(list(out.glob("units/*.safetensors"))) < 8
    assert not (out / "snr.csv").exists()
    # As a kill in the middle of writing leaves it.
    (out / "units" / "0123.partial").write_bytes(b"half")
    for folder, more in ((out, ["--resume"]), (whole, [])):
        succeeds(command(folder, *more)[3:])
    assert tables(out) == tables(whole)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sweep", "colour"], "sweep = 'colour': allowed are snr, sources"),
        (["--sweep", "snr", "--sweep", "snr"], "sweep holds snr twice"),
        (["--battery", "new"], "battery = 'new': allowed are original"),
        (["--battery", "original", "--values", "1"], "allowed with one sweep, not with 0"),
        (["--values", "5,5"], "values holds 5 twice"),
        (["--values", ""], "snr_db.0 = ''"),
        (["--values", "1e400"], "snr_db.0 = inf"),
        (["--number", "both"], "number = 'both': allowed are known, estimated"),
        (["--number", "known, known"], "number holds known twice"),
        (["--estimators", "magic"], "estimators = 'magic': allowed are maximum_likelihood"),
        (["--estimators", ""], "estimators = ''"),
        (["--scenes", "0"], "scenes = 0: allowed is 1.."),
        (["--workers", "0"], "workers = 0: allowed is 1 or more"),
        (["--speed", "3"], "allowed are --battery, --estimators"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_bad_input_is_one_line_and_exit_code_two(arguments, message, capsys, tmp_path):
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--out", str(tmp_path / "out"), *arguments])
    out, err = capsys.readouterr()
    assert stop.value.code == 2
    assert message in err
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert not out
    assert not [path for path in tmp_path.rglob("*") if path.is_file()]


def test_a_file_in_the_way(capsys, tmp_path):
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(SystemExit) as stop:
        main(["evaluate", "--out", str(tmp_path / "file")])
    assert stop.value.code == 2
    assert "cannot be written" in capsys.readouterr().err
    assert (tmp_path / "file").read_text() == "in the way"


@pytest.mark.slow
def test_the_command(capsys, tmp_path):
    words = ["evaluate", "--out", str(tmp_path), "--workers", "1", "--scenes", "4", *SET]
    alone = ["--number", "known", "--estimators", "omp"]
    succeeds([*words, "--sweep", "bits", "--sweep", "power_law", *alone])
    assert {p.name for p in tmp_path.glob("*.csv")} == {"bits.csv", "power_law.csv", "timings.csv"}
    assert [r["value"] for r in read(tmp_path / "bits.csv")] == ["1", "2", "3", "4", "none"]
