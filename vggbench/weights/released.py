"""The released files of VGG weights: where they lie, how to know them, and what they were published to reach."""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from vggbench.images.preprocessing import INPUTS, Input
from vggbench.paper.configs import CONFIGS, Config
from vggbench.paper.protocols import TrainScale


@dataclass(frozen=True)
class Published:
    """Errors in percent that the publisher states; `protocol` and `scales` where it is exactly one of ours."""

    top1: float | None
    top5: float
    how: str
    protocol: str | None = None
    scales: tuple[int, ...] = ()
    digits: int = 1
    """Decimals that are stated."""


@dataclass(frozen=True)
class Released:
    """One released file; `size` in bytes, or `mib` as rounded by the publisher; `digest` may be a prefix."""

    source: str
    config: Config
    file: str
    url: str
    algorithm: str
    digest: str | None
    licence: str
    published: tuple[Published, ...]
    size: int | None = None
    mib: float | None = None
    train_scale: TrainScale | None = None
    input: Input = INPUTS["torchvision"]
    ceil_pool: bool = False
    refused: str | None = None
    """Why no accuracy may be measured with it."""

    @property
    def name(self) -> str:
        """As a MODEL argument."""
        return f"{self.config.name}@{self.source}"

    @property
    def origin(self) -> str:
        """Whose training the weights come from: other publishers' files may hold the same."""
        origins = {"matconvnet": "oxford", "keras": "oxford", "timm": "torchvision", "onnx-12": "onnx"}
        return origins.get(self.source, self.source)

    @property
    def megabytes(self) -> str:
        """Its size, to print."""
        return f"{self.bytes / 1e6:.0f} MB" if self.bytes else "size not on record"

    @property
    def bytes(self) -> int | None:
        """Its size; None where it is not on record."""
        return self.size or (round(self.mib * 2**20) if self.mib else None)

    def fits_size(self, size: int) -> bool:
        """Whether a file of this many bytes can be it."""
        if self.size is not None:
            return size == self.size
        return _LEAST < size < _MOST if self.mib is None else abs(size / 2**20 - self.mib) < 0.001

    def is_digest(self, found: str) -> bool:
        """Whether a file of this digest, by `algorithm`, is it."""
        return self.digest is not None and found.startswith(self.digest)


_LEAST, _MOST = 400_000_000, 1_000_000_000
"""Bytes between which weights of full width lie."""
_OXFORD = "http://www.robots.ox.ac.uk/~vgg/software/very_deep/caffe/"
_MATCONVNET = "http://www.vlfeat.org/matconvnet/models/"
_TORCHVISION = "https://download.pytorch.org/models/"
_KERAS = "https://storage.googleapis.com/tensorflow/keras-applications/"
_ZOO = "https://github.com/onnx/models/raw/main/validated/vision/classification/vgg/model/"
_JITTERED = TrainScale(256, 512)


def _oxford(config: str, layers: int, size: int, sha1: str, *top5: float) -> Released:
    published = tuple(
        Published(None, error, f"dense, Q={','.join(map(str, scales))}", "dense", scales)
        for error, scales in zip(top5, ((384,), (256, 384, 512)), strict=True)
    )
    file = f"VGG_ILSVRC_{layers}_layers.caffemodel"
    return Released(
        "oxford", CONFIGS[config], file, _OXFORD + file, "sha1", sha1, "CC BY 4.0", published, size,
        train_scale=_JITTERED, input=INPUTS["caffe"], ceil_pool=True,
    )  # fmt: skip


def _matconvnet(config: str, layers: int, size: int | None, md5: str, top1: float, top5: float) -> Released:
    file = f"imagenet-vgg-verydeep-{layers}.mat"
    published = (Published(top1, top5, "one centre crop, MatConvNet"),)
    return Released(
        "matconvnet", CONFIGS[config], file, _MATCONVNET + file, "md5", md5, "CC BY 4.0 (Oxford's)", published, size,
        train_scale=_JITTERED, input=INPUTS["matconvnet"], ceil_pool=True,
    )  # fmt: skip


def _centre(top1: float, top5: float, how: str) -> tuple[Published]:
    """`top1` and `top5` as published: accuracies."""
    return (Published(round(100 - top1, 3), round(100 - top5, 3), f"{how}, centre crop", "center", (256,), digits=3),)


def _torchvision(config: str, stem: str, sha256: str, mib: float, top1: float, top5: float) -> Released:
    file, published = f"{stem}-{sha256}.pth", _centre(top1, top5, "resize 256")
    licence = "BSD-3-Clause (code)"
    return Released(
        "torchvision", CONFIGS[config], file, _TORCHVISION + file, "sha256", sha256, licence, published, mib=mib
    )


def _timm(config: str, stem: str, top1: float, top5: float) -> Released:
    url = f"https://huggingface.co/timm/{stem}.tv_in1k/resolve/main/model.safetensors"
    published = _centre(top1, top5, "crop_pct 0.875")
    return Released("timm", CONFIGS[config], "model.safetensors", url, "sha256", None, "BSD-3-Clause", published)


def _keras(config: str, stem: str, size: int, md5: str, top1: float, top5: float) -> Released:
    """Oxford's bytes, so their S and their pooling."""
    file = f"{stem}_weights_tf_dim_ordering_tf_kernels.h5"
    published = (Published(top1, top5, "one crop, keras.io"),)
    return Released(
        "keras", CONFIGS[config], file, f"{_KERAS}{stem}/{file}", "md5", md5, "CC BY 4.0 (Oxford's)", published, size,
        train_scale=_JITTERED, input=INPUTS["caffe"], ceil_pool=True,
    )  # fmt: skip


def _zoo(config: str, stem: str, size: int, top1: float | None, top5: float | None, sha256: str) -> Released:
    """Sizes and hashes as the zoo's ONNX_HUB_MANIFEST.json has them."""
    published = (Published(top1, top5, "one centre crop, MXNet Gluon"),) if top1 and top5 else ()
    source, file = "onnx-12" if stem.endswith("-12") else "onnx", f"{stem}.onnx"
    return Released(source, CONFIGS[config], file, _ZOO + file, "sha256", sha256, "Apache-2.0", published, size)


# fmt: off
RELEASED: tuple[Released, ...] = (
    _oxford("D", 16, 553_432_081, "9363e1f6d65f7dba68c4f27a1e62105cdf6c4e24", 8.1, 7.5),
    _oxford("E", 19, 574_671_192, "239785e7862442717d831f682bb824055e51e9ba", 8.0, 7.5),
    _matconvnet("D", 16, None,        "f72d927587ca4c97fbd165ec9cb9997f", 28.5, 9.9),
    _matconvnet("E", 19, 534_904_783, "106118b7cf60435e6d8e04f6a6dc3657", 28.7, 9.9),
    _torchvision("A",    "vgg11",    "8a719046", 506.840, 69.020, 88.628),
    _torchvision("B",    "vgg13",    "19584684", 507.545, 69.928, 89.246),
    _torchvision("D",    "vgg16",    "397923af", 527.796, 71.592, 90.382),
    _torchvision("E",    "vgg19",    "dcbb9e9d", 548.051, 72.376, 90.876),
    _torchvision("A-BN", "vgg11_bn", "6002323d", 506.881, 70.370, 89.810),
    _torchvision("B-BN", "vgg13_bn", "abd245e5", 507.590, 71.586, 90.374),
    _torchvision("D-BN", "vgg16_bn", "6c64b313", 527.866, 73.360, 91.516),
    _torchvision("E-BN", "vgg19_bn", "c79401a0", 548.143, 74.218, 91.842),
    _timm("A",    "vgg11",    69.050, 88.630),
    _timm("B",    "vgg13",    69.950, 89.262),
    _timm("D",    "vgg16",    71.594, 90.398),
    _timm("E",    "vgg19",    72.400, 90.878),
    _timm("A-BN", "vgg11_bn", 70.374, 89.802),
    _timm("B-BN", "vgg13_bn", 71.560, 90.372),
    _timm("D-BN", "vgg16_bn", 73.354, 91.490),
    _timm("E-BN", "vgg19_bn", 74.230, 91.848),
    _keras("D", "vgg16", 553_467_096, "64373286793e3c8b2b4e3219cbf3544b", 28.7, 9.9),
    _keras("E", "vgg19", 574_710_816, "cbe5617147190e668d6c5d5026f83318", 28.7, 10.0), # top-5 not seen at its source
    _zoo("D",    "vgg16-7",    553_437_328, 27.38, 8.86,
         "f20805a3ecccaa88647bbab4ad011ff2412a9838485ea844de0fcbce349820b9"),
    _zoo("E",    "vgg19-7",    574_677_321, 26.28, 8.42,
         "692f9f927f1df1b89033787a77a73eac59fd9b3344f9ecdf0b13221e41c2046f"),
    _zoo("D-BN", "vgg16-bn-7", 553_512_191, 27.29, 8.79,
         "4fdceabf1ef715c9ed3020fa2eac1cb2a448296c086b03633c80cf47e1c5afce"),
    _zoo("E-BN", "vgg19-bn-7", 574_774_380, 26.17, 8.21,
         "ce0987dfa6228ad29708013f38b7f73cbc14ca6066a05fc22ee49b35871c63ed"),
    _zoo("D",    "vgg16-12",   553_437_752, None, None,
         "722c42f53ca03a5480296bf8f9c85a151de3eed9ec982d7d2302ff6e2900c67b"),
    Released(
        "features", CONFIGS["D"], "vgg16_features-amdegroot-88682ab5.pth",
        f"{_TORCHVISION}vgg16_features-amdegroot-88682ab5.pth", "sha256", "88682ab5", "not stated", (), mib=527.802,
        input=Input("RGB", 1, (0.48235, 0.45882, 0.40784), (1 / 255, 1 / 255, 1 / 255)),
        refused="its classifier has no valid weights; torchvision released it (IMAGENET1K_FEATURES) for features alone",
    ),
)
# fmt: on
SOURCES = tuple(dict.fromkeys(row.source for row in RELEASED))
_DEFAULTS = ("oxford", "torchvision")
"""Where a bare name's weights come from on ILSVRC: Oxford's, which are the paper's nets, before torchvision's."""


def released(config: Config, source: str) -> Released | None:
    """The file of this config that `source` has published."""
    return next((row for row in RELEASED if (row.config, row.source) == (config, source)), None)


def by_name(name: str | None) -> Released | None:
    """The file that a model's identity says it is."""
    return next((row for row in RELEASED if row.name == name), None)


def origin_of(name: str | None) -> str:
    """Whose training the weights come from; files that nobody is known to have released are the user's own."""
    row = by_name(name)
    return row.origin if row else "own files"


def default_source(config: Config) -> str | None:
    """The source that a bare name takes on ILSVRC; None where nobody has published any."""
    return next((source for source in _DEFAULTS if released(config, source)), None)


def recognise(path: Path) -> Released | None:
    """The released file that these bytes are, by size and hash, whatever the file is called. Raises OSError."""
    size = path.stat().st_size
    candidates = [row for row in RELEASED if row.digest and row.fits_size(size)]
    found = {}
    for algorithm in {row.algorithm for row in candidates}:  # two at most
        with path.open("rb") as file:
            found[algorithm] = hashlib.file_digest(file, algorithm).hexdigest()
    return next((row for row in candidates if row.is_digest(found[row.algorithm])), None)


def sources_of(config: Config) -> Sequence[str]:
    """All sources that have published this config."""
    return [row.source for row in RELEASED if row.config == config and not row.refused]
