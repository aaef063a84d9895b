"""Growth of the whole loss with the panel, in time and in memory.

Last in the alphabet on purpose: its large blocks leave the allocator of the process in a state in
which everything after it is slower.
"""

from collections.abc import Callable

import torch
from problems import LossProblem, loss_problem
from torch import Tensor
from torch.profiler import ProfilerActivity, profile


def _gradient_of(problem: LossProblem) -> Callable[[], tuple[Tensor, ...]]:
    return lambda: problem.gradients(problem.loss())


def _peak_memory(run: Callable[[], object]) -> int:
    """Most bytes allocated at once above those at the start."""
    run()
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        run()
    events = [e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]
    level = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        level += event.nbytes()
        peak = max(peak, level)
    return peak


def bench_growth(pairs, figure) -> None:
    small, large = (_gradient_of(loss_problem(side, 16)) for side in (12, 48))
    assert all(torch.isfinite(g.abs().sum()) for g in large())
    figure("growth_of_time", 1 / pairs(large, small, rounds=15)[0])
    figure("growth_of_memory", _peak_memory(large) / _peak_memory(small))


def bench_memory_at_4096(benchmark, figure) -> None:
    run = _gradient_of(loss_problem(64, 16))
    benchmark.pedantic(run, rounds=1)
    figure("memory_at_4096", _peak_memory(run) / 1e6)
