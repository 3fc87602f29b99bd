"""`probe` against scripts of its own in plain scikit-learn, and what it refuses."""

import json
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest
from conftest import Result
from feature_files import ABOUT, drawn, write_file, write_voc
from sklearn.metrics import recall_score
from sklearn.model_selection import PredefinedSplit, cross_val_predict
from sklearn.preprocessing import normalize
from sklearn.svm import LinearSVC
from test_light_imports import heavy_after_command

import vggbench as package
from vggbench.data.caltech import CALTECH_101, unlike
from vggbench.data.voc import CLASSES
from vggbench.errors import DataError, UsageError
from vggbench.paper.probes import PROTOCOLS
from vggbench.paper.published import TABLE_11
from vggbench.store.features import write_features
from vggbench.studies.probing.descriptors import Descriptors
from vggbench.studies.probing.probe import probe
from vggbench.studies.probing.probed import Request
from vggbench.studies.probing.reference import paper_figure
from vggbench.studies.probing.splits import Drawing, draw

CLI = Callable[..., Result]
COSTS = (0.01, 0.1, 1.0, 10.0, 100.0)


def table_of(path: Path) -> tuple[list[str], np.ndarray, np.ndarray]:
    """Ids, labels and descriptors by pyarrow alone."""
    table = pq.read_table(path)
    return table["image"].to_pylist(), np.array(table["label"].to_pylist()), np.array(table["descriptor"].to_pylist())


def machine(cost: float) -> Any:
    return LinearSVC(C=cost, dual="auto", random_state=0, max_iter=10_000)


def chosen(x: np.ndarray, y: np.ndarray, folds: int) -> float:
    """By the rule that docs/probe.md states, in scikit-learn's words."""
    part = np.empty(len(y), int)
    for label in np.unique(y):
        own = np.flatnonzero(y == label)
        part[own[np.random.default_rng((0, label)).permutation(len(own))]] = np.arange(len(own)) % 5
    best = (-1.0, 0.0)
    for cost in COSTS:
        if folds == 5:
            found, truth = cross_val_predict(machine(cost), x, y, cv=PredefinedSplit(part)), y
        else:
            found, truth = machine(cost).fit(x[part > 0], y[part > 0]).predict(x[part == 0]), y[part == 0]
        best = max(best, (recall_score(truth, found, average="macro"), -cost))
    return -best[1]


def script(paths: Sequence[Path], splits: Path, folds: int) -> tuple[list[float], list[float]]:
    """Mean class recalls in percent, and C, of files by the splits in a file."""
    ids, labels, _ = table_of(paths[0])
    columns = []
    for path in paths:
        own, _, x = table_of(path)
        columns.append(x[[own.index(image) for image in ids]])
    x = normalize(np.hstack(columns).astype(np.float32))
    figures, costs = [], []
    for split in json.loads(splits.read_text())["splits"]:
        train, test = ([ids.index(image) for image in split[part]] for part in ("train", "test"))
        costs.append(chosen(x[train], labels[train], folds))
        found = machine(costs[-1]).fit(x[train], labels[train]).predict(x[test])
        figures.append(100 * recall_score(labels[test], found, average="macro"))
    return figures, costs


@pytest.mark.parametrize("folds", [1, 5])
def test_it_equals_a_script_in_scikit_learn(folds: int, tmp_path: Path, vggbench: CLI) -> None:
    one, splits = write_file(tmp_path / "d.parquet"), tmp_path / "splits.json"
    done = vggbench("probe", one, "--folds", folds, "--split-file", splits, "--format", "json")
    (row,) = json.loads(done.out)
    figures, costs = script([one], splits, folds)
    assert row["by_split"] == pytest.approx(figures, abs=1e-10)
    assert row["cost"] == costs
    assert row["figure"] == pytest.approx(np.mean(figures), abs=1e-10)
    assert row["deviation"] == pytest.approx(np.std(figures, ddof=1), abs=1e-10)
    assert len(set(figures)) > 1, "splits that differ, or a mean shows nothing"
    assert 40 < row["figure"] < 95


def test_several_files_are_stacked_whatever_their_order(tmp_path: Path, vggbench: CLI) -> None:
    order = np.random.default_rng(3).permutation(135).tolist()
    first = write_file(tmp_path / "d.parquet")
    other = write_file(
        tmp_path / "e.parquet", seed=5, numbers=9, order=order, half=True, about={"models": ["E@sample"]}
    )
    splits = tmp_path / "splits.json"
    done = vggbench("probe", first, other, "--each", "--split-file", splits, "--folds", 1, "--format", "json")
    rows = json.loads(done.out)
    assert [row["network"] for row in rows] == ["D@sample", "E@sample", "D@sample + E@sample"]
    assert [row["numbers"] for row in rows] == [12, 9, 21]
    for row, paths in zip(rows, ([first], [other], [first, other]), strict=True):
        figures, costs = script(paths, splits, 1)
        assert (row["by_split"], row["cost"]) == (pytest.approx(figures, abs=1e-10), costs)
    again = vggbench("probe", other, first, "--split-file", splits, "--folds", 1, "--format", "json")
    assert json.loads(again.out)[0]["by_split"] == pytest.approx(rows[2]["by_split"], abs=2), "the order hardly counts"


def test_test_images_have_no_say_in_c(tmp_path: Path) -> None:
    path, splits = write_file(tmp_path / "d.parquet"), tmp_path / "splits.json"
    (row,) = probe([path], Request(split_file=splits, splits=1)).rows
    ids, labels, x = table_of(path)
    tested = set(json.loads(splits.read_text())["splits"][0]["test"])
    x[[image in tested for image in ids]] = drawn(np.zeros(len(tested), int), x.shape[1], 9.0, 8)
    write_features(path, ids, labels, [x], ABOUT | {"classes": ["ant", "bee", "cat"]})
    (changed,) = probe([path], Request(split_file=splits, splits=1)).rows
    assert changed.figure < row.figure - 10
    assert (changed.outcomes[0].cost, changed.outcomes[0].held_out) == (row.outcomes[0].cost, row.outcomes[0].held_out)


# ---------------------------------------------------------------- splits


def test_splits_are_disjoint_and_hang_on_seed_and_ids_alone() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat([0, 1, 2], [9, 14, 30])
    ids = [f"i{number:03}" for number in range(len(labels))]
    order = rng.permutation(len(ids))
    found = draw(Drawing(5, 7, 4, 1), ids, labels, "abc")
    assert found == draw(Drawing(5, 7, 4, 1), [ids[at] for at in order], labels[order], "abc")
    assert found[:2] == draw(Drawing(5, 7, 2, 1), ids, labels, "abc")
    assert len({split.train for split in found}) == 4
    of = dict(zip(ids, labels.tolist(), strict=True))
    for split in found:
        assert not set(split.train) & set(split.test)
        assert [[of[image] for image in split.train].count(label) for label in range(3)] == [5, 5, 5]
        assert [[of[image] for image in split.test].count(label) for label in range(3)] == [4, 7, 7]
    (whole,) = draw(Drawing(5, None, 1, 1), ids, labels, "abc")
    assert {*whole.train, *whole.test} == set(ids)
    with pytest.raises(DataError, match="Class a has 9 images: expected more than the 9 that train"):
        draw(Drawing(9, 7, 1, 1), ids, labels, "abc")


def test_a_file_of_splits_is_used_again(tmp_path: Path, vggbench: CLI) -> None:
    path, splits = write_file(tmp_path / "d.parquet"), tmp_path / "splits.json"
    options = ("--split-file", splits, "--costs", 1, "--format", "json")
    first = json.loads(vggbench("probe", path, "--seed", 4, "--train-per-class", 20, *options).out)[0]
    before = splits.read_bytes()
    again = json.loads(vggbench("probe", path, *options).out)[0]
    assert splits.read_bytes() == before
    assert (again["by_split"], again["splits_sha256"]) == (first["by_split"], first["splits_sha256"])
    assert again["train_images"] == [60, 60, 60]
    refused = vggbench("probe", path, "--train-per-class", 30, *options)
    assert (refused.code, refused.out) == (2, "")
    assert "--train-per-class 30:" in refused.err
    assert "holds splits of 20: expected the same" in refused.err


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s["splits"][1]["test"].append(s["splits"][1]["train"][0]), "split 2 of .* trains and tests"),
        (lambda s: s["splits"][0]["test"].append(s["splits"][0]["test"][0]), "split 1 of .* occurs twice"),
        (lambda s: s["splits"][0]["test"].append("dog/1"), "names dog/1, which the features lack"),
        (lambda s: s["splits"][0]["test"].clear(), "Split 1 of .* is empty"),
        (lambda s: s["splits"].append({"train": [1], "test": []}), "is damaged"),
        (lambda s: s.pop("splits"), "is damaged"),
        (lambda s: s.pop("kind"), "holds no splits"),
        (
            lambda s: s["splits"][0].update(train=[i for i in s["splits"][0]["train"] if i[0] != "a"]),
            "Class ant is tested",
        ),
    ],
)
def test_a_file_of_splits_that_cannot_be_is_refused(change: Callable[[Any], Any], told: str, tmp_path: Path) -> None:
    path, splits = write_file(tmp_path / "d.parquet"), tmp_path / "splits.json"
    probe([path], Request(split_file=splits, costs=(1.0,)))
    record = json.loads(splits.read_text())
    change(record)
    splits.write_text(json.dumps(record))
    with pytest.raises(DataError, match=told):
        probe([path], Request(split_file=splits, costs=(1.0,)))


# ---------------------------------------------------------------- one file that trains, one that tests


def test_one_file_trains_and_another_tests(tmp_path: Path, vggbench: CLI) -> None:
    train = write_file(tmp_path / "train.parquet")
    test = write_file(tmp_path / "val.parquet", seed=1, about={"data": "cd" * 32})
    done = vggbench("probe", train, "--test", test, "--format", "json")
    (row,) = json.loads(done.out)
    _, labels, x = table_of(train)
    _, others, y = table_of(test)
    x, y = normalize(x.astype(np.float32)), normalize(y.astype(np.float32))
    found = machine(chosen(x, labels, 5)).fit(x, labels).predict(y)
    assert row["figure"] == pytest.approx(100 * recall_score(others, found, average="macro"), abs=1e-10)
    wrong = int((found != others).sum())
    assert row["top1_error"] == pytest.approx(100 * wrong / 135)
    assert row["top1_interval"] == pytest.approx([*package.ErrorRate(wrong, 135).interval])
    assert (row["deviation"], row["splits_sha256"]) == (None, None)


def test_classes_of_the_test_file_count_by_name(tmp_path: Path) -> None:
    train = write_file(tmp_path / "train.parquet", classes=("ant", "bee", "cat"), noise=0.1)
    test = write_file(tmp_path / "val.parquet", classes=("ant", "bee"), seed=1, noise=0.1)
    found = probe([train], Request(test=[test]))
    assert found.rows[0].figure == 100
    assert "Recall is over the 2 classes that test images are of." in found.notes
    other = write_file(tmp_path / "other.parquet", classes=("ant", "dog"), seed=1)
    with pytest.raises(DataError, match="has the class dog, which nothing trains"):
        probe([train], Request(test=[other]))


def test_what_trained_may_not_test(tmp_path: Path) -> None:
    train = write_file(tmp_path / "train.parquet")
    with pytest.raises(DataError, match=r"ant/0000 is in .*train.parquet and in .*again.parquet \(135 images are\)"):
        probe([train], Request(test=[write_file(tmp_path / "again.parquet")]))
    for about in (
        {"layer": "fc6"},
        {"scales": [256]},
        {"after_relu": False},
        {"weights": ["0" * 64]},
        {"input": {"D@sample": {"order": "BGR"}}},
        {"precision": "bf16"},
    ):
        odd = write_file(tmp_path / "odd.parquet", seed=1, about=about)
        with pytest.raises(UsageError, match=f"differ in {next(iter(about))}"):
            probe([train], Request(test=[odd]))
    odd = write_file(tmp_path / "odd.parquet", seed=1, about={"rescale": {"filter": "bicubic"}})
    with pytest.raises(UsageError, match="differ in filter, None and bicubic"):
        probe([train], Request(test=[odd]))
    with pytest.raises(UsageError, match="--splits with --test"):
        probe([train], Request(test=[train], splits=2))


def test_a_net_is_known_by_its_weights_and_not_by_the_name_of_its_file(tmp_path: Path) -> None:
    train = write_file(tmp_path / "train.parquet", about={"input": {"D@sample": {"order": "RGB"}}})
    named = {"models": ["D@copy.pth"], "input": {"D@copy.pth": {"order": "RGB"}}}
    test = write_file(tmp_path / "test.parquet", seed=1, about=named)
    assert probe([train], Request(test=[test], costs=[1.0])).rows[0].figure > 50


def test_a_picture_that_trains_and_tests_under_two_names_is_told(tmp_path: Path) -> None:
    train, test = write_file(tmp_path / "train.parquet"), tmp_path / "test.parquet"
    _, labels, x = table_of(train)
    y = drawn(labels, x.shape[1], 2.0, 1)
    y[[3, 70]] = x[[5, 70]]
    write_features(test, [f"new/{at}" for at in range(135)], labels, [y], ABOUT | {"classes": ["ant", "bee", "cat"]})
    found = probe([train], Request(test=[test], costs=[1.0]))
    (outcome,) = found.rows[0].outcomes
    assert outcome.error is not None
    assert outcome.wrong is not None
    assert len(set(outcome.wrong)) == outcome.error.wrong > 0
    assert outcome.figure == pytest.approx(100 - 100 * len(outcome.wrong) / 135), "classes are of one size"
    assert any(note.startswith("2 test images have the very descriptor of one that trains") for note in found.notes)
    assert not any("very descriptor" in note for note in probe([train], Request(costs=[1.0])).notes)


# ---------------------------------------------------------------- the paper's sets


def test_caltech_101_has_its_classes_or_is_refused(tmp_path: Path, vggbench: CLI) -> None:
    names = sorted(CALTECH_101)
    path = write_file(tmp_path / "c.parquet", classes=names, each=33, numbers=6, noise=0.5)
    done = vggbench("probe", path, "--protocol", "caltech101", "--costs", 1, "--format", "json")
    (row,) = json.loads(done.out)
    assert (row["classes"], row["train_images"], row["test_images"]) == (102, [3060] * 3, [306] * 3)
    assert row["paper"] is None
    few = write_file(tmp_path / "few.parquet", classes=names[1:], each=33, numbers=3)
    refused = vggbench("probe", few, "--protocol", "caltech101")
    assert (refused.code, refused.out) == (1, "")
    assert "has 101 classes, without BACKGROUND_Google: expected the 102 classes of Caltech-101" in refused.err


def test_splits_of_caltech_101_are_the_papers_or_are_refused(tmp_path: Path) -> None:
    """What a file of splits says of itself is not enough."""
    path = write_file(tmp_path / "c.parquet", classes=sorted(CALTECH_101), each=33, numbers=6, noise=0.5)
    splits, request = tmp_path / "s.json", Request(protocol="caltech101", costs=[1.0], split_file=tmp_path / "s.json")
    probe([path], request)
    record = json.loads(splits.read_text())
    part = record["splits"][2]
    moved = part["train"].pop()
    part["test"].append(moved)
    splits.write_text(json.dumps(record))
    with pytest.raises(DataError, match=f"Split 3 of .* trains {moved[:-5]} by 29 images: expected 30"):
        probe([path], request)
    part["test"].remove(moved)
    part["train"].append(moved)
    lone = part["test"].pop()
    splits.write_text(json.dumps(record))
    with pytest.raises(DataError, match=f"Split 3 of .* tests {lone[:-5]} by 2 images: expected 3"):
        probe([path], request)
    record["seed"], record["train_per_class"] = 0, 20
    splits.write_text(json.dumps(record))
    with pytest.raises(UsageError, match="Say --protocol folders"):
        probe([path], request)


def test_classes_of_caltech_are_known() -> None:
    assert unlike("caltech101", [name.upper() for name in reversed(CALTECH_101)]) is None
    assert unlike("caltech101", [*CALTECH_101, "dog"]) == "103 classes, with dog"
    numbered = [f"{number:03}.some-thing" for number in range(1, 258)]
    assert unlike("caltech256", numbered) is None
    assert unlike("caltech256", numbered[:-1]) == "256 classes, without 257.*"
    assert unlike("caltech256", [*numbered, "257.clutter"]) == "258 classes, with 257.some-thing"
    assert unlike("caltech256", CALTECH_101) is not None


def test_table_11_is_the_papers() -> None:
    """As the paper prints it (arXiv 1409.1556v6, appendix B)."""
    printed = """
        Zeiler & Fergus|-|79.0|86.5 ± 0.5|74.2 ± 0.3
        Chatfield et al.|82.4|83.2|88.4 ± 0.6|77.6 ± 0.1
        He et al.|82.4|-|93.4 ± 0.5|-
        Wei et al.|81.5|81.7|-|-
        VGG D|89.3|89.0|91.8 ± 1.0|85.0 ± 0.2
        VGG E|89.3|89.0|92.3 ± 0.5|85.1 ± 0.3
        VGG D E|89.7|89.3|92.7 ± 0.5|86.2 ± 0.3
    """
    found = []
    for row in TABLE_11:
        cells = [row.figure(name) for name in ("voc2007", "voc2012", "caltech101", "caltech256")]
        texts = [" ± ".join(f"{number:.1f}" for number in cell) if cell else "-" for cell in cells]
        found.append("|".join([" ".join([row.method, *row.nets]), *texts]))
    assert found == [line.strip() for line in printed.strip().splitlines()]


def of_paper(protocol: str, *nets: str) -> Descriptors:
    """Descriptors as the paper's, by what their files say."""
    rule = PROTOCOLS[protocol]
    oxford = {"channels": "RGB", "range": 255, "mean": [123.68, 116.779, 103.939], "std": [1.0] * 3, "ceil_pool": True}
    about = [
        ABOUT | {"models": [f"{net}@oxford"], "released": [f"{net}@oxford"], "scales": list(rule.scales),
                 "over_scales": rule.over_scales, "input": {f"{net}@oxford": oxford}, "precision": "fp32",
                 "rescale": {"filter": "bilinear", "antialias": True}}
        for net in nets
    ]  # fmt: skip
    images = ("",) * (rule.images or 9)
    nothing = np.zeros((len(images), 1), np.float32)
    return Descriptors(images, np.zeros(len(images), np.int32), None, nothing, tuple(about), "f")


def test_the_papers_figure_stands_beside_its_like_alone() -> None:
    for protocol, nets, figure in (
        ("caltech101", "D", (91.8, 1.0)), ("caltech101", "ED", (92.7, 0.5)), ("caltech256", "E", (85.1, 0.3)),
        ("voc2007", "DE", (89.7,)),
    ):  # fmt: skip
        assert paper_figure(of_paper(protocol, *nets), protocol, True) == figure
    like = of_paper("caltech101", "D")
    assert paper_figure(like, "caltech101", False) is None
    assert paper_figure(replace(like, images=like.images[1:]), "caltech101", True) is None
    others: dict[str, Any] = {
        "layer": "fc6", "after_relu": False, "pool": "flatten", "views": "center", "scales": [256], "l2": False,
        "over_scales": "average", "released": ["D@torchvision"], "precision": "fp16", "rescale": {"filter": "bicubic"},
        "input": like.about[0]["input"] | {"D@oxford": {"channels": "BGR"}},
    }  # fmt: skip
    for key, value in others.items():
        assert paper_figure(replace(like, about=({**like.about[0], key: value},)), "caltech101", True) is None, key
    assert paper_figure(replace(like, about=(ABOUT,)), "caltech101", True) is None, "nobody says whose weights"
    assert paper_figure(of_paper("caltech101", "D", "D"), "caltech101", True) is None
    assert paper_figure(of_paper("caltech101", "A"), "caltech101", True) is None


# ---------------------------------------------------------------- VOC


def voc_features(path: Path, folder: Path, numbers: int = 10) -> Path:
    """Descriptors in which each class that an image shows leaves a trace."""
    lines: dict[str, dict[str, int]] = {}
    for file in sorted((folder / "ImageSets" / "Main").glob("*_*.txt")):
        for image, label in (line.split() for line in file.read_text().splitlines()):
            lines.setdefault(image, {})[file.name.split("_")[0]] = int(label)
    ids = sorted(lines, reverse=True)
    traces = np.random.default_rng(1).normal(size=(len(lines[ids[0]]), numbers))
    shown = np.array([[max(0, label) for _, label in sorted(lines[image].items())] for image in ids])
    rows = shown @ traces + np.random.default_rng(2).normal(size=(len(ids), numbers))
    rows = (rows / np.linalg.norm(rows, axis=1, keepdims=True)).astype(np.float32)
    write_features(path, ids, np.full(len(ids), -1), [rows], ABOUT)
    return path


def voc_script(path: Path, folder: Path, cost: float, train: str, test: str, *, eleven: bool) -> list[float]:
    """Each class's average precision, from the lists and the file alone."""
    ids, _, x = table_of(path)
    x, found = normalize(x.astype(np.float32)), []
    for name in sorted(file.name.split("_")[0] for file in (folder / "ImageSets" / "Main").glob("*_train.txt")):
        rows = {}
        for part in (train, test):
            text = (folder / "ImageSets" / "Main" / f"{name}_{part}.txt").read_text()
            rows[part] = [
                (ids.index(image), int(label)) for image, label in (line.split() for line in text.splitlines())
            ]
        easy = [(at, label) for at, label in rows[train] if label]
        fitted = machine(cost).fit(x[[at for at, _ in easy]], [label for _, label in easy])
        scores = fitted.decision_function(x[[at for at, _ in rows[test]]])
        ranked = sorted(zip(-scores, [label for _, label in rows[test]], strict=True), key=lambda pair: pair[0])
        truth = [label for _, label in ranked if label]
        total, points = truth.count(1), []
        for at in range(len(truth)):
            hits = truth[: at + 1].count(1)
            points.append((Fraction(hits, total), Fraction(hits, at + 1)))
        reached = [Fraction(t, 10) for t in range(11)] if eleven else [Fraction(t, total) for t in range(1, total + 1)]
        found.append(float(sum(max(p for r, p in points if r >= t) for t in reached) / len(reached)))
    return found


@pytest.mark.parametrize(("protocol", "eleven"), [("voc2007", True), ("voc2012", False)])
@pytest.mark.parametrize("is_full", [True, False])
def test_voc_equals_a_script(protocol: str, eleven: bool, is_full: bool, tmp_path: Path, vggbench: CLI) -> None:
    parts = {"train": 30, "val": 30} | ({"test": 40} if is_full else {})
    folder = write_voc(tmp_path / "VOC", parts=parts, classes=("bird", "car", "sofa"), images=False)
    path = voc_features(tmp_path / "f.parquet", folder)
    done = vggbench("probe", path, "--protocol", protocol, "--data", folder, "--format", "json")
    (row,) = json.loads(done.out)
    train, test = ("trainval", "test") if is_full else ("train", "val")
    expected = voc_script(path, folder, row["cost"][0], train, test, eleven=eleven)
    assert row["by_class"] == pytest.approx(
        dict(zip(("bird", "car", "sofa"), np.multiply(expected, 100), strict=True)), abs=1e-4
    )
    assert row["figure"] == pytest.approx(100 * np.mean(expected), abs=1e-10)
    assert (row["metric"], row["train_images"], row["test_images"]) == (
        "mAP",
        [60 if is_full else 30],
        [40 if is_full else 30],
    )
    if is_full:  # C is chosen on val by what train gives
        held = {cost: np.mean(voc_script(path, folder, cost, "train", "val", eleven=eleven)) for cost in COSTS}
        assert row["cost"] == [max(held, key=lambda cost: (held[cost], -cost))]
    text = vggbench("probe", path, "--protocol", protocol, "--data", folder).out
    assert ("val tests instead" in text) != is_full
    assert "has 3 classes, not the 20 of PASCAL VOC" in text
    assert f"by the rule of {protocol[3:]}" in text


def test_voc_refuses_what_it_cannot_measure(tmp_path: Path, vggbench: CLI) -> None:
    folder = write_voc(tmp_path / "VOC", parts={"train": 30, "val": 30, "test": 40}, classes=CLASSES[:3], images=False)
    path = voc_features(tmp_path / "f.parquet", folder)
    for options, told in (
        ((), "has no class for each image"),
        (("--protocol", "voc2007"), "expected --data with the VOC's folder"),
        (("--data", folder), "--data is for a VOC"),
        (("--protocol", "voc2007", "--data", folder, "--splits", 2), "--splits with --protocol voc2007"),
        (("--protocol", "voc2007", "--data", tmp_path / "nowhere"), "expected one VOC"),
    ):
        refused = vggbench("probe", path, *options)
        assert refused.code in (1, 2)
        assert told in refused.err
        assert "Traceback" not in refused.err
    sets = folder / "ImageSets" / "Main"
    text = (sets / "bird_trainval.txt").read_text()
    (sets / "bird_trainval.txt").write_text(text.replace("  1", " -1").replace(" 1", " -1"))
    assert (
        "Class bird has no image that shows it in trainval"
        in vggbench("probe", path, "--protocol", "voc2007", "--data", folder).err
    )
    (sets / "test.txt").write_text("000001\n")
    for name in CLASSES[:3]:
        (sets / f"{name}_test.txt").write_text("000001 1\n")
    assert (
        "has 000001 in trainval and in test" in vggbench("probe", path, "--protocol", "voc2007", "--data", folder).err
    )


def test_voc_without_the_labels_of_its_test_images(tmp_path: Path, vggbench: CLI) -> None:
    """Lists of nothing but zeros hold no labels; a class that no test image shows has no share in the mean."""
    classes = ("bird", "car", "sofa")
    folder = write_voc(tmp_path / "VOC", parts={"train": 30, "val": 30, "test": 40}, classes=classes, images=False)
    path = voc_features(tmp_path / "f.parquet", folder)
    asked = ("probe", path, "--protocol", "voc2012", "--data", folder, "--costs", 1)
    sets = folder / "ImageSets" / "Main"
    (sets / "car_test.txt").write_text((sets / "car_test.txt").read_text().replace("  1", " -1").replace(" 1", " -1"))
    done = vggbench(*asked, "--format", "json")
    (row,) = json.loads(done.out)
    assert row["by_class"]["car"] is None
    assert row["figure"] == pytest.approx((row["by_class"]["bird"] + row["by_class"]["sofa"]) / 2, abs=1e-4)
    text = vggbench(*asked).out
    assert "No image of test shows car: mAP is over the other classes" in text
    assert "the mean over 2 classes" in text
    for name in classes:
        lines = (sets / f"{name}_test.txt").read_text().splitlines()
        (sets / f"{name}_test.txt").write_text("".join(f"{line.split()[0]}  0\n" for line in lines))
    assert "30 images of train train, 30 of val test" in vggbench(*asked).out


# ---------------------------------------------------------------- and else


@pytest.mark.parametrize(
    ("options", "code", "told"),
    [
        (("--protocol", "caltech"), 2, "expected one of folders, caltech101"),
        (("--train-per-class", "45"), 1, "Class ant has 45 images: expected more than the 45 that train"),
        (("--costs", "0"), 2, "expected numbers above 0"),
        (("--costs", "1", "1.0"), 2, "expected each once"),
        (("--folds", "6"), 2, "--folds 6"),
        (("--train-per-class", "1"), 1, "Class ant has 1 image that trains: expected 2 or more"),
        (("--output", "x.html"), 2, "expected a name that ends in"),
    ],
)
def test_what_cannot_be_is_refused_in_a_sentence(
    options: Sequence[str], code: int, told: str, tmp_path: Path, vggbench: CLI
) -> None:
    done = vggbench("probe", write_file(tmp_path / "d.parquet"), *options)
    assert (done.code, done.out) == (code, "")
    assert told in done.err
    assert "Traceback" not in done.err


def test_files_of_other_images_are_not_stacked(tmp_path: Path) -> None:
    first = write_file(tmp_path / "d.parquet")
    for name, other, told in (
        ("few", {"each": 44}, "has 135 images and .* 132, and .* alone"),
        ("named", {"prefix": "x"}, "ant/0000 is in .*d.parquet alone"),
        ("classes", {"classes": ("ant", "bee", "dog")}, "alone: expected the same images"),
        ("data", {"about": {"data": "00"}}, "the same names of images for other files"),
        ("moved", {"about": {"data": "00"}, "order": range(134, -1, -1)}, "the same names of images for other files"),
        ("labels", {"about": {"classes": ["a", "b", "c"]}}, "have other labels"),
    ):
        with pytest.raises(DataError, match=told):
            probe([first, write_file(tmp_path / f"{name}.parquet", **other)], Request())
    with pytest.raises(UsageError, match="expected different files"):
        probe([first, first], Request())
    with pytest.raises(UsageError, match="expected different files"):
        probe([first, tmp_path / "folder" / ".." / first.name], Request())


def test_python_gives_what_the_command_gives(tmp_path: Path, vggbench: CLI) -> None:
    path = write_file(tmp_path / "d.parquet")
    found = package.probe(path, costs=1, splits=2, seed=3)
    row = json.loads(vggbench("probe", path, "--costs", 1, "--splits", 2, "--seed", 3, "--format", "json").out)[0]
    assert [outcome.figure for outcome in found.rows[0].outcomes] == row["by_split"]
    with pytest.raises(UsageError, match=r"protocol='?folder'?: expected one of"):
        package.probe(path, protocol="folder")
    for name, least in (("train_per_class", 0), ("splits", 0), ("seed", -1), ("test_per_class", -1)):
        with pytest.raises(UsageError, match=f"{name}={least}: expected {least + 1} or more"):
            package.probe(path, **{name: least})  # type: ignore[arg-type] # a number, in fact
    with pytest.raises(UsageError, match=r"probe\(\.\.\., sed=\.\.\.\)"):
        package.probe(path, sed=1)


def test_fits_that_have_not_converged_are_counted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_file(tmp_path / "d.parquet", noise=9.0)
    assert probe([path], Request(costs=[1.0])).rows[0].fits.unconverged == 0
    monkeypatch.setattr("vggbench.studies.probing.machine.MAX_ITERATIONS", 1)
    assert "3 of 3 fits stopped before they had converged." in probe([path], Request(costs=[100.0])).notes


def counted_fits(monkeypatch: pytest.MonkeyPatch, most: int | None = None) -> list[float]:
    """The C of every machine that is fitted from now on, at `most` so many until Ctrl-C."""
    fit, done = LinearSVC.fit, list[float]()

    def counting(self: Any, *given: Any) -> Any:
        if most is not None and len(done) == most:
            raise KeyboardInterrupt
        done.append(self.C)
        return fit(self, *given)

    monkeypatch.setattr(LinearSVC, "fit", counting)
    return done


@pytest.mark.parametrize("protocol", ["folders", "voc2012"])
def test_a_probe_that_is_stopped_goes_on(
    protocol: str, tmp_path: Path, vggbench: CLI, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, how = tmp_path / "d.parquet", ["--folds", 2]
    if protocol == "folders":
        write_file(path)
    else:
        folder = write_voc(tmp_path / "VOC", parts={"train": 30, "val": 30}, classes=("bird", "car"), images=False)
        voc_features(path, folder)
        how = ["--protocol", protocol, "--data", folder]
    command = ("probe", path, *how, "--format", "json", "--output", tmp_path / "out.json")
    kept = tmp_path / "runs" / "probe"
    with monkeypatch.context() as patch:
        whole = counted_fits(patch)
        assert vggbench(*command).code == 0
    expected = (tmp_path / "out.json").read_bytes()
    (tmp_path / "out.json").unlink()
    assert not kept.exists(), "nothing is kept of what has its figure"
    with monkeypatch.context() as patch:
        counted_fits(patch, most=7)
        assert vggbench(*command).code == 130
    assert len(list(kept.iterdir())) == 7
    damaged = min(kept.iterdir())
    damaged.write_text(damaged.read_text().replace("0", "1", 1))
    with monkeypatch.context() as patch:
        rest = counted_fits(patch)
        assert vggbench(*command).code == 0
    assert len(rest) == len(whole) - 6, "what is as it was written is not fitted again"
    assert (tmp_path / "out.json").read_bytes() == expected
    assert not kept.exists()


def test_what_is_kept_is_of_the_same_descriptors_and_options(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fits(path: Path, **options: Any) -> tuple[int, Any]:
        with monkeypatch.context() as patch:
            done = counted_fits(patch)
            found = probe([path], Request(costs=options.pop("costs", [1.0]), runs=tmp_path / "runs", **options))
        return len(done), found

    path = write_file(tmp_path / "d.parquet")
    count, found = fits(path, splits=2)
    assert (count, fits(path, splits=2)[0]) == (2, 0)
    assert [fits(path, splits=2, **other)[0] for other in ({"seed": 1}, {"costs": [10.0]})] == [2, 2]
    assert fits(write_file(tmp_path / "e.parquet", noise=3.0), splits=2)[0] == 2
    with monkeypatch.context() as patch:
        patch.setattr("vggbench.studies.probing.machine.MAX_ITERATIONS", 1)
        few = fits(path, splits=2)
        assert few[0] == 2
        assert (fits(path, splits=2)[0], few[1].notes) == (0, fits(path, splits=2)[1].notes), "convergence is kept too"
    found.forget()
    assert (tmp_path / "runs" / "probe").exists(), "others' remain"


def test_it_needs_scikit_learn_and_says_so(tmp_path: Path, vggbench: CLI, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "sklearn", None)
    done = vggbench("probe", write_file(tmp_path / "d.parquet"))
    assert done.code == 2
    assert "scikit-learn is not installed. Expected it: pip install 'vggbench[probe]'" in done.err


def test_it_imports_no_pytorch(tmp_path: Path) -> None:
    path = write_file(tmp_path / "d.parquet")
    assert not heavy_after_command("probe", str(path), "--costs", "1") & {"torch", "torchvision", "matplotlib"}
