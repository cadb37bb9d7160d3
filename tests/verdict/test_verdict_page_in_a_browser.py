"""The page of a verdict in a real Chromium: light and dark, on a phone and on a desk."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from test_verdict_report import WORLDS
from verdict_worlds import World

from dispatcher.verdict.report.page.page import as_page

_QUIET = ("--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking")
_QUIETER = ("--disable-component-update", "--disable-sync")
_LEAST_CONTRAST = 4.5
"""WCAG 2.2, success criterion 1.4.3."""

# The words of the page whose contrast to what is behind them is too low, as (words, ratio).
_FAINT = """
least => {
  const parse = text => (text.match(/[\\d.]+/g) || []).map(Number);
  const light = ([r, g, b]) => [r, g, b].map(v => v / 255)
    .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
    .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
  const behind = node => {
    for (; node; node = node.parentElement) {
      const colour = parse(getComputedStyle(node).backgroundColor);
      if (colour.length === 3 || colour[3] === 1) return colour;
    }
    return [255, 255, 255];
  };
  const faint = [];
  for (const node of document.querySelectorAll("body *")) {
    const own = [...node.childNodes].filter(c => c.nodeType === 3 && c.textContent.trim());
    if (!own.length || !node.getClientRects().length) continue;
    const style = getComputedStyle(node);
    const ink = parse(node.closest("svg") ? style.fill : style.color);
    const [a, b] = [light(ink), light(behind(node))].sort((x, y) => y - x);
    const ratio = (a + 0.05) / (b + 0.05);
    if (ratio < least) faint.push([own[0].textContent.trim().slice(0, 40), ratio]);
  }
  return faint;
}
"""
# Words in a drawing that stand outside of it.
_CUT_OFF = """
() => [...document.querySelectorAll("svg text")].filter(text => {
  const inner = text.getBoundingClientRect(), outer = text.closest("svg").getBoundingClientRect();
  return inner.left < outer.left - 1 || inner.right > outer.right + 1 || inner.top < outer.top - 1
    || inner.bottom > outer.bottom + 1;
}).map(text => text.textContent)
"""


_SCROLLED = "() => [...document.querySelectorAll('.scroll')].filter(each => each.scrollWidth > each.clientWidth).length"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """Debian's Chromium, without a screen."""
    program = shutil.which("chromium")
    if program is None:
        missing = "there is no Chromium here; scripts/install browser installs Debian's"
        if os.environ.get("CI"):
            pytest.fail(missing)
        pytest.skip(missing)
    from playwright.sync_api import sync_playwright  # noqa: PLC0415 - only where there is a browser

    with sync_playwright() as playwright:
        # As root, which CI may be, Chromium has no sandbox; the page runs nothing anyway.
        chromium = playwright.chromium.launch(
            executable_path=program, chromium_sandbox=os.geteuid() != 0, args=[*_QUIET, *_QUIETER]
        )
        yield chromium
        chromium.close()


@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("name", WORLDS)
def test_a_page_fits_and_can_be_read(world: World, browser: Any, tmp_path: Path, name: str, width: int) -> None:
    """Nothing scrolls sideways, no word is cut off or faint, nothing is loaded, and Chromium complains of nothing."""
    file = tmp_path / "verdict.html"
    file.write_text(as_page(WORLDS[name](world)))
    page = browser.new_page(viewport={"width": width, "height": 800})
    complaints: list[str] = []
    asked: list[str] = []
    page.on("console", lambda message: complaints.append(message.text))
    page.on("request", lambda request: asked.append(request.url))
    page.goto(file.as_uri())
    for details in page.query_selector_all("summary"):
        details.click()
    found = {"width": page.evaluate("document.documentElement.scrollWidth"), "cut off": page.evaluate(_CUT_OFF)}
    found |= {"tables that scroll": page.evaluate(_SCROLLED)}
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        found |= {f"faint where it is {scheme}": page.evaluate(_FAINT, _LEAST_CONTRAST)}
    page.close()

    fine: dict[str, Any] = {"cut off": [], "tables that scroll": 0}
    assert found == fine | {"width": width, "faint where it is light": [], "faint where it is dark": []}
    assert asked == [file.as_uri()]
    assert complaints == []


def test_a_page_is_light_or_dark_as_its_reader_has_it(world: World, browser: Any, tmp_path: Path) -> None:
    file = tmp_path / "verdict.html"
    file.write_text(as_page(WORLDS["ship"](world)))
    papers = []
    for scheme in ("light", "dark"):
        page = browser.new_page(color_scheme=scheme)
        page.goto(file.as_uri())
        papers.append(page.evaluate("getComputedStyle(document.body).backgroundColor"))
        page.close()

    assert papers == ["rgb(251, 250, 248)", "rgb(20, 22, 26)"]
