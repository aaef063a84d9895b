"""The fabric of a run: devices and processes, and a precision that is kept."""

from typing import TYPE_CHECKING

from ris_pipeline._validation import check_range

if TYPE_CHECKING:
    from lightning_fabric import Fabric


def make_fabric(
    precision: str, accelerator: str = "cpu", devices: int = 1, hosts: int = 1
) -> "Fabric":
    """A fabric at one of the precisions of `config.Training`.

    With several devices or hosts a process each, gradients averaged over them (DDP); under
    `torchrun` its processes are taken.

    Raises:
        InputError: fewer than one device or host.
    """
    check_range("devices", devices, 1, 10**4)
    check_range("hosts", hosts, 1, 10**4)
    # It brings torch's compiler along, which takes longer to import than all else together.
    from lightning_fabric import Fabric

    from ris_pipeline.learning.double_precision import Double

    double = precision == "64-true"
    return Fabric(
        accelerator=accelerator,
        devices=devices,
        num_nodes=hosts,
        strategy="ddp" if devices * hosts > 1 else "auto",
        precision=None if double else precision,  # type: ignore[arg-type]
        plugins=[Double()] if double else None,
    )
