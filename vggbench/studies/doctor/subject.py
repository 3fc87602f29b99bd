"""What the checks look at: drawn pictures, a net whose posteriors tell pictures apart, and a naive reference."""

from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from vggbench.data import DataSet, ImageFile, open_data
from vggbench.images.pixels import decode, rescale
from vggbench.images.preprocessing import Input, Rescale
from vggbench.nets.cost import Architecture
from vggbench.nets.vgg import VGG, CrossChannelNorm, initialise
from vggbench.paper.configs import CONFIGS, CROP
from vggbench.paper.protocols import Protocol
from vggbench.sample.drawing import KINDS, draw
from vggbench.store.identity import Identity
from vggbench.weights.load import Model

SCALE = 256
"""Q of every check on few pictures."""
CLASSES = tuple(sorted(kind.name for kind in KINDS))
_SEED = 5
"""The seed of pictures that no split of the sample has."""
_QUALITY = 90
_LOGIT_STD = 2.0
"""The deviation of a class's score over the pictures: enough for posteriors near 0 and near 1."""
_LOUD = 1000.0
"""The largest activation before LRN, whose square fp16 cannot hold; Oxford's nets reach it."""


@dataclass
class Subject:
    """A net that is never run itself, and the few pictures that its copies are shown."""

    model: Model
    data: DataSet
    _references: dict[Protocol, NDArray[np.float64]] = field(default_factory=dict)

    def fresh(self) -> Model:
        """A copy: an evaluation moves a network to its device, and converts it."""
        return replace(self.model, module=deepcopy(self.model.module))

    @property
    def images(self) -> list[str]:
        """Ids of the pictures."""
        return [image.id for image in self.data.images]

    def reference(self, protocol: Protocol) -> NDArray[np.float64]:
        """The posteriors (N, K) by plain loops: one view at a time through the module's own forward, on the CPU."""
        if protocol not in self._references:
            found = [self._posterior(decode(image.read()), protocol) for image in self.data.images]
            self._references[protocol] = torch.stack(found).numpy()
        return self._references[protocol]

    def _posterior(self, pixels: Tensor, protocol: Protocol) -> Tensor:
        image = rescale(pixels, SCALE, Rescale())
        found = []
        for view in protocol.views(*image.shape[1:]):
            window = image[:, view.top : view.top + view.height, view.left : view.left + view.width]
            given = _normalised(window.flip(2) if view.mirror else window, self.model.input)
            with torch.inference_mode():
                found.append(self.model.module(given[None])[0].double().mean((1, 2)).softmax(0))
        return torch.stack(found).mean(0)


def subject(config: str, input: Input, width: float, data: DataSet) -> Subject:
    """A net with random weights whose posteriors differ from picture to picture, and from view to view."""
    network = VGG(CONFIGS[config], len(CLASSES), width).eval()
    initialise(network, _SEED)
    generator = torch.Generator().manual_seed(_SEED)
    crops = [rescale(decode(image.read()), SCALE, Rescale())[:, :CROP, :CROP] for image in data.images]
    given = torch.stack([_normalised(crop, input) for crop in crops])
    with torch.inference_mode():
        _make_loud(network, given)
        *hidden, last = (layer for layer in network.classifier if isinstance(layer, nn.Linear))
        for layer in (*hidden, last):
            nn.init.kaiming_normal_(layer.weight, generator=generator)
        scores = network(given)[:, :, 0, 0]
        gain = _LOGIT_STD / scores.std(0).mean()
        last.weight *= gain
        last.bias.sub_(gain * scores.mean(0))
    net = Architecture(CONFIGS[config], len(CLASSES), width)
    identity = Identity(f"{config}@doctor", input, len(CLASSES), CLASSES, f"doctor {_SEED}", architecture=net)
    return Subject(Model(identity, network), data)


def draw_few(folder: Path, count: int) -> DataSet:
    """Pictures of several sizes, one of them grey and one that is no larger than Q."""
    folder.mkdir()
    images = []
    for number, kind in enumerate(KINDS[:count]):
        picture, quality = draw(kind, (_SEED, number))
        if number == 1:
            picture = picture.convert("L")
        if number == 2:
            picture = picture.resize((SCALE, SCALE + 44))
        images.append(_saved(picture, folder / f"picture_{number}.JPEG", kind.name, quality))
    return DataSet("drawn pictures", tuple(images), count, of_classes=CLASSES)


def draw_many(folder: Path, count: int) -> DataSet:
    """Small pictures, each another part of a drawn one, in a folder of class folders."""
    folder.mkdir()
    rng = np.random.default_rng(_SEED)
    for kind in KINDS:
        (folder / kind.name).mkdir()
    drawn = [draw(kind, (_SEED, place))[0] for place, kind in enumerate(KINDS)]
    for number in range(count):
        kind, picture = KINDS[number % len(KINDS)], drawn[number % len(KINDS)]
        width, height = (CROP + int(more) for more in rng.integers(8, 64, 2))
        left, top = int(rng.integers(picture.width - width)), int(rng.integers(picture.height - height))
        path = folder / kind.name / f"many_{number:05d}.JPEG"
        _saved(picture.crop((left, top, left + width, top + height)), path, kind.name, _QUALITY)
    return open_data(folder)


def repeated(data: DataSet, count: int) -> DataSet:
    """Images of a set over and over, under other ids."""
    images = [replace(data.images[i % len(data)], id=f"{i:06d}") for i in range(count)]
    return replace(data, images=tuple(images), total=count, of_classes=data.class_names)


def _saved(picture: Image.Image, path: Path, kind: str, quality: int) -> ImageFile:
    picture.save(path, quality=quality)
    return ImageFile(path.stem, path, path.stat().st_size, kind)


def _normalised(view: Tensor, input: Input) -> Tensor:
    """(3, h, w) uint8 -> what the network expects, computed in float64."""
    pixels = (view.flip(0) if input.channels == "BGR" else view).double() / (255 if input.range == 1 else 1)
    mean, std = (torch.tensor(values, dtype=torch.float64).view(3, 1, 1) for values in (input.mean, input.std))
    return ((pixels - mean) / std).float()


def _make_loud(network: VGG, given: Tensor) -> None:
    """Where a net has LRN, make what enters it as large as in a trained net."""
    first = network.features[0]
    if isinstance(first, nn.Conv2d) and any(isinstance(layer, CrossChannelNorm) for layer in network.modules()):
        first.weight *= _LOUD / first(given).abs().max()
