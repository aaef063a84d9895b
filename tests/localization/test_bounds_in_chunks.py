"""Bounds of many scenes take the memory of a few, and are those of each scene."""

from collections.abc import Callable
from dataclasses import replace

import pytest
import torch
from localization_helpers import draw
from torch.profiler import ProfilerActivity, profile

from ris_pipeline._errors import InputError
from ris_pipeline.config import Impairments, Scenario
from ris_pipeline.localization import (
    cramer_rao_bound,
    misspecified_cramer_rao_bound,
    stochastic_cramer_rao_bound,
)
from ris_pipeline.localization.bounds import chunks
from ris_pipeline.scene import SceneBatch, simulate

pytestmark = pytest.mark.no_shapes

SCENARIO = Scenario(
    panel=(12, 12),
    codebook="random",
    power="power_control",
    sources=(1, 3),
    impairments=Impairments(phase_error_deg=5.0, position_jitter=0.01, fixed=False),
)
WORK_SPACE = 8
"""Times Phi^H Phi of a chunk: codes and channel of the classes, their products, images."""


def _misspecified(scenes: SceneBatch) -> torch.Tensor:
    return misspecified_cramer_rao_bound(scenes).mean_squared_error


BOUNDS = (cramer_rao_bound, stochastic_cramer_rao_bound, _misspecified)


@pytest.mark.parametrize("bound", BOUNDS)
def test_in_chunks_as_all_at_once(
    bound: Callable[[SceneBatch], torch.Tensor], monkeypatch: pytest.MonkeyPatch
) -> None:
    scenes = simulate(SCENARIO, 0, torch.arange(24), torch.float64)
    monkeypatch.setattr(chunks, "_CHUNK_ENTRIES", 2**40)
    whole = bound(scenes)
    monkeypatch.setattr(chunks, "_CHUNK_ENTRIES", 5 * 144**2)
    # Scenes that stop at another step of the same descent are apart by its tolerance, 1e-6 of the
    # variance (`FINAL_TOLERANCE` squared).
    torch.testing.assert_close(bound(scenes), whole, rtol=1e-6, atol=0, equal_nan=True)


@pytest.mark.slow
@pytest.mark.parametrize("bound", BOUNDS)
def test_memory_is_that_of_a_chunk(bound: Callable[[SceneBatch], torch.Tensor]) -> None:
    scenes = simulate(SCENARIO, 0, torch.arange(512))
    bound(simulate(SCENARIO, 0, torch.arange(2)))
    with profile(activities=[ProfilerActivity.CPU], profile_memory=True) as record:
        bound(scenes)
    level = peak = 0
    events = [e for e in record.profiler.kineto_results.events() if e.name() == "[memory]"]
    for event in sorted(events, key=lambda e: e.start_ns()):
        level += event.nbytes()
        peak = max(peak, level)
    assert peak < WORK_SPACE * 16 * chunks._CHUNK_ENTRIES
    # All at once Phi^H Phi alone would be more.
    assert WORK_SPACE * chunks._CHUNK_ENTRIES < 512 * 144**2


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize(
    ("noise", "said"),
    [
        (None, "noise_variance = None"),
        (0.1, "noise_variance = 0.1"),
        (torch.ones(7), r"noise_variance has shape \(7,\)"),
        (-torch.ones(4), "noise_variance holds -1"),
        (torch.zeros(4), "noise_variance holds 0"),
        (torch.full((4,), torch.nan), "noise_variance has 4 non-finite"),
    ],
)
def test_a_noise_variance_is_one_positive_number_a_scene(bound, noise, said) -> None:
    with pytest.raises(InputError, match=said):
        bound(replace(draw(4), noise_variance=noise))


@pytest.mark.parametrize("bound", BOUNDS)
def test_sources_are_counted_in_their_slots(bound) -> None:
    scenes = draw(2, sources=(1, 2))
    sources = replace(scenes.sources, count=torch.tensor([1, 9]))
    with pytest.raises(InputError, match="count holds 9"):
        bound(replace(scenes, sources=sources))
