import pytest
import torch
from localization_helpers import MOVING, SMALL, columns, draw, residual, true_parameters

from ris_pipeline.localization.least_squares.linearisation import linearise
from ris_pipeline.localization.measurement.columns import model_columns, source_columns
from ris_pipeline.localization.measurement.measure import measure

STEP = 1e-6
DIFFERENCE = 1e-6  # central differences in float64: step^2 plus rounding / step


def away_from_truth(scenes):
    generator = torch.Generator().manual_seed(0)
    parameters = true_parameters(scenes)
    return parameters + 0.02 * torch.randn(
        parameters.shape, generator=generator, dtype=parameters.dtype
    )


@pytest.fixture(
    params=[
        SMALL,
        MOVING,
        {**SMALL, "blocks": 2, "codebook": "random"},
        {**SMALL, "wavefront": "fresnel"},
        {**SMALL, "wavefront": "plane"},
    ],
    ids=["static", "moving", "blocks", "fresnel", "plane"],
)
def scenes(request):
    return draw(4, sources=(2, 2), snr_db=(10, 10), **request.param)


def test_residual_and_amplitudes_are_those_of_the_stacked_problem(scenes):
    parameters = away_from_truth(scenes)
    fit = linearise(measure(scenes), parameters, scenes.sources.active)
    torch.testing.assert_close(fit.rss, residual(scenes, parameters))
    b = columns(scenes, parameters)
    x = torch.linalg.lstsq(b, scenes.snapshots.flatten(2)[..., None]).solution[..., 0]
    torch.testing.assert_close(fit.amplitudes, x)


def test_score_is_half_the_slope_of_the_residual(scenes):
    parameters = away_from_truth(scenes)
    fit = linearise(measure(scenes), parameters, scenes.sources.active)
    score = fit.score.reshape_as(parameters)
    for k in range(2):
        for axis in range(3):
            step = torch.zeros_like(parameters)
            step[:, k, axis] = STEP
            slope = (residual(scenes, parameters + step) - residual(scenes, parameters - step)) / (
                2 * STEP
            )
            scale = fit.information.diagonal(dim1=1, dim2=2).max()
            torch.testing.assert_close(
                score[:, k, axis], -slope / 2, rtol=DIFFERENCE, atol=DIFFERENCE * float(scale)
            )


def test_information_is_the_gram_matrix_of_kaufmans_jacobian(scenes):
    parameters = away_from_truth(scenes)
    fit = linearise(measure(scenes), parameters, scenes.sources.active)
    b = columns(scenes, parameters)
    project = torch.eye(b.shape[2], dtype=b.dtype) - b @ torch.linalg.pinv(b)
    slopes = []
    for k in range(2):
        for axis in range(3):
            step = torch.zeros_like(parameters)
            step[:, k, axis] = STEP
            change = columns(scenes, parameters + step) - columns(scenes, parameters - step)
            slopes.append((project @ change @ fit.amplitudes[..., None])[..., 0] / (2 * STEP))
    jacobian = torch.stack(slopes, dim=-1).flatten(1, 2)
    expected = (jacobian.mH @ jacobian).real
    scale = float(expected.abs().max())
    torch.testing.assert_close(fit.information, expected, rtol=DIFFERENCE, atol=DIFFERENCE * scale)


def test_inactive_slots_change_nothing_and_report_zero():
    scenes = draw(4, sources=(3, 3), snr_db=(10, 10))
    parameters = away_from_truth(scenes)
    active = torch.tensor([True, True, False]).expand(4, 3)
    fit = linearise(measure(scenes), parameters, active)
    two = linearise(measure(scenes), parameters[:, :2], active[:, :2])
    torch.testing.assert_close(fit.rss, two.rss)
    torch.testing.assert_close(fit.score[:, :6], two.score)
    torch.testing.assert_close(fit.information[:, :6, :6], two.information)
    assert (fit.score[:, 6:] == 0).all()
    assert (fit.information[:, 6:] == 0).all()


def test_source_columns_are_the_first_of_the_model(scenes):
    parameters, active = away_from_truth(scenes), scenes.sources.active.clone()
    active[0, 1] = False
    data = measure(scenes)
    first = model_columns(data, parameters, active)[..., :2]
    assert torch.equal(source_columns(data, parameters, active), first)
    assert (first[0, :, 1] == 0).all()


def test_coinciding_sources_have_an_infinite_residual():
    scenes = draw(2, sources=(2, 2))
    parameters = true_parameters(scenes)
    parameters[:, 1] = parameters[:, 0]
    rss = linearise(measure(scenes), parameters, scenes.sources.active).rss
    # To rounding the Gram matrix of equal columns may still pass as definite; it must never
    # explain more than the data hold.
    assert ((rss >= 0) | rss.isinf()).all()
