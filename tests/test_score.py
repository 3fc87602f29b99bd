"""Predictions that other tools made, as runs: rows, comparisons and fusions like any others; and masks of classes."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from conftest import Result

from vggbench.data import DataSet, ImageFile, open_data
from vggbench.errors import UsageError
from vggbench.metrics import ranks
from vggbench.results.imported import in_order
from vggbench.results.judging import GroundTruth, ground_truths, places_of
from vggbench.store.identity import Identity
from vggbench.store.posteriors import posteriors
from vggbench.store.runs import stored_runs

Vggbench = Callable[..., Result]
NETS = ("A", "D")
LIMIT = ("--limit", 24)


def rows(done: Result) -> list[dict[str, Any]]:
    assert done.code == 0, done.err
    found: list[dict[str, Any]] = json.loads(done.out)
    return found


@pytest.fixture
def computed(stored: Callable[..., Path]) -> Path:
    """Runs of two of the sample's nets, over all pictures since `score` takes no part of them."""
    return stored(*(("eval", f"{net}@sample", "--data", "sample", "--center", "--scales", 224) for net in NETS))


def run_of(store: Path, begin: str) -> str:
    (name,) = [run.title for run in stored_runs(store)[0] if run.title.startswith(begin)]
    return name


@pytest.mark.parametrize("ending", [".parquet", ".csv", ".npz", ".jsonl"])
def test_an_export_comes_back_to_the_last_bit(ending: str, computed: Path, vggbench: Vggbench, tmp_path: Path) -> None:
    name = run_of(computed, "D-sample")
    file = tmp_path / f"predicted{ending}"
    done = vggbench("runs", "export", name, "--posteriors", "--output", file)
    assert done.code == 0, done.err
    (told,) = rows(vggbench("score", file, "--data", "sample", "--format", "json"))
    (ours,) = rows(vggbench("eval", "D@sample", "--data", "sample", "--center", "--scales", 224, "--format", "json"))
    for key in ("top1_error", "top5_error", "top1_interval", "images", "classes", "data", "images_total", "complete"):
        assert told[key] == ours[key]
    assert told["protocol"] == told["config"] == "imported"
    assert told["network"] == "predicted"
    assert told["precision"] is None
    assert told["test_scales"] == []
    by_name = {run.title: run for run in stored_runs(computed)[0]}
    again = posteriors(by_name[run_of(computed, "predicted-imported")])
    assert np.array_equal(again, posteriors(by_name[name]))


def test_the_five_best_come_back_with_the_same_errors(computed: Path, vggbench: Vggbench, tmp_path: Path) -> None:
    name, file = run_of(computed, "D-sample"), tmp_path / "best.csv"
    assert vggbench("runs", "export", name, "--output", file).code == 0
    (told,) = rows(vggbench("score", file, "--data", "sample", "--format", "json"))
    (ours,) = rows(vggbench("eval", "D@sample", "--data", "sample", "--center", "--scales", 224, "--format", "json"))
    assert (told["top1_error"], told["top5_error"]) == (ours["top1_error"], ours["top5_error"])
    best = run_of(computed, "best-imported")
    done = vggbench("fuse", best, run_of(computed, "A-sample"))
    assert done.code == 2
    assert "only the five best classes are known" in done.err
    assert vggbench("runs", "export", best, "--posteriors", "--output", tmp_path / "x.csv").code == 2
    assert vggbench("runs", "export", best, "--output", tmp_path / "again.csv").code == 0
    again = pd.read_csv(tmp_path / "again.csv")
    assert again.p1.isna().all()
    assert again.loss.isna().all()
    assert (again.top1 == pd.read_csv(file).top1).all()
    done = vggbench("eval", "D@sample", "--data", "sample", "--center", "--scales", 224, "--classes-of-data", "only")
    assert done.code == 0, done.err
    done = vggbench("compare", best, run_of(computed, "D-sample"), "--classes-of-data", "only")
    assert done.code == 2
    assert "five best" in done.err


def test_models_and_predictions_in_one_table(computed: Path, vggbench: Vggbench, tmp_path: Path) -> None:
    """Rows of evaluated models, of stored runs, and of what others predicted, in the order asked for."""
    assert (
        vggbench("runs", "export", run_of(computed, "A-sample"), "--posteriors", "--output", tmp_path / "a.csv").code
        == 0
    )
    assert vggbench("score", tmp_path / "a.csv", "--data", "sample", "--name", "theirs").code == 0
    theirs = run_of(computed, "theirs-imported")
    asked = ("compare", "D@sample", theirs, "--data", "sample", "--center", "--scales", 224)
    first, second = rows(vggbench(*asked, "--format", "json"))
    assert [first["network"], second["network"]] == ["D@sample", "theirs"]
    assert second["against"] == "D@sample"
    (alone,) = rows(vggbench("eval", "A@sample", "--data", "sample", "--center", "--scales", 224, "--format", "json"))
    assert second["top1_error"] == alone["top1_error"]
    text = vggbench(*asked, "--format", "table")
    assert text.code == 0
    words = " ".join(text.out.split())
    assert "theirs: imported from a.csv, how it saw the images is not known" in words
    assert "theirs: Its" in words or "theirs: " in words
    turned = rows(
        vggbench("compare", theirs, "D@sample", "--data", "sample", "--center", "--scales", 224, "--format", "json")
    )
    assert [row["network"] for row in turned] == ["theirs", "D@sample"]
    fused = rows(vggbench("fuse", theirs, run_of(computed, "D-sample"), "--format", "json"))
    ours = rows(vggbench("fuse", run_of(computed, "A-sample"), run_of(computed, "D-sample"), "--format", "json"))
    assert fused[0]["top1_error"] == ours[0]["top1_error"]
    done = vggbench("report", theirs, run_of(computed, "D-sample"), "--output", tmp_path / "r.html")
    assert done.code == 0, done.err
    assert "theirs" in (tmp_path / "r.html").read_text()


def test_a_run_of_the_store_prints_and_is_stored_once(computed: Path, vggbench: Vggbench, tmp_path: Path) -> None:
    file = tmp_path / "p.parquet"
    assert vggbench("runs", "export", run_of(computed, "A-sample"), "--posteriors", "--output", file).code == 0
    for _ in range(2):
        assert vggbench("score", file, "--data", "sample").code == 0
    name = run_of(computed, "p-imported")
    done = vggbench("runs", name)
    assert done.code == 0
    assert "not known: imported" in done.out
    assert vggbench("runs").code == 0
    assert vggbench("runs", "--finish").code == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda frame: frame.iloc[1:], "lacks"),
        (lambda frame: pd.concat([frame, frame.iloc[:1]]), "twice"),
        (lambda frame: frame.assign(**{frame.columns[2]: np.nan}), "NaN"),
        (lambda frame: frame.rename(columns={"image": "picture"}), "image"),
    ],
)
def test_what_does_not_fit_is_refused_in_a_sentence(
    change: Callable[[pd.DataFrame], pd.DataFrame], said: str, computed: Path, vggbench: Vggbench, tmp_path: Path
) -> None:
    file = tmp_path / "p.csv"
    assert vggbench("runs", "export", run_of(computed, "A-sample"), "--posteriors", "--output", file).code == 0
    change(pd.read_csv(file)).to_csv(file, index=False)
    done = vggbench("score", file, "--data", "sample")
    assert done.code == 1
    assert "expected" in done.err
    assert "Traceback" not in done.err
    assert said
    assert not list(computed.glob("p-imported-*"))


def test_names_that_would_be_models_are_refused(tmp_path: Path, vggbench: Vggbench) -> None:
    for name in ("D", "vgg16", "timm:resnet50", "a/b", "x@y"):
        done = vggbench("score", tmp_path / "x.csv", "--data", "sample", "--name", name)
        assert done.code == 2, done.err
        assert "--name" in done.err
    assert "expected --data PATH" in vggbench("score", tmp_path / "x.csv").err


def test_from_python_as_from_the_command_line(computed: Path, tmp_path: Path, vggbench: Vggbench) -> None:
    import vggbench as library

    file = tmp_path / "p.parquet"
    assert vggbench("runs", "export", run_of(computed, "A-sample"), "--posteriors", "--output", file).code == 0
    theirs = library.score(file, "sample", name="theirs", runs=computed)
    ours = library.evaluate("D@sample", "sample", protocols="center", scales=224, runs=computed)
    beside = ours.compare(theirs)
    assert [row.network for row in beside.rows] == ["D@sample", "theirs"]
    with pytest.raises(UsageError, match="that is a MODEL"):
        library.score(file, "sample", name="D", runs=computed)


def test_order_alone_is_kept_of_the_five_best() -> None:
    found = in_order(np.array([[4, 0, 2, 1, 5], [3, 5, 4, 1, 0]], np.int32), 8)
    for label, expected in ((4, 0), (0, 1), (2, 2), (1, 3), (5, 4)):
        assert ranks(found[:1], np.array([label]))[0] == expected
    assert ranks(found[:1], np.array([3]))[0] >= 5
    assert ranks(found[1:], np.array([7]))[0] >= 5


# ---------------------------------------------------------------- among which classes


def _data(classes: tuple[str, ...]) -> DataSet:
    images = tuple(ImageFile(f"i{number}", Path("x"), 1, name) for number, name in enumerate(classes))
    return DataSet("few", images, len(images))


def test_classes_that_the_data_lacks_do_not_stand_in_line() -> None:
    model = Identity("net", None, 5, ("a", "b", "c", "d", "e"), "0" * 64)
    data = _data(("b", "d", "b"))
    assert places_of(data, model) == [1, 3]
    found = np.array([[0.4, 0.3, 0.2, 0.1, 0.0], [0.1, 0.5, 0.0, 0.4, 0.0], [0.3, 0.2, 0.3, 0.15, 0.05]], np.float32)

    class Plain:
        images = ("i0", "i1", "i2")
        title, folder = "plain", Path("plain")

        @property
        def sources(self) -> tuple["Plain", ...]:
            return (self,)

        def mean(self, read: Any) -> Any:
            return read[self.folder]

        def batches(self) -> Any:
            yield found

    (among,) = GroundTruth(of_data=True).ranks([Plain()], data, model)
    (all_,) = GroundTruth().ranks([Plain()], data, model)
    assert among.tolist() == [0, 1, 0]
    assert all_.tolist() == [1, 1, 2]


def test_both_figures_are_printed_when_asked(vggbench: Vggbench, tmp_path: Path, pictures: Path) -> None:
    """A net of 1,000 classes on four of them: random, so that among the four it errs less."""
    from vggbench.data.imagenet import wnids

    place = tmp_path / "few"
    for name, file in zip(wnids()[:2], sorted(path for path in pictures.rglob("*") if path.is_file()), strict=False):
        (place / name).mkdir(parents=True)
        (place / name / "one.jpg").write_bytes(file.read_bytes())
    asked = ("eval", "timm:test_resnet@random", "--data", place, "--classes-of-data", "all", "only")
    both = rows(vggbench(*asked, "--format", "json"))
    assert [row["labels"] for row in both] == ["original", "original, data's classes"]
    assert [row["scored_classes"] for row in both] == [1000, 2]
    assert both[1]["top1_error"] <= both[0]["top1_error"]
    assert both[1]["top5_error"] is None
    words = " ".join(vggbench(*asked, "--format", "table").out.split())
    assert "The data has 2 of the networks' 1,000 classes" in words
    alone = vggbench(*asked[:-3], "--format", "table", "--explain-notes")
    assert "--classes-of-data only scores among those" in " ".join(alone.out.split())
    assert len(ground_truths([], None, ["all", "only"])) == 2
    name = run_of(tmp_path / "runs", "timm_test_resnet")
    stored = rows(vggbench("compare", name, "--classes-of-data", "only", "--format", "json"))
    assert stored[0]["top1_error"] == both[1]["top1_error"]
    assert stored[0]["scored_classes"] == 2
    assert open_data(place).class_names == tuple(wnids()[:2])
    done = vggbench(*asked, "--labels", "real=x.json")
    assert done.code == 2


# ---------------------------------------------------------------- what a record says besides its signature


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "imported"), ("kind", [1]), ("side", -5), ("side", "x"), ("macs", -1), ("uncounted", "abc"),
        ("classes_of_data", 7), ("images_total", "x"), ("class_names", ["a", "b"]), ("preset", {"scale": 3}),
        ("preset", 7),
    ],
)  # fmt: skip
def test_a_record_that_contradicts_itself_is_refused(
    name: str, value: Any, stored: Callable[..., Path], vggbench: Vggbench
) -> None:
    """As one could write it who takes the seal away, which older records have not."""
    store = stored(("eval", "timm:test_resnet@random", "--data", "sample", "--limit", 2, "--center"))
    (run,) = store.iterdir()
    record = json.loads((run / "run.json").read_text())
    record = record.get("content", record)
    record.pop("sha256", None)
    record["about"][name] = value
    (run / "run.json").write_text(json.dumps(record))
    done = vggbench("compare", run.name)
    assert done.code == 1
    assert "run.json cannot be read" in done.err
    assert "Traceback" not in done.err


def test_one_file_at_two_sides_is_two_models(vggbench: Vggbench, tmp_path: Path) -> None:
    """They were taken for one another, and a fusion of both was one of them."""
    done = vggbench("export", "torchvision:squeezenet1_1@random", "--to", "onnx", "--output", tmp_path / "n.onnx")
    assert done.code == 0, done.err
    import onnx

    model = onnx.load(tmp_path / "n.onnx")
    del model.metadata_props[:]
    onnx.save(model, tmp_path / "n.onnx")
    place = tmp_path / "few" / "n01440764"
    place.mkdir(parents=True)
    from PIL import Image

    Image.new("RGB", (300, 260), "red").save(place / "a.jpg")
    for side in (160, 224):
        asked = ("--data", tmp_path / "few", "--center", "--scales", 256, "--size", side, "--input", "torchvision")
        (row,) = rows(vggbench("eval", f"onnx:{tmp_path / 'n.onnx'}", *asked, "--format", "json"))
        assert row["crop"] == side
        assert ("crops of 160" in row["signature"]) == (side == 160)
    names = sorted(path.name for path in (tmp_path / "runs").iterdir())
    assert len(names) == 2
    both = vggbench("fuse", *names, "--format", "json")
    assert both.code == 0, both.err
    assert json.loads(both.out)[0]["network"] == "onnx:n.onnx + onnx:n.onnx"


def test_what_a_library_states_is_not_stated_again(vggbench: Vggbench) -> None:
    for option in (["--input", "caffe"], ["--size", 192], ["--train-scale", 256]):
        done = vggbench("eval", "timm:test_resnet@random", "--data", "sample", "--limit", 2, *option)
        assert done.code == 2
        assert f"{option[0]} with timm:test_resnet@random" in done.err
