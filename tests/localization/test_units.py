"""Every scene in units of its own, and scenes that hold nothing beside those that do."""

from dataclasses import fields, replace

import pytest
import torch
from localization_helpers import draw

from ris_pipeline._errors import InputError
from ris_pipeline.config import Scenario
from ris_pipeline.evaluation.estimators import ESTIMATORS
from ris_pipeline.localization import (
    Status,
    cramer_rao_bound,
    locate,
    misspecified_cramer_rao_bound,
    stochastic_cramer_rao_bound,
)
from ris_pipeline.scene import simulate

pytestmark = pytest.mark.no_shapes

SMALL = {"sources": (1, 2), "snr_db": (0, 30)}
estimators = pytest.mark.parametrize("name", ESTIMATORS)
numbers = pytest.mark.parametrize("number", [1, None])


def same(found, other, relative=0.0):
    for field in fields(found):
        first, second = getattr(found, field.name), getattr(other, field.name)
        torch.testing.assert_close(first, second, rtol=relative, atol=0, equal_nan=True)


def at(found, scenes):
    return type(found)(**{f.name: getattr(found, f.name)[scenes] for f in fields(found)})


@pytest.mark.slow
@estimators
@numbers
def test_powers_of_two_move_no_bit(name, number):
    scenes = draw(6, **SMALL)
    there = replace(scenes, snapshots=scenes.snapshots * 2**40, channel=scenes.channel * 2**-20)
    found, far = ESTIMATORS[name](scenes, number), ESTIMATORS[name](there, number)
    back = {"power": far.power * 2.0**-120, "noise_variance": far.noise_variance * 2.0**-80}
    same(replace(far, **back), found)


@estimators
@numbers
@pytest.mark.parametrize("part", ["snapshots", "channel", "codes"])
def test_nothing_is_an_answer_and_not_an_error(name, number, part):
    scenes = draw(3, **SMALL)
    found = ESTIMATORS[name](
        replace(scenes, **{part: torch.zeros_like(getattr(scenes, part))}), number
    )
    assert (found.count == (number or 0)).all()
    assert (found.status == Status.UNRESOLVED).all()
    assert (found.power[found.active] == 0).all()
    assert found.noise_variance.isfinite().all()


@pytest.mark.slow
@estimators
@pytest.mark.parametrize(("number", "part"), [(1, "snapshots"), (None, "channel")])
def test_a_scene_that_holds_nothing_harms_no_other(name, number, part):
    scenes = draw(3, **SMALL)
    values = getattr(scenes, part).clone()
    values[1] = 0
    found = ESTIMATORS[name](replace(scenes, **{part: values}), number)
    whole = ESTIMATORS[name](scenes, number)
    others = torch.tensor([0, 2])
    # A product over another number of scenes may be summed in another order.
    same(at(found, others), at(whole, others), relative=1e-9)
    assert (found.status[1] == Status.UNRESOLVED).all()


@estimators
@pytest.mark.parametrize("scale", [1e30, 1e37, 1e-11, 1e-30])
def test_single_precision_holds_every_place(name, scale):
    scenes = simulate(draw(1, **SMALL).scenario, 3, torch.arange(6))
    there = replace(scenes, snapshots=scenes.snapshots * scale)
    found, far = ESTIMATORS[name](scenes, 1), ESTIMATORS[name](there, 1)
    # The scale itself is rounded to single precision, and so is every snapshot.
    torch.testing.assert_close(far.azimuth, found.azimuth, rtol=0, atol=1e-3)
    good = far.status != Status.UNRESOLVED
    assert far.power[good].isfinite().all()
    assert far.noise_variance[good.any(1)].isfinite().all()


@estimators
@numbers
@pytest.mark.parametrize("panel", [(2, 1), (2, 2), (3, 2), (1, 12)])
@pytest.mark.parametrize("size", [0, 3])
def test_small_panels_and_empty_batches_are_answered(name, number, panel, size):
    scenario = Scenario(panel=panel, antennas=4, codes=8, codebook="random", sources=(1, 1))
    found = ESTIMATORS[name](simulate(scenario, 3, torch.arange(size)), number)
    assert found.count.shape == (size,)
    if 1 in panel:
        assert (found.status == Status.UNRESOLVED).all()


@pytest.mark.parametrize("codebook", ["random", "dft"])
@pytest.mark.parametrize("codes", [2, 8])
@pytest.mark.parametrize("power", [-60, -13, 60])
def test_the_units_of_the_codes_move_no_bit(codebook, codes, power):
    # Of small codes none must look as if it were orthogonal to the others, or the same.
    scenes = draw(4, **SMALL, codebook=codebook, codes=codes)
    there = replace(scenes, codes=scenes.codes * 2.0**power)
    found, far = locate(scenes), locate(there)
    same(replace(far, power=far.power * 2.0 ** (2 * power)), found)


@pytest.mark.parametrize(
    "bound",
    [
        cramer_rao_bound,
        stochastic_cramer_rao_bound,
        lambda scenes: misspecified_cramer_rao_bound(scenes).variance,
    ],
)
@pytest.mark.parametrize("part", ["channel", "codes", "snapshots"])
@pytest.mark.parametrize("power", [-500, -40, 40, 500])
def test_bounds_have_no_units(bound, part, power):
    scenes = draw(3, sources=(2, 2), snr_db=(10, 20), codebook="random")
    there = {part: getattr(scenes, part) * 2.0**power}
    gains = replace(scenes.sources, gains=scenes.sources.gains * 2.0**-power)
    if part == "snapshots":
        noise = scenes.noise_variance * 2.0 ** (2 * power)
        gains = replace(scenes.sources, gains=scenes.sources.gains * 2.0**power)
        there["noise_variance"] = noise
    moved = bound(replace(scenes, **there, sources=gains))
    torch.testing.assert_close(moved, bound(scenes), rtol=0, atol=0, equal_nan=True)


@estimators
@pytest.mark.parametrize("part", ["snapshots", "channel", "codes"])
def test_conjugate_views_are_tensors_like_others(name, part):
    scenes = draw(2, **SMALL)
    turned = replace(scenes, **{part: getattr(scenes, part).conj().resolve_conj().conj()})
    same(ESTIMATORS[name](turned, 1), ESTIMATORS[name](scenes, 1))


@estimators
@pytest.mark.parametrize("part", ["snapshots", "channel", "codes"])
def test_nobody_loses_a_gradient_in_silence(name, part):
    scenes = draw(2, **SMALL)
    followed = getattr(scenes, part).clone().requires_grad_()
    followed_scenes = replace(scenes, **{part: followed})
    with pytest.raises(InputError, match=f"{part} requires a gradient"):
        ESTIMATORS[name](followed_scenes, 1)
    with torch.no_grad():
        same(ESTIMATORS[name](followed_scenes, 1), ESTIMATORS[name](scenes, 1))


@pytest.mark.parametrize("number", [None, 1], ids=["blind", "told"])
@pytest.mark.parametrize("name", ["modified_music", "plane_music", "mvdr_planes", "omp"])
def test_of_silence_a_baseline_says_what_it_says_of_other_scenes(name, number) -> None:
    scenes = draw(3, sources=(1, 1), snr_db=(20.0, 20.0))
    scenes.snapshots[1] = 0
    found = ESTIMATORS[name](scenes, number)
    assert found.std.isnan().all()
    assert found.false_alarm.isnan().all()
    assert found.confidence.isnan().all()
    if name == "plane_music":
        assert found.distance.isnan().all()
