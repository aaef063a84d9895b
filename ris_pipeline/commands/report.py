"""`ris-pipeline report`: one page of one run, or of several side by side."""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from pydantic import ValidationError
from rich.console import Console
from rich.text import Text

from ris_pipeline._errors import InputError, printable
from ris_pipeline._files import check_output, is_file, is_folder, write_text
from ris_pipeline._validation import check_range
from ris_pipeline.commands.look import Look, look_at
from ris_pipeline.config import Scenario
from ris_pipeline.learning import Verdict, load_model
from ris_pipeline.report.run_page.curves import (
    POST_MORTEM_CURVES,
    post_mortem_pictures,
    term_pictures,
    training_pictures,
)
from ris_pipeline.report.run_page.page import PageTable, Section, render
from ris_pipeline.report.run_page.record import RunRecord, read_curve, read_records
from ris_pipeline.report.run_page.scene import (
    accuracy_pictures,
    profile_picture,
    scatter_picture,
    spectrum_picture,
)
from ris_pipeline.report.run_page.vector import page_style

CURVES = Path(__file__).parents[2] / "golden" / "curves"
"""What the post-mortem's before and after are drawn from; comes with a clone."""

_ALARM = {
    "alarm": "name",
    "epoch": "epoch",
    "step": "step",
    "what was seen": "seen",
    "likely cause": "cause",
    "try first": "remedy",
}
"""Columns of the alarms, and where a journal has them."""

_VERDICTS = {"ok": "yes", "wrong": "NO", "unknown": "cannot be told"}


def run_report(console: Console, folders: Sequence[Path], out: Path, draws: int) -> None:
    """Write the page of the runs.

    Args:
        draws: of the noise, over which the errors of a scene scatter; 0: none.

    Raises:
        InputError: a folder that holds no run, or a page that cannot be written.
    """
    check_range("draws", draws, 0, 10**5)
    check_output("--out", out, (".html", ".htm"))
    if not is_folder(out.absolute().parent):
        raise InputError(f"--out {str(out)!r}: allowed is a file in a folder that exists")
    records = read_records(folders)
    with page_style():
        sections = [
            _overview(records),
            _training(records),
            _terms(records),
            _alarms(records),
            *(section for record in records for section in _scene(console, record, draws)),
            *(section for record in records for section in _accuracy(record)),
            _post_mortem(),
            _settings(records),
        ]
    text = render(_title(records), sections)
    write_text(out, text)
    pictures = sum(len(section.pictures) for section in sections)
    size = len(text.encode()) / 1e6
    console.print(
        f"{printable(out)}: {len(records)} run{'s' * (len(records) > 1)}, {pictures} figures, "
        f"{size:.1f} MB",
        markup=False,
        highlight=False,
        soft_wrap=True,
    )


def _title(records: Sequence[RunRecord]) -> str:
    runs = "Run" if len(records) == 1 else "Runs"
    return f"{runs} {', '.join(record.name for record in records)}"


def _overview(records: Sequence[RunRecord]) -> Section:
    header = ("run", "epochs", "train, first to last", "validation, first to last", "alarms")
    rows = [
        (
            record.name,
            str(record.epochs) if record.epochs else "no training",
            _ends(record, "train"),
            _ends(record, "validation"),
            str(len(record.alarms)) if record.epochs else "",
        )
        for record in records
    ]
    notes = [f"Not in {record.name}: {what}." for record in records for what in record.missing]
    return Section("Overview", tables=[PageTable("Runs", header, rows)], notes=notes)


def _ends(record: RunRecord, column: str) -> str:
    values = record.curve.get(column)
    return "" if values is None else f"{values[0]:.4g} to {values[-1]:.4g}"


def _trained(records: Sequence[RunRecord]) -> list[RunRecord]:
    return [record for record in records if record.epochs]


def _training(records: Sequence[RunRecord]) -> Section:
    trained = _trained(records)
    notes = [] if trained else ["None of these runs holds a training."]
    return Section("Training", training_pictures(trained), notes=notes)


def _terms(records: Sequence[RunRecord]) -> Section:
    pictures = term_pictures(_trained(records))
    notes = [] if pictures else ["None of these runs holds the terms of a loss."]
    names = ", ".join(f"{r.name}" for r in _trained(records))
    lead = f"The colours are those of the losses: {names}." if len(_trained(records)) > 1 else ""
    return Section("Loss terms", pictures, notes=notes, small=True, lead=lead)


def _alarms(records: Sequence[RunRecord]) -> Section:
    rows = [
        (record.name, *(_cell(alarm.get(key)) for key in _ALARM.values()))
        for record in records
        for alarm in record.alarms
    ]
    names = list(dict.fromkeys(check.name for record in records for check in record.checks))
    of_run = [{check.name: check for check in record.checks} for record in _trained(records)]
    checks = [[name, *(_said(checks.get(name)) for checks in of_run)] for name in names]
    tables = []
    if rows:
        tables.append(PageTable("Alarms", ("run", *_ALARM), rows))
    if checks:
        header = ("a healthy run", *(record.name for record in _trained(records)))
        tables.append(PageTable("Checklist", header, checks))
    notes = [] if rows else ["No alarm was raised."] if checks else ["No run was watched."]
    return Section("Alarms and checklist", tables=tables, notes=notes)


def _said(check: Any) -> str:
    if check is None:
        return "not written down"
    said = f": {check.said}" if check.said else ""
    return f"{_VERDICTS[check.verdict]}{said}"


def _scene(console: Console, record: RunRecord, draws: int) -> list[Section]:
    title = f"A scene of {record.name}"
    if record.model is None and record.scenario is None:
        return [Section(title, notes=["Not drawn: neither a model nor a scenario is there."])]
    said = Text(f"locating the sources of {draws} draws of one scene of {record.name}")
    try:
        with console.status(said):
            look = _looked_at(record, draws)
    except InputError as error:
        return [Section(title, notes=[f"Not drawn: {error}."])]
    return [_look(title, look, draws)]


def _looked_at(record: RunRecord, draws: int) -> Look:
    if record.model is not None:
        model = load_model(record.model)
        return look_at(model.settings.scenario, model.settings.seed, draws, model)
    try:
        scenario = Scenario.model_validate(record.scenario)
    except ValidationError:
        raise InputError("the scenario of its plan is none of this version") from None
    return look_at(scenario, int(record.settings["seed"]), draws, None)


def _look(title: str, look: Look, draws: int) -> Section:
    pictures = [
        *map(spectrum_picture, look.views),
        profile_picture(look.profiles, look.order),
        *(scatter_picture(scatter, place) for place, scatter in enumerate(look.scatters)),
    ]
    lead = (
        f"The first unseen scene with the most sources ({look.order}) at the middle of the SNR "
        f"({look.snr_db:g} dB), simulated for this page.{_judged(look.verdict)}"
    )
    notes = [] if draws else ["No error ellipses: no draws of the noise were asked for."]
    return Section(title, pictures, notes=notes, lead=lead)


def _judged(verdict: Verdict | None) -> str:
    if verdict is None:
        return ""
    if verdict == Verdict.USED:
        return " The network's prediction is used."
    why = verdict.name.lower().replace("_", " ")
    return f" The network's prediction is {why}, so the scene is left to least squares."


def _accuracy(record: RunRecord) -> list[Section]:
    return [
        Section(
            f"Accuracy of {record.name} over {table}",
            accuracy_pictures(table, curves),
            _learning(record),
        )
        for table, curves in record.accuracy.items()
        if curves
    ]


def _learning(record: RunRecord) -> list[PageTable]:
    """A demonstration's: what is the network's, and what the estimator's alone."""
    learning = record.summary.get("learning")
    if not learning:
        return []
    try:
        unseen = f"{learning['scenes']} unseen scenes of its own panel"
        rows = [
            (f"{what}, {name.replace('_', ' ')}", f"{value:.3g}")
            for key, what in (("nmse", "NMSE of R"), ("found", "sources found"))
            for name, value in learning[key].items()
        ]
    except (AttributeError, KeyError, IndexError, TypeError, ValueError):
        raise InputError("summary.json holds a learning that is none of a demo") from None
    caption = f"With the network and without, {unseen}"
    return [PageTable(caption, ("what", "measured"), rows)]


def _post_mortem() -> Section:
    title = "The post-mortem, before and after"
    missing = [name for name in POST_MORTEM_CURVES if not is_file(CURVES / f"{name}.csv")]
    if missing:
        note = "Not drawn: the stored curves come with a clone, not with the package."
        return Section(title, notes=[note])
    curves = {name: read_curve(CURVES / f"{name}.csv") for name in POST_MORTEM_CURVES}
    lead = (
        "What each bug of the run that never learned does to a small run, from the golden curves: "
        "what to compare these runs with."
    )
    return Section(title, post_mortem_pictures(curves), lead=lead)


def _settings(records: Sequence[RunRecord]) -> Section:
    names = [record.name for record in records]
    every = [{**{f"version {k}": v for k, v in r.versions.items()}, **r.settings} for r in records]
    keys = list(dict.fromkeys(key for settings in every for key in settings))
    rows = [[key, *(_cell(settings.get(key)) for settings in every)] for key in keys]
    differing = [row for row in rows if len(set(row[1:])) > 1]
    header = ("setting", *names)
    versions = [row for row in rows if row[0].startswith("version ")]
    tables = [PageTable("Versions", header, versions)] if versions else []
    if len(records) > 1 and differing:
        tables.append(PageTable("What differs", header, differing))
    if rows:
        tables.append(PageTable("All settings", header, rows, folded=True))
    notes = [] if rows else ["No run says what its settings were."]
    return Section("Settings and versions", tables=tables, notes=notes)


def _cell(value: Any) -> str:
    if value is None:
        return ""
    if isinstance(value, float):
        return f"{value:.6g}" if math.isfinite(value) else str(value)
    if isinstance(value, list):
        return ", ".join(map(_cell, value))
    return str(value)
