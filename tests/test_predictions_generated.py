"""Files of predictions in every form, by the thousand: read as they were meant, or refused if they have a fault.

`VGGBENCH_PREDICTION_EXAMPLES=10000 pytest -n0 tests/test_predictions_generated.py` tries more.
"""

import os
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from prediction_files import DECORATIONS, FAULTS, FORMS, KINDS, LAYOUTS, Plan, classes_of, write

from vggbench.errors import VggbenchError
from vggbench.store.predictions import read_predictions

EXAMPLES = int(os.environ.get("VGGBENCH_PREDICTION_EXAMPLES", "150"))


@st.composite
def plans(draw: st.DrawFn) -> Plan:
    form, layout = draw(st.sampled_from(FORMS)), draw(st.sampled_from(LAYOUTS))
    if form == "npy":
        layout = "listed"
    if form == "npz" and layout in ("named", "numbered"):
        layout = "listed"  # a class an array is nobody's way, though it is read
    names = draw(st.sampled_from(("words", "wnids", "ilsvrc", "numbers")))
    if names == "numbers" and layout in ("top names", "timm names"):
        names = "wnids"
    return Plan(
        seed=draw(st.integers(0, 2**32 - 1)),
        images=draw(st.integers(1, 3 if names == "ilsvrc" else 9)),
        names=names, form=form, layout=layout,
        kind=draw(st.sampled_from(KINDS)),
        dtype=draw(st.sampled_from(("float32", "float64", "float16"))),
        decoration=draw(st.integers(0, len(DECORATIONS) - 1)),
        delimiter=draw(st.sampled_from(",;\t|")),
        encoding=draw(st.sampled_from(("utf-8", "utf-8-sig", "utf-16"))),
        newline=draw(st.sampled_from(("\n", "\r\n"))),
        background=draw(st.sampled_from(("", "", "yes"))),
        parts=1 if form in ("npy", "npz") else draw(st.integers(1, 2)),
        fault=draw(st.none() | st.sampled_from(FAULTS)),
    )  # fmt: skip


def refused(plan: Plan) -> bool:
    """Whether the files of a plan are refused; else they were read as they were meant."""
    with TemporaryDirectory() as folder:
        truth = write(plan, Path(folder))
        try:
            found = read_predictions(truth.paths, truth.images, classes_of(plan.names), classes=truth.stated)
        except VggbenchError as error:
            text = str(error)
            assert truth.is_faulty, text
            assert text[-1] == "."
            assert len(text) < 1500
            assert "\n" not in text
            return True
    assert not truth.is_faulty, "a fault went by"
    assert len(found.sha256) == 64
    assert found.said
    assert all(said.endswith(".") for said in found.said)
    if truth.is_top:
        assert found.posteriors is None
        assert found.top is not None
        named = [[found.class_names[place] for place in row] for row in found.top]
        assert named == [[truth.classes[place] for place in row] for row in truth.top]
        return False
    assert found.class_names == truth.classes
    assert found.top is None
    assert found.posteriors is not None
    assert found.posteriors.dtype == np.float32
    if plan.dtype != "float16":
        assert found.said[-1].startswith(f"Its values are {plan.kind}")
    if truth.is_exact:
        assert found.posteriors.tobytes() == truth.posteriors.tobytes()
    else:
        np.testing.assert_allclose(found.posteriors, truth.posteriors, rtol=0.02 if plan.dtype == "float16" else 1e-3)
    return False


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck))
@given(plans())
def test_a_file_is_read_as_it_was_meant_or_refused(plan: Plan) -> None:
    refused(plan)


PLAIN = Plan(7, 4, "words", "csv", "named", "probabilities", "float32", 1, ",", "utf-8", "\n", "", 1, None)


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_is_right_is_read(form: str, layout: str) -> None:
    """Were all files refused, the test above would pass."""
    if form != "npy" or layout == "listed":
        assert not refused(replace(PLAIN, form=form, layout=layout))


AXES = [
    *({"delimiter": char} for char in ",;\t|"), *({"encoding": name} for name in ("utf-8-sig", "utf-16")),
    *({"kind": kind, "dtype": dtype} for kind in KINDS for dtype in ("float16", "float32", "float64")),
    *({"kind": kind, "background": "yes"} for kind in KINDS), *({"decoration": n} for n in range(len(DECORATIONS))),
    *({"form": form, "parts": 2} for form in ("csv", "parquet", "jsonl", "index", "split")),
    *({"names": names} for names in ("wnids", "ilsvrc", "numbers")), {"newline": "\r\n"}, {"seed": 8},
]  # fmt: skip


@pytest.mark.parametrize("axis", AXES, ids=str)
def test_what_is_right_is_read_along_every_axis(axis: dict[str, object]) -> None:
    assert not refused(replace(PLAIN, **axis))  # type: ignore[arg-type]


BITES = {
    "lacks a class": {"layout": "numbered"}, "no order": {"layout": "listed"}, "from 1": {"layout": "numbered"},
    "unsorted": {"layout": "top names"}, "ragged": {"layout": "listed"},
}  # fmt: skip


@pytest.mark.parametrize("fault", FAULTS)
def test_every_fault_is_put_in_and_refused(fault: str) -> None:
    assert refused(replace(PLAIN, fault=fault, **BITES.get(fault, {})))  # type: ignore[arg-type]
