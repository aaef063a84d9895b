"""A grid that is its own mirror image answers as any other does."""

from itertools import pairwise
from typing import Any

import pytest
import torch
from torch import Tensor

from ris_pipeline.config import Scenario
from ris_pipeline.localization import steering_grid
from ris_pipeline.localization.grid_search.detection import grid_scores

EPS = torch.finfo(torch.float32).eps
BOTH = {"azimuth_deg": (-50.0, 50.0), "elevation_deg": (-30.0, 30.0)}
CASES: list[tuple[int, dict[str, Any]]] = [
    (4, {"panel": (6, 4)}),
    (4, {"panel": (5, 3), "wavefront": "plane"}),
    (4, {"panel": (7, 1), "wavefront": "fresnel"}),
    (2, {"panel": (6, 5), "elevation_deg": (-10.0, 40.0)}),
    (2, {"panel": (5, 6), "azimuth_deg": (-20.0, 50.0)}),
    (1, {"panel": (6, 4), "azimuth_deg": (-20.0, 50.0), "elevation_deg": (0.0, 30.0)}),
]


def scenario(settings: dict[str, Any]) -> Scenario:
    return Scenario(**{**BOTH, "sources": (1, 2), **settings})


def complex_normal(*shape: int) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(*shape, dtype=torch.complex64, generator=generator)


@pytest.mark.parametrize(("images", "settings"), CASES)
def test_responses_are_the_products(images: int, settings: dict[str, Any]) -> None:
    given = scenario(settings)
    grid = steering_grid(given)
    assert (1 if grid.mirrors is None else len(grid.mirrors.points)) == images
    rows = complex_normal(5, given.elements)
    answers = list(grid.responses(rows))
    ends = [(start, stop) for start, stop, _ in answers]
    assert ends[0][0] == 0
    assert all(stop == start for (_, stop), (start, _) in pairwise(ends))
    assert grid.steering is not None
    expected = rows @ grid.steering.mT
    own = torch.cat([response for _, _, response in answers], dim=-1)
    # Both are sums of N products, of steering vectors whose phases, up to a hundred, are rounded.
    size = 100 * EPS * rows.abs().sum(1).max() / given.elements**0.5
    assert (grid.in_order(own) - expected).abs().max() < size
    assert (own - grid.at_points(expected)).abs().max() < size


@pytest.mark.parametrize(("images", "settings"), CASES)
@pytest.mark.parametrize("sources", [0, 2])
def test_scores_are_those_of_the_products(
    images: int, settings: dict[str, Any], sources: int
) -> None:
    given = scenario(settings)
    grid = steering_grid(given)
    assert grid.steering is not None
    probes = complex_normal(3, 2, 1 + sources, given.elements)
    power = (probes.conj() @ grid.steering.mT).abs().square()
    gains = 2 * power[:, :, 1:].sum(2) + 1
    expected = (power[:, :, 0] / (gains - power[:, :, 1:].sum(2))).sum(1)
    scores = grid_scores(grid, probes, grid.at_points(gains))
    assert (scores - expected).abs().max() < 1e4 * EPS * expected.max()


def test_what_is_in_order_stays_what_it_is() -> None:
    grid = steering_grid(scenario({"panel": (5, 4)}))
    values = torch.arange(grid.size)
    assert torch.equal(grid.in_order(grid.at_points(values)), values)


def test_a_panel_without_a_mirror_image_has_none() -> None:
    places = torch.tensor([[0.0, 0.0, 0.0], [0.1, 0.02, 0.0], [-0.05, 0.15, 0.0]])
    own = scenario({"panel": (3, 1), "positions": places.tolist()})
    assert steering_grid(own).mirrors is None
