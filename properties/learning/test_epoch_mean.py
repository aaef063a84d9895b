"""Law: the epoch loss is the mean over every batch, whatever the accumulation factor."""

import math

import torch
from hypothesis import given

from ris_pipeline.verification.bounds import mean_bound
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.strategies import broken_loss_sequences, loss_sequences
from ris_pipeline.verification.target import TARGET


@given(loss_sequences())
def test_the_epoch_loss_is_the_mean_over_every_batch(drawn) -> None:
    losses, accumulation = drawn
    result = TARGET.run_epoch(losses, lambda loss, scale: loss, lambda: None, accumulation)
    expected = math.fsum(losses) / len(losses)
    assert_within("epoch loss", result.mean, expected, mean_bound(losses))


@given(loss_sequences())
def test_every_group_steps_once_and_weighs_its_batches_equally(drawn) -> None:
    losses, accumulation = drawn
    events: list[float | str] = []

    def backward(loss: float, scale: float) -> float:
        events.append(scale)
        return loss

    result = TARGET.run_epoch(losses, backward, lambda: events.append("step"), accumulation)
    groups = -(-len(losses) // accumulation)
    assert_within("steps", result.steps, groups, 0)
    expected: list[float | str] = []
    for start in range(0, len(losses), accumulation):
        size = min(accumulation, len(losses) - start)
        expected += [1 / size] * size + ["step"]
    assert events == expected, f"events {events}, expected {expected}"


@given(loss_sequences())
def test_the_accumulation_factor_does_not_change_the_mean(drawn) -> None:
    losses, _ = drawn
    expected = math.fsum(losses) / len(losses)
    factors = [1, 2, 3, 5, len(losses), len(losses) + 1]
    means = [
        TARGET.run_epoch(losses, lambda loss, scale: loss, lambda: None, factor).mean
        for factor in factors
    ]
    bound = mean_bound(losses)
    assert_within("mean at factors 1, 2, ...", means, [expected] * len(means), bound)


@given(loss_sequences())
def test_batches_may_come_one_by_one(drawn) -> None:
    losses, accumulation = drawn
    # A generator has no length and can be read once, as a loader of files.
    stream = (loss for loss in losses)
    result = TARGET.run_epoch(stream, lambda loss, scale: loss, lambda: None, accumulation)
    expected = math.fsum(losses) / len(losses)
    assert_within("epoch loss", result.mean, expected, mean_bound(losses))
    assert_within("batches", result.batches, len(losses), 0)


@given(loss_sequences())
def test_losses_that_are_read_once_have_the_same_mean(drawn) -> None:
    losses, accumulation = drawn
    stream = (loss for loss in losses)
    result = TARGET.run_epoch(stream, lambda loss, scale: loss, lambda: None, accumulation)
    assert_within("epoch loss", result.mean, math.fsum(losses) / len(losses), mean_bound(losses))


@given(loss_sequences())
def test_losses_may_be_tensors_and_are_left_as_they_were(drawn) -> None:
    losses, accumulation = drawn
    given = [torch.tensor(loss, dtype=torch.float64) for loss in losses]
    result = TARGET.run_epoch(given, lambda loss, scale: loss, lambda: None, accumulation)
    expected = math.fsum(losses) / len(losses)
    assert_within("epoch loss", float(result.mean), expected, mean_bound(losses))
    left = [float(loss) for loss in given]
    assert_true("the losses are left as they were", left == losses, left)


@given(broken_loss_sequences())
def test_a_loss_that_is_not_finite_shows(drawn) -> None:
    losses, accumulation = drawn
    result = TARGET.run_epoch(losses, lambda loss, scale: loss, lambda: None, accumulation)
    assert_true("the mean is not finite", not math.isfinite(result.mean), result.mean)
