"""Torch or numpy, and what comes back: the part of an adapter that does not know the function."""

import inspect
import math
import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from types import ModuleType
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor

from ris_pipeline._errors import CALL_ERRORS, InputError
from ris_pipeline.verification.adapters._strangers import describe, parameters_of
from ris_pipeline.verification.target import DoesNotApply

Backend = Literal["torch", "numpy"]
Function = Callable[..., Any]


def to_numpy(tensor: Tensor) -> Any:
    """The tensor's numbers, in shared memory where it can be: a function that overwrites its
    argument shall be seen to.

    Raises:
        DoesNotApply: the tensor asks for a gradient.
    """
    if tensor.requires_grad:
        raise DoesNotApply("needs a gradient, which numpy has not")
    return tensor.resolve_conj().resolve_neg().numpy()


def arguments_for(backend: Backend, arguments: Sequence[Any]) -> list[Any]:
    """The arguments as the backend takes them; a tensor without axes is a float to numpy."""
    if backend == "torch":
        return list(arguments)
    plain = [to_numpy(x) if isinstance(x, Tensor) else x for x in arguments]
    return [x.item() if isinstance(x, np.ndarray) and not x.ndim else x for x in plain]


def parts_of(answer: Any) -> tuple[Any, ...]:
    """The parts of a tuple, a data class or a dictionary; else the answer alone."""
    if isinstance(answer, tuple):
        return answer
    if is_dataclass(answer) and not isinstance(answer, type):
        return tuple(getattr(answer, one.name) for one in fields(answer))
    return tuple(answer.values()) if isinstance(answer, Mapping) else (answer,)


def to_tensor(answer: Any) -> Tensor:
    """An answer as a tensor: of several, the first.

    Raises:
        TypeError: no number, array or tensor.
    """
    first = next(iter(parts_of(answer)), None)
    if isinstance(first, Tensor):
        return first
    array = np.asarray(first)
    if array.dtype.kind not in "fciu":
        raise TypeError(f"answers {type(first).__name__}: expected are numbers")
    # torch takes no view with negative strides, as `[::-1]` makes, and none that is read only. A
    # copy always has new strides; `ascontiguousarray` keeps those of an axis of length 1.
    if min(array.strides, default=0) < 0 or not array.flags.writeable:
        array = array.copy()
    return torch.from_numpy(array)


def real_part(answer: Tensor) -> Tensor:
    """A real answer that came as a complex number whose imaginary part is rounding.

    Raises:
        AssertionError: it is more than rounding.
    """
    if not answer.is_complex() or not answer.numel():
        return answer.real if answer.is_complex() else answer
    size = float(answer.detach().abs().max())
    # Rounding grows with the condition number; once it has eaten half of the digits the real part
    # is wrong as well, and that is for the law to say.
    off = float(answer.detach().imag.abs().max())
    allowed = size * math.sqrt(torch.finfo(answer.dtype).eps)
    if not off <= allowed:
        raise AssertionError(f"answers complex numbers: imaginary part {off:.3e}, real expected")
    return answer.real


def likely_backend(function: Function) -> Backend | None:
    """The backend that the first parameter's annotation names, or else the only one that the
    function's code names, or else that its module imports."""
    parameters = parameters_of(function)
    text = str(parameters[0].annotation) if parameters else ""
    names = {"torch": "Tensor" in text, "numpy": "ndarray" in text or "NDArray" in text}
    seen = _globals(function)
    code = getattr(_inner(function), "__code__", None)
    named = {name: seen[name] for name in (code.co_names if code else ()) if name in seen}
    for scope in (named, seen):
        if not any(names.values()):
            imported = {x.__name__ for x in scope.values() if isinstance(x, ModuleType)}
            names = {backend: backend in imported for backend in names}
    found: list[Backend] = [b for b in ("torch", "numpy") if names[b]]
    return found[0] if len(found) == 1 else None


def _inner(function: Function) -> Any:
    """A function, that of a method, or a module's forward."""
    inner: Any = inspect.unwrap(function)
    inner = getattr(inner, "forward", inner) if isinstance(inner, torch.nn.Module) else inner
    inner = getattr(inner, "func", inner)
    return getattr(inner, "__func__", inner)


def _globals(function: Function) -> dict[str, Any]:
    """What the module of a function sees."""
    inner = _inner(function)
    if hasattr(inner, "__globals__"):
        return dict(inner.__globals__)
    return vars(sys.modules.get(type(inner).__module__, inspect))


def find_backend(
    function: Function,
    probes: Sequence[Sequence[Any]],
    signature: str,
    inner: Function | None = None,
) -> Backend:
    """The backend of a function, by the first of these that says it; inner: the function whose
    annotations and module are read, if not itself.

    1. its annotation, or what its module imports (`likely_backend`), if it can be called so;
    2. torch, if it takes tensors that ask for gradients and answers a tensor;
    3. numpy, if it takes arrays;
    4. torch, if it takes tensors at all: one that answers a float is one, without a gradient.

    Raises:
        InputError: it takes neither.
    """
    likely = likely_backend(inner or function)
    for arguments in probes:
        if likely and call(function, arguments_for(likely, arguments))[1] is None:
            return likely
    for arguments in probes:
        leaves = [x.clone().requires_grad_() if _leaf(x) else x for x in arguments]
        answer, live = call(function, leaves)
        if live is None and isinstance(answer[0] if isinstance(answer, tuple) else answer, Tensor):
            return "torch"
        if call(function, arguments_for("numpy", arguments))[1] is None:
            return "numpy"
        if live is None or call(function, arguments)[1] is None:
            return "torch"
    error = call(function, probes[0])[1]
    said = "" if error is None else describe(error)
    raise InputError(f"it cannot be called as {signature}: {said}") from error


def _leaf(value: Any) -> bool:
    if not isinstance(value, Tensor) or value.requires_grad:
        return False
    return value.is_floating_point() or value.is_complex()


def call(function: Function, arguments: Sequence[Any]) -> tuple[Any, Exception | None]:
    """The answer, or the error that the function raised."""
    with warnings.catch_warnings():
        # A probe need not make sense to the function: what it warns of then is of no interest.
        warnings.simplefilter("ignore")
        try:
            return function(*arguments), None
        except CALL_ERRORS as error:
            return None, error
