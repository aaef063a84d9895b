"""Runs with and without each bug of the post-mortem: the before and the after, as curves.

Bugs 1, 3, 4 and 5 are put into the training loop. Bug 2 needs a matrix that is not Hermitian, and
a covariance known by its factors always is: there the descent is on dense matrices.
"""

import logging
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from unittest.mock import patch

import numpy as np
import torch
from torch import Tensor

from ris_pipeline.config import LossWeights, Settings, load_settings
from ris_pipeline.learning import Trainer, history_curve, losses
from ris_pipeline.learning import trainer as training_loop
from ris_pipeline.spectral import eigengap, singular_values
from ris_pipeline.verification.golden import Curve
from ris_pipeline.verification.known_bugs import KNOWN_BUGS, KnownBug

Run = Callable[[], tuple[Curve, Settings]]

_LINES = {
    "debug": "[DEBUG]",
    "optimiser": "[OPT] batch",
    "gradient": "[GRAD]",
    "step": "[OPT] step",
    "epoch": "Epoch",
}


def _bug(name: str) -> KnownBug:
    return next(bug for bug in KNOWN_BUGS if bug.name == name)


def _broken(run: Run, module: object, *bugs: str) -> Run:
    """The run, with bugs of the catalogue in the place that `module` calls them from."""

    def broken() -> tuple[Curve, Settings]:
        with ExitStack() as stack:
            for bug in map(_bug, bugs):
                stack.enter_context(patch.object(module, bug.replaces, bug.function))
            return run()

    return broken


def first_epochs(settings: Settings, count: int) -> tuple[Curve, Settings]:
    """The start of a longer run: its rates are those of the whole."""
    trainer = Trainer(settings)
    for _ in range(count):
        trainer.train_epoch()
    return history_curve(trainer.history), settings


def golden_start() -> tuple[Curve, Settings]:
    """Six epochs of the run kept as `thirty_epochs`."""
    return first_epochs(load_settings("golden"), 6)


def _small(epochs: int) -> Settings:
    golden = load_settings("golden")
    return golden.replace(
        training=golden.training.replace(epochs=epochs, batch_size=32, validation_scenes=64)
    )


def gap_alone() -> tuple[Curve, Settings]:
    """The eigengap hinge with every other term switched off."""
    settings = _small(10)
    off = dict.fromkeys(LossWeights.model_fields, 0.0)
    weights = LossWeights(**{**off, "eigengap": 1.0})
    settings = settings.replace(loss=settings.loss.replace(weights=weights))
    return first_epochs(settings, settings.training.epochs)


def poisoned() -> tuple[Curve, Settings]:
    """A NaN in the gradient of one bias at the fifth batch of every second epoch."""
    settings = _small(6)
    trainer = Trainer(settings)
    period, calls = 2 * settings.training.batches, 0

    def poison(gradient: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return torch.full_like(gradient, torch.nan) if calls % period == 5 else gradient

    trainer.network.get_parameter("heads.0.1.bias").register_hook(poison)
    history = trainer.fit()
    counts = {
        name: np.array([float(getattr(record, name)) for record in history])
        for name in ("non_finite", "skipped_steps")
    }
    return {**history_curve(history), **counts}, settings


def log_lines() -> tuple[Curve, Settings]:
    """How many lines of each kind an epoch logs."""
    settings = _small(2)
    rows: list[list[float]] = []
    with _collected_log() as lines:

        def count(_: Trainer) -> None:
            rows.append([float(sum(x.startswith(p) for x in lines)) for p in _LINES.values()])
            lines.clear()

        Trainer(settings).fit(after_epoch=count)
    return dict(zip(_LINES, np.array(rows).T, strict=True)), settings


def first_log() -> list[str]:
    """What the first epoch of a run says."""
    settings = _small(1)
    with _collected_log() as lines:
        Trainer(settings).fit()
    return lines


@contextmanager
def _collected_log() -> Iterator[list[str]]:
    lines: list[str] = []
    handler = logging.Handler()
    handler.emit = lambda record: lines.append(record.getMessage())  # type: ignore[method-assign]
    logger = logging.getLogger("ris_pipeline")
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield lines
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)


def dense_descent(spectrum: Callable[[Tensor], Tensor] = singular_values) -> tuple[Curve, Settings]:
    """Gradient descent of the hinge on matrices that are not Hermitian.

    Columns: the hinge as the loss reports it, the hinge on the gap that a subspace estimator sees,
    and `|R - R^H| / |R|`, each a mean over the matrices.
    """
    n, k, margin, rate, steps = 6, 2, 2.0, 0.5, 40
    generator = torch.Generator().manual_seed(0)
    draws = torch.randn(2, 8, n, n, dtype=torch.complex128, generator=generator)
    matrix = draws[0] @ draws[0].mH / n + 0.3 * draws[1]
    rows = []
    for _ in range(steps):
        matrix = matrix.detach().requires_grad_()
        values = spectrum(matrix)
        hinge = torch.relu(margin - (values[:, k - 1] - values[:, k])).mean()
        seen = torch.relu(margin - eigengap(matrix, k)).mean()
        skew = (matrix - matrix.mH).norm() / matrix.norm()
        rows.append([hinge.item(), seen.item(), skew.item()])
        matrix = matrix - rate * torch.autograd.grad(hinge, matrix)[0]
    names = "hinge", "hinge_seen", "asymmetry"
    return dict(zip(names, np.array(rows).T, strict=True)), load_settings("golden")


def _dense_descent_unhermitized() -> tuple[Curve, Settings]:
    return dense_descent(_bug("singular_values_unhermitized").function)


_FLIPPED = "hinge_of_flipped_singular_values"
_MUTE = [f"no_{line}_line" for line in ("debug", "optimiser", "gradient", "step", "epoch")]

POST_MORTEM_RUNS: dict[str, Run] = {
    "bug_1": _broken(golden_start, losses, _FLIPPED),
    "gap_alone": gap_alone,
    "gap_alone_bug_1": _broken(gap_alone, losses, _FLIPPED),
    "dense_descent": dense_descent,
    "dense_descent_bug_2": _dense_descent_unhermitized,
    "bug_3": _broken(golden_start, training_loop, "epoch_loss_in_the_step_block"),
    "poisoned": poisoned,
    "poisoned_bug_4": _broken(poisoned, training_loop, "norm_poisoned"),
    "log_lines": log_lines,
    "log_lines_bug_5": _broken(log_lines, training_loop, *_MUTE),
}
"""Runs by the name of their curve; bugs 1 and 3 have `thirty_epochs` for their healthy run."""
