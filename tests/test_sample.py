"""The built-in sample: its nets, and the commands typed with nothing, which are never taken for ImageNet."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import Result

import vggbench as package
from vggbench import open_data
from vggbench.data import open_training_data
from vggbench.errors import UsageError
from vggbench.metrics import LEAST_SIGNIFICANT, mcnemar
from vggbench.nets.cost import Architecture, cost
from vggbench.paper.configs import CONFIGS, PAPER
from vggbench.sample.pictures import contact_sheet
from vggbench.weights.files import read_tensors
from vggbench.weights.load import LoadOptions, load_model
from vggbench.weights.spec import SAMPLE_NETS, ModelSpec

PACKAGE = Path(package.__file__).parent
MISSION = ("D", "--scales", 256, 384, 512, "--dense", "--multicrop")

# ---------------------------------------------------------------- the nets


@pytest.mark.parametrize("config", PAPER)
def test_a_sample_net_says_how_it_was_made(config: str) -> None:
    spec = ModelSpec(CONFIGS[config], SAMPLE_NETS)
    assert spec.path is not None
    assert spec.path.stat().st_size <= 2_000_000
    recipe = read_tensors(spec.path)[1]["recipe"]
    assert recipe["command"].startswith(f"vggbench train {config} --data sample ")
    assert recipe["validation"].startswith("sample-dev, 240 images")
    assert 0 < recipe["validation_top1_error"] < 30
    assert recipe["seed"] == 0
    assert recipe["seconds"] > 0
    model = load_model(spec, LoadOptions(), ())
    assert (model.identity.name, str(model.identity.train_scale), model.identity.classes) == (
        f"{config}@sample",
        "256-512",
        12,
    )
    assert str(model.identity.train_scale) in recipe["command"]


def test_the_package_stays_small() -> None:
    files = [path for path in PACKAGE.rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    assert sum(path.stat().st_size for path in files) < 15_000_000


# ---------------------------------------------------------------- the pictures


def test_no_split_shares_a_picture_with_another(few_drawn: Path) -> None:
    train, dev = open_training_data("sample")
    sets = [train, dev, open_data("sample"), open_data("sample-heldout")]
    assert [data.name for data in sets] == ["sample-train", "sample-dev", "sample", "sample-heldout"]
    assert all(data.is_sample and len(data.class_names) == 12 for data in sets)
    pixels = [image.read() for data in sets for image in data.images]
    assert len(set(pixels)) == len(pixels) == 4 * 12
    with pytest.raises(UsageError, match="no split 'test': expected sample or sample-train"):
        open_data("sample-test")


def test_a_users_folder_called_sample_is_not_the_sample(
    vggbench: Callable[..., Result], pictures: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "sample").symlink_to(pictures)
    monkeypatch.chdir(tmp_path)
    assert not open_data("./sample").is_sample
    result = vggbench("eval", "D@random", "--width", 0.0625, "--data", "./sample", "--center", "--format", "json")
    assert json.loads(result.out)[0]["images"] == 4


def test_the_contact_sheet_is_a_picture(tmp_path: Path) -> None:
    contact_sheet(tmp_path / "sheet.jpg")
    assert (tmp_path / "sheet.jpg").read_bytes().startswith(b"\xff\xd8")


# ---------------------------------------------------------------- the commands, typed with nothing


def test_bare_names_without_data_evaluate_the_sample_and_say_so(
    vggbench: Callable[..., Result], few_drawn: Path
) -> None:
    result = vggbench("eval", *MISSION, "--format", "json")
    assert (result.code, result.err.count("this is the built-in SAMPLE")) == (0, 1)
    rows = json.loads(result.out)
    assert len(rows) == 9
    for row in rows:
        assert (row["data"], row["network"], row["weights"]) == ("sample", "D@sample", "sample")
        assert row["reference_top1"] is None
        assert row["parameters"] == cost(Architecture(CONFIGS["D"], 12, 1 / 16)).parameters
    again = vggbench("eval", *MISSION)
    assert (again.code, again.err.count("this is the built-in SAMPLE")) == (0, 1)
    assert "Read and decoded" not in again.err
    assert again.out.startswith("**D@sample, S=256-512 | SAMPLE (drawn pictures), 12 of 12 images")
    assert "One image is 8.3 points. Rows that differ by fewer than 6 images, 50 points, never differ" in again.out
    assert "dense+multicrop at Q=256,384,512 against dense at Q=384: " in again.out
    assert "data,sample" not in vggbench("eval", *MISSION, "--format", "csv").out.splitlines()[0]
    assert ",sample," in vggbench("eval", *MISSION, "--format", "csv").out.splitlines()[1]
    asked = vggbench("eval", *MISSION, "--data", "sample")
    assert (asked.out, asked.err) == (again.out, "")


@pytest.mark.thorough
def test_compare_and_fuse_run_bare(vggbench: Callable[..., Result], few_drawn: Path) -> None:
    rows = json.loads(vggbench("compare", "A", "B", "C", "D", "E", "--format", "json").out)
    assert [row["network"] for row in rows] == [f"{config}@sample" for config in "ABCDE"]
    assert all(row["top1_error"] is not None for row in rows)
    fused, *alone = json.loads(vggbench("fuse", "D", "E", "--format", "json").out)
    assert (fused["network"], fused["data"]) == ("D@sample + E@sample", "sample")
    assert [one["network"] for one in alone] == ["D@sample", "E@sample"]


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("eval", "D@oxford"), "No images for D@oxford: expected --data PATH"),
        (("compare", "A", "D@sample"), "No images for D@sample"),
        (("eval", "D", "--weights", "random"), "No images for --weights random"),
        (("train", "D", "--output", "d.safetensors"), "training never falls back to the sample"),
    ],
)
def test_named_weights_never_fall_back_to_the_sample(
    arguments: tuple[str, ...], sentence: str, vggbench: Callable[..., Result], few_drawn: Path
) -> None:
    result = vggbench(*arguments)
    assert (result.code, result.out) == (2, "")
    assert sentence in result.err


@pytest.mark.parametrize("command", [("eval", "D"), ("compare", "A", "B"), ("fuse", "D", "E"), ("eval", "D@sample")])
def test_a_data_folder_that_is_not_there_never_becomes_the_sample(
    command: tuple[str, ...], vggbench: Callable[..., Result], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VGGBENCH_DATA", str(tmp_path / "gone"))
    result = vggbench(*command)
    assert (result.code, result.out) == (2, "")
    assert f"There is no {tmp_path / 'gone'}" in result.err


def test_other_data_keeps_bare_names_without_weights(vggbench: Callable[..., Result], pictures: Path) -> None:
    result = vggbench("eval", "D", "--data", pictures)
    assert result.code == 2
    assert "D names no weights: pass D@FILE, or for the classes of ILSVRC one of D@oxford" in result.err


@pytest.mark.parametrize("other", ["D-BN", "B-5x5"])
def test_the_sample_has_the_papers_nets_alone(other: str, vggbench: Callable[..., Result], few_drawn: Path) -> None:
    result = vggbench("compare", "D", other, "--format", "json")
    assert (result.code, [row["top1_error"] is None for row in json.loads(result.out)]) == (0, [False, True])
    assert f"The sample has no net {other}: expected one of A, A-LRN, B, C, D, E." in json.loads(result.out)[1]["note"]


def test_six_images_are_the_least_that_can_be_significant() -> None:
    assert mcnemar(LEAST_SIGNIFICANT, 0) < 0.05 < min(mcnemar(5 + common, common) for common in range(200))


# ---------------------------------------------------------------- train


def test_train_writes_a_net_of_the_error_that_it_reports(
    vggbench: Callable[..., Result], few_drawn: Path, tmp_path: Path
) -> None:
    path = tmp_path / "b.safetensors"
    command = (
        "train", "B", "--data", "sample", "--width", 0.0625, "--from", "A@sample", "--init", "identity", "--half",
        "--epochs", 1, "--batch-size", 8, "--rate", 0.001, "--workers", 0, "--device", "cpu", "--output", path,
    )  # fmt: skip
    result = vggbench(*command)
    assert result.code == 0, result.err
    assert "Training B at S=256-512 on 12 images of sample-train, 12 classes" in result.err
    assert "Epoch 1/1  rate 0.001" in result.err
    assert result.out.startswith(f"{path}: B, S=256-512, ")
    described = read_tensors(path)[1]
    assert described["recipe"]["command"].endswith(f"--output {path}")
    assert described["recipe"]["from"].startswith("A@sample:")
    row = vggbench("eval", f"B@{path}", "--data", "sample-dev", "--center", "--scales", 384, "--format", "json")
    assert json.loads(row.out)[0]["top1_error"] == pytest.approx(described["recipe"]["validation_top1_error"], abs=1e-3)
    again = vggbench(*command)
    assert "Resumes in epoch 2 after 0 of its images" in again.err
    assert "Epoch 1/1" not in again.err


@pytest.mark.thorough
@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("train", "D", "--data", "sample"), 2, "--output is missing: expected a file such as D.safetensors"),
        (("train", "D", "--data", "sample", "--output", "x.pth"), 2, "--output x.pth: expected a file such as"),
        (("train", "D", "--data", "sample", "--output", "{tmp}/no/x.safetensors"), 2, "in a folder that exists"),
        (("train", "F", "--data", "sample", "--output", "{out}"), 2, "Unknown config 'F'"),
        (("train", "D", "--data", "{tmp}/no", "--output", "{out}"), 1, "There is no"),
        (("train", "D", "--data", "sample", "--output", "{out}", "--width", "9"), 2, "--width 9.0: expected"),
        (("train", "D", "--data", "sample", "--output", "{out}", "--epochs", "0"), 2, "--epochs 0: expected 1 to"),
        (("train", "D", "--data", "sample", "--output", "{out}", "--from", "A@no"), 1, "no readable weights file"),
        (
            ("train", "D", "--data", "sample", "--output", "{out}", "--from", "E@sample", "--init", "identity"),
            2,
            "E has conv3_4",
        ),
        (("train", "D", "--data", "sample", "--output", "{out}", "--from", "A@sample"), 2, "features.0.weight"),
        (("train", "D", "--data", "sample", "--output", "{out}", "--init", "identity"), 2, "expected --from"),
        (("train", "D", "--plan", "--data", "sample"), 2, "--plan is for the paper's rows on ILSVRC"),
        (("train", "D", "--plan", "--width", "nan"), 2, "--width nan: expected"),
        (("train", "D", "--data", "{pictures}", "--output", "{out}"), 1, "has one image: expected two or more"),
        (("train", "D", "--data", "sample", "--output", "{out}", "--device", "x"), 2, "--device x"),
    ],
)
def test_what_cannot_be_trained_gets_one_sentence(
    arguments: tuple[str, ...], code: int, sentence: str, vggbench: Callable[..., Result], few_drawn: Path,
    pictures: Path, tmp_path: Path,
) -> None:  # fmt: skip
    places = {"tmp": tmp_path, "out": tmp_path / "x.safetensors", "pictures": pictures}
    result = vggbench(*(argument.format(**places) for argument in arguments))
    assert (result.code, result.out) == (code, ""), result.err
    assert sentence in result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "x.safetensors").exists()
