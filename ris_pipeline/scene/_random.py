"""Counter-based random numbers: number j of stream q of scene i of seed s is a pure function.

    h = mix(key(s, q, i) + j g),   mix: the SplitMix64 finaliser,   g = 0x9E3779B97F4A7C15

A scene therefore does not depend on the batch it is drawn in, on the order, the number of workers
or the device, and a data set is a seed and a size.

Source: G. L. Steele, D. Lea, C. H. Flood, "Fast Splittable Pseudorandom Number Generators",
OOPSLA 2014, figure 16.
"""

import math
from enum import IntEnum

import torch
from torch import Tensor

from ris_pipeline.scene._phasor import phasor


class Stream(IntEnum):
    """What a number is drawn for; the values are part of what a seed means, so never renumber."""

    SOURCE_COUNT = 1
    AZIMUTH = 2
    ELEVATION = 3
    DISTANCE = 4
    PATH_PHASE = 5
    SYMBOL_PHASE = 6
    SNR = 7
    NOISE = 8
    RICIAN_K = 9
    CHANNEL_ANGLE = 10
    CHANNEL_SCATTER = 11
    POSITION_JITTER = 12
    PHASE_ERROR = 13
    GAIN_JITTER = 14
    DEAD_ELEMENT = 15
    CODEBOOK = 16


def _signed(value: int) -> int:
    value &= 2**64 - 1
    return value - 2**64 if value >= 2**63 else value


_GOLDEN = _signed(0x9E3779B97F4A7C15)
_MULTIPLIERS = (_signed(0xBF58476D1CE4E5B9), _signed(0x94D049BB133111EB))
_SHIFTS = (30, 27, 31)
_LOW = 2**32 - 1
BLOCK = 2**19
"""Numbers worked on together: buffers that stay in the cache and are allocated once a call."""


def _mix_(z: Tensor, scratch: Tensor | None = None) -> Tensor:
    shifted = torch.empty_like(z) if scratch is None else scratch
    for shift, multiplier in zip(_SHIFTS, (*_MULTIPLIERS, None), strict=True):
        # int64 shifts arithmetically; the mask makes the shift logical.
        torch.bitwise_right_shift(z, shift, out=shifted).bitwise_and_((1 << (64 - shift)) - 1)
        z.bitwise_xor_(shifted)
        if multiplier is not None:
            z.mul_(multiplier)
    return z


class SceneRandom:
    """Random numbers for the scenes `index` of `seed`.

    Args:
        seed: any integer.
        index: (B,) int64, on the device where the numbers are wanted.
        dtype: float32 or float64 of the real numbers; complex numbers take the matching dtype.
    """

    def __init__(self, seed: int, index: Tensor, dtype: torch.dtype = torch.float32) -> None:
        self.index = index
        self.dtype = dtype
        # Made on the device: a copy from the host would wait for it.
        start = torch.full((), _signed(seed), dtype=torch.int64, device=index.device)
        streams = torch.arange(len(Stream) + 1, device=index.device) * _GOLDEN
        keys = _mix_(_mix_(start + _GOLDEN) + streams)
        self._keys = _mix_(keys[:, None] + (index + 1) * _GOLDEN)
        """(streams, B): row q belongs to stream q."""

    def _counter(self, count: int) -> Tensor:
        counter = torch.arange(1, count + 1, dtype=torch.int64, device=self.index.device)
        return counter.mul_(_GOLDEN)

    def uniform(self, stream: Stream, *shape: int) -> Tensor:
        """Uniform on (0, 1), (B, *shape)."""
        bits = _mix_(self._keys[stream][:, None] + self._counter(math.prod(shape)))
        # 24 bits are what float32 holds exactly; a half step keeps 0 and 1 out.
        top = (bits >> 40).bitwise_and_((1 << 24) - 1).to(self.dtype)
        return top.add_(0.5).mul_(2.0**-24).reshape(-1, *shape)

    def complex_normal(self, stream: Stream, *shape: int, variance: Tensor | float = 1.0) -> Tensor:
        """Circular complex Gaussian of the given variance, one or one a scene (B,): (B, *shape).

            z = sqrt(-variance ln u1) exp(j 2 pi u2)     (Box and Muller, Ann. Math. Stat. 29, 1958)

        with u1 from the upper and u2 from the lower 32 bits of one 64-bit number.
        """
        count, scenes = math.prod(shape), self.index.shape[0]
        numbers = torch.empty(
            scenes, count, dtype=self.dtype.to_complex(), device=self.index.device
        )
        counter, key = self._counter(count), self._keys[stream][:, None]
        if not isinstance(variance, Tensor):
            variance = torch.full((), variance, dtype=self.dtype, device=self.index.device)
        minus = -variance.to(self.index.device, self.dtype).expand(scenes)[:, None]
        rows = min(scenes, max(1, BLOCK // count))
        whole = [torch.empty_like(numbers[:rows], dtype=torch.int64) for _ in range(2)]
        floats = [torch.empty_like(numbers[:rows], dtype=self.dtype) for _ in range(2)]
        for start in range(0, scenes, max(1, rows)):
            part = slice(start, start + rows)
            size = key[part].shape[0]
            bits, scratch, angle, radius = (buffer[:size] for buffer in (*whole, *floats))
            _mix_(torch.add(key[part], counter, out=bits), scratch)
            angle.copy_(torch.bitwise_and(bits, _LOW, out=scratch)).mul_(2 * math.pi * 2.0**-32)
            radius.copy_(bits.bitwise_right_shift_(32).bitwise_and_(_LOW))
            radius.add_(0.5).mul_(2.0**-32).log_().mul_(minus[part]).sqrt_()
            phasor(angle, radius, out=numbers[part])
        return numbers.reshape(-1, *shape)

    def normal(self, stream: Stream, *shape: int) -> Tensor:
        """Standard Gaussian, (B, *shape)."""
        return self.complex_normal(stream, *shape).real * math.sqrt(2.0)

    def between(self, stream: Stream, low: float, high: float, *shape: int) -> Tensor:
        """Uniform on (low, high), (B, *shape)."""
        return low + (high - low) * self.uniform(stream, *shape)

    def integers(self, stream: Stream, low: int, high: int) -> Tensor:
        """Uniform on low..high, both included, (B,) int64."""
        return low + (self.uniform(stream) * (high - low + 1)).to(torch.int64)
