"""A miniature of ILSVRC-2012's validation set in every form, each written by the tool that people have it from."""

import csv
import json
import random
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path

import numpy as np
import scipy.io
from PIL import Image

from vggbench.data.imagenet import val_id, val_labels, wnids

COUNT = 120
IDS = tuple(val_id(number) for number in range(1, COUNT + 1))
WNIDS = tuple(wnids()[label] for label in val_labels()[:COUNT])
LABELS = tuple(int(label) for label in val_labels()[:COUNT])


def write_pictures(folder: Path) -> Path:
    """The flat folder: small pictures of several sizes, among them grey, CMYK, and a PNG named JPEG."""
    folder.mkdir(parents=True)
    rng = np.random.default_rng(0)
    for number, name in enumerate(IDS):
        coarse = Image.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8))
        picture = coarse.resize((230 + number % 5 * 8, 226), Image.Resampling.BICUBIC)
        mode = {3: "L", 7: "CMYK"}.get(number, "RGB")
        picture.convert(mode).save(folder / f"{name}.JPEG", "PNG" if number == 11 else "JPEG")
    return folder


def write_devkit(folder: Path) -> Path:
    """ILSVRC2012_devkit_t12 with a `meta.mat` in which ILSVRC2012_ID is not the sorted order, and inner nodes too."""
    kit = folder / "ILSVRC2012_devkit_t12"
    (kit / "data").mkdir(parents=True)
    order = random.Random(1).sample(wnids(), 1000)
    rows = [(i + 1, name, "words", "gloss", 0) for i, name in enumerate(order)]
    rows += [(1001 + i, f"n1{i:07d}", "inner", "gloss", 3) for i in range(20)]
    names = ("ILSVRC2012_ID", "WNID", "words", "gloss", "num_children")
    synsets = np.zeros((len(rows), 1), dtype=[(name, object) for name in names])
    for place, row in enumerate(rows):
        synsets[place, 0] = row
    scipy.io.savemat(kit / "data" / "meta.mat", {"synsets": synsets}, do_compression=True)
    ids = "".join(f"{order.index(name) + 1}\n" for name in WNIDS)
    (kit / "data" / "ILSVRC2012_validation_ground_truth.txt").write_text(ids)
    return kit


def class_folders(flat: Path, root: Path) -> Path:
    for name, wnid in zip(IDS, WNIDS, strict=True):
        (root / "val" / wnid).mkdir(parents=True, exist_ok=True)
        shutil.copy(flat / f"{name}.JPEG", root / "val" / wnid)
    return root


def flat_with_devkit(flat: Path, root: Path) -> Path:
    shutil.copytree(flat, root / "val")
    write_devkit(root)
    return root


def plain_tar(flat: Path, root: Path) -> Path:
    root.mkdir()
    tar = root / "ILSVRC2012_img_val.tar"
    names = [f"{name}.JPEG" for name in random.Random(2).sample(IDS, COUNT)]
    subprocess.run(["tar", "-cf", tar, "-C", flat, *names], check=True)
    return tar


def tar_with_devkit_archive(flat: Path, root: Path) -> Path:
    """What torchvision wants in one folder: the two archives as ILSVRC publishes them."""
    plain_tar(flat, root)
    kit = write_devkit(root / "unpacked")
    subprocess.run(["tar", "-czf", root / f"{kit.name}.tar.gz", "-C", kit.parent, kit.name], check=True)
    shutil.rmtree(root / "unpacked")
    return root


def tar_of_class_folders(flat: Path, root: Path) -> Path:
    class_folders(flat, root / "imagenet")
    subprocess.run(["tar", "-cf", root / "packed.tar", "-C", root, "./imagenet"], check=True)
    return root / "packed.tar"


def kaggle(flat: Path, root: Path) -> Path:
    shutil.copytree(flat, root / "ILSVRC" / "Data" / "CLS-LOC" / "val")
    with (root / "LOC_val_solution.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["ImageId", "PredictionString"])
        rows = [(name, f"{wnid} 85 1 499 272 {wnid} 3 4 5 6 ") for name, wnid in zip(IDS, WNIDS, strict=True)]
        writer.writerows(random.Random(3).sample(rows, COUNT))
    return root


def parquet(flat: Path, root: Path) -> Path:
    """Two shards in shuffled order, by the `datasets` library."""
    from datasets import ClassLabel, Dataset, Features, disable_progress_bars
    from datasets import Image as ImageFeature

    disable_progress_bars()
    (root / "data").mkdir(parents=True)
    features = Features({"image": ImageFeature(), "label": ClassLabel(names=[f"{name}, words" for name in wnids()])})
    order = random.Random(4).sample(range(COUNT), COUNT)
    for shard, places in enumerate((order[:70], order[70:])):
        images = [
            {"path": f"{IDS[i]}_{WNIDS[i]}.JPEG", "bytes": (flat / f"{IDS[i]}.JPEG").read_bytes()} for i in places
        ]
        rows = Dataset.from_dict({"image": images, "label": [LABELS[i] for i in places]}, features=features)
        rows.to_parquet(root / "data" / f"validation-{shard:05d}-of-00002.parquet")
    return root


def webdataset(flat: Path, root: Path) -> Path:
    """Shards of at most 50 samples, by the `webdataset` library, as timm names them."""
    from webdataset import ShardWriter

    root.mkdir()
    with ShardWriter(str(root / "imagenet1k-validation-%02d.tar"), maxcount=50, verbose=0) as writer:
        for i in random.Random(5).sample(range(COUNT), COUNT):
            described = {"filename": f"{IDS[i]}_{WNIDS[i]}.JPEG", "label": LABELS[i]}
            encoded = (flat / f"{IDS[i]}.JPEG").read_bytes()
            writer.write({"__key__": f"{i:08d}", "jpg": encoded, "cls": LABELS[i], "json": described})
    info = {"splits": {"validation": {"num_samples": COUNT}}}
    (root / "_info.json").write_text(json.dumps(info))
    return root


def flat_alone(flat: Path, root: Path) -> Path:
    shutil.copytree(flat, root)
    return root


def caffe(flat: Path, root: Path) -> Path:
    """A flat folder with Caffe's val.txt beside it."""
    shutil.copytree(flat, root / "val")
    lines = [f"{name}.JPEG {label}\n" for name, label in zip(IDS, LABELS, strict=True)]
    (root / "val.txt").write_text("".join(lines))
    return root


FORMS: dict[str, Callable[[Path, Path], Path]] = {
    form.__name__: form
    for form in (
        class_folders, flat_alone, flat_with_devkit, plain_tar, tar_with_devkit_archive, tar_of_class_folders, kaggle,
        parquet, webdataset, caffe,
    )
}  # fmt: skip
"""Every form, and what writes it: (flat folder, empty place) -> what `--data` is given."""
