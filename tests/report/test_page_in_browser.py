"""The page in headless Chromium: at the width of a phone and of a desk, light and dark."""

import html
import json
import os
import re
import shutil
import subprocess
from pathlib import Path

import pytest

BROWSER = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None
)

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no Chromium here")

_MEASURE = """
const frame = document.querySelector("iframe");
frame.addEventListener("load", () => {
  const page = frame.contentDocument, root = page.documentElement, view = frame.contentWindow;
  const box = e => { const r = e.getBoundingClientRect(); return [r.left, r.width, r.height]; };
  const ratio = (a, b) => {
    const light = text => {
      const parts = text.match(/[\\d.]+/g).slice(0, 3).map(x => x / 255);
      const linear = parts.map(x => x <= 0.03928 ? x / 12.92 : ((x + 0.055) / 1.055) ** 2.4);
      return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
    };
    const [high, low] = [light(a), light(b)].sort((x, y) => y - x);
    return (high + 0.05) / (low + 0.05);
  };
  const style = e => view.getComputedStyle(e);
  const figure = page.querySelector("figure");
  const found = {
    width: view.innerWidth,
    scroll: root.scrollWidth,
    figures: [...page.querySelectorAll("figure")].map(box),
    drawings: [...page.querySelectorAll("figure svg")].map(box),
    ground: style(page.body).backgroundColor,
    text: ratio(style(page.body).color, style(page.body).backgroundColor),
    caption: ratio(style(page.querySelector("figcaption")).color, style(figure).backgroundColor),
    axis: ratio(style(page.querySelector("svg text")).fill, style(figure).backgroundColor),
    letters: Math.min(...[...page.querySelectorAll("svg text")].map(
      e => e.getBoundingClientRect().height)),
  };
  const result = document.createElement("pre");
  result.id = "result";
  result.textContent = JSON.stringify(found);
  document.body.append(result);
});
"""


def measured(page: Path, folder: Path, width: int, dark: bool) -> tuple[dict, str]:
    """What the browser makes of the page in a frame of a width, and what its console says."""
    wrapped = html.escape(page.read_text(encoding="utf-8"))
    shell = folder / f"{width}_{dark}.html"
    frame = f'<iframe style="border:0;width:{width}px;height:900px" srcdoc="{wrapped}"></iframe>'
    # The script comes first: the frame must not have been loaded before it listens.
    shell.write_text(
        f'<!DOCTYPE html><meta charset="utf-8"><link rel="icon" href="data:,">'
        f"<body>{frame}<script>{_MEASURE}</script></body>",
        encoding="utf-8",
    )
    command = [
        str(BROWSER),
        "--headless=new",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        f"--user-data-dir={folder / 'profile'}",
        "--enable-logging=stderr",
        "--virtual-time-budget=20000",
        "--window-size=1400,1000",
        *(["--force-dark-mode"] if dark else []),
        "--dump-dom",
        shell.as_uri(),
    ]
    environment = {**os.environ, "HOME": str(folder)}
    done = subprocess.run(
        command, capture_output=True, text=True, timeout=300, check=True, env=environment
    )
    result = re.search(r'<pre id="result">(.*?)</pre>', done.stdout, re.S)
    assert result, "the page was not loaded"
    console = [line for line in done.stderr.splitlines() if "CONSOLE" in line]
    return json.loads(html.unescape(result[1])), "\n".join(console)


@pytest.mark.slow
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
@pytest.mark.parametrize("width", [390, 1280])
def test_the_page_is_to_be_seen(page: Path, tmp_path: Path, width: int, dark: bool) -> None:
    found, console = measured(page, tmp_path, width, dark)
    assert not console
    assert found["width"] == width
    assert found["scroll"] <= width
    assert len(found["drawings"]) == len(found["figures"]) > 25
    for left, wide, high in found["figures"] + found["drawings"]:
        assert wide > 200
        assert high > 120
        assert 0 <= left <= left + wide <= width
    assert found["ground"] == ("rgb(20, 24, 28)" if dark else "rgb(255, 255, 255)")
    # Contrast that WCAG 2.2 asks of text (1.4.3).
    assert min(found["text"], found["caption"], found["axis"]) >= 4.5
    assert found["letters"] >= 8


@pytest.mark.slow
def test_a_fault_on_the_page_is_seen(page: Path, tmp_path: Path) -> None:
    broken = tmp_path / "broken.html"
    text = page.read_text(encoding="utf-8")
    broken.write_text(text.replace("</body>", "<script>console.error('x'); lost()</script></body>"))
    _, console = measured(broken, tmp_path, 390, dark=False)
    assert "lost is not defined" in console
