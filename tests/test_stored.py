"""Runs by their records alone: what is listed, fused, finished and deleted without images or weights."""

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from conftest import Result

from vggbench.errors import StoreError, UsageError
from vggbench.files import sealed, unsealed
from vggbench.results.judging import ORIGINAL
from vggbench.results.stored import stored
from vggbench.store.blocks import BlockFile
from vggbench.store.posteriors import posteriors_sha256
from vggbench.store.recording import Recording
from vggbench.store.runs import Run, is_run_name, named_runs, stored_runs

CLI = Callable[..., Result]


@pytest.fixture
def store(stored: Callable[..., Path], few_drawn: Path) -> Path:
    """Two nets of the sample by dense at one Q, and D at a second."""
    common = ("--data", "sample", "--scales")
    return stored(("compare", "A", "D", *common, 256), ("eval", "D", *common, 288))


def names(store: Path) -> dict[str, str]:
    return {path.name.rpartition("-")[0]: path.name for path in sorted(store.iterdir())}


def cut_to(run: Path, images: int) -> None:
    """As if the run had been killed after its first block."""
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps(record | {"images": images}))


def test_the_list_says_what_eval_said(vggbench: CLI, store: Path) -> None:
    said = json.loads(vggbench("compare", "A", "D", "--data", "sample", "--scales", 256, "--format", "json").out)
    listed = {run["model"]: run for run in json.loads(vggbench("runs", "--format", "json").out) if run["scale"] == 256}
    for row in said:
        run = listed[row["network"]]
        assert (run["top1_error"], run["top5_error"]) == (row["top1_error"], row["top5_error"])
        assert (run["images"], run["images_total"], run["complete"]) == (12, 12, True)
        assert row["signature"].endswith(run["signature"])


def test_what_a_run_has_not_is_not_printed(vggbench: CLI, store: Path) -> None:
    out = vggbench("runs", names(store)["A-sample-dense-Q256"], "--format", "md").out
    assert "| Computed |" in out
    assert "None" not in out


def test_the_list_is_for_people_too(vggbench: CLI, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "80")
    out = vggbench("runs", "--format", "table").out
    assert "3 runs" in out
    assert out.count("D@sample") == 2
    assert "SAMPLE" in out or "dense" in out
    assert all(len(line) <= 80 for line in out.splitlines())


def test_a_remembered_error_is_of_the_files_that_are_there(store: Path) -> None:
    folder = store / names(store)["D-sample-dense-Q256"]
    first = Run.read(folder).errors
    remembered = folder / ".errors.json"
    kept = unsealed(remembered.read_text())
    remembered.write_text(json.dumps(kept | {"counts": [0, 0, 12]}))
    assert Run.read(folder).errors == first, "a count that was changed is counted anew"
    remembered.write_text(sealed(kept | {"counts": [0, 0, 12]}))
    changed = Run.read(folder).errors
    assert changed
    assert changed.top1.wrong == 0, "it is read, not counted again"
    (parquet,) = (folder / "posteriors").glob("*.parquet")
    parquet.touch()
    assert Run.read(folder).errors == first, "another file is counted anew"
    remembered.write_text("nonsense")
    assert Run.read(folder).errors == first


@pytest.mark.parametrize("how", ["name", "hash", "beginning", "pattern"])
def test_a_run_is_named(how: str, store: Path) -> None:
    name = names(store)["A-sample-dense-Q256"]
    text = {"name": name, "hash": name[-8:], "beginning": "A-", "pattern": "A*Q256*"}[how]
    assert [run.title for run in named_runs(store, [text, name])] == [name]
    assert is_run_name(store, text)


@pytest.mark.parametrize("text", ["B-sample", "", "../D", "Q*"])
def test_a_run_that_is_not_there(text: str, store: Path) -> None:
    with pytest.raises(UsageError, match="expected one of A-sample"):
        named_runs(store, [text])


def test_a_beginning_of_several(store: Path) -> None:
    with pytest.raises(UsageError, match=r"begins 2 runs .* D-sample\* takes them all"):
        named_runs(store, ["D-sample"])
    assert len(named_runs(store, ["D-sample*"])) == 2


def test_a_run_that_is_gone_is_no_unknown_model(vggbench: CLI, store: Path) -> None:
    refused = vggbench("fuse", "D-sample-dense-Q999-00000000", names(store)["A-sample-dense-Q256"])
    assert refused.code == 2
    assert "has no run 'D-sample-dense-Q999-00000000'" in refused.err


def test_models_are_no_runs(store: Path) -> None:
    assert not any(is_run_name(store, text) for text in ("A", "D", "D@sample", "E"))


def test_a_stored_fusion_is_the_fusion(vggbench: CLI, store: Path) -> None:
    computed = json.loads(vggbench("fuse", "A", "D", "--data", "sample", "--scales", 256, "--format", "json").out)
    named = [names(store)[f"{net}-sample-dense-Q256"] for net in "AD"]
    found = json.loads(vggbench("fuse", *named, "--format", "json").out)
    assert found == computed, "the same row from the store alone"


def test_runs_of_one_model_are_its_row_over_all_qs(vggbench: CLI, store: Path) -> None:
    rows = json.loads(vggbench("eval", "D", "--data", "sample", "--scales", 256, 288, "--format", "json").out)
    runs = named_runs(store, ["D-*"])
    found = stored(runs)
    line = found.whole_line(found.models[0])
    assert line.own_scales == (256, 288)
    (ranks,) = found.ranking.of([line], ORIGINAL)
    wrong = int((ranks >= 1).sum())
    assert 100 * wrong / 12 == rows[-1]["top1_error"]


def test_shares_weight(vggbench: CLI, store: Path) -> None:
    named = [names(store)[f"{net}-sample-dense-Q256"] for net in "AD"]
    alone, alike = (
        json.loads(vggbench("fuse", *named, "--shares", *shares, "--format", "json").out)[0]
        for shares in ((0, 1), (1, 1))
    )
    d = Run.read(store / named[1]).errors
    assert d
    assert alone["top1_error"] == d.top1.percent
    assert alone["network"] == "0 A@sample + 1 D@sample"
    plain = json.loads(vggbench("fuse", *named, "--format", "json").out)[0]
    assert plain["top1_error"] == alike["top1_error"]
    refused = vggbench("fuse", *named, "--shares", 1)
    assert refused.code == 2
    assert "expected 2 numbers" in refused.err


def test_different_images_are_refused_by_name(vggbench: CLI, store: Path) -> None:
    assert vggbench("eval", "A", "--data", "sample", "--limit", 5).code == 0
    whole = names(store)["D-sample-dense-Q256"]
    part = next(run.title for run in stored_runs(store)[0] if run.total == 5)
    refused = vggbench("fuse", whole, part)
    assert refused.code == 1
    assert "cover different images (12 and 5;" in refused.err
    assert whole in refused.err
    assert part in refused.err


def test_different_labels_are_refused(vggbench: CLI, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = Run.labels
    monkeypatch.setattr(
        Run,
        "labels",
        lambda run: (own(run) + (run.title[0] == "A")) % 12,  # A's are all of the next class
    )
    refused = vggbench("fuse", *(names(store)[f"{net}-sample-dense-Q256"] for net in "AD"))
    assert refused.code == 1
    assert "have different labels for" in refused.err


@pytest.mark.parametrize("option", [("--scales", 384), ("--multicrop",), ("--limit", 5), ("--dry-run",)])
def test_what_stored_runs_cannot_heed_is_refused(option: tuple[Any, ...], vggbench: CLI, store: Path) -> None:
    named = [names(store)[f"{net}-sample-dense-Q256"] for net in "AD"]
    refused = vggbench("fuse", *named, *option)
    assert (refused.code, refused.out) == (2, "")
    assert f"{option[0]} is for models" in refused.err


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--shares", 1, 2, 3), "expected 2 numbers"),
        (("--shares", 0, 0), "expected 2 numbers"),
        (("--center", "--scales", 256, 288), "center and tencrop do not combine several Qs"),
    ],
)
def test_a_fusion_that_cannot_be_is_refused_before_any_forward_pass(
    options: tuple[Any, ...], said: str, vggbench: CLI, few_drawn: Path, tmp_path: Path
) -> None:
    refused = vggbench("fuse", "A", "D", "--data", "sample", *options)
    assert refused.code == 2
    assert said in refused.err
    assert not (tmp_path / "runs").exists()


def test_runs_stand_beside_models(vggbench: CLI, store: Path) -> None:
    """As if both were stored, in the order in which they are named; of other images they are refused."""
    asked = ("--data", "sample", "--dense", "--scales", 256, "--format", "json")
    both = names(store)["A-sample-dense-Q256"], names(store)["D-sample-dense-Q256"]
    mixed = json.loads(vggbench("fuse", both[0], "D@sample", *asked).out)
    assert mixed == json.loads(vggbench("fuse", *both, "--format", "json").out)
    rows = json.loads(vggbench("compare", "D@sample", both[0], *asked).out)
    assert [row["network"] for row in rows] == ["D@sample", "A@sample"]
    refused = vggbench("fuse", both[0], "D@sample", "--data", "sample", "--limit", 5, "--dense", "--scales", 256)
    assert refused.code == 1
    assert "different images" in refused.err


@pytest.mark.thorough
def test_the_papers_fusions_have_names(vggbench: CLI, few_drawn: Path) -> None:
    row = json.loads(vggbench("fuse", "two-net", "--data", "sample", "--dense", "--format", "json").out)[0]
    assert row["network"] == "D@sample + E@sample"
    assert row["test_scales"] == [256, 384, 512]
    refused = vggbench("fuse", "seven-net", "--data", "sample")
    assert refused.code == 2
    assert "C of S=256, C of S=384" in refused.err
    other = vggbench("fuse", "two-net", "A", "D", "--data", "sample")
    assert other.code == 2
    assert "Found A of S=256-512, D of S=256-512: expected D of S=256-512, E of S=256-512" in other.err


def test_an_unfinished_run_is_finished(vggbench: CLI, few_drawn: Path, tmp_path: Path, many_pictures: Path) -> None:
    assert vggbench("eval", "A@random", "--width", 0.0625, "--data", many_pictures, "--center").code == 0
    whole = next((tmp_path / "runs").iterdir())
    expected = posteriors_sha256([Run.read(whole)])
    shutil.copytree(whole, tmp_path / "whole")
    shutil.rmtree(whole / "posteriors")
    listed = json.loads(vggbench("runs", "--format", "json").out)[0]
    assert (listed["images"], listed["images_total"], listed["complete"]) == (0, 70, False)
    assert listed["top1_error"] is None
    finished = vggbench("runs", "--finish", "--device", "cpu")
    assert finished.code == 0, finished.err
    assert "70 images to compute" in finished.err
    assert posteriors_sha256([Run.read(whole)]) == expected
    assert "Nothing is left" in vggbench("runs", "--finish").err


def test_a_run_of_a_file_whose_input_was_given_in_numbers_is_finished(
    vggbench: CLI, tmp_path: Path, pictures: Path, peaked: Callable[..., Any]
) -> None:
    torch.save(peaked("A"), tmp_path / "own.pth")
    own = f"A@{tmp_path / 'own.pth'}"
    assert vggbench("eval", own, "--input", "BGR,255,104/117/123,1", "--data", pictures, "--center").code == 0
    whole = next((tmp_path / "runs").iterdir())
    expected = posteriors_sha256([Run.read(whole)])
    shutil.rmtree(whole / "posteriors")
    finished = vggbench("runs", "--finish", "--device", "cpu")
    assert finished.code == 0, finished.err
    assert posteriors_sha256([Run.read(whole)]) == expected


def test_other_images_are_not_taken_to_finish_a_run(
    vggbench: CLI, few_drawn: Path, tmp_path: Path, pictures: Path
) -> None:
    own = shutil.copytree(pictures, tmp_path / "own")
    assert vggbench("eval", "A@random", "--width", 0.0625, "--data", own, "--center").code == 0
    run = next((tmp_path / "runs").iterdir())
    shutil.rmtree(run / "posteriors")
    image = next(own.glob("*/*.JPEG"))
    image.write_bytes(image.read_bytes() + b"\0")
    refused = vggbench("runs", "--finish")
    assert refused.code == 1
    assert "was begun with other images" in refused.err
    assert [path.name for path in (tmp_path / "runs").iterdir()] == [run.name], "no other run is begun"


def test_a_run_of_an_older_version_is_listed_and_not_finished(vggbench: CLI, store: Path) -> None:
    folder = store / names(store)["A-sample-dense-Q256"]
    record = json.loads((folder / "run.json").read_text())
    del record["about"], record["sha256"]
    (folder / "run.json").write_text(json.dumps(record | {"images": 40}))
    listed = {run["run"]: run for run in json.loads(vggbench("runs", "--format", "json").out)}
    assert (listed[folder.name]["model"], listed[folder.name]["images_total"]) == ("A-sample", 40)
    refused = vggbench("runs", folder.name, "--finish")
    assert refused.code == 1
    assert "does not say where its weights are" in refused.err


def test_deleting(vggbench: CLI, store: Path) -> None:
    assert vggbench("runs", "--delete").code == 2
    done = vggbench("runs", "D-*", "--delete")
    assert done.code == 0
    assert done.err.count("Deleted D-sample-dense") == 2
    assert list(names(store)) == ["A-sample-dense-Q256"]


@pytest.mark.parametrize(
    "change",
    [
        {"signature": {}},
        {"signature": []},
        {"images": "many"},
        {"about": 7},
        {"signature": {"protocol": "../x"}},
    ],
)
def test_a_record_that_is_none_is_said_and_the_others_listed(
    change: dict[str, Any], vggbench: CLI, store: Path
) -> None:
    record = store / names(store)["A-sample-dense-Q256"] / "run.json"
    record.write_text(json.dumps(json.loads(record.read_text()) | change))
    listed = vggbench("runs", "--format", "json")
    assert listed.code == 0
    assert len(json.loads(listed.out)) == 2
    assert f"{record} cannot be read" in listed.err


def test_a_damaged_block_is_not_counted(vggbench: CLI, store: Path) -> None:
    folder = store / names(store)["A-sample-dense-Q256"]
    (parquet,) = (folder / "posteriors").glob("*.parquet")
    parquet.write_bytes(b"PAR1 nothing")
    run = Run.read(folder)
    assert (run.done, run.damaged, run.errors) == (0, [parquet], None)
    assert "Damaged" in vggbench("runs", folder.name, "--format", "md").out


def test_a_block_that_lacks_rows_is_damaged(vggbench: CLI, store: Path) -> None:
    folder = store / names(store)["A-sample-dense-Q256"]
    (parquet,) = (folder / "posteriors").glob("*.parquet")
    pq.write_table(pq.read_table(parquet).slice(1), parquet)
    run = Run.read(folder)
    assert (run.done, run.damaged) == (0, [parquet])
    assert len(Recording.open(folder, run.signature, tuple(f"{i}" for i in range(12))).damaged) == 1


def test_an_image_that_is_there_twice_is_refused(vggbench: CLI, store: Path) -> None:
    folder = store / names(store)["A-sample-dense-Q256"]
    (parquet,) = (folder / "posteriors").glob("*.parquet")
    table = pq.read_table(parquet)
    pq.write_table(pa.concat_tables([table.slice(1), table.slice(1, 1)]), parquet)
    with pytest.raises(StoreError, match="twice: expected every image once"):
        _ = Run.read(folder).images


def test_blocks_that_overlap_count_once(vggbench: CLI, store: Path) -> None:
    """As a kill leaves them between the joining of blocks and their removal, and as no kill does."""
    folder = store / names(store)["A-sample-dense-Q256"]
    (parquet,) = (folder / "posteriors").glob("*.parquet")
    table = pq.read_table(parquet)
    pq.write_table(table.slice(0, 8), parquet.with_name("000000-000007.parquet"))
    pq.write_table(table.slice(8), parquet.with_name("000008-000011.parquet"))
    ids = tuple(table.column("image").to_pylist())
    assert Run.read(folder).images == ids
    parquet.unlink()
    pq.write_table(table.slice(4), parquet.with_name("000004-000011.parquet"))
    run = Run.read(folder)
    assert (run.images, run.done) == (ids, 12)
    opened = Recording.open(folder, run.signature, ids)
    assert (opened.images, len(opened.missing())) == (ids, 0)
    assert not parquet.with_name("000004-000011.parquet").exists()


def test_a_run_in_full(vggbench: CLI, store: Path) -> None:
    name = names(store)["D-sample-dense-Q288"]
    out = vggbench("runs", name).out
    assert "dense at Q=288" in out
    assert "D@sample, S 256-512" in out
    assert "12 images" in out
    assert "None" not in out


def test_the_hash_of_posteriors(store: Path) -> None:
    folder = store / names(store)["D-sample-dense-Q288"]
    values = np.stack(pd.read_parquet(folder / "posteriors")["posterior"].to_list()).astype("<f4")
    assert posteriors_sha256([Run.read(folder)]) == hashlib.sha256(values.tobytes()).hexdigest()


def test_the_record_leads_back(store: Path) -> None:
    folder = store / names(store)["D-sample-dense-Q288"]
    record = json.loads((folder / "run.json").read_text())
    assert record["about"]["spec"] == "D@sample"
    assert record["about"]["place"] == "sample"


def test_a_store_that_is_not_there(vggbench: CLI, tmp_path: Path) -> None:
    done = vggbench("runs", "--runs", tmp_path / "nowhere")
    assert done.code == 0
    assert "holds no runs yet" in done.err
    assert vggbench("runs", "D-x", "--runs", tmp_path / "nowhere").code == 2


def test_unreadable_records_are_errors_when_named(store: Path) -> None:
    folder = store / names(store)["A-sample-dense-Q256"]
    (folder / "run.json").write_text("{")
    with pytest.raises(StoreError, match="Delete it and repeat the command that began the run"):
        named_runs(store, ["A-*"])


def test_a_label_that_is_no_class_is_a_sentence(vggbench: CLI, store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a file that somebody made up could have it."""
    column = BlockFile.column
    wrong = np.full(12, 99, np.int32)
    monkeypatch.setattr(BlockFile, "column", lambda file, name: [wrong] if name == "label" else column(file, name))
    refused = vggbench("fuse", *(names(store)[f"{net}-sample-dense-Q256"] for net in "AD"))
    assert refused.code == 1
    assert "has labels from 99 to 99: expected those of its 12 classes" in refused.err


@pytest.mark.thorough
def test_an_altered_run_stays_altered_in_the_store(few_drawn: Path, stored: Callable[..., Path]) -> None:
    store = stored(("explain", "A", "--data", "sample"))
    altered = {run.identity.name for run in stored_runs(store)[0] if run.identity.altered is not None}
    assert altered == {
        "A@sample (channels swapped)", "A@sample (mean reversed)", "A@sample (scale of 255)", "A@sample (ceil)"
    }  # fmt: skip
