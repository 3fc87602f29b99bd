"""Results that were handed in: what such a file must say, and that those in tables/ilsvrc say it."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from conftest import Result

from vggbench.results.contribution import complaints

FOLDER = Path(__file__).parent.parent / "tables" / "ilsvrc"
GOOD: dict[str, Any] = {
    "network": "D@oxford", "config": "D", "weights_hash": "9" * 64, "data": "ilsvrc12-val", "train_scale": "256-512",
    "test_scales": [256, 384, 512], "protocol": "dense", "images": 50_000, "top1_error": 24.8, "top5_error": 7.5,
    "signature": "vggbench 0.1.0 | ...", "posteriors_sha256": "0" * 64, "vggbench": "0.1.0",
}  # fmt: skip


def test_what_was_handed_in() -> None:
    found = {path.name: complaints(json.loads(path.read_text())) for path in FOLDER.glob("*.json")}
    assert {name: why for name, why in found.items() if why} == {}


def test_a_good_one() -> None:
    assert complaints(GOOD) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"images": 49_999}, "images is 49,999"),
        ({"top5_error": 30.0}, "the errors are none"),
        ({"top1_error": None}, "top1_error is None"),
        ({"posteriors_sha256": "x" * 64}, "not a SHA-256"),
        ({"posteriors_sha256": ""}, "not a SHA-256"),
        ({"test_scales": []}, "not numbers"),
        ({"signature": None}, "signature is None"),
        ({"data": "sample"}, "data is 'sample'"),
        ({"labels": "real"}, "labels is 'real'"),
    ],
)
def test_bad_ones(change: dict[str, Any], said: str) -> None:
    assert any(said in complaint for complaint in complaints(GOOD | change))
    assert complaints([]) == ["it is not a JSON object"]


def test_what_export_writes_is_one_but_for_its_images(
    vggbench: Callable[..., Result], few_drawn: Path, tmp_path: Path
) -> None:
    for scale in (256, 288):
        assert vggbench("eval", "A", "--data", "sample", "--scales", scale).code == 0
    done = vggbench("runs", "export", "A-*", "--output", tmp_path / "a.json")
    assert done.code == 0, done.err
    record = json.loads((tmp_path / "a.json").read_text())
    assert record["test_scales"] == [256, 288]
    assert complaints(record) == ["images is 12, expected 50,000", "data is 'sample', expected 'ilsvrc12-val'"]
    assert not [name for name in record if name.startswith("against") or "second" in name]


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["A-*"], "expected a file that ends in"),
        (["A-*", "--output", "x.txt"], "expected a file that ends in .parquet, .csv, .json"),
        (["--output", "x.csv"], "names no run"),
        (["*", "--output", "x.csv"], "expected runs of one model"),
    ],
)
def test_exports_that_cannot_be(
    arguments: list[str], said: str, vggbench: Callable[..., Result], few_drawn: Path
) -> None:
    assert vggbench("compare", "A", "B", "--data", "sample", "--center").code == 0
    refused = vggbench("runs", "export", *arguments)
    assert refused.code == 2
    assert said in refused.err
