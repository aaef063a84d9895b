"""Law: ESPRIT and root-MUSIC find the directions of plane waves on a uniform linear array.

a_n = exp(+j 2 pi d n sin(theta)), d = 1/2; k angles in radians from broadside, ascending.
"""

from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from hypothesis import given
from hypothesis import strategies as st

from ris_pipeline.verification.bounds import shift_bound, subspace_bound
from ris_pipeline.verification.checks import assert_true, assert_within
from ris_pipeline.verification.oracles import root_music, ula
from ris_pipeline.verification.slopes import gaussian
from ris_pipeline.verification.strategies import DTYPES
from ris_pipeline.verification.target import TARGET, Claim, taken, under_test


@dataclass(frozen=True)
class Waves:
    """Plane waves in white noise on n antennas.

    sines: of the directions, one row a matrix of the batch; uneven: how far the noise is from
    white, in parts of it: root-MUSIC's roots leave the circle, where each is double.
    """

    n: int
    sines: tuple[tuple[float, ...], ...]
    uneven: float = 0.0
    seed: int = 0

    @property
    def k(self) -> int:
        """How many there are."""
        return len(self.sines[0])

    @property
    def angles(self) -> np.ndarray:
        """Radians, ascending."""
        return np.sort(np.arcsin(np.array(self.sines)), axis=-1)

    def matrices(self) -> np.ndarray:
        """Their covariances."""
        return np.array([self._one(row, i) for i, row in enumerate(self.angles)])

    def _one(self, angles: np.ndarray, index: int) -> np.ndarray:
        a = ula(self.n, angles)
        powers = 1.0 + np.arange(self.k)
        noise = gaussian((self.n, self.n), self.seed + 10 * index)
        noise = noise @ noise.conj().T / self.n
        waves = (a * powers) @ a.conj().T
        return np.asarray(waves + 0.5 * (np.eye(self.n) + self.uneven * noise))


WAVES = (
    Waves(2, ((0.3,),)),
    Waves(4, ((-0.45,),)),
    Waves(5, ((0.1, 0.7),)),
    Waves(8, ((-0.8, -0.2, 0.55),)),
    Waves(7, ((-0.5, 0.25), (0.05, 0.8), (-0.9, -0.35))),
    Waves(20, ((-0.61, -0.32, 0.02, 0.41, 0.77),)),
    Waves(12, ((0.5, 0.9), (0.0, -0.4))),
)


def _answers(
    name: str, waves: Waves, dtype: torch.dtype, skew: float | np.ndarray = 0.0
) -> np.ndarray:
    matrices = torch.from_numpy(waves.matrices() + skew).to(dtype)
    given = matrices if len(matrices) > 1 else matrices[0]
    answer = getattr(TARGET, name)(given, waves.k)
    got = np.asarray(answer.detach().double().numpy())
    return got if len(matrices) > 1 else got[None]


@given(st.sampled_from(WAVES), st.sampled_from(DTYPES))
def test_esprit_finds_the_directions(waves: Waves, dtype: torch.dtype) -> None:
    got = _answers("esprit", waves, dtype)
    values = np.linalg.eigvalsh(waves.matrices())[..., ::-1]
    bound = shift_bound(values, waves.n, waves.angles, dtype)
    assert_within("angles", got, waves.angles, bound)


@cache
def _uneven() -> tuple[Waves, ...]:
    """Those of which every right choice of roots is one: k pairs near the circle, no other."""
    every = [Waves(w.n, w.sines, 0.5, seed) for w in WAVES[1:] for seed in range(4)]
    # A coefficient of their polynomial is below 0.005.
    vanishing = [Waves(7, ((-0.5, 0.25),), 0.5, seed) for seed in (15, 30, 240)]
    every = vanishing + every
    return tuple(w for w in every if all(root_music(m, w.k).clear for m in w.matrices()))


@given(st.integers(0, 9), st.sampled_from(DTYPES))
def test_root_music_finds_the_roots_nearest_to_the_circle(place: int, dtype: torch.dtype) -> None:
    waves = _uneven()[place % len(_uneven())]
    got = _answers("root_music", waves, dtype)
    for matrix, angles in zip(waves.matrices(), got, strict=True):
        truth = root_music(matrix, waves.k)
        values = np.linalg.eigvalsh(matrix)[::-1]
        error = float(subspace_bound(values, waves.k, dtype))
        assert_within("angles", angles, truth.angles, truth.sensitivity * error)


@given(st.sampled_from(WAVES[1:]))
def test_the_roots_are_near_the_directions(waves: Waves) -> None:
    # Nearly white noise moves the directions by a part of a beamwidth, 2 / n in the sine.
    slight = Waves(waves.n, waves.sines, 0.02)
    off = np.abs(np.sin(_answers("root_music", slight, torch.complex128)) - np.sin(slight.angles))
    assert_true("sines are within a tenth of a beamwidth", off < 0.2 / waves.n, off)


def _skew(waves: Waves) -> np.ndarray:
    """`-S^H = S`, a twentieth of the noise."""
    drawn = gaussian((waves.n, waves.n), waves.n)
    return 0.025 * (drawn - drawn.conj().T) / np.sqrt(waves.n)


@given(st.sampled_from(WAVES), st.sampled_from(DTYPES))
def test_esprit_is_of_the_hermitian_part(waves: Waves, dtype: torch.dtype) -> None:
    taken((Claim.NOT_HERMITIAN,))
    got = _answers("esprit", waves, dtype, _skew(waves))
    values = np.linalg.eigvalsh(waves.matrices())[..., ::-1]
    # The matrix is rounded, and half of it and its adjoint added.
    bound = 2 * shift_bound(values, waves.n, waves.angles, dtype)
    assert_within("angles", got, waves.angles, bound)


@given(st.integers(0, 9), st.sampled_from(DTYPES))
def test_root_music_is_of_the_hermitian_part(place: int, dtype: torch.dtype) -> None:
    taken((Claim.NOT_HERMITIAN,))
    waves = _uneven()[place % len(_uneven())]
    got = _answers("root_music", waves, dtype, _skew(waves))
    for matrix, angles in zip(waves.matrices(), got, strict=True):
        truth = root_music(matrix, waves.k)
        values = np.linalg.eigvalsh(matrix)[::-1]
        error = 2 * float(subspace_bound(values, waves.k, dtype))
        assert_within("angles", angles, truth.angles, truth.sensitivity * error)


@given(st.integers(0, 5), st.sampled_from(DTYPES))
def test_directions_ascend_and_are_in_front(place: int, dtype: torch.dtype) -> None:
    waves = _uneven()[place]
    for name in under_test(("esprit", "root_music")):
        got = _answers(name, waves, dtype)
        assert_true(f"{name} ascends", np.diff(got, axis=-1) >= 0, got)
        assert_true(f"{name} is real and in front", np.abs(got) <= np.pi / 2, got)
