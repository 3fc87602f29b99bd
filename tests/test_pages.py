"""Every command and every Python block of README and the site is run, and prints what the page shows."""

import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from pages import pages, run

if TYPE_CHECKING:
    from torch import Tensor

ROOT = Path(__file__).parent.parent
PAGES = pages()
NAMES = [str(path.relative_to(ROOT)) for path in PAGES]
COUNT = 8
"""Pictures of the tree that stands in for ImageNet."""


@pytest.fixture(scope="session")
def _stand_ins(tmp_path_factory: pytest.TempPathFactory, peaked: "Callable[..., dict[str, Tensor]]") -> Path:
    """What pages speak of: a tree of a few drawn pictures for ImageNet, the tar, narrow weights for full ones."""
    import torch

    from vggbench import ILSVRC_CLASSES
    from vggbench.sample.drawing import KINDS, draw

    root = tmp_path_factory.mktemp("stand-ins")
    flat = root / "flat"
    flat.mkdir()
    for place in range(COUNT):
        folder = root / "imagenet" / "val" / ILSVRC_CLASSES[place * 100]
        folder.mkdir(parents=True)
        picture, quality = draw(KINDS[place], (9, place))
        picture.save(folder / f"picture_{place}.JPEG", quality=quality)
        shutil.copy(folder / f"picture_{place}.JPEG", flat / f"ILSVRC2012_val_{place + 1:08d}.JPEG")
    shutil.copy(next(flat.iterdir()), root / "cat.jpg")
    with tarfile.open(root / "ILSVRC2012_img_val.tar", "w") as archive:
        for path in sorted(flat.iterdir()):
            archive.add(path, path.name)
    torch.save(peaked("D", 1000), root / "vgg16.pth")
    return root


@pytest.fixture
def released(_stand_ins: Path, peaked: "Callable[..., dict[str, Tensor]]", monkeypatch: pytest.MonkeyPatch) -> None:
    """Every released file, narrow: nothing is downloaded."""
    import torch
    from writers import caffemodel, layers_of

    def fetch(row: "object", watch: object = None) -> Path:
        name, source, config = row.name, row.source, row.config.name  # type: ignore[attr-defined]
        path = _stand_ins / f"{name}.{'caffemodel' if source == 'oxford' else 'pth'}"
        if not path.exists():
            weights = peaked(config, 1000)
            if source == "oxford":
                path.write_bytes(caffemodel(layers_of(config, weights), old=True))
            else:
                torch.save(weights, path)
        return path

    monkeypatch.setattr("vggbench.weights.load.fetch", fetch)


@pytest.fixture
def folder(_stand_ins: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with what pages speak of, which is where commands run, as at a terminal of 80 columns."""
    for path in _stand_ins.iterdir():
        if path.name not in ("flat",) and not path.name.startswith(("D@", "E@", "A@", "B@")):
            (tmp_path / path.name).symlink_to(path)
    monkeypatch.chdir(tmp_path)
    for name, value in {"COLUMNS": "80", "TERM": "dumb", "TZ": "UTC"}.items():
        monkeypatch.setenv(name, value)
    for name in ("FORCE_COLOR", "TTY_COMPATIBLE", "LINES"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.usefixtures("released")
@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_what_a_page_shows_is_what_happens(path: Path, folder: Path) -> None:
    _, wrong = run(path, folder)
    assert not wrong, "\n\n".join(wrong) + "\n\n`make pages` writes what commands print into the pages."


def test_an_edited_output_is_found(folder: Path) -> None:
    page = folder / "page.md"
    page.write_text("```console\n$ vggbench params D --format csv\nnet\n...\n```\n")
    assert run(page, folder)[1]
    shown = "```console\n$ vggbench cite\n@software{vggbench,\n...\n```\n"
    page.write_text(shown)
    assert not run(page, folder)[1]
    page.write_text(shown.replace("software", "article"))
    (wrong,) = run(page, folder)[1]
    assert "@software" in wrong


def _is_refused(page: Path, folder: Path) -> bool:
    try:
        return bool(run(page, folder)[1])
    except AssertionError as error:
        return "is it run?" in str(error)


def test_a_page_is_refused_for_what_no_parser_takes(folder: Path) -> None:
    for text in (
        "```console\n$ vggbench eval D --scale 256 --dry-run\n```\n",
        "<!-- parsed: network -->\n```console\n$ vggbench eval D@oxford --nonsense\n```\n",
        "<!-- parsed: because -->\n```console\n$ vggbench params\n```\n",
        "```console\n$ rm -r runs\n```\n",
        "```bash\nvggbench params\n```\n",
        "```python\nraise ValueError\n```\n",
    ):
        (folder / "page.md").write_text(text)
        assert _is_refused(folder / "page.md", folder), text
