"""Uniform linear arrays and source number.

Signatures assumed: esprit(matrix, k, spacing=0.5) and root_music(matrix, k, spacing=0.5) ->
k angles in radians from broadside, ascending; steering a_n = exp(+j 2 pi spacing n sin(angle)),
spacing in wavelengths, n = 0..N-1. bartlett(matrix, angles, spacing=0.5) -> a^H R a / N^2,
mvdr(matrix, angles, spacing=0.5) -> 1 / (a^H R^-1 a), music(matrix, k, angles, spacing=0.5)
-> 1 / |E_n^H a|^2, with |a|^2 = N. mdl(eigenvalues, snapshots), aic(eigenvalues, snapshots)
-> number of sources (Wax and Kailath, descending eigenvalues).
"""

import numpy as np


def ula(n, angles, spacing=0.5):
    return np.exp(2j * np.pi * spacing * np.outer(np.arange(n), np.sin(angles)))


def split(R, k):
    _, V = np.linalg.eigh((R + R.conj().T) / 2)
    return V[:, -k:], V[:, : len(R) - k]


def esprit_ls(R, k, spacing=0.5):
    U, _ = split(R, k)
    Phi = np.linalg.lstsq(U[:-1], U[1:], rcond=None)[0]
    return np.sort(np.arcsin(np.angle(np.linalg.eigvals(Phi)) / (2 * np.pi * spacing)))


def esprit_tls(R, k, spacing=0.5):
    U, _ = split(R, k)
    V = np.linalg.svd(np.hstack([U[:-1], U[1:]]))[2].conj().T
    Phi = -V[:k, k:] @ np.linalg.inv(V[k:, k:])
    return np.sort(np.arcsin(np.angle(np.linalg.eigvals(Phi)) / (2 * np.pi * spacing)))


def esprit_mirrored(R, k, spacing=0.5):
    U, _ = split(R, k)
    Phi = np.linalg.pinv(U[1:]) @ U[:-1]
    return np.sort(np.arcsin(np.angle(np.linalg.eigvals(Phi)) / (2 * np.pi * spacing)))


def esprit_noise(R, k, spacing=0.5):
    _, V = np.linalg.eigh((R + R.conj().T) / 2)
    U = V[:, :k]
    Phi = np.linalg.pinv(U[:-1]) @ U[1:]
    s = np.clip(np.angle(np.linalg.eigvals(Phi)) / (2 * np.pi * spacing), -1, 1)
    return np.sort(np.arcsin(s))


def esprit_sine(R, k, spacing=0.5):
    U, _ = split(R, k)
    Phi = np.linalg.pinv(U[:-1]) @ U[1:]
    return np.sort(np.angle(np.linalg.eigvals(Phi)) / (2 * np.pi * spacing))


def esprit_degrees(R, k, spacing=0.5):
    return np.rad2deg(esprit_ls(R, k, spacing))


def rootmusic(R, k, spacing=0.5):
    _, E = split(R, k)
    C = E @ E.conj().T
    n = len(R)
    z = np.roots([np.trace(C, offset=i) for i in range(n - 1, -n, -1)])
    z = z[np.argsort(np.abs(np.abs(z) - 1))][: 2 * k]
    z = z[np.argsort(np.abs(z))]
    ang = np.angle(z)
    picked = []
    for a in ang:
        if all(abs(np.angle(np.exp(1j * (a - b)))) > 1e-3 for b in picked):
            picked.append(a)
    return np.sort(np.arcsin(np.array(picked[:k]) / (2 * np.pi * spacing)))


def rootmusic_mirrored(R, k, spacing=0.5):
    return np.sort(-rootmusic(R, k, spacing))


def rootmusic_outside(R, k, spacing=0.5):
    _, E = split(R, k)
    C = E @ E.conj().T
    n = len(R)
    z = np.roots([np.trace(C, offset=i) for i in range(n - 1, -n, -1)])
    z = z[np.argsort(-np.abs(z))][:k]
    return np.sort(np.arcsin(np.angle(z) / (2 * np.pi * spacing)))


def bartlett(R, angles, spacing=0.5):
    A = ula(len(R), angles, spacing)
    return np.einsum("ng,nm,mg->g", A.conj(), R, A).real / len(R) ** 2


def bartlett_conj(R, angles, spacing=0.5):
    A = ula(len(R), angles, spacing)
    return np.einsum("ng,nm,mg->g", A, R, A.conj()).real / len(R) ** 2


def bartlett_n(R, angles, spacing=0.5):
    A = ula(len(R), angles, spacing)
    return np.einsum("ng,nm,mg->g", A.conj(), R, A).real / len(R)


def mvdr_ula(R, angles, spacing=0.5):
    A = ula(len(R), angles, spacing)
    return 1 / np.sum(A.conj() * np.linalg.solve(R, A), 0).real


def mvdr_deg(R, angles, spacing=0.5):
    A = ula(len(R), np.deg2rad(angles), spacing)
    return 1 / np.sum(A.conj() * np.linalg.solve(R, A), 0).real


def music_ula(R, k, angles, spacing=0.5):
    _, E = split(R, k)
    return np.array(
        [1 / np.linalg.norm(E.conj().T @ ula(len(R), [t], spacing)) ** 2 for t in angles]
    )


def music_ula_db(R, k, angles, spacing=0.5):
    return 10 * np.log10(music_ula(R, k, angles, spacing))


def music_ula_cos(R, k, angles, spacing=0.5):
    _, E = split(R, k)
    A = ula(len(R), np.pi / 2 - np.asarray(angles), spacing)
    return 1 / np.sum(np.abs(E.conj().T @ A) ** 2, 0)


def mdl(eigenvalues, snapshots):
    w, T = np.asarray(eigenvalues), snapshots
    n = len(w)
    cost = []
    for k in range(n):
        tail = w[k:]
        like = -T * (n - k) * (np.mean(np.log(tail)) - np.log(np.mean(tail)))
        cost.append(like + 0.5 * k * (2 * n - k) * np.log(T))
    return int(np.argmin(cost))


def aic(eigenvalues, snapshots):
    w, n = np.asarray(eigenvalues), len(eigenvalues)
    cost = [
        -2 * snapshots * (np.sum(np.log(w[k:])) - (n - k) * np.log(np.mean(w[k:])))
        + 2 * k * (2 * n - k)
        for k in range(n)
    ]
    return int(np.argmin(cost))


def mdl_free(eigenvalues, snapshots):
    w, n = np.asarray(eigenvalues), len(eigenvalues)
    cost = [
        -snapshots * (np.sum(np.log(w[k:])) - (n - k) * np.log(np.mean(w[k:]))) for k in range(n)
    ]
    return int(np.argmin(cost))


def mdl_plus(eigenvalues, snapshots):
    return mdl(eigenvalues, snapshots) + 1


def aic_ascending(eigenvalues, snapshots):
    return aic(np.asarray(eigenvalues)[::-1], snapshots)
