"""Writes `docs/alarms.md` from the catalogue: `python -m ris_pipeline.watch.page`."""

from itertools import groupby
from pathlib import Path

from ris_pipeline.watch.alarms import kinds

PAGE = Path(__file__).parents[2] / "docs" / "alarms.md"

_HEAD = """\
# The alarms of the watch

Made from `ris_pipeline/watch/alarms.toml` by `python -m ris_pipeline.watch.page`. "In a row" means
five times; a *look* is a step that is looked at closely. How to add the watch to a loop:
[watch.md](watch.md).
"""


def render() -> str:
    """The page."""
    parts = [_HEAD]
    for family, entries in groupby(kinds().values(), key=lambda kind: kind.family):
        parts.append(f"# {family.capitalize()}\n")
        for kind in entries:
            cause = kind.cause[:1].upper() + kind.cause[1:]
            remedy = kind.remedy[:1].upper() + kind.remedy[1:]
            after = f" Not after {', '.join(kind.after)}." if kind.after else ""
            parts.append(
                f"## {kind.name}\n\n{kind.why}\n\n- **When.** {kind.rule}{after}\n"
                f"- **Likely cause.** {cause}\n- **Try first.** {remedy}\n"
            )
    return "\n".join(parts)


if __name__ == "__main__":
    PAGE.write_text(render(), encoding="utf-8")
