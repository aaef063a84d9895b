"""Measures the kill matrix, and writes it as a table and as a page to read.

    python -m ris_pipeline.verification.kill_page [--whole | --check]

renews `kill_matrix.json` beside this file and `docs/kill_matrix.md`: of the pairs that were green
before, only those of new laws and new bugs, or all of them. `--check` writes nothing, and ends with
exit code 1 where a stored pair is green.
"""

import sys
from collections import Counter
from functools import cache
from itertools import groupby
from pathlib import Path

from ris_pipeline.verification.kill_matrix import (
    EARLY,
    QUICK,
    STORED,
    KillMatrix,
    measure,
    still_green,
)
from ris_pipeline.verification.known_bugs import KNOWN_BUGS, KnownBug
from ris_pipeline.verification.laws import laws_folder
from ris_pipeline.verification.titles import plain

_HEAD = """# Kill matrix

Which law of `properties/` turns red with which [known bug](known_bugs.md) in the place of the
function under test. Generated: `python -m ris_pipeline.verification.kill_page`.

**{bugs} bugs, {laws} laws, {pairs} red pairs.** Every bug is caught, by {fewest} to {most} laws;
every law catches {least} to {greatest} bugs. A bug stands where a user's function would: the
package around it stays right. Each law runs {examples} examples, the same in every run; what it
sees later than example {early} counts only if four other streams of examples see it too.
"""


PAGE = Path(__file__).parents[2] / "docs" / "kill_matrix.md"


def main() -> None:
    """Measure, and write both files."""
    stored = KillMatrix.from_json(STORED.read_text(encoding="utf-8"))
    if "--check" in sys.argv:
        green = still_green(stored)
        sys.exit("\n".join(f"green: {law} with {key}" for key, law in green) or None)
    matrix = measure(stored=None if "--whole" in sys.argv else stored)
    STORED.write_text(
        matrix.to_json({bug.key: bug.cause.value for bug in KNOWN_BUGS}), encoding="utf-8"
    )
    PAGE.write_text(render(matrix), encoding="utf-8")


def render(matrix: KillMatrix) -> str:
    """The page, Markdown."""
    kills = [len(red) for red in matrix.red.values()]
    caught = Counter(law for red in matrix.red.values() for law in red)
    parts = [
        _HEAD.format(
            bugs=len(kills),
            laws=len(matrix.laws),
            pairs=sum(kills),
            fewest=min(kills),
            most=max(kills),
            least=min(caught[law] for law in matrix.laws),
            greatest=max(caught.values()),
            examples=QUICK.max_examples,
            early=EARLY,
        ),
        _causes(),
    ]
    bugs = sorted(KNOWN_BUGS, key=lambda bug: bug.replaces)
    for name, group in groupby(bugs, key=lambda bug: bug.replaces):
        parts.append(_function(name, list(group), matrix))
    return "\n".join(parts)


def _causes() -> str:
    counts = Counter(bug.cause.value for bug in KNOWN_BUGS)
    rows = [f"| {cause} | {count} |" for cause, count in counts.most_common()]
    return "\n".join(["## Causes", "", "| cause | bugs |", "|---|---|", *rows, ""])


def _function(name: str, bugs: list[KnownBug], matrix: KillMatrix) -> str:
    red = {bug.key: set(matrix.red[bug.key]) for bug in bugs}
    laws = [law for law in matrix.laws if any(law in found for found in red.values())]
    lines = [
        f"## `{name}`",
        "",
        "| # | bug | cause | kills | where it comes from |",
        "|---|---|---|---|---|",
    ]
    for number, bug in enumerate(bugs, start=1):
        what = f"`{bug.name}`" + (f" (post-mortem {bug.number})" if bug.number else "")
        lines.append(
            f"| {number} | {what} | {bug.cause} | {len(red[bug.key])} | {_cell(bug.story)} |"
        )
    numbers = " | ".join(str(number) for number in range(1, len(bugs) + 1))
    lines += ["", f"| law | {numbers} |", "|---|" + "---|" * len(bugs)]
    for law in laws:
        marks = " | ".join("x" if law in red[bug.key] else "" for bug in bugs)
        lines.append(f"| {_link(law)} | {marks} |")
    return "\n".join([*lines, ""])


@cache
def _rooms() -> dict[str, str]:
    """Folder of each file of laws."""
    return {path.stem: path.parent.name for path in laws_folder().rglob("test_*.py")}


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _link(law: str) -> str:
    file, _, test = law.partition("::")
    return f"[{plain(test)}](../properties/{_rooms()[file]}/{file}.py)"


if __name__ == "__main__":
    main()
