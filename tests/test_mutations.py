"""Damages to a finished run: no other figure, no traceback; and what each reader of the store says of them."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from conftest import Result
from mutations import campaign

from vggbench.errors import StoreError
from vggbench.files import sealed, unsealed
from vggbench.store.blocks import BlockFile
from vggbench.store.recording import Store
from vggbench.store.runs import Run

CLI = Callable[..., Result]
QUICK, WHOLE = 240, 6_600


@pytest.fixture(scope="module")
def kept(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where the first test leaves its store for the others."""
    return tmp_path_factory.mktemp("kept") / "runs"


@pytest.fixture
def run(vggbench: CLI, few_drawn: Path, tmp_path: Path, kept: Path) -> Path:
    """A finished run of twelve images whose errors have been counted, beside one of another net."""
    if not kept.exists():
        assert vggbench("compare", "A", "D", "--data", "sample", "--scales", 256).code == 0
        assert vggbench("runs").code == 0
        shutil.copytree(tmp_path / "runs", kept)
    else:
        shutil.copytree(kept, tmp_path / "runs")
    (folder,) = (tmp_path / "runs").glob("A-*")
    assert sorted(path.name for path in folder.rglob("*") if path.is_file()) == [
        ".errors.json", "000000-000011.parquet", "run.json"
    ]  # fmt: skip
    return folder


@pytest.mark.thorough
def test_no_damage_gives_another_figure_or_a_traceback(run: Path) -> None:
    found = campaign(run, QUICK)
    assert found.total() == 2 * QUICK
    assert min(found["refused"], found["no difference"], found["to be computed again"]) > 0


@pytest.mark.slow
def test_nor_does_any_of_thousands(run: Path) -> None:
    assert campaign(run, WHOLE, seed=1).total() == 2 * WHOLE


def test_the_campaign_can_fail(run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As if the record of a run bore no hash."""
    monkeypatch.setattr("vggbench.store.runs.unsealed", lambda text, may_lack: json.loads(text))
    with pytest.raises(AssertionError, match=r"in run\.json: another figure"):
        campaign(run, WHOLE)  # ends with the first


def test_a_record_that_was_changed_is_said_and_written_again(run: Path, vggbench: CLI) -> None:
    record = run / "run.json"
    whole = record.read_text()
    record.write_text(whole.replace('"images_total": 12', '"images_total": 13'))
    refused = vggbench("runs", run.name)
    assert refused.code == 1
    assert f"{record} cannot be read (it is not what was written): expected the record of a run. Delete it and" in (
        refused.err
    )
    record.unlink()
    assert vggbench("eval", "A", "--data", "sample", "--scales", 256).code == 0
    assert record.read_text() == whole


def test_a_record_under_another_name_is_refused(run: Path, vggbench: CLI) -> None:
    other = run.rename(run.with_name(f"{run.name[:-8]}00000000"))
    refused = vggbench("runs", other.name)
    assert refused.code == 1
    assert "does not hold the signature that its folder is named after" in refused.err


def test_a_record_without_its_hash_is_an_older_ones(run: Path) -> None:
    record = json.loads((run / "run.json").read_text())
    del record["sha256"]
    assert unsealed(sealed(record)) == record
    (run / "run.json").write_text(json.dumps(record))
    assert Run.read(run).is_finished


def damaged(run: Path, how: str) -> Path:
    """The run's file, written anew with something that no block has."""
    (path,) = (run / "posteriors").iterdir()
    table = pq.read_table(path)
    if how == "null":
        labels = pa.array([None, *table.column("label").to_pylist()[1:]], pa.int32())
        table = table.set_column(1, "label", labels)
    elif how == "type":
        table = table.set_column(1, "label", table.column("label").cast(pa.int64()))
    elif how == "column":
        table = table.drop_columns(["label"])
    elif how == "notes":
        metadata: dict[bytes, bytes] = table.schema.metadata
        table = table.replace_schema_metadata(
            metadata | {b"vggbench": metadata[b"vggbench"].replace(b"seconds", b"Seconds")}
        )
    elif how == "bare":
        table = table.replace_schema_metadata(None)
    pq.write_table(table, path, use_dictionary=False, write_page_checksum=True)
    return path


HOW = ("null", "type", "column", "notes", "bare")


@pytest.mark.parametrize("how", HOW)
def test_what_no_block_has_is_said_by_every_reader(how: str, run: Path, vggbench: CLI, tmp_path: Path) -> None:
    path = damaged(run, how)
    content = path.read_bytes()
    for words in (
        ("runs", run.name),
        ("runs", "export", run.name, "--output", tmp_path / "x.csv"),
        ("runs", "export", run.name, "--output", tmp_path / "x.json"),
        ("fuse", "A-*", "D-*"),
    ):
        path.write_bytes(content)
        done = vggbench(*words)
        assert path.name in done.err + done.out, words
        assert done.code == (0 if done.out else 1)
    assert not list(tmp_path.glob("x.*"))


@pytest.mark.parametrize("how", HOW)
def test_eval_computes_again_what_it_cannot_take(how: str, run: Path, vggbench: CLI) -> None:
    command = ("eval", "A", "--data", "sample", "--scales", 256, "--format", "json")
    (before,) = json.loads(vggbench(*command).out)
    damaged(run, how)
    (after,) = json.loads(vggbench(*command).out)
    assert after | {"images_per_second": before["images_per_second"]} == before


@pytest.mark.parametrize("error", [IndexError("a"), pa.ArrowInvalid("b"), TypeError("c"), MemoryError(), KeyError("d")])
def test_whatever_arrow_raises_becomes_a_sentence(error: Exception, run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: Any, **__: Any) -> None:
        raise error

    stored = Run.read(run)
    (path,) = (run / "posteriors").iterdir()
    monkeypatch.setattr(pq.ParquetFile, "read_row_group", broken)
    with pytest.raises(StoreError, match=r"000000-000011\.parquet is damaged inside .* run the command again"):
        list(stored.batches())
    assert not path.exists()
    monkeypatch.setattr(pq, "ParquetFile", broken)
    with pytest.raises(StoreError, match=r"000000-000011\.parquet is damaged .*computed again"):
        BlockFile.open(path)


def test_a_record_as_written_of_no_vggs_run_is_a_sentence(tmp_path: Path) -> None:
    other = Store(tmp_path).run("r", {"seed": 0}, ("a",))
    other.create()
    with pytest.raises(StoreError, match=r"run\.json cannot be read \(KeyError"):
        Run.read(other.folder)
