"""How fast images are read from each layout, against plain files: `python benchmarks/reading.py FOLDER`.

The same images are packed into a tar, WebDataset shards and Parquet in a temporary folder, then read in turn, the
layouts interleaved, with the index in the cache. Printed are ratios of medians: above 1 is faster than plain files.
"""

import io
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import torch
from PIL import Image
from torchvision import transforms as v1
from turns import ratio, take_turns

from vggbench.data import DataSet, open_data
from vggbench.images.heap import keep_freed_memory
from vggbench.images.packs import Images, Request
from vggbench.images.preprocessing import Rescale

ROUNDS = 15
SCALES = (256, 384, 512)


def pack(folder: Path, target: Path) -> dict[str, DataSet]:
    """The images of `folder` in each layout."""
    plain = open_data(folder)
    subprocess.run(["tar", "-cf", target / "x.tar", "-C", folder, "."], check=True)
    rows = [(str(image.path.name), image.read(), i) for i, image in enumerate(plain.images)]
    columns = pa.StructArray.from_arrays([pa.array([r[1] for r in rows], pa.binary()), pa.array([r[0] for r in rows])],
                                         names=["bytes", "path"])  # fmt: skip
    labels = pa.array([plain.class_names.index(image.class_name) for image in plain.images])
    pq.write_table(pa.table({"image": columns, "label": labels}), target / "x.parquet", row_group_size=100)
    return {"files": plain, "tar": open_data(target / "x.tar"), "parquet": open_data(target / "x.parquet")}


def peer_all(data: DataSet) -> None:
    """What pipelines of PIL and ToTensor do for the same: a float32 tensor of each size."""
    steps = [v1.Compose([v1.Resize(scale), v1.ToTensor()]) for scale in SCALES]
    for image in data.images:
        with Image.open(io.BytesIO(image.read())) as opened:
            whole = opened.convert("RGB")
        for step in steps:
            step(whole)


def medians(work: Callable[[DataSet], None], sets: dict[str, DataSet]) -> dict[str, float]:
    """Seconds for all images of each layout, the median of rounds in which the layouts take turns."""
    times: dict[str, list[float]] = {name: [] for name in sets}
    for turn in range(ROUNDS + 1):
        for name, data in sets.items():
            started = time.perf_counter()
            work(data)
            if turn:  # the first warms up
                times[name].append(time.perf_counter() - started)
    return {name: statistics.median(found) for name, found in times.items()}


def read_all(data: DataSet) -> None:
    """Bytes alone."""
    for image in data.images:
        image.read()


def load_all(data: DataSet) -> None:
    """What an evaluation does with an image: read, decode, rescale to three Qs."""
    images = Images(data.images, Rescale())
    for position in range(len(data)):
        assert images.one(Request.plain(position, SCALES)).problem is None


def main() -> None:
    """Print the ratios."""
    with tempfile.TemporaryDirectory() as target:
        sets = pack(Path(sys.argv[1]), Path(target))
        for name, work in (("read", read_all), ("read, decode, rescale to 256, 384, 512", load_all)):
            found = medians(work, sets)
            ratios = ", ".join(f"{layout} {found['files'] / seconds:.2f}" for layout, seconds in found.items())
            print(f"{name}: {ratios} (files: {len(sets['files']) / found['files']:,.0f} images/s)")

        torch.set_num_threads(1)
        keep_freed_memory()  # as in the processes that read images
        works = {"ours": partial(load_all, sets["files"]), "PIL and ToTensor": partial(peer_all, sets["files"])}
        print(f"one thread, against PIL and ToTensor: {ratio(take_turns(works, 5), 'PIL and ToTensor', 'ours')}")


if __name__ == "__main__":
    main()
