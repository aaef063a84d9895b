"""From own measurements, and from own covariances, to sources: no truth, no preset."""

import dataclasses
import json
import math

import numpy as np
import pytest
import torch
from own_panels import SOURCE, WAVELENGTH, Own, jittered_grid, measured, ring, steering, sunflower

from ris_pipeline import InputError, load_settings
from ris_pipeline.config import Scenario
from ris_pipeline.evaluation.estimators import ESTIMATORS
from ris_pipeline.localization import (
    BoundTable,
    beamwidths,
    cramer_rao_bound,
    locate,
    locate_from_covariance,
    misspecified_cramer_rao_bound,
    stochastic_cramer_rao_bound,
    summarise,
    suppose_sources,
)
from ris_pipeline.scene import Panel, Received, SceneBatch, own_scenario, simulate

pytestmark = pytest.mark.no_shapes


def received(own: Own, **more: object) -> Received:
    return Received.from_arrays(
        own.snapshots,
        own.channel,
        own.codes,
        positions=own.positions,
        wavelength=WAVELENGTH,
        **more,  # type: ignore[arg-type]
    )


GRID, RING = measured(jittered_grid()), measured(ring())
CURVED = jittered_grid() + np.c_[np.zeros((144, 2)), 0.1 * np.linalg.norm(jittered_grid(), axis=1)]
PANELS = {"grid": jittered_grid(), "disc": sunflower(), "3-D": CURVED}


@pytest.mark.parametrize("positions", PANELS.values(), ids=PANELS)
def test_locate_finds_the_source_within_its_own_deviations(positions: np.ndarray) -> None:
    found = locate(received(measured(positions)))
    assert found.count.tolist() == [1]
    error = torch.stack((found.azimuth, found.elevation, found.distance), -1)[0, 0]
    # Five standard deviations: once in 600,000 for each of three coordinates.
    assert ((error - torch.tensor(SOURCE)).abs() < 5 * found.std[0, 0]).all()


@pytest.mark.slow
@pytest.mark.parametrize("positions", PANELS.values(), ids=PANELS)
def test_the_bound_is_met_on_any_panel(positions: np.ndarray) -> None:
    scenario = own_scenario(positions, WAVELENGTH)
    sector = {"azimuth_deg": (-60, 60), "elevation_deg": (-30, 30), "distance": (0.8, 6.0)}
    known = {"sources": (1, 1), "power": "power_control", "snr_db": (10, 10)}
    truth = scenario.replace(antennas=16, codes=16, codebook="random", **sector, **known)
    scenes = simulate(truth, 1, torch.arange(60), torch.float64)
    own = Received.from_arrays(
        scenes.snapshots,
        scenes.channel,
        scenes.codes,
        positions=positions,
        wavelength=WAVELENGTH,
    )
    result = summarise(locate(own, 1), scenes, 10.0, cramer_rao_bound(scenes))
    # The rms of 60 normal numbers is 1 to sqrt(1 / 120), here to four of these deviations.
    assert result.normalized == pytest.approx([1.0] * 3, abs=4 / math.sqrt(120))


@pytest.mark.slow
def test_positions_that_are_the_presets_give_the_presets_answer() -> None:
    scenario = load_settings("reference").scenario
    scenes = simulate(scenario, 3, torch.arange(4), torch.float64)
    own = Received.from_arrays(
        scenes.snapshots,
        scenes.channel,
        scenes.codes,
        positions=scenes.panel.positions,
        wavelength=scenario.wavelength,
        azimuth_deg=scenario.azimuth_deg,
        elevation_deg=scenario.elevation_deg,
        distance=scenario.distance,
    )
    number = scenes.sources.count
    mine, theirs = locate(own, number), locate(scenes, number)
    # The same minimum to a hundredth of a standard deviation, by other grids and steps.
    off = (mine.azimuth - theirs.azimuth).abs() / theirs.std[..., 0]
    assert (off.nan_to_num(0.0) < 0.01).double().mean() > 0.9


@pytest.mark.parametrize("name", ESTIMATORS)
def test_every_estimator_takes_them(name: str) -> None:
    found = ESTIMATORS[name](received(GRID), 1)
    assert abs(float(found.azimuth[0, 0]) - SOURCE[0]) < math.radians(10)


@pytest.mark.parametrize("name", ["plane_music", "modified_music"])
def test_sub_panels_need_an_even_grid(name: str) -> None:
    with pytest.raises(InputError, match="on no even grid"):
        ESTIMATORS[name](received(RING), 1)


def test_bounds_are_taken_where_the_sources_were_found() -> None:
    scenes = received(GRID)
    found = locate(scenes)
    supposed = suppose_sources(scenes, found.azimuth, found.elevation, found.distance)
    assert supposed.sources.count.tolist() == [1]
    bound = cramer_rao_bound(supposed)[0, 0].sqrt()
    # `std` is this bound at the estimate, but for the ridge.
    assert torch.allclose(bound, found.std[0, 0], rtol=0.02)
    assert stochastic_cramer_rao_bound(supposed)[0, 0].isfinite().all()
    with pytest.raises(InputError, match="truth is None"):
        misspecified_cramer_rao_bound(supposed)
    assert float(supposed.snr_db) == pytest.approx(20, abs=1)


def test_a_known_noise_level_is_the_bounds() -> None:
    scenes = received(GRID, noise_variance=4 * GRID.noise_variance)
    places = (torch.tensor([[x]]) for x in SOURCE)
    known = suppose_sources(scenes, *places)
    assert float(known.noise_variance) == pytest.approx(4 * GRID.noise_variance)
    half = suppose_sources(
        scenes,
        known.sources.azimuth,
        known.sources.elevation,
        known.sources.distance,
        torch.tensor([GRID.noise_variance]).double(),
    )
    assert torch.allclose(cramer_rao_bound(known), 4 * cramer_rao_bound(half))


def supposed(*places: list[list[float]]) -> SceneBatch:
    return suppose_sources(received(GRID), *(torch.tensor(x).double() for x in places))


@pytest.mark.parametrize(
    ("places", "message"),
    [
        (([[0.1], [0.2]], [[0.1], [0.2]], [[1.0], [1.0]]), "allowed is (1, sources)"),
        (([[math.nan, 0.1]], [[0.1, 0.1]], [[1.0, 1.0]]), "empty ones last"),
        (([[0.1]], [[0.1]], [[-1.0]]), "distance holds -1.0"),
        (([[0.3, 0.3]], [[0.3, 0.3]], [[1.0, 1.0]]), "sources coincide"),
    ],
)
def test_places_that_cannot_be_supposed(places: list, message: str) -> None:
    with pytest.raises(InputError) as refused:
        supposed(*places)
    assert message in str(refused.value)


def covariance(positions: np.ndarray) -> np.ndarray:
    a = steering(positions, *SOURCE)
    return (np.outer(a, a.conj()) + 0.01 * np.eye(len(a)))[None]


@pytest.mark.parametrize("positions", PANELS.values(), ids=PANELS)
@pytest.mark.parametrize("method", ["music", "mvdr", "bartlett"])
def test_peaks_of_an_own_covariance(positions: np.ndarray, method: str, untyped) -> None:
    with untyped():
        panel = Panel(positions, WAVELENGTH)  # type: ignore[arg-type]
    found = locate_from_covariance(covariance(positions), panel, 1, method)  # type: ignore[arg-type]
    at = float(found.azimuth[0, 0]), float(found.elevation[0, 0]), float(found.distance[0, 0])
    # To the tolerance of the peak search, 1e-5 of a resolution cell, and its last Newton step.
    assert at == pytest.approx(SOURCE, abs=1e-4)


def test_the_assumed_grid_is_what_an_own_panel_is_not() -> None:
    ideal = locate_from_covariance(torch.tensor(covariance(jittered_grid())), Scenario(), 1)
    assert abs(float(ideal.distance[0, 0]) - SOURCE[2]) > 1e-3


def test_a_panel_is_no_guess(untyped) -> None:
    with (
        untyped(),
        pytest.raises(InputError, match="panel is a dict: allowed are Panel and"),
    ):
        locate_from_covariance(covariance(ring()), {}, 1)  # type: ignore[arg-type]


def test_beamwidths_of_own_positions() -> None:
    even = own_scenario(np.array(jittered_grid()), WAVELENGTH)
    # sqrt(n^2 - 1) against n, and the jitter.
    assert beamwidths(even) == pytest.approx(beamwidths(Scenario()), rel=0.02)
    line = np.stack([np.linspace(-1, 1, 21)] * 2 + [np.zeros(21)], axis=1)
    both, alone = (beamwidths(own_scenario(x, 0.3)) for x in (line, line * [1, 0, 0]))
    assert both[0] == pytest.approx(alone[0] / math.sqrt(2))
    assert alone[1] == 2.0


def test_results_are_read_in_degrees_without_empty_slots() -> None:
    found = locate(received(GRID))
    text = repr(found)
    assert "1 sources in 1 scenes" in text
    assert "17.2" in text
    assert "nan" not in text
    assert max(map(len, text.splitlines())) <= 80
    assert not any(line.endswith(" ") for line in text.splitlines())
    (scene,) = found.to_dict()["scenes"]
    assert scene["count"] == len(scene["sources"]) == 1
    assert scene["sources"][0]["azimuth_deg"] == pytest.approx(math.degrees(0.3), abs=0.2)
    json.dumps(found.to_dict(), allow_nan=False)
    frame = found.to_dataframe()
    assert frame.shape[0] == 1
    assert frame["status"][0] == "converged"


def test_a_misspecified_bound_is_read_too() -> None:
    scenario = Scenario(panel=(6, 6), impairments={"phase_error_deg": 5.0})  # type: ignore[arg-type]
    bound = misspecified_cramer_rao_bound(simulate(scenario, 0, torch.arange(2)))
    rows = bound.rows()
    assert len(rows) == int((~bound.bias.isnan().all(-1)).sum())
    assert rows[0]["azimuth_bias_deg"] == pytest.approx(math.degrees(float(bound.bias[0, 0, 0])))
    assert len(repr(bound).splitlines()) == 2 + len(rows)


def test_a_bound_is_read_as_a_table(untyped) -> None:
    scenes = received(GRID)
    places = (torch.tensor([[x, math.nan]]).double() for x in SOURCE)
    bound = cramer_rao_bound(suppose_sources(scenes, *places))
    table = BoundTable(bound)
    (row,) = table.rows()
    assert row["azimuth_std_deg"] == pytest.approx(math.degrees(float(bound[0, 0, 0].sqrt())))
    assert row["distance_std_m"] == pytest.approx(float(bound[0, 0, 2].sqrt()))
    assert len(repr(table).splitlines()) == 3
    assert table.to_dataframe().shape == (1, 5)
    blind = bound.numpy().copy()
    blind[..., 2] = math.inf
    with untyped():
        read = BoundTable(blind)  # type: ignore[arg-type]
    assert read.to_dict()["sources"][0]["distance_std_m"] is None
    with pytest.raises(InputError, match=r"shape \(2, 3\): allowed is \(scenes, sources, 3\)"):
        BoundTable(bound[0])


def test_positions_in_millimetres_are_one_line():
    own = measured(jittered_grid())
    scenes = Received.from_arrays(
        own.snapshots,
        own.channel,
        own.codes,
        positions=own.positions * 1000,
        wavelength=WAVELENGTH,
    )
    for name in ("maximum_likelihood", "omp"):
        with pytest.raises(InputError, match=r"wavelengths across.* metres"):
            ESTIMATORS[name](scenes, 1)


@pytest.mark.parametrize("wavelength", [0.0, -WAVELENGTH, math.nan, math.inf, 2 * WAVELENGTH])
def test_a_panel_has_the_wavelength_of_its_scenario(wavelength):
    scenes = received(measured(jittered_grid()))
    wrong = dataclasses.replace(
        scenes, panel=dataclasses.replace(scenes.panel, wavelength=wavelength)
    )
    with pytest.raises(InputError, match="wavelength"):
        locate(wrong, 1)
