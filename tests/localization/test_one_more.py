"""What one source more could explain: the score off the grid, and its bound."""

import pytest
import torch
from localization_helpers import MOVING, draw, true_parameters
from scipy.stats import binom
from test_second_search import searched

from ris_pipeline.localization.coordinates import line_of_sight, place_along
from ris_pipeline.localization.grid_search.detection import next_source, scores_at
from ris_pipeline.localization.least_squares.refinement import refine
from ris_pipeline.localization.maximum_likelihood.one_more import most_explained, peaks_left
from ris_pipeline.localization.maximum_likelihood.relax import Found, add_source
from ris_pipeline.scene import sensing_matrix, steering_vector

RARE = 1e-6  # probability of a test that fails though the code is right
OVER = 0.02  # part of the scenes in which the others made more room than the bound allows for


def found_of(scenes):
    search = searched(scenes)
    right = refine(search.white, true_parameters(scenes), scenes.sources.active, search.domain)
    return search, Found(right.parameters, right.fit.objective)


def test_the_score_off_the_grid_is_what_the_residual_falls_by():
    scenes = draw(4, **{**MOVING, "sources": (2, 2)})
    search, found = found_of(scenes)
    places = torch.tensor([[0.2, -0.1, 1.0], [-0.5, 0.3, 0.5]], dtype=torch.float64)
    places = places.expand(4, -1, -1)
    grid = search.detector.grid
    scores = scores_at(grid, search.white, found.parameters, found.active, places)
    phi = sensing_matrix(scenes.channel, scenes.codes)

    def residual(parameters):
        a = steering_vector(scenes.panel, *parameters[..., :2].unbind(-1), 1 / parameters[..., 2])
        basis, _ = torch.linalg.qr(phi @ a.mT[:, None])
        y = scenes.snapshots.flatten(2)[..., None]
        return (y - basis @ (basis.mH @ y)).abs().square().sum((1, 2, 3))

    before = residual(found.parameters)
    for i in range(2):
        more = torch.cat((found.parameters, places[:, i : i + 1]), dim=1)
        # The grid is in float32: a sum of N products, and what is left of its square.
        torch.testing.assert_close(
            scores[:, i].double(), before - residual(more), rtol=1e-3, atol=1e-5
        )


@pytest.mark.parametrize("blocks", [6, 12])
def test_the_bound_holds_what_a_joint_fit_gains(blocks):
    settings = {**MOVING, "blocks": blocks, "sources": (2, 2), "snr_db": (15, 15)}
    scenes = draw(100, **settings)
    search, found = found_of(scenes)
    peaks, score = peaks_left(search, found)
    most = most_explained(search, found, peaks, 3)
    arguments = search.detector, search.white, search.white_gains, found.parameters, found.active
    assert torch.equal(score, next_source(*arguments)[1])
    assert (most >= score).all()
    gained = found.objective - add_source(search, found.parameters).objective
    assert int((gained > most).sum()) <= binom.ppf(1 - RARE, 100, OVER)


def test_along_the_line_of_sight_and_back():
    places = torch.tensor([[0.4, -0.3, 0.7], [0.0, 0.0, 2.0]], dtype=torch.float64)
    torch.testing.assert_close(place_along(line_of_sight(places)), places)
    beyond = place_along(torch.tensor([[0.9, 0.9, 1.0]], dtype=torch.float64))
    assert beyond.isfinite().all()
