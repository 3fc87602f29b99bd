"""What a network expects of an image, as values: its input, and how the image is brought to Q."""

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self

from vggbench.paper.protocols import rescaled_size

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Input:
    """What a network expects at its input: channel order, full scale of a pixel, and statistics in that unit."""

    channels: Literal["RGB", "BGR"]
    range: int
    mean: tuple[float, float, float]
    std: tuple[float, float, float]

    def __str__(self) -> str:
        std = "" if set(self.std) == {1.0} else ", over std"
        return f"{self.channels} 0-{self.range} minus mean{std}"

    def statistics(self, device: "torch.device") -> tuple["Tensor", "Tensor"]:
        """Mean and deviation, (1, 3, 1, 1) float32, on the device: made once, since a device waits for them."""
        import torch

        mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (self.mean, self.std))
        return mean, std

    def normalise(self, images: "Tensor", statistics: "tuple[Tensor, Tensor] | None" = None) -> "Tensor":
        """Turn (N, 3, H, W) uint8 RGB into the network's (N, 3, H, W) float32, on the images' device.

        `statistics`: this input's, where they lie on that device already.
        """
        mean, std = statistics or self.statistics(images.device)
        if self.channels == "BGR":
            images = images.flip(1)
        pixels = images.to(mean.dtype, copy=True)
        if self.range == 1:
            pixels.div_(255)
        return pixels.sub_(mean).div_(std)

    def in_full(self) -> str:
        """With its numbers."""
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"{self}, mean {mean}, std {std}"

    def in_rgb(self) -> "Input":
        """The same for a network whose first convolution takes RGB."""
        if self.channels == "RGB":
            return self
        (blue, green, red), (blue_std, green_std, red_std) = self.mean, self.std
        return Input("RGB", self.range, (red, green, blue), (red_std, green_std, blue_std))

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        return asdict(self)

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Read what `as_dict` wrote; raises KeyError, TypeError or ValueError when the fields are not an Input's."""
        mean, std = (tuple(float(value) for value in fields[name]) for name in ("mean", "std"))
        if (
            fields["channels"] not in ("RGB", "BGR")
            or fields["range"] not in (1, 255)
            or len(mean) != 3
            or len(std) != 3
            or not all(value > 0 for value in std)
        ):
            raise ValueError("not an input specification")
        return cls(fields["channels"], fields["range"], mean, std)


INPUTS = {
    "torchvision": Input("RGB", 1, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": Input("BGR", 255, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
    "matconvnet": Input("RGB", 255, (123.68, 116.779, 103.939), (1.0, 1.0, 1.0)),
}
"""The inputs that VGG files were released with, by the names that --input takes."""


@dataclass(frozen=True)
class Rescale:
    """How an image is brought to a shorter side of Q or, as `explain` does, warped to a square of Q x Q."""

    filter: Literal["bilinear", "bicubic", "nearest"] = "bilinear"
    antialias: bool = True
    square: bool = False

    def __str__(self) -> str:
        smooth = "" if self.filter == "nearest" else " antialiased" if self.antialias else " without antialias"
        return f"{self.filter}{smooth}{', warped to a square' if self.square else ''}"

    def size(self, height: int, width: int, scale: int) -> tuple[int, int]:
        """(height, width) at Q = `scale` of an image of this size."""
        return (scale, scale) if self.square else rescaled_size(height, width, scale)


class Wanted(NamedTuple):
    """An image at Q, rescaled as all images of a data set are or in a way of its own; or but its central crop."""

    scale: int
    how: Rescale | None = None
    central: bool = False

    def whole(self) -> Self:
        """All of that image."""
        return self._replace(central=False)
