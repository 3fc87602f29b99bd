"""Broken images by the thousand: `python tests/fuzz_images.py 20000` damages small sound ones, the same each time.

Every file goes through what `data --verify`, `eval --skip-bad-images` and one step of `train` do with it, in this
process: it must be read or refused by all three alike, within seconds and four gigabytes. Where nothing but EXIF, a
profile or a text is broken, the pixels must be those of the sound file.
"""

import io
import random
import resource
import shutil
import struct
import sys
import time
import zlib
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import numpy as np
import torch
from fuzz import BYTES, changed
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from vggbench.data import DataSet, ImageFile
from vggbench.evaluation.jobs import Job, Settings
from vggbench.evaluation.loop import evaluate
from vggbench.images.inspection import inspect_all
from vggbench.images.pixels import decode
from vggbench.nets.vgg import VGG
from vggbench.paper.configs import CONFIGS
from vggbench.paper.protocols import Protocol, TrainScale
from vggbench.train.checkpoint import State
from vggbench.train.crops import Crops, batches
from vggbench.train.recipe import Recipe
from vggbench.train.step import Running, Stepper
from vggbench.weights.load import LoadOptions, Model, load_model
from vggbench.weights.spec import ModelSpec

SECONDS, SECONDS_OF_BLOCK = 2.0, 10.0
"""For one file, and for what a command does with a block of them, a network's passes among it."""
BLOCK = 32
_WIDTH, _SCALE = 1 / 64, 224


class Sound(NamedTuple):
    """A small picture as it should be: what it is called, its parts, and how parts with other content are joined."""

    name: str
    parts: tuple[bytes, ...]
    beside: tuple[int, ...]
    """The parts that decide no pixel."""
    broken: Callable[[bytes, random.Random], bytes]
    """Such a part with its content changed, of right length and checksum."""
    join: Callable[[tuple[bytes, ...]], bytes] = b"".join


class Damaged(NamedTuple):
    """A file, from which picture it comes, and whether its pixels must be the picture's."""

    sound: Sound
    content: bytes
    same: bool


def pictures() -> list[Sound]:
    """All of 40 x 36 pixels, with EXIF, an ICC profile, XMP or a text where the format has them."""
    coarse = np.random.default_rng(0).integers(0, 255, (5, 6, 3), dtype=np.uint8)
    colour = Image.fromarray(coarse).resize((40, 36), Image.Resampling.BICUBIC)
    exif, text = Image.Exif(), PngInfo()
    exif[0x0112], exif[0x010F] = 6, "maker"
    text.add_text("a", "text", zip=True)
    text.add_itxt("XML:com.adobe.xmp", "<x:xmpmeta tiff:Orientation='6'/>")
    beside: dict[str, object] = {"exif": exif.tobytes(), "icc_profile": bytes(range(200))}
    deep = Image.fromarray(np.arange(40 * 36, dtype=np.uint16).reshape(36, 40) * 40)
    with_alpha = colour.convert("RGBA")
    with_alpha.putalpha(77)
    several = {"save_all": True, "append_images": [colour.rotate(90).resize((40, 36))]}
    kinds: list[tuple[str, Image.Image, str, dict[str, object]]] = [
        ("rgb.png", colour, "PNG", beside | {"pnginfo": text, "dpi": (72, 72)}),
        ("palette.png", colour.convert("P"), "PNG", beside | {"transparency": 3}),
        ("deep.png", deep, "PNG", beside),
        ("rgba.png", with_alpha, "PNG", beside),
        ("animated.png", colour, "PNG", several),
        ("rgb.jpg", colour, "JPEG", beside | {"xmp": b"<x:xmpmeta/>", "comment": "c"}),
        ("progressive.jpg", colour, "JPEG", beside | {"progressive": True, "restart_marker_blocks": 2}),
        ("grey.jpg", colour.convert("L"), "JPEG", beside),
        ("cmyk.jpg", colour.convert("CMYK"), "JPEG", beside),
        ("two.jpg", colour, "MPO", several | {"exif": exif.tobytes()}),
        ("lossy.webp", colour, "WEBP", beside | {"xmp": b"<x:xmpmeta/>"}),
        ("lossless.webp", with_alpha, "WEBP", beside | {"lossless": True}),
        ("animated.webp", colour, "WEBP", several | beside),
        ("plain.tif", colour, "TIFF", beside),
        ("lzw.tif", colour, "TIFF", beside | {"compression": "tiff_lzw"}),
        ("deflate.tif", deep, "TIFF", beside | {"compression": "tiff_adobe_deflate"}),
        ("jpeg.tif", colour, "TIFF", beside | {"compression": "jpeg"}),
        ("fax.tif", colour.convert("1"), "TIFF", beside | {"compression": "group4"}),
        ("one.gif", colour, "GIF", {"comment": b"c"}),
        ("animated.gif", colour, "GIF", several | {"transparency": 2}),
    ]
    return [_sound(name, *kind) for name, *kind in kinds]  # type: ignore[arg-type]


def damaged(sounds: list[Sound], draw: random.Random) -> Damaged:
    """One of them with what is beside its pixels broken, its parts in disorder, or its bytes changed."""
    sound, kind = draw.choice(sounds), draw.randrange(3)
    parts = list(sound.parts)
    if kind == 0 and sound.beside:
        for at in draw.sample(sound.beside, draw.randint(1, len(sound.beside))):
            parts[at] = sound.broken(parts[at], draw)
        return Damaged(sound, sound.join(tuple(parts)), same=True)
    if kind == 1:
        for _ in range(draw.randint(1, 3)):
            one, other = draw.randrange(len(parts)), draw.randrange(len(parts))
            how = draw.randrange(4)
            if how == 0:
                parts[one], parts[other] = parts[other], parts[one]
            elif how == 1:
                parts.insert(one, parts[other])
            elif how == 2 and len(parts) > 1:
                del parts[one]
            else:
                parts[one] = changed(parts[one], draw)
        return Damaged(sound, b"".join(parts), same=False)
    return Damaged(sound, changed(sound.join(sound.parts), draw), same=False)


def _sound(name: str, picture: Image.Image, kind: str, options: dict[str, object]) -> Sound:
    file = io.BytesIO()
    picture.save(file, kind, **options)
    data = file.getvalue()
    if kind == "PNG":
        parts = (data[:8], *_chunks(data, 8, ">", 12))
        beside = {b"eXIf", b"iCCP", b"tEXt", b"zTXt", b"iTXt", b"pHYs"}
        return Sound(name, parts, _those(parts, 4, beside), _broken_chunk)
    if kind == "WEBP":
        parts = (data[:12], *_chunks(data, 12, "<", 8))
        return Sound(name, parts, _those(parts, 0, {b"EXIF", b"ICCP", b"XMP "}), _broken_riff, _riff)
    if kind in ("JPEG", "MPO"):
        parts = tuple(_segments(data))
        return Sound(name, parts, _those(parts, 0, {b"\xff\xe1", b"\xff\xe2", b"\xff\xfe"}), _broken_segment)
    size = 12 if kind == "TIFF" else 16  # the entries of a TIFF's directory; about the blocks of a GIF
    start = struct.unpack_from("<I", data, 4)[0] + 2 if kind == "TIFF" else 13
    parts = (data[:start], *(data[at : at + size] for at in range(start, len(data), size)))
    return Sound(name, parts, (), changed)


def _those(parts: tuple[bytes, ...], at: int, names: set[bytes]) -> tuple[int, ...]:
    return tuple(place for place, part in enumerate(parts) for name in names if part.startswith(name, at))


def _chunks(data: bytes, at: int, order: str, beside_content: int) -> Iterator[bytes]:
    """The chunks of a PNG, or of a RIFF file, whose chunks are padded to an even length and have no checksum."""
    while at < len(data):
        length = struct.unpack_from(f"{order}I", data, at if order == ">" else at + 4)[0]
        end = at + beside_content + length + (length % 2 if order == "<" else 0)
        yield data[at:end]
        at = end


def _segments(data: bytes) -> Iterator[bytes]:
    """The parts of a JPEG: SOI, each marker with its content, and all from SOS on."""
    yield data[:2]
    at = 2
    while data[at + 1] != 0xDA:
        end = at + 2 + struct.unpack_from(">H", data, at + 2)[0]
        yield data[at:end]
        at = end
    yield data[at:]


def _broken_chunk(chunk: bytes, draw: random.Random) -> bytes:
    named = chunk[4:8] + changed(chunk[8:-4], draw)
    return struct.pack(">I", len(named) - 4) + named + struct.pack(">I", zlib.crc32(named))


def _broken_riff(chunk: bytes, draw: random.Random) -> bytes:
    content = changed(chunk[8:], draw)
    return chunk[:4] + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)


def _riff(parts: tuple[bytes, ...]) -> bytes:
    body = b"".join(parts[1:])
    return b"RIFF" + struct.pack("<I", len(body) + 4) + b"WEBP" + body


def _broken_segment(segment: bytes, draw: random.Random) -> bytes:
    content = changed(segment[4:], draw)[:65_000]
    return segment[:2] + struct.pack(">H", len(content) + 2) + content


class Commands:
    """What the three commands do with a set of images, in this process."""

    def __init__(self) -> None:
        options = LoadOptions(width=_WIDTH)
        self._settings = Settings(device="cpu", workers=0, backend="pytorch", skip_unreadable=True)
        self._model: Model = load_model(ModelSpec.parse("A@random"), options, ("a", "b"))
        self._recipe = Recipe(train_scale=TrainScale(256, 256), batch_size=BLOCK)
        state = State.begin(VGG(CONFIGS["A"], 2, _WIDTH), self._recipe)
        self._stepper = Stepper(state, self._model.input, self._recipe, Running(self._settings))

    def verified(self, data: DataSet) -> tuple[set[str], float]:
        """The images that `data --verify` cannot decode, and the seconds of the slowest."""
        times = [time.perf_counter()]
        found = inspect_all(data, decodes=True, workers=0, tell=lambda done: times.append(time.perf_counter()))
        refused = {data.images[one.position].id: one.problem for one in found.looked if one.problem and not one.doubt}
        assert not any("memory" in str(reason) for reason in refused.values()), refused
        return set(refused), float(np.diff(times).max())

    def evaluated(self, data: DataSet, store: Path) -> set[str]:
        """The images that `eval --skip-bad-images` leaves out."""
        job = Job(self._model, Protocol("center", mirror=False), _SCALE)
        (run,) = evaluate(data, [job], store, self._settings)
        return set(run.unreadable)

    def trained(self, data: DataSet) -> set[str]:
        """The images that `train` would stop at; one step is taken with the others."""
        crops = self._crops(data)
        bad = {image.id for place, image in enumerate(data.images) if crops.one(place).problem}
        sound = DataSet(data.name, tuple(image for image in data.images if image.id not in bad), len(data))
        for batch in batches(self._crops(sound), 0) if len(sound) else ():
            self._stepper.step(batch, 1e-6)
        return bad

    def _crops(self, data: DataSet) -> Crops:
        labels = np.arange(len(data), dtype=np.int32) % 2
        return Crops(data, labels, np.zeros((3, 3)), self._recipe)


def try_block(commands: Commands, files: list[Damaged], folder: Path) -> tuple[Counter[str], float, float]:
    """Try a block of files: how many are read and refused, the seconds of the slowest, and of the slowest command.

    Raises AssertionError where that is not all that happens.
    """
    images = []
    for number, file in enumerate(files):
        path = folder / f"{number:02d}-{file.sound.name}"
        path.write_bytes(file.content)
        images.append(ImageFile(path.name, path, len(file.content), "ab"[number % 2]))
    data = DataSet("fuzz", tuple(images), len(images))
    started = time.perf_counter()
    refused, slowest = commands.verified(data)
    verified = time.perf_counter()
    assert len(refused) == len(data) or commands.evaluated(data, folder / "runs") == refused
    evaluated = time.perf_counter()
    assert commands.trained(data) == refused
    command = max(np.diff([started, verified, evaluated, time.perf_counter()]))
    assert slowest < SECONDS, slowest
    assert command < SECONDS_OF_BLOCK, command
    told = Counter[str]()
    for image, file in zip(images, files, strict=True):
        told[f"{file.sound.name} {'refused' if image.id in refused else 'read'}"] += 1
        if file.same:
            assert torch.equal(decode(file.content), decode(file.sound.join(file.sound.parts))), image.id
    return told, slowest, float(command)


def campaign(count: int, seed: int = 0) -> str:
    """Try `count` files and say what became of them; the first block that is neither read nor refused is kept."""
    draw, sounds, commands = random.Random(seed), pictures(), Commands()
    told, slowest, slowest_command = Counter[str](), 0.0, 0.0
    for first in range(0, count, BLOCK):
        files = [damaged(sounds, draw) for _ in range(min(BLOCK, count - first))]
        with TemporaryDirectory() as folder:
            try:
                of_block, took, command = try_block(commands, files, Path(folder))
            except BaseException:
                kept = shutil.copytree(folder, f"/tmp/fuzz-images-{seed}-{first}", dirs_exist_ok=True)
                print(f"The block of file {first} is kept as {kept}.", file=sys.stderr)
                raise
        told, slowest, slowest_command = told + of_block, max(slowest, took), max(slowest_command, command)
    read = sum(number for name, number in told.items() if name.endswith(" read"))
    by_picture = "".join(f"{name}: {number:,}\n" for name, number in sorted(told.items()))
    return (
        f"{by_picture}{count:,} files, {read:,} read, {count - read:,} refused, the slowest {slowest:.2f} s, "
        f"the slowest command with {BLOCK} of them {slowest_command:.2f} s"
    )


def main(count: int, seed: int = 0) -> None:
    """Within bounded memory."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
    torch.set_num_threads(1)
    print(campaign(count, seed))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
