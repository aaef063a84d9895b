"""Numpy works wherever torch does, at every public door."""

import inspect
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch

from ris_pipeline import InputError, localization, scene, spectral
from ris_pipeline._arrays import own_tensors, takes_arrays, to_tensor
from ris_pipeline.config import Scenario
from ris_pipeline.spectral import LowRankCovariance, eigengap_loss, nmse, shrink

ROOMS = scene, spectral, localization
DOORS = [
    pytest.param(getattr(room, name), id=f"{room.__name__.split('.')[1]}.{name}")
    for room in ROOMS
    for name in room.__all__
    if inspect.isfunction(getattr(room, name))
]
R: Any = np.diag([3.0, 2.0, 1.0]).astype(np.complex64)


@pytest.mark.parametrize("door", DOORS)
def test_every_public_function_is_behind_the_door(door: Any) -> None:
    assert door.__wrapped__.__module__.startswith("ris_pipeline.")
    assert inspect.signature(door) == inspect.signature(door.__wrapped__)


@pytest.mark.parametrize("door", DOORS)
def test_a_wrong_type_says_so(door: Any) -> None:
    parameters = inspect.signature(door, eval_str=True).parameters.values()
    first = next(iter(parameters), None)
    if first is None or "Tensor" not in str(first.annotation):
        return
    with pytest.raises(InputError, match=f"^{first.name} is a set: allowed are torch"):
        door({1, 2}, *(None for p in parameters if p.default is p.empty and p is not first))


def test_answers_come_back_in_the_kind_that_was_given(untyped) -> None:
    numpy, torch_ = spectral.eigh(R), spectral.eigh(torch.tensor(R))
    assert all(isinstance(part, np.ndarray) for part in numpy)
    assert all(isinstance(part, torch.Tensor) for part in torch_)
    assert np.array_equal(numpy[0], torch_[0].numpy())
    assert isinstance(nmse(R[None], torch.tensor(R[None])), torch.Tensor)
    with untyped():
        assert isinstance(shrink(LowRankCovariance(R), 0.1), LowRankCovariance)


@pytest.mark.parametrize("door", DOORS)
def test_a_door_can_be_sent_to_another_process(door: Any) -> None:
    assert pickle.loads(pickle.dumps(door)) is door  # noqa: S301


def test_gradients_go_through_the_door() -> None:
    matrix = torch.tensor(R, requires_grad=True)
    eigengap_loss(matrix, 1, 5.0).backward()
    assert matrix.grad is not None


@pytest.mark.parametrize(
    "array",
    [
        R[::-1, ::-1],
        R.T[::2],
        R.astype(R.dtype.newbyteorder(">")),
        np.asfortranarray(R),
        np.frombuffer(R.tobytes(), R.dtype),
        np.complex64(3),
    ],
    ids=["backwards", "strided", "big endian", "fortran", "read only", "scalar"],
)
def test_arrays_of_every_make(array: Any) -> None:
    assert np.array_equal(to_tensor("x", array).numpy(), array)


def test_complex_numbers_stand_where_kernels_may_load_them() -> None:
    memory = np.zeros(16 * 5, np.uint8)
    odd = memory[8 - memory.ctypes.data % 16 :][: 16 * 4].view(np.complex128)
    assert odd.ctypes.data % 16
    assert to_tensor("x", odd).data_ptr() % 16 == 0


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.0], "x is a list: allowed are torch tensors and numpy arrays"),
        (None, "x is a NoneType"),
        (np.array([object()]), "x has dtype object: allowed are numbers"),
        (np.ones(2, np.clongdouble), "allowed are those of torch"),
    ],
)
def test_what_is_no_array(value: Any, message: str) -> None:
    with pytest.raises(InputError) as refused:
        to_tensor("x", value)
    assert message in str(refused.value)


def test_numbers_of_numpy_are_numbers() -> None:
    one: Any = np.int64(1)
    assert eigengap_loss(R, one, np.float64(5.0)) == eigengap_loss(R, 1, 5.0)


def test_a_function_of_no_arrays_is_left_alone() -> None:
    assert takes_arrays(lambda x, *rest: (x, *rest))(1, 2, 3) == (1, 2, 3)


def test_fields_of_frozen_classes_become_tensors(untyped) -> None:
    with untyped():
        panel = scene.Panel(np.zeros((2, 3)), 0.3)  # type: ignore[arg-type]
    own_tensors(panel)
    assert isinstance(panel.positions, torch.Tensor)


def test_a_panel_as_it_is_may_be_of_numpy(untyped) -> None:
    scenes = scene.simulate(Scenario(panel=(4, 4), sources=(1, 1)), 0, torch.arange(2))
    truth = scenes.truth
    assert truth is not None
    with untyped():
        panel = scene.Panel(truth.panel.positions.numpy(), truth.panel.wavelength)  # type: ignore[arg-type]
        own = replace(truth, panel=panel, response=truth.response.numpy())  # type: ignore[arg-type]
    clean = [scene.clean_snapshots(replace(scenes, truth=panel)) for panel in (truth, own)]
    assert torch.equal(*clean)
