"""A miniature of ILSVRC-2012's validation set in every form, each written by the tool that people have it from."""

import csv
import json
import os
import random
import shutil
import subprocess
import zlib
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


def _linked(flat: Path, folder: Path, by_class: bool = True) -> Path:
    """The pictures in class folders or in one folder, as links, so that a further form takes no time."""
    for name, wnid in zip(IDS, WNIDS, strict=True):
        place = folder / wnid if by_class else folder
        place.mkdir(parents=True, exist_ok=True)
        os.link(flat / f"{name}.JPEG", place / f"{name}.JPEG")
    return folder


def _train(folder: Path) -> None:
    """Two more classes' training images, which no evaluation may take."""
    for wnid in wnids()[:2]:
        (folder / wnid).mkdir(parents=True)
        (folder / wnid / f"{wnid}_1.JPEG").write_bytes(b"x")


def validation_beside_train(flat: Path, root: Path) -> Path:
    _train(root / "train")
    return _linked(flat, root / "validation").parent


def valid_beside_train(flat: Path, root: Path) -> Path:
    _train(root / "train")
    return _linked(flat, root / "valid").parent


def capital_val_beside_train(flat: Path, root: Path) -> Path:
    _train(root / "Train")
    return _linked(flat, root / "Val").parent


def folders_named_as_the_archives(flat: Path, root: Path) -> Path:
    _train(root / "ILSVRC2012_img_train")
    return _linked(flat, root / "ILSVRC2012_img_val", by_class=False).parent


def archives_folder_within_val(flat: Path, root: Path) -> Path:
    return _linked(flat, root / "val" / "ILSVRC2012_img_val", by_class=False).parents[1]


def val_within_a_folder(flat: Path, root: Path) -> Path:
    _train(root / "imagenet" / "train")
    return _linked(flat, root / "imagenet" / "val").parents[1]


def val_within_val(flat: Path, root: Path) -> Path:
    return _linked(flat, root / "val" / "val").parents[1]


def under_images(flat: Path, root: Path) -> Path:
    (root / "annotations").mkdir(parents=True)
    (root / "annotations" / "1.xml").write_text("<annotation/>")
    return _linked(flat, root / "images").parent


def kaggle_within_its_download(flat: Path, root: Path) -> Path:
    kaggle(flat, root / "imagenet-object-localization-challenge")
    return root


def renamed(flat: Path, root: Path) -> Path:
    """As image tools leave them: in lower case, and with an ending of their own."""
    root.mkdir()
    for number, name in enumerate(IDS):
        ending = (".JPEG.jpg", ".jpg", ".JPEG.webp", ".jfif")[number % 4]
        os.link(flat / f"{name}.JPEG", root / (f"{name}{ending}".lower() if number % 3 else f"{name}{ending}"))
    return root


def among_thumbnails(flat: Path, root: Path) -> Path:
    """On a disk that a Synology indexes, a Mac has written, and Jupyter was started in."""
    _linked(flat, root / "val")
    litter = (f"{WNIDS[0]}/@eaDir/{IDS[0]}.JPEG/SYNOPHOTO_THUMB_M.jpg", f"{WNIDS[0]}/.AppleDouble/{IDS[0]}.JPEG",
              f"__MACOSX/{WNIDS[0]}/._{IDS[0]}.JPEG", f"__MACOSX/{WNIDS[0]}/{IDS[0]}.JPEG", f"{WNIDS[1]}/._x.jpg",
              f".Trashes/{IDS[1]}.JPEG", f"lost+found/{IDS[2]}.JPEG", ".ipynb_checkpoints/a-checkpoint.jpg",
              f"{WNIDS[2]}/Thumbs/{IDS[3]}.JPEG", "#recycle/x.jpg", "$RECYCLE.BIN/x.jpg")  # fmt: skip
    for name in litter:
        (root / "val" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "val" / name).write_bytes(b"thumbnail")
    return root


def tar_among_thumbnails(flat: Path, root: Path) -> Path:
    among_thumbnails(flat, root / "disk")
    subprocess.run(["tar", "-cf", root / "x.tar", "-C", root / "disk", "val"], check=True)
    return root / "x.tar"


def of_linked_folders(flat: Path, root: Path) -> Path:
    """Each class half in its folder, half in a folder elsewhere that is linked into it."""
    for place, (name, wnid) in enumerate(zip(IDS, WNIDS, strict=True)):
        folder = root / "val" / wnid if place % 2 else root / "disk" / wnid
        folder.mkdir(parents=True, exist_ok=True)
        os.link(flat / f"{name}.JPEG", folder / f"{name}.JPEG")
    for folder in (root / "disk").iterdir():
        (root / "val" / folder.name).mkdir(exist_ok=True)
        (root / "val" / folder.name / "more").symlink_to(folder)
    return root / "val"


def hashed_parquet(flat: Path, root: Path) -> Path:
    """As `push_to_hub` named shards until 2023."""
    for path in sorted((parquet(flat, root) / "data").iterdir()):
        path.rename(path.with_name(f"{path.stem}-{zlib.crc32(path.name.encode()):016x}.parquet"))
    return root


def utf16_labels(flat: Path, root: Path) -> Path:
    """val.txt as PowerShell writes it."""
    _linked(flat, root / "val", by_class=False)
    lines = "".join(f"{name}.JPEG {label}\r\n" for name, label in zip(IDS, LABELS, strict=True))
    (root / "val.txt").write_bytes(lines.encode("utf-16"))
    return root


ELSEWHERE: dict[str, Callable[[Path, Path], Path]] = {
    form.__name__: form
    for form in (
        validation_beside_train, valid_beside_train, capital_val_beside_train, folders_named_as_the_archives,
        archives_folder_within_val, val_within_a_folder, val_within_val, under_images, kaggle_within_its_download,
        renamed, among_thumbnails, tar_among_thumbnails, of_linked_folders, hashed_parquet, utf16_labels,
    )
}  # fmt: skip
"""The same files under other names and in other places, as `FORMS`."""


def tiny_imagenet(root: Path, names: tuple[str, ...] = ("n01443537", "n01629819", "n01641577")) -> Path:
    """tiny-imagenet-200 as Stanford's zip unpacks, four images a class; each holds its class's name."""
    for wnid in names:
        (root / "train" / wnid / "images").mkdir(parents=True)
        (root / "train" / wnid / f"{wnid}_boxes.txt").write_text(f"{wnid}_0.JPEG\t0\t10\t63\t58\n")
        for number in range(4):
            (root / "train" / wnid / "images" / f"{wnid}_{number}.JPEG").write_bytes(wnid.encode())
    lines = []
    (root / "val" / "images").mkdir(parents=True)
    for number in range(4 * len(names)):
        wnid = names[number * 7 % len(names)]
        (root / "val" / "images" / f"val_{number}.JPEG").write_bytes(wnid.encode())
        lines.append(f"val_{number}.JPEG\t{wnid}\t0\t32\t44\t62\n")
    (root / "val" / "val_annotations.txt").write_text("".join(random.Random(6).sample(lines, len(lines))))
    (root / "test" / "images").mkdir(parents=True)
    (root / "test" / "images" / "test_0.JPEG").write_bytes(b"x")
    (root / "wnids.txt").write_text("\n".join(reversed(names)))
    (root / "words.txt").write_text("n00001740\tentity\n")
    return root


def in_memory_parquet(path: Path, columns: dict[str, tuple[str, ...] | None], rows: int = 12) -> Path:
    """Pictures that have no file, by the `datasets` library: grey level i is row i, of class i % 3 in each column."""
    from datasets import ClassLabel, Dataset, Features, Value, disable_progress_bars
    from datasets import Image as ImageFeature

    disable_progress_bars()
    image, *labels = columns
    kinds = {name: ClassLabel(names=list(columns[name] or ())) if columns[name] else Value("int64") for name in labels}
    content: dict[str, list[object]] = {image: [Image.new("RGB", (9, 8), (i,) * 3) for i in range(rows)]}
    content |= {name: [(i + place) % 3 for i in range(rows)] for place, name in enumerate(labels)}
    path.parent.mkdir(parents=True, exist_ok=True)
    Dataset.from_dict(content, features=Features({image: ImageFeature(), **kinds})).to_parquet(path)
    return path


def thousand_keys(root: Path, count: int = 1000) -> Path:
    """WebDataset shards as CLIP's benchmark has them: keys that name nothing, classes 0 to 999, how many shards."""
    from webdataset import ShardWriter

    (root / "test").mkdir(parents=True)
    with ShardWriter(str(root / "test" / "%d.tar"), maxcount=600, verbose=0) as writer:
        for number in range(count):
            writer.write({"__key__": f"s{number:07d}", "webp": str(number).encode(), "cls": number})
    (root / "test" / "nshards.txt").write_text(str(-(-count // 600)))
    (root / "classnames.txt").write_text("tench\n")
    return root


FORMS: dict[str, Callable[[Path, Path], Path]] = {
    form.__name__: form
    for form in (
        class_folders, flat_alone, flat_with_devkit, plain_tar, tar_with_devkit_archive, tar_of_class_folders, kaggle,
        parquet, webdataset, caffe,
    )
}  # fmt: skip
"""Every form, and what writes it: (flat folder, empty place) -> what `--data` is given."""
