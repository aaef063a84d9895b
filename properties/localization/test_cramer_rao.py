"""Law: the Cramer-Rao bound scales with the noise and sees no common phase, order or rotation."""

import math
from dataclasses import replace

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import unitary_group

from ris_pipeline.scene import SceneBatch, sensing_matrix, steering_derivatives
from ris_pipeline.verification.bounds import cramer_rao_rounding
from ris_pipeline.verification.checks import assert_relative, assert_true
from ris_pipeline.verification.strategies import scene_batches
from ris_pipeline.verification.target import TARGET

scenes_of_one_or_two = scene_batches(sources=(1, 2), wavefronts=("spherical", "fresnel"))


def _jacobians(scenes: SceneBatch) -> list[np.ndarray]:
    """Derivatives of the snapshots of each scene by every unknown, real over imaginary parts.

    The coordinates of each source in turn, then the real and imaginary parts of the amplitudes of
    each block.
    """
    s = scenes.sources
    where = (s.azimuth, s.elevation, s.distance)
    a, slopes = steering_derivatives(scenes.panel, *where, scenes.scenario.wavefront)
    amplitudes = s.gains[..., None] * s.symbols
    phi = sensing_matrix(scenes.channel, scenes.codes)
    # Coordinates move every block by its amplitude, an amplitude only its own block.
    seen = torch.einsum("btrn,bkcn,bkt->btrkc", phi, slopes, amplitudes).flatten(3)
    own = torch.einsum("btrn,bkn->btrk", phi, a)
    jacobians = []
    for moved, plain, count in zip(seen.numpy(), own.numpy(), s.count.tolist(), strict=True):
        columns = [moved[..., : 3 * count].reshape(-1, 3 * count)]
        for block in range(plain.shape[0]):
            one = np.zeros_like(plain[..., :count])
            one[block] = plain[block, :, :count]
            columns += [one.reshape(-1, count), 1j * one.reshape(-1, count)]
        jacobian = np.concatenate(columns, axis=1)
        jacobians.append(np.concatenate((jacobian.real, jacobian.imag)))
    return jacobians


def _relative(scenes: SceneBatch) -> np.ndarray:
    """Relative rounding error of the bound of each scene; infinite where it is singular."""
    bounds = []
    for jacobian in _jacobians(scenes):
        condition = np.linalg.cond(jacobian / np.linalg.norm(jacobian, axis=0)) ** 2
        bounds.append(cramer_rao_rounding(jacobian.shape[0], condition))
    # Beyond a thousandth the digits of the inverse mean nothing.
    return np.where(np.array(bounds) < 1e-3, bounds, math.inf)


def _agree(label: str, got: torch.Tensor, expected: torch.Tensor, scenes: SceneBatch) -> None:
    assert_relative(label, got, expected, scenes.sources.active, _relative(scenes))


@given(scenes_of_one_or_two)
def test_the_bound_inverts_the_information_of_every_unknown(scenes: SceneBatch) -> None:
    # sigma^2 / 2 (J^T J)^-1 = sigma^2 / 2 R^-1 R^-T of the scaled J = Q R, whose condition is not
    # squared.
    got = TARGET.cramer_rao_bound(scenes)
    expected = torch.full_like(got, torch.nan)
    for scene, jacobian in enumerate(_jacobians(scenes)):
        scale = np.linalg.norm(jacobian, axis=0)
        inverse = np.linalg.pinv(np.linalg.qr(jacobian / scale, mode="r"))
        variance = (inverse**2).sum(axis=1) / scale**2
        count = int(scenes.sources.count[scene])
        rows = torch.from_numpy(variance[: 3 * count]).reshape(count, 3)
        expected[scene, :count] = scenes.noise_variance[scene] / 2 * rows
    _agree("CRB", got, expected, scenes)


@given(scenes_of_one_or_two, st.sampled_from((3.0, 0.1, 100.0)))
def test_the_bound_is_proportional_to_the_noise_variance(scenes: SceneBatch, factor) -> None:
    louder = replace(scenes, noise_variance=factor * scenes.noise_variance)
    got = TARGET.cramer_rao_bound(louder)
    _agree("CRB of more noise", got, factor * TARGET.cramer_rao_bound(scenes), scenes)


@given(scenes_of_one_or_two, st.sampled_from((2.0, 0.5)), st.integers(0, 15))
def test_the_bound_falls_with_the_power_and_sees_no_phase(scenes, factor, sixteenth) -> None:
    turn = factor * complex(np.exp(2j * math.pi * sixteenth / 16))
    sources = replace(scenes.sources, gains=scenes.sources.gains * turn)
    got = TARGET.cramer_rao_bound(replace(scenes, sources=sources))
    _agree("CRB of more power", got, TARGET.cramer_rao_bound(scenes) / factor**2, scenes)


@given(scenes_of_one_or_two, st.integers(0, 2**16))
def test_the_bound_does_not_see_a_rotation_of_the_antennas(scenes, seed: int) -> None:
    m = scenes.channel.shape[1]
    q = torch.from_numpy(unitary_group.rvs(m, random_state=np.random.default_rng(seed)))
    turned = replace(scenes, channel=q @ scenes.channel, snapshots=scenes.snapshots @ q.mT)
    expected = TARGET.cramer_rao_bound(scenes)
    _agree("CRB of turned antennas", TARGET.cramer_rao_bound(turned), expected, scenes)


@given(scene_batches(sources=(2, 2), wavefronts=("spherical", "fresnel")))
def test_the_bound_goes_with_its_source_and_falls_without_the_other(scenes: SceneBatch) -> None:
    s = scenes.sources
    per_source = ("azimuth", "elevation", "distance", "gains", "symbols")
    turned = replace(s, **{name: getattr(s, name).flip(1) for name in per_source})
    both = TARGET.cramer_rao_bound(scenes)
    swapped = TARGET.cramer_rao_bound(replace(scenes, sources=turned)).flip(1)
    _agree("CRB of swapped sources", swapped, both, scenes)
    alone = replace(s, count=torch.ones_like(s.count))
    one = TARGET.cramer_rao_bound(replace(scenes, sources=alone))[:, 0].numpy()
    pair, bound = both[:, 0].numpy(), _relative(scenes)
    rows = np.isfinite(bound)
    fair = pair[rows] >= one[rows] * (1 - bound[rows][:, None])
    assert_true("no lower beside another source", fair, pair[rows] - one[rows])
