"""Law: the log lines that people search for read back to the numbers that went in."""

import re

from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.learning import GroupNorm
from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.target import TARGET

NUMBER = r"(-?\d\.\d{2}e[+-]\d{2})"
positive = st.floats(1e-9, 1e9)
norms = st.builds(GroupNorm, positive, st.just(0))


def _fields(pattern: str, line: str) -> list[float]:
    match = re.fullmatch(pattern, line)
    assert match, f"{line!r} does not read {pattern!r}"
    return [float(text) for text in match.groups()]


@given(st.floats(0, 1e6))
def test_the_loss_line(loss: float) -> None:
    got = _fields(r"\[DEBUG\] total loss pre-backward = (\d+\.\d{6})", TARGET.debug_line(loss))
    # Six decimals are printed.
    assert_within("loss", got, [loss], 0.5e-6 + 1e-15 * loss)


@given(st.integers(1, 999), norms, norms, positive, positive)
def test_the_optimiser_line(batch: int, backbone, heads, low: float, high: float) -> None:
    line = TARGET.optimiser_line(batch, backbone, heads, [low, high])
    pattern = rf"\[OPT\] batch=(\d+) g_back={NUMBER} g_head={NUMBER} LRs=\[{NUMBER}, {NUMBER}\]"
    expected = [batch, backbone.norm, heads.norm, low, high]
    # Three significant digits are printed.
    bound = [0.5e-2 * value for value in expected]
    assert_within("numbers", _fields(pattern, line), expected, bound)


@given(st.integers(1, 5), st.integers(0, 5))
def test_gradients_left_out_are_named(backbone: int, heads: int) -> None:
    line = TARGET.optimiser_line(1, GroupNorm(1.0, backbone), GroupNorm(1.0, heads), [1e-3, 1e-3])
    assert line.endswith(f" non-finite={backbone + heads}"), line


@given(st.lists(st.sampled_from(("stem.weight", "position", "heads.0.1.bias")), max_size=5))
def test_the_gradient_line(names: list[str]) -> None:
    line = TARGET.gradient_line(names)
    assert line == f"[GRAD] no-grad count={len(names)} (sample)={names[:3]}", line


@given(st.integers(0, 10**6), st.integers(0, 10**6))
def test_the_step_line(step: int, batch: int) -> None:
    line = TARGET.step_line(step, batch)
    assert _fields(r"\[OPT\] step (\d+) / batch (\d+)", line) == [step, batch], line


@given(st.integers(1, 999), st.integers(1, 999), st.floats(0, 100), st.floats(0, 100))
def test_the_epoch_line(epoch: int, epochs: int, train: float, validation: float) -> None:
    line = TARGET.epoch_line(epoch, epochs, train, validation)
    pattern = r"Epoch (\d{3})/(\d{3}): train (\d+\.\d{3})  val (\d+\.\d{3})"
    # Three decimals are printed.
    bound = [0, 0, 0.5e-3 + 1e-12, 0.5e-3 + 1e-12]
    assert_within("numbers", _fields(pattern, line), [epoch, epochs, train, validation], bound)
