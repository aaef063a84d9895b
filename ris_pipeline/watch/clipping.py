"""What is seen of the clipping: gradients when the backward pass ends, and when the step uses them.

A norm is the 2-norm over all gradients of an optimiser.
"""

import math
from collections.abc import Sequence

from ris_pipeline.watch._held import Held
from ris_pipeline.watch._seen import LOOKS, Tell

CLIPPED = 1 - 1e-3
"""Ratio of norms below which a gradient was shortened; rounding an entry to bfloat16 moves it by
2^-8, and a norm over many of them by far less."""

CLIP_LOOKS = 10
"""Looks in which every gradient was shortened."""

TINY_CLIP = 0.1
"""Shortened to this: an order of magnitude, which no threshold near the usual norm does."""

FAR_FROM_CLIP = 1e-3
"""Norm over the clipping threshold that is never exceeded."""


class Clipping:
    """Raises the alarms of the family `optimiser` that concern clipping.

    Args:
        clip: its threshold, where known: of a norm over all, of a norm over each, or of entries.
    """

    def __init__(self, tell: Tell, clip: float | None) -> None:
        self.tell, self.clip = tell, clip
        self.changed = False
        self.above: list[float] = []
        self.highest: list[float] = []

    def used(self, held: Held, norm: float, scale: float | None) -> None:
        """A step uses gradients of this norm; scale: of the loss in the backward pass, if known."""
        if not held.norm:
            return
        state = held.state()
        self._without_effect(held, norm, state != held.left)
        versions = [sum(version for _, version in one) for one in (state, held.left)]
        if scale is not None and versions[0] != versions[1]:
            self._shortened(held, norm / held.norm * scale)

    def _shortened(self, held: Held, ratio: float) -> None:
        if not math.isfinite(ratio):
            return
        held.clips.append(ratio)
        middle = sorted(held.clips)[len(held.clips) // 2]
        if len(held.clips) >= CLIP_LOOKS and max(held.clips) < CLIPPED and middle < TINY_CLIP:
            self.tell(
                "clip-always-active",
                f"{held.label}all of {len(held.clips)} gradients were shortened, to {middle:.1e} "
                "in the median",
            )

    def _without_effect(self, held: Held, norm: float, changed: bool) -> None:
        """What `clip` is a threshold of is not known: any change is taken for the clipping."""
        self.changed |= changed or _clipped_elsewhere(held)
        if self.clip is None or self.changed or norm <= self.clip:
            return
        self.above.append(norm)
        if len(self.above) >= LOOKS:
            self.tell(
                "clip-without-effect",
                f"{held.label}{len(self.above)} steps on gradients up to {max(self.above):.3g}, "
                f"as the backward pass left them, and the threshold is {self.clip:g}",
            )
            self.above.clear()

    def epoch(self, every: Sequence[Held]) -> None:
        """At the end of an epoch."""
        if self.clip is None:
            return
        for held in every:
            if not held.norms:
                continue
            self.highest.append(max(held.norms) / self.clip)
            most = max(self.highest)
            if len(self.highest) >= 2 * len(every) and most < FAR_FROM_CLIP:
                self.tell("clip-never-active", f"the largest gradient is {most:.1e} of {self.clip}")


def _clipped_elsewhere(held: Held) -> bool:
    """Whether a hook beside ours, or the optimiser itself, may clip where nobody sees it."""
    hooked = any(p._backward_hooks for p in held.parameters)
    after = any(len(p._post_accumulate_grad_hooks or ()) > 1 for p in held.parameters)
    before_step = len(held.optimiser._optimizer_step_pre_hooks) > 1
    options = [name for group in held.optimiser.param_groups for name in group]
    return hooked or after or before_step or any("clip" in n or "norm" in n for n in options)
