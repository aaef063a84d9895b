"""The watch from outside: its lines, its journal, what it refuses, and with whom it works."""

import json
import math
import re
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from torch.multiprocessing.spawn import spawn
from watch_bugs import BUGS
from watch_loops import every_step, plain
from watch_processes import two_processes
from watch_recipe import Recipe

from ris_pipeline._errors import InputError
from ris_pipeline.watch import Sampling, Watch, kinds, read_journal

NUMBER = r"\d\.\d{2}e[+-]\d{2}"
DOCS = Path(__file__).parents[2] / "docs"


def small(**options: Any) -> tuple[nn.Module, Any, Watch]:
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    return model, optimizer, Watch(model, optimizer, **{"log": lambda line: None, **options})


def test_the_lines_are_those_of_the_post_mortem() -> None:
    lines: list[str] = []
    plain(Recipe(watch={"log": lines.append, "epochs": 2}))
    optimiser = rf"\[OPT\] batch=%d g_back={NUMBER} g_head={NUMBER} LRs=\[{NUMBER}\]"
    expected = [
        r"\[DEBUG\] total loss pre-backward = \d+\.\d{6}",
        optimiser % 1,
        r"\[GRAD\] no-grad count=0 \(sample\)=\[\]",
        optimiser % 2,
        r"\[GRAD\] no-grad count=0 \(sample\)=\[\]",
        optimiser % 3,
        r"\[OPT\] step 12 / batch 12",
        r"Epoch 001/002: train \d+\.\d{3}  val \d+\.\d{3}",
        r"\[OPT\] step 24 / batch 24",
        r"Epoch 002/002: train \d+\.\d{3}  val \d+\.\d{3}",
    ]
    assert len(lines) == len(expected), lines
    for line, pattern in zip(lines, expected, strict=True):
        assert re.fullmatch(pattern, line), (line, pattern)


def test_an_alarm_says_what_was_seen_why_and_what_to_try(tmp_path: Path) -> None:
    recipe = Recipe(watch={"run": tmp_path})
    BUGS["loss_in_the_step_block"].plant(recipe)
    recipe.report = lambda losses, steps: losses[-1]
    watch = plain(recipe)
    (alarm,) = watch.alarms
    assert (alarm.name, alarm.epoch, alarm.step) == ("epoch-loss", 1, 12)
    assert "it is the last batch only" in alarm.seen
    assert alarm.kind.remedy in alarm.line()
    (record,) = [r for r in read_journal(tmp_path / "watch.jsonl") if r["kind"] == "alarm"]
    assert record == {"kind": "alarm", **alarm.record()}


def test_the_journal_is_strict_json_and_survives_a_crash(tmp_path: Path) -> None:
    model, _, watch = small(run=tmp_path)
    loss = model(torch.ones(2, 3)).sum() * math.nan
    with watch.step(loss):
        loss.backward()
    watch.epoch(train=math.inf)
    watch.close()
    path = tmp_path / "watch.jsonl"

    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    for line in path.read_text().splitlines():
        json.loads(line, parse_constant=refuse)
    whole = read_journal(path)
    assert [r["loss"] for r in whole if r["kind"] == "step"] == ["nan"]
    with path.open("a") as file:
        file.write('{"kind": "step", "st')
    assert read_journal(path) == whole
    small(run=tmp_path)
    assert [r["kind"] for r in read_journal(path)][-1] == "start"
    path.write_text('{"kind": "sta\n{"kind": "end"}\n')
    with pytest.raises(InputError, match="line 1 is no record"):
        read_journal(path)


def test_bad_input_is_refused_in_one_line(tmp_path: Path) -> None:
    model = nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    (tmp_path / "file").write_text("")
    for arguments, message in (
        ((optimizer, optimizer), "model is a SGD: allowed is a torch module"),
        ((model, 3), "optimizer is a int"),
        ((model, []), "optimizer is empty"),
        ((model, optimizer, tmp_path / "file" / "run"), "cannot be written"),
    ):
        with pytest.raises(InputError, match=message):
            Watch(*arguments)
    with pytest.raises(InputError, match="ignore = 'nothing'"):
        Watch(model, optimizer, ignore=["nothing"])
    with pytest.raises(InputError, match="share"):
        Sampling(share=2)


def test_an_alarm_can_be_ignored() -> None:
    recipe = Recipe(watch={"ignore": ["order-identical"]})
    BUGS["not_shuffled"].plant(recipe)
    assert plain(recipe).alarms == []


def test_the_budget_is_kept() -> None:
    now = [0.0]
    sampling = Sampling(share=0.1, allowance=1.0, clock=lambda: now[0])
    assert sampling.due()
    with sampling.spending():
        now[0] += 2.0
    assert not sampling.due()
    now[0] += 7.0
    assert not sampling.due()
    now[0] += 1.5
    assert sampling.due()


def test_an_unwatched_step_costs_no_look() -> None:
    recipe = Recipe(watch={"sampling": Sampling(share=0.0, allowance=0.0)})
    watch = plain(recipe)
    assert (watch.alarms, watch.ended) == ([], "closed")


def test_a_compiled_loss_is_told_and_not_compared(tmp_path: Path) -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 1))
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)

    def loss_of(x: torch.Tensor) -> torch.Tensor:
        return model(x).square().mean()

    fast = torch.compile(loss_of, backend="aot_eager")
    watch = Watch(model, optimizer, tmp_path, log=lambda line: None, sampling=every_step())
    for _ in range(6):
        loss = fast(torch.randn(5, 3))
        with watch.step(loss):
            loss.backward()
            optimizer.step()
            optimizer.zero_grad()
    watch.epoch()
    watch.close()
    assert (watch.alarms, watch.ended) == ([], "closed")


def test_the_divisor_of_a_scaled_loss_is_read_from_its_graph() -> None:
    for divided in (True, False):
        model, optimizer, watch = small(sampling=every_step())
        for number in range(24):
            loss = model(torch.randn(4, 3)).square().mean()
            loss = loss / 4 if divided else loss
            with watch.step(loss):
                loss.backward()
                if number % 4 == 3:
                    optimizer.step()
                    optimizer.zero_grad()
        assert [a.name for a in watch.alarms] == ([] if divided else ["accumulation-not-divided"])


@pytest.mark.filterwarnings("ignore")
def test_two_processes(tmp_path: Path) -> None:
    spawn(two_processes, (str(tmp_path),), nprocs=2)
    assert sorted(p.name for p in tmp_path.glob("*.jsonl")) == [
        "watch.jsonl",
        "watch.rank1.jsonl",
    ]


def test_every_alarm_has_a_section_in_the_docs() -> None:
    from ris_pipeline.watch.page import render

    page = (DOCS / "alarms.md").read_text(encoding="utf-8")
    assert page == render()
    assert all(f"## {name}\n" in page for name in kinds())
