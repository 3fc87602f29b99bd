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
MINE = {"train": 8, "val": 4}
"""Pictures of each class in the folder that stands in for the reader's own."""


@pytest.fixture(scope="session")
def _stand_ins(tmp_path_factory: pytest.TempPathFactory, peaked: "Callable[..., dict[str, Tensor]]") -> Path:
    """What pages speak of, drawn: a few pictures for ImageNet and its tar, others for mine; narrow weights for full."""
    import torch

    from vggbench import ILSVRC_CLASSES
    from vggbench.sample.drawing import KINDS, draw
    from vggbench.sample.unseen import UNSEEN

    root = tmp_path_factory.mktemp("stand-ins")
    flat = root / "flat"
    flat.mkdir()
    for place in range(COUNT):
        folder = root / "imagenet" / "val" / ILSVRC_CLASSES[place * 100]
        folder.mkdir(parents=True)
        picture, quality = draw(KINDS[place], (9, place))
        picture.save(folder / f"picture_{place}.JPEG", quality=quality)
        shutil.copy(folder / f"picture_{place}.JPEG", flat / f"ILSVRC2012_val_{place + 1:08d}.JPEG")
    for place, kind in enumerate(UNSEEN):
        for split, count in MINE.items():
            folder = root / "mine" / split / kind.name
            folder.mkdir(parents=True)
            for number in range(count):
                picture, quality = draw(kind, (11, place, number, split == "val"))
                picture.save(folder / f"{kind.name}_{number}.jpg", quality=quality)
    fish = next(kind for kind in KINDS if kind.name == "fish")
    draw(fish, (10, 0))[0].save(root / "photo.jpg", quality=90)
    with tarfile.open(root / "ILSVRC2012_img_val.tar", "w") as archive:
        for path in sorted(flat.iterdir()):
            archive.add(path, path.name)
    weights = peaked("D", 1000)
    torch.save(weights, root / "vgg16.pth")
    torch.save({name: 1.01 * tensor for name, tensor in weights.items()}, root / "other.pth")
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


@pytest.mark.thorough
@pytest.mark.usefixtures("released")
@pytest.mark.parametrize("path", PAGES, ids=NAMES)
def test_what_a_page_shows_is_what_happens(path: Path, folder: Path) -> None:
    _, wrong = run(path, folder)
    assert not wrong, "\n\n".join(wrong) + "\n\n`make pages` writes what commands print into the pages."


@pytest.mark.slow
@pytest.mark.usefixtures("released")
@pytest.mark.parametrize("path", [path for path in PAGES if "<!-- parsed: minutes -->" in path.read_text()], ids=str)
def test_what_takes_minutes_happens_too(path: Path, folder: Path) -> None:
    _, wrong = run(path, folder, slow=True)
    assert not wrong, "\n\n".join(wrong)


@pytest.mark.thorough
def test_an_edited_output_is_found(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VGGBENCH_UPDATE_PAGES", raising=False)
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
