"""Pixels: decode, rescale, crop, mirror."""

import contextlib
import functools
import importlib.util
import platform
import re
from collections.abc import Callable
from importlib.machinery import PathFinder
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

from vggbench.errors import DataError, VggbenchError, first_line
from vggbench.images.headers import JPEGS, eight_bits, jpegs_inside, opened, reasons
from vggbench.images.libjpeg import complaints
from vggbench.images.preprocessing import DecoderName, Rescale
from vggbench.paper.protocols import View

_LIBRARIES = ("image_stable", "image")
"""torchvision's, that hold its decoders: from 0.29 on, and before."""
_UNCHANGED, _RGB = 0, 3
"""torchvision's `ImageReadMode`."""
_PLACE = re.compile(r"^\w+, \S+:[0-9]+, ")
"""In torchvision's source, longer than the reason behind it."""
INSTALL = "pip install 'vggbench[decoders]'"
"""What brings the decoder of `decode_by`."""
_DECODED = "torchvision JPEG, else Pillow"
_NAMED = 2
"""Complaints of one image that are passed on."""


def decode(data: bytes) -> Tensor:
    """The (3, H, W) uint8 RGB pixels of an encoded image; EXIF orientation is ignored, as ImageNet pipelines do.

    JPEGs in RGB or grey are decoded by torchvision, all else by Pillow, as Pillow converts it;
    of 16 bits the upper 8 are taken. Where a JPEG is damaged in the middle, libjpeg decodes on:
    `libjpeg.complaints` hears of it. Raises NotAnImage with the reason.
    """
    header = opened(data)
    jpeg_decoder()  # whose absence is not the image's fault
    with reasons("cannot be decoded"):
        if header.format in JPEGS:
            plain = header.mode in ("RGB", "L")
            pixels = _decode_jpeg(data, _RGB if plain else _UNCHANGED)
            if plain:
                return pixels
        with contextlib.suppress(Exception):  # what can be decoded is libtiff's to say
            for jpeg in jpegs_inside(header, data):
                _decode_jpeg(jpeg, _UNCHANGED)  # since libtiff keeps libjpeg's complaints to itself
        return torch.from_numpy(np.array(eight_bits(header).convert("RGB"))).permute(2, 0, 1)


def decode_by(decoder: DecoderName, data: bytes) -> Tensor:
    """The same of a JPEG in RGB or grey by libjpeg's fast DCT or without its smooth chroma upsampling, by simplejpeg.

    All else is as `decode` has it. Raises NotAnImage, and VggbenchError where simplejpeg is not installed.
    """
    header = opened(data)
    if decoder == "torchvision" or header.format not in JPEGS or header.mode not in ("RGB", "L"):
        return decode(data)
    if not has_other_decoders():
        raise VggbenchError(f"JPEGs by {decoder}: the package simplejpeg is not installed. Expected it: {INSTALL}.")
    from simplejpeg import decode_jpeg

    fast, plain = decoder == "fast DCT", decoder == "plain upsampling"
    with reasons("cannot be decoded"):
        pixels = decode_jpeg(data, colorspace="RGB", fastdct=fast, fastupsample=plain, strict=False)
        return torch.from_numpy(np.asarray(pixels)).permute(2, 0, 1)


def has_other_decoders() -> bool:
    """Whether `decode_by` can have a JPEG decoded otherwise than `decode`."""
    return importlib.util.find_spec("simplejpeg") is not None


def decode_listening(data: bytes) -> tuple[Tensor, str | None]:
    """What `decode` gives, and what libjpeg or libtiff complained of meanwhile, if anything. Raises NotAnImage."""
    with complaints() as heard:
        pixels = decode(data)
    different = list(dict.fromkeys(heard))
    more = f" and {len(different) - _NAMED} more" if len(different) > _NAMED else ""
    return pixels, "; ".join(different[:_NAMED]) + more or None


def rescale(image: Tensor, scale: int, how: Rescale) -> Tensor:
    """Rescale (3, H, W) uint8 isotropically to a shorter side of `scale`, or as `how` says.

    By PyTorch as torchvision rescales tensors, by Pillow as torchvision and timm rescale what Pillow opened.
    """
    return rescale_to(image, how.size(image.shape[1], image.shape[2], scale), how)


def rescale_to(image: Tensor, size: tuple[int, int], how: Rescale) -> Tensor:
    """Bring (3, H, W) uint8 to a size, by the filter and the library of `how`."""
    height, width = size
    if (height, width) == image.shape[1:]:
        return image
    if how.library == "Pillow":
        return _by_pillow(image, (height, width), how)
    # Decoders give images pixel by pixel: where a batch of one says so by its strides, PyTorch needs no copy of them.
    pixelwise = image.permute(1, 2, 0)
    batch = pixelwise[None].permute(0, 3, 1, 2) if pixelwise.is_contiguous() else image[None]
    native, nearest = _resizes_uint8_natively(how.filter), how.filter == "nearest"
    rescaled = interpolate(
        batch if native else batch.to(torch.float32),
        size=(height, width),
        mode="nearest-exact" if nearest else how.filter,  # plain "nearest" takes other pixels than Pillow
        align_corners=None if nearest else False,
        antialias=how.antialias and not nearest,
    )
    return (rescaled if native else rescaled.round_().to(torch.uint8))[0]


def _by_pillow(image: Tensor, size: tuple[int, int], how: Rescale) -> Tensor:
    opened = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
    rescaled = opened.resize((size[1], size[0]), Image.Resampling[how.filter.upper()])
    return torch.from_numpy(np.array(rescaled)).permute(2, 0, 1)


def signature_of(how: Rescale) -> dict[str, Any]:
    """Everything about decoding and rescaling that can change a pixel."""
    return {
        "filter": how.filter,
        "antialias": how.antialias,
        **({"square": True} if how.square else {}),
        "rounding": "longer side truncated",
        "decoder": _DECODED + (f"; JPEG by {how.decoder}" if how.decoder != "torchvision" else ""),
        "uint8": "Pillow" if how.library == "Pillow" else "native" if _resizes_uint8_natively(how.filter) else "float",
    }


def take(image: Tensor, view: View) -> Tensor:
    """The pixels (3, h, w) of `view`."""
    window = image[:, view.top : view.top + view.height, view.left : view.left + view.width]
    if window.shape[1:] != (view.height, view.width):
        raise DataError(f"View {view} does not fit an image of {image.shape[1]} x {image.shape[2]}.")
    return window.flip(2) if view.mirror else window


def _decode_jpeg(data: bytes, mode: int) -> Tensor:
    try:
        return jpeg_decoder()(torch.frombuffer(bytearray(data), dtype=torch.uint8), mode)
    except RuntimeError as error:
        raise RuntimeError(_PLACE.sub("", str(error))) from error


@functools.cache
def jpeg_decoder() -> Callable[[Tensor, int], Tensor]:
    """torchvision's, of encoded bytes and a mode, as PyTorch knows it once the library that holds it is loaded.

    Importing torchvision imports its models and `torch._dynamo` too, for seconds. The library's file has no documented
    name: where it is not found, torchvision is imported after all. Raises VggbenchError where that fails.
    """
    package = importlib.util.find_spec("torchvision")
    for name in _LIBRARIES:
        library = PathFinder.find_spec(name, (package and package.submodule_search_locations) or [])
        if library and library.origin:
            with contextlib.suppress(OSError):
                torch.ops.load_library(library.origin)  # type: ignore[no-untyped-call]
    with contextlib.suppress(AttributeError):
        decoder: Callable[[Tensor, int], Tensor] = torch.ops.image.decode_jpeg
        return decoder
    try:
        from torchvision.io import ImageReadMode, decode_jpeg
    except Exception as error:  # one that does not fit PyTorch raises nearly anything
        raise VggbenchError(
            f"torchvision, which decodes JPEGs, cannot be imported ({first_line(error)}): expected one that fits "
            f"torch {torch.__version__}. Install both again."
        ) from error
    return lambda data, mode: decode_jpeg(data, ImageReadMode(mode))


def _resizes_uint8_natively(filter: str) -> bool:
    """Whether PyTorch's uint8 kernel, with integer weights, is taken here: bilinear only where it is a fast one.

    This is torchvision's rule, which its `resize` follows.
    """
    fast = torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512")
    return filter != "bilinear" or fast or platform.machine() in ("aarch64", "arm64")
