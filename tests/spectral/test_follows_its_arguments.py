"""Results stay on the device and in the precision of the arguments, whatever torch's defaults are;
bad arguments are named."""

from collections.abc import Callable

import pytest
import torch

from ris_pipeline._errors import InputError
from ris_pipeline.spectral import (
    LowRankCovariance,
    add_loading,
    bartlett_spectrum,
    blend,
    decomposition,
    eigengap,
    eigengap_loss,
    eigenvalues,
    eigh,
    forward_backward,
    hermitize,
    music_spectrum,
    mvdr_spectrum,
    nmse,
    noise_subspace,
    noise_weight,
    shrink,
    signal_power_hinge,
    signal_subspace,
    singular_values,
    soft_alignment,
    soft_music_spectrum,
    spatial_smoothing,
)

GENERATOR = torch.Generator().manual_seed(5)
FACTOR = torch.randn(2, 6, 3, dtype=torch.complex64, generator=GENERATOR)
STEERING = torch.randn(6, 4, dtype=torch.complex64, generator=GENERATOR)
LOW_RANK = LowRankCovariance(FACTOR, 0.1)
DENSE = LOW_RANK.dense()
WINDOWS = torch.tensor([[0, 1, 2, 3], [2, 3, 4, 5]])

CALLS: dict[str, Callable[[], torch.Tensor]] = {
    "loading_column": lambda: LOW_RANK.loading_column(),
    "dense": lambda: LOW_RANK.dense(),
    "trace": lambda: LOW_RANK.trace(),
    "low-rank eigenvalues": lambda: LOW_RANK.eigenvalues(),
    "apply": lambda: LOW_RANK.apply(STEERING.expand(2, 6, 4)),
    "signal_basis": lambda: LOW_RANK.signal_basis(2),
    "add_loading": lambda: add_loading(DENSE, 0.2),
    "shrink": lambda: shrink(DENSE, 0.2),
    "low-rank shrink": lambda: shrink(LOW_RANK, 0.2).dense(),
    "eigengap": lambda: eigengap(DENSE, 2),
    "eigengap_loss": lambda: eigengap_loss(LOW_RANK, 2, 50.0),
    "signal_power_hinge": lambda: signal_power_hinge(DENSE, 2, 0.99),
    "mvdr": lambda: mvdr_spectrum(DENSE, STEERING),
    "low-rank mvdr": lambda: mvdr_spectrum(LOW_RANK, STEERING),
    "bartlett": lambda: bartlett_spectrum(LOW_RANK, STEERING),
    "music": lambda: music_spectrum(LOW_RANK, STEERING, 2),
    "forward_backward": lambda: forward_backward(DENSE),
    "low-rank forward_backward": lambda: forward_backward(LOW_RANK).dense(),
    "spatial_smoothing": lambda: spatial_smoothing(DENSE, WINDOWS),
    "low-rank spatial_smoothing": lambda: spatial_smoothing(LOW_RANK, WINDOWS).dense(),
    "decomposition": lambda: decomposition(DENSE)[2],
    "low-rank decomposition": lambda: decomposition(LOW_RANK)[2],
    "soft_music": lambda: soft_music_spectrum(DENSE, STEERING, 0.1),
    "low-rank soft_music": lambda: soft_music_spectrum(LOW_RANK, STEERING, 0.1),
    "noise_weight": lambda: noise_weight(DENSE.real, DENSE.abs()[..., 0], 2.0),
    "soft_alignment": lambda: soft_alignment(LOW_RANK, STEERING),
}


@pytest.mark.parametrize("name", CALLS)
def test_device_and_precision_are_those_of_the_argument(name: str) -> None:
    expected = CALLS[name]()
    default = torch.get_default_dtype()
    try:
        # Whatever is made without saying where or how lands on meta, in double.
        torch.set_default_dtype(torch.float64)
        with torch.device("meta"):
            result = CALLS[name]()
    finally:
        torch.set_default_dtype(default)
    assert result.dtype in (torch.float32, torch.complex64)
    assert torch.equal(result, expected)


def test_orders_may_be_short_integers() -> None:
    orders = torch.tensor([1, 2], dtype=torch.int32)
    for function in (eigengap, lambda r, k: signal_power_hinge(r, k, 0.99)):
        assert torch.equal(function(DENSE, orders), function(DENSE, orders.long()))


def test_a_double_loading_does_not_widen_a_single_matrix() -> None:
    loading = torch.tensor([0.1, 0.2], dtype=torch.float64)
    assert add_loading(DENSE, loading).dtype == torch.complex64
    assert LowRankCovariance(FACTOR, loading).loading_column().dtype == torch.float32


BROKEN = DENSE[0].clone()
BROKEN[0, 1] = torch.nan
REAL = torch.eye(3)
SINGLE = torch.finfo(torch.float32)
MIXED = "of a dense and a factored covariance: allowed are two of one form"

ERRORS: list[tuple[Callable[[], object], str]] = [
    (lambda: add_loading(DENSE, -1.0), "loading = -1.0: allowed is 0.0..inf"),
    (lambda: shrink(DENSE, 1.5), "weight = 1.5: allowed is 0.0..1.0"),
    (lambda: shrink(DENSE, -0.5), "weight = -0.5: allowed is 0.0..1.0"),
    (lambda: blend(DENSE, DENSE, 1.5), "beta = 1.5: allowed is 0.0..1.0"),
    (lambda: blend(DENSE, DENSE, -0.5), "beta = -0.5: allowed is 0.0..1.0"),
    (lambda: blend(DENSE, LOW_RANK, 0.5), f"blend {MIXED}"),  # type: ignore[type-var]
    (lambda: blend(LOW_RANK, DENSE, 0.5), f"blend {MIXED}"),  # type: ignore[type-var]
    (lambda: nmse(DENSE, LOW_RANK), f"nmse {MIXED}"),
    (lambda: nmse(LOW_RANK, DENSE), f"nmse {MIXED}"),
    (lambda: hermitize(FACTOR), "matrix has shape (2, 6, 3): allowed is (..., n, n), n >= 1"),
    (
        lambda: hermitize(REAL),
        "matrix has dtype torch.float32: allowed are complex64 and complex128",
    ),
    *(
        (
            lambda function=function: function(BROKEN),
            "matrix has 1 non-finite entries, the first at (0, 1): allowed are finite numbers",
        )
        for function in (eigenvalues, eigh, singular_values)
    ),
    (lambda: eigengap(DENSE, 6), "k = 6: allowed is 1..5"),
    (lambda: eigengap_loss(DENSE, 1, -1.0), "margin = -1.0: allowed is 0.0..inf"),
    (lambda: signal_power_hinge(DENSE, 0, 0.5), "k = 0: allowed is 1..5"),
    (lambda: signal_power_hinge(DENSE, 1, 0.5, 6), "most = 6: allowed is 1..5"),
    (lambda: signal_power_hinge(DENSE, 3, 0.5, 2), "k = 3: allowed is 1..2"),
    (lambda: signal_power_hinge(DENSE, 1, 1.5), "margin = 1.5: allowed is 0.0..1.0"),
    (lambda: signal_power_hinge(DENSE, 1, -0.5), "margin = -0.5: allowed is 0.0..1.0"),
    (lambda: signal_subspace(DENSE, 6), "k = 6: allowed is 1..5"),
    (lambda: noise_subspace(DENSE, 6), "k = 6: allowed is 1..5"),
    (lambda: noise_subspace(DENSE[None], 6), "k = 6: allowed is 1..5"),
    (lambda: LOW_RANK.signal_basis(4), "order = 4: allowed is 1..3"),
    (lambda: LOW_RANK.signal_basis(0), "order = 0: allowed is 1..3"),
    *(
        (
            lambda function=function, r=r: function(r, STEERING[:5]),
            "steering has shape (5, 4): allowed is (..., 6, any)",
        )
        for function in (
            bartlett_spectrum,
            mvdr_spectrum,
            lambda r, steering: music_spectrum(r, steering, 2),
            lambda r, steering: soft_music_spectrum(r, steering, 0.1),
        )
        for r in (DENSE, LOW_RANK)
    ),
    (
        lambda: mvdr_spectrum(LowRankCovariance(FACTOR), STEERING),
        "loading = 0.0: allowed is a positive loading, R must be invertible",
    ),
    (
        lambda: soft_music_spectrum(DENSE, STEERING, 0.0),
        f"noise = 0.0: allowed is {SINGLE.tiny}..{SINGLE.max}",
    ),
    (
        lambda: soft_music_spectrum(DENSE, STEERING, torch.inf),
        f"noise = inf: allowed is {SINGLE.tiny}..{SINGLE.max}",
    ),
    (
        lambda: soft_music_spectrum(DENSE, STEERING, 0.1, -1.0),
        "sharpness = -1.0: allowed is 0.0..inf",
    ),
    (
        lambda: spatial_smoothing(DENSE, WINDOWS[:0]),
        "windows has shape (0, 4): allowed is (w, m), both >= 1",
    ),
    (lambda: spatial_smoothing(DENSE, WINDOWS + 1), "windows holds 6: allowed is 0..5"),
    (lambda: spatial_smoothing(LOW_RANK, WINDOWS - 1), "windows holds -1: allowed is 0..5"),
    (
        lambda: forward_backward(FACTOR),
        "matrix has shape (2, 6, 3): allowed is (..., n, n), n >= 1",
    ),
    (
        lambda: LowRankCovariance(REAL),
        "factor has dtype torch.float32: allowed are complex64 and complex128",
    ),
    (
        lambda: LowRankCovariance(FACTOR[:, :0]),
        "factor has shape (2, 0, 3): allowed is (..., n, q), n and q >= 1",
    ),
    (
        lambda: LowRankCovariance(FACTOR[0, 0]),
        "factor has shape (3,): allowed is (..., n, q), n and q >= 1",
    ),
    (lambda: LowRankCovariance(FACTOR, -0.1), "loading = -0.1: allowed is 0.0..inf"),
]


@pytest.mark.parametrize(("call", "message"), ERRORS, ids=[message[:40] for _, message in ERRORS])
def test_a_bad_argument_is_named(call: Callable[[], object], message: str, untyped) -> None:
    with untyped(), pytest.raises(InputError) as caught:
        call()
    assert str(caught.value) == message


def test_a_batch_of_none_is_a_batch() -> None:
    assert LowRankCovariance(FACTOR[:0]).eigenvalues().shape == (0, 6)


def test_a_margin_may_be_infinite() -> None:
    assert eigengap_loss(DENSE, 1, torch.inf) == torch.inf
