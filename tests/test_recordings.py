"""Recordings: a replay answers what the function does; what cannot be recorded is refused."""

import copy
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any
from unittest.mock import MagicMock

import pytest
import torch
from tape import Tape
from torch import Tensor

from ris_pipeline import _replay
from ris_pipeline._recorder import CudaGraphs, on_host, overwrite, recording, rehearsing
from ris_pipeline._replay import Recordings, Same, each_tensor, filled, tensors_of
from ris_pipeline._validation import check_finite, numbers
from ris_pipeline.spectral import LowRankCovariance, eigengap_loss
from ris_pipeline.spectral.hermitian import eigh_of_gram
from ris_pipeline.watch._hooks import Hook


@dataclass(frozen=True)
class Pair:
    first: Tensor
    second: tuple[Tensor, ...]
    factor: float = 2.0


def product(pair: Pair) -> tuple[Tensor, dict[str, Tensor]]:
    made = pair.first @ pair.second[0] * pair.factor
    return made, {"sum": made.sum(), "root": made.abs().sqrt()}


def drawn(seed: int, rows: int = 3) -> Pair:
    generator = torch.Generator().manual_seed(seed)
    first, second = (torch.randn(rows, rows, generator=generator) for _ in range(2))
    return Pair(first, (second,))


def assert_same(value: object, expected: object) -> None:
    for one, other in zip(tensors_of(value), tensors_of(expected), strict=True):
        assert torch.equal(one, other)


def test_a_replay_answers_what_the_function_does() -> None:
    recordings = Recordings(Tape)
    for seed in range(3):
        assert_same(recordings.of(product, drawn(seed)).run(), product(drawn(seed)))


def test_a_recording_is_made_once_for_each_form() -> None:
    made = []

    def recorder() -> Tape:
        made.append(Tape())
        return made[-1]

    recordings = Recordings(recorder)
    for pair in (drawn(0), drawn(1), drawn(2, rows=4), drawn(3), replace(drawn(4), factor=3.0)):
        assert_same(recordings.of(product, pair).run(), product(pair))
    assert len(made) == 3


def test_recordings_of_other_forms_do_not_disturb_each_other() -> None:
    recordings = Recordings(Tape)
    small, large = drawn(0), drawn(1, rows=9)
    for pair in (small, large, small, large):
        assert_same(recordings.of(product, pair).run(), product(pair))


def test_what_lies_in_the_memory_of_another_recording_is_copied_first() -> None:
    recordings = Recordings(Tape)
    held = recordings.of(product, drawn(0, rows=5)).inputs[0]
    turned = replace(held, first=held.second[0], second=(held.first,))
    expected = product(each_tensor(turned, torch.clone))
    assert_same(recordings.of(product, turned).run(), expected)


def grow(pair: Pair) -> Tensor:
    pair.first.mul_(2.0)
    return pair.first.sum()


def test_a_function_may_change_its_inputs_and_goes_on_from_there() -> None:
    pair = drawn(0)
    before = pair.first.clone()
    step = Recordings(Tape).of(grow, pair)
    assert [float(step.run() / before.sum()) for _ in range(3)] == pytest.approx([2.0, 4.0, 8.0])
    assert torch.equal(pair.first, before)


def rows_of(same: Same[Tensor], values: Tensor) -> tuple[Tensor, Tensor]:
    return values @ same.value, values.sum(1)


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4, 5, 11])
def test_rows_are_filled_up_and_parts_joined(count: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_replay, "SIZES", (2, 4))
    matrix, values = drawn(0).first, torch.randn(count, 3)
    recordings = Recordings(Tape)
    for _ in range(2):
        found = recordings.of_rows(
            rows_of, torch.arange(count), lambda some: (Same(matrix), values[some])
        )
        expected = rows_of(Same(matrix), values)
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)
    assert filled(torch.arange(3)).tolist() == [0, 1, 2, 2]


def test_an_object_that_is_the_same_is_not_copied() -> None:
    matrix = torch.ones(2, 2)
    inputs = Recordings(Tape).of(rows_of, Same(matrix), torch.ones(3, 2)).inputs
    assert inputs[0].value is matrix
    assert Same(matrix) == Same(matrix)
    other = matrix.clone()
    held = Same(other)
    assert Same(matrix) != held
    del other
    with pytest.raises(ReferenceError, match="gone"):
        _ = held.value


def leading(matrix: Tensor) -> Tensor:
    values, vectors = eigh_of_gram(matrix)
    return vectors[..., :1] * values[..., :1].unsqueeze(-2)


def test_a_decomposition_runs_between_two_graphs() -> None:
    recordings = Recordings(Tape)
    for seed in range(3):
        first = drawn(seed).first
        gram = (first @ first.mT)[None]
        assert torch.equal(recordings.of(leading, gram).run(), leading(gram))


def gap_and_slope(factor: Tensor) -> tuple[Tensor, Tensor]:
    leaf = factor.detach().requires_grad_()
    loss = eigengap_loss(LowRankCovariance(leaf), torch.full((4,), 2), 5.0)
    return loss.detach(), torch.autograd.grad(loss, leaf)[0]


def test_a_loss_of_eigenvalues_is_recorded_with_its_gradient() -> None:
    recordings = Recordings(Tape)
    for seed in range(3):
        generator = torch.Generator().manual_seed(seed)
        factor = torch.randn(4, 6, 3, dtype=torch.complex128, generator=generator)
        assert_same(recordings.of(gap_and_slope, factor).run(), gap_and_slope(factor))


def test_a_followed_decomposition_is_refused() -> None:
    def values(matrix: Tensor) -> Tensor:
        return on_host(torch.linalg.eigvalsh, matrix.detach().requires_grad_())

    with pytest.raises(RuntimeError, match="cannot be recorded"):
        Recordings(Tape).of(values, torch.eye(3))


def test_a_recording_has_no_numbers() -> None:
    seen = []

    def look(values: Tensor) -> Tensor:
        seen.append((recording(), numbers(values) is None))
        check_finite("values", values)
        return values + 1

    Recordings(Tape).of(look, torch.full((2,), torch.nan))
    assert seen == [(True, True)]
    assert not recording()


@pytest.mark.parametrize(
    ("function", "said"),
    [
        (lambda x: x * x.sum().item(), "waits for the device"),
        (lambda x: x.nonzero(), "waits for the device"),
        (lambda x: x[x > 0], "by a mask"),
        (lambda x: x + torch.tensor([1.0, 2.0, 3.0]), "copied from the host"),
        (lambda x: torch.linalg.eigh(x[:, None] * x).eigenvalues, "waits for the device"),
    ],
)
def test_what_a_graph_cannot_hold_is_refused(function, said: str) -> None:
    with pytest.raises(AssertionError, match=said):
        Recordings(Tape).of(function, torch.ones(3))
    assert not recording()


def test_a_copy_records_for_itself() -> None:
    recordings = Recordings(Tape)
    recordings.of(product, drawn(0))
    other = copy.deepcopy(recordings)
    assert_same(other.of(product, drawn(1)).run(), product(drawn(1)))
    assert_same(recordings.of(product, drawn(2)).run(), product(drawn(2)))


def test_numbers_are_copied_whatever_their_dtype() -> None:
    new = [torch.ones(2), torch.tensor([True]), torch.ones(3), torch.arange(2)]
    held = [torch.zeros_like(x) for x in new]
    overwrite(held, new)
    assert_same(held, new)


def test_a_recording_made_in_inference_mode_serves_outside() -> None:
    recordings = Recordings(Tape)
    with torch.inference_mode():
        recordings.of(product, drawn(0)).run()
    assert_same(recordings.of(product, drawn(1)).run(), product(drawn(1)))


@pytest.mark.parametrize("first", [torch.no_grad, torch.enable_grad])
def test_a_recording_does_not_follow_what_it_copies(first: Any) -> None:
    recordings, pair = Recordings(Tape), drawn(0)
    pair.first.requires_grad_()
    with first():
        recordings.of(product, pair).run()
    assert not any(x.requires_grad for x in tensors_of(recordings.of(product, drawn(1)).run()))
    recordings.of(product, pair)
    assert not any(x.requires_grad for x in tensors_of(recordings.of(product, drawn(1)).run()))


def test_a_function_is_recorded_in_the_mode_of_its_caller() -> None:
    seen = []

    def look(values: Tensor) -> Tensor:
        seen.append(torch.is_grad_enabled())
        return values + 1

    for mode in (torch.no_grad, torch.enable_grad):
        with mode():
            Recordings(Tape).of(look, torch.ones(2))
    assert seen == [False, True]


class FakeGraph:
    """Says what would be done on a GPU; only one may be captured at a time."""

    open = 0

    def capture_begin(self, pool: Any, capture_error_mode: str = "global") -> None:
        # Else what other threads call breaks it off, and fails.
        assert capture_error_mode == "thread_local"
        FakeGraph.open += 1
        assert FakeGraph.open == 1
        time.sleep(0.01)

    def capture_end(self) -> None:
        assert FakeGraph.open == 1
        FakeGraph.open -= 1

    def replay(self) -> None:
        pass


@pytest.fixture
def fake_gpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(FakeGraph, "open", 0)
    monkeypatch.setattr(torch.cuda, "CUDAGraph", FakeGraph)
    for name in ("Stream", "current_stream"):
        monkeypatch.setattr(torch.cuda, name, lambda device=None: MagicMock())
    monkeypatch.setattr(torch.cuda, "stream", lambda stream: nullcontext())
    monkeypatch.setattr(torch.cuda, "synchronize", lambda: None)
    monkeypatch.setattr(torch.cuda, "mem_get_info", lambda: (2**30, 2**33))


@pytest.mark.usefixtures("fake_gpu")
def test_what_a_routine_of_the_host_raises_is_raised() -> None:
    def fails(matrices: Tensor) -> Tensor:
        raise torch.linalg.LinAlgError("no")

    recorder = CudaGraphs(None)

    def function() -> Tensor | None:
        return on_host(fails, torch.ones(2, 2)) if recording() else None

    with pytest.raises(torch.linalg.LinAlgError, match="no"):
        recorder.record(function)
    assert FakeGraph.open == 0
    assert not recording()


@pytest.mark.usefixtures("fake_gpu")
def test_threads_record_one_after_the_other() -> None:
    def record(_: int) -> Tensor:
        return CudaGraphs(None).record(lambda: on_host(torch.clone, torch.ones(2, 2)))

    with ThreadPoolExecutor(4) as pool:
        assert len(list(pool.map(record, range(8)))) == 8


@pytest.mark.usefixtures("fake_gpu")
def test_a_recording_is_made_on_the_device_of_its_inputs(monkeypatch: pytest.MonkeyPatch) -> None:
    devices = []

    def stream(device: torch.device | None = None) -> MagicMock:
        devices.append(device)
        return MagicMock()

    monkeypatch.setattr(torch.cuda, "Stream", stream)
    monkeypatch.setattr(torch.cuda, "graph_pool_handle", lambda: None)
    Recordings().of(torch.neg, torch.empty(2, device="meta"))
    # What runs on another device than the captured stream is not recorded, without a word.
    assert devices == [torch.device("meta")]


@pytest.mark.usefixtures("fake_gpu")
def test_nobody_is_told_of_a_rehearsal() -> None:
    seen: list[tuple[bool, bool]] = []
    told: list[int] = []
    hook = Hook(told.append)

    def function() -> Tensor:
        hook(1)
        seen.append((rehearsing(), recording()))
        return torch.ones(1)

    CudaGraphs(None).record(function)
    # Numbers are looked at in a rehearsal: what is wrong with them is said there.
    assert seen == [(True, False), (False, True)]
    assert told == []
    hook(1)
    assert told == [1]


@pytest.mark.usefixtures("fake_gpu")
@pytest.mark.parametrize(("cached", "freed"), [(2**29, 0), (2**31, 1)])
def test_room_is_made_before_a_capture_where_there_is_little(
    cached: int, freed: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = []
    monkeypatch.setattr(torch.cuda, "memory_reserved", lambda: cached + 5)
    monkeypatch.setattr(torch.cuda, "memory_allocated", lambda: 5)
    monkeypatch.setattr(torch.cuda, "empty_cache", lambda: calls.append(FakeGraph.open))
    CudaGraphs(None).record(lambda: torch.ones(1))
    assert calls == [0] * freed
