"""Fusion, intervals and tables from stored runs of 50,000 x 1,000 posteriors: `python benchmarks/tables.py`.

First D by dense and multicrop at Q = 256, 384, 512, with made-up posteriors, 1.2 GB in a temporary folder. Timed is all
that `vggbench eval` does once everything is stored, in a process of its own, whose peak memory is printed. Then the
fusion of seven nets by the names of their runs, 1.4 GB, as `vggbench fuse` itself.
"""

import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from vggbench.data import DataSet
from vggbench.data.dataset import ImageFile
from vggbench.data.imagenet import VAL_IMAGES, val_labels, wnids
from vggbench.evaluation.jobs import Job, Settings
from vggbench.evaluation.plan import Plan, prepare
from vggbench.paper.protocols import Protocol
from vggbench.render.tables.errors import eval_table
from vggbench.render.tables.table import render
from vggbench.results.evaluated import Evaluated
from vggbench.store.blocks import Block, block_path, write_block
from vggbench.store.recording import Store
from vggbench.weights.load import LoadOptions, load_model
from vggbench.weights.spec import ModelSpec

PROTOCOLS, SCALES = ("dense", "multicrop"), (256, 384, 512)


def plan(store: Path, nets: int = 1) -> Plan:
    """The plan for all validation images and a narrow D, or several in name, without any file."""
    names, labels = wnids(), val_labels()
    images = tuple(
        ImageFile(f"ILSVRC2012_val_{i + 1:08d}", store, 100_000, names[labels[i]]) for i in range(VAL_IMAGES)
    )
    model = load_model(ModelSpec.parse("D@random"), LoadOptions(width=1 / 64), names)
    jobs = [Job(model, Protocol(name), scale) for name in PROTOCOLS for scale in SCALES]  # type: ignore[arg-type]
    if nets > 1:
        several = [model.with_identity(name=f"D@{i}", weights_hash=str(i)) for i in range(nets)]
        jobs = [Job(one, Protocol("dense"), 384) for one in several]
    return prepare(DataSet("val", images, VAL_IMAGES), jobs, Store(store), Settings(device="cpu", backend="pytorch"))


def fill(made: Plan) -> None:
    """Posteriors that are right three times of four."""
    rng = np.random.default_rng(0)
    size = np.full(VAL_IMAGES, 400, dtype=np.int32)
    for run, labels in zip(made.runs, made.labels, strict=True):
        posteriors = rng.random((VAL_IMAGES, 1000), dtype=np.float32)
        posteriors[rng.random(VAL_IMAGES) < 0.75, labels[0]] += 1
        posteriors[np.arange(VAL_IMAGES), labels] += rng.random(VAL_IMAGES) < 0.75
        posteriors /= posteriors.sum(1, keepdims=True)
        run.create()
        entry = {"backend": "PyTorch", "backend_version": "0", "device": "cpu", "threads": 1, "batch_size": 1,
                 "shared_stages": None, "seconds": 1.0}  # fmt: skip
        block = Block(run.expected, labels, size, size, posteriors, provenance=[entry])
        write_block(block_path(run.folder / "posteriors", 0, VAL_IMAGES - 1), block)


def tabulate(store: Path) -> None:
    """What is timed."""
    started = time.perf_counter()
    made = plan(store)
    assert not any(made.missing)
    found = Evaluated(made.data, made.runs, made.settings)
    print(render(eval_table(found.rows, found.about, found.gain(found.models[0])), "md"))
    print(f"{len(found.rows)} rows in {time.perf_counter() - started:.1f} s after importing")
    peak = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
    print(f"peak memory of the process {int(peak.split()[1]) * 1024 / 1e9:.2f} GB")


def main() -> None:
    """Write the runs, then read them elsewhere."""
    if len(sys.argv) > 1:
        tabulate(Path(sys.argv[1]))
        return
    with tempfile.TemporaryDirectory() as store:
        fill(plan(Path(store)))
        started = time.perf_counter()
        subprocess.run([sys.executable, __file__, store], check=True)
        print(f"{time.perf_counter() - started:.1f} s for the whole process")
    with tempfile.TemporaryDirectory() as store:
        fill(plan(Path(store), nets=7))
        started = time.perf_counter()
        subprocess.run([sys.executable, "-m", "vggbench", "fuse", "D-*", "--runs", store], check=True)
        print(f"{time.perf_counter() - started:.1f} s for the fusion of seven nets, the whole process")


if __name__ == "__main__":
    main()
