"""The fixture `golden_curve`: a curve against the stored one, or in its place under `--update`."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest

from ris_pipeline._errors import InputError
from ris_pipeline.report.figures import save_figure
from ris_pipeline.verification.figures import mismatch_figure
from ris_pipeline.verification.golden import (
    CURVE_ATOL,
    CURVE_RTOL,
    ColumnMove,
    Curve,
    Page,
    as_curve,
    column_moves,
    describe_curve,
    describe_mismatch,
    orphans,
    read_curve,
    read_page,
    structure_faults,
    version_notes,
    write_curve,
)


@dataclass(frozen=True)
class GoldenCurves:
    """The stored curves of a folder.

    update: whether what moved is stored; said: what was stored, and why.
    """

    folder: Path
    update: bool = False
    said: list[str] = field(default_factory=list)

    def __call__(
        self,
        name: str,
        curve: Mapping[str, Any],
        settings: Any = None,
        *,
        rtol: float = CURVE_RTOL,
        atol: float = CURVE_ATOL,
    ) -> None:
        """Compare a curve with the stored one of that name, or store it under `--update`.

        curve: vectors by column name, the one that matters most first; settings: a mapping, a
        dataclass or a pydantic model: one that differs fails whatever the numbers.

        Raises:
            pytest.fail.Exception: it differs, is not stored, or is stored in a form that cannot be
                read.
        """
        try:
            curve = as_curve(name, curve)
            page = describe_curve(curve, settings)
        except InputError as error:
            pytest.fail(f"{name}: {error}", pytrace=False)
        if not self._is_stored(name):
            self._missing(name, curve, page, f"no such curve is stored in {self.folder}", "new")
            return
        try:
            old, old_page = self._stored(name)
        except InputError as error:
            self._missing(name, curve, page, str(error), f"in the place of what was there: {error}")
            return
        moves = column_moves(curve, old, rtol, atol)
        moved = [move for move in moves if move.first_row is not None]
        lines = structure_faults(page, old_page)
        if moved:
            lines += describe_mismatch(moves, version_notes(page, old_page))
        self._picture(name).unlink(missing_ok=True)
        if not lines:
            return
        if self.update:
            self._store(name, curve, page, lines)
        else:
            self._fail(name, lines, curve, old, moved)

    def stored(self, name: str) -> dict[str, Any]:
        """A stored curve.

        Raises:
            InputError: it cannot be read.
        """
        return read_curve(self.folder / f"{name}.csv")

    def only(self, names: Iterable[str]) -> None:
        """Fail on stored files of no such curve; `--update` removes them."""
        left = orphans(self.folder, names)
        if left and not self.update:
            pytest.fail(f"no run makes {[path.name for path in left]}", pytrace=False)
        for path in left:
            path.unlink()
            self.said.append(f"{path.name}: removed, no run makes it")

    def _is_stored(self, name: str) -> bool:
        return all((self.folder / f"{name}{suffix}").exists() for suffix in (".csv", ".json"))

    def _stored(self, name: str) -> tuple[dict[str, Any], Page]:
        old, page = self.stored(name), read_page(self.folder / f"{name}.json")
        if torn := sorted(old.keys() ^ page.columns.keys()):
            raise InputError(f"the CSV and its page differ in the columns {torn}")
        return old, page

    def _missing(self, name: str, curve: Curve, page: Page, fault: str, reason: str) -> None:
        if not self.update:
            pytest.fail(f"{name}: {fault}; --update stores it", pytrace=False)
        self._store(name, curve, page, [reason])

    def _store(self, name: str, curve: Curve, page: Page, lines: Iterable[str]) -> None:
        written = write_curve(self.folder, name, curve, page)
        self.said.extend(f"{name}: {line}" for line in lines)
        self.said.append(f"{name}: written are {', '.join(map(str, written))}")

    def _fail(
        self, name: str, lines: list[str], curve: Curve, old: Curve, moved: list[ColumnMove]
    ) -> None:
        message = [f"{name}: {line}" for line in lines]
        if moved:
            picture = self._picture(name)
            picture.parent.mkdir(exist_ok=True)
            save_figure(mismatch_figure(name, curve, old, moved), picture)
            message.append(f"{name}: both curves are drawn in {picture}")
        pytest.fail("\n".join(message), pytrace=False)

    def _picture(self, name: str) -> Path:
        return self.folder.parent / "mismatches" / f"{name}.png"
