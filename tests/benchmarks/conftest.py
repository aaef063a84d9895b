"""Timing in pairs: subject and baseline alternate, and a figure is the median of their ratios."""

import platform
import statistics
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import table
import torch

from ris_pipeline.report.tables import plain_table

THREADS = 2
MEASURED: pytest.StashKey[dict[str, float]] = pytest.StashKey()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--state", action="store_true", help="State what was measured as the figures.")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[MEASURED] = {}


@pytest.fixture(autouse=True)
def _two_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(THREADS)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def figure(request: pytest.FixtureRequest) -> Callable[[str, float], None]:
    """Take down a value for a row of the table; fail when it is worse than the table allows."""

    def take(name: str, value: float) -> None:
        row = table.read()[1][name]
        request.config.stash[MEASURED][name] = value
        if not request.config.getoption("--state"):
            assert row.holds(value), (
                f"{row.what}: {row.show(value)}, the table says {row.show(row.stated)}"
            )

    return take


@pytest.fixture
def pairs(benchmark) -> Callable[..., tuple[float, float]]:
    """`pairs(subject, baseline, rounds)`: median of baseline / subject, median subject seconds."""

    def run(
        subject: Callable[[], object], baseline: Callable[[], object], rounds: int
    ) -> tuple[float, float]:
        others: list[float] = []

        def first() -> None:
            start = time.perf_counter()
            baseline()
            others.append(time.perf_counter() - start)

        first()
        benchmark.pedantic(subject, setup=first, rounds=rounds, warmup_rounds=1)
        own = benchmark.stats.stats.data
        ratio = statistics.median(b / s for b, s in zip(others[-rounds:], own, strict=True))
        benchmark.extra_info["baseline / subject"] = ratio
        return ratio, statistics.median(own)

    return run


def _machine() -> str:
    described = Path("/proc/cpuinfo")
    lines = described.read_text().splitlines() if described.exists() else []
    models = [line.split(":")[1].strip() for line in lines if line.startswith("model name")]
    model = models[0] if models else platform.machine()
    return f"{model}, {THREADS} threads, torch {torch.__version__}"


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    values = config.stash[MEASURED]
    machine, rows = table.read()
    if not values:
        return
    if config.getoption("--state"):
        table.write(_machine(), rows, values)
    header = ("what", "to reach", "stated", "now", "")
    shown = [
        (row.what, row.goal(), row.show(row.stated), row.show(value), row.verdict(value))
        for row, value in ((rows[name], value) for name, value in values.items())
    ]
    terminalreporter.write_line(plain_table(f"stated on {machine}", header, shown).plain)
