"""An evaluation from Python, without the command line: words and values, a dry run, shares, nets without weights."""

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, nullcontext
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vggbench import INPUTS, Model, Protocol, Run, open_data, posteriors
from vggbench.data import DataSet
from vggbench.errors import DataError, UsageError, VggbenchError, WeightsError
from vggbench.evaluation.forecast import Forecast
from vggbench.evaluation.jobs import Job, Watch
from vggbench.evaluation.listening import Listener
from vggbench.evaluation.models import require_loaded
from vggbench.evaluation.plan import Plan
from vggbench.evaluation.processes import World
from vggbench.evaluation.request import Manner, Request
from vggbench.evaluation.session import Hooks, Session, conduct
from vggbench.paper.protocols import TrainScale
from vggbench.results.evaluated import evaluated
from vggbench.weights.load import LoadOptions, load_model
from vggbench.weights.spec import ModelSpec

CLASSES = ("apple", "boat", "fish", "house")


def _colours(images: Tensor) -> Tensor:
    """A network that is quick and whose output tells images apart."""
    return torch.cat([images.mean((2, 3)), images[:, :1].amax((2, 3))], dim=1) * 3


COLOURS = Model.wrap("colours", _colours, INPUTS["torchvision"], CLASSES, identity="colours 1")


class Heard(Listener):
    """Writes down what it is told, in order."""

    forecasts = True

    def __init__(self) -> None:
        self.all: list[str] = []

    def note(self, sentence: str) -> None:
        self.all.append(f"Note: {sentence}")

    def say(self, sentence: str) -> None:
        self.all.append(sentence)

    def opening(self) -> None:
        self.all.append("opening")

    def planned(self, plan: Plan, expected: Forecast | None) -> None:
        assert expected
        self.all.append(f"planned {len(plan.jobs)} of {expected.images}")

    @contextmanager
    def evaluating(self, plan: Plan) -> Iterator[Watch]:
        self.all.append("evaluating")
        yield Watch()
        self.all.append(f"read {plan.images_read}")


@pytest.fixture
def ask(pictures: Path, tmp_path: Path) -> Callable[..., Request]:
    """A request that is quick, with some fields otherwise."""

    def request(**changes: object) -> Request:
        usual = {"models": COLOURS, "data": pictures, "protocols": "center", "scales": 224, "device": "cpu"}
        return Request(**usual | {"workers": 0, "runs": tmp_path / "runs"} | changes)  # type: ignore[arg-type]

    return request


def _names(runs: Sequence[Run]) -> list[str]:
    return [run.title for run in runs]


def test_words_and_values_ask_for_the_same(
    ask: Callable[..., Request], pictures: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    words = {"protocols": ["center", "dense"], "scales": ["224", "232"]}
    by_words = conduct(ask(models="a@sample", data=str(pictures), **words))
    data = open_data(pictures)
    model = load_model(ModelSpec.parse("A@sample"), LoadOptions(), data.class_names)
    values = {"protocols": (Protocol("center"), Protocol("dense")), "scales": (224, 232)}
    by_values = conduct(ask(models=(model,), data=data, **values))
    assert by_words.speaks
    assert by_values.speaks
    assert len(by_words.plan.runs) == 4
    assert _names(by_words.plan.runs) == _names(by_values.plan.runs)
    assert (by_words.plan.images_read, by_values.plan.images_read) == (4, 0), "nothing is computed twice"
    assert by_values.data is data
    assert by_values.models == [model]
    assert capfd.readouterr() == ("", ""), "a library prints nothing"


def test_a_listener_hears_what_is_done_in_order(ask: Callable[..., Request], pictures: Path) -> None:
    heard = Heard()
    conduct(ask(), heard)
    assert heard.all == ["opening", "planned 1 of 4", "evaluating", "read 4"]
    again = Heard()
    assert conduct(ask(models=[COLOURS, COLOURS]), again).forecast is None, "nothing is left to compute"
    assert again.all == [
        "opening",
        "Note: colours is colours again: each model is evaluated once and has one row.",
        "evaluating",
        "read 0",
    ]


def test_a_gpu_that_is_not_used_is_told(ask: Callable[..., Request], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vggbench.evaluation.session.fallen_back", lambda asked, device: f"{asked} is a {device}.")
    heard = Heard()
    conduct(ask(device="cpu"), heard)
    assert heard.all == ["opening", "Note: cpu is a cpu.", "planned 1 of 4", "evaluating", "read 4"]
    again = Heard()
    conduct(ask(device="cpu"), again)
    assert not any("cpu" in said for said in again.all), "where nothing is computed it does not matter"


def test_nobody_waits_for_a_forecast_that_nobody_hears(
    ask: Callable[..., Request], monkeypatch: pytest.MonkeyPatch
) -> None:
    def forecasts(plan: Plan) -> Forecast:
        raise AssertionError("a probe was run")

    monkeypatch.setattr("vggbench.evaluation.session.forecast", forecasts)
    assert conduct(ask()).speaks
    with pytest.raises(AssertionError, match="a probe was run"):
        conduct(ask(dry_run=True, scales=256))


def test_a_dry_run_computes_nothing(ask: Callable[..., Request], tmp_path: Path) -> None:
    found = conduct(ask(dry_run=True, scales=[224, 256]))
    assert not found.speaks
    assert found.forecast
    assert (found.forecast.images, found.plan.images_read) == (8, 0)
    assert not (tmp_path / "runs").exists()


def test_shares_of_one_evaluation(ask: Callable[..., Request], many_pictures: Path, tmp_path: Path) -> None:
    whole = conduct(ask(data=many_pictures))
    one, two = Heard(), Heard()
    shared = {"data": many_pictures, "runs": tmp_path / "shared"}
    first = conduct(ask(share="1/2", **shared), one)
    last = conduct(ask(share="2/2", **shared), two)
    assert (first.speaks, last.speaks) == (False, True)
    assert one.all[-1] == "--share 1/2 is done; the last process to finish its share prints the table."
    assert (first.plan.images_read, two.all[-1]) == (38, "read 32"), "blocks 0 and 2 of three, and block 1"
    assert np.array_equal(posteriors(last.plan.runs[0]), posteriors(whole.plan.runs[0]))


class _Alone(World):
    """One of two processes, which waits for nobody, and of which the other says the same."""

    def wait(self) -> None:
        pass

    def gather(self, own: object) -> list[object]:  # type: ignore[override]
        return [own, own]


def test_of_several_processes_the_first_alone_speaks(
    ask: Callable[..., Request], many_pictures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    found, told = [], [Heard(), Heard()]
    for rank in (1, 0):
        monkeypatch.setattr(
            "vggbench.evaluation.session.joined", lambda device, rank=rank: nullcontext(_Alone(rank, 2))
        )
        found.append(conduct(ask(data=many_pictures), told[rank]))
    assert [session.speaks for session in found] == [False, True]
    assert found[0].plan.images_read == 32, "every other block"
    assert told[1].all == [], "the others are silent"
    assert told[0].all == ["opening", "planned 1 of 38", "evaluating", "read 38"]
    assert len(found[1].plan.runs[0].images) == 70, "one table of all"


def test_a_model_without_weights_keeps_its_entry(ask: Callable[..., Request], tmp_path: Path) -> None:
    asked = {"models": ["A@sample", f"D@{tmp_path}/none.pth"]}
    found = conduct(ask(keep_going=True, **asked))
    there, lacking = found.entries
    assert there.model
    assert lacking.model is None
    assert lacking.failed
    assert "none.pth" in str(lacking.note)
    assert found.models == [there.model]
    with pytest.raises(VggbenchError, match=r"none\.pth"):
        require_loaded(found.entries)
    with pytest.raises(WeightsError, match=r"There is no readable weights file .*none\.pth"):
        conduct(ask(**asked))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": None}, "No images for colours"),
        ({"data": None, "models": ["D", "A@sample"]}, "No images for A@sample"),
        ({"data": None, "models": ["D"], "weights": "random"}, "No images for --weights random"),
        ({"data": None, "models": ["D"]}, "No images for D"),
        ({"data": "nowhere"}, "There is no nowhere"),
        ({"limit": 0}, "--limit 0"),
        ({"grid": 8}, "--grid is for --multicrop"),
        ({"grid": 4}, "--grid 4: expected 1 or 8"),
        ({"protocols": "centre"}, "centre"),
        ({"scales": "100"}, "100"),
        ({"precision": "fp8"}, "--precision fp8: expected one of fp32"),
        ({"filter": "box"}, "--filter box: expected one of bilinear, bicubic"),
        ({"backend": "jax"}, "--backend jax: expected one of auto"),
        ({"batch_size": 0}, "--batch-size 0: expected 1 or more"),
        ({"workers": -1}, "--workers -1: expected 0 or more"),
        ({"width": 0}, "--width 0"),
        ({"share": "3/2"}, "--share 3/2"),
        ({"train_scale": "large"}, "large"),
        ({"models": ["Q"]}, "Q"),
    ],
)
def test_what_cannot_be_is_refused_before_images_are_listed(
    changes: dict[str, object], said: str, ask: Callable[..., Request], monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def opens(*whatever: object) -> DataSet:
        raise AssertionError("images were listed")

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("vggbench.evaluation.session.open_data", opens)
    with pytest.raises(UsageError, match=said):
        conduct(ask(**changes))


def test_the_caller_may_refuse_and_choose(ask: Callable[..., Request], tmp_path: Path) -> None:
    def refuses(what: object) -> None:
        raise UsageError(f"{type(what).__name__} refused")

    with pytest.raises(UsageError, match="DataSet refused"):
        conduct(ask(), hooks=Hooks(check_data=refuses))
    with pytest.raises(UsageError, match="list refused"):
        conduct(ask(), hooks=Hooks(check_models=refuses))
    assert not (tmp_path / "runs").exists(), "before anything is computed"
    found = conduct(ask(), hooks=Hooks(jobs_of=lambda model: [Job(model, Protocol("tencrop"), 256)]))
    assert [run.title.rpartition("-")[0] for run in found.plan.runs] == ["colours-tencrop-Q256"]


def test_words_of_protocols_and_scales() -> None:
    assert Manner().chosen_protocols == [Protocol("dense")]
    eight = Manner(protocols=["multicrop", "dense", "multicrop"], grid=8, scales="multi")
    assert eight.chosen_protocols == [Protocol("multicrop", 8), Protocol("dense")]
    assert eight.scales_of(Protocol("dense"), TrainScale(256, 256)) == (224, 256, 288)
    unmirrored = Protocol("dense", mirror=False)
    assert Manner(protocols=[unmirrored]).chosen_protocols == [unmirrored]
    assert Manner().scales_of(Protocol("center"), TrainScale(384, 384)) == (256,)
    assert Manner().scales_of(Protocol("dense"), TrainScale(384, 384)) == (384,)
    assert Manner(train_scale=TrainScale(256, 512)).load_options == Manner(train_scale="256-512").load_options


def test_labels_that_are_not_of_these_images_are_refused(ask: Callable[..., Request], tmp_path: Path) -> None:
    assert [truth.name for truth in evaluated(ask()).truths] == ["original"]
    real = tmp_path / "real.json"
    real.write_text(json.dumps([[1]]))
    with pytest.raises(DataError, match=r"--labels real .*|.*real\.json"):
        evaluated(ask(), labels=[f"real={real}"])


def test_a_session_is_found_finished(ask: Callable[..., Request]) -> None:
    found: Session = conduct(ask(limit=2))
    assert len(found.data) == 2
    assert found.data.total == 4
    assert [len(run.images) for run in found.plan.runs] == [2]
