"""Every public function as somebody else might have it: numpy, one matrix at a time."""

import numpy as np


def hermitize(a):
    return (a + a.conj().T) / 2


def eigenvalues(a):
    return np.linalg.eigvalsh(hermitize(a))[::-1]


def singular_values(a):
    return np.linalg.svd(hermitize(a), compute_uv=False)


def eigengap(a, k):
    w = eigenvalues(a)
    return float(w[k - 1] - w[k])


def eigengap_loss(a, k, margin):
    return max(0.0, margin - eigengap(a, k))


def _vectors(a):
    return np.linalg.eigh(hermitize(a))[1][:, ::-1]


def signal_subspace(a, k):
    return _vectors(a)[:, :k]


def noise_subspace(a, k):
    return _vectors(a)[:, k:]


def projector(u):
    return u @ u.conj().T


def music_spectrum(a, steering, k):
    n = steering.shape[0]
    power = (abs(noise_subspace(a, k).conj().T @ steering) ** 2).sum(axis=0)
    return 1 / np.maximum(power, (n * np.finfo(float).eps) ** 2)


def mvdr_spectrum(a, steering):
    # Complex, with an imaginary part of rounding.
    return 1 / np.einsum("ng,ng->g", steering.conj(), np.linalg.solve(hermitize(a), steering))


def steering_vector(positions, azimuth, elevation, distance, wavelength):
    u = np.array(
        [
            np.sin(azimuth) * np.cos(elevation),
            np.sin(elevation),
            np.cos(azimuth) * np.cos(elevation),
        ]
    )
    path = distance - np.linalg.norm(distance * u - positions, axis=1)
    return np.exp(2j * np.pi / wavelength * path) / np.sqrt(len(positions))


def gradient_norm(gradients):
    sizes = [abs(g).astype(float) for g in gradients if np.isfinite(g).all()]
    return np.sqrt(sum((g**2).sum() for g in sizes))


def epoch_mean(losses, accumulation):
    return np.mean(losses)
