"""From what was received to its sufficient statistics."""

from typing import TypedDict

import torch
from jaxtyping import Complex, Int
from torch import Tensor

from ris_pipeline.config import Wavefront
from ris_pipeline.localization.measurement.back_projection import element_classes, matched_filter
from ris_pipeline.localization.measurement.gram import GramMeasurement
from ris_pipeline.localization.measurement.operators import operator_of
from ris_pipeline.localization.measurement.sensing import SensingMeasurement
from ris_pipeline.localization.measurement.statistics import Measurement
from ris_pipeline.scene import Panel, Received


def measure(scenes: Received) -> Measurement:
    """Sufficient statistics of what was received, without a ridge."""
    return measure_classes(scenes, None)


def measure_classes(scenes: Received, classes: Int[Tensor, "c n"] | None) -> Measurement:
    """`measure`.

    Args:
        classes: `element_classes` of the codes, where they are known and L M >= N: to find them is
            to read the codes.
    """
    snapshots, channel, codes = (
        x.to(torch.complex128) for x in (scenes.snapshots, scenes.channel, scenes.codes)
    )
    energy = snapshots.abs().square().sum((1, 2, 3))
    rows, elements = codes.shape[1] * channel.shape[1], channel.shape[-1]
    common: _Common = {
        "matched": matched_filter(snapshots, channel, codes),
        "energy": energy,
        "ridge": torch.zeros_like(energy),
        "rows": rows,
        "panel": Panel(scenes.panel.positions.double(), scenes.panel.wavelength),
        "wavefront": scenes.scenario.wavefront,
    }
    if rows < elements:
        return SensingMeasurement(operator=operator_of(channel, scenes.codes), **common)
    # In the precision of the scenes: what rounding leaves of a zero there is not interference.
    if classes is None:
        classes = element_classes(scenes.codes)
    return GramMeasurement(gram=_class_grams(channel, codes, classes), classes=classes, **common)


class _Common(TypedDict):
    matched: Tensor
    energy: Tensor
    ridge: Tensor
    rows: int
    panel: Panel
    wavefront: Wavefront


def _class_grams(channel: Tensor, codes: Tensor, classes: Tensor) -> Complex[Tensor, "b t c n n"]:
    """`Phi_t^H Phi_t` on each class: the product of `sensing_gram`, entry by entry."""
    antennas, weights = (x[:, :, classes].transpose(1, 2) for x in (channel, codes))
    return (antennas.mH @ antennas)[:, None] * (weights.mH @ weights)
