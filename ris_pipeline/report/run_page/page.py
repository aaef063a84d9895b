"""The page: sections of pictures, tables and notes, filled into one template."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files

from jinja2 import Environment, StrictUndefined
from markupsafe import Markup

from ris_pipeline._version import __version__
from ris_pipeline.report.run_page.vector import Picture, with_own_names


@dataclass(frozen=True)
class PageTable:
    """Rows of text under a header; folded: shown when asked for."""

    caption: str
    header: Sequence[str]
    rows: Sequence[Sequence[str]]
    folded: bool = False


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it; notes name what is missing; small: many alike."""

    title: str
    pictures: Sequence[Picture] = ()
    tables: Sequence[PageTable] = ()
    notes: Sequence[str] = ()
    small: bool = False
    lead: str = ""


def render(title: str, sections: Sequence[Section]) -> str:
    """The HTML of the whole page, which refers to nothing outside of itself."""
    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    source = files(__package__).joinpath("page.html").read_text(encoding="utf-8")
    shown = [
        {
            "key": f"section-{place}",
            "section": section,
            "pictures": [
                (Markup(with_own_names(picture.svg, f"p{place}-{order}")), picture)
                for order, picture in enumerate(section.pictures)
            ],
        }
        for place, section in enumerate(sections)
    ]
    return environment.from_string(source).render(title=title, shown=shown, version=__version__)
