"""Downloads from a server on this machine: the right file or one sentence, and never a wrong file in its place."""

import hashlib
import http.server
import io
import json
import os
import re
import shutil
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
import typer
from conftest import Result

from vggbench.cli.main import app
from vggbench.errors import UsageError, WeightsError
from vggbench.weights import download
from vggbench.weights.download import DownloadWatch, fetch, find, lacking, place, torch_hub, wanted
from vggbench.weights.released import RELEASED, Released, recognise

CONTENT = bytes(range(256)) * 4000


@dataclass
class _Server:
    """What the publisher sends, and what it was asked for."""

    url: str = ""
    content: bytes = CONTENT
    status: int = 200
    knows_ranges: bool = True
    breaks_after: int | None = None
    ranges: list[str | None] = field(default_factory=list)


@pytest.fixture
def server() -> Iterator[_Server]:
    told = _Server()

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked = self.headers.get("Range")
            told.ranges.append(asked)
            start = int(asked.removeprefix("bytes=").rstrip("-")) if asked and told.knows_ranges else 0
            body = told.content[start:]
            self.send_response(416 if start and not body else told.status if not start else 206)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body[: told.breaks_after])

        def log_message(self, *whatever: object) -> None:
            pass

    running = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=running.serve_forever, daemon=True).start()
    told.url = f"http://127.0.0.1:{running.server_port}/x.caffemodel"
    yield told
    running.shutdown()
    running.server_close()


@pytest.fixture
def row(server: _Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Released:
    """A released file of a megabyte."""
    monkeypatch.setenv("VGGBENCH_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    sha1 = hashlib.sha1(CONTENT).hexdigest()
    return replace(RELEASED[0], url=server.url, size=len(CONTENT), algorithm="sha1", digest=sha1)


class _Watch(DownloadWatch):
    def __init__(self) -> None:
        self.said: list[str] = []
        self.bytes = 0

    def begin(self, sentence: str) -> None:
        self.said.append(sentence)

    def update(self, count: int) -> None:
        self.bytes += count


def _part(row: Released) -> Path:
    return place(row).with_name(f"{row.file}.part")


def test_a_file_is_downloaded_once(row: Released, server: _Server) -> None:
    watch = _Watch()
    assert find(row) is None
    assert fetch(row, watch).read_bytes() == CONTENT
    assert all(part in watch.said[0] for part in (row.file, "1 MB", row.url, str(place(row))))
    assert watch.bytes >= len(CONTENT)
    assert fetch(row) == find(row) == place(row)
    assert server.ranges == [None]
    assert not _part(row).exists()


@pytest.mark.parametrize("knows_ranges", [True, False])
def test_an_interrupted_download_carries_on(row: Released, server: _Server, knows_ranges: bool) -> None:
    server.breaks_after, server.knows_ranges = 300_000, knows_ranges
    with pytest.raises(
        WeightsError, match=r"cannot be downloaded from .* the connection broke .* are kept; the same command"
    ):
        fetch(row)
    assert not place(row).exists()
    kept = _part(row).stat().st_size
    assert 0 < kept <= 300_000
    server.breaks_after = None
    assert fetch(row).read_bytes() == CONTENT
    assert server.ranges == [None, f"bytes={kept}-"]


def test_what_was_kept_of_another_version_is_thrown_away(row: Released, server: _Server) -> None:
    place(row).parent.mkdir(parents=True)
    _part(row).write_bytes(b"other" * 1000)
    assert fetch(row).read_bytes() == CONTENT
    assert server.ranges == ["bytes=5000-", None]
    place(row).unlink()
    _part(row).write_bytes(CONTENT)
    assert fetch(row).read_bytes() == CONTENT
    assert len(server.ranges) == 2


def test_a_file_without_a_known_hash_is_not_put_together_from_parts(
    row: Released, server: _Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vggbench.weights.released._LEAST", 1000)
    row, watch = replace(row, size=None, digest=None), _Watch()
    place(row).parent.mkdir(parents=True)
    _part(row).write_bytes(CONTENT[:1000])
    assert fetch(row, watch).read_bytes() == CONTENT
    assert server.ranges == [None]
    assert "no hash of" in watch.said[1]


def test_a_whole_file_whose_size_is_known_roughly_is_not_asked_for_again(row: Released, server: _Server) -> None:
    row = replace(row, size=None, mib=round(len(CONTENT) / 2**20, 3))
    place(row).parent.mkdir(parents=True)
    _part(row).write_bytes(CONTENT)
    assert fetch(row).read_bytes() == CONTENT
    assert server.ranges == []


def test_a_read_only_cache_that_has_the_file_serves_it(row: Released, monkeypatch: pytest.MonkeyPatch) -> None:
    place(row).parent.mkdir(parents=True)
    place(row).write_bytes(CONTENT)
    monkeypatch.setattr(Path, "mkdir", lambda *whatever, **more: pytest.fail("nothing needs to be made"))
    assert fetch(row) == place(row)


@pytest.mark.parametrize(
    ("change", "sentence"),
    [
        ({"content": CONTENT[:-1] + b"x"}, r"Its sha1 is \w+, not \w+. The server has another file"),
        ({"content": CONTENT[:-1]}, r"It has 1,023,999 bytes, not 1,024,000 bytes. The server has another file"),
        ({"content": CONTENT + b"x"}, "It is longer than 1,024,000 bytes. The server has another file"),
        ({"status": 404}, "the server answers 404"),
        ({"status": 503}, "the server answers 503"),
    ],
)
def test_anything_else_is_one_sentence_and_no_file(
    change: dict[str, object], sentence: str, row: Released, server: _Server
) -> None:
    for name, value in change.items():
        setattr(server, name, value)
    with pytest.raises(WeightsError, match=sentence):
        fetch(row)
    assert [path.name for path in place(row).parent.iterdir() if path.stat().st_size] == []


def test_offline_the_place_and_the_address_are_named(row: Released) -> None:
    away = replace(row, url="http://127.0.0.1:1/x.caffemodel")
    with pytest.raises(WeightsError) as caught:
        fetch(away)
    sentence = str(caught.value)
    assert all(part in sentence for part in (row.file, away.url, str(place(row)), "no connection", "D@FILE"))


def test_a_full_disk_is_one_sentence(row: Released, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage("/")
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage._replace(free=10))
    with pytest.raises(WeightsError, match=r"has room for 0 MB: expected 1 for .*VGGBENCH_CACHE"):
        fetch(row)
    monkeypatch.setattr("shutil.disk_usage", lambda folder: usage)

    def full(self: object, data: bytes) -> int:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr("vggbench.weights.download._Bounded.write", full)
    with pytest.raises(WeightsError, match=r"No space left on device; name another folder in \$VGGBENCH_CACHE"):
        fetch(row)
    assert find(row) is None


def test_a_wrong_file_in_the_cache_is_named_and_not_used(row: Released) -> None:
    place(row).parent.mkdir(parents=True)
    place(row).write_bytes(CONTENT[::-1])
    with pytest.raises(WeightsError, match="Remove it, and the same command downloads it"):
        fetch(row)


def test_what_torch_hub_has_is_used_if_it_is_right(row: Released, server: _Server, tmp_path: Path) -> None:
    folder = tmp_path / "torch" / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    (folder / row.file).write_bytes(CONTENT)
    assert fetch(row) == folder / row.file
    (folder / row.file).write_bytes(CONTENT[::-1])
    assert fetch(row) == place(row)
    assert server.ranges == [None]


def test_a_file_is_known_by_its_bytes_whatever_its_name(row: Released, tmp_path: Path,
                                                        monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    monkeypatch.setattr("vggbench.weights.released.RELEASED", (row, *RELEASED))
    (tmp_path / "renamed").write_bytes(CONTENT)
    assert recognise(tmp_path / "renamed") == row
    (tmp_path / "renamed").write_bytes(CONTENT[::-1])
    assert recognise(tmp_path / "renamed") is None


@pytest.mark.parametrize(
    "set_to",
    [{}, {"TORCH_HOME": "/somewhere/torch"}, {"XDG_CACHE_HOME": "/somewhere"}, {"TORCH_HOME": "~/t"}, {"HOME": "/x"}],
)
def test_torch_hubs_folder_is_known_without_torch(set_to: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    for name in ("TORCH_HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    for name, value in set_to.items():
        monkeypatch.setenv(name, value)
    said = torch_hub()
    monkeypatch.delitem(sys.modules, "torch")
    assert torch_hub() == said == Path(torch.hub.get_dir())


# ---------------------------------------------------------------- weights --download


def test_downloads_are_named_by_config_or_source() -> None:
    assert [row.name for row in wanted("oxford")] == ["D@oxford", "E@oxford"]
    assert [row.name for row in wanted("vgg16@Oxford")] == ["D@oxford"]
    assert {row.name for row in wanted(None)} == {row.name for row in RELEASED if not row.refused}
    for text, said in (("oxfrod", "Did you mean oxford?"), ("D@oxfrod", "Did you mean D@oxford?"), ("C@oxford", "")):
        with pytest.raises(UsageError, match=f"no released file has this name.*{re.escape(said)}"):
            wanted(text)


def test_a_download_needs_a_yes(
    row: Released, server: _Server, vggbench: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "RELEASED", [row])
    refused = vggbench("weights", row.name, "--download")
    assert refused.code == 2
    assert f"Download 1 file, 1 MB, to {place(row).parent.parent}/? There is no terminal to ask at" in refused.err
    assert server.ranges == []
    assert vggbench("weights", "--yes").code == 2
    done = vggbench("weights", row.name, "--download", "--yes", "--format", "json")
    assert (done.code, [one["here"] for one in json.loads(done.out)]) == (0, [True])
    assert f"{row.name}: {row.file}, 1 MB, {row.licence}, from {server.url}." in done.err
    assert place(row).read_bytes() == CONTENT
    assert lacking([row]) == []
    again = vggbench("weights", row.name, "--download")
    assert (again.code, server.ranges) == (0, [None])
    assert "nothing is downloaded" in again.err


@pytest.mark.parametrize(("answer", "code"), [("n\n", 1), ("\n", 1), ("y\n", 0)])
def test_a_download_asks_at_a_terminal(
    answer: str, code: int, row: Released, server: _Server, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(download, "RELEASED", [row])

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr(sys, "stdin", Terminal(answer))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    command = typer.main.get_command(app).commands["weights"]  # type: ignore[attr-defined]
    found = command.main([row.name, "--download"], standalone_mode=False) or 0
    assert (find(row) is not None) == (code == 0)
    assert "[y/N]" in capsys.readouterr().err
    assert found == code
