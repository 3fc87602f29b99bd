"""Forms of data sets that are not read: how each is known by its files' names, and how it becomes one that is."""

import re
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass


@dataclass(frozen=True)
class Foreign:
    """A form that other programs read."""

    what: str
    files: re.Pattern[str]
    """What its files are called, in lower case."""
    remedy: str
    python: str = ""
    """One line that does it, where there is one."""


FOREIGN = (
    Foreign("TFRecord", re.compile(r".*\.tfrecords?(-\d+-of-\d+)?|[a-z]+-\d+-of-\d+"),
            "write the images into one folder",
            "for r in tf.data.TFRecordDataset(files): f = tf.train.Example.FromString(r.numpy()).features.feature; "
            'open(f["image/filename"].bytes_list.value[0], "wb").write(f["image/encoded"].bytes_list.value[0])'),
    Foreign("RecordIO", re.compile(r".*\.rec"),
            "write each image into the folder of its class",
            'r = mx.recordio.MXIndexedRecordIO("x.idx", "x.rec", "r"); [(p := pathlib.Path(str(int(h.label)), '
            'f"{k}.jpg")).parent.mkdir(exist_ok=True) or p.write_bytes(b) for k in r.keys for h, b in '
            "[mx.recordio.unpack(r.read_idx(k))]]"),
    Foreign("an LMDB", re.compile(r"data\.mdb|lock\.mdb|.*\.lmdb"),
            "write its images into one folder per class with the program it is from, which alone knows its values"),
    Foreign("a zip", re.compile(r".*\.zip"), "unpack it: python -m zipfile -e FILE.zip FOLDER"),
    Foreign("one tar for each class", re.compile(r"n\d{8}\.tar"),
            "unpack each into a folder of its name",
            'for t in pathlib.Path().glob("n*.tar"): shutil.unpack_archive(t, t.stem, filter="data")'),
    Foreign("a compressed tar", re.compile(r".*\.(tar\.(gz|bz2|xz|zst)|tgz|tbz2?|txz)"), "unpack it: tar -xf FILE"),
    Foreign("an archive", re.compile(r".*\.(7z|rar)"), "unpack it with the program it is from"),
    Foreign("an Arrow data set of `datasets`", re.compile(r".*\.arrow"),
            "write it as Parquet",
            'datasets.load_from_disk("FOLDER").to_parquet("validation.parquet")'),
    Foreign("CIFAR's pickled arrays", re.compile(r"(data|test)_batch(_\d)?|batches\.meta|cifar-100-python"),
            "take the same images as Parquet",
            'datasets.load_dataset("uoft-cs/cifar10", split="test").to_parquet("test.parquet")'),
    Foreign("a file of arrays", re.compile(r".*\.(npz|npy|h5|hdf5|mat|pt|pth|pkl|pickle|beton)|.*-idx[13]-ubyte"),
            "write each image as a PNG into the folder of its class",
            'for i, (x, label) in enumerate(zip(images, labels)): PIL.Image.fromarray(x).save(f"{label}/{i}.png")'),
)  # fmt: skip
"""The first that fits a name takes it."""


def advice(names: Iterable[str]) -> str:
    """A sentence, after a blank, on what most of these files are and how they are converted; empty where unknown."""
    found = (_foreign(name.rpartition("/")[2].lower()) for name in names)
    counted = Counter(row for row in found if row)
    if not counted:
        return ""
    row = counted.most_common(1)[0][0]
    line = f": {row.python}" if row.python else ""
    return f" This is {row.what}, which vggbench does not read; {row.remedy}{line}"


def _foreign(name: str) -> Foreign | None:
    return next((row for row in FOREIGN if row.files.fullmatch(name)), None)
