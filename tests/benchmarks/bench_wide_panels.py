"""Growth of the whole loss with the panel, in time and in memory.

Last in the alphabet on purpose: its large blocks leave the allocator of the process in a state in
which everything after it is slower.
"""

from collections.abc import Callable

import torch
from memory import peak_memory
from problems import LossProblem, loss_problem
from torch import Tensor


def _gradient_of(problem: LossProblem) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: problem.gradients(problem.loss())


def bench_growth(pairs, figure) -> None:
    small, large = (_gradient_of(loss_problem(side, 16)) for side in (12, 48))
    assert all(torch.isfinite(g.abs().sum()) for g in large())
    figure("growth_of_time", 1 / pairs(large, small, rounds=15)[0])
    figure("growth_of_memory", peak_memory(large) / peak_memory(small))


def bench_memory_at_4096(benchmark, figure) -> None:
    run = _gradient_of(loss_problem(64, 16))
    benchmark.pedantic(run, rounds=1)
    figure("memory_at_4096", peak_memory(run) / 1e6)
