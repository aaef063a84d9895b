"""Directions by a uniform linear array at any spacing, and through gradients."""

import math

import pytest
import torch

from ris_pipeline._errors import InputError
from ris_pipeline.localization import (
    esprit,
    root_music,
    ula_bartlett,
    ula_music,
    ula_mvdr,
    ula_steering,
)
from ris_pipeline.spectral import unordered_eigenvalues

ANGLES = torch.tensor([-0.4, 0.2, 0.9], dtype=torch.float64)


def _covariance(spacing: float, antennas: int = 9) -> torch.Tensor:
    a = ula_steering(antennas, ANGLES, spacing)
    powers = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    return (a * powers) @ a.mH + 0.1 * torch.eye(antennas)


def test_a_steering_vector_is_a_plane_wave_from_the_first_antenna():
    a = ula_steering(4, ANGLES, 0.4)
    places = torch.arange(4)[:, None]
    expected = torch.exp(2j * math.pi * 0.4 * places * ANGLES.sin())
    assert torch.allclose(a, expected, atol=1e-14)


@pytest.mark.parametrize("spacing", [0.5, 0.4, 0.25])
def test_every_spacing_has_its_directions(spacing):
    matrix = _covariance(spacing)
    assert torch.allclose(esprit(matrix, 3, spacing), ANGLES, atol=1e-10)
    # Exact covariances have double roots: half of the digits.
    assert torch.allclose(root_music(matrix, 3, spacing), ANGLES, atol=1e-5)
    grid = torch.cat((ANGLES, ANGLES + 0.1))
    for spectrum in (
        ula_music(matrix, 3, grid, spacing),
        ula_mvdr(matrix, grid, spacing),
        ula_bartlett(matrix, grid, spacing),
    ):
        assert (spectrum[:3] > spectrum[3:]).all()


def test_each_matrix_of_a_batch_has_its_own_directions():
    matrices = torch.stack((_covariance(0.5), _covariance(0.5).conj().resolve_conj()))
    for function in (esprit, root_music):
        got = function(matrices, 3)
        assert torch.allclose(got[0], -got[1].flip(-1), atol=1e-5)


def test_esprit_has_a_gradient():
    leaf = _covariance(0.5).requires_grad_()
    esprit(leaf, 3).sum().backward()
    assert torch.isfinite(torch.view_as_real(leaf.grad)).all()
    assert leaf.grad.abs().max() > 0


def test_a_spacing_of_nothing_is_refused():
    with pytest.raises(InputError, match="spacing"):
        ula_bartlett(_covariance(0.5), ANGLES, 0.0)
    with pytest.raises(InputError, match="k = 9"):
        esprit(_covariance(0.5), 9)


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
@pytest.mark.parametrize("k", [1, 2, 3])
def test_root_music_of_a_matrix_without_direction_has_none(dtype, k):
    a = ula_steering(5, ANGLES[:k].to(dtype.to_real())).to(dtype)
    told = a @ a.mH + 0.1 * torch.eye(5)
    white, diagonal = torch.eye(5, dtype=dtype), torch.diag(torch.arange(5.0, 0, -1)).to(dtype)
    found = root_music(torch.stack((white, told, diagonal, 0 * white)), k)
    assert torch.isnan(found[[0, 2, 3]]).all()
    assert torch.allclose(found[1].double(), ANGLES[:k], atol=1e-2)


@pytest.mark.parametrize("find", [esprit, root_music])
@pytest.mark.parametrize("spacing", [0.0, -0.5, math.nan, math.inf])
def test_a_spacing_is_a_positive_number(find, spacing):
    with pytest.raises(InputError, match="spacing"):
        find(_covariance(0.5), 3, spacing)


@pytest.mark.parametrize("bad", [math.nan, math.inf])
def test_eigenvalues_of_what_is_not_finite_are_refused(bad):
    with pytest.raises(InputError, match="non-finite"):
        unordered_eigenvalues(torch.full((3, 3), bad, dtype=torch.complex64))
