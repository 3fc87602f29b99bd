"""VGG-16 by one central crop against timm, torchvision and bare ONNX Runtime: `python benchmarks/peers.py FOLDER`.

All run the same random weights at full width over the same JPEGs of FOLDER (class folders), in turns; the start of each
(weights, compilation, export) is not timed. timm's loader and model are as validate.py sets them up, but for batches
of 32, so that loading overlaps with computing on as few images as these. timm and torchvision run in a process of their
own, as they do for those who use them: in ours they would find our way of holding memory. Ratios are of medians.
After FOLDER may stand the parts to run: `memory` (backends and sessions on tensors), `files` (timm and torchvision),
`wall` (an evaluation against its forward passes).
"""

import multiprocessing
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import cache, partial
from pathlib import Path
from typing import Any, Literal

import onnxruntime
import timm
import timm.data
import torch
import torchvision
from torch import Tensor, nn
from torchvision.transforms import v2
from turns import Times, pictures, random_model, ratio, take_turns

from vggbench.data import DataSet, open_data
from vggbench.evaluation.jobs import Job, Settings, Watch
from vggbench.evaluation.loop import evaluate
from vggbench.images.pixels import take
from vggbench.inference.choice import start
from vggbench.inference.choices import Asked, BackendName
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import Protocol
from vggbench.weights.export import export_onnx
from vggbench.weights.load import Model

ROUNDS, BATCH, WORKERS = 3, 32, 2
CENTER = Protocol("center")
OURS: tuple[Literal["pytorch", "onnxruntime"], ...] = ("pytorch", "onnxruntime")
PEERS = ("timm", "timm channels_last", "timm channels_last compiled", "torchvision")
PARTS = ("memory", "files", "wall")


class Begun(Watch):
    """Notes when the network is loaded."""

    at = 0.0

    def begin(self) -> None:
        """Now."""
        self.at = time.perf_counter()


def evaluated(model: Model, data: DataSet, backend: Asked, protocol: Protocol, scales: Sequence[int]) -> float:
    """Seconds of `vggbench eval` after its start, with workers' start, first check and store."""
    watch, settings = Begun(), Settings(device="cpu", backend=backend, workers=WORKERS)
    with tempfile.TemporaryDirectory() as store:
        evaluate(data, [Job(model, protocol, scale) for scale in scales], store, settings, watch)
        return time.perf_counter() - watch.at


def forward_passes(model: Model, images: list[Tensor], backend: BackendName) -> Callable[[], None]:
    """The backend alone, on (3, H, W) uint8 in memory."""
    run = start(backend, model, torch.device("cpu"), "fp32")
    crops = [take(image, *CENTER.views(image.shape[1], image.shape[2])) for image in images]
    batches = [torch.stack(crops[i : i + BATCH]) for i in range(0, len(crops), BATCH)]
    return lambda: [run(batch) for batch in batches] and None


def timm_vgg16(network: VGG) -> nn.Module:
    """timm's net with these weights: the same layers in the same order."""
    peer = timm.create_model("vgg16").eval()
    own = network.state_dict()
    peer.load_state_dict(
        {name: own[key].view_as(tensor) for (name, tensor), key in zip(peer.state_dict().items(), own, strict=True)}
    )
    return peer


def timm_loader(folder: Path, workers: int) -> Any:
    """As validate.py makes it, for vgg16's own configuration."""
    config = timm.data.resolve_data_config({}, model=timm.create_model("vgg16"))
    config = {key: config[key] for key in ("input_size", "interpolation", "mean", "std", "crop_pct", "crop_mode")}
    dataset = timm.data.create_dataset("", root=str(folder), split="validation")
    return timm.data.create_loader(
        dataset, batch_size=BATCH, use_prefetcher=False, num_workers=workers, device=torch.device("cpu"), **config
    )


def torchvision_loader(folder: Path) -> Any:
    """As its references do: resize, crop, scale, normalise; workers as in theirs, 16, would not help two cores."""
    statistics = {"mean": (0.485, 0.456, 0.406), "std": (0.229, 0.224, 0.225)}
    resized = [v2.PILToTensor(), v2.Resize(256, antialias=True), v2.CenterCrop(CROP)]
    steps = [*resized, v2.ToDtype(torch.float32, scale=True), v2.Normalize(**statistics)]
    dataset = torchvision.datasets.ImageFolder(str(folder), v2.Compose(steps))
    return torch.utils.data.DataLoader(dataset, batch_size=BATCH, num_workers=WORKERS)


@cache
def peer(name: str, folder: Path) -> tuple[Callable[[Tensor], Tensor], Any, torch.memory_format]:
    """The network, the loader and the memory format of one of PEERS, made once in a process."""
    network = random_model("D").module
    assert isinstance(network, VGG)
    if name == "torchvision":
        theirs = torchvision.models.vgg16().eval()
        theirs.load_state_dict(network.state_dict())
        return theirs, torchvision_loader(folder), torch.contiguous_format
    if name == "timm":
        return timm_vgg16(network), timm_loader(folder, 4), torch.contiguous_format
    last = timm_vgg16(network).to(memory_format=torch.channels_last)
    run = torch.compile(last) if name.endswith("compiled") else last
    return run, timm_loader(folder, WORKERS), torch.channels_last


def loop(name: str, folder: Path) -> float:
    """Seconds of the loop of a peer, without its meters."""
    network, loader, memory_format = peer(name, folder)
    started = time.perf_counter()
    with torch.inference_mode():
        for images, _ in loader:
            network(images.contiguous(memory_format=memory_format)).topk(5)
    return time.perf_counter() - started


def session(model: Model, images: list[Tensor]) -> Callable[[], None]:
    """A bare ONNX Runtime session on the same crops, normalised beforehand."""
    with tempfile.TemporaryDirectory() as folder:
        export_onnx(model, Path(folder) / "d.onnx")
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        found = onnxruntime.InferenceSession(Path(folder) / "d.onnx", options, providers=["CPUExecutionProvider"])
    crops = [take(image, *CENTER.views(image.shape[1], image.shape[2])) for image in images]
    batches = [
        model.identity.input.normalise(torch.stack(crops[i : i + BATCH])).numpy() for i in range(0, len(crops), BATCH)
    ]
    return lambda: [found.run(["logits"], {"images": batch}) for batch in batches] and None


def gemm_session(network: VGG, images: list[Tensor], model: Model) -> Callable[[], None]:
    """The same of torchvision's own graph, whose fc layers are matrix products, for 224 x 224 alone."""
    net = torchvision.models.vgg16().eval()
    net.load_state_dict(network.state_dict())
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "d.onnx"
        torch.onnx.export(net, (torch.zeros(BATCH, 3, CROP, CROP),), path, dynamo=True, verbose=False)
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        found = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    name = found.get_inputs()[0].name
    crops = [take(image, *CENTER.views(image.shape[1], image.shape[2])) for image in images]
    batches = [
        model.identity.input.normalise(torch.stack(crops[i : i + BATCH])).numpy() for i in range(0, len(crops), BATCH)
    ]
    return lambda: [found.run(None, {name: batch}) for batch in batches] and None


def report(times: Times, rows: tuple[tuple[str, str], ...]) -> None:
    """A line for each pair."""
    for slow, fast in rows:
        print(f"{fast} against {slow}: {ratio(times, slow, fast)}", flush=True)


def main() -> None:
    """Print the ratios of the parts asked for."""
    folder, parts = Path(sys.argv[1]), sys.argv[2:] or PARTS
    if "memory" in parts:
        in_memory(folder)
    if "files" in parts:
        from_files(folder)
    if "wall" in parts:
        with tempfile.TemporaryDirectory() as target:
            wall(random_model("D"), open_data(linked(open_data(folder), Path(target), copies=2)))


def linked(data: DataSet, target: Path, copies: int) -> Path:
    """The images so many times, in class folders."""
    for image in data.images:
        folder = target / "val" / image.path.parent.name
        folder.mkdir(parents=True, exist_ok=True)
        for copy in range(copies):
            (folder / f"{copy}_{image.path.name}").symlink_to(image.path.absolute())
    return target / "val"


def in_memory(folder: Path) -> None:
    """Time backends and sessions on one batch."""
    model = random_model("D")
    assert isinstance(model.module, VGG)
    images = pictures(folder, BATCH, [256])[256]
    works = {f"backend {name}": forward_passes(model, images, name) for name in OURS}
    works |= {"session, fc as convolution": session(model, images)}
    works |= {"session, fc as product": gemm_session(model.module, images, model)}
    times = take_turns(works, 7)
    report(times, tuple((other, "backend onnxruntime") for other in works if other != "backend onnxruntime"))


def from_files(folder: Path) -> None:
    """Time the whole way over the images of a folder of class folders."""
    model, data = random_model("D"), open_data(folder)
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as process:
        works: dict[str, Callable[[], object]] = {
            f"eval {name}": partial(evaluated, model, data, name, CENTER, [256]) for name in OURS
        }
        works |= {name: lambda name=name: process.submit(loop, name, data_folder(data)).result() for name in PEERS}
        times = take_turns(works, ROUNDS)
    for own in OURS:
        report(times, tuple((other, f"eval {own}") for other in PEERS))


def data_folder(data: DataSet) -> Path:
    """The folder of class folders in which the images lie."""
    return data.images[0].path.parent.parent


def wall(model: Model, data: DataSet) -> None:
    """Compare an evaluation of all images with the forward passes of as many, without workers."""
    images = pictures(data_folder(data), BATCH, [256])[256]
    for name in OURS:
        passes = forward_passes(model, images, name)
        whole = {"passes": passes, "eval": partial(evaluated, model, data, name, CENTER, [256])}
        times = take_turns(whole, 2)
        scaled = times | {"passes": [seconds * len(data) / BATCH for seconds in times["passes"]]}
        print(f"eval {name} of {len(data)} images takes {ratio(scaled, 'eval', 'passes')} times its forward passes")


if __name__ == "__main__":
    main()
