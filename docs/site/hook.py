"""What the site shows beside `docs/`: the repository's files that its pages link to.

Links are those that work in the repository. The site has no repository behind it, so a file outside
`docs/` that a page names becomes a page too, Markdown as it is and anything else as code. A page
that would load something from elsewhere is refused: the site is read without a network.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files, InclusionLevel

ROOT = Path(__file__).parents[2]
DOCS = "docs"
SHOWN = "repository"
"""Folder of the site for what lies outside `docs/`."""

_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)]*)?\)")
_LOADED = re.compile(
    r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"((?:https?:)?//[^\"]+)"
)
_LANGUAGES = {".py": "python", ".toml": "toml", ".yaml": "yaml", ".yml": "yaml", ".ini": "ini"}


def _place(path: str) -> str:
    """Where the site has a file of the repository."""
    if path.startswith(f"{DOCS}/"):
        return path.removeprefix(f"{DOCS}/")
    return f"{SHOWN}/{path}" if path.endswith(".md") else f"{SHOWN}/{path}.md"


def _origin(uri: str) -> str:
    """The file of the repository that a page of the site is made of."""
    if not uri.startswith(f"{SHOWN}/"):
        return f"{DOCS}/{uri}"
    path = uri.removeprefix(f"{SHOWN}/")
    return path if (ROOT / path).exists() else path.removesuffix(".md")


def _meant(link: str, origin: str) -> str:
    """The file of the repository that a link on a page means."""
    folder = origin if (ROOT / origin).is_dir() else posixpath.dirname(origin)
    return posixpath.normpath(posixpath.join(folder, link))


def _targets(text: str, origin: str) -> set[str]:
    """Files outside `docs/` that a page links to."""
    found = {_meant(m[1], origin) for m in _LINK.finditer(text)}
    return {path for path in found if (ROOT / path).exists() and not path.startswith(f"{DOCS}/")}


def _shown(path: str) -> str:
    """The page of a file, or of what a folder holds."""
    file = ROOT / path
    if path.endswith(".md"):
        return file.read_text(encoding="utf-8")
    if file.is_dir():
        shown = (p for p in file.iterdir() if p.suffix in _LANGUAGES or p.is_dir())
        names = sorted(p.name for p in shown if p.name != "__pycache__")
        return "\n".join([f"# {path}", "", *(f"- [`{name}`]({name})" for name in names), ""])
    language = _LANGUAGES.get(file.suffix, "text")
    body = file.read_text(encoding="utf-8")
    return f"# {path}\n\n````{language}\n{body}\n````\n"


def on_files(files: Files, config: Any) -> Files:
    """Add the linked files, and those that they link to."""
    waiting = [f.src_uri for f in files if f.src_uri.endswith(".md")]
    texts = {uri: (ROOT / DOCS / uri).read_text(encoding="utf-8") for uri in waiting}
    while waiting:
        uri = waiting.pop()
        for path in sorted(_targets(texts[uri], _origin(uri))):
            place = _place(path)
            if place in texts:
                continue
            texts[place] = _shown(path)
            if path.endswith(".md") or (ROOT / path).is_dir():
                waiting.append(place)
            files.append(
                File.generated(
                    config, place, content=texts[place], inclusion=InclusionLevel.NOT_IN_NAV
                )
            )
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links of the repository become links of the site."""
    uri = page.file.src_uri
    origin, here = _origin(uri), posixpath.dirname(uri)

    def moved(match: re.Match[str]) -> str:
        path = _meant(match[1], origin)
        if not (ROOT / path).exists():
            return match[0]
        return f"]({posixpath.relpath(_place(path), here or '.')}{match[2] or ''})"

    return _LINK.sub(moved, markdown)


def on_post_page(output: str, page: Any, config: Any) -> str:
    """Refuse a page that loads from elsewhere."""
    loaded = [
        m[1] for m in _LOADED.finditer(output) if not m[0].startswith('<link rel="canonical"')
    ]
    if loaded:
        raise PluginError(
            f"{page.file.src_uri} loads {loaded[0]}: allowed is what lies in the site"
        )
    return output
