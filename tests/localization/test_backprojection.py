import pytest
import torch
from localization_helpers import MOVING, SMALL, draw, noiseless

from ris_pipeline._errors import InputError
from ris_pipeline.localization import (
    matched_filter,
    regularised_least_squares,
    sensing_gram,
    snr_regularisation,
)
from ris_pipeline.scene import sensing_matrix

SETTINGS = [SMALL, MOVING, {**SMALL, "blocks": 3, "codebook": "random"}]
ROUNDING = 1e-10  # float64, condition numbers below 1e5


@pytest.mark.parametrize("settings", SETTINGS)
def test_gram_and_matched_filter_are_those_of_the_stacked_matrix(settings):
    scenes = draw(**settings)
    phi = sensing_matrix(scenes.channel, scenes.codes)
    gram = sensing_gram(scenes.channel, scenes.codes)
    z = matched_filter(scenes.snapshots, scenes.channel, scenes.codes)
    torch.testing.assert_close(gram, phi.mH @ phi)
    torch.testing.assert_close(z, (phi.mH @ scenes.snapshots.flatten(2)[..., None])[..., 0])


@pytest.mark.parametrize("settings", SETTINGS)
def test_least_squares_solves_the_regularised_normal_equations(settings):
    scenes = draw(**settings)
    eps = snr_regularisation(scenes.channel, scenes.codes, scenes.snr_db)
    x = regularised_least_squares(scenes.snapshots, scenes.channel, scenes.codes, eps)
    phi = sensing_matrix(scenes.channel, scenes.codes)
    y = scenes.snapshots.flatten(2)
    back = (phi.mH @ (y - (phi @ x[..., None])[..., 0])[..., None])[..., 0]
    torch.testing.assert_close(back, eps[:, None, None] * x, rtol=ROUNDING, atol=ROUNDING)


def test_regularisation_is_the_noise_to_signal_ratio_per_element():
    scenes = draw()
    phi = sensing_matrix(scenes.channel, scenes.codes)
    mean = phi.abs().square().sum((1, 2, 3)) / phi.shape[2]
    eps = snr_regularisation(scenes.channel, scenes.codes, scenes.snr_db)
    torch.testing.assert_close(eps, mean * 10 ** (-scenes.snr_db / 10))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_regularisation_floor_keeps_a_rank_deficient_gram_solvable(dtype):
    scenes = draw(dtype=dtype, **MOVING)
    eps = snr_regularisation(scenes.channel, scenes.codes, torch.full_like(scenes.snr_db, 200.0))
    x = regularised_least_squares(scenes.snapshots, scenes.channel, scenes.codes, eps)
    assert torch.isfinite(x).all()
    assert x.real.dtype == dtype


def test_least_squares_recovers_the_aperture_without_noise():
    scenes = noiseless(draw(count := 4, seed=3))
    eps = torch.full((count,), 1e-9, dtype=torch.float64)
    x = regularised_least_squares(scenes.snapshots, scenes.channel, scenes.codes, eps)
    phi = sensing_matrix(scenes.channel, scenes.codes)
    torch.testing.assert_close(
        (phi @ x[..., None])[..., 0], scenes.snapshots.flatten(2), rtol=1e-6, atol=1e-6
    )


@pytest.mark.parametrize("value", [0.0, -1.0, float("nan")])
def test_unusable_regularisation_is_rejected(value):
    scenes = draw(2)
    eps = torch.full((2,), value, dtype=torch.float64)
    with pytest.raises(InputError, match="regularisation"):
        regularised_least_squares(scenes.snapshots, scenes.channel, scenes.codes, eps)


def test_unusable_data_is_rejected(untyped):
    scenes = draw(2)
    y, h, c = scenes.snapshots, scenes.channel, scenes.codes
    with untyped(), pytest.raises(InputError, match="snapshots has dtype"):
        matched_filter(y.real, h, c)
    with untyped(), pytest.raises(InputError, match="channel is"):
        matched_filter(y, h.to(torch.complex64), c)
    with untyped(), pytest.raises(InputError, match="codes has shape"):
        matched_filter(y, h, c[:, :-1])
    with untyped(), pytest.raises(InputError, match="channel has shape"):
        matched_filter(y, h[:1], c)
    with untyped(), pytest.raises(InputError, match="snapshots has 3 axes"):
        matched_filter(y[0], h, c)
    with untyped(), pytest.raises(InputError, match="non-finite"):
        matched_filter(torch.where(y == y[0, 0, 0, 0], torch.nan, y), h, c)
