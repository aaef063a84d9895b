"""The columns of a run for TensorBoard, which the extra `tensorboard` brings."""

from collections.abc import Sequence
from pathlib import Path

from ris_pipeline._errors import InputError
from ris_pipeline.learning import EpochRecord, history_curve

FOLDER = "tensorboard"
"""Of the event files, in the folder of a run."""


def check_tensorboard() -> None:
    """Raise `InputError` unless TensorBoard is installed."""
    try:
        import torch.utils.tensorboard  # noqa: F401
    except ImportError:
        raise InputError(
            "tensorboard is not installed: the extra `tensorboard` brings it"
        ) from None


class TensorBoard:
    """Writes each epoch's losses, terms, gradient norms and rates as scalars, the epoch as step.

    Args:
        run: the folder of the run.
        done: epochs that a resumed run has behind it; what was written after them is dropped.

    Raises:
        InputError: TensorBoard is not installed.
    """

    def __init__(self, run: Path, done: int = 0) -> None:
        check_tensorboard()
        from torch.utils.tensorboard import SummaryWriter

        self.writer = SummaryWriter(str(run / FOLDER), purge_step=done + 1 if done else None)

    def write_epoch(self, history: Sequence[EpochRecord]) -> None:
        """The last epoch of a history."""
        for name, values in history_curve(history[-1:]).items():
            kind, _, part = name.partition("_")
            tag = f"{kind}/{part}" if part else f"loss/{kind}"
            self.writer.add_scalar(tag, values[0], history[-1].epoch)
        self.writer.flush()

    def close(self) -> None:
        """No more epochs."""
        self.writer.close()
