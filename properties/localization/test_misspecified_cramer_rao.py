"""Law: the misspecified bound is a sandwich about the pseudo-true place, and where the panel is
perfect, the Cramer-Rao bound."""

import math
from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.config import Impairments
from ris_pipeline.localization import Status
from ris_pipeline.scene import (
    SceneBatch,
    clean_snapshots,
    sensing_matrix,
    steering_derivatives,
    steering_second_derivatives,
)
from ris_pipeline.verification.bounds import sandwich_rounding
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.strategies import scene_batches
from ris_pipeline.verification.target import TARGET

FRONTS = ("spherical", "fresnel")
ZOOMS = (0.05, -0.03)
perfect = scene_batches(sources=(1, 2), wavefronts=FRONTS)
zoomed = scene_batches(
    sources=(1, 2),
    wavefronts=FRONTS,
    impairments=tuple(Impairments(spacing_error=e, wavelength_offset=e) for e in ZOOMS),
)
impaired = scene_batches(
    sources=(1, 2),
    wavefronts=FRONTS,
    impairments=(
        Impairments(phase_error_deg=10),
        Impairments(position_jitter=0.03, fixed=False),
        Impairments(gain_jitter_db=1),
    ),
)


def _there(scenes: SceneBatch, bias: torch.Tensor) -> SceneBatch:
    """The scenes with their sources where the bound says that least squares finds them."""
    s, move = scenes.sources, torch.nan_to_num(bias)
    moved = {
        name: getattr(s, name) + move[..., axis]
        for axis, name in enumerate(("azimuth", "elevation", "distance"))
    }
    return replace(scenes, sources=replace(s, **moved))


def _roots(
    scenes: SceneBatch, bias: torch.Tensor
) -> list[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Jacobian of the assumed snapshots of each scene by every unknown, and the Hessian's rest.

    The coordinates of each source in turn, then the real and imaginary parts of the amplitudes of
    each block; the rest is Re e^H d^2 mu, e what the assumed model leaves of the clean snapshots,
    and then the sum of its moduli with the snapshots for e, which its rounding is a part of.
    """
    s = _there(scenes, bias).sources
    where, front = (s.azimuth, s.elevation, s.distance), scenes.scenario.wavefront
    a, slopes = steering_derivatives(scenes.panel, *where, front)
    second = steering_second_derivatives(scenes.panel, *where, front)
    phi = sensing_matrix(scenes.channel, scenes.codes)
    b, d = torch.einsum("btrn,bkn->btrk", phi, a), torch.einsum("btrn,bkcn->btrkc", phi, slopes)
    dd = torch.einsum("btrn,bkcdn->btrkcd", phi, second)
    clean = clean_snapshots(scenes).flatten(2)
    return [
        _dense(b[i].numpy(), d[i].numpy(), dd[i].numpy(), clean[i].numpy(), k)
        for i, k in enumerate(s.count.tolist())
    ]


def _dense(
    b: np.ndarray, d: np.ndarray, dd: np.ndarray, clean: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    blocks, rows = clean.shape
    unknowns = 3 * k + 2 * k * blocks
    jacobian = np.zeros((blocks, rows, unknowns), dtype=complex)
    rest, moduli = np.zeros((2, unknowns, unknowns))
    for t in range(blocks):
        bt = b[t, :, :k]
        x = np.linalg.lstsq(bt, clean[t], rcond=None)[0]
        error = clean[t] - bt @ x
        for i in range(k):
            own = slice(3 * i, 3 * i + 3)
            jacobian[t][:, own] = d[t, :, i] * x[i]
            rest[own, own] += np.einsum("r,rcd->cd", error.conj(), dd[t, :, i] * x[i]).real
            moduli[own, own] += np.einsum("r,rcd->cd", abs(clean[t]), abs(dd[t, :, i] * x[i]))
            for part, unit in enumerate((1, 1j)):
                column = 3 * k + 2 * (t * k + i) + part
                jacobian[t][:, column] = unit * bt[:, i]
                rest[own, column] = rest[column, own] = (error.conj() @ d[t, :, i] * unit).real
                moduli[own, column] = moduli[column, own] = abs(clean[t]) @ abs(d[t, :, i])
    flat = jacobian.reshape(blocks * rows, unknowns)
    return np.concatenate((flat.real, flat.imag)), rest, moduli


def _relative(scenes: SceneBatch, bias: torch.Tensor) -> np.ndarray:
    """Relative rounding error of the bound of each scene; infinite where it is singular."""
    bounds = []
    for root, rest, moduli in _roots(scenes, bias):
        scale = np.linalg.norm(root, axis=0)
        unit = root / scale
        gram, hessian = unit.T @ unit, unit.T @ unit - rest / scale / scale[:, None]
        condition = max(np.linalg.cond(gram), np.linalg.cond(hessian))
        second = float(np.linalg.norm(moduli / scale / scale[:, None], 2))
        bounds.append(sandwich_rounding(root.shape[0], condition, second))
    # Beyond a thousandth the digits of the inverse mean nothing.
    return np.where(np.array(bounds) < 1e-3, bounds, math.inf)


def _agree(
    label: str, pair: tuple[torch.Tensor, torch.Tensor], scenes: SceneBatch, bias: torch.Tensor
) -> None:
    """The same variances to the rounding at the pseudo-true place, where that is regular."""
    bound = _relative(scenes, bias)
    rows = np.isfinite(bound)
    known = scenes.sources.active.numpy()[rows]
    first, second = (x.numpy()[rows][known] for x in pair)
    allowed = np.broadcast_to(bound[rows][:, None], known.shape)[known][:, None] * second
    assert_within(label, first, second, allowed)


@given(perfect)
def test_a_perfect_panel_has_the_cramer_rao_bound(scenes: SceneBatch) -> None:
    bound, expected = TARGET.misspecified_cramer_rao_bound(scenes), TARGET.cramer_rao_bound(scenes)
    none = torch.zeros_like(expected)
    _agree("MCRB of a perfect panel", (bound.variance, expected), scenes, none)
    _agree("its squared error", (bound.mean_squared_error, expected), scenes, none)


@given(zoomed)
def test_a_panel_and_a_wave_that_grow_alike_bring_the_sources_nearer(scenes: SceneBatch) -> None:
    # k / (1 + e) (r - |p - (1 + e) q|) = k (r' - |p' - q|) with r' = r / (1 + e): no model error,
    # and a place that is known.
    zoom = 1 + scenes.scenario.impairments.spacing_error
    bias = torch.zeros(*scenes.sources.active.shape, 3, dtype=torch.float64)
    bias[..., 2] = scenes.sources.distance / zoom - scenes.sources.distance
    variance = TARGET.cramer_rao_bound(_there(scenes, bias))
    bound = TARGET.misspecified_cramer_rao_bound(scenes)
    _agree("MCRB of a zoom", (bound.variance, variance), scenes, bias)
    # Of squares, so that the deviation is what the rounding of a place is a part of.
    total = bound.mean_squared_error, variance + bias.square()
    _agree("its squared error", total, scenes, bias)
    nearer = torch.where(scenes.sources.active, bound.bias[..., 2], bias[..., 2])
    regular = np.isfinite(_relative(scenes, bias))
    assert_true("distance grows with the panel", (nearer * bias[..., 2] > 0).numpy()[regular], bias)


@given(perfect, st.sampled_from((0.5, 2.0)), st.integers(0, 15))
def test_a_factor_of_all_elements_is_one_of_the_amplitudes(scenes, factor, sixteenth) -> None:
    turn = factor * complex(np.exp(2j * math.pi * sixteenth / 16))
    truth = replace(scenes.truth, response=turn * scenes.truth.response)
    got = TARGET.misspecified_cramer_rao_bound(replace(scenes, truth=truth)).mean_squared_error
    expected = TARGET.cramer_rao_bound(scenes) / factor**2
    _agree("MCRB of brighter elements", (got, expected), scenes, torch.zeros_like(expected))


@given(impaired)
def test_the_bound_is_the_sandwich_of_every_unknown(scenes: SceneBatch) -> None:
    bound = TARGET.misspecified_cramer_rao_bound(scenes)
    got, expected = (torch.zeros_like(bound.variance) for _ in range(2))
    for scene, (root, rest, _) in enumerate(_roots(scenes, bound.bias)):
        count = int(scenes.sources.count[scene])
        if (bound.status[scene, :count] != Status.CONVERGED).any():
            continue
        scale = np.linalg.norm(root, axis=0)
        unit = root / scale
        half = np.linalg.pinv(unit.T @ unit - rest / scale / scale[:, None]) @ unit.T
        variance = (half**2).sum(axis=1) / scale**2 * float(scenes.noise_variance[scene]) / 2
        expected[scene, :count] = torch.from_numpy(variance[: 3 * count]).reshape(count, 3)
        got[scene, :count] = bound.variance[scene, :count]
    _agree("MCRB", (got, expected), scenes, bound.bias)
