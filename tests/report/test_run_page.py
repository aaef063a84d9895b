"""The page of a run: what stands on it, and what is refused."""

import json
import re
import shutil
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from rich.console import Console

from ris_pipeline import load_settings
from ris_pipeline._errors import InputError
from ris_pipeline._files import parse_json
from ris_pipeline.commands import report as command
from ris_pipeline.commands.look import _scatters, _with_new_noise
from ris_pipeline.commands.report import run_report
from ris_pipeline.localization import cramer_rao_bound
from ris_pipeline.report.run_page.curves import line_picture, training_pictures
from ris_pipeline.report.run_page.record import read_curve, read_record, read_records
from ris_pipeline.report.run_page.scene import Profile, profile_picture
from ris_pipeline.report.run_page.vector import page_style, with_own_names
from ris_pipeline.scene import SceneSet, Split

VOID = {"meta", "link", "br", "hr", "img", "input"}


class Strict(HTMLParser):
    """Raises where an element is not closed, or closed by another; collects what is asked about."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.figures: list[dict[str, str]] = []
        self.headings: list[str] = []
        self.text = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        names = [name for name, _ in attrs]
        assert len(set(names)) == len(names), f"<{tag}> has an attribute twice"
        given = {name: value or "" for name, value in attrs}
        if "id" in given:
            self.ids.append(given["id"])
        self.references += [given[n] for n in ("href", "src", "xlink:href") if n in given]
        self.references += re.findall(r"url\(([^)]*)\)", " ".join(given.values()))
        if tag == "figure":
            self.figures.append({})
        if tag == "svg":
            self.figures[-1]["viewbox"] = given["viewbox"]
            self.figures[-1]["label"] = given["aria-label"]
            assert given["role"] == "img"
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in VOID:
            self.open.pop()

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag, f"</{tag}> closes another"

    def handle_data(self, data: str) -> None:
        self.text += data
        if self.open[-1:] == ["figcaption"]:
            self.figures[-1]["caption"] = self.figures[-1].get("caption", "") + data
        if self.open[-1:] == ["h2"]:
            self.headings.append(data)
        if self.open[-2:] == ["svg", "title"]:
            self.figures[-1]["title"] = data


def parsed(path: Path) -> Strict:
    parser = Strict()
    parser.feed(path.read_text(encoding="utf-8"))
    parser.close()
    assert not parser.open, f"not closed: {parser.open}"
    return parser


@pytest.fixture(scope="module")
def strict(page: Path) -> Strict:
    return parsed(page)


def test_every_figure_has_a_size_a_name_and_a_caption(strict: Strict) -> None:
    assert len(strict.figures) > 25
    for figure in strict.figures:
        _, _, width, height = map(float, figure["viewbox"].split())
        assert width > 100
        assert height > 100
        assert figure["label"] == figure["title"]
        assert len(figure["caption"].strip()) > 10


def test_the_page_needs_nothing_but_itself(strict: Strict, page: Path) -> None:
    inside = {f"#{name}" for name in strict.ids}
    outside = [
        r
        for r in strict.references
        if r not in inside and not r.startswith(("data:image/", "data:,"))
    ]
    assert not outside
    text = page.read_text(encoding="utf-8")
    assert not re.search(r"https?://|@import|<script|<iframe|<object|<embed", text)
    assert len(set(strict.ids)) == len(strict.ids)


def test_the_page_says_what_was_asked_for(strict: Strict) -> None:
    for heading in (
        "Overview",
        "Training",
        "Loss terms",
        "Alarms and checklist",
        "A scene of one",
        "A scene of snr",
        "Accuracy of snr over SNR (dB)",
        "The post-mortem, before and after",
        "Settings and versions",
    ):
        assert heading in strict.headings
    named = [figure["title"] for figure in strict.figures]
    for title in (
        "Loss",
        "Gradient norms",
        "Learning rates",
        "Term eigengap",
        "Eigenvalue profile",
    ):
        assert title in named
    for title in ("RMSE of the azimuth", "Normalized error", "Bug 1, alone", "Bug 5"):
        assert title in named
    assert sum(title.startswith("Errors of the source") for title in named) == 6
    assert sum(title.startswith("MVDR spectrum of the learned") for title in named) == 2
    assert "Not in snr: no training" in strict.text
    assert "<two> & sons" in strict.text


def test_colours_are_the_pages_and_none_is_matplotlibs(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "var(--series-1)" in text
    assert "prefers-color-scheme: dark" in text
    assert not re.search(r"#0101|#0102", text)
    drawn = "".join(re.findall(r"<svg.*?</svg>", text, re.S))
    of_spectra = {"#ffffff", "#000000", "#d55e00"}
    assert {colour.lower() for colour in re.findall(r"#[0-9a-fA-F]{6}\b", drawn)} <= of_spectra


def test_the_values_drawn_are_those_of_the_run(runs: Path) -> None:
    record = read_record(runs / "one", "one")
    lines = (runs / "one" / "metrics.jsonl").read_text().splitlines()
    assert record.curve["train"].tolist() == [json.loads(line)["train"] for line in lines]
    assert record.versions["ris_pipeline"]
    assert record.settings["scenario.panel"] == [4, 4]
    snr = read_record(runs / "snr", "snr").accuracy["SNR (dB)"]
    assert [curve.value for curve in snr] == [["10", "20"]]


def test_a_table_in_an_earlier_spelling_is_read(runs: Path, tmp_path: Path) -> None:
    old = shutil.copytree(runs / "snr", tmp_path / "snr")
    table = old / "snr.csv"
    assert "_normalized" in table.read_text()
    table.write_text(table.read_text().replace("_normalized", "_normalised"))
    now, then = (read_record(f, "snr").accuracy["SNR (dB)"][0] for f in (runs / "snr", old))
    assert now.normalized["azimuth"].tolist() == then.normalized["azimuth"].tolist()


def test_what_is_missing_is_named_and_the_rest_is_drawn(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "bare"
    folder.mkdir()
    shutil.copy(runs / "one" / "watch.jsonl", folder)
    out = tmp_path / "page.html"
    run_report(Console(quiet=True), [folder], out, draws=0)
    strict = parsed(out)
    for what in ("metrics.jsonl", "checkpoint.json", "model.safetensors"):
        assert f"Not in bare: {what}" in strict.text
    assert "Not drawn: neither a model nor a scenario is there." in strict.text
    assert [f["title"] for f in strict.figures][:2] == ["Loss", "Gradient norms"]


def test_outside_a_clone_the_post_mortem_is_named(
    runs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(command, "CURVES", tmp_path / "none")
    section = command._post_mortem()
    assert not section.pictures
    assert "come with a clone" in section.notes[0]


def test_a_stored_curve_is_read_without_its_row_numbers() -> None:
    assert list(read_curve(command.CURVES / "log_lines.csv")) == [
        "debug",
        "optimiser",
        "gradient",
        "step",
        "epoch",
    ]


def test_an_alarm_is_listed_and_marked(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "run"
    shutil.copytree(runs / "one", folder)
    alarm = {"kind": "alarm", "name": "term-dead", "epoch": 1, "step": 2, "seen": "a < b"}
    with (folder / "watch.jsonl").open("a") as file:
        file.write(json.dumps({**alarm, "family": "terms", "cause": "c", "remedy": "r"}) + "\n")
    record = read_record(folder, "run")
    assert [a["seen"] for a in record.alarms] == ["a < b"]
    section = command._alarms([record])
    assert section.tables[0].rows == [("run", "term-dead", "1", "2", "a < b", "c", "r")]
    with page_style():
        assert "triangle" in training_pictures([record])[0].caption


def test_runs_of_one_name_are_told_apart(runs: Path, tmp_path: Path) -> None:
    other = tmp_path / "one"
    shutil.copytree(runs / "one", other)
    names = [record.name for record in read_records([runs / "one", other])]
    assert names == [str(runs / "one"), str(other)]


def test_not_a_number_in_a_curve_is_a_gap(tmp_path: Path) -> None:
    values = np.array([1.0, np.nan, 0.5])
    with page_style():
        drawn = line_picture("a", "b", [("x", 0, "-", values)], ("epoch", "y"), log=True)
        empty = line_picture("a", "b", [("x", 0, "-", values * np.nan)], ("epoch", "y"), log=True)
    assert "nan" not in drawn.svg.lower()
    assert "no finite value" in empty.svg


def test_a_name_is_no_formula_and_is_never_left_out() -> None:
    with page_style():
        lines = [("_a$b$ <c>", 0, "-", np.ones(2))]
        drawn = line_picture("_a", "b", lines, ("epoch", "y"), log=True)
    assert "_a$b$ &lt;c&gt;</text>" in drawn.svg


def test_a_panel_of_fewer_elements_than_sources_has_no_gap() -> None:
    with page_style():
        drawn = profile_picture([Profile("true", np.array([3.0, 1.0]))], 2)
    assert "shaded: none." in drawn.caption


def test_names_inside_a_picture_become_its_own() -> None:
    svg = '<g id="a" clip-path="url(#b)"><use href="#a"/></g>'
    assert with_own_names(svg, "k") == '<g id="k-a" clip-path="url(#k-b)"><use href="#k-a"/></g>'


def test_the_ellipse_is_that_of_the_bound() -> None:
    scenario = load_settings("golden").scenario.replace(snr_db=(20.0, 20.0), sources=(2, 2))
    scene = SceneSet(scenario, 3, 1, Split.TEST).scenes(0, 1)
    bound = cramer_rao_bound(scene)[0]
    for k, scatter in enumerate(_scatters(scene, 4, 0)):
        expected = bound[k, :2].sqrt().rad2deg().square()
        # Two routes to the inverse of one matrix whose condition is far below 1 / eps.
        np.testing.assert_allclose(np.diag(scatter.bound), expected.numpy(), rtol=1e-6)


def test_new_noise_has_the_variance_of_the_scene() -> None:
    scenario = load_settings("golden").scenario
    scene = SceneSet(scenario, 3, 1, Split.TEST).scenes(0, 1)
    many = _with_new_noise(scene, 4000, 0)
    spread = many.snapshots.to(torch.complex128).var(0, correction=1).mean()
    # 4000 draws of 24 numbers: a standard deviation of the mean of 0.3 %, five of them allowed.
    assert float(spread / scene.noise_variance[0]) == pytest.approx(1, abs=0.016)


@pytest.mark.parametrize(
    ("arrange", "message"),
    [
        (lambda f: f / "none", "no such folder"),
        (lambda f: f, "holds none of metrics.jsonl, watch.jsonl, plan.json"),
        (lambda f: _file(f, "plan.json", "{"), "cannot be read"),
        (lambda f: _file(f, "plan.json", "[]"), "holds no JSON object"),
        (lambda f: _file(f, "plan.json", "{}"), "not the plan of an evaluation"),
        (lambda f: _file(f, "metrics.jsonl", "{}\n"), "holds no metrics of a run"),
    ],
)
def test_bad_input_is_one_line_and_nothing_is_written(
    arrange, message: str, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    folder.mkdir()
    out = tmp_path / "page.html"
    with pytest.raises(InputError, match=message) as refused:
        run_report(Console(quiet=True), [arrange(folder)], out, draws=0)
    assert "\n" not in str(refused.value)
    assert not out.exists()


DAMAGE: list[tuple[str, str, dict[str, Any]]] = [
    ("snr", "plan.json", {"seed": "x"}),
    ("snr", "plan.json", {"seed": None}),
    ("snr", "plan.json", {"seed": True}),
    ("snr", "plan.json", {"items": {"snr": [{}]}}),
    ("snr", "plan.json", {"items": {"snr": [{"scenario": {}}]}}),
    ("snr", "plan.json", {"items": {"snr": [{"scenario": 3, "second": ""}]}}),
    ("snr", "plan.json", {"items": 3}),
    ("one", "checkpoint.json", {"settings": None}),
    ("one", "checkpoint.json", {"settings": [1]}),
    ("one", "summary.json", {"accuracy": [1]}),
    ("one", "summary.json", {"accuracy": {"a": None}}),
    ("one", "summary.json", {"learning": [1]}),
    ("one", "summary.json", {"learning": {"scenes": 3}}),
    ("one", "summary.json", {"learning": {"scenes": 3, "nmse": {"a": "b"}, "found": {}}}),
]
ACCURACY = {"snr_db": 0.0, "detected": 1.0} | {
    key: [1.0, 1.0, 1.0] for key in ("rmse", "bound", "normalized")
}


@pytest.mark.parametrize(("run", "name", "change"), DAMAGE)
def test_a_page_of_a_run_that_is_damaged(
    run: str, name: str, change: dict[str, Any], runs: Path, tmp_path: Path
) -> None:
    shutil.copytree(runs / run, tmp_path / run)
    path = tmp_path / run / name
    page = parse_json(path.read_text()) if path.exists() else {"accuracy": {"0": ACCURACY}}
    path.write_text(json.dumps({**page, **change}))
    with pytest.raises(InputError):
        run_report(Console(quiet=True), [tmp_path / run], tmp_path / "page.html", draws=0)
    assert not (tmp_path / "page.html").exists()


def test_a_table_whose_rows_are_cut(runs: Path, tmp_path: Path) -> None:
    shutil.copytree(runs / "snr", tmp_path / "snr")
    table = (runs / "snr" / "snr.csv").read_text()
    head = table.index("\n") + 1
    ends = [head + 1, (head + len(table)) // 2, table.rindex(",")]
    for end in ends:
        (tmp_path / "snr" / "snr.csv").write_text(table[:end])
        with pytest.raises(InputError, match="is not a table of an evaluation"):
            read_records([tmp_path / "snr"])


def test_links_in_a_circle_and_names_beyond_any(tmp_path: Path) -> None:
    (tmp_path / "a").symlink_to("b")
    (tmp_path / "b").symlink_to("a")
    for folder in (tmp_path / "a", tmp_path / ("x" * 300), tmp_path / "a" / "x"):
        with pytest.raises(InputError, match="no such folder"):
            read_records([folder])


def _file(folder: Path, name: str, text: str) -> Path:
    (folder / name).write_text(text)
    return folder


def test_a_run_given_twice_is_refused(runs: Path) -> None:
    with pytest.raises(InputError, match="given twice"):
        read_records([runs / "one", runs / "snr" / ".." / "one"])


def test_a_page_in_the_place_of_a_folder_is_refused(runs: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="allowed are files named"):
        run_report(Console(quiet=True), [runs / "one"], tmp_path, draws=0)
    with pytest.raises(InputError, match="in a folder that exists"):
        run_report(Console(quiet=True), [runs / "one"], tmp_path / "none" / "page.html", draws=0)


@pytest.mark.parametrize("bad", ["<p>", "<p></div>", '<p id="a" id="b"></p>'])
def test_the_strict_parser_refuses(bad: str, tmp_path: Path) -> None:
    path = tmp_path / "bad.html"
    path.write_text(bad)
    with pytest.raises(AssertionError):
        parsed(path)
