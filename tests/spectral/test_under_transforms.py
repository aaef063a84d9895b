"""Under transforms, what the laws do not reach: factored covariances, checks, compiled code."""

import math
import subprocess
import sys
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad
from torch.func import grad, hessian, jacfwd, jvp, vmap

from ris_pipeline._errors import InputError
from ris_pipeline.spectral import (
    LowRankCovariance,
    add_loading,
    bartlett_spectrum,
    blend,
    eigengap,
    eigengap_loss,
    eigenvalue_aic,
    eigenvalue_mdl,
    eigenvalues,
    forward_backward,
    music_spectrum,
    mvdr_spectrum,
    nmse,
    normalize_trace,
    projector,
    shrink,
    signal_power_hinge,
    signal_subspace,
    soft_alignment,
    soft_music_spectrum,
    spatial_smoothing,
    trace,
)

N, Q = 6, 4
STEP = 1e-5
# Truncation of a central difference is STEP^2 times a third derivative; numbers here are near one.
CLOSE = 1e-6


def _complex(*shape: int, seed: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.complex128, generator=generator)


A = torch.linalg.qr(_complex(N, 5, seed=1))[0]
WINDOWS = torch.tensor([[0, 1, 2], [1, 2, 3], [3, 4, 5]])


def _low(factor: Tensor) -> LowRankCovariance:
    return LowRankCovariance(factor, 0.5)


def _full(factor: Tensor) -> Tensor:
    # No two eigenvalues are one: at a tie eigenvectors have no derivative.
    return factor @ factor.mH + torch.arange(1.0, N + 1).diag()


Form = Callable[[Tensor], Any]
FUNCTIONS: dict[str, Callable[[Form, Tensor], Tensor]] = {
    "eigenvalues": lambda c, f: eigenvalues(c(f)) if c is _full else c(f).eigenvalues(),
    "eigengap": lambda c, f: eigengap(c(f), 2),
    "eigengap_loss": lambda c, f: eigengap_loss(c(f), torch.tensor(2), 100.0),
    "signal_power_hinge": lambda c, f: signal_power_hinge(c(f), torch.tensor(2), 0.99),
    "signal_subspace": lambda c, f: projector(signal_subspace(c(f), 2)),
    "music_spectrum": lambda c, f: music_spectrum(c(f), A, 2),
    "mvdr_spectrum": lambda c, f: mvdr_spectrum(c(f), A),
    "bartlett_spectrum": lambda c, f: bartlett_spectrum(c(f), A),
    "soft_music_spectrum": lambda c, f: soft_music_spectrum(c(f), A, 1.0, 2.0),
    "forward_backward": lambda c, f: trace(forward_backward(c(f))),
    "spatial_smoothing": lambda c, f: trace(spatial_smoothing(c(f), WINDOWS)),
    "normalize_trace": lambda c, f: bartlett_spectrum(normalize_trace(c(f)), A),
    "add_loading": lambda c, f: mvdr_spectrum(add_loading(c(f), 0.25), A),
    "shrink": lambda c, f: mvdr_spectrum(shrink(c(f), 0.25), A),
    "blend": lambda c, f: mvdr_spectrum(blend(c(f), c(f.conj()), 0.25), A),
    "nmse": lambda c, f: nmse(c(f), c(f.conj())),
    "eigenvalue_mdl": lambda c, f: eigenvalue_mdl(FUNCTIONS["eigenvalues"](c, f), 50),
    "eigenvalue_aic": lambda c, f: eigenvalue_aic(FUNCTIONS["eigenvalues"](c, f), 50),
    "soft_alignment": lambda c, f: soft_alignment(_low(f), A),
}
CASES = [
    pytest.param(name, form, id=f"{name}-{form.__name__.strip('_')}")
    for name in FUNCTIONS
    for form in (_low, _full)
]


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with warnings.catch_warnings():
        # torch scripts some of its own formulas when the first tangent asks for them.
        warnings.simplefilter("ignore", DeprecationWarning)
        yield


def _same(got: Tensor, expected: Tensor) -> None:
    got, expected = got.detach().resolve_conj(), expected.detach().resolve_conj()
    assert got.shape == expected.shape
    assert (got - expected).abs().max() <= CLOSE * expected.abs().max().clamp_min(1.0)


@pytest.mark.parametrize(("name", "form"), CASES)
def test_every_transform_of_every_function(name: str, form: Form) -> None:
    def function(f: Tensor) -> Tensor:
        return FUNCTIONS[name](form, f)

    x, along = _complex(N, Q, seed=2), _complex(N, Q, seed=3)
    moved = (function(x + STEP * along) - function(x - STEP * along)) / (2 * STEP)
    weight = moved.conj().resolve_conj() + 1

    def objective(f: Tensor) -> Tensor:
        return (function(f) * weight).sum().real

    def slope(f: Tensor) -> Tensor:
        return (grad(objective)(f).conj() * along).sum().real

    slopes = [slope(x + sign * STEP * along) for sign in (1, -1)]
    curvature = (slopes[0] - slopes[1]) / (2 * STEP)
    _same(jvp(function, (x,), (along,))[1], moved)
    with forward_ad.dual_level():
        _same(forward_ad.unpack_dual(function(forward_ad.make_dual(x, along))).tangent, moved)
    _same(slope(x), (moved * weight).sum().real)
    _same(jvp(slope, (x,), (along,))[1], curvature)
    _same((grad(slope)(x).conj() * along).sum().real, curvature)
    leaf = x.clone().requires_grad_()
    (first,) = torch.autograd.grad(objective(leaf), leaf, create_graph=True)
    (second,) = torch.autograd.grad((first.conj() * along).sum().real, leaf)
    _same((second.conj() * along).sum().real, curvature)
    many = torch.stack((x, along, x + along))
    _same(vmap(function)(many), torch.stack([function(f) for f in many]))
    _same(vmap(grad(objective))(many), torch.stack([grad(objective)(f) for f in many]))


def test_jacobians_of_a_hinge_per_parameter() -> None:
    factor = _complex(N, Q, seed=2)

    def hinge(scale: Tensor) -> Tensor:
        return eigengap_loss(_low(factor * scale), 2, 100.0)

    scale = torch.tensor([1.0, 2.0, 0.5, 1.5], dtype=torch.float64)
    step = 1e-4 * torch.eye(4, dtype=torch.float64)
    differences = torch.stack(
        [(jacfwd(hinge)(scale + s) - jacfwd(hinge)(scale - s)) / 2e-4 for s in step]
    )
    assert (hessian(hinge)(scale) - differences).abs().max() < 1e-4


def test_a_check_reads_every_matrix_that_is_mapped_over() -> None:
    matrices = _full(_complex(3, N, Q, seed=2))
    matrices[1, 0, 0] = math.nan
    with pytest.raises(InputError, match="matrix has 1 non-finite entries"):
        vmap(eigenvalues)(matrices)
    with pytest.raises(InputError, match=r"k holds 6: allowed is 1\.\.5"):
        vmap(eigengap)(_full(_complex(3, N, Q, seed=2)), torch.tensor([1, 6, 2]))
    with pytest.raises(InputError, match=r"loading = 0\.0: allowed is a positive loading"):
        vmap(lambda f, d: mvdr_spectrum(LowRankCovariance(f, d), A))(
            _complex(2, N, Q, seed=2), torch.tensor([1.0, 0.0])
        )
    with pytest.raises(InputError, match="eigenvalues ascend"):
        vmap(lambda v: eigenvalue_mdl(v, 9))(torch.tensor([[2.0, 1.0], [1.0, 2.0]]))


def test_one_k_for_each_matrix_that_is_mapped_over() -> None:
    matrices, k = _full(_complex(3, N, Q, seed=2)), torch.tensor([1, 3, 2])
    each = torch.stack(
        [signal_power_hinge(m, int(i), 0.99) for m, i in zip(matrices, k, strict=True)]
    )
    _same(vmap(lambda m, i: signal_power_hinge(m, i, 0.99))(matrices, k), each)


COMPILED = """
import torch
from ris_pipeline.spectral import *
from ris_pipeline.spectral import LowRankCovariance as Low

torch.manual_seed(0)
f = torch.randn(6, 4, dtype=torch.complex128)
a = torch.linalg.qr(torch.randn(6, 5, dtype=torch.complex128))[0]
r = f @ f.mH + torch.arange(1.0, 7).diag()
k = torch.tensor(2)
functions = [
    lambda r: eigengap_loss(r, k, 100.0), lambda r: signal_power_hinge(r, k, 0.9),
    lambda r: music_spectrum(r, a, 2), lambda r: mvdr_spectrum(r, a), lambda r: nmse(r, r.mT),
    lambda r: soft_music_spectrum(shrink(normalize_trace(r), 0.25), a, 1.0),
    lambda r: eigenvalue_mdl(eigenvalues(forward_backward(r)), 50),
]
factored = [lambda x, g=g: g(Low(x, 0.5)) for g in functions[:4]]
for g, x in [(g, r) for g in functions] + [(g, f) for g in factored]:
    torch.compiler.reset()
    got = torch.compile(g, backend="aot_eager", fullgraph=True)(x)
    assert torch.allclose(got, g(x), rtol=1e-9), (g, got)
leaf = r.clone().requires_grad_()
torch.compiler.reset()
torch.compile(functions[0], backend="aot_eager", fullgraph=True)(leaf).backward()
twin = r.clone().requires_grad_()
functions[0](twin).backward()
assert torch.allclose(leaf.grad, twin.grad)
"""


def test_a_margin_looks_up_every_order_where_none_is_known(monkeypatch) -> None:
    # As while a compiler traces, which sees no number.
    matrices, k = _full(_complex(3, N, Q, seed=2)), torch.tensor([1, N - 1, 2])
    expected = signal_power_hinge(matrices, k, 0.99)
    module = sys.modules["ris_pipeline.spectral.eigengap"]
    monkeypatch.setattr(module, "numbers", lambda _: None)
    _same(signal_power_hinge(matrices, k, 0.99), expected)


def test_a_margin_does_not_look_up_an_order_that_is_told() -> None:
    matrices, k = _full(_complex(3, N, Q, seed=2)), torch.tensor([1, 2, 3])
    expected = signal_power_hinge(matrices, k, 0.99)
    for most in range(3, N):
        _same(signal_power_hinge(matrices, k, 0.99, most), expected)


@pytest.mark.slow
def test_compiled_in_one_graph() -> None:
    # In a process of its own: the shape checker of the tests is in the way of a compiler.
    ran = subprocess.run([sys.executable, "-c", COMPILED], capture_output=True, text=True)
    assert ran.returncode == 0, ran.stderr
