"""Descriptors against plain loops over torchvision's operations, through the engine, the store and the command line."""

import os
import signal
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import pytest
import torch
import torchvision
from children import Child, command_line, wait_until
from conftest import Result
from naive import RIGHT, Fault, descriptor
from torch import Tensor

import vggbench as front
from vggbench.data import DataSet, open_data
from vggbench.errors import DataError, NumericsError, UsageError, WeightsError
from vggbench.paper.descriptors import Descriptor
from vggbench.store.features import Features, read_features
from vggbench.store.runs import Run

Peaked = Callable[..., dict[str, Tensor]]
SAMPLE = Path(os.environ.get("VGGBENCH_TEST_IMAGES") or Path(__file__).parents[2] / "shared" / "ilsvrc-sample")
QS = [240, 256, 272]


def saved(weights: dict[str, Tensor], folder: Path, config: str = "D", name: str = "") -> str:
    path = folder / (name or f"{config}.pth")
    torch.save(weights, path)
    return f"{config}@{path}"


def found_of(models: Any, data: Path | DataSet, folder: Path, **how: Any) -> Features:
    given: dict[str, Any] = {"input": "torchvision", "workers": 0, "runs": folder / "runs", "device": "cpu"} | how
    found: Features = front.features(models, data, **given)
    return found


def expected_of(
    config: str, weights: dict[str, Tensor], data: Path, scales: list[int], **how: Any
) -> np.ndarray[Any, np.dtype[np.float64]]:
    with torch.inference_mode():
        rows = [descriptor(config, weights, image.path, scales, **how).numpy() for image in open_data(data).images]
    return np.stack(rows)


@pytest.mark.parametrize("config", ["A-LRN", "C", "D", "D-BN"])
def test_the_papers_descriptor_equals_the_naive_loop(
    config: str, peaked: Peaked, pictures: Path, tmp_path: Path
) -> None:
    """fc7 at three Qs, averaged and stacked, from the same runs."""
    plain = config.removesuffix("-BN")
    weights = peaked(plain, width=1 / 32)
    given = weights if plain == config else _with_norms(weights, peaked)
    name = saved(given, tmp_path, config)
    for stack in (False, True):
        how = "stack" if stack else "average"
        found = found_of(name, pictures, tmp_path, scales=QS, over_scales=how)
        expected = expected_of(plain, weights, pictures, QS, stack=stack)
        assert expected.std(axis=0).max() > 0.01, "descriptors must discriminate"
        np.testing.assert_allclose(found.descriptors, expected, atol=1e-5, rtol=0)
        assert found.about["over_scales"] == how
        assert found.about["scales"] == QS
    assert len(list((tmp_path / "runs").iterdir())) == 3, "three runs serve both"


def _with_norms(weights: dict[str, Tensor], peaked: Peaked) -> dict[str, Tensor]:
    """D-BN whose batch normalisation changes nothing, so that it must give what D does."""
    network = front.VGG(front.CONFIGS["D-BN"], 4, 1 / 32)
    own, plain = dict(network.state_dict()), iter(v for n, v in weights.items() if n.startswith("features."))
    for name, module in network.named_modules():
        if isinstance(module, torch.nn.Conv2d):
            own[f"{name}.weight"], own[f"{name}.bias"] = next(plain), next(plain)
        elif isinstance(module, torch.nn.BatchNorm2d):
            own[f"{name}.weight"] = torch.full_like(module.weight, (1 + 1e-5) ** 0.5)
    return own | {name: value for name, value in weights.items() if name.startswith("classifier.")}


OTHERS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "fc7-before-relu": ({"before_relu": True}, {"relu": False}),
    "fc6": ({"layer": "fc6"}, {"layer": "fc6"}),
    "fc6-before-relu": ({"layer": "fc6", "before_relu": True}, {"layer": "fc6", "relu": False}),
    "pool5": ({"layer": "pool5"}, {"layer": "pool5"}),
    "pool4": ({"layer": "pool4"}, {"layer": "pool4"}),
    "pool1": ({"layer": "pool1"}, {"layer": "pool1"}),
    "pool5 flat": ({"layer": "pool5", "pool": "flatten"}, {"layer": "pool5", "flat": True, "protocol": "center"}),
    "pool2 flat": ({"layer": "pool2", "pool": "flatten"}, {"layer": "pool2", "flat": True, "protocol": "center"}),
    "fc7 center": ({"views": "center"}, {"protocol": "center"}),
    "fc7 tencrop": ({"views": "tencrop"}, {"protocol": "tencrop"}),
    "pool5 multicrop": ({"layer": "pool5", "views": "multicrop"}, {"layer": "pool5", "protocol": "multicrop"}),
}


@pytest.mark.thorough
@pytest.mark.parametrize("backend", ["pytorch", "onnxruntime"])
@pytest.mark.parametrize("other", OTHERS)
def test_every_layer_and_view_equals_the_naive_loop(
    other: str, backend: str, peaked: Peaked, pictures: Path, tmp_path: Path
) -> None:
    if backend == "onnxruntime" and "crop" in other:
        pytest.skip("the same function of other views")
    asked, plain = OTHERS[other]
    weights = peaked("D", width=1 / 4 if other == "pool1" else 1 / 32)  # of two channels one says all
    found = found_of(saved(weights, tmp_path), pictures, tmp_path, scales=256, backend=backend, **asked)
    expected = expected_of("D", weights, pictures, [256], **plain)
    assert expected.std(axis=0).max() > 0.003
    np.testing.assert_allclose(found.descriptors, expected, atol=1e-5, rtol=0)
    (folder,) = (tmp_path / "runs").iterdir()
    assert Run.read(folder).numbers == expected.shape[1]


@pytest.mark.parametrize(
    "wrong",
    [{"fault": Fault(no_mirror=True)}, {"fault": Fault(swap_channels=True)}, {"fault": Fault(no_antialias=True)},
     {"relu": False}, {"layer": "fc6"}, {"protocol": "tencrop"}, {"ceil": True}],
    ids=str,
)  # fmt: skip
def test_the_comparison_notices_a_fault(wrong: dict[str, Any], peaked: Peaked, pictures: Path, tmp_path: Path) -> None:
    weights = peaked("D", width=1 / 32)
    found = found_of(saved(weights, tmp_path), pictures, tmp_path, scales=280)
    right = expected_of("D", weights, pictures, [280], fault=RIGHT)
    np.testing.assert_allclose(found.descriptors, right, atol=1e-5, rtol=0)
    assert np.abs(found.descriptors - expected_of("D", weights, pictures, [280], **wrong)).max() > 1e-4


@pytest.mark.slow
@pytest.mark.skipif(not SAMPLE.exists(), reason="needs the real JPEGs of $VGGBENCH_TEST_IMAGES")
@pytest.mark.parametrize("backend", ["pytorch", "onnxruntime"])
def test_full_width_on_real_jpegs(backend: str, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = torchvision.models.vgg16()
    weights = {name: tensor * (1.3 if name.endswith("weight") else 1) for name, tensor in net.state_dict().items()}
    name, data = saved(weights, tmp_path), open_data(SAMPLE).subset(3)
    for stack in (False, True):
        found = found_of(
            name, data, tmp_path, scales=[256, 384, 512], over_scales="stack" if stack else "average", backend=backend,
        )  # fmt: skip
        with torch.inference_mode():
            rows = [descriptor("D", weights, image.path, [256, 384, 512], stack=stack) for image in data.images]
        expected = torch.stack(rows).numpy()
        apart = np.abs(found.descriptors - expected).max()
        assert expected.std(axis=0).max() > 1e-3, "descriptors must discriminate"
        print(f"{backend}, {'stacked' if stack else 'averaged'}: {apart:.2g}")
        assert found.descriptors.shape == (3, 4096 * (3 if stack else 1))
        assert apart < 1e-5


def test_nets_of_different_classes_are_stacked_in_one_pass(
    peaked: Peaked, pictures: Path, tmp_path: Path, vggbench: Callable[..., Result]
) -> None:
    nets = {"A": peaked("A", width=1 / 32), "D": peaked("D", classes=7, width=1 / 32)}
    names = [saved(weights, tmp_path, config) for config, weights in nets.items()]
    told = vggbench(
        "features", *names, "--input", "torchvision", "--data", pictures, "--scales", 240, 256, "--workers", 0,
        "--output", tmp_path / "d.parquet",
    )  # fmt: skip
    assert told.code == 0, told.err
    assert "Read and decoded 4 images once for 4 runs" in told.err
    assert "4 images, 256 numbers each of float32 (fc7, dense)" in told.err
    found = read_features(tmp_path / "d.parquet")
    each = [expected_of(config, weights, pictures, [240, 256]) for config, weights in nets.items()]
    np.testing.assert_allclose(found.descriptors, np.concatenate(each, axis=1) / 2**0.5, atol=1e-5, rtol=0)
    np.testing.assert_allclose(np.linalg.norm(found.descriptors, axis=1), 1, atol=1e-6)
    assert found.about["models"] == ["A@A.pth", "D@D.pth"]
    assert len(found.about["weights"]) == 2
    assert len(found.about["signatures"]) == 4
    assert found.classes == ("apple", "boat", "fish", "house")
    assert [found.classes[label] for label in found.labels] == [i.class_name for i in open_data(pictures).images]


def test_the_same_net_at_other_places_is_computed_once(
    peaked: Peaked, pictures: Path, tmp_path: Path, vggbench: Callable[..., Result]
) -> None:
    name = saved(peaked("D", width=1 / 32), tmp_path)
    shared = ("--input", "torchvision", "--data", pictures, "--workers", 0, "--output", tmp_path / "d.parquet")
    assert vggbench("features", name, *shared, "--scales", 256).code == 0
    told = vggbench("features", name, *shared, "--scales", 256, "--half")
    assert "Read and decoded" not in told.err
    assert pq.read_schema(tmp_path / "d.parquet").field("descriptor").type.value_type == "halffloat"
    told = vggbench("features", name, *shared, "--scales", 256, 240, "--dry-run")
    assert "4 of 8 results are stored already" in told.err


def test_killed_and_resumed_to_the_same_bits(
    peaked: Peaked,
    many_pictures: Path,
    tmp_path: Path,
    forked: Callable[[Callable[[], object]], Child],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("vggbench.evaluation.jobs.BLOCK", 4)
    name = saved(peaked("D", width=1 / 32), tmp_path)

    def arguments(place: str) -> tuple[object, ...]:
        return (
            "features", name, "--input", "torchvision", "--data", many_pictures, "--scales", 240, 256, "--workers", 0,
            "--limit", 16, "--runs", tmp_path / place, "--output", tmp_path / f"{place}.parquet",
        )  # fmt: skip

    def blocks() -> list[Path]:
        return list((tmp_path / "killed").glob("*/descriptors/*.parquet"))

    straight = forked(command_line(*arguments("straight")))
    killed = forked(command_line(*arguments("killed")))
    wait_until(blocks)
    killed.signal(signal.SIGKILL, group=True)
    killed.wait()
    assert 0 < len(blocks()) < 8, "killed on the way"
    assert not (tmp_path / "killed.parquet").exists()
    before = {path: path.stat().st_mtime_ns for path in blocks()}
    again = forked(command_line(*arguments("killed")))
    assert straight.wait() == 0, straight.err
    assert again.wait() == 0, again.err
    assert f"({4 * len(before)} of 32 results are stored already)" in again.err
    assert (tmp_path / "killed.parquet").read_bytes() == (tmp_path / "straight.parquet").read_bytes()


def test_descriptors_and_posteriors_are_never_taken_for_each_other(
    peaked: Peaked, pictures: Path, tmp_path: Path, vggbench: Callable[..., Result]
) -> None:
    name = saved(peaked("D", width=1 / 32), tmp_path)
    shared = ("--input", "torchvision", "--data", pictures, "--scales", 256, "--workers", 0)
    assert vggbench("features", name, *shared, "--output", tmp_path / "d.parquet").code == 0
    assert "Read and decoded 4 images" in vggbench("eval", name, *shared).err
    told = vggbench("features", name, *shared, "--layer", "fc6", "--output", tmp_path / "d.parquet")
    assert "Read and decoded 4 images" in told.err
    listed = vggbench("runs").out
    assert "| fc7 dense | 256 | 4 | - |" in listed
    assert "| fc6 dense | 256 | 4 | - |" in listed
    (run,) = (path.name for path in (tmp_path / "runs").glob("D-D.pth-fc7-*"))
    shown = vggbench("runs", run)
    assert "| Descriptors | fc7, 128 numbers per image, before any normalisation |" in shown.out
    (of_eval,) = (path.name for path in (tmp_path / "runs").glob("D-D.pth-dense-*"))
    for command in (
        ("fuse", run, of_eval), ("compare", run), ("report", run, "--output", tmp_path / "r.html"),
        ("runs", "export", run, "--output", tmp_path / "r.csv"),
    ):  # fmt: skip
        told = vggbench(*command)
        assert told.code == 2, command
        assert f"{run} holds descriptors (fc7): expected posteriors" in told.err


def test_runs_finish_carries_on(
    peaked: Peaked, many_pictures: Path, tmp_path: Path, vggbench: Callable[..., Result]
) -> None:
    name = saved(peaked("D", width=1 / 32), tmp_path)
    shared = ("--input", "torchvision", "--data", many_pictures, "--scales", 240, "--workers", 0)
    one = ("features", name, *shared, "--output", tmp_path / "d.parquet")
    assert vggbench(*one).code == 0
    whole = (tmp_path / "d.parquet").read_bytes()
    (folder,) = (tmp_path / "runs").iterdir()
    next((folder / "descriptors").iterdir()).unlink()
    told = vggbench("runs", "--finish")
    assert told.code == 0, told.err
    assert "70 images to compute" in told.err
    assert "Read and decoded" not in vggbench(*one).err
    assert (tmp_path / "d.parquet").read_bytes() == whole


def test_pictures_without_labels_are_welcome(peaked: Peaked, pictures: Path, tmp_path: Path) -> None:
    flat = tmp_path / "flat"
    flat.mkdir()
    for image in open_data(pictures).images:
        (flat / image.path.name).write_bytes(image.path.read_bytes())
    name = saved(peaked("D", width=1 / 32), tmp_path)
    found = found_of(name, flat, tmp_path, scales=256)
    assert found.classes is None
    assert set(found.labels.tolist()) == {-1}
    by_id = found_of(name, pictures, tmp_path, scales=256)
    assert found.images == by_id.images
    assert (found.descriptors == by_id.descriptors).all()
    with pytest.raises(DataError, match="has no class"):
        front.evaluate(name, flat, input="torchvision", runs=tmp_path / "runs")
    (flat / "n01440764_10.JPEG").write_bytes((flat / "picture_0.JPEG").read_bytes())  # says its class
    with pytest.raises(DataError, match="has no class"):
        found_of(name, flat, tmp_path, scales=256)


def _features(weights: dict[str, Tensor]) -> dict[str, Tensor]:
    return {name: tensor for name, tensor in weights.items() if name.startswith("features.")}


def test_the_convolutions_of_a_file_suffice_for_its_pooling_stages(
    peaked: Peaked, pictures: Path, tmp_path: Path
) -> None:
    weights = peaked("D", width=1 / 32)
    part, whole = saved(_features(weights), tmp_path, name="part.pth"), saved(weights, tmp_path)
    found = found_of(part, pictures, tmp_path, layer="pool5", scales=256)
    assert (found.descriptors == found_of(whole, pictures, tmp_path, layer="pool5", scales=256).descriptors).all()
    caffe = found_of(part, pictures, tmp_path, layer="pool5", scales=280, input="caffe")
    expected = expected_of("D", weights, pictures, [280], layer="pool5", caffe=True, ceil=True)
    np.testing.assert_allclose(caffe.descriptors, expected, atol=1e-5, rtol=0)
    with pytest.raises(UsageError, match=r"expected a whole net for layer fc7\..* layer pool5"):
        found_of(part, pictures, tmp_path, scales=256)
    with pytest.raises(UsageError, match="does not say what they expect at their input"):
        found_of(part, pictures, tmp_path, layer="pool5", scales=256, input=None)
    with pytest.raises(WeightsError, match=r"expected E's\. Ask for D@"):
        found_of(part.replace("D@", "E@"), pictures, tmp_path, layer="pool5", scales=256)
    broken = _features(weights)
    broken["features.2.bias"][0] = torch.nan
    with pytest.raises(WeightsError, match=r"NaN or infinity in features\.2\.bias"):
        found_of(saved(broken, tmp_path, name="nan.pth"), pictures, tmp_path, layer="pool5", scales=256)


def test_an_onnx_file_with_another_head_says_its_own_pooling_and_input(
    peaked: Peaked, pictures: Path, tmp_path: Path
) -> None:
    """Its graph rounds down whatever Caffe's input would imply, and what it does to pixels is heeded."""
    weights = peaked("D", width=1 / 32)
    network = front.VGG(front.CONFIGS["D"], 4, 1 / 32)
    network.load_state_dict(weights)
    head = torch.nn.Sequential(*network.features, torch.nn.Flatten(), torch.nn.Linear(16 * 49, 3)).eval()
    path = tmp_path / "head.onnx"
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(head, (torch.zeros(1, 3, 224, 224),), path, dynamo=False, verbose=False)
    found = found_of(f"D@{path}", pictures, tmp_path, layer="pool5", scales=280, input="caffe")
    floor = expected_of("D", weights, pictures, [280], layer="pool5", caffe=True)
    np.testing.assert_allclose(found.descriptors, floor, atol=1e-5, rtol=0)
    ceil = expected_of("D", weights, pictures, [280], layer="pool5", caffe=True, ceil=True)
    assert np.abs(floor - ceil).max() > 1e-4


def test_unreadable_pictures_are_left_out_and_counted(
    peaked: Peaked, pictures: Path, tmp_path: Path, vggbench: Callable[..., Result]
) -> None:
    data = tmp_path / "data"
    for image in open_data(pictures).images:
        (data / image.class_name).mkdir(parents=True)
        (data / image.class_name / image.path.name).write_bytes(image.path.read_bytes())
    (data / "boat" / "broken.JPEG").write_bytes(b"\xff\xd8 no image")
    name, output = saved(peaked("D", width=1 / 32), tmp_path), tmp_path / "d.parquet"
    shared = ("--input", "torchvision", "--data", data, "--scales", 256, "--workers", 0, "--output", output)
    told = vggbench("features", name, *shared)
    assert told.code == 1
    assert "1 of 5 images could not be read" in told.err
    assert not output.exists()
    assert vggbench("features", name, *shared, "--skip-bad-images").code == 0
    found = read_features(output)
    assert len(found.images) == 4
    assert "broken" not in found.images
    assert found.about["left_out"] == 1
    assert found.classes is not None
    labels = {image.id: image.class_name for image in open_data(data).images}
    assert [found.classes[label] for label in found.labels] == [labels[image] for image in found.images]


def test_a_net_that_gives_nothing_keeps_its_zeros(peaked: Peaked, pictures: Path, tmp_path: Path) -> None:
    weights = peaked("D", width=1 / 32)
    weights["classifier.3.weight"].zero_()
    weights["classifier.3.bias"].fill_(-1.0)
    found = found_of(saved(weights, tmp_path), pictures, tmp_path, scales=256)
    assert (found.descriptors == 0).all()


def test_activations_beyond_float16_are_kept_in_float16(peaked: Peaked, pictures: Path, tmp_path: Path) -> None:
    """Rows have length 1 before they are rounded."""
    weights = peaked("D", width=1 / 32)
    plain = found_of(saved(weights, tmp_path), pictures, tmp_path, scales=256).descriptors
    large = {name: tensor * 1e7 if name.startswith("classifier.3") else tensor for name, tensor in weights.items()}
    path = tmp_path / "half.parquet"
    found_of(saved(large, tmp_path, name="large.pth"), pictures, tmp_path, scales=256, output=path, half=True)
    (folder,) = (tmp_path / "runs").glob("D-large*")
    assert max(batch.max() for batch in Run.read(folder).batches()) > np.finfo(np.float16).max
    np.testing.assert_allclose(read_features(path).descriptors, plain, rtol=2**-11, atol=2**-25 + 1e-7)


def test_infinity_is_an_error(peaked: Peaked, pictures: Path, tmp_path: Path) -> None:
    weights = peaked("D", width=1 / 32)
    weights["features.28.weight"] *= 1e38
    weights["features.26.weight"] *= 1e10
    with pytest.raises(NumericsError, match="NaN or infinity"):
        found_of(saved(weights, tmp_path), pictures, tmp_path, scales=256)


@pytest.mark.parametrize(
    ("how", "sentence"),
    [
        (("--layer", "fc8"), "fc8"),
        (("--layer", "pool5", "--before-relu"), "a pooling stage stands after ReLU"),
        (("--pool", "flatten", "--views", "dense"), "cannot be averaged"),
        (("--output", "d.csv"), "expected a file that ends in .parquet"),
        (("--scales", "multi", "--output", "d.parquet"), "needs S"),
    ],
)
def test_what_cannot_be_is_refused(
    how: tuple[str, ...], sentence: str, peaked: Peaked, pictures: Path, tmp_path: Path,
    vggbench: Callable[..., Result],
) -> None:  # fmt: skip
    name = saved(peaked("D", width=1 / 32), tmp_path)
    more = () if "--output" in how else ("--output", tmp_path / "d.parquet")
    told = vggbench("features", name, "--input", "torchvision", "--data", pictures, *how, *more)
    assert told.code == 2
    assert sentence in told.err
    assert not (tmp_path / "runs").exists()


def test_other_networks_are_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="is not a VGG"):
        found_of("torchvision:squeezenet1_1@random", pictures, tmp_path, scales=256, input=None)


def test_nets_at_different_qs_are_refused(peaked: Peaked, pictures: Path, tmp_path: Path) -> None:
    one, other = saved(peaked("D", width=1 / 32), tmp_path), "A@sample"
    with pytest.raises(
        UsageError, match=r"at Q=384 .*expected the same Qs of all nets|at Q=256 .*expected the same Qs"
    ):
        found_of([one, other], pictures, tmp_path)


@pytest.mark.parametrize(
    "value",
    [Descriptor(), Descriptor("fc6", after_relu=False), Descriptor("pool3", pool="flatten"),
     Descriptor("fc7", False, "flatten")],
    ids=str,
)  # fmt: skip
def test_a_descriptor_prints_as_what_it_is_read_from(value: Descriptor) -> None:
    assert Descriptor.parse(str(value)) == value


def test_wide_descriptors_are_stored_in_small_row_groups(peaked: Peaked, pictures: Path, tmp_path: Path) -> None:
    """So that memory grows with the width alone: what is read at once holds about 8 MB."""
    name, output = saved(peaked("D"), tmp_path), tmp_path / "d.parquet"
    found = found_of(name, pictures, tmp_path, layer="pool1", pool="flatten", scales=[240, 256], output=output,
                     over_scales="stack")  # fmt: skip
    assert found.descriptors.shape == (4, 2 * 4 * 112 * 112)
    bytes_each = 4 * found.descriptors.shape[1]
    with pq.ParquetFile(output) as file:
        assert all(file.metadata.row_group(g).num_rows * bytes_each <= 8 << 20 for g in range(file.num_row_groups))


def test_the_three_lines_of_the_docs_read_it(peaked: Peaked, many_pictures: Path, tmp_path: Path) -> None:
    page = (Path(__file__).parents[1] / "docs" / "howto" / "descriptors.md").read_text()
    blocks = [part.split("```")[0] for part in page.split("```python\n")[1:]]
    assert len(blocks) >= 3
    found = found_of(
        saved(peaked("D", width=1 / 32), tmp_path),
        many_pictures,
        tmp_path,
        views="center",
        output=tmp_path / "d.parquet",
    )
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        results = []
        for block in blocks[:3]:
            names: dict[str, Any] = {}
            exec(block, names)
            results.append(names)
    finally:
        os.chdir(before)
    np.testing.assert_array_equal(results[0]["x"], found.descriptors)
    np.testing.assert_array_equal(results[0]["y"], found.labels)
    assert isinstance(results[0]["frame"], pd.DataFrame)
    assert list(results[1]["rows"].image) == list(found.images)
    assert results[2]["svm"].score(found.descriptors, found.labels) > 0.5
