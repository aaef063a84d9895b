"""How close the worst error of a run came to its bound, law by law.

    pytest properties

prints it in its summary. A bound that nothing comes near proves nothing: `LOOSE` is where
`tests/verification/test_tightness.py` draws the line.
"""

from collections.abc import Generator, Iterable, Iterator

import pytest

from ris_pipeline.verification.checks import recording

LOOSE = 1e-4
"""A worst error below this part of its bound makes the bound too loose to mean anything."""

_PROPERTY = "worst error / bound"


class Tightness:
    """pytest plugin: keeps the worst error / bound of every assertion, and prints it by law.

    The figures travel in the reports, so that they arrive from the workers of pytest-xdist.
    """

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, None, None]:
        """Record what the test asserts."""
        with recording() as worst:
            try:
                return (yield)
            finally:
                item.user_properties.append((_PROPERTY, worst))

    def pytest_terminal_summary(self, terminalreporter: pytest.TerminalReporter) -> None:
        """One line a law: its tightest assertion, and the loosest one where that is loose."""
        reports = terminalreporter.stats.get("passed", ())
        worst = ((r.nodeid, dict(r.user_properties).get(_PROPERTY)) for r in reports)
        rows = sorted(_rows(worst))
        if rows:
            terminalreporter.section("worst error / bound")
            for ratio, line in rows:
                terminalreporter.write_line(f"{ratio:8.1e}  {line}")


def _rows(
    worst_by_test: Iterable[tuple[str, dict[str, float] | None]],
) -> Iterator[tuple[float, str]]:
    for nodeid, worst in worst_by_test:
        if worst:
            label, ratio = max(worst.items(), key=lambda pair: pair[1])
            loose = ", ".join(f"{label} {worst[label]:.0e}" for label in loose_labels(worst))
            law = nodeid.rpartition("/")[2]
            yield ratio, f"{law}  [{label}]" + (f"  LOOSE: {loose}" if loose else "")


def loose_labels(worst: dict[str, float]) -> list[str]:
    """Labels of the assertions whose bound was never approached.

    No error at all says that both sides went the same way on this processor, not that the bound is
    loose.
    """
    return [label for label, ratio in worst.items() if 0 < ratio < LOOSE]
