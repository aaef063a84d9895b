"""Bounds of a batch, some scenes at a time: Phi^H Phi of all of them would not fit in memory.

Every scene in units of its own, powers of two: H, c and g of unit size, the noise what it then is.
A bound does not depend on them, and no square of theirs overflows.
"""

from collections.abc import Callable
from dataclasses import replace

import torch
from torch import Tensor

from ris_pipeline.localization.measurement.binary import doubled, exponent, scaled
from ris_pipeline.localization.measurement.checks import check_scenes, check_truth
from ris_pipeline.scene import SceneBatch, Sources, TruePanel

_CHUNK_ENTRIES = 2**20
"""Complex numbers of a whole Phi^H Phi worked on together (16 MiB), its work space five times
that."""


def in_chunks(
    evaluate: Callable[[SceneBatch], tuple[Tensor, ...]], scenes: SceneBatch
) -> tuple[Tensor, ...]:
    """`evaluate(scenes)`, whose tensors have the scenes first, from consecutive parts of them.

    Raises:
        InputError: as `check_scenes`, or as `check_truth`.
    """
    check_scenes(scenes)
    check_truth(scenes)
    scenes = _in_own_units(scenes)
    blocks, rows, elements = scenes.codes.shape
    size = blocks * elements * min(elements, rows * scenes.channel.shape[1])
    step = max(1, _CHUNK_ENTRIES // size)
    starts = range(0, max(1, scenes.size), step)
    parts = [evaluate(_between(scenes, start, start + step)) for start in starts]
    return tuple(torch.cat(values) for values in zip(*parts, strict=True))


def _in_own_units(scenes: SceneBatch) -> SceneBatch:
    channel, codes = exponent(scenes.channel.flatten(1)), exponent(scenes.codes.flatten())
    gains = exponent(scenes.sources.gains)
    snapshots = channel + codes + gains
    return replace(
        scenes,
        channel=scaled(scenes.channel, channel),
        codes=scaled(scenes.codes, codes),
        snapshots=scaled(scenes.snapshots, snapshots),
        noise_variance=doubled(scenes.noise_variance, -2 * snapshots),
        sources=replace(scenes.sources, gains=scaled(scenes.sources.gains, gains)),
    )


def _between(scenes: SceneBatch, start: int, stop: int) -> SceneBatch:
    """The scenes start..stop-1 with their truth."""
    part = slice(start, stop)
    s = scenes.sources
    return replace(
        scenes,
        snapshots=scenes.snapshots[part],
        channel=scenes.channel[part],
        noise_variance=scenes.noise_variance[part],
        snr_db=scenes.snr_db[part],
        sources=Sources(
            s.azimuth[part],
            s.elevation[part],
            s.distance[part],
            s.gains[part],
            s.symbols[part],
            s.count[part],
        ),
        truth=None if scenes.truth is None else _panel_between(scenes.truth, part),
    )


def _panel_between(truth: TruePanel, part: slice) -> TruePanel:
    """The panel of these scenes: it may be one for all of them."""
    if truth.response.shape[0] == 1:
        return truth
    positions = truth.panel.positions
    positions = positions[part] if positions.ndim == 3 else positions
    return replace(
        truth, panel=replace(truth.panel, positions=positions), response=truth.response[part]
    )
