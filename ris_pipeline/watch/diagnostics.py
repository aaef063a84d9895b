"""What a training run says about itself: gradient norms, and the log lines people search for."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class GroupNorm:
    """2-norm of a group's finite gradients, and how many parameters were left out of it."""

    norm: float
    left_out: int

    @classmethod
    def of(cls, norms: Sequence[float]) -> "GroupNorm":
        """Of the norms of each gradient: those that are not finite are left out."""
        finite = [norm for norm in norms if math.isfinite(norm)]
        return cls(math.hypot(*finite), len(norms) - len(finite))


def gradient_norm(parameters: Iterable[Tensor]) -> GroupNorm:
    """`sqrt(sum_p |grad_p|^2)` over the parameters whose gradient is finite throughout.

    A sparse gradient counts as the dense one it stands for. A parameter without a gradient does not
    count; one with a NaN or infinite entry is left out and counted in `left_out`. The norm is 0.0
    when none is left.
    """
    norms = [
        torch.linalg.vector_norm(_entries(p.grad.detach()), dtype=_wide(p.grad))
        for p in parameters
        if p.grad is not None and p.grad.numel()
    ]
    # One read for all of them: each would wait for the device.
    values = torch.stack([n.to(norms[0].device) for n in norms]).tolist() if norms else []
    return GroupNorm.of(values)


def _entries(gradient: Tensor) -> Tensor:
    """What is stored of a sparse gradient, once for each place; a dense one as it is."""
    if gradient.layout == torch.sparse_coo:
        return gradient.coalesce().values()
    return gradient if gradient.layout == torch.strided else gradient.values()


def _wide(gradient: Tensor) -> torch.dtype:
    # In double precision the square of a finite float32 gradient cannot overflow, so a norm that
    # is not finite means an entry that is not.
    return torch.complex128 if gradient.is_complex() else torch.float64


def without_gradient(module: nn.Module) -> list[str]:
    """Names of the trainable parameters that received no gradient."""
    return [name for name, p in module.named_parameters() if p.requires_grad and p.grad is None]


def debug_line(loss: float) -> str:
    """`[DEBUG] total loss pre-backward = 0.806142`"""
    return f"[DEBUG] total loss pre-backward = {loss:.6f}"


def optimiser_line(
    batch: int, backbone: GroupNorm, heads: GroupNorm, rates: Sequence[float]
) -> str:
    """`[OPT] batch=1 g_back=1.23e-02 g_head=2.45e-02 LRs=[2.00e-04, 8.00e-04]`

    Gradients left out of a norm are named at the end of the line.
    """
    listed = ", ".join(f"{rate:.2e}" for rate in rates)
    line = f"[OPT] batch={batch} g_back={backbone.norm:.2e} g_head={heads.norm:.2e} LRs=[{listed}]"
    left_out = backbone.left_out + heads.left_out
    return f"{line} non-finite={left_out}" if left_out else line


def gradient_line(names: Sequence[str], sample: int = 3) -> str:
    """`[GRAD] no-grad count=0 (sample)=[]`"""
    return f"[GRAD] no-grad count={len(names)} (sample)={list(names[:sample])}"


def step_line(step: int, batch: int) -> str:
    """`[OPT] step 12 / batch 12`"""
    return f"[OPT] step {step} / batch {batch}"


def epoch_line(epoch: int, epochs: int, train: float, validation: float) -> str:
    """`Epoch 001/030: train 0.806  val 1.921`"""
    return f"Epoch {epoch:03d}/{epochs:03d}: train {train:.3f}  val {validation:.3f}"
