"""The data as every estimator sees them: sufficient statistics of a batch.

Nothing needs B_t = Phi_t A or its derivatives themselves. With C = [A, dA] everything follows from
C^H Phi^H Phi C and C^H Phi^H y, small matrices, so that the data enter once, as z_t = Phi_t^H y_t
and |y|^2. Normal equations square the condition number; they are formed in float64 whatever the
data came in, so that float32 data (1e-7) lose nothing.
"""

from dataclasses import dataclass, replace

import torch
from jaxtyping import Complex
from torch import Tensor

from ris_pipeline.config import Wavefront
from ris_pipeline.localization.measurement.back_projection import element_classes, matched_filter
from ris_pipeline.scene import Panel, SceneBatch, sensing_matrix


@dataclass(frozen=True)
class Measurement:
    """The sufficient statistics of a batch, complex128.

    gram `Phi^H Phi` (B, T, C, N / C, N / C), its blocks on the C `classes` (C, N / C) of elements
    that interfere, or sensing `Phi` (B, T, LM, N), the smaller; the other is None.
    matched `Phi^H y` (B, T, N); energy `|y|^2` (B,); rows = L M; ridge (B,), see `ridge`.
    """

    gram: Tensor | None
    sensing: Tensor | None
    classes: Tensor
    matched: Tensor
    energy: Tensor
    ridge: Tensor
    rows: int
    panel: Panel
    wavefront: Wavefront

    @property
    def blocks(self) -> int:
        """Number of coherence blocks T."""
        return self.matched.shape[1]

    @property
    def elements(self) -> int:
        """Number of elements N."""
        return self.matched.shape[2]

    def take(self, index: Tensor) -> "Measurement":
        """The scenes `index` (an index or a mask)."""
        if index.dtype == torch.bool and bool(index.all()):
            return self
        return replace(
            self,
            gram=None if self.gram is None else self.gram[index],
            sensing=None if self.sensing is None else self.sensing[index],
            matched=self.matched[index],
            energy=self.energy[index],
            ridge=self.ridge[index],
        )

    def entries(self, first: Tensor, second: Tensor) -> Complex[Tensor, "b t p"]:
        """Entries (first, second) of `Phi_t^H Phi_t`, pairs of one class, where it is kept."""
        assert self.gram is not None
        size = self.classes.shape[1]
        place = self.classes.flatten().argsort()
        row, column = place[first], place[second] % size
        return self.gram[..., row // size, row % size, column]

    def normal(self, columns: Complex[Tensor, "b n c"]) -> Complex[Tensor, "b t n c"]:
        """`Phi_t^H Phi_t C`."""
        if self.gram is not None:
            image = self.gram @ columns[:, self.classes][:, None]
            return image.flatten(2, 3)[:, :, self.classes.flatten().argsort()]
        assert self.sensing is not None
        # The conjugate is taken of the small factor.
        return (self._image(columns).mH @ self.sensing).mH

    def inner(self, columns: Complex[Tensor, "b n c"]) -> Complex[Tensor, "b t c c"]:
        """`C^H Phi_t^H Phi_t C`."""
        if self.gram is not None:
            parts = columns[:, self.classes][:, None]
            return parts.flatten(2, 3).mH @ (self.gram @ parts).flatten(2, 3)
        image = self._image(columns)
        return image.mH @ image

    def _image(self, columns: Complex[Tensor, "b n c"]) -> Complex[Tensor, "b t r c"]:
        """`Phi_t C`, one product a scene: broadcast over t it would copy C for every block."""
        assert self.sensing is not None
        return (self.sensing.flatten(1, 2) @ columns).unflatten(1, (self.blocks, self.rows))

    def correlate(self, columns: Complex[Tensor, "b n c"]) -> Complex[Tensor, "b t c"]:
        """`C^H Phi_t^H y_t`."""
        return self.matched @ columns.conj()


def measure(scenes: SceneBatch) -> Measurement:
    """Sufficient statistics of the receiver's part of a batch, without a ridge."""
    snapshots, channel, codes = (
        x.to(torch.complex128) for x in (scenes.snapshots, scenes.channel, scenes.codes)
    )
    rows = codes.shape[1] * channel.shape[1]
    # In the precision of the scenes: what rounding leaves of a zero there is not interference.
    classes = element_classes(scenes.codes)
    small = rows >= channel.shape[-1]
    energy = snapshots.abs().square().sum((1, 2, 3))
    return Measurement(
        _class_grams(channel, codes, classes) if small else None,
        None if small else sensing_matrix(channel, codes),
        classes,
        matched_filter(snapshots, channel, codes),
        energy,
        torch.zeros_like(energy),
        rows,
        Panel(scenes.panel.positions.double(), scenes.panel.wavelength),
        scenes.scenario.wavefront,
    )


def _class_grams(channel: Tensor, codes: Tensor, classes: Tensor) -> Complex[Tensor, "b t c n n"]:
    """`Phi_t^H Phi_t` on each class: the product of `sensing_gram`, entry by entry."""
    antennas, weights = (x[:, :, classes].transpose(1, 2) for x in (channel, codes))
    return (antennas.mH @ antennas)[:, None] * (weights.mH @ weights)


def scenes_between(scenes: SceneBatch, start: int, stop: int) -> SceneBatch:
    """Some scenes, with what the receiver has of them; the truth stays as it was and is not
    used."""
    return replace(
        scenes, snapshots=scenes.snapshots[start:stop], channel=scenes.channel[start:stop]
    )
