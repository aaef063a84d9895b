"""What the site shows beside `docs/`: the repository's files that its pages link to.

Links are those that work in the repository. The site has no repository behind it, so a file outside
`docs/` that a page names becomes a page too, Markdown as it is and anything else as code.
"""

import posixpath
import re
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File, Files

ROOT = Path(__file__).parents[2]
DOCS = "docs"
SHOWN = "repository"
"""Folder of the site for what lies outside `docs/`."""

_LINK = re.compile(r"\]\((?!https?:|#|mailto:)([^)#\s]+)(#[^)]*)?\)")
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


def _targets(text: str, origin: str) -> set[str]:
    """Files outside `docs/` that a page links to."""
    folder = posixpath.dirname(origin)
    found = {posixpath.normpath(posixpath.join(folder, m[1])) for m in _LINK.finditer(text)}
    return {path for path in found if (ROOT / path).exists() and not path.startswith(f"{DOCS}/")}


def _shown(path: str) -> str:
    """The page of a file, or of what a folder holds."""
    file = ROOT / path
    if path.endswith(".md"):
        return file.read_text(encoding="utf-8")
    if file.is_dir():
        names = sorted(p.name for p in file.iterdir() if p.is_file() and p.suffix in _LANGUAGES)
        return "\n".join([f"# {path}", "", *(f"- [{name}]({path}/{name})" for name in names), ""])
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
            files.append(File.generated(config, place, content=texts[place]))
    return files


def on_page_markdown(markdown: str, page: Any, config: Any, files: Files) -> str:
    """Links of the repository become links of the site."""
    uri = page.file.src_uri
    origin, here = _origin(uri), posixpath.dirname(uri)
    base = ROOT / origin
    folder = "" if base.is_dir() else posixpath.dirname(origin)

    def moved(match: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, match[1]))
        if not (ROOT / path).exists():
            return match[0]
        return f"]({posixpath.relpath(_place(path), here or '.')}{match[2] or ''})"

    return _LINK.sub(moved, markdown)
