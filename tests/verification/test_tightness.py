"""Without a bug every law holds, and its worst error comes near its bound."""

import warnings

import pytest

from ris_pipeline.verification.checks import assert_within, recording
from ris_pipeline.verification.kill_matrix import QUICK, STORED, KillMatrix
from ris_pipeline.verification.laws import Law, laws_folder, load_laws, thorough
from ris_pipeline.verification.target import Usage, provide
from ris_pipeline.verification.tightness import LOOSE, loose_labels

MATRIX = KillMatrix.from_json(STORED.read_text(encoding="utf-8"))
LAWS = load_laws(QUICK)
LONGER = load_laws(thorough(20 * QUICK.max_examples))

pytestmark = pytest.mark.no_shapes


def _run(law: Law) -> tuple[Usage, dict[str, float]]:
    with provide({}) as usage, recording() as worst, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        law()
    return usage, worst


SLOW_ROOM = {path.stem for path in (laws_folder() / "localization").glob("test_*.py")}
"""Files of laws of estimators, a third of the time; `properties` runs them too."""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.nightly) if name.split("::")[0] in SLOW_ROOM else name
        for name in LAWS
    ],
)
def test_a_law_holds_and_comes_near_its_bounds(name: str) -> None:
    usage, worst = _run(LAWS[name])
    assert set(MATRIX.laws[name]) == usage.looked_up, "renew the kill matrix"
    if loose_labels(worst):
        # Few examples may all round to nothing; a loose bound stays loose in a longer search.
        _, worst = _run(LONGER[name])
    loose = {label: worst[label] for label in loose_labels(worst)}
    assert not loose, f"bounds that nothing comes near (error / bound): {loose}"


def test_a_loose_bound_is_seen() -> None:
    with recording() as worst:
        assert_within("loose", [1.0, 1.0], [1.0, 1.0 + LOOSE / 2], 1.0)
        assert_within("fine", [1.0, 1.0], [1.0, 1.0 + 2 * LOOSE], 1.0)
        assert_within("exact", 1.0, 1.0, 0.0)
        assert_within("closed gap", 1.0, 2.0, float("inf"))
    assert worst.keys() == {"loose", "fine"}
    assert loose_labels(worst) == ["loose"]


def test_the_worst_of_several_examples_counts() -> None:
    with recording() as worst:
        assert_within("error", 0.25, 0.0, 1.0)
        assert_within("error", 0.0, 0.0, 1.0)
    assert worst == {"error": 0.25}


@pytest.mark.parametrize("workers", [(), ("-n", "2")])
def test_the_run_prints_the_worst_of_every_law(
    pytester: pytest.Pytester, workers: tuple[str, ...]
) -> None:
    pytester.makeconftest(
        """
        from ris_pipeline.verification.tightness import Tightness

        def pytest_configure(config):
            config.pluginmanager.register(Tightness())
        """
    )
    pytester.makepyfile(
        test_law="""
        from ris_pipeline.verification.checks import assert_within

        def test_near():
            assert_within("near", 0.5, 0.0, 1.0)

        def test_far():
            assert_within("far", 1e-9, 0.0, 1.0)

        def test_exact():
            assert_within("exact", 0.0, 0.0, 0.0)
        """
    )
    result = pytester.runpytest_subprocess("-o", "addopts=", *workers)
    result.stdout.fnmatch_lines(
        [
            "*worst error / bound*",
            "*1.0e-09  test_law.py::test_far  [[]far[]]  LOOSE: far 1e-09",
            "*5.0e-01  test_law.py::test_near  [[]near[]]",
        ]
    )
    result.stdout.no_fnmatch_line("*test_law.py::test_exact*")
