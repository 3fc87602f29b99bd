"""Data sets that are not read: the refusal says what they are and how they become one that is."""

import pathlib
import shutil
import tarfile
from pathlib import Path

import pytest
from PIL import Image

from vggbench.data import open_data
from vggbench.data.foreign import FOREIGN
from vggbench.errors import DataError


@pytest.mark.parametrize(
    ("names", "what", "how"),
    [
        (("imagenet2012-validation.tfrecord-00000-of-00064", "features.json"), "TFRecord", "tf.data.TFRecordDataset"),
        (("validation-00000-of-00128", "validation-00001-of-00128"), "TFRecord", "tf.data.TFRecordDataset"),
        (("val.rec", "val.idx", "val.lst"), "RecordIO", "mx.recordio.unpack"),
        (("data.mdb", "lock.mdb"), "an LMDB", "into one folder per class"),
        (("val.zip",), "a zip", "python -m zipfile -e"),
        (("n01440764.tar", "n01443537.tar"), "one tar for each class", "shutil.unpack_archive"),
        (("ILSVRC2012_img_val.tar.gz",), "a compressed tar", "tar -xf"),
        (("data-00000-of-00001.arrow", "state.json"), "an Arrow data set of `datasets`", "load_from_disk"),
        (("cifar-10-batches-py/data_batch_1", "cifar-10-batches-py/batches.meta"), "CIFAR's", "to_parquet"),
        (("t10k-images-idx3-ubyte",), "a file of arrays", "PIL.Image.fromarray"),
    ],
)
def test_what_a_folder_holds_is_said(names: tuple[str, ...], what: str, how: str, tmp_path: Path) -> None:
    for name in names:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * 600)
    with pytest.raises(DataError) as refused:
        open_data(tmp_path)
    assert f"This is {what}" in str(refused.value)
    assert how in str(refused.value)


@pytest.mark.parametrize("name", ["x.zip", "x.rec", "x.tfrecord", "x.beton"])
def test_what_a_file_is_is_said(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(b"x" * 600)
    with pytest.raises(DataError, match=r"is a file, and neither a tar nor Parquet: .* This is .* does not read; "):
        open_data(tmp_path / name)


def test_the_lines_of_python_are_python() -> None:
    lines = [row.python for row in FOREIGN if row.python]
    assert len(lines) > 4
    for line in lines:
        compile(line, line, "exec")


def test_the_lines_that_can_run_here_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The lines for `datasets`, whose Arrow is not read and whose Parquet is, and for one tar for each class."""
    import datasets

    datasets.disable_progress_bars()
    monkeypatch.chdir(tmp_path)
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=["cat", "dog"])})
    rows = {"image": [Image.new("RGB", (9, 8), (i,) * 3) for i in range(4)], "label": [0, 1, 1, 0]}
    datasets.Dataset.from_dict(rows, features=features).save_to_disk("FOLDER")
    lines = {row.what: row.python for row in FOREIGN}
    exec(lines["an Arrow data set of `datasets`"], {"datasets": datasets})
    assert sorted(image.class_name for image in open_data("validation.parquet").images) == ["cat", "cat", "dog", "dog"]
    for wnid in ("n01440764", "n01443537"):
        (tmp_path / f"{wnid}_1.JPEG").write_bytes(b"x")
        with tarfile.open(f"{wnid}.tar", "w") as tar:
            tar.add(f"{wnid}_1.JPEG")
        (tmp_path / f"{wnid}_1.JPEG").unlink()
    exec(lines["one tar for each class"], {"pathlib": pathlib, "shutil": shutil})
    assert (tmp_path / "n01443537" / "n01443537_1.JPEG").is_file()


def test_other_files_beside_images_are_no_foreign_set(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.jpg").write_bytes(b"x")
    (tmp_path / "all.zip").write_bytes(b"x")
    assert len(open_data(tmp_path)) == 1
