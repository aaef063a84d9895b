"""The eigengap hinge and the whole loss, against dense matrices and against their own limits."""

import pytest
import textbook
import torch
from problems import LossProblem, complex_normal, loss_problem
from torch import Tensor

from ris_pipeline.spectral import LowRankCovariance, eigengap_loss

BATCH, N, Q, K = 64, 144, 26, 3


@pytest.fixture
def factor() -> Tensor:
    return complex_normal(BATCH, N, Q, seed=0).requires_grad_()


def _margin(factor: Tensor) -> float:
    """Wide enough for every matrix to count."""
    return 2 * float(torch.linalg.matrix_norm(factor.detach(), ord=2).max() ** 2)


def bench_hinge_against_svd(factor: Tensor, pairs, figure) -> None:
    margin = _margin(factor)
    dense = (factor @ factor.mH).detach().requires_grad_()

    def subject() -> Tensor:
        loss = eigengap_loss(LowRankCovariance(factor), K, margin)
        return torch.autograd.grad(loss, factor)[0]

    def baseline() -> Tensor:
        return torch.autograd.grad(textbook.hinge_by_svd(dense, K, margin), dense)[0]

    # dL = Re tr(G^H (dF F^H + F dF^H)): the gradient by F is 2 G F for a Hermitian G.
    expected = 2 * baseline() @ factor.detach()
    error = (subject() - expected).norm() / expected.norm()
    # Eigenvectors turn by eps ||R|| / gap; gaps here are a hundredth of the norm.
    assert error < 100 * N * torch.finfo(torch.float32).eps
    figure("hinge_against_svd", pairs(subject, baseline, rounds=7)[0])


def bench_hinge_against_gram(factor: Tensor, pairs, figure) -> None:
    margin = _margin(factor)
    weight = complex_normal(BATCH, Q, Q, seed=1)

    def subject() -> Tensor:
        loss = eigengap_loss(LowRankCovariance(factor), K, margin)
        return torch.autograd.grad(loss, factor)[0]

    def baseline() -> Tensor:
        return torch.autograd.grad(factor.mH @ factor, factor, weight)[0]

    assert torch.isfinite(subject().abs().sum())
    assert torch.isfinite(baseline().abs().sum())
    figure("hinge_against_gram", 1 / pairs(subject, baseline, rounds=60)[0])


def _dense_loss(problem: LossProblem) -> Tensor:
    factor, config = problem.outputs[0], problem.settings.loss
    predicted = factor @ factor.mH
    return textbook.loss(problem.prediction(), problem.truth, predicted, config, config.weights)


def bench_loss_against_dense(pairs, figure) -> None:
    problem = loss_problem(12, BATCH)

    def subject() -> tuple[Tensor, ...]:
        return problem.gradients(problem.loss())

    def baseline() -> tuple[Tensor, ...]:
        return problem.gradients(_dense_loss(problem))

    eps = torch.finfo(torch.float32).eps
    assert abs(problem.loss() - _dense_loss(problem)) < N * eps * problem.loss()
    for own, dense in zip(subject(), baseline(), strict=True):
        assert (own - dense).norm() < 100 * N * eps * dense.norm()
    figure("loss_against_dense", pairs(subject, baseline, rounds=7)[0])
