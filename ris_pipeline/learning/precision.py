"""The fabric of a run: devices and processes, and a precision that is kept."""

from typing import Any

from lightning_fabric import Fabric
from lightning_fabric.plugins import DoublePrecision

from ris_pipeline._validation import check_range


class _Double(DoublePrecision):
    """Double precision throughout: the plugin's own hands the network's real outputs back in
    torch's default dtype, float32, where the loss would go on in half of the digits."""

    def convert_output(self, data: Any) -> Any:
        return data


def make_fabric(
    precision: str, accelerator: str = "cpu", devices: int = 1, hosts: int = 1
) -> Fabric:
    """A fabric at one of the precisions of `config.Training`.

    With several devices or hosts a process each, gradients averaged over them (DDP); under
    `torchrun` its processes are taken.

    Raises:
        InputError: fewer than one device or host.
    """
    check_range("devices", devices, 1, 10**4)
    check_range("hosts", hosts, 1, 10**4)
    double = precision == "64-true"
    return Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=hosts,
        strategy="ddp" if devices * hosts > 1 else "auto",
        precision=None if double else precision,  # type: ignore[arg-type]
        plugins=[_Double()] if double else None,
    )
