"""`check_laws` in somebody's repository: a test for each law, and what is likely wrong."""

from dataclasses import dataclass

import pytest

from ris_pipeline import InputError
from ris_pipeline.verification import check_laws
from ris_pipeline.verification.user_laws import law_names

pytestmark = pytest.mark.no_shapes

NAN = "test_epoch_mean::test_a_loss_that_is_not_finite_shows"

RIGHT = "    return sum(losses) / len(losses)\n"
HIDING = "    return np.nanmean(losses)\n"


@dataclass(frozen=True)
class Repository:
    pytester: pytest.Pytester

    def run(self, body: str, said: str = "", *options: str) -> tuple[dict[str, int], str]:
        """Outcomes of the laws on a function of this body, and what was printed."""
        self.pytester.makepyfile(
            "import numpy as np\n"
            "from ris_pipeline.verification import check_laws\n"
            f"@check_laws('epoch_mean', examples=20{said})\n"
            "def test_my_mean(losses):\n" + body
        )
        result = self.pytester.runpytest_inprocess("-p", "no:cacheprovider", *options)
        return result.parseoutcomes(), str(result.stdout)


@pytest.fixture
def repository(pytester: pytest.Pytester) -> Repository:
    return Repository(pytester)


def test_a_right_function_passes_every_law_that_is_about_it(repository: Repository) -> None:
    outcomes, text = repository.run(RIGHT)
    assert outcomes["passed"] >= 2
    assert "failed" not in outcomes
    assert "likely causes" not in text


def test_a_wrong_one_fails_with_an_example_and_its_cause(repository: Repository) -> None:
    outcomes, text = repository.run(HIDING)
    assert outcomes["failed"] >= 1
    assert f"test_my_mean[{NAN}]" in text
    assert "with sequence = " in text or "with " in text
    assert "likely causes" in text
    assert "NaN hidden" in text


def test_a_failure_that_is_expected_is_none_and_one_that_does_not_come_is(
    repository: Repository,
) -> None:
    said = f", expected_failures={{{NAN!r}: 'a gap in the data'}}"
    outcomes, _ = repository.run(HIDING, said)
    assert (outcomes["xfailed"], "failed" in outcomes) == (1, False)
    outcomes, _ = repository.run(RIGHT, said)
    assert outcomes["failed"] == 1


def test_a_law_may_be_left_out(repository: Repository) -> None:
    outcomes, text = repository.run(HIDING, f", skip=[{NAN!r}]", "-v")
    assert "failed" not in outcomes
    assert NAN not in text


def test_a_class_becomes_a_class_of_tests(repository: Repository) -> None:
    repository.pytester.makepyfile(
        "from ris_pipeline.verification import check_laws\n"
        "@check_laws('epoch_mean', examples=4)\n"
        "class TestMine:\n"
        "    def __call__(self, losses):\n"
        "        return sum(losses) / len(losses)\n"
    )
    result = repository.pytester.runpytest_inprocess("-p", "no:cacheprovider", "-v")
    assert result.parseoutcomes()["passed"] >= 2
    assert "TestMine::test_law[" in str(result.stdout)


def test_unknown_names_and_laws_are_one_line() -> None:
    with pytest.raises(InputError, match="'epoch_men': allowed are"):
        check_laws("epoch_men")
    with pytest.raises(InputError, match="did you mean test_epoch_mean::"):
        check_laws("epoch_mean", skip=["test_epoch_mean::test_a_loss"])
    with pytest.raises(InputError, match="examples"):
        check_laws("epoch_mean", examples=0)
    assert NAN in law_names("epoch_mean")
