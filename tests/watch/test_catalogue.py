"""Every bug of the catalogue is named by its alarm; healthy runs raise none."""

import warnings

import pytest
import torch
import watch_ours
import watch_strangers
from measure import run_pair
from watch_bugs import BUGS
from watch_healthy import RUNS, recipes
from watch_loops import LOOPS, every_step
from watch_recipe import Recipe

from ris_pipeline.watch import Watch, kinds

# One loop for each bug here, in turn; `measure.py pairs` runs them all.
ROTATED = {
    name: bug.loops[place % len(bug.loops)] for place, (name, bug) in enumerate(BUGS.items())
}


@pytest.mark.parametrize("name", BUGS)
@pytest.mark.filterwarnings("ignore")
def test_a_bug_is_named(name: str) -> None:
    alarms = run_pair(name, ROTATED[name], sampling=every_step())
    assert BUGS[name].alarm in alarms, f"{name} in {ROTATED[name]}: {BUGS[name].story}"


IN_OURS = [name for name, (_, number, _) in watch_ours.BUGS.items() if number == 1]
IN_OURS += ["epoch_loss_in_the_step_block in ours"]


@pytest.mark.parametrize(
    ("name", "loop"),
    [("weight_applied_twice", "plain"), ("skipped_for_ever", "accumulated")],
)
@pytest.mark.filterwarnings("ignore")
def test_one_cause_has_one_alarm(name: str, loop: str) -> None:
    assert run_pair(name, loop, sampling=every_step()) == [BUGS[name].alarm]


def test_a_loss_scale_clipped_to_nothing_is_no_threshold_out_of_reach() -> None:
    recipe = Recipe(clip_norm=1e-9, watch={"sampling": every_step(), "clip": 1.0})
    assert [alarm.name for alarm in LOOPS["plain"](recipe).alarms] == ["clip-always-active"]


@pytest.mark.parametrize("name", IN_OURS)
def test_a_bug_in_our_trainer_is_named(name: str) -> None:
    watch = watch_ours.run(name)
    assert watch_ours.BUGS[name][0] in [alarm.name for alarm in watch.alarms]


def test_our_trainer_raises_no_alarm() -> None:
    watch = watch_ours.run(None)
    assert (watch.alarms, watch.ended) == ([], "closed")


@pytest.mark.parametrize("name", RUNS)
def test_a_healthy_run_raises_no_alarm(name: str) -> None:
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(0)
        watch = RUNS[name]({"sampling": every_step()})
    assert (watch.alarms, watch.ended) == ([], "closed")


@pytest.mark.parametrize(("name", "loop"), list(zip(recipes(), LOOPS, strict=False)))
@pytest.mark.filterwarnings("ignore")
def test_the_recipe_without_a_bug_raises_no_alarm(name: str, loop: str) -> None:
    recipe = recipes()[name]
    recipe.watch = {"sampling": every_step()}
    watch = LOOPS[loop](recipe)
    assert (watch.alarms, watch.ended) == ([], "closed")


def outsider(run: watch_strangers.Run, seed: int = 0) -> Watch:
    with torch.random.fork_rng(), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.manual_seed(seed)
        return run({"sampling": every_step(), "log": lambda line: None})


@pytest.mark.parametrize("name", watch_strangers.RUNS)
def test_a_loop_of_another_style_raises_no_alarm(name: str) -> None:
    watch = outsider(watch_strangers.RUNS[name])
    assert (watch.alarms, watch.ended) == ([], "closed")


@pytest.mark.parametrize("name", watch_strangers.BUGS)
def test_a_bug_in_a_loop_of_another_style_is_named(name: str) -> None:
    alarms, run = watch_strangers.BUGS[name]
    assert {alarm.name for alarm in outsider(run).alarms} & set(alarms)


def test_every_alarm_has_a_bug_and_the_post_mortem_is_among_them() -> None:
    planted = {bug.alarm for bug in BUGS.values()}
    planted |= {alarm for alarms, _ in watch_strangers.BUGS.values() for alarm in alarms}
    assert planted == kinds().keys()
    assert len(BUGS) >= 35
    assert sum(len(bug.loops) for bug in BUGS.values()) + len(watch_ours.BUGS) >= 60
    assert {bug.number for bug in BUGS.values()} >= {1, 2, 3, 4, 5}
