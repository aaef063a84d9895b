"""Steering vectors from plain numbers."""

import inspect
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline.scene.array import Panel
from ris_pipeline.verification.adapters._calling import (
    Backend,
    Function,
    arguments_for,
    call,
    describe,
    likely_backend,
    to_tensor,
)
from ris_pipeline.verification.target import DoesNotApply, taken

BY_POSITIONS = ("positions", "azimuth", "elevation", "distance", "wavelength")
BY_SHAPE = ("shape", "spacing", "azimuth", "elevation", "distance", "wavelength")

ALSO_CALLED = {
    "positions": ("pos", "position", "q", "elements", "element_positions", "coordinates", "xyz"),
    "shape": ("panel", "size", "elements_shape"),
    "spacing": ("d", "spacings", "element_spacing"),
    "azimuth": ("az", "azi", "phi"),
    "elevation": ("el", "elev", "theta"),
    "distance": ("r", "range", "range_", "dist"),
    "wavelength": ("lam", "lambda_", "lamda", "lmbda", "wl"),
}
"""What the field calls each of them; angles by the letters of the signal model."""


@dataclass(frozen=True)
class PlainSteering:
    """Somebody's steering vector, to be called as ours, one source at a time, in double precision.

    parameters: what it takes, in order; names: its own words for them, by which they are passed
    (None: by place); wavefront: it takes that keyword too.
    """

    function: Function
    backend: Backend
    parameters: tuple[str, ...]
    names: tuple[str, ...] | None
    wavefront: bool

    @property
    def how(self) -> str:
        """In words."""
        return f"{self.backend}, {', '.join(self.parameters)}"

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
        where = torch.broadcast_tensors(azimuth, elevation, distance)
        if not where[0].numel():
            raise DoesNotApply("needs a batch, also an empty one")
        sources = zip(*(x.double().flatten() for x in where), strict=True)
        answers = [self._once(panel, source, wavefront) for source in sources]
        return torch.stack(answers).reshape(*where[0].shape, -1)

    def _once(self, panel: Panel, source: tuple[Tensor, ...], wavefront: str) -> Tensor:
        given: dict[str, Any] = dict(zip(("azimuth", "elevation", "distance"), source, strict=True))
        given |= {"wavelength": float(panel.wavelength), "positions": panel.positions.double()}
        if "shape" in self.parameters:
            given["shape"], given["spacing"] = grid_of(panel)
        chosen = [given[name] for name in self.parameters]
        values = arguments_for(self.backend, chosen)
        extra = {"wavefront": wavefront} if self.wavefront else {}
        if self.names is None:
            return to_tensor(self.function(*values, **extra))
        return to_tensor(self.function(**dict(zip(self.names, values, strict=True)), **extra))


def grid_of(panel: Panel) -> tuple[tuple[int, int], tuple[float, float]]:
    """Elements (N_H, N_V) and spacing (d_H, d_V) in metres of a regular panel.

    An axis of one element has no spacing: it is given that of the other.

    Raises:
        DoesNotApply: not a regular panel.
    """
    x, y = panel.positions.detach().double().unbind(-1)[:2]
    n_h = int((y == y[0]).sum())
    n_v = panel.elements // n_h
    steps = [float(x[1] - x[0])] if n_h > 1 else []
    steps += [float(y[n_h] - y[0])] if n_v > 1 else []
    if n_h * n_v != panel.elements or not steps:
        raise DoesNotApply("needs a panel that is no regular grid")
    return (n_h, n_v), (steps[0], steps[-1])


def _own_names(parameters: tuple[str, ...], given: tuple[str, ...]) -> tuple[str, ...] | None:
    """The function's own word for each parameter; None where one has none, or two."""
    found = [[own for own in (name, *ALSO_CALLED[name]) if own in given] for name in parameters]
    return tuple(own[0] for own in found) if all(len(own) == 1 for own in found) else None


def adapt_steering(
    function: Function, signature: str, backend: Backend | None = None
) -> PlainSteering:
    """Find out what a steering vector takes: positions, or the shape and spacing of a grid.

    Parameters that have the documented names, or those that the field has for them, are passed by
    name, in whatever order they stand; others by place, and their number says which signature it
    is.

    Raises:
        InputError: it takes neither.
    """
    try:
        given = inspect.signature(function).parameters
    except (TypeError, ValueError) as error:
        raise InputError(f"its parameters cannot be read: {describe(error)}") from error
    required = [
        name
        for name, p in given.items()
        if p.default is p.empty and p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)
    ]
    for parameters in (BY_SHAPE, BY_POSITIONS):
        names = _own_names(parameters, tuple(given))
        if names is not None or len(required) == len(parameters):
            break
    else:
        raise InputError(f"it takes {', '.join(required) or 'nothing'}: expected is {signature}")
    errors = []
    order: tuple[tuple[Backend, bool], ...] = (("torch", True), ("numpy", False), ("torch", False))
    likely = backend or likely_backend(function)
    for chosen, live in sorted(order, key=lambda one: one[0] != likely):
        plain = PlainSteering(function, chosen, parameters, names, "wavefront" in given)
        error = _probe(plain, live) if backend in (None, chosen) else None
        if error is None and backend in (None, chosen):
            return plain
        errors += [error] if error else []
    raise InputError(f"it cannot be called as {signature}: {describe(errors[-1])}")


def _probe(plain: PlainSteering, live: bool) -> Exception | None:
    """What goes wrong with two elements; live tensors ask for gradients, which numpy refuses."""
    positions = torch.tensor([[-0.1, 0, 0], [0.1, 0, 0]], dtype=torch.float64)
    where = (torch.tensor(x, dtype=torch.float64) for x in (0.1, 0.2, 3.0))
    panel = Panel(positions.requires_grad_(live), 0.3)
    source = tuple(x.requires_grad_(live) for x in where)
    answer, error = call(plain._once, (panel, source, "spherical"))
    if error is None and answer.shape != (panel.elements,):
        return ValueError(f"answers shape {tuple(answer.shape)}, expected {(panel.elements,)}")
    return error
