"""The commands as people type them: tables, formats, and one clear sentence for everything that is wrong."""

import json
import pickle
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from children import Child, command_line, wait_until
from conftest import Result
from torch import Tensor

NAMES = ("apple", "boat", "fish", "house")


@pytest.fixture
def nets(peaked: Callable[..., dict[str, Tensor]], tmp_path: Path) -> dict[str, Path]:
    paths = {}
    for config in ("A", "B", "C", "D", "E"):
        paths[config] = tmp_path / f"{config}.pth"
        torch.save(peaked(config), paths[config])
    return paths


STATED = ("--input", "torchvision", "--workers", 0, "--device", "cpu")


def test_eval_prints_every_protocol_and_q(
    vggbench: Callable[..., Result], nets: dict[str, Path], pictures: Path
) -> None:
    command = (
        "eval", f"D@{nets['D']}", *STATED, "--data", pictures, "--train-scale", "256-512", "--scales", 224, 256,
        "--center", "--dense", "--multicrop",
    )  # fmt: skip
    result = vggbench(*command, "--format", "json")
    assert result.code == 0
    rows = json.loads(result.out)
    assert [(row["protocol"], row["test_scales"], row["views"]) for row in rows] == [
        ("center", [224], 1),
        ("center", [256], 1),
        ("dense", [224], 2),
        ("dense", [256], 2),
        ("dense", [224, 256], 4),
        ("multicrop", [224], 50),
        ("multicrop", [256], 50),
        ("multicrop", [224, 256], 100),
        ("dense+multicrop", [224, 256], 104),
    ]
    assert {row["train_scale"] for row in rows} == {"256-512"}
    assert {(row["images"], row["images_total"], row["complete"], row["reference_top1"]) for row in rows} == {
        (4, 4, True, None)
    }
    assert "4 images, 6 runs: 106 views" in result.err
    assert "Read and decoded 4 images once for 6 runs" in result.err
    again = vggbench(*command)
    assert "Read and decoded" not in again.err
    assert again.out.startswith("**D@D.pth, S=256-512 | pictures")
    assert again.out.count("\n| D@D.pth |") == 9


def test_compare_reads_once_and_keeps_the_row_of_a_missing_file(
    vggbench: Callable[..., Result], nets: dict[str, Path], pictures: Path
) -> None:
    models = [f"{config}@{path}" for config, path in nets.items()]
    result = vggbench("compare", *models, *STATED, "--data", pictures, "--format", "json")
    assert result.code == 0
    assert "Read and decoded 4 images once for 5 runs" in result.err
    assert [row["network"] for row in json.loads(result.out)] == [f"{c}@{c}.pth" for c in nets]
    nets["C"].unlink()
    result = vggbench("compare", *models, "A-LRN", *STATED, "--data", pictures, "--format", "json")
    assert result.code == 1
    rows = json.loads(result.out)
    assert [row["top1_error"] is None for row in rows] == [False, False, True, False, False, True]
    assert rows[2]["parameters"] == 133_638_952
    assert rows[2]["gmacs_per_image"] > 11
    assert "C.pth" in rows[2]["note"]
    assert "A-LRN has no released weights anywhere: train it" in rows[5]["note"]
    assert "no readable weights file" in result.err


@pytest.mark.parametrize("again", ["C", "c"])
def test_a_model_that_is_named_twice_has_one_row_and_that_is_said(
    again: str, vggbench: Callable[..., Result], pictures: Path
) -> None:
    result = vggbench("compare", "C", again, "--data", pictures)
    assert result.code == 0
    assert result.out.count("| no weights |") == 1
    assert f"Note: {again} is C again: each model is evaluated once and has one row." in result.err


def test_compare_with_bare_names_alone_exits_0(vggbench: Callable[..., Result], pictures: Path) -> None:
    result = vggbench("compare", "C", "A-LRN", "--data", pictures)
    assert result.code == 0
    assert result.out.count("| no weights |") == 2
    assert "The paper has 27.3 / 8.8 (Table 3" in result.out


@pytest.mark.thorough
def test_fuse_prints_the_mean_tested_against_the_best_net_and_the_nets(
    vggbench: Callable[..., Result], nets: dict[str, Path], pictures: Path
) -> None:
    models = (f"D@{nets['D']}", f"E@{nets['E']}")
    options = (*STATED, "--data", pictures, "--scales", 224, 256, "--dense", "--multicrop", "--format", "json")
    row, *nets_alone = json.loads(vggbench("fuse", *models, *options).out)
    assert (row["network"], row["protocol"], row["views"]) == ("D@D.pth + E@E.pth", "dense+multicrop", 208)
    assert row["config"] == "D+E"
    assert [one["network"] for one in nets_alone] == ["D@D.pth", "E@E.pth"]
    best = min(nets_alone, key=lambda one: float(one["top1_error"]))
    assert row["against"] == best["network"]
    assert row["against_points"] == pytest.approx(row["top1_error"] - best["top1_error"])
    assert row["against_p_holm"] == row["against_p"] is not None
    assert {one["against"] for one in nets_alone} == {None}
    compared = json.loads(vggbench("compare", *models, *options).out)
    assert [one["top1_error"] for one in nets_alone] == [one["top1_error"] for one in compared]


def test_a_fusion_by_two_ground_truths_is_tested_by_each(
    vggbench: Callable[..., Result], nets: dict[str, Path], pictures: Path
) -> None:
    models = (f"D@{nets['D']}", f"E@{nets['E']}")
    labels = ("--classes-of-data", "all", "only")
    done = vggbench("fuse", *models, *STATED, "--data", pictures, "--scales", 256, *labels, "--format", "json")
    found = json.loads(done.out) if done.code == 0 else []
    assert [one["against"] is not None for one in found] in ([], [True, True, False, False, False, False]), done.err


def test_the_json_of_eval_has_the_test_that_its_table_prints(
    vggbench: Callable[..., Result], nets: dict[str, Path], pictures: Path
) -> None:
    command = (
        "eval",
        f"D@{nets['D']}",
        *STATED,
        "--data",
        pictures,
        "--scales",
        256,
        384,
        512,
        "--train-scale",
        "256-512",
    )
    *others, last = json.loads(vggbench(*command, "--format", "json").out)
    said = re.search(
        r"dense at Q=256,384,512 against dense at Q=384: (\S+) points .* p (?:= )?(\S+)\.", vggbench(*command).out
    )
    assert said
    assert last["against"] == "dense at Q=384"
    assert f"{last['against_points']:+.1f}" == said[1]
    assert last["against_p_holm"] == last["against_p"] == pytest.approx(float(said[2].lstrip("<")), abs=0.01)
    assert {one["against"] for one in others} == {None}


def test_limit_says_subset(vggbench: Callable[..., Result], nets: dict[str, Path], pictures: Path) -> None:
    result = vggbench("eval", f"A@{nets['A']}", *STATED, "--data", pictures, "--limit", 2)
    assert ", 2 of 4 images, a subset" in result.out
    assert ":2/4" in result.out


def test_skipped_images_are_counted(
    vggbench: Callable[..., Result], nets: dict[str, Path], pictures: Path, tmp_path: Path
) -> None:
    shutil.copytree(pictures, tmp_path / "d")
    (tmp_path / "d" / "fish" / "picture_2.JPEG").write_text("text")
    command = ("eval", f"A@{nets['A']}", *STATED, "--data", tmp_path / "d")
    failed = vggbench(*command)
    assert failed.code == 1
    assert failed.out == ""
    assert "picture_2.JPEG is no image" in failed.err
    assert "--skip-bad-images" in failed.err
    assert "d, 3 of 4 images (1 unreadable)" in vggbench(*command, "--skip-bad-images").out


def test_a_dry_run_computes_nothing(
    vggbench: Callable[..., Result], nets: dict[str, Path], pictures: Path, tmp_path: Path
) -> None:
    result = vggbench("eval", f"A@{nets['A']}", *STATED, "--data", pictures, "--dry-run")
    assert (result.code, result.out) == (0, "")
    assert "4 images, 1 run: 2 views" in result.err
    assert re.search(r"views, 0\.[0-9]{3} GMACs per image", result.err), "a small net's is no 0.0"
    assert "About" in result.err
    assert not (tmp_path / "runs").exists()


def test_the_forecast_of_a_dry_run_in_json(
    vggbench: Callable[..., Result], nets: dict[str, Path], pictures: Path, tmp_path: Path
) -> None:
    output = tmp_path / "kept.json"
    output.write_text("kept")
    models = (f"A@{nets['A']}", "C")
    asked = (*STATED, "--data", pictures, "--scales", 256, 384, "--format", "json")
    done = vggbench("compare", *models, *asked, "--dry-run", "--output", output)
    found = json.loads(done.out)
    assert (done.code, found["images"], found["image_evaluations"], found["views_per_image"]) == (0, 4, 8, 4)
    assert [(run["network"], run["protocol"], run["scale"], run["missing"]) for run in found["runs"]] == [
        ("A@A.pth", "dense", 256, 4), ("A@A.pth", "dense", 384, 4),
    ]  # fmt: skip
    assert found["seconds"] > 0
    assert found["gmacs_per_image"] == pytest.approx(sum(run["gmacs_per_image"] for run in found["runs"]))
    assert list(found["without_weights"]) == ["C"]
    assert output.read_text() == "kept"
    assert not (tmp_path / "runs").exists()
    assert vggbench("eval", models[0], *asked[:-2]).code == 0
    assert json.loads(vggbench("eval", models[0], *asked, "--dry-run").out)["image_evaluations"] == 0


def test_a_forecast_says_what_the_grid_of_eight_saves(
    vggbench: Callable[..., Result], nets: dict[str, Path], pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vggbench.evaluation.forecast._MOST_WORK", 0.0)  # as of a wide net, of which crops are probed
    monkeypatch.setattr("vggbench.evaluation.forecast._Probes._probed", lambda *whatever: 1e-6)
    common = ("eval", f"A@{nets['A']}", *STATED, "--data", pictures, "--dry-run", "--scales", 384)
    assert "With --grid 8, whose crops share their convolutions: about" in vggbench(*common, "--multicrop").err
    assert "--grid 8" not in vggbench(*common, "--multicrop", "--grid", 8).err
    assert "--grid 8" not in vggbench(*common, "--dense").err


def test_guessing_is_warned_of(
    vggbench: Callable[..., Result], peaked: Callable[..., dict[str, Tensor]], many_pictures: Path, tmp_path: Path
) -> None:
    torch.save(peaked("A"), tmp_path / "guess.pth")
    result = vggbench("eval", f"A@{tmp_path / 'guess.pth'}", *STATED, "--data", many_pictures, "--center")
    assert result.err.count("no better than chance on its first 32 images") == 1
    assert "check --input" in result.err


def test_output_goes_to_a_file(
    vggbench: Callable[..., Result], nets: dict[str, Path], pictures: Path, tmp_path: Path
) -> None:
    result = vggbench("eval", f"A@{nets['A']}", *STATED, "--data", pictures, "--output", tmp_path / "t" / "x.csv")
    assert (result.code, result.out) == (0, "")
    header, row = (tmp_path / "t" / "x.csv").read_text().splitlines()
    assert header.startswith("network,config,weights,weights_hash,width,classes,data,train_scale,test_scales,protocol")
    assert row.startswith("A@A.pth,A,A.pth,")


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (("eval", "F@x"), 2, "Unknown config 'F'"),
        (("eval", "vgg15@x"), 2, "Did you mean"),
        (("eval", "D@{A}"), 1, "does not fit config D"),
        (("eval", "A@{A}", "--scales", "100"), 2, "--scales 100: Q must lie between 224"),
        (("eval", "A@{A}", "--scales", "multi"), 2, "--scales multi needs S"),
        (("eval", "A@{A}", "--scales", "x"), 2, "--scales 'x'"),
        (("eval", "A@{A}", "--data", "{tmp}/nowhere"), 2, "There is no"),
        (("eval", "A@{A}", "--output", "{tmp}"), 2, "found a folder"),
        (("fuse", "A@{A}", "vgg11@{A}"), 2, "expected two or more different"),
        (("compare", "A@{A}", "A@{tmp}/./A.pth"), 2, "are the same weights"),
        (("eval", "A@{A}", "--data", "{tmp}/empty"), 1, "holds no images"),
        (("eval", "A@{A}", "--data", "{tmp}/flat"), 1, "has no class: its place says none"),
        (("eval", "A@{A}", "--data", "{tmp}/other"), 1, "has 1 class:"),
        (("eval", "A@{tmp}/harm.pth"), 1, "never executed"),
        (("eval", "A@{tmp}/text.pth"), 1, "is a text file"),
        (("eval", "A@{tmp}/none.pth"), 1, "no readable weights file"),
        (("eval", "A"), 2, "A names no weights"),
        (("eval", "A@{A}", "--device", "cuda:7"), 2, "no such device"),
        (("eval", "A@{A}", "--device", "x"), 2, "--device x"),
        (("eval", "A@{A}", "--precision", "tf32"), 2, "CUDA only"),
        (("eval", "A@{A}", "--precision", "int4"), 2, "--precision int4"),
        (("eval", "A@{A}", "--grid", "8"), 2, "--grid is for --multicrop"),
        (("eval", "A@{A}", "--multicrop", "--grid", "4"), 2, "--grid 4: expected 1 or 8"),
        (("eval", "A@{A}", "--filter", "box"), 2, "--filter box"),
        (("eval", "A@{A}", "--batch-size", "0"), 2, "--batch-size 0"),
        (("eval", "A@{A}", "--limit", "0"), 2, "--limit 0"),
        (("eval", "A@{A}", "--width", "0.5"), 2, "--width is for random nets"),
        (("eval", "A@{A}", "--train-scale", "12"), 2, "is not a training scale"),
        (("eval", "A@{A}", "--format", "xml"), 2, "--format xml"),
        (("eval", "A@{A}", "--output", "/proc/x.md"), 1, "cannot be written"),
        (("eval", "A@{A}", "--runs", "/proc/x"), 1, "cannot be made"),
        (("fuse", "A@{A}"), 2, "two or more"),
        (("fuse", "A@{A}", "B@{B}", "--center", "--scales", "224", "256"), 2, "do not combine several Qs"),
        (("compare", "A@{A}", "B@"), 2, "names no source"),
    ],
)
def test_what_is_wrong_gets_one_sentence(
    arguments: tuple[str, ...], code: int, sentence: str, vggbench: Callable[..., Result], nets: dict[str, Path],
    pictures: Path, tmp_path: Path,
) -> None:  # fmt: skip
    (tmp_path / "empty").mkdir()
    shutil.copytree(pictures / "fish", tmp_path / "flat")
    shutil.copytree(pictures / "fish", tmp_path / "other" / "whale")
    (tmp_path / "text.pth").write_text("text")
    (tmp_path / "harm.pth").write_bytes(pickle.dumps(_Harm(tmp_path / "harmed")))
    places = {name: str(path) for name, path in nets.items()} | {"tmp": str(tmp_path)}
    filled = [argument.format(**places) for argument in arguments]
    data = [] if "--data" in filled else ["--data", pictures]
    result = vggbench(*filled, *STATED[:-2] if "--device" in filled else STATED, *data)
    assert result.code == code, result.err
    assert result.out == ""
    assert sentence in result.err
    assert "Traceback" not in result.err
    assert not (tmp_path / "harmed").exists()


class _Harm:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self._path,))


def test_no_data_is_a_usage_error(vggbench: Callable[..., Result], nets: dict[str, Path]) -> None:
    result = vggbench("eval", f"A@{nets['A']}", *STATED)
    assert result.code == 2
    assert "expected --data PATH" in result.err


def test_a_file_must_state_its_input(vggbench: Callable[..., Result], nets: dict[str, Path], pictures: Path) -> None:
    for command in ("eval", "compare"):
        result = vggbench(command, f"A@{nets['A']}", "--data", pictures)
        assert result.code == 2
        assert "--input torchvision" in result.err


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupt_says_how_to_go_on(
    number: int, many_pictures: Path, tmp_path: Path, forked: Callable[..., Child]
) -> None:
    child = forked(command_line(
        "eval", "A@random", "--width", 1 / 64, "--tencrop", "--scales", 256, "--data", many_pictures,
        "--runs", tmp_path / "runs", "--workers", 1,
    ))  # fmt: skip
    wait_until(lambda: list(tmp_path.glob("runs/*/posteriors/*")))
    child.signal(number)
    assert child.wait() == 130
    assert "the same command resumes" in child.err


def test_a_closed_pipe_is_no_error() -> None:
    script = f"{sys.executable} -m vggbench params --format json | head -c 1"
    result = subprocess.run(["bash", "-c", script], capture_output=True, text=True, check=True)
    assert result.stdout == "["
    assert "Error" not in result.stderr
