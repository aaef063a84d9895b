"""A batch of decompositions is shared among threads: the numbers and everybody's threads stay."""

import multiprocessing
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
import torch
from torch.autograd import forward_ad

from ris_pipeline.spectral import eigenvalues, hermitian, hermitize, singular_values

BATCH, N = 33, 16
"""More than is worth sharing, and not a multiple of the number of threads."""


@pytest.fixture(autouse=True)
def _threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


def matrices() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    return hermitize(torch.randn(BATCH, N, N, dtype=torch.complex128, generator=generator))


@pytest.fixture
def calls(monkeypatch) -> list[int]:
    """Sizes of the batches that reach LAPACK, each with one thread."""
    seen: list[int] = []
    original = torch.linalg.eigvalsh

    def counted(x: torch.Tensor) -> torch.Tensor:
        assert torch.get_num_threads() == 1
        seen.append(x.shape[0])
        return original(x)

    monkeypatch.setattr(torch.linalg, "eigvalsh", counted)
    return seen


def test_every_thread_takes_its_part(calls):
    values = eigenvalues(matrices())
    assert sorted(calls) == [6, 9, 9, 9]
    assert torch.get_num_threads() == 4
    one_by_one = torch.stack([eigenvalues(x) for x in matrices()])
    assert torch.equal(values, one_by_one)


@pytest.mark.parametrize("routine", [hermitian.eigh, singular_values])
def test_the_parts_come_back_in_order(routine):
    together, alone = routine(matrices()), [routine(x) for x in matrices()]
    if routine is singular_values:
        assert torch.equal(together, torch.stack(alone))
    else:
        for whole, parts in zip(together, zip(*alone, strict=True), strict=True):
            assert torch.equal(whole, torch.stack(parts))


@pytest.mark.parametrize("count", [1, 31])
def test_a_small_batch_stays_where_it_is(calls, count):
    eigenvalues(matrices()[:count])
    assert calls == [count]


def test_one_thread_shares_nothing(calls):
    torch.set_num_threads(1)
    eigenvalues(matrices())
    assert calls == [BATCH]


def test_a_recorded_gradient_stays_on_its_thread(calls):
    leaf = matrices().requires_grad_()
    total = eigenvalues(leaf).sum()
    # Products on several threads would hang in a fork of a process that had such threads.
    torch.set_num_threads(1)
    (gradient,) = torch.autograd.grad(total, leaf)
    torch.set_num_threads(4)
    # The sum of all eigenvalues is the trace.
    assert (gradient - torch.eye(N)).abs().max() < 100 * N * torch.finfo(torch.float64).eps
    assert calls == [BATCH]
    with torch.no_grad():
        eigenvalues(leaf)
    assert len(calls) == 5


def test_an_error_comes_back_and_the_threads_too():
    broken = matrices()
    broken[-1] = torch.nan
    with pytest.raises(torch.linalg.LinAlgError):
        hermitian.eigh_of_gram(broken)
    assert torch.get_num_threads() == 4


def test_several_callers_at_once():
    expected = eigenvalues(matrices())
    with ThreadPoolExecutor(4) as callers:
        for values in callers.map(lambda _: eigenvalues(matrices()), range(20)):
            assert torch.equal(values, expected)
    assert torch.get_num_threads() == 4


def _sum_of_eigenvalues(_: int) -> float:
    torch.set_num_threads(4)
    return eigenvalues(matrices()).sum().item()


needs_fork = pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="this system has no fork"
)


@needs_fork
def test_a_fork_starts_threads_of_its_own():
    expected = eigenvalues(matrices()).sum().item()
    with multiprocessing.get_context("fork").Pool(1) as processes:
        assert processes.map_async(_sum_of_eigenvalues, [0]).get(timeout=10) == [expected]


def _threads_and_sum(results) -> None:
    results.put((torch.get_num_threads(), eigenvalues(matrices()).sum().item()))


@needs_fork
def test_a_fork_waits_for_what_another_thread_computes():
    expected, stop = eigenvalues(matrices()).sum().item(), threading.Event()

    def compute() -> None:
        while not stop.is_set():
            eigenvalues(matrices())

    context, other = multiprocessing.get_context("fork"), threading.Thread(target=compute)
    other.start()
    try:
        for _ in range(8):
            results = context.SimpleQueue()
            child = context.Process(target=_threads_and_sum, args=(results,))
            child.start()
            child.join(timeout=20)
            assert child.exitcode == 0, "the child hangs"
            assert results.get() == (4, expected)
    finally:
        stop.set()
        other.join()
        if child.is_alive():
            child.kill()


@pytest.mark.filterwarnings("ignore:.torch.jit.script. is deprecated:DeprecationWarning")
@pytest.mark.parametrize("dual", [True, False])
def test_a_tangent_stays_on_its_thread(calls, dual):
    x, along = matrices(), matrices().flip(0)
    if dual:
        with forward_ad.dual_level():
            moved = forward_ad.unpack_dual(eigenvalues(forward_ad.make_dual(x, along))).tangent
    else:
        moved = torch.func.jvp(eigenvalues, (x,), (along,))[1]
    # The sum of all eigenvalues is the trace, and no matrix is left out.
    traces = along.diagonal(dim1=-2, dim2=-1).real.sum(-1)
    assert (moved.sum(-1) - traces).abs().max() < 100 * N * torch.finfo(torch.float64).eps
