"""Every loss term against a reference that takes one scene at a time, in numpy."""

import itertools
import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from ris_pipeline._errors import InputError
from ris_pipeline.config import LossConfig
from ris_pipeline.learning import run_epoch
from ris_pipeline.learning.losses import (
    TERMS,
    Prediction,
    Truth,
    active_mean,
    match_slots,
    wrap_angle,
)
from ris_pipeline.spectral import LowRankCovariance
from ris_pipeline.verification.checks import assert_within

N, SCENES, K, GRID, CELLS = 7, 4, 3, 5, 4
CONFIG = LossConfig(
    diagonal_weight=2.0,
    off_diagonal_weight=0.5,
    gap_fraction=0.7,
    power_margin=0.9,
    huber_angle_deg=20.0,
    huber_log_distance=0.4,
)
BOUND = 1e5 * N**2 * torch.finfo(torch.float64).eps
"""A chain of products of order n and a solve whose condition is below 1 / ridge = 1e3."""


def cases() -> tuple[Prediction, Truth]:
    generator = torch.Generator().manual_seed(11)

    def real(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.float64, generator=generator)

    def draw(*shape: int) -> torch.Tensor:
        return torch.randn(*shape, dtype=torch.complex128, generator=generator)

    count = torch.tensor([1, 2, 3, 2])
    active = torch.arange(K) < count[:, None]
    steering = draw(SCENES, N, K)
    steering = steering / steering.norm(dim=-2, keepdim=True)
    factor = steering * active[:, None] * (1 + real(SCENES, 1, K).abs())
    factor = factor * (N / factor.abs().square().sum((-2, -1), keepdim=True)).sqrt()
    truth = Truth(
        LowRankCovariance(factor),
        steering,
        real(SCENES, K),
        0.5 * real(SCENES, K),
        real(SCENES, K).exp(),
        active,
        count,
        real(SCENES, CELLS).softmax(1) * torch.tensor([1.0, 0.0, 1.0, 1.0]),
        draw(N, GRID),
    )
    scale = 1 + real(SCENES, 1, 1).abs()
    prediction = Prediction(
        (
            LowRankCovariance(draw(SCENES, N, 3)),
            LowRankCovariance(0.3 * scale * draw(SCENES, N, 4)),
        ),
        real(SCENES, CELLS).log_softmax(1),
        real(SCENES, 4).softmax(1),
        real(SCENES, 4),
        0.5 * real(SCENES, 4),
        3 * real(SCENES, K),
        real(SCENES, K),
        real(SCENES, K),
    )
    return prediction, truth


PREDICTION, TRUTH = cases()


def huber(error: float, delta: float) -> float:
    x = abs(error / delta)
    return 0.5 * x * x if x < 1 else x - 0.5


def wrapped(angle: float) -> float:
    return math.remainder(angle, 2 * math.pi)


class Scene:
    """One scene of the batch, in plain matrices and lists."""

    def __init__(self, index: int) -> None:
        p, t = PREDICTION, TRUTH
        self.k = int(t.count[index])
        self.stages = [stage.dense()[index].numpy() for stage in p.stages]
        self.predicted = self.stages[-1]
        self.predicted_factor = p.covariance.factor[index].numpy()
        self.cells, self.true_cells = p.cells[index].tolist(), t.cells[index].tolist()
        self.share = p.share[index].tolist()
        self.atoms = p.atom_azimuth[index].tolist(), p.atom_elevation[index].tolist()
        self.true = t.covariance.dense()[index].numpy()
        self.true_factor = t.covariance.factor[index].numpy()
        self.steering = t.steering[index, :, : self.k].numpy()
        self.slots = [x[index].tolist() for x in (p.azimuth, p.elevation, p.log_distance)]
        self.sources = [
            x[index, : self.k].tolist() for x in (t.azimuth, t.elevation, t.distance.log())
        ]
        self.grid = t.grid.numpy()

    def nmse(self) -> float:
        weights = np.where(np.eye(N, dtype=bool), CONFIG.diagonal_weight, 0.5)
        error = np.abs(self.predicted - self.true) ** 2
        return (weights * error).sum() / (np.abs(self.true) ** 2).sum()

    def stages_nmse(self) -> float:
        errors = [(np.abs(stage - self.true) ** 2).sum() for stage in self.stages]
        return np.mean(errors) / (np.abs(self.true) ** 2).sum()

    def cells_divergence(self) -> float:
        pairs = zip(self.true_cells, self.cells, strict=True)
        return sum(t * (math.log(t) - p) for t, p in pairs if t > 0)

    def _gap(self, matrix: np.ndarray) -> float:
        values = np.linalg.eigvalsh(matrix)[::-1]
        return values[self.k - 1] - values[self.k]

    def eigengap(self) -> float:
        margin = CONFIG.gap_fraction * self._gap(self.true)
        return max(0.0, margin - self._gap(self.predicted)) / N

    def subspace_margin(self) -> float:
        values = np.linalg.eigvalsh(self.predicted)[::-1]
        return max(0.0, CONFIG.power_margin - values[: self.k].sum() / values.sum())

    def _error(self, source: int, slot: int) -> tuple[float, float]:
        azimuth, elevation = (
            wrapped(self.slots[axis][slot] - self.sources[axis][source]) for axis in (0, 1)
        )
        return azimuth, elevation

    def _cost(self, source: int, slot: int) -> float:
        delta = math.radians(CONFIG.huber_angle_deg)
        return sum(huber(error, delta) for error in self._error(source, slot))

    def _match(self) -> tuple[int, ...]:
        return min(
            itertools.permutations(range(K), self.k),
            key=lambda slots: sum(
                x * x for source, slot in enumerate(slots) for x in self._error(source, slot)
            ),
        )

    def angle(self) -> float:
        return float(
            np.mean([self._cost(source, slot) for source, slot in enumerate(self._match())])
        )

    def distance(self) -> float:
        return float(
            np.mean(
                [
                    huber(self.slots[2][slot] - self.sources[2][source], CONFIG.huber_log_distance)
                    for source, slot in enumerate(self._match())
                ]
            )
        )

    def chamfer(self) -> float:
        cost = np.array([[self._cost(i, s) for s in range(K)] for i in range(self.k)])
        delta = math.radians(CONFIG.huber_angle_deg)
        from_atoms = sum(
            share
            * min(
                huber(wrapped(azimuth - self.sources[0][i]), delta)
                + huber(wrapped(elevation - self.sources[1][i]), delta)
                for i in range(self.k)
            )
            for share, azimuth, elevation in zip(self.share, *self.atoms, strict=True)
        )
        return (cost.min(1).mean() + from_atoms) / 2

    def _reached(self, factor: np.ndarray) -> np.ndarray:
        gram = factor.conj().T @ factor
        gram = gram + 1e-3 * np.trace(gram).real * np.eye(len(gram))
        projected = factor.conj().T @ self.steering
        return (projected.conj() * np.linalg.solve(gram, projected)).real.sum(0)

    def alignment(self) -> float:
        missing = self._reached(self.true_factor) - self._reached(self.predicted_factor)
        return np.maximum(missing, 0.0).mean()

    def _contrast(self, matrix: np.ndarray) -> float:
        peaks, background = (
            np.einsum("ng,nm,mg->g", a.conj(), matrix, a).real for a in (self.steering, self.grid)
        )
        return background.mean() / peaks.mean()

    def peak_contrast(self) -> float:
        return max(0.0, self._contrast(self.predicted) - self._contrast(self.true))


@pytest.mark.parametrize("name", TERMS)
def test_a_term_is_the_mean_over_the_scenes_of_its_reference(name: str) -> None:
    method = {"stages": "stages_nmse", "cells": "cells_divergence"}.get(name, name)
    values = [getattr(Scene(index), method)() for index in range(SCENES)]
    assert max(values) > min(values) >= 0
    got = TERMS[name](PREDICTION, TRUTH, CONFIG)
    assert_within(name, got.numpy(), np.mean(values), BOUND * max(values))


def test_the_contrast_of_a_spectrum_without_its_peaks() -> None:
    # R = 8 e2 e2^H, a_1 = e1, a grid of e2 alone: background 8 over a peak of 0, which counts as
    # eps times the mean power of 8 / 4. The truth's own contrast is 0 / 1.
    axes = torch.eye(4, dtype=torch.complex128)
    truth = replace(
        TRUTH,
        covariance=LowRankCovariance(axes[None, :, :1]),
        steering=axes[None, :, :1],
        active=torch.ones(1, 1, dtype=torch.bool),
        grid=axes[:, 1:2],
    )
    seen = LowRankCovariance(axes[None, :, 1:2] * 8**0.5)
    got = TERMS["peak_contrast"](replace(PREDICTION, stages=(seen,)), truth, CONFIG)
    eps = torch.finfo(torch.float64).eps
    assert got.item() == pytest.approx(8 / (eps * 2), rel=1e3 * eps)


def test_the_mean_over_real_sources_is_taken_scene_by_scene() -> None:
    value = torch.tensor([[1.0, 100.0], [3.0, 4.0]])
    active = torch.tensor([[True, False], [True, True]])
    assert active_mean(value, active).item() == (1 + 3.5) / 2


def test_a_half_turn_wraps_to_minus_pi() -> None:
    turns = torch.tensor([math.pi, -math.pi, 3.0, -3.0], dtype=torch.float64)
    assert wrap_angle(turns).tolist() == [-math.pi, -math.pi, 3.0, -3.0]


def test_slots_are_matched_where_the_costs_are() -> None:
    cost = torch.rand(200, 3, 4, generator=torch.Generator().manual_seed(0))
    active = torch.ones(200, 3, dtype=torch.bool)
    expected = match_slots(cost, active)
    with torch.device("meta"):
        slots = match_slots(cost, active)
    assert torch.equal(slots, expected)


def test_an_epoch_steps_after_every_batch_unless_told_otherwise() -> None:
    result = run_epoch([1.0, 2.0, 3.0], lambda batch, scale: batch * scale, lambda: None)
    assert (result.mean, result.batches, result.steps) == (2.0, 3, 3)


@pytest.mark.parametrize(
    ("batches", "accumulation", "message"),
    [
        ([1.0], 0, "accumulation = 0: allowed is 1..inf"),
        ([], 1, "batches is empty: allowed is at least one batch"),
    ],
)
def test_an_epoch_of_nothing_is_refused(batches, accumulation, message) -> None:
    with pytest.raises(InputError) as caught:
        run_epoch(batches, lambda batch, scale: batch, lambda: None, accumulation)
    assert str(caught.value) == message
