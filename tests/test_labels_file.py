"""Text files of labels in every usual form; a line that could be read in two ways is refused."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggbench.data.imagenet import VAL_IMAGES, val_id, val_labels, wnids
from vggbench.data.truth import read_truth
from vggbench.errors import DataError

AB = {"a": "3", "b": "4"}
SPACED = {"my pic 1": "3", "other": "4"}
READ = {
    "blanks": ("a.jpg 3\nb.jpg 4\n", AB),
    "tabs": ("a.jpg\t3\nb.jpg\t4\n", AB),
    "commas": ("a.jpg,3\nb.jpg, 4\n", AB),
    "semicolons": ("a.jpg;3\nb.jpg;4\n", AB),
    "Windows line ends": ("a.jpg 3\r\nb.jpg 4\r\n", AB),
    "old Mac line ends": ("a.jpg 3\rb.jpg 4\r", AB),
    "spaces, blanks": ("my pic 1.jpg 3\nother.jpg 4\n", SPACED),
    "spaces, tabs": ("my pic 1.jpg\t3\nother.jpg\t4\n", SPACED),
    "spaces, commas": ("my pic 1.jpg,3\nother.jpg,4\n", SPACED),
    "spaces, double quotes": ('"my pic 1.jpg" 3\nother.jpg 4\n', SPACED),
    "spaces, single quotes": ("'my pic 1.jpg' 3\nother.jpg 4\n", SPACED),
    "spaces, no ending": ("big dog 5\nbad cat 6\n", {"big dog": "5", "bad cat": "6"}),
    "numbers in names": ("img 1 2.jpg 5\nimg 3 4.jpg 6\n", {"img 1 2": "5", "img 3 4": "6"}),
    "wnids in names": ("n01440764 1.jpg n01443537\n", {"n01440764 1": "n01443537"}),
    "commas in names": ('"a,b.jpg",3\nc.jpg,4\n', {"a,b": "3", "c": "4"}),
    "commas in names, blanks": ("a,b.jpg 3\nc.jpg 4\n", {"a,b": "3", "c": "4"}),
    "an apostrophe": ("'80s.jpg 5\n", {"'80s": "5"}),
    "paths": ("val/x/a.jpg 3\nval/y/b.jpg 4\n", AB),
    "class names": ("a.jpg,tench\nb.jpg,great white shark\n", {"a": "tench", "b": "great white shark"}),
    "class names, blanks": ("a.jpg tench\nb.jpg great white shark\n", {"a": "tench", "b": "great white shark"}),
    "class names with commas, blanks": ("a.jpg tench, Tinca tinca\n", {"a": "tench, Tinca tinca"}),
    "class names, headings": ("id,breed\na,boxer\nb,pug\n", {"a": "boxer", "b": "pug"}),
    "unknown headings": ("foo,bar\na,3\nb,4\n", AB),
    "columns reversed": ("label,filename\n3,a.jpg\n4,b.jpg\n", AB),
    "pandas's index": (",filename,label\n0,a.jpg,3\n1,b.jpg,4\n", AB),
    "boxes of TensorFlow": ("filename,width,height,class,xmin\na.jpg,500,375,3,10\nb.jpg,9,9,4,7\n", AB),
    "boxes of Kaggle": ("ImageId,PredictionString\na,n01751748 85 1 499 272 n01751748 3 4 5 6 \n", {"a": "n01751748"}),
    "boxes of Tiny ImageNet": ("a.JPEG\tn03444034\t0\t32\t44\t62\n", {"a": "n03444034"}),
    "boxes, blanks": ("a.JPEG n03444034 0 32 44 62\n", {"a": "n03444034"}),
}


@pytest.mark.parametrize("form", READ)
def test_every_usual_form(form: str, tmp_path: Path) -> None:
    content, expected = READ[form]
    (tmp_path / "labels").write_text(content, newline="")
    assert read_truth(tmp_path / "labels").classes == expected


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be", "utf-32"])
def test_every_encoding_of_unicode(encoding: str, tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes("filename\tlabel\r\nname.jpg\t3\r\n\u00e9t\u00e9 1.jpg\t4\r\n".encode(encoding))
    assert read_truth(tmp_path / "labels").classes == {"name": "3", "\u00e9t\u00e9 1": "4"}


@pytest.mark.parametrize(
    ("content", "sentence"),
    [
        ("a.jpg,500,375\nb.jpg,300,300\n", r"Line 1 of .* is 'a.jpg,500,375'"),
        ("a.jpg 3 0.97\nb.jpg 4 0.5\n", r"Line 1 of .* is 'a.jpg 3 0.97'"),
        ("a.jpg,3\nb.jpg,4,5\n", r"Line 2 of .* is 'b.jpg,4,5'"),
        ("img 1 5\nimg 3 6\n", r"Line 1 of .* is 'img 1 5'"),
        ("a.jpg,n01440764,n01443537\n", r"Line 1 of .* is 'a.jpg,n01440764,n01443537'"),
        ("filename,label,class_name\na.jpg,3,x\n", r"has the columns filename, label, class_name: expected"),
        ("file,path,label\na.jpg,b.jpg,3\n", r"has the columns file, path, label: expected one of names"),
        ("filename,width\na.jpg,3\nb.jpg\n", r"Line 3 of .* is 'b.jpg'"),
        ("a.jpg,3\nb.jpg,cat\n", r"Line 2 of .* is 'b.jpg,cat'"),
        ("a.jpg,cat\nb.jpg,3\n", r"Line 2 of .* is 'b.jpg,3'"),
        ("a.jpg,3\n4\n", r"Line 2 of .* is '4'"),
        (f"a.jpg {'1' * 5000}\n", r"Line 1 of .* is 'a.jpg 1{40,}'"),
        (f"{'1' * 5000}\n", r"one number a line"),
        ("images/a.jpg\nimages/b.jpg\n", r"Line 1 of .* is 'images/a.jpg'"),
        ("a.jpg 3\na.png 3\n", r"names a twice"),
        ("a.jpg 3.0\nb.jpg 10.0\n", r"Line 1 of .* is 'a.jpg 3.0'"),
        ("a.jpg,-1\nb.jpg,-1\n", r"Line 1 of .* is 'a.jpg,-1'"),
        ("filename,label\n", r"holds no labels"),
        ("caf\u00e9.jpg 3\n".encode("latin-1"), r"is not text"),
        ("a.jpg 3\n".encode("utf-16")[:-1], r"is not text"),
    ],
)  # fmt: skip
def test_what_could_be_read_in_two_ways_is_refused(content: str | bytes, sentence: str, tmp_path: Path) -> None:
    (tmp_path / "labels").write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DataError, match=sentence):
        read_truth(tmp_path / "labels")


NAME = st.text(st.characters(codec="utf-8", exclude_characters="/\\\0\"'", exclude_categories=("C", "Z")), min_size=1)
NAMES = st.lists(st.lists(NAME, min_size=1, max_size=4).map(" ".join), min_size=1, max_size=8, unique=True)


@settings(max_examples=40)
@given(names=NAMES, delimiter=st.sampled_from(["\t", ",", " "]), labels=st.sampled_from(["3", "n01440764"]))
def test_a_quoted_name_and_its_label_are_read_or_refused(
    names: list[str], delimiter: str, labels: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Whatever a name holds, no other label is ever given to it."""
    path = tmp_path_factory.mktemp("labels") / "labels"
    path.write_text("".join(f'"{name}.jpg"{delimiter}{labels}\n' for name in names), encoding="utf-8")
    assert read_truth(path).classes == dict.fromkeys(names, labels)


@settings(max_examples=60)
@given(names=NAMES, delimiter=st.sampled_from(["\t", ",", " "]))
def test_an_unquoted_name_is_read_right_or_as_none_that_exists(
    names: list[str], delimiter: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("labels") / "labels"
    path.write_text("".join(f"{name}.jpg{delimiter}{n}\n" for n, name in enumerate(names)), encoding="utf-8")
    right = {name: str(n) for n, name in enumerate(names)}
    try:
        found = read_truth(path).classes
    except DataError:
        return
    assert all(found.get(name, label) == label for name, label in right.items())


def test_numbers_alone_are_believed_where_they_agree_with_what_is_shipped(tmp_path: Path) -> None:
    """The devkit's ILSVRC2012_validation_ground_truth.txt by itself: other numbers for the same classes."""
    path = tmp_path / "ILSVRC2012_validation_ground_truth.txt"
    right = {val_id(n + 1): wnids()[label] for n, label in enumerate(val_labels().tolist())}
    ids = [(label * 7 + 3) % 1000 + 1 for label in val_labels().tolist()]
    path.write_text("".join(f"{number}\n" for number in ids))
    assert read_truth(path).classes == right
    path.write_text("".join(f"{label}\n" for label in val_labels()[:50].tolist()))
    assert len(read_truth(path).classes) == 50
    for spoiled in ([*ids[:-1], ids[-1] % 1000 + 1], ids[:-1]):
        path.write_text("".join(f"{number}\n" for number in spoiled))
        with pytest.raises(DataError, match="one number a line, which are ILSVRC2012_IDs and no model indices"):
            read_truth(path)
    assert len(ids) == VAL_IMAGES


def test_indices_are_places_where_all_thousand_are_met(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text("".join(f"my {n}.png,{n}\n" for n in range(1000)))
    assert read_truth(path).classes == {f"my {n}": wnids()[n] for n in range(1000)}
    path.write_text("".join(f"my {n}.png,{n}\n" for n in range(999)))
    assert read_truth(path).classes["my 5"] == "5"
