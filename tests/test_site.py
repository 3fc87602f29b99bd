"""The built site: links lead somewhere, nothing comes from the network, it reads well on a phone and in the dark."""

import os
import re
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from html.parser import HTMLParser
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import typer
from browser import chromium, complaints, emulate, requests_to_elsewhere
from selenium.webdriver.support.ui import WebDriverWait

import vggbench
from vggbench.cli.main import app

pytestmark = pytest.mark.slow
ROOT = Path(__file__).parent.parent
WIDTHS = (400, 1400)
ELSEWHERE = ("https://arxiv.org/abs/", "https://doi.org/", "https://www.sphinx-doc.org/")
"""What the site links to."""


class Links(HTMLParser):
    """The links of one page: what it leads to, what it needs, and the places in it."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.leads: list[str] = []
        self.needs: list[str] = []
        self.ids: set[str] = set()
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        self.ids |= {given[name] for name in ("id", "name") if name in given}
        if tag == "a" and "href" in given:
            self.leads.append(given["href"])
        elif tag in ("link", "img", "script", "source", "iframe"):
            self.needs += [given[name] for name in ("href", "src") if name in given]


@pytest.fixture(scope="session")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of the site: the one that `make docs-site` built, or one built here, whose warnings are errors."""
    built = os.environ.get("VGGBENCH_SITE")
    if built:
        return Path(built).resolve()
    folder = tmp_path_factory.mktemp("site")
    build = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-b", "html", "docs", str(folder)]
    subprocess.run(build, check=True, cwd=ROOT)
    return folder


@pytest.fixture(scope="session")
def pages(site: Path) -> dict[Path, Links]:
    found = [path for path in sorted(site.rglob("*.html")) if "_static" not in path.parts]
    return {path: Links(path.read_text()) for path in found}


def _target(page: Path, link: str) -> tuple[Path, str]:
    parts = urlsplit(link)
    path = (page.parent / unquote(parts.path)).resolve() if parts.path else page
    return path, unquote(parts.fragment)


def test_every_link_leads_somewhere(pages: dict[Path, Links]) -> None:
    assert len(pages) > 50
    lost = []
    for page, links in pages.items():
        for link in links.leads:
            if urlsplit(link).scheme:
                lost += [] if link.startswith(ELSEWHERE) else [f"{page}: {link} leads out of the site"]
                continue
            path, place = _target(page, link)
            if not path.is_file():
                lost.append(f"{page}: {link}: no such page")
            elif place and path.suffix == ".html" and place not in pages[path].ids:
                lost.append(f"{page}: {link}: no such place")
    assert not lost, "\n".join(lost)


def test_what_pages_need_is_on_disk(site: Path, pages: dict[Path, Links]) -> None:
    for page, links in pages.items():
        for need in links.needs:
            assert not urlsplit(need).scheme, f"{page} needs {need}"
            assert not need.startswith("//"), f"{page} needs {need}"
            assert _target(page, need)[0].is_file(), f"{page} needs {need}"
    for sheet in site.rglob("*.css"):
        fetched = re.findall(r"(?:url\(|@import )[\"']?((?:https?:)?//[^\"')]+)", sheet.read_text())
        assert not fetched, f"{sheet}: {fetched}"


def test_every_command_and_every_public_name_has_its_place(site: Path, pages: dict[Path, Links]) -> None:
    for name in typer.main.get_command(app).commands:  # type: ignore[attr-defined]
        page = site / "reference" / "commands" / f"{name}.html"
        assert page in pages, f"no page of {name}"
        assert "--help" in page.read_text()
    api = (site / "reference" / "python.html").read_text()
    missing = [name for name in vggbench.__all__ if name != "__version__" and not re.search(rf"\b{name}\b", api)]
    assert not missing


def test_three_clicks_from_the_first_page_are_enough(site: Path, pages: dict[Path, Links]) -> None:
    reached = {site / "index.html"}
    for _ in range(3):
        reached |= {
            _target(page, link)[0] for page in reached if page in pages for link in pages[page].leads
            if not urlsplit(link).scheme
        }  # fmt: skip
    unreached = [page for page in pages if page not in reached and page.name not in ("search.html", "genindex.html")]
    assert not unreached


# ---------------------------------------------------------------- in a browser


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


TOO_WIDE = """
const screen = document.documentElement.clientWidth;
const scrolls = (e) => e && e.tagName != 'ARTICLE'
  && (['auto', 'scroll'].includes(getComputedStyle(e).overflowX) || scrolls(e.parentElement));
const found = [...document.querySelectorAll('article *')]
  .filter(e => e.getBoundingClientRect().right > screen + 1 && !scrolls(e)).slice(0, 3)
  .map(e => e.tagName + ' ' + e.className + ' ' + e.textContent.slice(0, 40));
return document.documentElement.scrollWidth > screen ? ['the page itself', ...found] : found;
"""
"""What reaches beyond the screen, but for what scrolls by itself."""
LOADED = "return [...document.images].every(i => i.complete && i.naturalWidth > 0)"
FAINT = """
const channels = (c) => c.match(/[\\d.]+/g).map(Number);
const light = (c) => channels(c).slice(0, 3).map(v => v / 255)
  .map(v => v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)
  .reduce((sum, v, i) => sum + v * [0.2126, 0.7152, 0.0722][i], 0);
const ground = (e) => {
  for (; e; e = e.parentElement) {
    const c = channels(getComputedStyle(e).backgroundColor);
    if (c.length < 4 || c[3] > 0.99) return getComputedStyle(e).backgroundColor;
  }
  return 'rgb(255, 255, 255)';
};
return [...document.querySelectorAll('article p, article td, article th, article pre span, article h1, article h2')]
  .filter(e => e.textContent.trim() && e.getClientRects().length)
  .map(e => [light(getComputedStyle(e).color), light(ground(e)), e.textContent.slice(0, 40)])
  .map(([a, b, text]) => [(Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05), text])
  .filter(([contrast]) => contrast < 4.5).map(([contrast, text]) => contrast.toFixed(1) + ': ' + text);
"""
"""Text whose contrast with its ground is below WCAG's 4.5."""


def _answer(script: str, argument: str, browser: Any) -> bool:
    return bool(browser.execute_script(script, argument))


def test_pages_fit_a_phone_and_a_wide_screen_light_and_dark(browser: Any, pages: dict[Path, Links]) -> None:
    themed = "return document.documentElement.dataset.theme == arguments[0]"
    shown = [page for page in pages if page.parent.name != "commands" or page.stem in ("index", "eval", "train")]
    for page in shown:
        browser.get(page.as_uri())
        for scheme in ("light", "dark"):
            emulate(browser, WIDTHS[1], scheme)
            WebDriverWait(browser, 10).until(partial(_answer, themed, scheme), f"{page.name}, {scheme}")
            faint = browser.execute_script(FAINT)
            assert not faint, f"{page.name}, {scheme}: {faint[:3]}"
            for width in WIDTHS:
                emulate(browser, width, scheme)
                wide = browser.execute_script(TOO_WIDE)
                assert not wide, f"{page.name} at {width}: {wide}"
        WebDriverWait(browser, 10).until(partial(_answer, LOADED, scheme), page.name)
        assert (found := complaints(browser)) == [], (page.name, found)
        assert requests_to_elsewhere(browser) == [], page.name


@pytest.mark.parametrize(
    ("words", "page"),
    [
        ("descriptors", "descriptors.html"),
        ("resume", "clusters.html"),
        ("timm predictions", "predictions.html"),
        ("tar", "imagenet.html"),
        ("pth", "weights.html"),
        ("wrong accuracy", "check.html"),
        ("fuse", "compare.html"),
        ("report", "compare.html"),
        ("own classes", "transfer.html"),
    ],
)
def test_the_search_finds_it_from_disk(words: str, page: str, browser: Any, site: Path) -> None:
    browser.get(f"{(site / 'search.html').as_uri()}?q={words.replace(' ', '+')}")
    text = "return document.querySelector('#search-results').textContent"
    WebDriverWait(browser, 20).until(lambda b: "Search finished" in b.execute_script(text))
    links = "return [...document.querySelectorAll('#search-results li a')].map(a => a.href)"
    found = browser.execute_script(links)
    assert any(f"howto/{page}" in link for link in found[:4]), found
    assert requests_to_elsewhere(browser) == []
