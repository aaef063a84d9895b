"""RIS phase codes: unit-modulus rows, chosen evenly from a codebook and quantized.

dft:  c_n = exp(j 2 pi (p i_h / P + q i_v / Q)),   (p, q) in P x Q
"""

import math

import numpy as np
import torch
from jaxtyping import Complex, Int
from scipy.linalg import hadamard
from torch import Tensor

from ris_pipeline._errors import InputError
from ris_pipeline._validation import check_range
from ris_pipeline.config import LARGEST, Scenario
from ris_pipeline.scene._phasor import phasor
from ris_pipeline.scene._random import SceneRandom, Stream


def _check_memory(codes: int, elements: int) -> None:
    """Raise `InputError` if complex128 codes would take more than `LARGEST`."""
    size = 16 * codes * elements
    if size > LARGEST:
        raise InputError(
            f"{codes} codes of {elements} elements would take {size / 2**30:.3g} GiB: allowed are "
            f"{LARGEST >> 30}"
        )


def quantize_phase(codes: Complex[Tensor, "*shape"], bits: int) -> Complex[Tensor, "*shape"]:
    """Nearest of the `2^bits` phases `2 pi m / 2^bits`, at unit modulus.

    Raises:
        InputError: bits outside 1..16.
    """
    check_range("bits", bits, 1, 16)
    step = 2 * math.pi / 2**bits
    phase = torch.round(codes.angle() / step) * step
    return phasor(phase)


quantise_phase = quantize_phase
"""Its name up to version 0.2.0."""


def dft_codebook(panel: tuple[int, int], shape: tuple[int, int]) -> Complex[Tensor, "codes n"]:
    """All `P * Q` two-dimensional DFT codes of a panel, complex128, p running fastest.

    Raises:
        InputError: a side below 1, or more than 8 GiB of codes.
    """
    for name, sides in (("panel", panel), ("shape", shape)):
        check_range(name, min(sides), 1, math.inf)
    _check_memory(math.prod(shape), math.prod(panel))
    (n_h, n_v), (size_h, size_v) = panel, shape
    p, q, i_h, i_v = (torch.arange(n, dtype=torch.float64) for n in (size_h, size_v, n_h, n_v))
    horizontal = torch.exp(2j * math.pi * p[:, None] * i_h / size_h)
    vertical = torch.exp(2j * math.pi * q[:, None] * i_v / size_v)
    return torch.einsum("qv,ph->qpvh", vertical, horizontal).reshape(size_h * size_v, n_h * n_v)


def random_codebook(count: int, elements: int, seed: int) -> Complex[Tensor, "codes n"]:
    """Codes of independent uniform phases, complex128.

    Raises:
        InputError: a count or elements below 1, or more than 8 GiB of codes.
    """
    check_range("count", count, 1, math.inf)
    check_range("elements", elements, 1, math.inf)
    _check_memory(count, elements)
    random = SceneRandom(seed, torch.zeros(1, dtype=torch.int64), torch.float64)
    phase = random.between(Stream.CODEBOOK, -math.pi, math.pi, count, elements)[0]
    return phasor(phase)


def hadamard_codebook(elements: int) -> Complex[Tensor, "codes n"]:
    """Rows of the smallest Sylvester Hadamard matrix that covers the panel, complex128.

    Raises:
        InputError: elements below 1, or more than 8 GiB of codes.
    """
    check_range("elements", elements, 1, math.inf)
    size = 1 << max(0, (elements - 1).bit_length())
    _check_memory(size, size)
    return torch.from_numpy(hadamard(size)[:, :elements].astype(np.complex128))


def _even(codebook: Tensor, count: int) -> Tensor:
    size = codebook.shape[0]
    if count > size:
        return codebook[torch.arange(count) % size]
    return codebook[torch.arange(count) * size // count]


def _even_dft(scenario: Scenario, count: int) -> Tensor:
    """An even sub-grid of the (p, q) plane, as square as `count` allows.

    A square sub-grid separates the panel into the most classes of elements along both axes, which
    keeps Phi well conditioned; where `count` has no such factors the codes are taken in order.
    Where there are fewer codes than that, every block has a sub-grid of its own, one code on from
    that of the block before: codes that repeat within a block measure the same once more.
    """
    codebook = dft_codebook(scenario.panel, scenario.dft_shape)
    if count <= codebook.shape[0]:
        return codebook[_sub_grid(scenario.dft_shape, count, 0)]
    blocks = range(scenario.blocks)
    places = [_sub_grid(scenario.dft_shape, scenario.codes, block) for block in blocks]
    return codebook[torch.cat(places)]


def _sub_grid(shape: tuple[int, int], count: int, shift: int) -> Int[Tensor, " count"]:
    """Places of an even sub-grid in the codebook, so many codes on."""
    size_h, size_v = shape
    factors = [(h, count // h) for h in range(1, count + 1) if count % h == 0]
    factors = [(h, v) for h, v in factors if h <= size_h and v <= size_v]
    if not factors:
        size = size_h * size_v
        return (torch.arange(count) * size // count + shift) % size
    n_h, n_v = min(factors, key=lambda f: (abs(f[0] - f[1]), -f[0]))
    step = max(1, size_h // n_h)
    p = (torch.arange(n_h) * size_h // n_h + shift) % size_h
    q = (torch.arange(n_v) * size_v // n_v + shift // step) % size_v
    return (q[:, None] * size_h + p).flatten()


def ris_codes(scenario: Scenario, dtype: torch.dtype = torch.complex64) -> Complex[Tensor, "t l n"]:
    """The codes of a scenario, (T, L, N): known to the receiver, the same for every scene."""
    count = scenario.blocks * scenario.codes
    match scenario.codebook:
        case "dft":
            codes = _even_dft(scenario, count)
        case "random":
            codes = random_codebook(count, scenario.elements, scenario.codebook_seed)
        case "hadamard":
            codes = _even(hadamard_codebook(scenario.elements), count)
        case "mixed":
            dft = _even_dft(scenario, count)
            random = random_codebook(count, scenario.elements, scenario.codebook_seed)
            codes = torch.where(torch.arange(count)[:, None] % 2 == 0, dft, random)
    if scenario.phase_bits is not None:
        codes = quantize_phase(codes, scenario.phase_bits)
    return codes.to(dtype).reshape(scenario.blocks, scenario.codes, scenario.elements)
