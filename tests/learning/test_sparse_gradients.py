"""The group norm of sparse gradients, as an embedding has them, is that of the dense ones."""

import math

import pytest
import torch
from torch import Tensor

from ris_pipeline.watch.diagnostics import GroupNorm, gradient_norm


def _embedding(sparse: bool, rows: list[int], weight: float = 1.0) -> Tensor:
    table = torch.nn.Embedding(5, 3, sparse=sparse)
    with torch.no_grad():
        table.weight.fill_(0.5)
    (weight * table(torch.tensor(rows)).square().sum()).backward()
    return table.weight


@pytest.mark.parametrize("rows", [[0, 3], [2, 2, 2, 4], [1, 1]])
def test_repeated_rows_are_summed_before_they_are_squared(rows):
    sparse, dense = _embedding(True, rows), _embedding(False, rows)
    assert sparse.grad.is_sparse
    expected = gradient_norm([dense])
    assert gradient_norm([sparse]) == expected
    both = gradient_norm([sparse, dense])
    assert both.norm == pytest.approx(math.sqrt(2) * expected.norm, rel=1e-12)
    assert not sparse.grad.is_coalesced() or len(set(rows)) == len(rows)


def test_a_sparse_gradient_that_is_not_finite_is_left_out():
    poisoned, sound = _embedding(True, [0, 3], math.nan), _embedding(True, [1])
    assert gradient_norm([poisoned, sound]) == GroupNorm(gradient_norm([sound]).norm, 1)


def test_a_sparse_gradient_of_nothing_is_zero():
    parameter = torch.zeros(4, requires_grad=True)
    parameter.grad = torch.sparse_coo_tensor(
        torch.zeros(1, 0), [], (4,), dtype=torch.float32, check_invariants=True
    )
    assert gradient_norm([parameter]) == GroupNorm(0.0, 0)


@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")
def test_other_sparse_layouts():
    for layout in (torch.sparse_csr, torch.sparse_csc):
        parameter = torch.zeros(2, 2, requires_grad=True).to_sparse(layout=layout)
        parameter = parameter.detach().requires_grad_()
        parameter.grad = torch.tensor([[3.0, 0.0], [0.0, 4.0]]).to_sparse(layout=layout)
        assert gradient_norm([parameter]) == GroupNorm(5.0, 0)
