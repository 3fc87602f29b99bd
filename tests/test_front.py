"""The front door: README's examples and the docstrings' run as they stand; errors speak of parameters."""

import doctest
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

import vggbench
from vggbench import front
from vggbench.errors import DataError, StoreError, UsageError

README = Path(__file__).parents[1] / "README.md"
EXAMPLES = re.findall(r"```python\n(import.*?)```", README.read_text(), re.DOTALL)
FUNCTIONS = ("compare", "evaluate", "explain", "features", "fuse", "load", "open_data", "params")


@pytest.fixture(scope="session")
def _place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("front")


@pytest.fixture
def sample(few_drawn: Path, _place: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder to work in, whose store these tests share, and a sample of twelve pictures."""
    monkeypatch.chdir(_place)
    return _place


@pytest.mark.thorough
@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("example", EXAMPLES, ids=range(len(EXAMPLES)))
def test_the_readmes_examples_run_as_they_stand(
    example: str, method: str, few_drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for wnid in vggbench.ILSVRC_CLASSES[:2]:
        (tmp_path / "imagenet" / "val" / wnid).mkdir(parents=True)
        Image.new("RGB", (260, 240), "teal").save(tmp_path / "imagenet" / "val" / wnid / f"{wnid}.JPEG")
    start = f"import multiprocessing\nmultiprocessing.set_start_method({method!r})\n"
    few = "import vggbench.sample.pictures as p\np.SPLITS = dict.fromkeys(p.SPLITS, 1)\n"
    (tmp_path / "script.py").write_text(start + few + example)
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 1


def test_the_example_is_found() -> None:
    assert len(EXAMPLES) == 1


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_example_of_a_docstring_is_right(name: str, sample: Path) -> None:
    (found,) = doctest.DocTestFinder().find(getattr(front, name), name, globs={"vggbench": vggbench})
    assert found.examples
    assert doctest.DocTestRunner().run(found).failed == 0


def test_words_and_values_find_the_same_runs(sample: Path) -> None:
    by_words = vggbench.evaluate("A@sample", "sample", scales="256", limit=4)
    by_values = vggbench.evaluate([vggbench.load("A@sample")], vggbench.open_data("sample"), scales=[256], limit=4)
    assert [run.title for run in by_words.runs] == [run.title for run in by_values.runs]
    assert by_words.to_pandas().equals(by_values.to_pandas())
    of_store = vggbench.compare(*(run.title for run in by_words.runs))
    assert of_store.rows[0].errors == by_words.rows[0].errors


def test_a_file_that_says_its_config_needs_no_other_word(sample: Path) -> None:
    net = vggbench.load("B@sample")
    vggbench.save_model(net, sample / "b.safetensors")
    again = vggbench.load(sample / "b.safetensors")
    assert again.identity.architecture == net.identity.architecture
    (sample / "x.pth").touch()
    with pytest.raises(UsageError, match=r"x.pth does not say which config it is: expected the words CONFIG@FILE"):
        vggbench.load(sample / "x.pth")


def test_what_is_compared_is_of_the_same_images_and_labels(sample: Path) -> None:
    found = vggbench.evaluate("A@sample", "sample", scales=256, limit=4)
    other = vggbench.evaluate("D@sample", "sample", scales=256, limit=6)
    with pytest.raises(StoreError, match="cover different images"):
        found.compare(other)
    with pytest.raises(StoreError, match="cover different images"):
        vggbench.fuse(found, other)
    with pytest.raises(UsageError, match=r"per_image\('D@sample'\): expected the name of one model, of A@sample"):
        found.per_image("D@sample")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"grid": 4}, r"^grid=4: expected 1 or 8\.$"),
        ({"scales": 100}, r"^scales=100: Q must lie"),
        ({"workers": -1}, r"^workers"),
        ({"precision": "fp8"}, "^precision=fp8: expected one of"),
        ({"wokers": 1}, r"^evaluate\(\.\.\., wokers=\.\.\.\): expected one of .*workers"),
    ],
)
def test_errors_speak_of_parameters(wrong: dict[str, object], said: str, sample: Path) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        vggbench.evaluate("A@sample", "sample", **wrong)  # type: ignore[arg-type]
    assert "--" not in str(caught.value)
    with pytest.raises(DataError, match="There is no nowhere"):
        vggbench.open_data("nowhere")


# ---------------------------------------------------------------- what must not be averaged, reordered or left out


@pytest.fixture
def pair(sample: Path) -> tuple[vggbench.Evaluated, vggbench.Evaluated]:
    """A and D, of four images, under different paths of one store."""
    a = vggbench.evaluate("A@sample", "sample", scales=256, limit=4)
    return a, vggbench.evaluate("D@sample", "sample", scales=256, limit=4, runs=sample / "runs")


Pair = tuple[vggbench.Evaluated, vggbench.Evaluated]


def test_models_keep_the_order_in_which_they_are_given(pair: Pair) -> None:
    d = pair[1]
    fused = vggbench.fuse("A@sample", d, shares=[0.9, 0.1], data="sample", scales=256, limit=4)
    assert fused.rows[0].network == "0.9 A@sample + 0.1 D@sample"
    rows = vggbench.compare("A@sample", d, data="sample", scales=256, limit=4).rows
    assert [row.network for row in rows] == ["A@sample", "D@sample"]
    assert rows[1].against
    assert rows[1].against.first == "A@sample"


def test_runs_beside_evaluations_and_models_are_no_less(pair: Pair) -> None:
    a, d = pair
    for others in ((a,), (a.runs[0],), (a.runs[0].title,)):
        assert vggbench.fuse(d.runs[0], *others).rows[0].network == "D@sample + A@sample"
    mixed = vggbench.fuse(d.runs[0], "A@sample", data="sample", scales=256, limit=4)
    assert mixed.rows[0].network == "D@sample + A@sample"


def test_one_run_by_two_paths_is_one(pair: Pair) -> None:
    a, d = pair
    again = vggbench.evaluate("D@sample", "sample", scales=256, limit=4)
    assert d.runs[0].folder != again.runs[0].folder
    assert d.fuse(again, a).rows[0].views == d.rows[0].views + a.rows[0].views


@pytest.mark.parametrize(
    ("otherwise", "said"),
    [
        ({"precision": "bf16"}, "differ in precision"),
        ({"filter": "bicubic"}, "differ in rescaling"),
        ({"backend": "onnxruntime"}, "are both dense at Q=256 of D@sample"),
    ],
)
def test_runs_that_differ_in_more_than_q_are_not_averaged(otherwise: dict[str, object], said: str, pair: Pair) -> None:
    a, d = pair
    other = vggbench.evaluate("D@sample", "sample", scales=256, limit=4, **otherwise)  # type: ignore[arg-type]
    for join in ("d.compare(other, a).rows", "d.fuse(other, a).rows", "d.compare(other).rows"):
        with pytest.raises(UsageError, match=said):
            eval(join, {"a": a, "d": d, "other": other})


def test_a_fusion_is_not_joined_again(pair: Pair) -> None:
    a, d = pair
    fused = d.fuse(a)
    for join in ("fused.fuse(a)", "d.compare(fused)", "vggbench.fuse(fused, a)"):
        with pytest.raises(UsageError, match="A fusion is one row and no model"):
            eval(join, {"a": a, "d": d, "fused": fused, "vggbench": vggbench})


def test_other_labels_of_the_same_images_are_not_mixed(sample: Path, pictures: Path) -> None:
    place = shutil.copytree(pictures, sample / "one")
    for folder in ("two", "three"):
        shutil.copytree(place, sample / folder)
    one, *_ = sorted((sample / "two" / "apple").iterdir())
    one.rename(sample / "two" / "boat" / one.name)
    other, *_ = sorted((sample / "three" / "apple").iterdir())
    other.write_bytes(other.read_bytes() + b"x")
    found = {
        name: vggbench.evaluate("A@random", sample / name, scales=224, width=1 / 16) for name in ("one", "two", "three")
    }
    second = vggbench.evaluate("B@random", sample / "one", scales=224, width=1 / 16)
    assert len(second.compare(found["one"]).rows) == 2
    with pytest.raises(UsageError, match="different ground truths"):
        second.compare(found["two"])
    with pytest.raises(StoreError, match="differ in files"):
        second.compare(found["three"])


def test_what_is_not_complete_has_no_rows(sample: Path) -> None:
    plan = vggbench.evaluate("A@sample", "sample", scales=240, limit=4, dry_run=True)
    for take in (lambda: plan.rows, plan.to_pandas, plan.per_image, lambda: plan.compare(plan)):
        with pytest.raises(StoreError, match="not complete: expected one without dry_run"):
            take()


@pytest.mark.parametrize(
    ("call", "said"),
    [
        ("fuse(d, a, scales=512)", "scales is for models, and nothing is evaluated here"),
        ('fuse("A@sample", "D@sample")', "No data for the models: expected data="),
        ("fuse(d)", "expected two or more different models"),
        ("fuse(d, a, shares=[1])", "shares=1: expected 2 numbers of 0 or more"),
        ("fuse(d, a, shares=[])", "expected 2 numbers of 0 or more"),
        ('compare("A@sample", "A@sample", data="sample", scales=256, limit=4)', "expected different models, each once"),
        ("compare()", "No models: expected MODEL strings"),
        ('evaluate([], "sample")', "No models: expected one or more"),
        ('evaluate("A@sample", "sample", limit="4")', "limit='4': expected a whole number"),
        ('explain("A@sample", "sample", scales=256)', r"explain\(\.\.\., scales=\.\.\.\): expected one of"),
        ('params("D", width=-1)', "width=-1: expected a number above 0"),
        ('params("D", classes=0)', "classes=0: expected 1 or more"),
        ('load("D@random", width=100)', "width=100: expected a number above 0"),
        ("d.fuse(a).per_image()", "expected the name of one model"),
    ],
)
def test_what_cannot_be_is_a_sentence(call: str, said: str, pair: Pair) -> None:
    a, d = pair
    assert a is not d
    names = {name: getattr(vggbench, name) for name in FUNCTIONS} | {"a": a, "d": d}
    with pytest.raises(UsageError, match=said):
        eval(call, names)


def test_paths_one_label_and_several_models_by_any_iterable(sample: Path) -> None:
    vggbench.save_model(vggbench.load("B@sample"), sample / "b.safetensors")
    found = vggbench.evaluate(
        (one for one in (sample / "b.safetensors", "A@sample")), "sample", scales=256, limit=4, labels="original"
    )
    assert [row.network for row in found.rows] == ["B@b.safetensors", "A@sample"]
