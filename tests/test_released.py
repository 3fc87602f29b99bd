"""The table of released files, what bare names take from it, and which published figure stands beside a row."""

import json
import re
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from conftest import Result
from torch import Tensor
from writers import caffemodel, layers_of

from vggbench import INPUTS, LoadOptions, ModelSpec, Protocol, Rescale, load_model
from vggbench.data import DataSet
from vggbench.data.imagenet import wnids
from vggbench.errors import WeightsError
from vggbench.nets.cost import Architecture
from vggbench.paper.configs import CONFIGS
from vggbench.results.lines import Line
from vggbench.results.rows import Reference, _reference
from vggbench.store.identity import Identity
from vggbench.weights.download import DownloadWatch
from vggbench.weights.released import RELEASED, Released, default_source, released


@pytest.mark.parametrize("row", RELEASED, ids=lambda row: row.name)
def test_every_row_is_whole(row: Released) -> None:
    assert re.fullmatch(r"https?://\S+", row.url)
    assert row.url.endswith(row.file)
    assert row.digest is None or re.fullmatch("[0-9a-f]{8,64}", row.digest)
    assert row.digest is None or len(row.digest) in (8, {"md5": 32, "sha1": 40, "sha256": 64}[row.algorithm])
    assert all(0 < figure.top5 < (figure.top1 or 100) for figure in row.published)
    assert row.ceil_pool == (row.train_scale is not None), "Oxford's bytes alone were trained with S known, and ceil"
    assert released(row.config, row.source) == row, "names are unique"


def test_torchvisions_rows_are_torchvisions_own() -> None:
    from torchvision.models import get_model_weights

    for row in RELEASED:
        if row.source == "torchvision":
            name = f"vgg{ {'A': 11, 'B': 13, 'D': 16, 'E': 19}[row.config.name[0]] }{'_bn' * row.config.batch_norm}"
            own = get_model_weights(name)["IMAGENET1K_V1"]
            accuracy = own.meta["_metrics"]["ImageNet-1K"]
            assert own.url == row.url
            assert own.meta["_file_size"] == row.mib
            assert row.published[0].top1 == pytest.approx(100 - accuracy["acc@1"])
            assert row.published[0].top5 == pytest.approx(100 - accuracy["acc@5"])


def test_bare_names_take_the_papers_nets_where_there_are_any() -> None:
    found = {name: default_source(config) for name, config in CONFIGS.items()}
    assert found == {
        "A": "torchvision", "A-LRN": None, "B": "torchvision", "C": None, "D": "oxford", "E": "oxford",
        "A-BN": "torchvision", "B-BN": "torchvision", "D-BN": "torchvision", "E-BN": "torchvision",
        "B-5x5": None,
    }  # fmt: skip


@pytest.fixture
def publishers(
    peaked: Callable[..., dict[str, Tensor]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[Released, DownloadWatch | None], Path]:
    """Every publisher's file, narrow, in the publisher's format."""

    def fetch(row: Released, watch: DownloadWatch | None = None) -> Path:
        weights = peaked(row.config.name, 1000)
        if row.source == "oxford":
            path = tmp_path / f"{row.name}.caffemodel"
            path.write_bytes(caffemodel(layers_of(row.config.name, weights), old=True))
        else:
            path = tmp_path / f"{row.name}.pth"
            torch.save(weights, path)
        return path

    monkeypatch.setattr("vggbench.weights.load.fetch", fetch)
    return fetch


@pytest.fixture
def wnid_data(pictures: Path, tmp_path: Path) -> Path:
    """Four pictures in folders of ILSVRC's classes."""
    (tmp_path / "ilsvrc").mkdir()
    for folder, wnid in zip(sorted(pictures.iterdir()), wnids()[::250], strict=True):
        (tmp_path / "ilsvrc" / wnid).symlink_to(folder)
    return tmp_path / "ilsvrc"


@pytest.mark.usefixtures("publishers")
def test_compare_on_ilsvrc_takes_each_nets_usual_source(vggbench: Callable[..., Result], wnid_data: Path) -> None:
    result = vggbench("compare", "A", "B", "C", "D", "E", "--data", wnid_data, "--format", "json")
    assert result.code == 0, result.err
    rows = json.loads(result.out)
    assert [row["network"] for row in rows] == ["A@torchvision", "B@torchvision", "C", "D@oxford", "E@oxford"]
    assert [row["train_scale"] for row in rows] == [None, None, "256-512", "256-512", "256-512"]
    assert [row["test_scales"] for row in rows] == [[256], [256], [384], [384], [384]]
    assert "C has no released weights anywhere: train it (`vggbench train --plan C` prints how)" in rows[2]["note"]
    same = vggbench("compare", "D@oxford", "D@torchvision", "--data", wnid_data).out
    assert "Weights of 2 origins, D (oxford) against D (torchvision): a difference mixes training recipe and" in same
    assert "origins" not in vggbench("compare", "D@oxford", "E@oxford", "--data", wnid_data).out
    shown = vggbench("compare", "A", "B", "C", "D", "E", "--data", wnid_data).out
    assert (
        "Weights of 2 origins, A, B (torchvision) against D, E (oxford): a difference mixes depth, training recipe"
        in shown
    )
    assert "D@oxford, E@oxford: BGR 0-255 minus mean, ceil pooling" in shown
    assert "A@torchvision, B@torchvision: RGB 0-1 minus mean, over std, floor pooling" in shown


@pytest.mark.usefixtures("publishers")
def test_weights_sets_the_source_of_all_bare_names(vggbench: Callable[..., Result], wnid_data: Path) -> None:
    rows = json.loads(
        vggbench(
            "compare", "C", "D", "E@oxford", "--weights", "torchvision", "--data", wnid_data, "--format", "json"
        ).out
    )
    assert [row["network"] for row in rows] == ["C@torchvision", "D@torchvision", "E@oxford"]
    assert "torchvision has released no C: nobody is known to have" in rows[0]["note"]
    refused = vggbench("eval", "A", "--weights", "oxford", "--data", wnid_data)
    assert (refused.code, refused.out) == (2, "")
    assert "oxford has released no A: expected one of torchvision, timm; or a file" in refused.err
    named = vggbench("compare", "D", "A@oxford", "--data", wnid_data)
    assert (named.code, named.out) == (2, "")


def test_a_file_that_cannot_be_had_keeps_its_row_and_fails(
    vggbench: Callable[..., Result], publishers: Callable[..., Path], wnid_data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def offline(row: Released, watch: DownloadWatch | None = None) -> Path:
        if row.config.name in "AE":
            raise WeightsError(f"{row.config.name} cannot be had.")
        return publishers(row, watch)

    monkeypatch.setattr("vggbench.weights.load.fetch", offline)
    result = vggbench("compare", "D", "E", "A", "--data", wnid_data, "--format", "json")
    assert result.code == 1
    rows = json.loads(result.out)
    assert [row["top1_error"] is None for row in rows] == [False, True, True]
    assert [row["train_scale"] for row in rows] == ["256-512", "256-512", None]
    assert "The paper has 25.5 / 8.0" in rows[1]["note"]
    assert "The paper" not in rows[2]["note"], "torchvision's A is not the paper's"
    assert "E cannot be had." in result.err


def _known_as(row: Released, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vggbench.weights.load.recognise", lambda path: row)


def test_a_known_file_needs_no_input_and_brings_its_s(
    peaked: Callable[..., dict[str, Tensor]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "x").write_bytes(caffemodel(layers_of("D", peaked("D", 1000)), old=True))
    spec = ModelSpec.parse(f"D@{tmp_path / 'x'}")
    _known_as(RELEASED[0], monkeypatch)
    model = load_model(spec, LoadOptions(input="torchvision"), ())
    assert (model.identity.input, str(model.identity.train_scale), model.identity.released) == (
        INPUTS["caffe"],
        "256-512",
        RELEASED[0].name,
    )
    assert model.identity.architecture
    assert model.identity.architecture.ceil_pool
    _known_as(RELEASED[1], monkeypatch)
    with pytest.raises(WeightsError, match=r"is oxford's VGG_ILSVRC_19_layers.caffemodel, which is E: expected D"):
        load_model(spec, LoadOptions(), ())
    _known_as(next(row for row in RELEASED if row.refused), monkeypatch)
    with pytest.raises(WeightsError, match=r"cannot be evaluated: its classifier has no valid weights; .*FEATURES"):
        load_model(spec, LoadOptions(), ())


def test_keras_files_are_oxfords_bytes() -> None:
    for config in ("D", "E"):
        keras, oxford = (released(CONFIGS[config], source) for source in ("keras", "oxford"))
        assert keras
        assert oxford
        assert (keras.input, keras.ceil_pool, keras.train_scale) == (oxford.input, oxford.ceil_pool, oxford.train_scale)


# ---------------------------------------------------------------- references


def _line(source: str, protocol: str, *scales: int, rescale: Rescale | None = None, **changes: Any) -> Line:
    row = released(CONFIGS["D"], source)
    assert row
    net = Architecture(CONFIGS["D"], ceil_pool=row.ceil_pool)
    model = Identity(row.name, row.input, 1000, wnids(), "", row.train_scale, net, released=row.name)
    parts: list[Any] = [
        SimpleNamespace(
            unreadable=(), folder=f"{scale}", identity=replace(model, **changes), protocol=Protocol.parse(protocol),
            scale=scale, rescale=rescale or Rescale(), signature={"precision": "fp32"},
        )
        for scale in scales
    ]  # fmt: skip
    return Line(protocol, tuple(parts), parts[0])


def _beside(line: Line, *, full: bool = True) -> Reference | None:
    data: Any = SimpleNamespace(is_full_ilsvrc_val=full)
    return _reference(line, data)


def test_the_publishers_figure_stands_beside_just_its_protocol() -> None:
    own = Reference(28.408, 9.618, "torchvision, resize 256, centre crop")
    assert _beside(_line("torchvision", "center", 256)) == own
    assert _beside(_line("oxford", "dense", 384)) == Reference(25.6, 8.1, "paper, Table 3")
    for other in (
        _beside(_line("torchvision", "center", 224)),
        _beside(_line("torchvision", "dense", 256)),
        _beside(_line("matconvnet", "center", 256)),
        _beside(_line("onnx", "center", 256)),
        _beside(_line("timm", "center", 256)),  # no hash is on record, so that it could be any file
        _beside(_line("torchvision", "center", 256, released=None)),
        _beside(_line("torchvision", "center", 256, architecture=Architecture(CONFIGS["D"], width=0.5))),
        _beside(_line("torchvision", "center", 256, rescale=Rescale("bicubic"))),
        _beside(_line("torchvision", "center", 256), full=False),
    ):
        assert other is None


def test_folders_of_ilsvrc_are_known() -> None:
    def data(*folders: str) -> DataSet:
        return DataSet("x", (), 0, of_classes=folders)

    assert data(*wnids()[:3]).has_ilsvrc_classes
    assert not data(wnids()[0], "cat").has_ilsvrc_classes
