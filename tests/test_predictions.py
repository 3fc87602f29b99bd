"""Predictions of other tools: read to the bit as they were meant, or refused in a sentence; never guessed."""

import gzip
import hashlib
import io
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from prediction_files import KINDS

from vggbench.data.imagenet import wnids
from vggbench.errors import DataError
from vggbench.store.per_image import PerImage, write_per_image
from vggbench.store.predictions import Predictions, named_classes, read_predictions

IDS = ["a", "b", "c"]
ABC = ("ant", "bee", "cat", "dog", "elk", "fox")
P = (np.arange(18, dtype=np.float32).reshape(3, 6) % 7 + 1) / np.float32(32)
P /= P.sum(axis=1, keepdims=True)


def text_of(values: object = P, names: Sequence[str] = ABC, head: str = "image") -> str:
    rows = [[image, *map(str, row)] for image, row in zip(IDS, np.asarray(values, object), strict=True)]
    return "".join(",".join(row) + "\n" for row in [[head, *names], *rows])


def read(
    folder: Path, *contents: str | bytes, images: Sequence[str] = IDS, data: Sequence[str] = ABC, **more: Sequence[str]
) -> Predictions:
    paths = []
    for number, content in enumerate(contents):
        paths.append(folder / f"file {number}")
        paths[-1].write_bytes(content.encode() if isinstance(content, str) else content)
    return read_predictions(paths, images, data, **more)


def npz(**arrays: object) -> bytes:
    file = io.BytesIO()
    np.savez(file, **{name: np.asarray(array) for name, array in arrays.items()})  # type: ignore[arg-type]
    return file.getvalue()


def npy(array: object) -> bytes:
    file = io.BytesIO()
    np.save(file, np.asarray(array))
    return file.getvalue()


REFUSALS: list[tuple[str, str | bytes | tuple[str | bytes, ...], str]] = [
    ("no column of ids", text_of(head="picture"), "expected one called image or filename"),
    ("an id twice", text_of() + "a,1,0,0,0,0,0\n", "has a second row of 1 image (a): expected each once"),
    ("in another part", (text_of(), text_of()), "second row of 3 images (a, b, c)"),
    ("an id too few", text_of().rpartition("c,")[0], "lacks 1 image of 3 (c): expected every image"),
    ("six ids too many", text_of() + "".join(f"z{i},1,0,0,0,0,0\n" for i in range(6)),
     "has 6 names of no image of the data (z0, z1, z2, z3, z4, ...): expected names such as a"),
    ("a cell of text", text_of().replace("b,", "b,x", 1), "'x0."),
    ("a decimal comma", text_of().replace(",", ";").replace(".", ","), "invalid value '0,"),
    ("an empty cell", text_of(np.where(np.eye(3, 6), "", P.astype(object))), "empty cells in the column ant (a)"),
    ("a short row", text_of() + "d,1\n", "Expected 7 columns, got 2"),
    ("infinity", text_of(np.where(np.eye(3, 6), np.inf, P)), "NaN or infinity for a, b, c"),
    ("percentages", text_of(P * 100), "Divide them by 100"),
    ("sigmoids", text_of(P * 2), "values from 0 to 1 that do not sum to 1 (a, b, c: 2)"),
    ("a logit row", text_of(np.vstack([P[:2], [[3, -1, 0, 1, 2, 5]]])), "not in 1 of 3 (c)"),
    ("tiny negatives", text_of(P - [1, -1, 0, 0, 0, 0] * P[:, :1] - [1e-5, -1e-5, 0, 0, 0, 0]), "below 0 or above 1"),
    ("a stray column", text_of(names=(*ABC[:5], "gnu")), "(gnu)"),
    ("a doubled column", text_of(names=(*ABC[:5], "ant")), "two columns of the name ant"),
    ("numbers without order", text_of(names=[*"012345"]), "6 values per image and does not say for which"),
    ("unknown columns", text_of(names=[*"uvwxyz"]), "none that is named like a class"),
    ("numbers from 1", text_of(names=[*"123456"]), "may be ILSVRC2012_IDs or places raised by 1"),
    ("a hole", text_of(names=[*"012346"]), "not one row of numbers"),
    ("two kinds of numbers", text_of(names=["p0", "p1", "p2", "x0", "x1", "x2"]), "behind the same word"),
    ("an array without order", npz(image=IDS, p=P), "does not say for which classes. Use --classes ilsvrc"),
    ("objects", npz(image=np.array(IDS, object), p=P), "objects are never unpickled"),
    ("objects as classes", npz(image=IDS, classes=np.array(ABC, object), p=P), "objects are never unpickled"),
    ("no ids in npz", npz(p=P), "expected one array of ids called image or filename"),
    ("other rows", npz(image=IDS, p=P[:2]), "of shape (2, 6): expected (3, K)"),
    ("wide", npz(image=IDS, p=np.zeros((3, 1002))), "1,002 values per image in p: expected at most 1,001"),
    ("an array alone", npy(P), "is an array without ids"),
    ("too few ids beside", (npy(P), "a\nb\n"), "2 of image, 3 of values"),
    ("two arrays", (npy(P), npy(P)), "expected one of values and one of ids"),
    ("other columns", (text_of(), text_of(names=(*ABC[:5], "n01440764"))), "have different columns (fox, n01440764)"),
    ("nothing", "", "begins with b''"),
    ("headings alone", "image,ant,bee\n", "no row below its first line"),
    ("a zip", b"PK\x05\x06" + bytes(18), "expected one array of ids"),
    ("gzip", gzip.compress(b"image,ant"), "nothing is unpickled or unpacked"),
    ("a pickle", b"\x80\x04K\x01.", "nothing is unpickled or unpacked"),
    ("no JSON", "[1, 2", "cannot be read as JSON"),
    ("JSON of numbers", "[1, 2]", "JSON of another form"),
    ("JSON that nests", "[" * 100_000, "cannot be read as JSON"),
    ("a key twice", '{"image": "a", "ant": 1, "ant": 2}\n', "ant occurs twice in one object"),
    ("a lone list", '[{"image": "a", "ant": 1}, {"image": "b"}]', "record with ant more or less"),
    ("strings as numbers", '[{"image": "a", "ant": "1", "bee": "0"}]', "cells of type string in the column ant"),
    ("truth alone", "image,label\na,ant\nb,ant\nc,ant\n", "at most the best class of each image"),
    ("timm's best alone", "filename,label,prob\na,ant,0.5\nb,ant,0.5\nc,ant,0.5\n", "(timm's inference.py: --topk 0"),
    ("two lists", '[{"image": "a", "p": [1, 0], "q": [1, 0]}]', "has the lists p, q: expected one"),
    ("three best", '[{"image": "a", "label": ["ant", "bee", "cat"]}, {"image": "b", "label": ["ant", "bee", "cat"]}, '
     '{"image": "c", "label": ["ant", "bee", "cat"]}]', "the 3 best of 6 classes: expected 5 or all"),
    ("words of timm", '[{"image": "a", "label": ["ant, emmet", "bee"]}, {"image": "b", "label": ["a", "b"]}, '
     '{"image": "c", "label": ["a", "b"]}]', "--label-type name"),
]  # fmt: skip


@pytest.mark.parametrize(("content", "said"), [row[1:] for row in REFUSALS], ids=[row[0] for row in REFUSALS])
def test_a_refusal_names_what_was_found(
    content: str | bytes | tuple[str | bytes, ...], said: str, tmp_path: Path
) -> None:
    with pytest.raises(DataError) as caught:
        read(tmp_path, *(content if isinstance(content, tuple) else (content,)))
    assert said in str(caught.value)
    assert ": expected " in str(caught.value) or "Use --classes" in str(caught.value)


def test_the_plain_file_of_these_tests_is_read(tmp_path: Path) -> None:
    found = read(tmp_path, text_of())
    assert found.posteriors is not None
    assert (found.posteriors == P).all()
    assert found.sha256 == hashlib.sha256(text_of().encode()).hexdigest()
    assert found.said == ("Its values are probabilities, taken as they are.",)


@pytest.mark.parametrize("path", ["none.csv", "."])
def test_what_is_no_file_is_refused(path: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"expected a file of predictions"):
        read_predictions([tmp_path / path], IDS, ABC)


def test_the_order_of_columns_does_not_decide_ties(tmp_path: Path) -> None:
    tied = np.full((3, 6), 1 / 6, np.float32)
    found = read(tmp_path, text_of(tied, names=ABC[::-1]))
    assert found.class_names == ABC
    stated = read(tmp_path, text_of(tied, names=ABC[::-1]), classes=("fox", *ABC[:5]))
    assert stated.class_names == ("fox", *ABC[:5])


def test_numbers_that_the_data_call_their_classes_are_names(tmp_path: Path) -> None:
    found = read(tmp_path, text_of(names=[*"653421"]), data=tuple("123456"))
    assert found.class_names == tuple("123456")
    assert found.posteriors is not None
    assert (found.posteriors == P[:, [5, 4, 2, 3, 1, 0]]).all()
    with pytest.raises(DataError, match="in another order"):
        read(tmp_path, text_of(names=[*"012345"]), data=tuple("012345"), classes=tuple("543210"))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("name", ["", "background", "__Background__"])
def test_a_background_is_left_out_and_the_rest_sums_to_1(kind: str, name: str, tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(size=(3, 1001)) * 3
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    values = {"probabilities": shares, "logits": logits, "log-probabilities": np.log(shares)}[kind]
    if name:
        found = read(tmp_path, text_of(values, names=(name, *wnids())), data=wnids()[:9])
    else:
        found = read(tmp_path, npz(ids=IDS, values=values), data=wnids()[:9], classes=wnids())
    assert found.posteriors is not None
    assert found.class_names == wnids()
    np.testing.assert_allclose(found.posteriors, shares[:, 1:] / shares[:, 1:].sum(axis=1, keepdims=True), rtol=1e-5)
    assert found.said[0].startswith("1,001 classes: ")
    assert found.said[0].endswith("left out.")


def test_of_a_data_set_of_some_classes_all_are_kept(tmp_path: Path) -> None:
    rows = np.random.default_rng(0).dirichlet(np.ones(1000), 3)
    found = read(tmp_path, text_of(rows, names=wnids()), data=wnids()[5:9])
    assert found.class_names == wnids()


CLASHING = ["n01/x.JPEG", "n02/x.JPEG", "y"]


@pytest.mark.parametrize("names", [["val/n01/x.JPEG", "n02/x", "y.png"], ["n02/x.JPEG", "n01/x.JPEG", "n03/y.JPEG"]])
def test_an_image_is_known_by_its_folders_where_its_name_is_not_enough(names: list[str], tmp_path: Path) -> None:
    text = text_of()
    for old, new in zip(IDS, names, strict=True):
        text = text.replace(f"\n{old},", f"\n{new},")
    found = read(tmp_path, text, images=CLASHING)
    assert found.posteriors is not None
    assert (
        found.posteriors == P[[["n01" in n for n in names].index(True), ["n02" in n for n in names].index(True), 2]]
    ).all()


@pytest.mark.parametrize("name", ["x.JPEG", "x", "n1/x.JPEG", "01/x", "n01/x.png"])
def test_a_name_of_two_images_or_of_none_is_refused(name: str, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"may be n01/x.JPEG, n02/x.JPEG|of no image"):
        read(tmp_path, text_of().replace("\na,", f"\n{name},"), images=CLASHING)


def test_what_runs_export_writes_is_read_as_best_classes(tmp_path: Path) -> None:
    order = np.argsort(-P, axis=1, kind="stable")[:, :5].astype(np.int32)
    kept = PerImage(tuple(IDS), np.zeros(3, np.int32), order, np.take_along_axis(P, order, 1), order[:, 0], np.ones(3))
    for ending in (".csv", ".parquet"):
        write_per_image(kept, ABC, tmp_path / f"x{ending}")
        found = read_predictions([tmp_path / f"x{ending}"], IDS, ABC)
        assert found.top is not None
        assert (found.top == order).all()
        assert found.posteriors is None
        assert found.class_names == ABC
        assert "best classes" in found.said[-1]


def test_best_places_among_1001_need_their_names(tmp_path: Path) -> None:
    table = "image," + ",".join(f"index_{i}" for i in range(6)) + "\n"
    rows = "".join(f"{image},{n},1,2,3,4,1000\n" for n, image in enumerate(IDS, start=5))
    with pytest.raises(DataError, match=r"a best class of 1000, which is no place from 0 to 999 \(a, b, c\)"):
        read(tmp_path, table + rows, classes=wnids())
    found = read(tmp_path, table + rows, classes=("background", *wnids()))
    assert found.top is not None
    assert found.top.tolist() == [[n, 0, 1, 2, 3] for n in (4, 5, 6)]
    with pytest.raises(DataError, match="twice"):
        read(tmp_path, table + rows.replace(",5,", ",4,"), classes=("background", *wnids()))


def test_what_timm_writes_under_other_names_is_read(tmp_path: Path) -> None:
    """Its json-record is CSV in a .json; its Parquet has the names as an index."""
    frame = pd.DataFrame({"filename": [f"{image}.JPEG" for image in IDS], "prob": list(P)})
    (tmp_path / "x.json").write_text(frame.to_csv(index=False))
    frame.set_index("filename").to_parquet(tmp_path / "y.csv")
    for name in ("x.json", "y.csv"):
        found = read_predictions([tmp_path / name], IDS, ABC, classes=ABC)
        assert found.posteriors is not None
        assert np.allclose(found.posteriors, P, rtol=1e-6)
    best = pd.DataFrame({"filename": IDS, "prob": list(-np.sort(-P, axis=1))})
    with pytest.raises(DataError, match="--topk 0"):
        read(tmp_path, best.to_json(orient="records", lines=True), classes=ABC)


def test_classes_are_stated_by_a_word_or_a_file(tmp_path: Path) -> None:
    assert named_classes("ilsvrc") == wnids()
    path = tmp_path / "classes.txt"
    for content, names in (("b\na\n", ("b", "a")), ("n00000002 b\nn00000001\tc d\n\n", ("n00000002", "n00000001"))):
        path.write_text(content, encoding="utf-8-sig")
        assert named_classes(str(path)) == names
    for content, said in (("a\na\n", "names a twice"), ("a\n\nb", "or empty ones"), ("a", "has 1 lines")):
        path.write_text(content)
        with pytest.raises(DataError, match=said):
            named_classes(str(path))
    with pytest.raises(DataError, match="No such file"):
        named_classes(str(tmp_path / "none"))


def test_the_names_of_an_npz_and_those_stated_must_be_the_same(tmp_path: Path) -> None:
    content = npz(image=IDS, classes=ABC[::-1], p=P)
    found = read(tmp_path, content)
    assert found.class_names == ABC[::-1]
    assert "as the file states" in found.said[0]
    with pytest.raises(DataError, match="names its classes, and --classes names others"):
        read(tmp_path, content, classes=ABC)


def test_a_header_that_claims_more_than_there_is_takes_no_memory(tmp_path: Path) -> None:
    content = npy(P).replace(b"(3, 6)", b"(3, 7)")
    with pytest.raises(DataError, match="cut off"):
        read(tmp_path, content, "a\nb\nc\n", classes=(*ABC, "gnu"))
    content = npy(P).replace(b"(3, 6), }         ", b"(3, 6000000000), }")
    with pytest.raises(DataError, match="at most 1,001"):
        read(tmp_path, content, "a\nb\nc\n")


def best(column: str, cells: object) -> str:
    """The five best of each image, one list as JSON."""
    return "".join(json.dumps({"image": image, column: cells}) + "\n" for image in IDS)


def test_parts_of_other_kinds_of_best_classes_are_no_whole(tmp_path: Path) -> None:
    """Else what one part lacks would be whatever lay in memory."""
    names, places = best("label", list(ABC[:5])).splitlines(), best("index", [0, 1, 2, 3, 4]).splitlines()
    with pytest.raises(DataError, match="have different columns"):
        read(tmp_path, names[0], "\n".join(places[1:]), classes=ABC)
    found = read(tmp_path, names[0], "\n".join(names[1:]), classes=ABC)
    assert found.top is not None
    assert found.top.tolist() == [[0, 1, 2, 3, 4]] * 3


def test_the_best_of_a_net_of_four_classes_are_four(tmp_path: Path) -> None:
    four = wnids()[3:7]
    found = read(tmp_path, best("label", list(four[::-1])), data=four)
    assert found.top is not None
    assert (found.class_names, found.top.tolist()) == (four, [[3, 2, 1, 0]] * 3)


def test_ids_that_are_no_text_are_refused(tmp_path: Path) -> None:
    for column in ([b"\xff", b"b", b"c"], [0.5, 1.5, 2.5], [["a"], ["b"], ["c"]], ["a", "b", None]):
        frame = pd.DataFrame({"image": column, "ant": [1.0, 0, 0], "bee": [0.0, 1, 1]})
        frame.to_parquet(tmp_path / "x.parquet")
        with pytest.raises(DataError, match=": expected "):
            read_predictions([tmp_path / "x.parquet"], IDS, ABC)


def test_ids_and_labels_may_be_categories(tmp_path: Path) -> None:
    frame = pd.DataFrame(P, columns=list(ABC)).assign(Image=IDS, label="ant")
    frame.astype({"Image": "category", "label": "category"}).to_parquet(tmp_path / "x")
    found = read_predictions([tmp_path / "x"], IDS, ABC)
    assert found.posteriors is not None
    assert (found.posteriors == P).all()


@pytest.mark.parametrize(("dtype", "off", "is_read"), [("f2", 5e-3, True), ("f4", 5e-3, False), ("f4", 5e-4, True)])
def test_sums_may_differ_from_1_by_what_a_type_rounds(dtype: str, off: float, is_read: bool, tmp_path: Path) -> None:
    values = (P * (1 - off)).astype(dtype)
    if is_read:
        found = read(tmp_path, npz(image=IDS, p=values), classes=ABC)
        assert found.posteriors is not None
        assert (found.posteriors == values.astype(np.float32)).all()
    else:
        with pytest.raises(DataError, match="that do not sum to 1"):
            read(tmp_path, npz(image=IDS, p=values), classes=ABC)
