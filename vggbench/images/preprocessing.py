"""What a network expects of an image, as values: its input, and how the image is brought to Q."""

from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Self, get_args

from vggbench.errors import UsageError, did_you_mean
from vggbench.paper.protocols import rescaled_size

if TYPE_CHECKING:
    import torch
    from torch import Tensor


FilterName = Literal["nearest", "box", "bilinear", "hamming", "bicubic", "lanczos"]
"""Pillow has all of them, PyTorch nearest, bilinear and bicubic."""
DecoderName = Literal["torchvision", "fast DCT", "plain upsampling"]
"""libjpeg as everybody calls it, or by what other toolkits' decoders ask of it, which `simplejpeg` calls."""


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

    def as_text(self) -> str:
        """As `input_of_text` reads it."""
        mean, std = ("/".join(repr(value) for value in values) for values in (self.mean, self.std))
        return f"{self.channels},{self.range},{mean},{std}"

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
            or not all(abs(value) < float("inf") for value in (*mean, *std))
        ):
            raise ValueError("not an input specification")
        return cls(fields["channels"], fields["range"], mean, std)


INPUTS: dict[str, Input] = {
    "torchvision": Input("RGB", 1, (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
    "caffe": Input("BGR", 255, (103.939, 116.779, 123.68), (1.0, 1.0, 1.0)),
    "matconvnet": Input("RGB", 255, (123.68, 116.779, 103.939), (1.0, 1.0, 1.0)),
}
"""The inputs that VGG files were released with, by the names that --input takes."""


def input_of_text(text: str) -> Input:
    """Read a name of `INPUTS`, or `RGB,1,0.5,0.5`: order, full scale, mean and deviation, one number or three by `/`.

    Raises UsageError.

    >>> input_of_text("BGR,255,103.9/116.8/123.7,1") == Input("BGR", 255, (103.9, 116.8, 123.7), (1.0, 1.0, 1.0))
    True
    """
    if text in INPUTS:
        return INPUTS[text]
    try:
        channels, full_scale, *statistics = text.split(",")
        mean, std = (_three([float(number) for number in numbers.split("/")]) for numbers in statistics)
        return Input.from_dict({"channels": channels, "range": int(full_scale), "mean": mean, "std": std})
    except ValueError as error:
        raise UsageError(
            f"--input {text}: expected one of {', '.join(INPUTS)}, RGB, BGR, or order, full scale, mean and deviation "
            f"such as RGB,1,0.5,0.5 or BGR,255,103.939/116.779/123.68,1.{did_you_mean(text, (*INPUTS, 'RGB', 'BGR'))}"
        ) from error


def require_input(text: str | None) -> None:
    """Refuse what `--input` cannot be: neither an input nor an order of channels. Raises UsageError."""
    if text not in (None, "RGB", "BGR"):
        input_of_text(str(text))


def _three(numbers: list[float]) -> list[float]:
    """One number stands for all channels."""
    return numbers * 3 if len(numbers) == 1 else numbers


@dataclass(frozen=True)
class Rescale:
    """How an image is brought to a shorter side of Q, or warped to a square of Q x Q, and by which library.

    The two differ by a level here and there; Pillow always smooths, and is what publishers' own transforms use.
    """

    filter: FilterName = "bilinear"
    antialias: bool = True
    square: bool = False
    library: Literal["PyTorch", "Pillow"] = "PyTorch"
    decoder: DecoderName = "torchvision"
    """What decodes the JPEGs that are rescaled so."""

    def __str__(self) -> str:
        smooth = "" if self.filter == "nearest" else " antialiased" if self.antialias else " without antialias"
        by = "" if self.library == "PyTorch" else f" by {self.library}"
        decoded = "" if self.decoder == "torchvision" else f", decoded by {self.decoder}"
        return f"{self.filter}{smooth}{by}{', warped to a square' if self.square else ''}{decoded}"

    def size(self, height: int, width: int, scale: int) -> tuple[int, int]:
        """(height, width) at Q = `scale` of an image of this size."""
        return (scale, scale) if self.square else rescaled_size(height, width, scale)


@dataclass(frozen=True)
class Preset:
    """How its publisher evaluates a network: the central `crop` x `crop` of an image that was rescaled to `scale`."""

    source: str
    """Who says so, and where: `torchvision's weights.transforms()`."""
    scale: int
    crop: int
    rescale: Rescale
    top1: float | None = None
    """The error that was published for exactly this on ILSVRC's validation set, in percent."""
    top5: float | None = None
    remark: str | None = None
    """What else has to be said of it."""

    def __str__(self) -> str:
        return f"{self.source}: {self.rescale}, Q={self.scale}, centre {self.crop}"

    def as_dict(self) -> dict[str, Any]:
        """For JSON; no publisher asks for another decoder."""
        fields = asdict(self)
        del fields["rescale"]["decoder"]
        return fields

    @classmethod
    def from_dict(cls, fields: dict[str, Any]) -> Self:
        """Read what `as_dict` wrote; raises KeyError, TypeError or ValueError when the fields are not a Preset's."""
        how, found = Rescale(**fields["rescale"]), cls(**fields)
        texts = isinstance(found.source, str) and isinstance(found.remark, str | None)
        sizes = all(type(size) is int for size in (found.scale, found.crop)) and 0 < found.crop <= found.scale
        errors = all(
            error is None or (type(error) is float and 0 <= error <= 100) for error in (found.top1, found.top5)
        )
        known = how.filter in get_args(FilterName) and how.library in ("PyTorch", "Pillow")
        if not (texts and sizes and errors and known and type(how.square) is type(how.antialias) is bool):
            raise ValueError("not a preset")
        return replace(found, rescale=how)


class Wanted(NamedTuple):
    """An image at Q, rescaled as all images of a data set are or in a way of its own; or only its central crop."""

    scale: int
    how: Rescale | None = None
    crop: int | None = None
    """Side of the central crop; None: all of the image."""

    def whole(self) -> Self:
        """The same without a crop."""
        return self._replace(crop=None)
