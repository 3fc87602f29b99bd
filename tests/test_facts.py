"""What the notes under a table say is known as values, before anything is written."""

from dataclasses import replace

import numpy as np
import pytest
from test_tables import circumstances, full, measured, model, pets

from vggbench.data.imagenet import VAL_IMAGES
from vggbench.images.preprocessing import INPUTS
from vggbench.metrics import ErrorRate, Errors
from vggbench.results.by_class import confused, errors_by_class
from vggbench.results.circumstances import Circumstances
from vggbench.results.facts import Counted, Grain, facts_of, references_of
from vggbench.results.rows import Reference, Row
from vggbench.store.per_image import PerImage

UNMEASURED = Row("C", (), "dense", (384,), "256-512", 2, 133_638_952, 109.7e9, config="C", note="C: no file.")


def test_of_rows_of_which_some_are_measured() -> None:
    rows, about = full()
    rows = [replace(row, models=rows[0].models) for row in rows]
    found = facts_of([UNMEASURED, *rows], about.data)
    assert found.grain == Grain.of(VAL_IMAGES)
    assert (found.papers, found.publishers) == (("Table 5",), ())
    assert found.remarks == ("C: no file.",)
    assert [one.name for one in found.nets.models] == ["D@oxford"], "each net once, whatever its rows"
    assert not found.lacks_top5
    assert found.is_original
    assert found.tests == 0


def test_of_nothing_that_was_measured() -> None:
    found = facts_of([UNMEASURED], pets())
    assert found.grain is None
    assert found.nets.models == ()


def test_what_does_not_count() -> None:
    few = Errors(ErrorRate(3, 90), None)
    rows = [measured("dense", (384,), (3, 1), 96), measured("dense", (384,), (3, 1), 96, labels="real", errors=few)]
    found = facts_of([replace(row, blacklisted=2) for row in rows], pets())
    assert found.counted == (Counted("real", 96, 90),)
    assert (found.blacklisted, found.lacks_top5, found.is_original) == (2, True, False)


def test_references_are_the_papers_or_a_publishers() -> None:
    sources = ("paper, Table 4", "torchvision, resize 256, centre crop", "paper, Table 3", None)
    rows = [measured("dense", (384,), (3, 1), 96, reference=s and Reference(1.0, 1.0, s)) for s in sources]
    assert references_of(rows) == (("Table 3", "Table 4"), ("torchvision, resize 256, centre crop",))


def test_two_sources_of_one_config_differ_in_what_they_need() -> None:
    one, other = model(), replace(model(source="torchvision"), input=INPUTS["torchvision"], train_scale=None)
    rows = [measured("dense", (384,), (3, 1), 96, models=(net,), network=net.name) for net in (one, other)]
    nets = facts_of(rows, pets()).nets
    assert nets.differences is not None
    assert dict(nets.differences)["BGR"] == "RGB"
    assert dict(nets.differences)["mean alone"] == "mean and std"
    assert list(nets.by_input.values()) == [("D@oxford",), ("D@torchvision",)]
    assert facts_of(rows[:1], pets()).nets.differences is None


def test_what_a_training_saw_of_these_images() -> None:
    data = pets()
    seen = [replace(model(source=name), trained_ids=ids, validation_ids=chosen) for name, ids, chosen in (
        ("a", data.fingerprint, None), ("b", None, data.fingerprint), ("c", "other", None))]  # fmt: skip
    rows = [measured("dense", (384,), (3, 1), 96, models=(net,)) for net in seen]
    assert facts_of(rows, data).nets.seen == {"D@a": "learned from", "D@b": "chosen by"}


def test_random_weights_are_of_no_origin() -> None:
    drawn = model(source="random")
    nets = facts_of([measured("dense", (384,), (3, 1), 96, models=(drawn, model()))], pets()).nets
    assert nets.random
    assert sum(map(len, nets.origins.values())) == 1


def test_the_circumstances_are_of_all_parts() -> None:
    entries = [{"backend": "PyTorch", "device": "cpu", "seconds": 1.5, "torchvision": "0.29"},
               {"backend": "PyTorch", "device": "cpu", "seconds": 2.0, "pillow": "11"}]  # fmt: skip
    about = Circumstances(pets(), circumstances(pets()).settings, entries)
    assert (about.ways, about.seconds) == (("PyTorch on cpu",), 3.5)
    assert about.decoders == (("0.29", None), (None, "11"))


def test_classes_and_what_they_are_taken_for() -> None:
    labels, said = np.array([0, 0, 1, 1, 3], np.int32), np.array([0, 1, 3, 3, 3], np.int32)
    found = PerImage(("x",) * 5, labels, said[:, None], np.ones((5, 1), np.float32), (said != labels).astype(np.int32),
                     np.zeros(5))  # fmt: skip
    errors = errors_by_class(found, 4)
    assert errors.classes.tolist() == [1, 0, 3], "the worst first; class 2 has no image"
    assert errors.percent.tolist() == [100, 50, 0]
    confusion = confused(found, 4, 15, 10)
    assert confusion
    assert (confusion.rows, confusion.columns) == ((1, 0), (3, 1))
    np.testing.assert_array_equal(confusion.percent, [[100, np.nan], [0, 50]])
    assert confused(replace(found, ranks=np.zeros(5, np.int32)), 4, 15, 10) is None


@pytest.mark.parametrize(("images", "least"), [(96, 6.25), (6, 100.0), (5, 120.0)])
def test_the_grain_of_few_images(images: int, least: float) -> None:
    assert Grain.of(images) == Grain(images, 100 / images, least)
