"""The report: one file, everything escaped, nothing fetched, a sort that works; in a browser where there is one."""

import base64
import io
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from browser import chromium, complaints, emulate, requests_to_elsewhere
from conftest import Result
from PIL import Image as Picture

from vggbench.data import ImageFile, open_data
from vggbench.images.thumbnails import thumbnail
from vggbench.nets.cost import Architecture
from vggbench.paper.configs import CONFIGS
from vggbench.render.plots.cost import parameters_and_macs
from vggbench.render.report.page import number, render, said_once
from vggbench.render.tables.table import Column, Table
from vggbench.results.gallery import WORST, Gallery, Mistake, Said, gallery
from vggbench.store.per_image import PerImage
from vggbench.studies.counts import by_layer

HOSTILE = "<script>alert(1)</script>"
QUOTED = "a\"b'c onerror=alert(2) x.JPEG"


class Page(HTMLParser):
    """Tags, the addresses that they name, and text outside of scripts."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.attributes: list[str] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.attributes += [name for name, _ in attrs]
        self.addresses += [value or "" for name, value in attrs if name in ("src", "srcset", "href", "action", "data")]

    def handle_data(self, data: str) -> None:
        self.text += data


def hostile_page(folder: Path) -> str:
    """A page all of whose names are hostile, with an image that is there and one that is not."""
    from PIL import Image

    (folder / HOSTILE.replace("/", "")).mkdir(parents=True)
    Image.new("RGB", (300, 260), "red").save(folder / HOSTILE.replace("/", "") / QUOTED, "JPEG")
    Image.new("RGB", (300, 260), "red").save(folder / HOSTILE.replace("/", "") / "gone.JPEG")
    images = open_data(folder).images
    next(image.path for image in images if image.id == "gone").unlink()
    found = PerImage(
        tuple(image.id for image in images), np.zeros(2, np.int32), np.array([[1], [1]], np.int32),
        np.ones((2, 1), np.float32), np.ones(2, np.int32), np.array([1.0, np.inf]),
    )  # fmt: skip
    columns = [Column(HOSTILE, lambda r: r[0]), Column("error", lambda r: r[1], right=True)]
    rows = [(HOSTILE, "9.5"), ("b", "10.25"), (QUOTED, "-")]
    table = Table(HOSTILE, rows, columns, columns, lambda r: {}, [QUOTED])
    figures = {HOSTILE: parameters_and_macs(by_layer([Architecture(CONFIGS["A"])], [224]))}
    shown = gallery(HOSTILE, found, [HOSTILE, QUOTED], {image.id: image for image in images})
    return render(HOSTILE, warning=QUOTED, tables=[table], plots=figures, galleries=[shown])


def test_what_data_says_is_text_alone(tmp_path: Path) -> None:
    page = Page(hostile_page(tmp_path / "images"))
    assert page.tags.count("script") == 1
    assert not [name for name in page.attributes if name.startswith("on")]
    assert page.text.count(HOSTILE) >= 5
    assert all(address.startswith("data:image/") for address in page.addresses)
    assert "can no longer be read" in page.text
    assert "inf" in page.text


def test_the_policy_allows_our_own_script_alone(tmp_path: Path) -> None:
    text = hostile_page(tmp_path / "images")
    assert "default-src 'none'; img-src data:; style-src 'sha256-" in text.replace("&#39;", "'")
    assert "unsafe" not in text
    assert "http://" not in Page(text).text
    assert not [address for address in Page(text).addresses if "http" in address]


def test_each_plot_is_drawn_for_a_dark_page_too(tmp_path: Path) -> None:
    text = hostile_page(tmp_path / "images")
    light, dark = (
        base64.b64decode(address.partition(",")[2]).decode()
        for address in sorted(Page(text).addresses)
        if "svg" in address
    )
    assert 'media="screen and (prefers-color-scheme: dark)"' in text
    assert sorted("#ffffff" in picture for picture in (light, dark)) == [False, True]


@pytest.mark.thorough
def test_it_is_the_same_again_and_of_bounded_size(
    vggbench: Callable[..., Result], few_drawn: Path, tmp_path: Path
) -> None:
    arguments = ("report", "A", "D", "--data", "sample", "--scales", 256, 288)
    for name in ("one.html", "two.html"):
        done = vggbench(*arguments, "--output", tmp_path / name)
        assert done.code == 0, done.err
        assert done.out == ""
    one, two = ((tmp_path / name).read_text() for name in ("one.html", "two.html"))
    assert one == two
    assert len(one) < 3e6
    page = Page(one)
    assert page.tags.count("figure") >= 4
    assert "SAMPLE: these are drawn pictures" in page.text
    said = json.loads(vggbench("eval", "D", "--data", "sample", "--scales", 256, 288, "--format", "json").out)
    assert f"{said[-1]['top1_error']:.1f}" in page.text
    assert page.text.count("EXIF orientation is ignored") == 1, "three tables have it"
    assert said[-1]["signature"].split(" | ")[1] in page.text


def test_a_note_of_several_tables_is_said_once() -> None:
    own, shared = said_once([["a", "of one", "b"], ["b", "a"], ["b", "of another"]])
    assert (own, shared) == ([["of one"], [], ["of another"]], ["a", "b"])
    assert said_once([["alone"]]) == ([["alone"]], [])


def test_the_worst_come_first_and_are_few() -> None:
    class Image:
        def __init__(self, name: str) -> None:
            self.id, self.length = name, 0

        def read(self) -> bytes:
            return b""

    count = 40
    losses = np.arange(count, dtype=np.float64)
    found = PerImage(
        tuple(f"i{i}" for i in range(count)), np.zeros(count, np.int32), np.ones((count, 1), np.int32),
        np.ones((count, 1), np.float32), (np.arange(count) != 39).astype(np.int32), losses,
    )  # fmt: skip
    images: Any = {name: Image(name) for name in found.images}
    shown: Gallery = gallery("net", found, ["a", "b"], images)
    assert (shown.wrong, shown.images, len(shown.mistakes)) == (39, 40, WORST)
    assert [mistake.image for mistake in shown.mistakes[:2]] == ["i38", "i37"]


@pytest.mark.parametrize(
    ("text", "value"),
    [("24.40", "24.4"), ("50,000", "50000.0"), ("-1.5*", "-1.5"), ("6.2 2.9-13.0", "6.2"), ("-", None)],
)
def test_cells_are_sorted_as_numbers(text: str, value: str | None) -> None:
    assert number(Column("x", str), text) == value


@pytest.mark.parametrize("arguments", [["--output", "x.txt"], ["--format", "md"]])
def test_what_is_no_html(arguments: list[str], vggbench: Callable[..., Result], few_drawn: Path) -> None:
    done = vggbench("report", "A", "--data", "sample", *arguments)
    assert done.code == 2
    assert "report writes HTML" in done.err


# ---------------------------------------------------------------- in a browser


@pytest.fixture
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


def test_in_chromium(browser: Any, tmp_path: Path) -> None:
    path = tmp_path / "report.html"
    path.write_text(hostile_page(tmp_path / "images"))
    browser.get(path.as_uri())
    assert browser.execute_script("return [...document.images].every(i => i.complete && i.naturalWidth > 0)")
    assert browser.execute_script("return document.images.length") == 2
    cells = "return [...document.querySelectorAll('.sortable tbody tr')].map(r => r.cells[1].textContent)"
    assert browser.execute_script(cells) == ["9.5", "10.25", "-"]
    orders = []
    for _ in range(3):
        browser.find_elements("css selector", ".sortable th button")[1].click()
        orders.append(browser.execute_script(cells))
    assert orders == [["9.5", "10.25", "-"], ["-", "10.25", "9.5"], ["9.5", "10.25", "-"]]
    from selenium.webdriver.common.keys import Keys

    browser.find_elements("css selector", ".sortable th button")[1].send_keys(Keys.ENTER)
    assert browser.execute_script("return document.querySelectorAll('.sortable th')[1].ariaSort") == "ascending"
    assert complaints(browser) == []
    assert requests_to_elsewhere(browser) == []


def wide_page(rows: int) -> str:
    """A table of errors as eval has it, a plot, and a card."""
    row = {"Network": "D@oxford", "Q": "256,288,320,352,384,416,448,480,512", "Protocol": "dense+multicrop",
           "Views": "156", "Images": "50,000", "Top-1 error (%)": "24.40", "Top-1 95% CI": "24.03-24.78",
           "Top-5 error (%)": "7.20", "Top-5 95% CI": "6.98-7.43", "Ref. top-1 / top-5": "24.4 / 7.2"}  # fmt: skip
    columns = [Column(name, lambda row, name=name: row[name]) for name in row]  # type: ignore[misc]
    table = Table("Errors", [row] * rows, columns, columns, dict, ["A note."])
    card = Mistake("an-image", "the-truth", 2, 1.0, (Said("a-class", 50.0),) * 5, None)
    figures = {"a plot": parameters_and_macs(by_layer([Architecture(CONFIGS["A"])], [224]))}
    galleries = [Gallery("a net", (card,) * 3, 3, 50)]
    return render("A report", warning=None, tables=[table], plots=figures, galleries=galleries)


def test_on_a_phone_every_figure_is_on_the_screen(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(wide_page(3))
    emulate(browser, 420, "light")
    browser.get((tmp_path / "report.html").as_uri())
    edges = "return [...document.querySelectorAll('.sortable td')].map(c => c.getBoundingClientRect().right)"
    assert max(browser.execute_script(edges)) <= 420
    assert browser.execute_script("return document.documentElement.scrollWidth") <= 420
    broken = (
        "return [...document.querySelectorAll('.sortable td span')].filter(c => c.getClientRects().length > 1)"
        ".map(c => c.textContent)"
    )
    assert set(browser.execute_script(broken)) <= {"256,288,320,352,384,416,448,480,512"}, "a number is broken"
    assert browser.execute_script("return getComputedStyle(document.querySelector('td'), '::before').content") == (
        '"Network"'
    )


@pytest.mark.parametrize(("width", "least"), [(1_400, 600), (400, 340)])
def test_plots_fill_the_width(browser: Any, tmp_path: Path, width: int, least: int) -> None:
    (tmp_path / "report.html").write_text(wide_page(1))
    emulate(browser, width, "light")
    browser.get((tmp_path / "report.html").as_uri())
    box = "return document.querySelector('figure img').getBoundingClientRect().width"
    assert least <= browser.execute_script(box) <= width


def test_a_dark_page_has_dark_plots(browser: Any, tmp_path: Path) -> None:
    (tmp_path / "report.html").write_text(wide_page(1))
    shown = {}
    for scheme in ("light", "dark"):
        emulate(browser, 1200, scheme)
        browser.get((tmp_path / "report.html").as_uri())
        source = browser.execute_script("return document.querySelector('figure img').currentSrc")
        shown[scheme] = "#ffffff" in base64.b64decode(source.partition(",")[2]).decode()
    assert shown == {"light": True, "dark": False}


@pytest.mark.thorough
def test_in_print_no_heading_is_parted_from_its_card(browser: Any, tmp_path: Path) -> None:
    if not shutil.which("pdftotext"):
        pytest.skip("no pdftotext here (apt-get install poppler-utils)")
    emulate(browser, 1200, "dark")
    for rows in range(1, 22, 3):  # so that the heading comes to lie anywhere on a page
        (tmp_path / "report.html").write_text(wide_page(rows))
        browser.get((tmp_path / "report.html").as_uri())
        options = {"printBackground": True, "preferCSSPageSize": True}
        pdf = base64.b64decode(browser.execute_cdp_cmd("Page.printToPDF", options)["data"])
        command = ["pdftotext", "-layout", "-", "-"]
        pages = subprocess.run(command, input=pdf, capture_output=True, check=True).stdout.decode().split("\f")
        (page,) = [page for page in pages if "The worst errors of" in page]
        assert "the-truth" in page, rows


def test_a_thumbnail_says_nothing_of_its_own(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 255, (180, 240, 3), dtype=np.uint8)
    Picture.fromarray(noise).save(file, "JPEG", quality=90)
    encoded = bytearray(file.getvalue())
    encoded[20_000:20_400] = bytes(400)
    (tmp_path / "damaged.jpg").write_bytes(encoded)
    (tmp_path / "cut.jpg").write_bytes(encoded[:9000])
    images = {
        path.name: ImageFile(path.name, path, path.stat().st_size, "c") for path in sorted(tmp_path.glob("*.jpg"))
    }
    small = thumbnail(images["damaged.jpg"], 160)
    assert small
    assert Picture.open(io.BytesIO(small)).size == (160, 120)
    assert thumbnail(images["cut.jpg"], 160) is None
    assert thumbnail(replace(images["cut.jpg"], path=tmp_path / "gone.jpg"), 160) is None
    assert capfd.readouterr().err == ""
