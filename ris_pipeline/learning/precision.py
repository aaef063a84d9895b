"""The fabric of a run: devices and processes, and a precision that is kept."""

from typing import Any

from lightning_fabric import Fabric
from lightning_fabric.plugins import DoublePrecision


class _Double(DoublePrecision):
    """Double precision throughout: the plugin's own hands the network's real outputs back in
    torch's default dtype, float32, where the loss would go on in half of the digits."""

    def convert_output(self, data: Any) -> Any:
        return data


def make_fabric(precision: str, accelerator: str = "cpu", devices: int = 1) -> Fabric:
    """A fabric at one of the precisions of `config.Training`."""
    if precision == "64-true":
        return Fabric(accelerator=accelerator, devices=devices, plugins=[_Double()])
    return Fabric(accelerator=accelerator, devices=devices, precision=precision)  # type: ignore[arg-type]
