"""Steering vectors from plain numbers."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import product
from typing import Any

import torch
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._verified import VERIFIED
from ris_pipeline.scene.array import Panel
from ris_pipeline.verification.adapters._binding import Binding, bindings
from ris_pipeline.verification.adapters._calling import (
    Backend,
    Function,
    arguments_for,
    call,
    likely_backend,
    to_tensor,
)
from ris_pipeline.verification.adapters._strangers import describe, parameters_of
from ris_pipeline.verification.conventions._entry import OURS, Conventions
from ris_pipeline.verification.target import TARGET, Claim, DoesNotApply, provide, taken

BY_POSITIONS = VERIFIED["steering_vector"].parameters
BY_SHAPE = ("shape", "spacing", *BY_POSITIONS[1:])
PROBE_WAVELENGTH = 0.3
"""Of the first panel that a function is asked for, metres."""
PROBED = 6
"""Its elements."""


@dataclass(frozen=True)
class PlainSteering:
    """Somebody's steering vector, to be called as ours, in double precision.

    wavefront: it takes that keyword too; batched: it takes directions (g,) at once and answers
    (g, N), or (N, g) if turned; live: it answers tensors to tensors that ask for a gradient;
    square: one spacing for both axes; infinite: it has an answer for an infinite distance, right or
    wrong; plain: our parameters; conventions: in what it differs from ours.
    """

    function: Function
    backend: Backend
    binding: Binding
    wavefront: bool
    batched: bool = False
    turned: bool = False
    live: bool = False
    square: bool = False
    infinite: bool = False
    plain: tuple[str, ...] = BY_POSITIONS
    conventions: Conventions = OURS

    @property
    def claims(self) -> frozenset[Claim]:
        """What it takes beyond plain sources."""
        never = {Claim.INFINITE: not self.infinite, Claim.SPACINGS: self.square}
        return frozenset(claim for claim in Claim if not never.get(claim))

    @property
    def how(self) -> str:
        """In words."""
        form = ", directions at once" if self.batched else ""
        return f"{self.backend}, {', '.join(self.binding.order)}{form}"

    def __call__(
        self,
        panel: Panel,
        azimuth: Tensor,
        elevation: Tensor,
        distance: Tensor,
        wavefront: str = "spherical",
    ) -> Tensor:
        """The answers of the function, (..., N)."""
        if isinstance(panel.wavelength, Tensor) or panel.positions.ndim > 2:
            raise DoesNotApply("needs one panel for each scene")
        taken((wavefront,))
        where = [x.double() for x in torch.broadcast_tensors(azimuth, elevation, distance)]
        if any(x.requires_grad for x in where) and not self.live:
            raise DoesNotApply("needs a gradient, and it has none")
        if not where[0].numel():
            raise DoesNotApply("needs a batch, also an empty one")
        shape = where[0].shape
        if self.batched and shape:
            flat = tuple(x.reshape(-1) for x in where)
            return self.once(panel, flat, wavefront).reshape(*shape, -1)
        sources = zip(*(x.flatten() for x in where), strict=True)
        answers = [self.once(panel, source, wavefront) for source in sources]
        return torch.stack(answers).reshape(*shape, -1)

    def once(
        self, panel: Panel, source: tuple[Tensor, ...], wavefront: str = "spherical"
    ) -> Tensor:
        """One call; of a vector with an axis of length 1 more, the vector.

        Raises:
            AssertionError: the function changes what it is given.
        """
        given: dict[str, Any] = dict(zip(("azimuth", "elevation", "distance"), source, strict=True))
        given |= {"wavelength": float(panel.wavelength), "positions": panel.positions.double()}
        if "shape" in self.plain:
            given["shape"], given["spacing"] = grid_of(panel)
        given = {name: given[name] for name in self.plain}
        values = self.conventions.arguments(given)
        if self.square:
            values["spacing"] = _one_spacing(values["spacing"])
        handed = arguments_for(self.backend, [values[name] for name in self.binding.order])
        extra = {"wavefront": wavefront} if self.wavefront else {}
        named = dict(zip(self.binding.order, handed, strict=True))
        # Conventions make arrays of their own, so what becomes of them is seen here alone.
        before = [torch.as_tensor(x).detach().clone() for x in handed]
        answer = to_tensor(self.binding(self.function, named, **extra))
        if not all(torch.equal(torch.as_tensor(x), y) for x, y in zip(handed, before, strict=True)):
            raise AssertionError("the arguments are changed")
        if not source[0].ndim and answer.numel() == panel.elements:
            return self.conventions.result(answer.flatten(), given)
        turned = self.turned and answer.ndim == 2
        return self.conventions.result(answer.mT if turned else answer, given)


def grid_of(panel: Panel) -> tuple[tuple[int, int], tuple[float, float]]:
    """Elements (N_H, N_V) and spacing (d_H, d_V) in metres of a regular, centred, flat panel.

    An axis of one element has no spacing: it is given that of the other.

    Raises:
        DoesNotApply: not such a panel.
    """
    positions = panel.positions.detach().double()
    x, y, _ = positions.unbind(-1)
    n_h = int((y == y[0]).sum())
    n_v = panel.elements // n_h
    regular = n_h * n_v == panel.elements
    steps = [float(x[1] - x[0])] if n_h > 1 else []
    steps += [float(y[n_h] - y[0])] if n_v > 1 and regular else []
    if regular and steps:
        along, across = (torch.arange(n).double() - (n - 1) / 2 for n in (n_h, n_v))
        grid = torch.stack(
            (
                (along * steps[0]).repeat(n_v),
                (across * steps[-1]).repeat_interleave(n_h),
                torch.zeros(n_h * n_v, dtype=torch.float64),
            ),
            dim=-1,
        )
        # Positions may have been rounded to single precision.
        regular = bool(torch.allclose(positions, grid, rtol=0.0, atol=1e-6 * abs(steps[0])))
    if not regular or not steps:
        raise DoesNotApply("needs a panel that is no regular grid")
    return (n_h, n_v), (steps[0], steps[-1])


def _one_spacing(both: Sequence[float]) -> float:
    """The spacing of both axes.

    Raises:
        DoesNotApply: they have not one.
    """
    first, second = (float(spacing) for spacing in both)
    if not math.isclose(first, second, rel_tol=1e-6):
        raise DoesNotApply("needs a spacing for each axis")
    return first


def adapt_steering(
    function: Function,
    signature: str,
    backend: Backend | None = None,
    conventions: Conventions = OURS,
) -> PlainSteering:
    """Find out what a steering vector takes: positions, or the shape and spacing of a grid.

    Raises:
        InputError: it takes neither.
    """
    own = parameters_of(function)
    names = tuple(p.name for p in own or ())
    first: Exception | None = None
    answered: PlainSteering | None = None
    for plain in _ways(function, names, backend, conventions):
        answer, error = _probed(plain, ())
        if error is None and answer.shape == (PROBED,):
            if bool(torch.allclose(answer.detach().to(torch.complex128), _truth(), atol=1e-5)):
                return _completed(plain)
            answered = answered or plain
            continue
        if error is None:
            error = ValueError(f"answers shape {tuple(answer.shape)}, expected ({PROBED},)")
        if isinstance(error, AssertionError):
            # For the laws to say.
            answered = answered or plain
        first = first or error
    if answered is not None:
        return _completed(answered)
    if first is None:
        raise InputError(f"it takes {', '.join(names) or 'nothing'}: expected is {signature}")
    raise InputError(f"it cannot be called as {signature}: {describe(first)}")


def _completed(plain: PlainSteering) -> PlainSteering:
    """With what it takes beside one direction, and whether it has gradients."""
    plain = replace(plain, live=_answers_live(plain), infinite=_answers_far(plain))
    for turned in (False, True):
        # As many as there are neither elements nor coordinates.
        several, failed = _probed(replace(plain, turned=turned), (4,))
        if failed is None and several.shape == (4, PROBED):
            return replace(plain, batched=True, turned=turned)
    return plain


def _answers_far(plain: PlainSteering) -> bool:
    """Whether an infinite distance is answered by numbers: inf - inf is not, and shows."""
    panel, (azimuth, elevation, distance) = _probe(())
    answer, error = call(
        plain.once, (panel, (azimuth, elevation, torch.full_like(distance, math.inf)))
    )
    return error is None and bool(torch.isfinite(torch.as_tensor(answer).abs()).all())


def _truth() -> Tensor:
    """Our answer to the probe, by which an order of parameters is preferred to another."""
    panel, where = _probe(())
    with provide({}):
        ours: Tensor = TARGET.steering_vector(panel, *where)
    return ours


def _answers_live(plain: PlainSteering) -> bool:
    """Whether it answers a tensor to tensors that ask for a gradient, attached or not."""
    if plain.backend == "numpy":
        return False
    panel, where = _probe((), live=True)
    seen: list[Any] = []

    def watched(*arguments: Any, **named: Any) -> Any:
        seen.append(plain.function(*arguments, **named))
        return seen[-1]

    _, error = call(replace(plain, function=watched).once, (panel, where))
    return error is None and isinstance(seen[-1], Tensor)


def _ways(
    function: Function,
    names: tuple[str, ...],
    backend: Backend | None,
    conventions: Conventions,
) -> Iterator[PlainSteering]:
    """The likeliest ways to call it first."""
    likely = backend or likely_backend(function)
    every: tuple[Backend, ...] = ("torch", "numpy")
    backends = sorted(every, key=lambda one: one != likely)
    for plain in (BY_SHAPE, BY_POSITIONS):
        for binding in _likely(function, conventions.parameters(plain)):
            spacings = (False, True) if plain is BY_SHAPE else (False,)
            for square, chosen in product(spacings, backends if backend is None else (backend,)):
                yield PlainSteering(
                    function,
                    chosen,
                    binding,
                    "wavefront" in names,
                    square=square,
                    plain=plain,
                    conventions=conventions,
                )


def _likely(function: Function, plain: tuple[str, ...]) -> Iterator[Binding]:
    """The order that the names say, that of the signature, and either with its angles exchanged:
    some call the azimuth theta."""
    ranked = list(bindings(function, plain))
    for order in (*(one.order for one in ranked[:1]), plain):
        for wanted in (order, _exchanged(order)):
            yield from (one for one in ranked if one.order == wanted)


def _exchanged(order: tuple[str, ...]) -> tuple[str, ...]:
    other = {"azimuth": "elevation", "elevation": "azimuth"}
    return tuple(other.get(name, name) for name in order)


def _probe(batch: tuple[int, ...], live: bool = False) -> tuple[Panel, tuple[Tensor, ...]]:
    """Three columns of two elements, and one direction to them or several: as many as there are
    neither coordinates nor numbers in a pair of spacings, which would do by chance."""
    offsets = ((x, y, 0.0) for y in (-0.1, 0.1) for x in (-0.2, 0.0, 0.2))
    positions = torch.tensor(list(offsets), dtype=torch.float64)
    where = tuple(
        torch.full(batch, x, dtype=torch.float64).requires_grad_(live) for x in (0.1, 0.2, 3.0)
    )
    return Panel(positions, PROBE_WAVELENGTH), where


def _probed(plain: PlainSteering, batch: tuple[int, ...]) -> tuple[Any, Exception | None]:
    """The answer to a probe."""
    return call(plain.once, _probe(batch))
