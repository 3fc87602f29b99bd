"""What a `.caffemodel` says of its net and its input is believed or refused, attribute by attribute.

A file is written from a description, one word of which is changed; the scores of the model that is read must be those
of an interpreter of the changed description, or the file is refused by a sentence that names the word.
"""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from caffe_net import NEW_TYPES, OLD_TYPES, Illegal, Net, encoded, scores_of
from caffe_nets import BGR_MEAN, changed, deploy, snapshot, without
from caffe_table import INPUT_TABLE, LRN_TABLE, NO_EFFECT, NORM_TABLE, RIGHT, TABLE, Row
from judged import CLOSE, SQUARE, Interpreter, Verdict, judge
from torch import Tensor


def _interpreter(net: Net, asked: str | None) -> Interpreter:
    """`asked` states the input where no layer of the net yields images."""

    def run(images: Tensor) -> Tensor:
        bgr = images.flip(1).to(torch.float32)
        return scores_of(net, bgr - torch.tensor(BGR_MEAN).view(1, 3, 1, 1) if asked else bgr)

    return run


def _verdict(folder: Path, net: Net, config: str = "A", **how: Any) -> Verdict:
    asked = "caffe" if net["input"] else None
    (folder / "x.caffemodel").write_bytes(encoded(net, **how))
    return judge(folder / "x.caffemodel", config, asked, _interpreter(net, asked), Illegal)


def _assert_as_expected(folder: Path, net: Net, row: Row, config: str) -> None:
    other = changed(net, row.layer, **row.settings)
    found = _verdict(folder, other, config)
    if row.expected not in (NO_EFFECT, RIGHT):
        assert (found.kind, row.expected in found.says) == ("refused", True), found
        return
    assert found.kind == "right", found
    before, after = (_interpreter(one, "caffe" if one["input"] else None)(SQUARE) for one in (net, other))
    difference = float((before - after).abs().max() / before.abs().max())
    assert difference > CLOSE if row.expected == RIGHT else difference == 0, difference


def _id(row: Any) -> str:
    return f"{row.layer} {row.settings} {row.expected}" if isinstance(row, Row) else str(row)


@pytest.mark.parametrize("old", [True, False], ids=["layers", "layer"])
@pytest.mark.parametrize("row", TABLE, ids=_id)
def test_every_attribute_of_the_net(row: Row, old: bool, tmp_path: Path) -> None:
    _assert_as_expected(tmp_path, deploy(old=old), row, "A")


@pytest.mark.parametrize("old", [True, False], ids=["layers", "layer"])
@pytest.mark.parametrize("row", LRN_TABLE, ids=_id)
def test_every_attribute_of_local_response_normalisation(row: Row, old: bool, tmp_path: Path) -> None:
    _assert_as_expected(tmp_path, deploy("A-LRN", old=old), row, "A-LRN")


@pytest.mark.parametrize("row", NORM_TABLE, ids=_id)
def test_every_attribute_of_batch_normalisation(row: Row, tmp_path: Path) -> None:
    _assert_as_expected(tmp_path, snapshot(norm=True), row, "A-BN")


@pytest.mark.parametrize("old", [True, False], ids=["layers", "layer"])
@pytest.mark.parametrize("row", INPUT_TABLE, ids=_id)
def test_every_attribute_of_the_input(row: Row, old: bool, tmp_path: Path) -> None:
    _assert_as_expected(tmp_path, snapshot(old=old), row, "A")


# ---------------------------------------------------------------- every layer, changed in every way


def _settings(net: Net) -> Iterator[Net]:
    """Every change of the tables in the first and in the last layer of its type."""
    kinds = {layer["name"]: layer["type"] for base in (net, *_BASES) for layer in base["layers"]}
    for row in (*TABLE, *LRN_TABLE, *NORM_TABLE, *INPUT_TABLE):
        places = [layer["name"] for layer in net["layers"] if layer["type"] == kinds[row.layer]]
        for name in dict.fromkeys((*places[:1], *places[-1:])):
            yield changed(net, name, **row.settings)


def _types(net: Net) -> Iterator[Net]:
    """One layer of each type as each other type."""
    for layer in {layer["type"]: layer for layer in net["layers"]}.values():
        for kind in OLD_TYPES if net["old"] else NEW_TYPES:
            if kind != layer["type"]:
                yield changed(net, layer["name"], type=kind)


def _structure(net: Net) -> Iterator[Net]:
    """Every layer left out (its neighbours joined, or not), doubled, exchanged with the next, and joined elsewhere."""
    layers = net["layers"]
    for place, layer in enumerate(layers):
        yield {**net, "layers": layers[:place] + layers[place + 1 :]}
        yield {**net, "layers": [*layers[: place + 1], *layers[place:]]}
        yield {**net, "layers": layers[:place] + layers[place : place + 2][::-1] + layers[place + 2 :]}
        if layer["bottom"]:
            yield without(net, layer["name"])
            yield changed(net, layer["name"], top=["elsewhere"])
            yield changed(net, layer["name"], bottom=[])
            yield changed(net, layer["name"], bottom=[], top=[])
            for other in layers[max(place - 4, 0) : place - 1]:
                yield changed(net, layer["name"], bottom=[other["top"][0], *layer["bottom"][1:]])


def _other(net: Net, other: Net) -> list[str]:
    return [one["name"] for one in other["layers"] if not any(one is same for same in net["layers"])]


_BASES = (deploy(), deploy("A-LRN"), snapshot(norm=True))


@pytest.mark.thorough
@pytest.mark.parametrize("old", [True, False], ids=["layers", "layer"])
@pytest.mark.parametrize("way", [_settings, _types, _structure])
def test_no_change_gives_another_number(way: Any, old: bool, tmp_path: Path) -> None:
    net, counted = snapshot(old=old), Counter[str]()
    for other in way(net):
        found = _verdict(tmp_path, other)
        counted[found.kind] += 1
        assert found.kind != "wrong", (found.says, _other(net, other))
    assert counted["right"] > 5
    assert counted["refused"] > 100
