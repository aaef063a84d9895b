"""Steps where the information is not the curvature."""

from dataclasses import dataclass, field

import pytest
import torch
from torch import Tensor

from ris_pipeline.localization.coordinates import Domain
from ris_pipeline.localization.levenberg_marquardt import (
    Expansion,
    Objective,
    Rules,
    Slope,
    minimise,
)

RULES = Rules(lighter=lambda mu, _: mu / 10, heavier=(2.0, 2.0), finish=False, most_steps=200)
NEAR = 1e-6
"""Length of the undamped step at which a minimum counts as reached."""


@dataclass(frozen=True)
class Bowl(Objective[Expansion]):
    """`f = x^T H x`, whose information says `excess` H."""

    curvature: Tensor
    excess: float
    calls: list[int] = field(default_factory=list)

    def take(self, keep: Tensor) -> "Bowl":
        return self

    def expand(self, place: Tensor) -> Expansion:
        self.calls.append(len(place))
        pull = place @ self.curvature
        information = (self.excess * self.curvature).expand(len(place), -1, -1)
        return Expansion(objective=(pull * place).sum(-1), score=-pull, information=information)

    def reached(self, expansion: Expansion, slope: Slope) -> Tensor:
        return (slope.newton * slope.scale).abs().amax(-1) < NEAR


@pytest.mark.parametrize("excess", [1.0, 2.0, 3.5])
def test_a_valley_that_is_flatter_than_the_information_says_is_not_crawled_along(excess):
    curvature = torch.tensor([[2.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    start = torch.tensor([[1.0, -2.0], [0.3, 0.1]], dtype=torch.float64)
    limit = torch.full((2,), 10.0, dtype=torch.float64)
    bowl = Bowl(curvature, excess)
    still = torch.zeros(2, dtype=torch.bool)
    found = minimise(bowl, start, Domain(-limit, limit), still, RULES)
    assert found.reached.all()
    assert found.place.abs().max() < 2 * excess * NEAR
    # Without the curvature along the last move a step leaves 1 - 1 / excess of the way: 41 steps
    # at 3.5.
    assert len(bowl.calls) <= 15


def test_a_fixed_coordinate_tells_nothing_of_the_others():
    curvature = torch.eye(2, dtype=torch.float64)
    limit = torch.full((2,), 10.0, dtype=torch.float64)
    fixed = torch.tensor([False, True])
    start = torch.tensor([[1.0, 3.0]], dtype=torch.float64)
    found = minimise(Bowl(curvature, 5.0), start, Domain(-limit, limit), fixed, RULES)
    assert found.place[0, 1] == 3.0
    assert found.place[0, 0].abs() < 10 * NEAR
