"""All pairs of a bug and a loop, and all healthy runs: prints what is not as it should be.

python tests/watch/measure.py pairs [BUG ...]
python tests/watch/measure.py healthy [SEEDS]
python tests/watch/measure.py outsiders [SEEDS]
python tests/watch/measure.py ours
"""

import sys
import warnings

import torch
import watch_ours
import watch_strangers
from watch_bugs import BUGS
from watch_healthy import RUNS, recipes
from watch_loops import LOOPS, every_step
from watch_recipe import Recipe

from ris_pipeline.watch import Watch


def run_pair(name: str, loop: str, **watched: object) -> list[str]:
    """The alarms of a bug in a loop."""
    recipe = Recipe()
    BUGS[name].plant(recipe)
    recipe.watch = {**recipe.watch, **watched}
    watch = LOOPS[loop](recipe)
    assert watch.ended == "closed", watch.ended
    return [alarm.name for alarm in watch.alarms]


def pairs(names: list[str]) -> None:
    every = [(n, loop) for n, bug in BUGS.items() for loop in bug.loops if not names or n in names]
    named = 0
    for name, loop in every:
        alarms = run_pair(name, loop)
        named += BUGS[name].alarm in alarms
        if alarms != [BUGS[name].alarm]:
            verdict = "also" if BUGS[name].alarm in alarms else "MISSED"
            say(f"{verdict} {name} {loop}: {BUGS[name].alarm} in {alarms}")
    say(f"{named} of {len(every)} pairs named, {len({n for n, _ in every})} bugs")


def judge(name: str, watch: Watch) -> int:
    wrong = bool(watch.alarms) or watch.ended != "closed"
    if wrong:
        say(f"{name}: {watch.ended} {[alarm.line() for alarm in watch.alarms]}")
    return int(wrong)


def healthy(seeds: int) -> None:
    wrong = count = 0
    for seed in range(seeds):
        for name, run in RUNS.items():
            torch.manual_seed(seed)
            wrong += judge(name, run({"sampling": every_step()} if seed % 2 else {}))
            count += 1
    for name, recipe in recipes().items():
        for loop in LOOPS:
            wrong += judge(f"{name} {loop}", LOOPS[loop](recipe.changed()))
            count += 1
    say(f"{count} healthy runs, {wrong} with an alarm")


def outsiders(seeds: int) -> None:
    """Loops of other styles, at the default sampling and at every step."""
    wrong = named = 0
    every = [{}, {"sampling": every_step()}]
    for seed in range(seeds):
        for given in every:
            options = {"log": lambda line: None, **given}
            for name, run in watch_strangers.RUNS.items():
                torch.manual_seed(seed)
                wrong += judge(name, run(options))
            for name, (alarms, run) in watch_strangers.BUGS.items():
                torch.manual_seed(seed)
                found = {alarm.name for alarm in run(options).alarms}
                named += bool(found & set(alarms))
                if not found & set(alarms):
                    say(f"MISSED {name}: {alarms} in {found}")
    count = seeds * len(every)
    say(f"{count * len(watch_strangers.RUNS)} healthy runs, {wrong} with an alarm")
    say(f"{named} of {count * len(watch_strangers.BUGS)} runs with a bug named")


def ours() -> None:
    """The bugs in our own trainer."""
    named = 0
    for name, (alarm, _, _) in watch_ours.BUGS.items():
        found = [one.name for one in watch_ours.run(name).alarms]
        named += alarm in found
        if found != [alarm]:
            say(f"{'also' if alarm in found else 'MISSED'} {name}: {alarm} in {found}")
    say(f"{named} of {len(watch_ours.BUGS)} bugs of our trainer named")


def say(line: str) -> None:
    sys.stdout.write(line + "\n")
    sys.stdout.flush()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    kind, rest = sys.argv[1], sys.argv[2:]
    if kind == "pairs":
        pairs(rest)
    elif kind == "ours":
        ours()
    else:
        {"healthy": healthy, "outsiders": outsiders}[kind](int(rest[0]) if rest else 1)
