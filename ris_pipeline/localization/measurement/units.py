"""Every scene in units of its own data, and those apart that hold none.

y = 2^a y',   H = 2^b H',   c = 2^e c'      largest part of an entry in [1/2, 1)
x = 2^(a - b - e) x',   sigma^2 = 2^(2 a) sigma'^2

Powers of two move no bit, so an estimate does not depend on the units of the data, and no square of
them overflows.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool
from torch import Tensor

from ris_pipeline.config import Wavefront
from ris_pipeline.localization.coordinates import search_domain
from ris_pipeline.localization.estimates import Estimates, Status, strongest_first
from ris_pipeline.localization.measurement.binary import doubled, exponent, scaled
from ris_pipeline.localization.measurement.checks import check_no_gradient, check_wavelength
from ris_pipeline.scene import Received


@dataclass(frozen=True)
class Units:
    """Exponents of two (B,): of the snapshots, and of the amplitudes that a source has in them."""

    snapshots: Tensor
    amplitudes: Tensor

    def restore(self, found: Estimates) -> Estimates:
        """The estimates in the units that the data came in.

        A power or a noise variance that the dtype does not hold leaves a source unresolved.
        """
        power = doubled(found.power, 2 * self.amplitudes[:, None]).to(found.power)
        noise = doubled(found.noise_variance, 2 * self.snapshots)
        noise = noise.to(found.noise_variance)
        held = ~power.isinf() & ~noise.isinf()[:, None]
        status = torch.where(held, found.status, int(Status.UNRESOLVED))
        return replace(found, power=power, noise_variance=noise, status=status)


def in_own_units(scenes: Received) -> tuple[Received, Units]:
    """The scenes scaled, and how to come back."""
    signal = exponent(scenes.snapshots.flatten(1))
    channel = exponent(scenes.channel.flatten(1))
    codes = exponent(scenes.codes.flatten())
    own = replace(
        scenes,
        snapshots=scaled(scenes.snapshots, signal),
        channel=scaled(scenes.channel, channel),
        codes=scaled(scenes.codes, codes),
    )
    return own, Units(signal, signal - channel - codes)


def answerable(scenes: Received) -> Bool[Tensor, " b"]:
    """Scenes in which something was received, through a channel and codes that let something by."""
    heard = (scenes.snapshots != 0).flatten(1).any(1)
    reached = (scenes.channel != 0).any(1) & (scenes.codes != 0).flatten(0, 1).any(0)
    return heard & reached.any(1)


def _unanswered(
    scenes: Received, known: Tensor | None, slots: int, wavefront: Wavefront, sure: bool
) -> Estimates:
    """No sources; where their number is given, sources of no power anywhere."""
    domain = search_domain(scenes.scenario, scenes.snapshots.device)
    count = torch.zeros(scenes.size, dtype=torch.int64, device=domain.lower.device)
    count = count if known is None else known
    places = domain.lower.repeat(scenes.size, slots, 1)
    energy = torch.view_as_real(scenes.snapshots).double().square()
    return strongest_first(
        places,
        torch.arange(slots, device=count.device) < count[:, None],
        torch.zeros_like(places[..., 0]),
        torch.full_like(places[..., 0], int(Status.UNRESOLVED), dtype=torch.int64),
        2 * energy.flatten(1).mean(1),
        wavefront,
        scenes.snapshots.real.dtype,
        std=torch.full_like(places, torch.inf) if sure else None,
        false_alarm=torch.ones_like(places[..., 0]) if sure else None,
    )


def answer(
    scenes: Received,
    known: Tensor | None,
    slots: int,
    estimate: Callable[[Received, Tensor | None], Estimates],
    *,
    wavefront: Wavefront | None = None,
    sure: bool = True,
) -> Estimates:
    """Estimates of `slots` slots, every scene in its own units.

    A scene in which there is nothing is not shown to the estimator, which may fail there for the
    whole batch: it has no source, or where their number is given unresolved ones.

    Args:
        wavefront: that the estimator goes by, where it is not the scenario's.
        sure: whether the estimator says how sure it is, by `std` and `false_alarm`.
    """
    check_no_gradient(scenes)
    check_wavelength(scenes)
    able = answerable(scenes)
    index = torch.nonzero(able)[:, 0]
    kind = wavefront or scenes.scenario.wavefront
    if index.numel() == 0:
        return _unanswered(scenes, known, slots, kind, sure)
    if index.numel() < scenes.size:
        part = replace(scenes, snapshots=scenes.snapshots[index], channel=scenes.channel[index])
        some = None if known is None else known[index]
        found = answer(part, some, slots, estimate, wavefront=wavefront, sure=sure)
        return _unanswered(scenes, known, slots, kind, sure).put(index, found)
    own, units = in_own_units(scenes)
    return units.restore(estimate(own, known))
