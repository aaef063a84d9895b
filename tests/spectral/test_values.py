"""Values of the covariance operations against their formulas, written out in numpy."""

import numpy as np
import pytest
import torch

from ris_pipeline.spectral import (
    LowRankCovariance,
    bartlett_spectrum,
    blend,
    decomposition,
    forward_backward,
    music_spectrum,
    mvdr_spectrum,
    nmse,
    noise_projection,
    noise_subspace,
    noise_weight,
    prepare_covariance,
    shrinkage_weight,
    signal_power_hinge,
    soft_alignment,
    soft_music_spectrum,
    spatial_smoothing,
)
from ris_pipeline.spectral.norms import near_one, projected_power
from ris_pipeline.verification.checks import assert_within

DOUBLE = torch.finfo(torch.float64)
N = 6
BOUND = 1e3 * N * DOUBLE.eps
"""A few products of order n, of numbers of order ten."""


def draw(seed: int, *shape: int) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.complex128, generator=generator)


def test_a_matrix_of_one_entry_decomposes() -> None:
    values, vectors, rest = decomposition(torch.full((1, 1), 4.0, dtype=torch.complex128))
    assert (values.tolist(), vectors.abs().tolist(), rest.item()) == ([4.0], [[1.0]], 0.0)


def test_a_distance_keeps_its_digits_whatever_the_length_of_the_vector() -> None:
    # |x|^2 - |U^H x|^2 is off by eps |x|^2, 3e-8 of what is left here; the residual by eps |x|.
    basis = torch.eye(N, 2, dtype=torch.complex128)
    x = torch.full((N, 9), 1.0, dtype=torch.complex128)
    x[:2, 0], x[2:, 0] = 100 / 3, 2e-3
    distance = noise_projection(basis, x)
    relative = N * DOUBLE.eps * 100 / 2e-3
    assert_within("of the near one", distance[0], 16e-6, relative * 16e-6)
    assert_within("of the others", distance[1:], torch.full((8,), N - 2.0), relative)


def test_the_margin_of_an_empty_batch_takes_a_tensor_of_orders() -> None:
    empty, orders = torch.zeros(0, 4, 4, dtype=torch.complex128), torch.zeros(0, dtype=torch.int64)
    assert torch.isnan(signal_power_hinge(empty, orders, 0.9))
    assert torch.isnan(signal_power_hinge(empty, orders, 0.9, 2))


@pytest.mark.parametrize(
    ("snr_db", "weight"),
    [
        (-40.0, 5e-2),
        (-6.0, 1e-2 * 10**0.3),
        (0.0, 1e-2),
        (20.0, 1e-3),
        (30.0, 10**-3.5),
        (90, 1e-4),
    ],
)
def test_shrinkage_weight(snr_db: float, weight: float) -> None:
    got = shrinkage_weight(torch.tensor(snr_db, dtype=torch.float64))
    assert got.item() == pytest.approx(weight, rel=10 * DOUBLE.eps)


def test_prepare_covariance_is_blend_and_shrinkage() -> None:
    prediction, sample = draw(0, 2, N, 2), draw(1, 2, N, 3)
    snr_db, beta = torch.tensor([0.0, 20.0], dtype=torch.float64), 0.3
    prepared = prepare_covariance(
        LowRankCovariance(prediction, 0.2), LowRankCovariance(sample), beta, snr_db
    )
    for scene, a in enumerate((1e-2, 1e-3)):
        first = (prediction[scene] @ prediction[scene].mH).numpy() + 0.2 * np.eye(N)
        second = (sample[scene] @ sample[scene].mH).numpy()
        parts = [r * N / np.trace(r).real for r in (first, second)]
        mixed = (1 - beta) * parts[0] + beta * parts[1]
        expected = (1 - a) * mixed + a * np.trace(mixed).real / N * np.eye(N)
        assert_within(f"scene {scene}", prepared.dense()[scene].numpy(), expected, BOUND)


@pytest.mark.parametrize("beta", [0.0, 1.0])
def test_a_blend_may_be_all_of_one(beta: float) -> None:
    first, second = (LowRankCovariance(draw(s, N, 3), 0.1 + s) for s in (2, 3))
    chosen = (second if beta else first).dense()
    expected = chosen * N / chosen.diagonal().real.sum()
    assert_within("blend", blend(first, second, beta).dense(), expected, BOUND)


@pytest.mark.parametrize("weights", [(), (2.0, 1.0), (1.0, 3.0), (0.5, 0.0)])
@pytest.mark.parametrize("dense", [False, True])
def test_nmse_weighs_diagonal_and_rest(weights: tuple[float, ...], dense: bool) -> None:
    estimate = LowRankCovariance(draw(4, 2, N, 3), 0.3)
    truth = LowRankCovariance(draw(5, 2, N, 2), 0.1)
    difference = (estimate.dense() - truth.dense()).numpy()
    on, off = weights or (1.0, 1.0)
    matrix = np.where(np.eye(N, dtype=bool), on, off)
    power = (np.abs(truth.dense().numpy()) ** 2).sum((-2, -1))
    expected = (matrix * np.abs(difference) ** 2).sum((-2, -1)) / power
    pair = (estimate.dense(), truth.dense()) if dense else (estimate, truth)
    assert_within("nmse", nmse(*pair, *weights), expected, BOUND)


def test_apply_is_the_product() -> None:
    covariance, x = LowRankCovariance(draw(6, 2, N, 3), 0.7), draw(7, 2, N, 4)
    assert_within("R X", covariance.apply(x), (covariance.dense() @ x).numpy(), BOUND)


def test_bartlett_of_steering_vectors_of_any_length() -> None:
    covariance, steering = LowRankCovariance(draw(8, N, 2), 0.7), 3 * draw(9, N, 4)
    expected = (steering.conj() * (covariance.dense() @ steering)).real.sum(0)
    assert_within("a^H R a", bartlett_spectrum(covariance, steering), expected, 1e2 * BOUND)


def test_a_loaded_source_has_its_power_and_the_loading_in_its_own_direction() -> None:
    # R = f f^H + delta I, a along f: a^H R^-1 a = |a|^2 / (|f|^2 + delta), the floor itself.
    f = torch.eye(N, 1, dtype=torch.complex128) * 3
    assert_within("9 + 2", mvdr_spectrum(LowRankCovariance(f, 2.0), f / 3), [11.0], 11 * BOUND)


def test_the_scale_of_a_ratio_and_its_square_are_numbers() -> None:
    size = torch.tensor([0.0, DOUBLE.tiny, 3e-9, 1.0, 5.0, DOUBLE.max], dtype=torch.float64)
    scale = near_one(size)
    assert scale.tolist()[:1] + scale.tolist()[2:5] == [1.0, 2.0**29, 1.0, 0.25]
    assert scale[1] == 2.0**511
    assert scale[-1].square() > 0


def test_a_noiseless_music_peak_is_the_floor() -> None:
    basis = torch.eye(N, dtype=torch.complex128)
    steering = torch.stack((2 * basis[:, 0], basis[:, 0] + basis[:, 3]), dim=-1)
    spectrum = music_spectrum(LowRankCovariance(basis[:, :2]), steering, 2)
    floor = (N * DOUBLE.eps) ** 2 * 4
    assert spectrum.tolist() == pytest.approx([1 / floor, 1.0], rel=10 * DOUBLE.eps)


@pytest.mark.parametrize("scale", [1e-9, 1.0, 1e9])
def test_the_signal_basis_does_not_depend_on_the_scale(scale: float) -> None:
    factor = draw(10, N, 3)
    bases = [LowRankCovariance(f).signal_basis(3) for f in (factor, scale * factor)]
    projectors = [basis @ basis.mH for basis in bases]
    assert_within("projector", projectors[1], projectors[0].numpy(), BOUND)


def test_a_direction_below_rounding_comes_back_as_zero() -> None:
    basis = torch.eye(N, dtype=torch.complex128)[:, :2]
    small = basis * torch.tensor([1e3, 1e-6], dtype=torch.float64)
    assert LowRankCovariance(small).signal_basis(2).abs().sum(0).tolist() == [1.0, 0.0]
    assert not LowRankCovariance(0 * basis).signal_basis(2).any()


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_soft_alignment_of_nothing_is_nothing_and_has_a_gradient(dtype: torch.dtype) -> None:
    factor = torch.zeros(2, N, 3, dtype=dtype, requires_grad=True)
    aligned = soft_alignment(LowRankCovariance(factor), draw(11, N, 4).to(dtype))
    aligned.sum().backward()
    assert not aligned.any()
    assert factor.grad is not None
    assert torch.isfinite(factor.grad).all()


@pytest.mark.skipif(not torch.set_flush_denormal(False), reason="this CPU flushes nothing")
def test_soft_alignment_of_nothing_where_denormals_are_flushed() -> None:
    nothing = LowRankCovariance(torch.zeros(N, 3, dtype=torch.complex64))
    steering = draw(11, N, 4).to(torch.complex64)
    try:
        torch.set_flush_denormal(True)
        assert not soft_alignment(nothing, steering).any()
    finally:
        torch.set_flush_denormal(False)


def test_soft_alignment_scene_by_scene() -> None:
    factor, steering = draw(12, 2, 4, N, 3), draw(13, 2, 4, N, 5)
    scales = torch.arange(1.0, 9.0, dtype=torch.float64).reshape(2, 4, 1, 1)
    got = soft_alignment(LowRankCovariance(scales * factor), steering)
    for i, j in np.ndindex(2, 4):
        f, a = (scales[i, j] * factor[i, j]).numpy(), steering[i, j].numpy()
        gram = f.conj().T @ f
        ridge = 1e-3 * np.trace(gram).real * np.eye(3)
        inner = np.linalg.solve(gram + ridge, f.conj().T @ a)
        expected = (a.conj() * (f @ inner)).real.sum(0)
        # The condition of the ridged Gram matrix is below 1 / ridge.
        assert_within(f"scene {i}, {j}", got[i, j], expected, 1e3 * BOUND)


def test_the_noise_subspace_of_a_batch_of_batches() -> None:
    matrix = LowRankCovariance(draw(14, 2, 3, N, N)).dense()
    assert noise_subspace(matrix, 4).shape == (2, 3, N, 2)


WINDOWS = torch.tensor([[0, 1, 3], [1, 2, 4], [2, 3, 5]])


@pytest.mark.parametrize("dense", [False, True])
def test_forward_backward_is_the_mean_with_the_mirror_image(dense: bool) -> None:
    covariance = LowRankCovariance(draw(20, 2, N, 2), 0.3)
    plain = covariance.dense().numpy()
    expected = (plain + plain.conj()[:, ::-1, ::-1]) / 2
    got = forward_backward(covariance.dense() if dense else covariance)
    matrix = got if isinstance(got, torch.Tensor) else got.dense()
    assert_within("R_fb", matrix.numpy(), expected, BOUND)


@pytest.mark.parametrize("dense", [False, True])
def test_smoothing_is_the_mean_of_the_windows(dense: bool) -> None:
    covariance = LowRankCovariance(draw(21, 2, N, 2), 0.3)
    plain = covariance.dense().numpy()
    expected = sum(plain[:, w][:, :, w] for w in WINDOWS.numpy()) / 3
    got = spatial_smoothing(covariance.dense() if dense else covariance, WINDOWS)
    matrix = got if isinstance(got, torch.Tensor) else got.dense()
    assert_within("R_s", matrix.numpy(), expected, BOUND)


@pytest.mark.parametrize("average", [forward_backward, lambda r: spatial_smoothing(r, WINDOWS)])
def test_an_average_takes_the_hermitian_part(average) -> None:
    matrix, skew = LowRankCovariance(draw(22, N, 3)).dense(), draw(23, N, N)
    skew = skew - skew.mH
    assert_within("average", average(matrix + skew).numpy(), average(matrix).numpy(), BOUND)


@pytest.mark.parametrize("columns", [2, N, 8])
@pytest.mark.parametrize("dense", [False, True])
def test_a_decomposition_gives_the_matrix_back(columns: int, dense: bool) -> None:
    covariance = LowRankCovariance(draw(24, 2, N, columns), 0.3)
    given = covariance.dense() if dense else covariance
    values, vectors, rest = decomposition(given)
    count = N if dense else min(columns, N)
    assert values.shape == (2, count)
    assert vectors.shape == (2, N, count)
    assert rest.tolist() == pytest.approx([0.0 if dense else 0.3] * 2, rel=10 * DOUBLE.eps)
    assert (values.diff(dim=-1) <= 0).all()
    projector = vectors @ vectors.mH
    eye = torch.eye(N, dtype=torch.complex128)
    again = (vectors * values[:, None]) @ vectors.mH + rest[:, None, None] * (eye - projector)
    assert_within("R", again.numpy(), covariance.dense().numpy(), BOUND)


def test_a_decomposition_is_orthonormal_where_a_column_is_lost() -> None:
    factor = draw(29, N, 2) @ torch.tensor([[1.0, 1e-9, 1.0], [0.0, 1e-9, 1.0]]).to(
        torch.complex128
    )
    values, vectors, _ = decomposition(LowRankCovariance(factor, 0.3))
    assert_within("V^H V", (vectors.mH @ vectors).numpy(), np.eye(3), BOUND)
    assert values[2].item() == pytest.approx(0.3, rel=BOUND)


def test_the_weight_of_an_eigenvalue() -> None:
    values = torch.tensor([[8.0, 2.0, 0.5], [9.0, 3.0, 1.0]], dtype=torch.float64)
    got = noise_weight(values, torch.tensor([2.0, 3.0], dtype=torch.float64), 3.0)
    expected = [1 / 64, 1.0, 1.0, 1 / 27, 1.0, 1.0]
    assert got.flatten().tolist() == pytest.approx(expected, rel=10 * DOUBLE.eps)


@pytest.mark.parametrize("sharpness", [None, 0.0, 1.0, 3.0])
@pytest.mark.parametrize("dense", [False, True])
def test_soft_music_weighs_the_eigenvectors(sharpness: float | None, dense: bool) -> None:
    covariance, steering = LowRankCovariance(draw(25, 2, N, 3), 0.4), draw(26, N, 5)
    noise = torch.tensor([0.5, 9.0], dtype=torch.float64)
    given = covariance.dense() if dense else covariance
    more = () if sharpness is None else (sharpness,)
    got = 1 / soft_music_spectrum(given, steering, noise, *more)
    values, vectors = np.linalg.eigh(covariance.dense().numpy())
    weights = np.minimum(1, noise.numpy()[:, None] / values) ** (more[0] if more else 2.0)
    parts = np.abs(vectors.conj().swapaxes(-1, -2) @ steering.numpy()) ** 2
    expected = (weights[..., None] * parts).sum(-2)
    assert_within("a^H h(R) a", got.numpy(), expected, BOUND)


def test_soft_music_of_a_loading_above_the_noise() -> None:
    covariance, steering = LowRankCovariance(draw(27, N, 2), 0.4), draw(28, N, 3)
    got = 1 / soft_music_spectrum(covariance, steering, 0.1, 1.0)
    inverse = np.linalg.inv(covariance.dense().numpy())
    form = np.einsum("ng,nm,mg->g", steering.numpy().conj(), inverse, steering.numpy()).real
    assert_within("0.1 a^H R^-1 a", got.numpy(), 0.1 * form, BOUND)


def test_a_noiseless_soft_peak_is_the_floor() -> None:
    basis = torch.eye(N, dtype=torch.complex128)
    steering = torch.stack((2 * basis[:, 0], basis[:, 3]), dim=-1)
    spectrum = soft_music_spectrum(LowRankCovariance(basis[:, :2]), steering, 1e-20)
    floor = (N * DOUBLE.eps) ** 2 * 4
    assert spectrum.tolist() == pytest.approx([1 / floor, 1.0], rel=10 * DOUBLE.eps)


@pytest.mark.parametrize("count", [2, 3])
@pytest.mark.parametrize("along", [True, False])
def test_projected_power_whichever_way_the_columns_lie(count: int, along: bool) -> None:
    x, rows = draw(0, 2, N, 7), draw(1, 2, N, count).mH
    x = x.mT.contiguous().mT if along else x
    expected = np.square(np.abs(rows.resolve_conj().numpy() @ x.numpy())).sum(-2)
    assert_within("power", projected_power(rows, x), torch.from_numpy(expected), BOUND)
