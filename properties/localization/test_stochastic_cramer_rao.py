"""Law: the stochastic bound inverts the information of every unknown of a covariance.

It sees neither a common scale of signal and noise nor a rotation of the antennas, and twice the
blocks halve it.
"""

import math
from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import unitary_group

from ris_pipeline.scene import SceneBatch, sensing_matrix, steering_derivatives
from ris_pipeline.verification.bounds import cramer_rao_rounding
from ris_pipeline.verification.checks import assert_relative
from ris_pipeline.verification.strategies import scene_batches
from ris_pipeline.verification.target import TARGET

scenes_of_one_or_two = scene_batches(sources=(1, 2), wavefronts=("spherical", "fresnel"))


def _hermitian_units(k: int) -> list[np.ndarray]:
    units = []
    for i in range(k):
        for j in range(i + 1):
            for value in (1.0,) if i == j else (1.0, 1j):
                unit = np.zeros((k, k), dtype=complex)
                unit[i, j], unit[j, i] = value, np.conj(value)
                units.append(unit)
    return units


def _columns(scenes: SceneBatch) -> list[tuple[np.ndarray, np.ndarray]]:
    """B (T, LM, K) and D (T, LM, 3 K) of each scene."""
    s = scenes.sources
    where = (s.azimuth, s.elevation, s.distance)
    a, slopes = steering_derivatives(scenes.panel, *where, scenes.scenario.wavefront)
    phi = sensing_matrix(scenes.channel, scenes.codes)
    seen = torch.einsum("btrn,bkn->btrk", phi, a).numpy()
    moved = torch.einsum("btrn,bkcn->btrkc", phi, slopes).flatten(3).numpy()
    counts = enumerate(s.count.tolist())
    return [(seen[scene, ..., :k], moved[scene, ..., : 3 * k]) for scene, k in counts]


def _roots(scenes: SceneBatch) -> list[np.ndarray]:
    """Square roots J of the information of each scene, F = J^T J.

    Columns R^-1/2 (dR) R^-1/2 of every block, real over imaginary parts, for the coordinates of
    each source in turn, the real numbers of a Hermitian P, and the noise variance.
    """
    roots = []
    for scene, (seen, moved) in enumerate(_columns(scenes)):
        k = seen.shape[-1]
        p = np.diag(scenes.sources.powers[scene, :k].numpy())
        noise = float(scenes.noise_variance[scene])
        blocks = []
        for b, d in zip(seen, moved, strict=True):
            half = [np.outer(d[:, i], (b @ p[:, i // 3]).conj()) for i in range(3 * k)]
            moves = [x + x.conj().T for x in half]
            moves += [b @ unit @ b.conj().T for unit in _hermitian_units(k)] + [np.eye(len(b))]
            lower = np.linalg.cholesky(b @ p @ b.conj().T + noise * np.eye(len(b)))
            once = [np.linalg.solve(lower, move) for move in moves]
            white = [np.linalg.solve(lower, x.conj().T).ravel() for x in once]
            blocks.append(np.stack([np.concatenate((x.real, x.imag)) for x in white], axis=1))
        roots.append(np.concatenate(blocks))
    return roots


def _condition(columns: np.ndarray) -> float:
    return float(np.linalg.cond(columns / np.linalg.norm(columns, axis=0))) ** 2


def _relative(scenes: SceneBatch) -> np.ndarray:
    """Relative rounding error of the bound of each scene; infinite where it is singular.

    The part of D outside the span of B is a difference: the condition of both together counts too.
    """
    bounds = []
    for root, (b, d) in zip(_roots(scenes), _columns(scenes), strict=True):
        pairs = (np.concatenate((one, slopes), axis=1) for one, slopes in zip(b, d, strict=True))
        condition = max(_condition(root), *(_condition(pair) for pair in pairs))
        bounds.append(cramer_rao_rounding(scenes.snapshots[0].numel(), condition))
    # Beyond a thousandth the digits of the inverse mean nothing.
    return np.where(np.array(bounds) < 1e-3, bounds, math.inf)


def _agree(label: str, got: torch.Tensor, expected: torch.Tensor, scenes: SceneBatch) -> None:
    assert_relative(label, got, expected, scenes.sources.active, _relative(scenes))


@given(scenes_of_one_or_two)
def test_the_bound_inverts_the_information_of_coordinates_covariance_and_noise(scenes) -> None:
    got = TARGET.stochastic_cramer_rao_bound(scenes)
    expected = torch.full_like(got, torch.nan)
    for scene, root in enumerate(_roots(scenes)):
        scale = np.linalg.norm(root, axis=0)
        inverse = np.linalg.pinv(np.linalg.qr(root / scale, mode="r"))
        variance = (inverse**2).sum(axis=1) / scale**2
        count = int(scenes.sources.count[scene])
        expected[scene, :count] = torch.from_numpy(variance[: 3 * count]).reshape(count, 3)
    _agree("stochastic CRB", got, expected, scenes)


@given(scenes_of_one_or_two, st.sampled_from((2.0, 0.1, 30.0)))
def test_the_bound_sees_no_common_scale_of_signal_and_noise(scenes, factor: float) -> None:
    sources = replace(scenes.sources, gains=scenes.sources.gains * factor)
    noise = scenes.noise_variance * factor**2
    got = TARGET.stochastic_cramer_rao_bound(replace(scenes, sources=sources, noise_variance=noise))
    expected = TARGET.stochastic_cramer_rao_bound(scenes)
    _agree("stochastic CRB of scaled units", got, expected, scenes)


@given(scenes_of_one_or_two, st.integers(0, 2**16))
def test_the_bound_does_not_see_a_rotation_of_the_antennas(scenes, seed: int) -> None:
    m = scenes.channel.shape[1]
    q = torch.from_numpy(unitary_group.rvs(m, random_state=np.random.default_rng(seed)))
    turned = replace(scenes, channel=q @ scenes.channel, snapshots=scenes.snapshots @ q.mT)
    got, expected = (TARGET.stochastic_cramer_rao_bound(x) for x in (turned, scenes))
    _agree("stochastic CRB of turned antennas", got, expected, scenes)


@given(scenes_of_one_or_two)
def test_twice_the_blocks_halve_the_bound(scenes) -> None:
    s = scenes.sources
    longer = replace(
        scenes,
        snapshots=torch.cat((scenes.snapshots, scenes.snapshots), dim=1),
        codes=torch.cat((scenes.codes, scenes.codes)),
        sources=replace(s, symbols=torch.cat((s.symbols, s.symbols), dim=-1)),
    )
    got = TARGET.stochastic_cramer_rao_bound(longer)
    expected = TARGET.stochastic_cramer_rao_bound(scenes) / 2
    _agree("stochastic CRB of twice the blocks", got, expected, scenes)
