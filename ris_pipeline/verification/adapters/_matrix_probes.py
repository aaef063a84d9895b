"""How a function of matrices wants to be called: found out by calling it."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline.verification.adapters._binding import bindings
from ris_pipeline.verification.adapters._calling import (
    Backend,
    Function,
    arguments_for,
    call,
    find_backend,
)
from ris_pipeline.verification.adapters._matrices import PlainMatrixFunction
from ris_pipeline.verification.adapters._matrix_function import (
    NARROW,
    PROBE_K,
    WIDE,
    MatrixFunction,
)
from ris_pipeline.verification.adapters._strangers import describe
from ris_pipeline.verification.conventions._entry import OURS, Conventions
from ris_pipeline.verification.target import Claim

PROBE_BATCHES: tuple[tuple[int, ...], ...] = ((), (2,), (2, 3))


def adapt_matrix(
    function: Function,
    kind: MatrixFunction,
    signature: str,
    backend: Backend | None = None,
    batched: bool | None = None,
    conventions: Conventions = OURS,
) -> PlainMatrixFunction:
    """Find out by calling how a function wants to be called.

    A batch that is answered in the shape of one, or of a single matrix, or by as many axes as it
    should, counts as claimed, right or wrong.

    Raises:
        InputError: it cannot be called so, or answers something of another shape.
    """
    plain = _bound(function, kind, signature, backend, conventions)
    dtype = plain.dtype or WIDE
    axes = {
        count
        for count, batch in enumerate(PROBE_BATCHES)
        if plain.answers(kind.probe(batch, dtype)) is not None
    }
    if _answers_each(plain, dtype) or (1 not in axes and _answers_once(plain, dtype)):
        axes |= {1, 2}
    if not axes & {1, 2} and _answers_batches_otherwise(plain, dtype):
        axes |= {1, 2}
    if 1 in axes and (_leaves_an_axis(plain, dtype) or _leaves_a_batch_flat(plain, dtype)):
        axes |= {2}
    if batched is not None:
        axes = {0, 1, 2} if batched else {0}
    if batched is None and axes >= {0, 1} and _batch_only(plain, dtype):
        axes.remove(0)
    plain = replace(plain, axes=frozenset(axes or {0}))
    if plain.dtype is None:
        _, error = call(plain, tuple(kind.probe((), NARROW).values()))
        plain = replace(plain, dtype=None if error is None else WIDE)
    return replace(plain, claims=frozenset(_claims(plain, dtype)))


def _bound(
    function: Function,
    kind: MatrixFunction,
    signature: str,
    backend: Backend | None,
    conventions: Conventions,
) -> PlainMatrixFunction:
    """The first way to call it that is answered in the right shape, by any number of axes.

    Else the first one whose answer to a matrix differs in the length of an axis alone: that is
    wrong, and the laws say so.
    """
    first: Exception | None = None
    other: PlainMatrixFunction | None = None
    ways = list(bindings(function, kind.parameters))
    if not ways:
        raise InputError(f"it takes other parameters: expected is {signature}")
    for dtype in (None, NARROW):
        for binding in ways:
            for listed in (False, True) if "k" in kind.parameters else (False,):
                given = PlainMatrixFunction(
                    function,
                    kind,
                    backend or "torch",
                    binding,
                    dtype=dtype,
                    listed=listed,
                    conventions=conventions,
                )
                plain, error = _tried(given, signature, backend)
                if plain is not None and error is None:
                    return plain
                if other is None and plain is not None and _of_as_many_axes(plain):
                    other = plain
                first = first or error
    if other is not None and not conventions.parts:
        return other
    assert first is not None
    raise InputError(f"it cannot be called as {signature}: {describe(first)}")


def _tried(
    given: PlainMatrixFunction, signature: str, backend: Backend | None
) -> tuple[PlainMatrixFunction | None, Exception | None]:
    """One way to call it, and what is against it: the right shape of no answer is an error."""
    kind, binding = given.kind, given.binding
    batches = PROBE_BATCHES[1:] if given.listed else PROBE_BATCHES
    probes = [kind.probe(batch, given.dtype or WIDE) for batch in batches]
    if given.listed:
        for batch, probe in zip(batches, probes, strict=True):
            probe["k"] = torch.full(batch, PROBE_K)

    def placed(*values: Any) -> Any:
        arrays = any(isinstance(x, np.ndarray) for x in values)
        # Conventions are changes of tensors.
        tensors = (torch.from_numpy(x) if isinstance(x, np.ndarray) else x for x in values)
        named = given.conventions.arguments(dict(zip(kind.parameters, tensors, strict=True)))
        handed = arguments_for("numpy" if arrays else "torch", list(named.values()))
        return binding(given.function, dict(zip(named, handed, strict=True)))

    try:
        chosen = backend or find_backend(
            placed, [list(p.values()) for p in probes[:2]], signature, given.function
        )
    except InputError as error:
        return None, error.__cause__ if isinstance(error.__cause__, Exception) else error
    plain = replace(given, backend=chosen)
    if any(plain.answers(probe) is not None for probe in probes):
        return plain, None
    answer, error = call(plain.once, (probes[0],))
    if error is None:
        error = ValueError(f"answers shape {tuple(answer.shape)}, expected {kind.shape(probes[0])}")
    return plain, error


def _of_as_many_axes(plain: PlainMatrixFunction, batch: tuple[int, ...] = ()) -> bool:
    """Whether it answers a matrix, or a batch, by as many axes as it should."""
    given = plain.kind.probe(batch, plain.dtype or WIDE)
    answer, error = call(plain.once, (given,))
    return error is None and answer.ndim == len(plain.kind.shape(given)) > 0


def _answers_batches_otherwise(plain: PlainMatrixFunction, dtype: torch.dtype) -> bool:
    """Whether batches of any size are answered by as many axes as they should, of other lengths.

    Sizes longer than any axis of one matrix among them: a transpose of all axes refuses those.
    """
    wide = replace(plain, dtype=dtype)
    return all(_of_as_many_axes(wide, (size,)) for size in (3, 7, 11))


def _answers_each(plain: PlainMatrixFunction, dtype: torch.dtype) -> bool:
    """Whether a batch is answered by one value a matrix where its mean is asked for."""
    if not plain.kind.mean:
        return False
    answer, error = call(plain.once, (plain.kind.probe((2,), dtype),))
    return error is None and tuple(answer.shape) == (2,)


def _leaves_an_axis(plain: PlainMatrixFunction, dtype: torch.dtype) -> bool:
    """Whether a mean over two axes is taken over one of them."""
    if not plain.kind.mean:
        return False
    answer, error = call(plain.once, (plain.kind.probe(PROBE_BATCHES[2], dtype),))
    return error is None and answer.ndim == 1


def _leaves_a_batch_flat(plain: PlainMatrixFunction, dtype: torch.dtype) -> bool:
    """Whether two axes of a batch are answered as one."""
    outer, inner = PROBE_BATCHES[2]
    answer, error = call(plain.once, (plain.kind.probe((outer, inner), dtype),))
    flat = plain.kind.shape(plain.kind.probe((outer * inner,), dtype))
    return error is None and len(flat) > 0 and tuple(answer.shape) == flat


def _answers_once(plain: PlainMatrixFunction, dtype: torch.dtype) -> bool:
    """Whether a batch is answered by what is asked for of one matrix: by its mean, or its first."""
    answer, error = call(plain.once, (plain.kind.probe((3,), dtype),))
    return error is None and tuple(answer.shape) == plain.kind.shape(plain.kind.probe((), dtype))


def _batch_only(plain: PlainMatrixFunction, dtype: torch.dtype) -> bool:
    """Whether a batch is answered rightly and a matrix alone is not, as by `vmap` over its rows."""

    def right(batch: tuple[int, ...]) -> bool:
        given = plain.kind.probe(batch, dtype)
        answer = plain.answers(given)
        if answer is None or plain.kind.truth is None:
            return False
        theirs, ours = (_gauge_free(x) for x in (answer, plain.kind.truth(*given.values())))
        size = float(ours.abs().max())
        return bool(torch.allclose(theirs, ours, rtol=0.0, atol=1e-3 * size))

    return right((2,)) and not right(())


def _gauge_free(answer: Tensor) -> Tensor:
    """A tall basis as its projector, anything else as it is."""
    wide = answer.detach().to(WIDE)
    return wide @ wide.mH if wide.ndim > 1 and wide.shape[-1] < wide.shape[-2] else wide


def _claims(plain: PlainMatrixFunction, dtype: torch.dtype) -> set[Claim]:
    """What it takes beyond plain matrices: what it answers in the right shape, without an error."""
    kind, first = plain.kind, plain.kind.parameters[0]
    single = 0 in plain.axes
    base, batch = kind.probe(() if single else (2,), dtype), kind.probe((2,), dtype)
    claims = set()
    skew = {**base, first: base[first] + 0.1j * torch.ones_like(base[first])}
    if plain.answers(skew) is not None:
        claims.add(Claim.NOT_HERMITIAN)
    empty = {**batch, first: batch[first][:0]}
    if max(plain.axes) and (kind.mean or plain.answers(empty) is not None):
        claims.add(Claim.EMPTY)
    if max(plain.axes) == 0 or _takes_orders(plain, batch):
        claims.add(Claim.ORDERS)
    if "steering" in kind.parameters:
        each = {**batch, "steering": torch.stack((batch["steering"], batch["steering"].flip(-1)))}
        if max(plain.axes) == 0 or plain.answers(each) is not None:
            claims.add(Claim.STEERING)
    if plain.backend == "torch" and _answers_live(plain, base):
        claims.add(Claim.GRADIENT)
    # The dtype of a tensor is chosen; that of an array is what was typed.
    if plain.backend == "numpy":
        claims.add(Claim.WHOLE)
    return claims


def _answers_live(plain: PlainMatrixFunction, given: Mapping[str, Any]) -> bool:
    """Whether it answers a tensor to a tensor that asks for a gradient, attached or not, and does
    not refuse the gradient openly, which a loss must not."""
    first = plain.kind.parameters[0]
    live = {**given, first: given[first].clone().requires_grad_()}
    if plain.listed:
        live["k"] = torch.full(live[first].shape[:-2], PROBE_K)
    values = plain.conventions.arguments(live)
    answer, error = call(plain.binding, (plain.function, values))
    if error is not None:
        return False
    value = answer[0] if isinstance(answer, tuple) else answer
    return isinstance(value, Tensor) and (plain.kind.mean or not _refuses(value, live[first]))


def _refuses(answer: Tensor, leaf: Tensor) -> bool:
    """Whether torch itself says that there is no gradient, as of a complete QR."""
    if not answer.requires_grad:
        return False

    def slope() -> Any:
        return torch.autograd.grad(answer.abs().sum(), leaf, allow_unused=True)

    error = call(slope, ())[1]
    return isinstance(error, NotImplementedError) or "not differentiable" in str(error)


def _takes_orders(plain: PlainMatrixFunction, batch: Mapping[str, Any]) -> bool:
    """Whether a tensor of orders is taken as one for each matrix, right or wrong."""
    if "k" not in plain.kind.parameters:
        return False
    given = {**batch, "k": torch.tensor([1, 3])}
    answer, error = call(plain.once, (given,))
    if error is not None or tuple(answer.shape) != plain.kind.shape(given):
        return False
    if not plain.kind.mean:
        return plain.kind.core(2, 2, 1, 1) == ()
    # `S[..., k - 1]` with a tensor of orders pairs every matrix with every order, and its mean is a
    # number all the same: such a function is one of a whole number k.
    pairs = [plain.once({**batch, "k": k}) for k in (1, 3)]
    crossed = torch.stack([x.double().mean() for x in pairs]).mean()
    return not bool(torch.isclose(answer.double().mean(), crossed, rtol=1e-6))
