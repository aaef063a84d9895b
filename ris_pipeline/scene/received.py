"""What a receiver has, and nothing else: the truth behind simulated scenes is `SceneBatch`'s."""

from dataclasses import dataclass

from torch import Tensor

from ris_pipeline.config import Scenario
from ris_pipeline.scene.array import Panel


@dataclass(frozen=True, kw_only=True)
class Received:
    """Snapshots of B scenes and what they were taken with.

    snapshots (B, T, L, M) complex; channel (B, M, N) complex; codes (T, L, N) complex, times the
    element responses that the receiver believes in; panel: the one that it believes in; scenario:
    of it, what the receiver knows (limits of the positions, wavelength, wavefront).
    """

    snapshots: Tensor
    channel: Tensor
    codes: Tensor
    panel: Panel
    scenario: Scenario

    @property
    def size(self) -> int:
        """Number of scenes B."""
        return self.snapshots.shape[0]

    def between(self, start: int, stop: int) -> "Received":
        """What was received of the scenes start..stop-1, without their truth."""
        return Received(
            snapshots=self.snapshots[start:stop],
            channel=self.channel[start:stop],
            codes=self.codes,
            panel=self.panel,
            scenario=self.scenario,
        )
