"""What pytest learns where this package is installed: `golden_curve`, `--update`, profiles, laws.

Loaded by every run of pytest, so it imports nothing before it is asked for.
"""

import os
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from ris_pipeline.verification.golden_curves import GoldenCurves
    from ris_pipeline.verification.user_laws import LawRun

STORED: pytest.StashKey[list[str]] = pytest.StashKey()
"""What `--update` has done."""
RUNS = pytest.StashKey[dict[str, "LawRun"]]()
"""Laws run on users' functions, by label."""
_SENT = "ris_pipeline_golden"

PROFILES = {"laws-fast": 4, "laws-dev": 12, "laws-ci": 200, "laws-nightly": 5000}
"""Hypothesis profiles and their examples a test."""


def pytest_addoption(parser: pytest.Parser) -> None:
    """`--update`, and where curves are kept."""
    group = parser.getgroup("ris-pipeline")
    group.addoption(
        "--update", action="store_true", help="store the golden curves that moved, and say how"
    )
    parser.addini(
        "golden_folder",
        "where golden curves are kept (default: curves/ beside the test)",
        default="",
    )


@pytest.hookimpl(tryfirst=True)
def pytest_configure(config: pytest.Config) -> None:
    """Refuse `--update` in CI; register the profiles if one is asked for."""
    config.stash[STORED], config.stash[RUNS] = [], {}
    if config.getoption("--update") and os.environ.get("CI"):
        raise pytest.UsageError("--update where CI is set: a curve is moved by a person")
    if str(config.getoption("--hypothesis-profile", None)) in PROFILES:
        _register_profiles()


def _register_profiles() -> None:
    from hypothesis import settings

    for name, examples in PROFILES.items():
        # The same examples in every run: a law does not owe its colour to the dice.
        settings.register_profile(
            name, max_examples=examples, deadline=None, derandomize=True, database=None
        )


@pytest.fixture
def golden_curve(request: pytest.FixtureRequest) -> "GoldenCurves":
    """`golden_curve(name, curve, settings)`: compare with the stored curve, or store it."""
    from ris_pipeline.verification.golden_curves import GoldenCurves

    config = request.config
    said = config.getini("golden_folder")
    folder = config.rootpath / said if said else request.path.parent / "curves"
    return GoldenCurves(folder, config.getoption("--update"), config.stash[STORED])


def pytest_sessionfinish(session: pytest.Session) -> None:
    """A worker of pytest-xdist hands on what it has stored."""
    output = getattr(session.config, "workeroutput", None)
    if output is not None:
        output[_SENT] = session.config.stash[STORED]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Take over what a worker has stored."""
    said: list[str] = getattr(node, "workeroutput", {}).get(_SENT, [])
    node.config.stash[STORED].extend(said)


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    """What was stored, and what is likely wrong with functions that break laws."""
    stored: list[str] = config.stash[STORED]
    if stored:
        terminalreporter.section("golden curves")
        terminalreporter.write_line("\n".join(stored))
    lines = [line for run in config.stash[RUNS].values() for line in run.causes()]
    if lines:
        terminalreporter.section("likely causes")
        terminalreporter.write_line("\n".join(lines))
