"""What a receiver has, and nothing else: the truth behind simulated scenes is `SceneBatch`'s."""

from dataclasses import dataclass
from typing import Any

from torch import Tensor

from ris_pipeline._arrays import Array, own_tensors
from ris_pipeline.config import Scenario
from ris_pipeline.scene._layout import checked_layout
from ris_pipeline.scene.array import Panel, ideal_panel
from ris_pipeline.scene.own import own_scenario


@dataclass(frozen=True, kw_only=True)
class Received:
    """Snapshots of B scenes and what they were taken with.

    snapshots (B, T, L, M) complex; channel (B, M, N) complex; codes (T, L, N) complex, times the
    element responses that the receiver believes in; panel: the one that it believes in; scenario:
    of it, what the receiver knows (limits of the positions, wavelength, wavefront);
    noise_variance (B,), where it is known: bounds use it, estimators do not.
    """

    snapshots: Tensor
    channel: Tensor
    codes: Tensor
    panel: Panel
    scenario: Scenario
    noise_variance: Tensor | None = None

    def __post_init__(self) -> None:
        own_tensors(self)

    @classmethod
    def from_arrays(
        cls,
        snapshots: Array,
        channel: Array,
        codes: Array,
        *,
        positions: Array,
        wavelength: float,
        noise_variance: Array | float | None = None,
        **limits: Any,
    ) -> "Received":
        """Measurements of one's own: what `locate`, the baselines and `suppose_sources` take.

            y[t, l] = H diag(c[t, l]) sum_k a(p_k) x_k[t] + n[t, l]

        Torch tensors or numpy arrays; complex64 and complex128 may be mixed.

        Args:
            snapshots: y, (B, T, L, M) complex: scenes, coherence blocks, codes of a block,
                antennas; (T, L, M) for one scene.
            channel: H, (B, M, N) complex; (M, N) for one scene.
            codes: c, (T, L, N) complex, the reflection coefficients that were set.
            positions: (N, 3) elements in metres, panel in the x-y plane and facing +z, around the
                origin. Sources are found in the same coordinates.
            wavelength: metres.
            noise_variance: E |n|^2 of a number, one for all scenes or (B,).
            limits: azimuth_deg, elevation_deg, distance and wavefront as in `own_scenario`, which
                says what they are where they are not given.

        Raises:
            InputError: arrays of another type, shape or dtype, or not finite, with what would make
                them fit where that can be told; as `own_scenario` for the panel.
        """
        scenario = own_scenario(positions, wavelength, **limits)
        y, h, c, noise = checked_layout(
            snapshots, channel, codes, noise_variance, scenario.elements
        )
        return Received(
            snapshots=y,
            channel=h,
            codes=c,
            panel=ideal_panel(scenario, y.real.dtype, y.device),
            scenario=scenario.replace(blocks=c.shape[0], codes=c.shape[1], antennas=h.shape[1]),
            noise_variance=noise,
        )

    @property
    def size(self) -> int:
        """Number of scenes B."""
        return self.snapshots.shape[0]

    def between(self, start: int, stop: int) -> "Received":
        """What was received of the scenes start..stop-1, without their truth."""
        noise = self.noise_variance
        return Received(
            snapshots=self.snapshots[start:stop],
            channel=self.channel[start:stop],
            codes=self.codes,
            panel=self.panel,
            scenario=self.scenario,
            noise_variance=None if noise is None else noise[start:stop],
        )
