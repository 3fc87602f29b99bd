"""What this machine is: facts, and what of it is short."""

import os
import platform
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path

import torch

from vggbench import __version__
from vggbench.cache import cache_folder
from vggbench.errors import counted, first_line
from vggbench.evaluation.plan import Plan
from vggbench.images.reading import no_room, shared_memory
from vggbench.images.threads import cores
from vggbench.inference.measured import cpu_name, kept_answers
from vggbench.studies.doctor.finding import Check, Seen, fact

PART = "Machine"
_OPEN_FILES = 1024
"""Fewer do not suffice for many processes that read."""
_ROOM = 10**9
"""Bytes of disk: a run of ImageNet takes 0.2 GB."""
_MEMORY_LIMIT = Path("/sys/fs/cgroup/memory.max")
_SMI = ("nvidia-smi", "--query-gpu=driver_version,name,memory.total", "--format=csv,noheader")


def environment(device: torch.device, store: Path, paper: Plan) -> Iterator[Check]:
    """All that a bug report must say of a machine; `paper` is an evaluation by which room is judged."""
    yield Check(PART, "System", lambda: fact(platform.platform()))
    yield Check(PART, "Python, vggbench", lambda: fact(f"{platform.python_version()}, {__version__}"))
    yield Check(PART, "Processor", _processor)
    yield Check(PART, "Memory", _memory)
    yield Check(PART, "PyTorch", _pytorch)
    yield Check(PART, "GPU", lambda: _gpu(device))
    yield Check(PART, "torchvision, Pillow", lambda: fact(f"{version('torchvision')}, {version('pillow')}"))
    yield Check(PART, "ONNX Runtime", _onnxruntime)
    yield Check(PART, "Quicker backend", _quicker)
    yield Check(PART, "Shared memory", lambda: _shared_memory(paper))
    yield Check(PART, "Open files", _open_files)
    yield Check(PART, "Disk of the store", lambda: _disk(store, "--runs"))
    yield Check(PART, "Disk of the cache", lambda: _disk(cache_folder(), "$VGGBENCH_CACHE"))


def _processor() -> Seen:
    kernels, threads = torch.backends.cpu.get_cpu_capability(), torch.get_num_threads()
    return fact(
        f"{cpu_name()}, {kernels}; {cores()} of {os.cpu_count()} cores, {counted(threads, 'thread')}",
        capability=kernels, cores=cores(), all_cores=os.cpu_count(), threads=threads,
    )  # fmt: skip


def _memory() -> Seen:
    """The memory of the machine, or of the container."""
    total = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else None
    limit = _MEMORY_LIMIT.read_text().strip() if _MEMORY_LIMIT.exists() else "max"
    allowed = f"; this container may use {_giga(int(limit))}" if limit.isdecimal() else ""
    return fact("unknown" if total is None else f"{_giga(total)}{allowed}", bytes=total, limit=limit)


def _pytorch() -> Seen:
    cuda, cudnn = torch.version.cuda, torch.backends.cudnn.version()  # type: ignore[no-untyped-call]
    built = f"CUDA {cuda}" if cuda else "without CUDA"
    return fact(f"{torch.__version__}, {built}, cuDNN {cudnn or 'none'}", cuda=cuda, cudnn=cudnn)


def _gpu(device: torch.device) -> Seen:
    """The GPU by PyTorch, and the driver by NVIDIA's own tool."""
    driver = _nvidia_smi()
    if device.type == "cuda":
        own = torch.cuda.get_device_properties(device)
        return fact(
            f"{own.name}, {_giga(own.total_memory)}, capability {own.major}.{own.minor}, 1 of "
            f"{torch.cuda.device_count()}; driver: {driver or 'unknown'}",
            driver=driver,
        )
    if driver and not torch.cuda.is_available():
        return Seen(
            f"driver: {driver}", verdict="short",
            said=f"PyTorch {torch.__version__}, built for CUDA {torch.version.cuda}, finds no GPU: expected one. "
            "Update the driver, or install a PyTorch that is built for an older CUDA.",
        )  # fmt: skip
    return fact(f"not used: the device is {device}", driver=driver)


def _nvidia_smi() -> str | None:
    """Driver, name and memory of each GPU, whatever PyTorch thinks of it."""
    if shutil.which(_SMI[0]) is None:
        return None
    try:
        done = subprocess.run(_SMI, capture_output=True, text=True, timeout=20, check=True)
    except (OSError, subprocess.SubprocessError):
        return None
    return "; ".join(done.stdout.split("\n")).strip("; ") or None


def _onnxruntime() -> Seen:
    if find_spec("onnxruntime") is None:
        return fact("not installed")
    try:
        import onnxruntime
    except Exception as error:  # a library that lacks, or is of another version
        return Seen(
            "cannot be imported", verdict="short",
            said=f"{first_line(error)}: expected a package that works. Install onnxruntime again, or run with "
            "--backend pytorch.",
        )  # fmt: skip
    providers = [name.removesuffix("ExecutionProvider") for name in onnxruntime.get_available_providers()]
    return fact(f"{onnxruntime.__version__}: {', '.join(providers)}", providers=providers)


def _quicker() -> Seen:
    """What `--backend auto` means here, as far as evaluations have measured it."""
    kept = [answer for answer in kept_answers() if answer.is_of_here]
    each = [f"{answer.backend} for {answer.kind}" for answer in kept]
    return fact("; ".join(each) or "not measured yet", answers=[asdict(answer) for answer in kept])


def _shared_memory(paper: Plan) -> Seen:
    """With room for those that read images for an evaluation at the paper's three Qs, or not."""
    free, wanted = shared_memory(), paper.settings.loader_workers
    found = "not limited" if free is None else f"{_giga(free)} free"
    if paper.workers >= wanted:
        return fact(found, bytes=free, readers=wanted)
    said = no_room(f"{counted(wanted, 'process')} to read images", paper.workers)
    return Seen(found, verdict="short", said=said, details={"bytes": free, "readers": paper.workers})


def _open_files() -> Seen:
    if sys.platform == "win32":
        return fact("not limited")
    import resource

    allowed, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    if allowed == resource.RLIM_INFINITY:
        return fact("not limited")
    found = f"{allowed:,} at once"
    if allowed >= _OPEN_FILES:
        return fact(found, limit=allowed, hard_limit=most)
    said = f"{allowed:,} files may be open: expected {_OPEN_FILES:,} or more. Run `ulimit -n 4096` before vggbench."
    return Seen(found, verdict="short", said=said, details={"limit": allowed, "hard_limit": most})


def _disk(folder: Path, option: str) -> Seen:
    there = next(place for place in (folder.absolute(), *folder.absolute().parents) if place.exists())
    free = shutil.disk_usage(there).free
    found = f"{_giga(free)} free for {folder}"
    if free >= _ROOM:
        return fact(found, bytes=free)
    said = f"{_giga(free)} are free: expected {_giga(_ROOM)} or more. Name another folder in {option}, or make room."
    return Seen(found, verdict="short", said=said, details={"bytes": free})


def _giga(count: int) -> str:
    return f"{count / 1e9:,.1f} GB"
