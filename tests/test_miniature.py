"""The miniature: its trainings are alike but for what is compared, its table says what is stored, it carries on."""

import json
import shlex
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import cast

import numpy as np
import pytest
from numpy.typing import NDArray
from typer.testing import CliRunner

from vggbench.cli.main import app
from vggbench.errors import VggbenchError
from vggbench.metrics import Crossed
from vggbench.paper.configs import CONFIGS
from vggbench.paper.published import Member, published
from vggbench.store.runs import Run
from vggbench.train.session import TrainRequest

sys.path.insert(0, str(Path(__file__).parents[1] / "tables"))

import miniature
import miniature_design as design
import miniature_findings as findings
from miniature_findings import Key, Stored

# ---------------------------------------------------------------- the design


def _requests(monkeypatch: pytest.MonkeyPatch, words: list[str]) -> list[TrainRequest]:
    asked: list[TrainRequest] = []
    monkeypatch.setattr("vggbench.train.session.conduct", lambda request, teller: asked.append(request))
    result = CliRunner().invoke(app, words)
    assert result.exception is None
    return asked


def test_all_nets_have_one_budget(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """But for S and seed there is no difference, and none starts from another."""
    monkeypatch.chdir(tmp_path)
    design.BUILD.mkdir(parents=True)
    asked = [_requests(monkeypatch, row.training(3))[0] for row in design.ROWS]
    assert [(one.config.name, str(one.recipe.train_scale)) for one in asked] == [
        (row.net, row.scale) for row in design.ROWS
    ]
    assert {one.start for one in asked} == {None}
    kept = [{**one.recipe.as_dict(), "train_scale": None} for one in asked]
    assert all(one == kept[0] for one in kept)
    assert (kept[0]["seed"], {one.width for one in asked}) == (3, {design.WIDTH})


def test_the_claims_are_the_papers() -> None:
    nets = {line.row.net for claim in design.CLAIMS for line in (claim.first, claim.second)}
    assert nets == {"A", "A-LRN", "B", "B-5x5", "C", "D"}
    points = {f"{claim.first.title} to {claim.second.title}": findings.paper_points(claim) for claim in design.CLAIMS}
    assert [title for title, own in points.items() if own is None] == [
        "B-5x5, S=256, center at Q=256 to B, S=256, center at Q=256"
    ]
    assert points["A, S=256, dense at Q=256 to A-LRN, S=256, dense at Q=256"] == pytest.approx(0.1)
    assert points["D, S=256, dense at Q=256 to D, S=256-512, dense at Q=384"] == pytest.approx(-1.4)
    assert sum(own is not None and own < 0 for own in points.values()) == len(points) - 2


@pytest.mark.parametrize("seed", [0, 4])
def test_every_line_is_computed_by_an_evaluation(seed: int) -> None:
    wanted = {
        (line.row, protocol, scale)
        for _, lines, _ in design.TABLES
        for line in lines
        for protocol in line.protocols
        for scale in line.scales
    }
    wanted |= {(c.first.row, p, q) for c in design.CLAIMS for p in c.first.protocols for q in c.first.scales}
    computed = {(row, own.protocol, q) for own in design.EVALUATIONS for row in own.rows for q in own.scales}
    assert wanted <= computed
    assert design.IMAGES % design.CROPPED_IMAGES == 0, "multi-crop's pictures are among the others"
    for own in design.EVALUATIONS:
        assert all(row.model(seed) in own.command(seed) for row in own.rows)


# ---------------------------------------------------------------- what is said


class _Stored:
    """Posteriors as a run has them."""

    def __init__(self, name: str, images: tuple[str, ...], values: NDArray[np.float32]) -> None:
        self.images, self.title, self.folder, self._values = images, name, Path(name), values

    @property
    def sources(self) -> tuple["_Stored"]:
        return (self,)

    def mean(self, read: Mapping[Path, NDArray[np.floating]]) -> NDArray[np.floating]:
        return read[self.folder]

    def batches(self) -> Iterator[NDArray[np.floating]]:
        yield self._values


IMAGES, CLASSES = 40, 12


def _stored(seeds: int, lacking: tuple[Key, ...] = ()) -> tuple[Stored, dict[Key, NDArray[np.float32]]]:
    """Random posteriors of every run, of which B's are the best; multi-crop has every other image."""
    rng, runs, kept = np.random.default_rng(0), dict[Key, Run](), dict[Key, NDArray[np.float32]]()
    labels = {f"image{i:02d}": i % CLASSES for i in range(IMAGES)}
    for own in design.EVALUATIONS:
        images = tuple(labels)[:: 2 if own.protocol == "multicrop" else 1]
        for seed in range(seeds):
            for row in own.rows:
                for scale in own.scales:
                    key = (row, seed, own.protocol, scale)
                    values = rng.random((len(images), CLASSES)).astype(np.float32)
                    right = [labels[image] for image in images]
                    values[np.arange(len(images)), right] += 2 if row is design.B else 0.3
                    kept[key] = values
                    if key not in lacking:
                        runs[key] = cast(Run, _Stored(str(key), images, values))
    return Stored(seeds, runs, labels), kept


def test_errors_are_those_of_a_naive_mean() -> None:
    stored, kept = _stored(2)
    (both,) = (line for _, lines, _ in design.TABLES for line in lines if line.protocol == "dense+multicrop")
    own = stored.outcomes(both)
    assert own is not None
    assert (own.seeds, own.images) == (2, IMAGES // 2)
    for seed in range(2):
        for place, i in enumerate(range(0, IMAGES, 2)):
            dense = sum(kept[both.row, seed, "dense", q][i].astype(float) for q in both.scales) / 3
            crops = sum(kept[both.row, seed, "multicrop", q][i // 2].astype(float) for q in both.scales) / 3
            mean = (dense + crops) / 2
            before = sum(mean > mean[i % CLASSES])
            assert own.errors[seed, 0, place].tolist() == [before >= 1, before >= 5]


def test_a_change_is_paired_by_seed_and_image_and_only_of_seeds_that_have_both() -> None:
    claim = next(claim for claim in design.CLAIMS if claim.says == "13 layers beat 11")
    lacking = (claim.second.row, 1, "dense", 256)
    stored, _ = _stored(3, (lacking,))
    own = stored.outcomes(claim.first, claim.second)
    assert own is not None
    assert own.seeds == 2
    errors = [[stored.wrong(line, seed) for seed in (0, 2)] for line in (claim.first, claim.second)]
    differences = [
        [float(b[image][0]) - float(a[image][0]) for image in a] for a, b in zip(*errors, strict=True) if a and b
    ]
    assert own.change == Crossed.of(np.array(differences))
    assert stored.wrong(claim.second, 1) is None


def test_a_verdict_needs_a_p_by_holm_over_all_claims(monkeypatch: pytest.MonkeyPatch) -> None:
    stored, _ = _stored(5)
    monkeypatch.setattr(Stored, "of", lambda seeds: stored)
    monkeypatch.setattr(findings, "is_trained", lambda row, seed: True)
    monkeypatch.setattr(findings, "TIMES", Path("nowhere"))
    text = findings.document(5)
    rows = {tuple(line.split(" | ")[1:3]): line for line in text.splitlines() if line.startswith("| ")}
    better = rows["A, S=256, dense at Q=256", "B, S=256, dense at Q=256"]
    worse = rows["B, S=256, dense at Q=256", "C, S=256, dense at Q=256"]
    neither = rows["A, S=256, dense at Q=256", "D, S=256, dense at Q=256"]
    assert [line.rpartition(" | ")[2] for line in (better, worse, neither)] == [
        "holds |", "does not hold |", "cannot be told |",
    ]  # fmt: skip
    assert "Not finished" not in text
    assert f"all {len(design.CLAIMS)} claims together" in text
    result = published("dense", (Member("B", "256", (256,)),))
    assert result
    assert f"{result.top1} / {result.top5} |" in text
    assert all(claim.says in text for claim in design.CLAIMS)


def test_half_way_it_says_what_is_missing_and_tells_nothing_of_one_seed(monkeypatch: pytest.MonkeyPatch) -> None:
    stored, _ = _stored(1)
    half = Stored(5, stored.runs, stored.labels)
    monkeypatch.setattr(Stored, "of", lambda seeds: half)
    monkeypatch.setattr(findings, "is_trained", lambda row, seed: seed == 0)
    text = findings.document(5)
    assert "**Not finished**: A at S=256 is trained 1 of 5 times" in text
    assert "multicrop at Q=256,384,512 of D is computed for 1 seeds" in text
    verdicts = [
        line for line in text.splitlines() if line.startswith("| ") and line.endswith(("told |", "hold |", "holds |"))
    ]
    assert len(verdicts) == len(design.CLAIMS)
    assert all(" | - | - | " in line and line.endswith("cannot be told |") for line in verdicts)
    empty = Stored(5, {}, stored.labels)
    monkeypatch.setattr(Stored, "of", lambda seeds: empty)
    assert findings.document(5).count("cannot be told |") == len(design.CLAIMS)


# ---------------------------------------------------------------- carrying it out


def test_what_another_design_trained_is_trained_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    from vggbench import VGG
    from vggbench.weights.files import write_tensors

    monkeypatch.chdir(tmp_path)
    design.BUILD.mkdir(parents=True)
    row = design.A
    assert not design.is_trained(row, 0)
    tensors = {name: torch.zeros_like(t) for name, t in VGG(CONFIGS["A"], 4, 1 / 64).state_dict().items()}
    for command, expected in ((["vggbench", *row.training(0)], True), (["vggbench", *row.training(1)], False)):
        write_tensors(row.file(0), tensors, {"config": "A", "recipe": {"command": shlex.join(command)}})
        assert design.is_trained(row, 0) is expected


def test_seed_by_seed_and_only_what_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    stored, _ = _stored(1)
    monkeypatch.setattr(Stored, "of", lambda seeds: Stored(seeds, stored.runs, stored.labels))
    monkeypatch.setattr(miniature, "is_trained", lambda row, seed: seed == 0 or row is design.A)
    tasks = miniature.left(3)
    assert len(tasks) == 2 * (len(design.ROWS) - 1 + len(design.EVALUATIONS))
    names = [task.name for task in tasks]
    assert all("seed1" in name for name in names[: len(names) // 2])
    kinds = [task.is_training for task in tasks[: len(names) // 2]]
    assert kinds == sorted(kinds, reverse=True), "an evaluation comes after the trainings of its seed"


def _prepared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(miniature, "slower", lambda: 1.0)
    for folder in (design.TIMES, design.BUILD / "logs"):
        folder.mkdir(parents=True)


def test_a_sitting_notes_the_time_of_each_task(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    _prepared(tmp_path, monkeypatch)
    words = ["--version"]
    miniature.Sitting(2).do([miniature.Task("one", words, 10, True), miniature.Task("two", words, 5, False)])
    notes = [json.loads(path.read_text()) for path in sorted(design.TIMES.iterdir())]
    assert [(note["task"], note["training"]) for note in notes] == [("one", True), ("two", False)]
    assert all(note["cpu"] > 0 and note["wall"] > 0 for note in notes)
    ended = [design.TIMES / path.name for path in design.TIMES.iterdir()]
    assert len(ended) == 2


def test_a_task_that_fails_ends_the_sitting_with_its_own_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _prepared(tmp_path, monkeypatch)
    tasks = [miniature.Task("bad", ["params", "F"], 1, True), miniature.Task("after", ["--version"], 1, False)]
    with pytest.raises(VggbenchError, match=r"(?s)bad failed: .*Unknown config 'F'.* Its output: .*bad\.log"):
        miniature.Sitting(1).do(tasks)
    assert not (design.BUILD / "logs" / "after.log").exists()
