"""Every way to rescale against torchvision's `resize`, bit for bit: `python tests/rescaling.py` counts them as JSON."""

import itertools
import json
from collections.abc import Iterator
from typing import Literal

import torch
from torch import Tensor
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

from vggbench.images.pixels import rescale, signature_of
from vggbench.images.preprocessing import Rescale

SIZES = ((1, 12), (12, 1), (9, 7), (64, 64), (97, 224), (375, 500))
SCALES = (3, 64, 101, 224)
FILTERS: dict[Literal["bilinear", "bicubic", "nearest"], InterpolationMode] = {
    "bilinear": InterpolationMode.BILINEAR,
    "bicubic": InterpolationMode.BICUBIC,
    "nearest": InterpolationMode.NEAREST_EXACT,
}


def images(height: int, width: int) -> Iterator[Tensor]:
    """(3, height, width) as decoders give it, plain, cut out of a larger one, mirrored, and grey thrice."""
    seeded = torch.Generator().manual_seed(0)
    around = torch.randint(0, 256, (height + 5, width + 7, 3), dtype=torch.uint8, generator=seeded)
    decoded = around[:height, :width].contiguous().permute(2, 0, 1)
    yield from (decoded, decoded.contiguous(), around[4 : height + 4, 3 : width + 3].permute(2, 0, 1), decoded.flip(2))
    yield decoded[:1].expand(3, height, width)


def compared() -> dict[str, object]:
    """The CPU's capability, each filter's path as the signature has it, and how many images were the same, and not."""
    same = other = 0
    for size, scale, name, antialias, square in itertools.product(SIZES, SCALES, FILTERS, (True, False), (True, False)):
        how, target = Rescale(name, antialias, square), [scale, scale] if square else [scale]
        for image in images(*size):
            equal = torch.equal(rescale(image, scale, how), resize(image, target, FILTERS[name], antialias=antialias))
            same, other = same + equal, other + (not equal)
    paths = {name: signature_of(Rescale(name))["uint8"] for name in FILTERS}
    return {"cpu": torch.backends.cpu.get_cpu_capability(), "paths": paths, "same": same, "other": other}


if __name__ == "__main__":
    print(json.dumps(compared()))
