"""Small classifiers, and files of them as exporters write them."""

import warnings
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

SIDE, CLASSES = 24, 5


class Small(nn.Module):
    """Convolutions, batch normalisation and a residual; of any size."""

    def __init__(self, ending: nn.Module | None = None) -> None:
        super().__init__()
        self.first = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(inplace=True))
        self.second = nn.Conv2d(8, 8, 3, 1, 1, bias=False)
        self.drop, self.fc, self.ending = nn.Dropout(0.5), nn.Linear(8, CLASSES), ending or nn.Identity()

    def forward(self, pixels: Tensor) -> Tensor:
        maps = self.first(pixels)
        maps = maps + self.second(maps).relu()
        found: Tensor = self.ending(self.fc(self.drop(maps.mean((2, 3)))))
        return found


def small(ending: nn.Module | None = None) -> Small:
    """Always the same weights, and statistics that are not those of a new net."""
    torch.manual_seed(0)
    net = Small(ending)
    for parameter in net.parameters():
        nn.init.normal_(parameter, 0, 0.3)
    norm = net.first[1]
    assert isinstance(norm, nn.BatchNorm2d)
    norm.running_mean, norm.running_var = torch.randn(8) / 3, torch.rand(8) + 0.5
    return net.eval()


def images(count: int, side: int = SIDE) -> Tensor:
    return torch.randn(count, 3, side, side, generator=torch.Generator().manual_seed(1))


def scores(net: nn.Module, pixels: Tensor) -> Tensor:
    with torch.inference_mode():
        found: Tensor = net(pixels)
        return found


def write_onnx(net: nn.Module, path: Path, *, batch: int | None = None, side: int | None = None) -> Path:
    """The exporter by torch.jit, whose output is the smaller; sizes are open where they are not stated."""
    axes: dict[int, str] = ({} if batch else {0: "N"}) | ({} if side else {2: "H", 3: "W"})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        torch.onnx.export(
            net, (images(batch or 2, side or SIDE),), path, dynamo=False, input_names=["pixels"],
            output_names=["scores"], dynamic_axes={"pixels": axes, "scores": {0: "N"} if not batch else {}},
        )  # fmt: skip
    return path


def write_pt2(net: nn.Module, path: Path, *, fixed: bool = False, decomposed: bool = False, **options: Any) -> Path:
    """torch.export.save; all sizes are open unless `fixed`, at a batch of 2."""
    open_ = None if fixed else (dict.fromkeys((0, 2, 3), torch.export.Dim.AUTO),)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.export.export(net, (images(2),), dynamic_shapes=open_, **options)
        torch.export.save(program.run_decompositions() if decomposed else program, path)
    return path
