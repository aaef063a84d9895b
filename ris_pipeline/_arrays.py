"""The one place where arrays become tensors: numpy works wherever torch does.

Every public function of `scene`, `spectral` and `localization` is wrapped at its room's door
(`open_doors`). An array argument may be a torch tensor or a numpy array of the same dtype. Where
numpy arrays and no tensors were given, tensors come back as numpy arrays; objects (`Estimates`,
`LowRankCovariance`, ...) hold tensors always, and say `to_dict`. Gradients need tensors.
"""

import functools
import inspect
from collections.abc import Callable, Iterable, MutableMapping
from dataclasses import fields
from types import NoneType
from typing import Any, TypeAlias, TypeVar, get_args, get_origin

import numpy as np
import torch
from jaxtyping import AbstractArray
from numpy.typing import NDArray
from torch import Tensor

from ris_pipeline._errors import InputError

Array: TypeAlias = Tensor | NDArray[Any]

_Call = TypeVar("_Call", bound=Callable[..., Any])

_KINDS = "biufc"


def to_tensor(name: str, value: Any) -> Tensor:
    """A tensor as it is, an array as a tensor of the same numbers, sharing memory where it can.

    Raises:
        InputError: neither, or an array of a dtype that torch does not have.
    """
    if isinstance(value, Tensor):
        return value
    if not isinstance(value, np.ndarray | np.generic):
        kind = type(value).__name__
        raise InputError(f"{name} is a {kind}: allowed are torch tensors and numpy arrays")
    array = np.asarray(value)
    if array.dtype.kind not in _KINDS:
        raise InputError(f"{name} has dtype {array.dtype}: allowed are numbers")
    # Foreign byte order, negative strides and memory that must not be written are copied away.
    array = np.require(array, dtype=array.dtype.newbyteorder("="), requirements=["C", "W"])
    # For numpy a complex number may stand where a real one may; kernels of torch end the process.
    if array.ctypes.data % array.itemsize:
        array = array.copy()
    try:
        return torch.from_numpy(array)
    except TypeError:
        raise InputError(
            f"{name} has dtype {array.dtype}: allowed are those of torch, such as float64 and "
            "complex128"
        ) from None


def as_arrays(value: Any) -> Any:
    """Tensors as numpy arrays, in tuples and lists too; all else as it is."""
    if isinstance(value, Tensor):
        return value.numpy(force=True)
    if type(value) in (tuple, list):
        return type(value)(as_arrays(part) for part in value)
    return value


def own_tensors(instance: Any) -> None:
    """Turn the arrays among the fields of a dataclass, frozen or not, into tensors."""
    for field in fields(instance):
        value = getattr(instance, field.name)
        if isinstance(value, np.ndarray):
            object.__setattr__(instance, field.name, to_tensor(field.name, value))


def _is_array(annotation: Any) -> bool:
    if annotation is Tensor:
        return True
    return isinstance(annotation, type) and issubclass(annotation, AbstractArray)


def _alternatives(annotation: Any) -> tuple[type, ...] | None:
    """What a parameter may be beside an array; None where it is no array."""
    options = get_args(annotation) or getattr(annotation, "__constraints__", ())
    if _is_array(annotation):
        options = (annotation,)
    if not any(map(_is_array, options)):
        return None
    return tuple(get_origin(option) or option for option in options if not _is_array(option))


def _refuse(name: str, value: Any, others: tuple[type, ...]) -> None:
    """Raise `InputError` for what is neither an array nor one of the others."""
    numbers = bool({int, float} & {*others})
    if isinstance(value, others) or (numbers and isinstance(value, int | float)):
        return
    known = ("None" if other is NoneType else other.__name__ for other in others)
    options = ", ".join(("torch tensors", "numpy arrays", *known))
    raise InputError(f"{name} is a {type(value).__name__}: allowed are {options}")


def takes_arrays(function: _Call) -> _Call:
    """The same function, for numpy arrays too."""
    parameters = inspect.signature(function, eval_str=True).parameters
    taken = {name: _alternatives(p.annotation) for name, p in parameters.items()}
    names = tuple(taken)

    def converted(name: str, value: Any) -> Any:
        others = taken.get(name)
        if others is None or isinstance(value, Tensor):
            return value
        if isinstance(value, np.ndarray):
            return to_tensor(name, value)
        value = value.item() if isinstance(value, np.generic) else value
        _refuse(name, value, others)
        return value

    @functools.wraps(function)
    def door(*args: Any, **kwargs: Any) -> Any:
        given = (*args, *kwargs.values())
        tensors = any(isinstance(value, Tensor) for value in given)
        arrays = any(isinstance(value, np.ndarray) for value in given)
        result = function(
            *(converted(name, value) for name, value in zip(names, args, strict=False)),
            *args[len(names) :],
            **{name: converted(name, value) for name, value in kwargs.items()},
        )
        return as_arrays(result) if arrays and not tensors else result

    return door  # type: ignore[return-value]


def open_doors(
    room: MutableMapping[str, Any],
    names: Iterable[str],
    inner: Callable[[_Call], _Call] = lambda function: function,
) -> None:
    """Put the public functions of a room, `names` of its `globals()`, behind `takes_arrays`.

    inner: what they are put behind first, such as `_entry.checked`.
    """
    for name in names:
        if inspect.isfunction(room[name]):
            room[name] = takes_arrays(inner(room[name]))
            # Where pickle finds it again.
            room[name].__module__ = room["__name__"]
