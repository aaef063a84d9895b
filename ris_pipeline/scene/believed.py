"""The panel that the receiver believes in: the ideal one, or a calibrated one from a file.

    c'_n = e_n c_n,   elements at q_n

A panel file is a safetensors file with `positions` (N, 3) in metres and `response` (N, 2), real and
imaginary part of e_n, in double precision, and the wavelength in its header.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TypeAlias, TypeVar

import torch
from jaxtyping import Complex
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from ris_pipeline._arrays import own_tensors
from ris_pipeline._errors import InputError
from ris_pipeline._files import is_file, shown_path, write_bytes
from ris_pipeline._validation import check_finite, check_shape
from ris_pipeline.config import Scenario
from ris_pipeline.scene.array import Panel, ideal_panel

R = TypeVar("R")
Made: TypeAlias = Callable[[Scenario, torch.dtype, torch.device], R]


@dataclass(frozen=True)
class BelievedPanel:
    """Geometry, and the response e_n of the elements, (N,) complex; None: one everywhere."""

    panel: Panel
    response: Tensor | None = None

    def __post_init__(self) -> None:
        own_tensors(self)

    def apply(self, codes: Complex[Tensor, "t l n"]) -> Complex[Tensor, "t l n"]:
        """`e c`: codes as the receiver believes that they act."""
        return codes if self.response is None else codes * self.response.to(codes)

    def remove(self, codes: Complex[Tensor, "t l n"]) -> Complex[Tensor, "t l n"]:
        """The codes that were sent, of those that `apply` gave; not finite for dead elements."""
        return codes if self.response is None else codes / self.response.to(codes)


def save_panel(path: Path, believed: BelievedPanel) -> None:
    """Write a panel file.

    Raises:
        InputError: no response, or the folder cannot be written.
    """
    if believed.response is None:
        raise InputError("believed.response is None: allowed is the response of every element")
    tensors = {
        "positions": believed.panel.positions.detach().cpu().double().contiguous(),
        "response": torch.view_as_real(believed.response.detach().cpu().to(torch.complex128)),
    }
    wavelength = repr(float(believed.panel.wavelength))
    try:
        write_bytes(path, save(tensors, metadata={"wavelength": wavelength}))
    except InputError as error:
        raise InputError(f"panel file {error}") from None


def load_panel(path: Path) -> BelievedPanel:
    """Read a panel file, in double precision.

    Raises:
        InputError: no such file, or not a panel file.
    """
    if not is_file(path):
        raise InputError(f"panel file {shown_path(path)}: no such file")
    try:
        with safe_open(path, framework="pt") as file:
            positions, response = (file.get_tensor(name) for name in ("positions", "response"))
            wavelength = float((file.metadata() or {})["wavelength"])
    except (OSError, SafetensorError, KeyError, ValueError) as error:
        raise InputError(f"panel file {str(path)!r} is not a panel file: {error}") from None
    named = f"panel file {str(path)!r}"
    for name, value in (("positions", positions), ("response", response)):
        if value.dtype != torch.float64 or value.ndim != 2:
            raise InputError(
                f"{named}: {name} is {value.dtype} of shape {tuple(value.shape)}: allowed is "
                "float64 with two axes"
            )
    if not 0 < wavelength < math.inf:
        raise InputError(f"{named}: wavelength = {wavelength}: allowed are positive numbers")
    check_shape("positions", positions, (positions.shape[0], 3))
    check_shape("response", response, (positions.shape[0], 2))
    check_finite("positions", positions)
    check_finite("response", response)
    # In a mapped file numbers stand at multiples of eight bytes; complex ones need sixteen.
    return BelievedPanel(Panel(positions, wavelength), torch.view_as_complex(response.clone()))


def _written(file: str | None) -> int:
    """When a panel file was, in ns; 0 where there is none."""
    return Path(file).stat().st_mtime_ns if file is not None and is_file(Path(file)) else 0


def kept(make: Made[R]) -> Made[R]:
    """A function of a scenario, dtype and device that keeps its last eight results, until the panel
    file is written again. Tensors in them outlive the mode that they were asked for in."""

    @lru_cache(maxsize=8)
    def made(_when: int, scenario: Scenario, dtype: torch.dtype, device: torch.device) -> R:
        with torch.inference_mode(False):
            return make(scenario, dtype, device)

    def asked(scenario: Scenario, dtype: torch.dtype, device: torch.device) -> R:
        return made(_written(scenario.panel_file), scenario, dtype, device)

    return asked


@lru_cache(maxsize=8)
def _read(path: str, _when: int) -> BelievedPanel:
    with torch.inference_mode(False):
        return load_panel(Path(path))


def believed_panel(
    scenario: Scenario,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str | None = None,
) -> BelievedPanel:
    """What the receiver of a scenario believes in, positions in real `dtype`.

    Raises:
        InputError: a panel file that cannot be read, or of another panel or wavelength.
    """
    if scenario.panel_file is None:
        return BelievedPanel(ideal_panel(scenario, dtype, device))
    # A file that is written again is read again.
    found = _read(scenario.panel_file, _written(scenario.panel_file))
    assert found.response is not None
    if (found.panel.elements, found.panel.wavelength) != (scenario.elements, scenario.wavelength):
        raise InputError(
            f"panel file {scenario.panel_file!r} has {found.panel.elements} elements at a "
            f"wavelength of {found.panel.wavelength} m: allowed are {scenario.elements} at "
            f"{scenario.wavelength}"
        )
    # What is kept is nobody's to change.
    positions = found.panel.positions.to(device, dtype, copy=True)
    response = found.response.to(device, dtype.to_complex(), copy=True)
    return BelievedPanel(Panel(positions, scenario.wavelength), response)
