"""The mutation score after `mutmut run`: `python tests/mutation/score.py`, exit code 0 or 1.

Fails below `LEAST`, and on a survivor that `survivors.toml` gives no reason for. A mutant is known
by its function and the lines that it changes, since mutmut's numbers shift with the code.
"""

import subprocess
import sys
import tomllib
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

LEAST = 0.9
KILLED = ("killed", "timeout", "segfault", "caught by type check")
REASONS = Path(__file__).with_name("survivors.toml")

Change = tuple[str, str]
"""Function, and what its changed lines have become."""


@dataclass(frozen=True)
class Verdict:
    text: str
    passed: bool


def parse_results(text: str) -> dict[str, str]:
    """Status by mutant from `mutmut results`: one `name: status` a line."""
    pairs = (line.strip().rpartition(": ") for line in text.splitlines() if line.strip())
    return {name: status for name, _, status in pairs}


def function_of(mutant: str) -> str:
    """`spectral.low_rank.LowRankCovariance.apply` of mutmut's mangled name."""
    module, _, name = mutant.partition("__mutmut_")[0].removeprefix("ris_pipeline.").rpartition(".")
    return f"{module}.{name.removeprefix('x_').removeprefix('xǁ').replace('ǁ', '.')}"


def added_lines(diff: str) -> str:
    """The lines that a diff adds, joined and without indentation."""
    lines = (line[1:].strip() for line in diff.splitlines() if line.startswith("+"))
    return " ".join(line for line in lines if not line.startswith("++"))


def judge(statuses: dict[str, str], survivors: list[Change], reasons: dict[Change, str]) -> Verdict:
    """The score in words, and whether it passes."""
    total = len(statuses)
    killed = sum(status in KILLED for status in statuses.values())
    score = killed / total if total else 0.0
    files = Counter(name.partition(".x")[0] for name in statuses)
    dead = Counter(n.partition(".x")[0] for n, status in statuses.items() if status in KILLED)
    lines = [f"{name:40} {dead[name]:5} of {count:5} killed" for name, count in files.items()]
    lines += [f"mutation score {score:.1%}: {killed} of {total} killed, {LEAST:.0%} asked for"]
    unknown = [change for change in survivors if change not in reasons]
    lines += [f"survivor without a reason: {function}: {line}" for function, line in unknown]
    gone = reasons.keys() - set(survivors)
    lines += [f"no longer a survivor: {function}: {line}" for function, line in sorted(gone)]
    return Verdict("\n".join(lines), score >= LEAST and not unknown)


def load_reasons(path: Path = REASONS) -> dict[Change, str]:
    """The reasons by change."""
    entries = tomllib.loads(path.read_text(encoding="utf-8"))["survivor"]
    return {(e["function"], line): e["reason"] for e in entries for line in e["becomes"]}


def _mutmut(*arguments: str) -> str:
    command = [str(Path(sys.executable).with_name("mutmut")), *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def main() -> int:
    statuses = parse_results(_mutmut("results", "--all", "true"))
    left = [name for name, status in statuses.items() if status not in KILLED]
    survivors = [(function_of(name), added_lines(_mutmut("show", name))) for name in left]
    verdict = judge(statuses, survivors, load_reasons())
    sys.stdout.write(verdict.text + "\n")
    return 0 if verdict.passed else 1


if __name__ == "__main__":
    sys.exit(main())
