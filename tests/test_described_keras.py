"""What a Keras file says of its net is believed or refused: every attribute of its description, changed one by one."""

import contextlib
import copy
import fnmatch
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from children import run_script
from keras_files import Layer, layer, spelled, vgg, write_archive, write_h5
from keras_interpreter import Interpreter
from keras_schema import RIGHT, ROWS, Row
from torch import Tensor

from vggbench import INPUTS, LoadOptions, Model, ModelSpec, load_model
from vggbench.errors import WeightsError
from vggbench.inference.choice import start

CLOSE = 1e-4
"""The largest difference that is right, in units of the largest logit."""


def _pictures(height: int, width: int) -> Tensor:
    generator = torch.Generator().manual_seed(1)
    coarse = torch.randint(0, 255, (1, 3, 9, 9), generator=generator).float()
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 255).to(torch.uint8)


SMALL, LARGE = _pictures(224, 224), _pictures(255, 329)
"""The second pools to 7 x 10 where sizes are rounded down, and to 8 x 11 where they are rounded up."""


def _padded(layers: list[Layer]) -> list[Layer]:
    """As Keras 1's VGGs are: padding apart from convolutions."""
    found: list[Layer] = []
    for entry in layers:
        if entry["class_name"] == "Conv2D":
            number, form = entry["config"]["name"][4:], entry["config"]["data_format"]
            found.append(layer("ZeroPadding2D", f"pad{number}", padding=[1, 1], data_format=form))
            entry["config"]["padding"] = "valid"
        found.append(entry)
    return found


def net(name: str) -> list[Layer]:
    """The layers of a base of the rows."""
    words = set(name.split())
    layers = vgg(form="channels_first" if words & {"first", "theano"} else "channels_last", norm="norm" in words)
    if "padded" in words:
        layers = _padded(layers)
    if "scaled" in words:
        layers.insert(1, layer("Rescaling", "scale", scale=1 / 127.5, offset=-1.0))
    if "flipping" in words:
        layers.insert(1, layer("RandomFlip", "flip", mode="horizontal"))
    if "bare" in words:
        layers[-1]["config"]["activation"] = "linear"
    return layers


def changed(layers: list[Layer], name: str, attribute: str, value: Any) -> list[Layer]:
    """With one change, at each layer whose name matches."""
    layers = copy.deepcopy(layers)
    for entry in [entry for entry in layers if fnmatch.fnmatch(entry["config"]["name"], name)]:
        _change(layers, entry, attribute, copy.deepcopy(value))
    return layers


def _change(layers: list[Layer], entry: Layer, attribute: str, value: Any) -> None:
    place = layers.index(entry)
    if attribute == "<missing>":
        del entry["config"][value]
    elif attribute == "<class>":
        entry["class_name"] = value
    elif attribute in ("<module>", "<registered>"):
        entry["module" if attribute == "<module>" else "registered_name"] = value
    elif attribute in ("<call>", "<calls>", "<of>"):
        entry[attribute.strip("<>")] = value
    elif attribute in ("<before>", "<after>"):
        value["config"]["name"] += (
            str(place) if any(value["config"]["name"] == held["config"]["name"] for held in layers) else ""
        )
        layers.insert(place + (attribute == "<after>"), value)
    elif attribute == "<replace>":
        layers[place] = value
    elif attribute == "<drop>":
        del layers[place]
    elif attribute == "<move>":
        layers.remove(entry)
        layers.insert(next(number for number, held in enumerate(layers) if held["config"]["name"] == value), entry)
    elif attribute == "<swap>":
        other = next(number for number, held in enumerate(layers) if held["config"]["name"] == value)
        layers[place], layers[other] = layers[other], layers[place]
    else:
        entry["config"][attribute] = value


FORMS = (
    (3, "Functional", "keras"), (2, "Sequential", "h5"), (3, "Sequential", "h5"), (2, "Functional", "h5"),
    (3, "Functional", "h5"), (3, "Sequential", "keras"),
)  # fmt: skip
"""Generation of Keras, class of the model, format."""
FORMS_1 = ((1, "Sequential", "h5"), (1, "Functional", "h5"))
ONLY_3 = ("<module>", "<registered>")


def forms_of(row: Row) -> list[tuple[int, str, str]]:
    """The spellings that can say a row's change."""
    base, _, attribute, value, _ = row
    found = [
        *FORMS,
        *(FORMS_1 if attribute in ("activation", "padding", "strides", "pool_size", "use_bias", "<drop>") else ()),
    ]
    if "theano" in base:
        return list(FORMS_1)
    if attribute in ("<call>", "<calls>", "<of>"):
        found = [form for form in found if form[1] == "Functional"]
    if attribute in ONLY_3 or (isinstance(value, dict) and "module" in value):
        found = [form for form in found if form[0] == 3]
    return found


def written(row: Row, form: tuple[int, str, str], path: Path) -> tuple[Interpreter, Path]:
    """A file with the row's change, and the interpreter of what it says, which has drawn its weights."""
    base, name, attribute, value, _ = row
    generation, kind, suffix = form
    layers = changed(net(base), name, attribute, value)
    config = spelled(layers, generation, kind)
    backend = "theano" if "theano" in base else "tensorflow"
    interpreter = Interpreter(config, backend)
    path = path / f"x.{suffix}"
    with contextlib.suppress(RuntimeError, IndexError):  # of a description that no input fits
        interpreter.logits(_given(config, SMALL))
        interpreter.is_legal = True
    if suffix == "h5":
        write_h5(path, config, layers, interpreter.weights, backend=backend)
    else:
        write_archive(path, config, layers, interpreter.weights, kind)
    return interpreter, path


def _rescales(config: dict[str, Any]) -> bool:
    return any(repr(kind) in str(config) for kind in ("Rescaling", "Normalization"))


def _given(config: dict[str, Any], pictures: Tensor) -> Tensor:
    """Pixels as they are for a net that rescales them itself, else as Keras's VGGs have them."""
    return pictures.float() if _rescales(config) else INPUTS["caffe"].normalise(pictures)


def outcome(row: Row, form: tuple[int, str, str], folder: Path) -> str:
    """RIGHT, `wrong` and by how much, or the refusal."""
    interpreter, path = written(row, form, folder)
    input = None if _rescales(interpreter.model) else "caffe"
    try:
        model = load_model(
            ModelSpec.parse(f"{'A-BN' if 'norm' in row[0] else 'A'}@{path}"), LoadOptions(input=input), ()
        )
    except WeightsError as error:
        return str(error)
    return max(_compared(model, interpreter, pictures) for pictures in (SMALL, LARGE))


def _compared(model: Model, interpreter: Interpreter, pictures: Tensor) -> str:
    expected = interpreter.logits(_given(interpreter.model, pictures))
    found = start("pytorch", model, torch.device("cpu"), "fp32")(pictures)
    if found.shape != expected.shape:
        return f"wrong: {tuple(found.shape)} for {tuple(expected.shape)}"
    worst = float((found - expected).abs().max() / expected.abs().max())
    return RIGHT if worst < CLOSE else f"wrong by {worst:.1e}"


def _numbered(rows: list[Row]) -> list[Any]:
    """Every row; of the default run every second one, since each takes a tenth of a second."""
    return [
        pytest.param(
            number,
            row,
            id=f"{number}-{row[0]}-{row[1]}-{row[2]}-{str(row[3])[:30]}",
            marks=[pytest.mark.slow] * (number % 2),
        )
        for number, row in enumerate(rows)
    ]


def _assert_expected(found: str, row: Row) -> None:
    assert found == RIGHT if row[4] == RIGHT else row[4] in found, found


@pytest.mark.parametrize(("number", "row"), _numbered(ROWS))
def test_an_attribute_is_believed_or_refused(number: int, row: Row, tmp_path: Path) -> None:
    forms = forms_of(row)
    _assert_expected(outcome(row, forms[number // 2 % len(forms)], tmp_path), row)


@pytest.mark.slow
@pytest.mark.parametrize("row", ROWS, ids=str)
def test_an_attribute_means_the_same_in_every_spelling(row: Row, tmp_path: Path) -> None:
    for form in forms_of(row):
        _assert_expected(outcome(row, form, tmp_path), row)


# ---------------------------------------------------------------- the interpreter against Keras

KERAS = """
import os, sys
os.environ["KERAS_BACKEND"] = "torch"
import keras, numpy as np
for path in sys.argv[1:]:
    given = np.load(path + ".npy")
    try:
        found = keras.models.load_model(path, compile=False)(given, training=False)
    except Exception as error:
        print(path, type(error).__name__, str(error)[:300].replace(chr(10), " "))
        continue
    np.save(path + ".found.npy", found.detach().cpu().numpy())
"""


def _as_keras(rows: list[tuple[int, Row]], folder: Path) -> tuple[int, int]:
    """Compare the interpreter with Keras on the files of some rows; returns how many were compared and how many not."""
    expected: dict[str, Tensor] = {}
    rows_by_path: dict[str, Row] = {}
    for number, row in rows:
        forms = [form for form in forms_of(row) if form[0] > 1]
        if not forms:
            continue  # Keras 1's words, which Keras 3 does not read
        form = forms[number % len(forms)]
        (folder / str(number)).mkdir()
        interpreter, path = written(row, form, folder / str(number))
        if interpreter.is_legal and not interpreter.is_marked:
            rows_by_path[str(path)] = row
            expected[str(path)] = interpreter.output(_given(interpreter.model, SMALL))
            given = _given(interpreter.model, SMALL).numpy()
            np.save(f"{path}.npy", given if interpreter.takes_channels_first else given.transpose(0, 2, 3, 1))
    missed, others = run_script(KERAS, *expected, folder=folder).strip(), []
    for name, value in expected.items():
        if Path(f"{name}.found.npy").exists():
            found = torch.from_numpy(np.load(f"{name}.found.npy"))
            largest = CLOSE * float(value.nan_to_num().abs().max())
            if found.shape != value.shape or not torch.allclose(found, value, rtol=0, atol=largest, equal_nan=True):
                others.append(rows_by_path[name])
    assert not others
    return len(list(folder.glob("*/*.found.npy"))), len(missed.splitlines())


@pytest.mark.thorough
def test_the_interpreter_is_keras(tmp_path: Path) -> None:
    """Nineteen rows; six seconds, of which Keras's own start takes four."""
    compared, missed = _as_keras([(number, ROWS[number]) for number in range(0, len(ROWS), 16)], tmp_path)
    assert compared > 3 * missed


@pytest.mark.slow
def test_the_interpreter_is_keras_in_every_row(tmp_path: Path) -> None:
    compared, missed = _as_keras(list(enumerate(ROWS)), tmp_path)
    assert compared > 5 * missed
