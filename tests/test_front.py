"""The front door: README's examples and the docstrings' run as they stand; errors speak of parameters."""

import doctest
import re
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
FUNCTIONS = ("compare", "evaluate", "explain", "fuse", "load", "open_data", "params")


@pytest.fixture
def sample(few_drawn: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the test's own to work in, and a sample of twelve pictures."""
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("method", ["fork", "spawn"])
@pytest.mark.parametrize("example", EXAMPLES, ids=["sample", "any network"])
def test_the_readmes_examples_run_as_they_stand(example: str, method: str, sample: Path) -> None:
    for wnid in vggbench.ILSVRC_CLASSES[:2]:
        (sample / "imagenet" / "val" / wnid).mkdir(parents=True)
        Image.new("RGB", (260, 240), "teal").save(sample / "imagenet" / "val" / wnid / f"{wnid}.JPEG")
    start = f"import multiprocessing\nmultiprocessing.set_start_method({method!r})\n"
    few = "import vggbench.sample.pictures as p\np.SPLITS = dict.fromkeys(p.SPLITS, 1)\n"
    (sample / "script.py").write_text(start + few + example)
    done = subprocess.run([sys.executable, "script.py"], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) >= 1


def test_both_examples_are_found() -> None:
    assert len(EXAMPLES) == 2


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
    of_store = vggbench.fuse(*(run.title for run in by_words.runs))
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
    with pytest.raises(UsageError, match=r"per_image of D@sample: expected the name of one of A@sample"):
        found.per_image("D@sample")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ({"grid": 4}, r"^grid=4: expected 1 or 8\.$"),
        ({"scales": 100}, r"^scales=100: Q must lie"),
        ({"workers": -1}, r"^workers"),
        ({"precision": "fp8"}, "^precision fp8: expected one of"),
        ({"wokers": 1}, r"^evaluate\(\.\.\., wokers=\.\.\.\): expected one of .*workers"),
    ],
)
def test_errors_speak_of_parameters(wrong: dict[str, object], said: str, sample: Path) -> None:
    with pytest.raises(UsageError, match=said) as caught:
        vggbench.evaluate("A@sample", "sample", **wrong)  # type: ignore[arg-type]
    assert "--" not in str(caught.value)
    with pytest.raises(DataError, match="There is no nowhere"):
        vggbench.open_data("nowhere")
