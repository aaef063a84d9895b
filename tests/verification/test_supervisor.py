"""Somebody's code at arm's length: whatever it does, one line and exit code 2, in time."""

import json
from pathlib import Path

import pytest
from rich.console import Console

from ris_pipeline._errors import InputError
from ris_pipeline.verification.adapters import Stopped
from ris_pipeline.verification.command import Asked, run
from ris_pipeline.verification.implementation import find
from ris_pipeline.verification.supervisor import supervise
from ris_pipeline.verification.verify import verify

RIGHT = """
import torch

def eigenvalues(a):
    {body}
    return torch.linalg.eigvalsh((a + a.mH) / 2).flip(-1)
"""

AT_IMPORT = {
    "exits": ("import sys; sys.exit(0)", "it raises SystemExit: 0"),
    "reads the command line": (
        "import argparse; argparse.ArgumentParser().parse_args(['--no'])",
        "it raises SystemExit: 2",
    ),
    "interrupts": ("raise KeyboardInterrupt", "it raises KeyboardInterrupt"),
    "misses its data": ("open('nowhere.npz')", "FileNotFoundError"),
    "raises its own": ("class Mine(Exception): pass\nraise Mine('no licence')", "Mine: no licence"),
    "cannot be read": ("def f(:", "SyntaxError"),
}
AT_A_CALL = {
    "exits": ("import sys; sys.exit(0)", "SystemExit: 0"),
    "interrupts": ("raise KeyboardInterrupt", "KeyboardInterrupt"),
}
UNFORGIVING = {
    "ends the process at import": ("import os; os._exit(0)", "its process ended with exit code 0"),
    "loops at import": ("while True: pass", "does not end within 3 s"),
    "ends the process": (RIGHT.format(body="import os; os._exit(0)"), "exit code 0"),
    "loops": (RIGHT.format(body="while True: pass"), "does not end within 3 s"),
}


def theirs(folder: Path, text: str) -> str:
    (folder / "theirs.py").write_text(text, encoding="utf-8")
    return f"{folder / 'theirs.py'}:eigenvalues"


def judged(folder: Path, text: str, timeout: float = 120.0, **asked) -> int:
    target = theirs(folder, text)
    with (folder / "out.txt").open("w", encoding="utf-8") as file:
        console = Console(file=file, width=80)
        return run(console, Asked(target=target, examples=3, timeout=timeout, **asked))


@pytest.mark.parametrize("what", AT_IMPORT)
def test_a_module_that_cannot_be_imported(what: str, tmp_path: Path) -> None:
    code, said = AT_IMPORT[what]
    with pytest.raises(InputError, match=said) as error:
        find(theirs(tmp_path, code))
    assert len(str(error.value).splitlines()) == 1


@pytest.mark.parametrize("what", AT_A_CALL)
def test_a_function_that_asks_for_the_end(what: str, tmp_path: Path) -> None:
    code, said = AT_A_CALL[what]
    with pytest.raises(Stopped, match=said):
        verify(theirs(tmp_path, RIGHT.format(body=code)), examples=3)


def test_a_function_that_fails_at_every_call(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it cannot be called as"):
        verify(theirs(tmp_path, RIGHT.format(body="return eigenvalues(a)")), examples=3)


@pytest.mark.parametrize("what", UNFORGIVING)
def test_a_target_that_takes_its_process_along(what: str, tmp_path: Path) -> None:
    text, said = UNFORGIVING[what]
    with pytest.raises(InputError, match=said) as error:
        judged(tmp_path, text, timeout=3.0 if "loops" in what else 120.0, as_json=True)
    assert len(str(error.value).splitlines()) == 1
    failed = json.loads((tmp_path / "out.txt").read_text(encoding="utf-8"))
    assert failed["error"] == str(error.value)


def test_an_end_in_the_middle_of_the_laws_is_no_verdict(tmp_path: Path) -> None:
    late = "import os; calls.append(1); len(calls) < 25 or os._exit(0)"
    with pytest.raises(InputError, match="exit code 0"):
        judged(tmp_path, "calls = []\n" + RIGHT.format(body=late))


def test_what_they_print_stays_off_the_verdict_and_nothing_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    text = "print('hello')\n" + RIGHT.format(body="print('again')")
    assert judged(tmp_path, text, as_json=True) == 0
    report = json.loads((tmp_path / "out.txt").read_text(encoding="utf-8"))
    assert report["holds"]
    assert not (tmp_path / ".hypothesis").exists()


def test_the_verdict_is_readable_at_eighty_columns(tmp_path: Path) -> None:
    assert judged(tmp_path, RIGHT.format(body="a = 2 * a")) == 1
    lines = (tmp_path / "out.txt").read_text(encoding="utf-8").splitlines()
    assert max(map(len, lines)) <= 80
    assert any("FAILS as eigenvalues" in line for line in lines)


def test_a_law_that_crashes_the_process_fails(tmp_path: Path) -> None:
    crash = "import os, signal; a.isnan().any() and os.kill(os.getpid(), signal.SIGSEGV)"
    assert judged(tmp_path, RIGHT.format(body=crash), as_json=True) == 1
    report = json.loads((tmp_path / "out.txt").read_text(encoding="utf-8"))
    red = [law for law in report["functions"][0]["laws"] if law["outcome"] == "fails"]
    assert [law["reason"] for law in red] == ["the process ends with SIGSEGV"]


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"examples": 0}, "examples = 0: allowed is a number above 0"),
        ({"timeout": -1.0}, "timeout = -1.0: allowed is a number above 0"),
        ({"backend": "jax"}, "backend = 'jax': allowed are torch, numpy"),
        ({"expected": ["law"]}, "expect-failure = 'law': expected is LAW=reason"),
    ],
)
def test_bad_input_is_one_line(asked: dict, said: str) -> None:
    with pytest.raises(InputError, match=said):
        Asked(target="x", **asked).request(80, False)


def test_an_unknown_module(tmp_path: Path) -> None:
    request = Asked(target="no_such_module:f", name="eigengap").request(80, False)
    with pytest.raises(InputError, match="no module named 'no_such_module'"):
        supervise(request, 20.0)
