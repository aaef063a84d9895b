"""Law: the group norm is over the finite gradients, 0.0 if none, and says how many it left out."""

import math

import numpy as np
import torch
from hypothesis import given

from ris_pipeline.verification.bounds import entry_bound, smallest
from ris_pipeline.verification.checks import assert_within
from ris_pipeline.verification.strategies import gradients
from ris_pipeline.verification.target import TARGET


@given(gradients())
def test_the_norm_is_that_of_the_finite_gradients(parameters: list[torch.Tensor]) -> None:
    grads = [p.grad.numpy() for p in parameters if p.grad is not None]
    finite = [grad for grad in grads if np.isfinite(grad).all()]
    expected = math.hypot(*(float(x) for grad in finite for x in grad))
    got = TARGET.gradient_norm(parameters)
    entries = sum(grad.size for grad in finite)
    bound = entry_bound(expected, entries + 2, torch.float64)
    # Squares below the smallest normal number lose their digits.
    bound += entries * math.sqrt(smallest(torch.float64))
    assert_within("group norm", got.norm, expected, bound)


@given(gradients())
def test_what_is_left_out_is_counted(parameters: list[torch.Tensor]) -> None:
    grads = [p.grad for p in parameters if p.grad is not None]
    expected = sum(not bool(torch.isfinite(grad).all()) for grad in grads)
    got = TARGET.gradient_norm(parameters)
    assert_within("left out", got.left_out, expected, 0)
