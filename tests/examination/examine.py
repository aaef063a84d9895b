"""The examination: `ris-pipeline verify`'s judgement of strangers' functions, counted.

    python tests/examination/examine.py [--examples 100] [--verdict right] [--name mvdr_spectrum]

Every function of `strangers/manifest.toml` is judged in a process of its own, as the command line
does it; of one that ends its process the command line itself is asked, where a law has a process of
its own. The table says how many were judged rightly; `--list` names the others.
"""

import argparse
import json
import signal
import subprocess
import sys
import tomllib
import traceback
from collections import defaultdict
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from ris_pipeline._errors import CALL_ERRORS, InputError
from ris_pipeline.verification.adapters import SIGNATURES, Stopped
from ris_pipeline.verification.implementation import SHORT, find
from ris_pipeline.verification.parallel import run_tasks
from ris_pipeline.verification.verify import Judge, Judgement, Verdict

FOLDER = Path(__file__).parent / "strangers"
LIMIT_S = 120
CRASHED = "crashed: "
EXPECTED = {
    "right": Judgement.HOLDS,
    "wrong": Judgement.FAILS,
    "convention": Judgement.CONVENTION,
}


@dataclass(frozen=True)
class Result:
    """What was said of one function: a judgement or an error, and why."""

    key: str
    said: str
    conventions: tuple[str, ...] = ()
    causes: tuple[str, ...] = ()
    red: tuple[str, ...] = ()


def manifest() -> list[dict]:
    """The functions, as written down before anything was mended."""
    return tomllib.loads((FOLDER / "manifest.toml").read_text(encoding="utf-8"))["function"]


def examine(entry: dict, examples: int, limit_s: int = LIMIT_S) -> Result:
    """Judge one function; a process that takes longer than the limit is ended (0: no limit)."""
    signal.alarm(limit_s)
    try:
        (found,) = find(entry["spec"], entry["name"])
        verdict = Judge(examples).verdict(found)
    except InputError as error:
        return Result(entry["key"], f"error: {error}")
    except Stopped as error:
        return Result(entry["key"], f"stopped: {error}")
    except CALL_ERRORS as error:
        traceback.print_exc()
        return Result(entry["key"], f"a fault of ours: {error}")
    return _result(entry["key"], verdict)


def examine_apart(entry: dict, examples: int) -> Result:
    """The same in a process that ends with it: what a function leaves behind is no other's
    affair."""
    (result,) = run_tasks(
        lambda one: examine(one, examples),
        [entry],
        lambda one, name: Result(one["key"], f"{CRASHED}{name}"),
    )
    print(entry["key"], result.said[:60], file=sys.stderr)
    return result


def _result(key: str, verdict: Verdict) -> Result:
    red = tuple(f"{r.law}: {r.reason[:160]}" for r in verdict.laws if r.outcome == "fails")
    causes = tuple(c.cause for c in verdict.causes)
    return Result(key, verdict.judgement.value, verdict.unstated, causes, red)


def ask_the_command_line(entry: dict, examples: int) -> Result:
    """What `ris-pipeline verify` says."""
    target = f"{entry['spec']}={entry['name']}"
    command = [sys.executable, "-m", "ris_pipeline", "verify", target, "--json"]
    done = subprocess.run(
        [*command, "--examples", str(examples)], cwd=FOLDER, capture_output=True, text=True
    )
    (said,) = json.loads(done.stdout).get("functions") or [{}]
    if not said:
        return Result(entry["key"], f"error: {done.stdout}")
    red = tuple(law["law"] for law in said["laws"] if law["outcome"] == "fails")
    causes = tuple(one["cause"] for one in said["causes"])
    return Result(entry["key"], said["verdict"], tuple(said["conventions"]), causes, red)


def judged_rightly(entry: dict, result: Result) -> bool:
    """Whether that is what the manifest says; a wrong function may be one of a convention too."""
    if entry["verdict"] == "wrong":
        return result.said in (Judgement.FAILS, Judgement.CONVENTION)
    if entry["verdict"] == "convention":
        # An order of the angles that the parameters' names tell is no convention.
        told = {"swapped angles"}
        named = set(entry["conventions"]) - told == set(result.conventions) - told
        holds = result.said == Judgement.HOLDS and set(entry["conventions"]) == told
        return holds or (result.said == Judgement.CONVENTION and named)
    return result.said == EXPECTED[entry["verdict"]]


def cause_is_right(entry: dict, result: Result) -> bool | None:
    """Whether the first cause named is one of the manifest's; None where it knows none."""
    if not entry.get("causes"):
        return None
    return bool(result.causes) and result.causes[0] in entry["causes"]


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--examples", type=int, default=100)
    parser.add_argument("--verdict")
    parser.add_argument("--name")
    parser.add_argument("--key", help="parts of keys, with commas")
    parser.add_argument("--every", type=int, default=1)
    parser.add_argument("--processes", type=int, default=2, help="at a time")
    parser.add_argument("--list", action="store_true")
    parser.add_argument("--json")
    asked = parser.parse_args()
    sys.path.insert(0, str(FOLDER))
    entries = [
        entry
        for entry in manifest()
        if SHORT.get(entry["name"], entry["name"]) in SIGNATURES
        and asked.verdict in (None, entry["verdict"])
        and asked.name in (None, entry["name"])
        and any(part in entry["key"] for part in (asked.key or "").split(","))
    ][:: asked.every]
    with ThreadPoolExecutor(asked.processes) as pool:
        results = list(pool.map(lambda entry: examine_apart(entry, asked.examples), entries))
    results = [
        ask_the_command_line(entry, asked.examples) if result.said.startswith(CRASHED) else result
        for entry, result in zip(entries, results, strict=True)
    ]
    counts: dict[str, list[bool]] = defaultdict(list)
    for entry, result in zip(entries, results, strict=True):
        good = judged_rightly(entry, result)
        counts[entry["verdict"]].append(good)
        named = cause_is_right(entry, result)
        if named is not None:
            counts["cause"].append(named)
        if asked.list and named is False:
            print(f"cause      {entry['key']} ({entry['name']}): {result.causes[:1]}")
            print(f"           {entry['causes']}: {entry['cause']}")
        if not good and asked.list:
            print(f"{entry['verdict']:10} {entry['key']} ({entry['name']}): {result.said}")
            print(f"           {entry.get('note', '')} {entry.get('conventions', '')}")
            for line in result.red[:4]:
                print(f"           {line}")
            if result.conventions:
                print(f"           {result.conventions}")
    for verdict, marks in sorted(counts.items()):
        print(f"{verdict:10} {sum(marks)} of {len(marks)} ({sum(marks) / len(marks):.1%})")
    if asked.json:
        listed = [vars(result) for result in results]
        Path(asked.json).write_text(json.dumps(listed, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
