"""Law: the group norm is over the finite gradients, 0.0 if none, and says how many it left out."""

import math
from typing import cast

import torch
from hypothesis import given

from ris_pipeline.verification import oracles
from ris_pipeline.verification.bounds import entry_bound, smallest
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.strategies import gradients
from ris_pipeline.verification.target import TARGET


def _truth(parameters: list[torch.Tensor]) -> tuple[float, int]:
    grads = (None if p.grad is None else p.grad.resolve_conj().numpy() for p in parameters)
    return oracles.group_norm(grads)


def _check(parameters: list[torch.Tensor], got: object) -> None:
    expected, _ = _truth(parameters)
    entries = sum(p.numel() for p in parameters)
    # A Python float is a double; what a plain function answers has the digits of its gradients.
    got = torch.as_tensor(got, dtype=torch.float64 if isinstance(got, float) else None)
    bound = entry_bound(expected, entries + 2, got.dtype)
    # Squares below the smallest normal number lose their digits.
    bound += entries * math.sqrt(smallest(got.dtype))
    assert_within("group norm", got.double().numpy(), expected, bound)


@given(gradients())
def test_the_norm_is_that_of_the_finite_gradients(parameters: list[torch.Tensor]) -> None:
    _check(parameters, TARGET.gradient_norm(parameters).norm)


@given(gradients())
def test_parameters_may_come_one_by_one(parameters: list[torch.Tensor]) -> None:
    # As `model.parameters()` does: it has no length and can be read once.
    _check(parameters, TARGET.gradient_norm(p for p in parameters).norm)


@given(gradients())
def test_what_is_left_out_is_counted(parameters: list[torch.Tensor]) -> None:
    got = TARGET.gradient_norm(parameters)
    assert_within("left out", got.left_out, _truth(parameters)[1], 0)


@given(gradients())
def test_the_gradients_are_left_as_they_were(parameters: list[torch.Tensor]) -> None:
    before = [None if p.grad is None else p.grad.clone() for p in parameters]
    TARGET.gradient_norm(parameters)
    same = [
        old is None
        or torch.allclose(cast(torch.Tensor, p.grad), old, rtol=0.0, atol=0.0, equal_nan=True)
        for p, old in zip(parameters, before, strict=True)
    ]
    assert_true("gradients left alone", same, same)
