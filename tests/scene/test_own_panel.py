"""A panel of one's own: what is asked for, what is derived, and what is refused in one line."""

from typing import Any

import numpy as np
import pytest
import torch
from own_panels import WAVELENGTH, jittered_grid, measured, ring

from ris_pipeline import InputError
from ris_pipeline.config import Scenario
from ris_pipeline.scene import (
    Panel,
    Received,
    ideal_panel,
    on_even_grid,
    own_scenario,
    panel_scenario,
    simulate,
)

OWN = measured(jittered_grid())


def received(**changes: Any) -> Received:
    arguments: dict[str, Any] = {
        "snapshots": OWN.snapshots,
        "channel": OWN.channel,
        "codes": OWN.codes,
        "positions": OWN.positions,
        "wavelength": WAVELENGTH,
    }
    return Received.from_arrays(**{**arguments, **changes})


def test_what_is_derived_from_the_positions() -> None:
    scenario = received().scenario
    assert (scenario.blocks, scenario.codes, scenario.antennas) == (1, 16, 16)
    assert scenario.panel == (12, 12)
    assert scenario.spacing == pytest.approx((0.5, 0.5), rel=0.01)
    assert scenario.azimuth_deg == scenario.elevation_deg == (-89, 89)
    radius = np.linalg.norm(OWN.positions, axis=1).max()
    assert scenario.distance == pytest.approx((radius / 2, 3e5))
    assert own_scenario(0.1 * OWN.positions, WAVELENGTH).distance[0] == WAVELENGTH
    assert np.array_equal(ideal_panel(scenario, torch.float64).positions, OWN.positions)


def test_limits_that_are_given_hold() -> None:
    sector = {"azimuth_deg": (-10.0, 40.0), "distance": (1.0, 3.0)}
    scenario = received(**sector, wavefront="fresnel").scenario
    assert scenario.azimuth_deg == (-10, 40)
    assert scenario.distance == (1, 3)
    assert scenario.wavefront == "fresnel"
    assert scenario.elevation_deg == (-89, 89)


def test_numpy_and_torch_are_one_and_dtypes_are_joined() -> None:
    tensors = {name: torch.tensor(getattr(OWN, name)) for name in ("snapshots", "channel", "codes")}
    assert torch.equal(received(**tensors).snapshots, received().snapshots)
    mixed = received(codes=OWN.codes.astype(np.complex64))
    assert mixed.codes.dtype == torch.complex128
    single = {name: value.to(torch.complex64) for name, value in tensors.items()}
    assert received(**single).panel.positions.dtype == torch.float32


def test_one_scene_or_many() -> None:
    many = received(snapshots=OWN.snapshots[None], channel=OWN.channel[None])
    assert many.size == received().size == 1
    assert torch.equal(many.channel, received().channel)


def test_the_noise_level_is_optional() -> None:
    assert received().noise_variance is None
    assert received(noise_variance=0.5).noise_variance == torch.tensor([0.5])
    assert received(noise_variance=np.array([0.5])).between(0, 1).noise_variance is not None


@pytest.mark.parametrize(
    ("positions", "panel"),
    [
        (jittered_grid(), (12, 12)),
        (jittered_grid()[:24], (12, 2)),
        (jittered_grid()[:12], (12, 1)),
        (jittered_grid()[::12], (1, 12)),
        (ring(), (60, 1)),
        (jittered_grid()[::-1].copy(), (144, 1)),
    ],
    ids=["grid", "two rows", "row", "column", "ring", "wrong way round"],
)
def test_an_even_grid_is_seen(positions: np.ndarray, panel: tuple[int, int]) -> None:
    scenario = own_scenario(positions, WAVELENGTH)
    assert scenario.panel == panel
    assert on_even_grid(scenario) == (panel not in ((60, 1), (144, 1)))


def test_scenes_of_an_own_panel_are_simulated_on_it() -> None:
    scenario = Scenario(panel=(12, 12), positions=tuple(map(tuple, OWN.positions.tolist())))
    scenes = simulate(scenario, 0, torch.arange(2), torch.float64)
    assert np.array_equal(scenes.panel.positions, OWN.positions)
    assert not torch.equal(scenes.snapshots, simulate(Scenario(), 0, torch.arange(2)).snapshots)


PARTS = np.stack((OWN.snapshots.real, OWN.snapshots.imag), axis=-1)

REFUSED = {
    "list": ({"snapshots": [1, 2]}, "snapshots is a list: allowed are torch tensors and numpy"),
    "text": ({"codes": np.array(["a"])}, "codes has dtype <U1: allowed are numbers"),
    "parts last": ({"snapshots": PARTS}, "become y[..., 0] + 1j * y[..., 1]"),
    "parts first": ({"snapshots": np.moveaxis(PARTS, -1, 0)}, "become y[0] + 1j * y[1]"),
    "phases": ({"codes": np.angle(OWN.codes)}, "phases in radians become exp(1j * c)"),
    "channel turned": ({"channel": OWN.channel.T}, "numpy.transpose(channel, (0, 2, 1)) has it"),
    "codes turned": (
        {"codes": np.moveaxis(OWN.codes[:, :9], 2, 0), "snapshots": OWN.snapshots[:, :9]},
        "numpy.transpose(codes, (1, 2, 0)) has it",
    ),
    "snapshots turned": (
        {"codes": OWN.codes[:, :9], "snapshots": OWN.snapshots[:, :9].transpose(0, 2, 1)},
        "numpy.transpose(snapshots, (0, 1, 3, 2)) has it",
    ),
    "codes without blocks": ({"codes": OWN.codes[0]}, "codes[None] where there is one of blocks"),
    "positions turned": ({"positions": OWN.positions.T}, "positions.T has it"),
    "two coordinates": ({"positions": OWN.positions[:, :2]}, "allowed is (elements, 3), metres"),
    "other elements": ({"positions": OWN.positions[:100]}, "channel has shape (1, 16, 144)"),
    "far origin": (
        {"positions": 9 + OWN.positions},
        "around the origin: subtract their",
    ),
    "one place": ({"positions": 0 * OWN.positions}, "elements apart from each other"),
    "one element": ({"positions": OWN.positions[:1]}, "allowed are 2 or more"),
    "not finite": ({"snapshots": OWN.snapshots * np.nan}, "snapshots has 256 non-finite entries"),
    "positions nan": ({"positions": np.full((9, 3), np.inf)}, "positions has"),
    "wavelength": ({"wavelength": -1.0}, "wavelength = -1.0"),
    "limits": ({"distance": (3.0, 1.0)}, "distance = [3.0, 1.0]"),
    "noise": ({"noise_variance": 0.0}, "noise_variance holds 0.0: allowed are positive"),
    "noise shape": (
        {"noise_variance": np.ones(3)},
        "torch.float64 of shape (3,)",
    ),
}


@pytest.mark.parametrize(("changes", "message"), REFUSED.values(), ids=REFUSED)
def test_what_does_not_fit_is_one_line_with_the_fix(
    changes: dict[str, Any], message: str, untyped
) -> None:
    with untyped(), pytest.raises(InputError) as refused:
        received(**changes)
    assert message in str(refused.value)
    assert "\n" not in str(refused.value)


def test_the_fix_that_is_named_works() -> None:
    turned = np.transpose(OWN.channel.T[None], (0, 2, 1))
    assert torch.equal(received(channel=turned[0]).channel, received().channel)
    assert torch.equal(
        received(snapshots=PARTS[..., 0] + 1j * PARTS[..., 1]).snapshots, received().snapshots
    )


def test_a_panel_drawn_per_scene_is_no_own_panel() -> None:
    with pytest.raises(InputError, match="drawn per scene"):
        panel_scenario(Panel(torch.zeros(2, 4, 3), 0.3))


def test_own_positions_and_a_panel_file_are_not_mixed() -> None:
    with pytest.raises(InputError, match="allowed is one of them"):
        Scenario().replace(
            panel=(2, 1), sources=(1, 1), positions=((0, 0, 0), (1, 0, 0)), panel_file="x"
        )
    with pytest.raises(InputError, match="positions has 2 elements: allowed are the 12 x 12"):
        Scenario().replace(positions=((-1, 0, 0), (1, 0, 0)))
