"""Powers of two: a factor that moves no bit."""

import torch
from jaxtyping import Complex, Float, Int
from torch import Tensor

_LEAST = -1000
"""Least exponent of two: the reciprocal of a smaller one overflows."""


def exponent(values: Complex[Tensor, "*batch n"]) -> Int[Tensor, "*batch"]:
    """The power of two above the largest real or imaginary part; 0 where all are zero,
    or there are none."""
    parts = torch.view_as_real(values.resolve_conj()).double().abs().flatten(-2)
    if parts.shape[-1] == 0:
        return torch.zeros(parts.shape[:-1], dtype=torch.int32, device=parts.device)
    return torch.frexp(parts.amax(-1)).exponent.clamp_min(_LEAST)


def scaled(values: Tensor, exponents: Tensor) -> Tensor:
    """`2^-exponent values`: in double precision, where no subnormal number is lost."""
    shape = exponents.shape + (1,) * (values.ndim - exponents.ndim)
    factor = torch.ldexp(torch.ones_like(exponents, dtype=torch.float64), -exponents)
    return (values.to(torch.complex128) * factor.reshape(shape)).to(values.dtype)


def doubled(values: Float[Tensor, "*batch"], exponents: Tensor) -> Float[Tensor, "*batch"]:
    """`2^exponent values` in double precision, in two steps: 2^exponent itself may overflow where
    the product does not."""
    half = torch.div(exponents, 2, rounding_mode="floor")
    return torch.ldexp(torch.ldexp(values.double(), half), exponents - half)


def of_unit_size(values: Complex[Tensor, "*shape"]) -> Complex[Tensor, "*shape"]:
    """`2^-e values`, the largest real or imaginary part in [1/2, 1)."""
    return scaled(values, exponent(values.flatten()))
