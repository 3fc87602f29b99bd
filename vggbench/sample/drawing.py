"""The pictures of the sample: twelve classes of drawn things, each with a typical shape, colours and texture.

Every shape is a list of polygons in its own coordinates, about -1 to 1, x to the right and y down.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import cos, pi, sin

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFilter

Points = list[tuple[float, float]]
Colour = tuple[int, int, int]
Polygon = tuple[Points, str]
"""Corners, and the role of the colour: main, second, dark, light, green or wood."""

_OVERSAMPLE = 2
_SIZES = ((500, 375), (500, 375), (500, 375), (375, 500), (500, 333), (333, 500), (500, 400), (400, 500), (480, 360))


@dataclass(frozen=True)
class Kind:
    """A class: its shape, the hues (degrees) of its two colours, its texture, and how freely it turns (degrees)."""

    name: str
    shape: Callable[[np.random.Generator], list[Polygon]]
    hues: tuple[float, float]
    texture: str
    turn: float


def draw(kind: Kind, seed: Sequence[int]) -> tuple[Image.Image, int]:
    """One picture of `kind`, and the JPEG quality to store it at; the same seed draws the same picture."""
    rng = np.random.default_rng(seed)
    width, height = _SIZES[rng.integers(len(_SIZES))]
    size = (width * _OVERSAMPLE, height * _OVERSAMPLE)
    colours = _colours(kind, rng)
    canvas = _background(size, rng)
    _clutter(canvas, rng)
    radius = min(size) * rng.uniform(0.27, 0.43)
    middle = (size[0] * rng.uniform(0.42, 0.58), size[1] * rng.uniform(0.43, 0.57))
    angle = np.deg2rad(rng.uniform(-kind.turn, kind.turn))
    mirror = -1 if rng.random() < 0.5 else 1
    polygons = [(_placed(points, radius, middle, angle, mirror), role) for points, role in kind.shape(rng)]
    _shadow(canvas, polygons, radius)
    painter = ImageDraw.Draw(canvas)
    for points, role in polygons:
        painter.polygon(points, fill=colours[role])
    _texture(canvas, polygons, kind.texture, colours, radius, rng)
    picture = canvas.resize((width, height), Image.Resampling.LANCZOS)
    return _photographed(picture, rng), int(rng.integers(78, 94))


def ellipse(x: float, y: float, across: float, down: float, turn: float = 0.0, corners: int = 36) -> Points:
    """Around (x, y), by its half axes, turned by `turn` radians."""
    angles = [2 * pi * i / corners for i in range(corners)]
    return [
        (
            x + across * cos(a) * cos(turn) - down * sin(a) * sin(turn),
            y + across * cos(a) * sin(turn) + down * sin(a) * cos(turn),
        )
        for a in angles
    ]


def box(left: float, top: float, right: float, bottom: float) -> Points:
    """An upright rectangle."""
    return [(left, top), (right, top), (right, bottom), (left, bottom)]


def _apple(rng: np.random.Generator) -> list[Polygon]:
    return [
        (ellipse(-0.32, 0.15, 0.58, 0.75), "main"),
        (ellipse(0.32, 0.15, 0.58, 0.75), "main"),
        (ellipse(-0.42, -0.15, 0.14, 0.24, 0.4), "light"),
        ([(-0.05, -0.5), (0.05, -0.5), (0.16, -0.95), (0.04, -0.98)], "wood"),
        (ellipse(0.42, -0.8, 0.34, 0.15, -0.4), "green"),
    ]


def _balloon(rng: np.random.Generator) -> list[Polygon]:
    return [
        ([(-0.36, 0.3), (-0.16, 0.72), (0.16, 0.72), (0.36, 0.3)], "dark"),
        (ellipse(0, -0.25, 0.72, 0.75), "main"),
        (ellipse(0, -0.25, 0.4, 0.75), "second"),
        (ellipse(0, -0.25, 0.14, 0.75), "main"),
        (box(-0.18, 0.72, 0.18, 1.0), "wood"),
    ]


def _boat(rng: np.random.Generator) -> list[Polygon]:
    return [
        ([(-1, 0.4), (1, 0.4), (0.65, 0.85), (-0.7, 0.85)], "main"),
        (box(-0.05, -0.95, 0.03, 0.4), "wood"),
        ([(0.08, -0.9), (0.85, 0.28), (0.08, 0.28)], "light"),
        ([(-0.1, -0.7), (-0.75, 0.28), (-0.1, 0.28)], "second"),
    ]


def _butterfly(rng: np.random.Generator) -> list[Polygon]:
    droop = rng.uniform(0.4, 0.8)
    wings: list[Polygon] = []
    for side in (-1, 1):
        wings += [
            (ellipse(side * 0.5, 0.4, 0.42, 0.38, side * droop), "second"),
            (ellipse(side * 0.54, -0.3, 0.55, 0.42, -side * droop), "main"),
            (ellipse(side * 0.62, -0.36, 0.24, 0.17, -side * droop), "light"),
            ([(0, -0.5), (side * 0.3, -0.98), (side * 0.36, -0.94), (side * 0.04, -0.4)], "dark"),
        ]
    return [*wings, (ellipse(0, 0.05, 0.09, 0.62), "dark")]


def _cactus(rng: np.random.Generator) -> list[Polygon]:
    left, right = rng.uniform(-0.3, 0.1, 2)
    return [
        (ellipse(0, -0.12, 0.3, 0.85), "main"),
        (ellipse(-0.55, left - 0.12, 0.15, 0.4), "main"),
        (box(-0.6, left + 0.02, -0.2, left + 0.26), "main"),
        (ellipse(0.55, right - 0.12, 0.15, 0.4), "main"),
        (box(0.2, right + 0.02, 0.6, right + 0.26), "main"),
        (ellipse(0, -0.95, 0.14, 0.1), "light"),
        ([(-0.45, 0.55), (0.45, 0.55), (0.34, 1.0), (-0.34, 1.0)], "second"),
    ]


def _fish(rng: np.random.Generator) -> list[Polygon]:
    return [
        ([(0.45, 0), (1.0, -0.5), (0.86, 0), (1.0, 0.5)], "second"),
        ([(-0.2, -0.35), (0.25, -0.8), (0.35, -0.25)], "second"),
        (ellipse(-0.15, 0, 0.8, 0.46), "main"),
        ([(0.0, 0.1), (0.38, 0.45), (0.05, 0.34)], "second"),
        (ellipse(-0.6, -0.1, 0.13, 0.13), "light"),
        (ellipse(-0.62, -0.1, 0.065, 0.065), "dark"),
    ]


def _flower(rng: np.random.Generator) -> list[Polygon]:
    petals = int(rng.integers(6, 11))
    turns = [2 * pi * i / petals for i in range(petals)]
    size = 1.9 / petals + 0.06
    return [
        (box(-0.05, 0.3, 0.05, 1.1), "green"),
        *((ellipse(0.58 * cos(t), 0.58 * sin(t), 0.38, size, t), "main") for t in turns),
        (ellipse(0, 0, 0.3, 0.3), "second"),
    ]


def _house(rng: np.random.Generator) -> list[Polygon]:
    door = rng.uniform(-0.35, 0.15)
    return [
        (box(0.32, -0.95, 0.55, -0.3), "dark"),
        (box(-0.75, -0.15, 0.75, 0.9), "main"),
        ([(-0.98, -0.1), (0, -0.95), (0.98, -0.1)], "second"),
        (box(door, 0.3, door + 0.3, 0.9), "wood"),
        (box(-0.62, 0.08, -0.4, 0.36), "light"),
        (box(0.38, 0.08, 0.62, 0.36), "light"),
    ]


def _leaf(rng: np.random.Generator) -> list[Polygon]:
    wide = rng.uniform(0.4, 0.62)
    edge = [(wide * sin(pi * i / 20), -0.95 + 1.7 * i / 20) for i in range(21)]
    outline = edge + [(-x, y) for x, y in reversed(edge)]
    veins: list[Polygon] = []
    for y in (-0.4, -0.05, 0.3):
        for side in (-1, 1):
            tip = side * wide * 0.72
            veins.append(([(0, y + 0.16), (tip, y - 0.12), (tip, y - 0.07), (0, y + 0.22)], "light"))
    return [(outline, "main"), *veins, (box(-0.035, -0.85, 0.035, 1.05), "wood")]


def _mushroom(rng: np.random.Generator) -> list[Polygon]:
    cap = [(0.95 * cos(pi + pi * i / 30), 0.05 + 0.85 * sin(pi + pi * i / 30)) for i in range(31)]
    return [([(-0.25, 0), (0.25, 0), (0.36, 0.95), (-0.36, 0.95)], "light"), ([*cap, (0.6, 0.2), (-0.6, 0.2)], "main")]


def _star(rng: np.random.Generator) -> list[Polygon]:
    inner = rng.uniform(0.4, 0.5)

    def outline(scale: float) -> Points:
        radii = [scale * (1.0 if i % 2 == 0 else inner) for i in range(10)]
        return [(r * sin(pi * i / 5), -r * cos(pi * i / 5)) for i, r in enumerate(radii)]

    return [(outline(1.0), "main"), (outline(0.6), "second")]


def _tree(rng: np.random.Generator) -> list[Polygon]:
    tiers = [(-1.0, 0.45), (-0.6, 0.66), (-0.15, 0.85)]
    return [
        (box(-0.13, 0.4, 0.13, 1.0), "wood"),
        *(([(0, top), (half, top + 0.75), (-half, top + 0.75)], "main") for top, half in reversed(tiers)),
    ]


# fmt: off
KINDS = (
    #    class        shape       hues        texture    turn
    Kind("apple",     _apple,     (355, 90),  "grain",   25),
    Kind("balloon",   _balloon,   (15, 50),   "plain",   12),
    Kind("boat",      _boat,      (205, 25),  "stripes", 12),
    Kind("butterfly", _butterfly, (275, 320), "dots",    35),
    Kind("cactus",    _cactus,    (140, 20),  "lines",   10),
    Kind("fish",      _fish,      (28, 200),  "stripes", 25),
    Kind("flower",    _flower,    (330, 50),  "plain",   25),
    Kind("house",     _house,     (35, 5),    "bricks",  6),
    Kind("leaf",      _leaf,      (95, 60),   "grain",   60),
    Kind("mushroom",  _mushroom,  (5, 30),    "dots",    14),
    Kind("star",      _star,      (50, 40),   "plain",   36),
    Kind("tree",      _tree,      (150, 110), "lines",   6),
)
# fmt: on


def _hsv(hue: float, saturation: float, value: float) -> Colour:
    """Degrees and shares to 0-255 RGB."""
    pixel = Image.new("HSV", (1, 1), (int(hue % 360 / 360 * 255), int(saturation * 255), int(value * 255)))
    red, green, blue = pixel.convert("RGB").getpixel((0, 0))  # type: ignore[misc]
    return int(red), int(green), int(blue)


def _colours(kind: Kind, rng: np.random.Generator) -> dict[str, Colour]:
    main, second = (hue + rng.normal(0, 14) for hue in kind.hues)
    if rng.random() < 0.2:  # as photographs have it: sometimes the colour tells nothing
        main, second = rng.uniform(0, 360, 2)
    return {
        "main": _hsv(main, rng.uniform(0.55, 0.9), rng.uniform(0.6, 0.95)),
        "second": _hsv(second, rng.uniform(0.5, 0.9), rng.uniform(0.6, 0.95)),
        "dark": _hsv(main, 0.5, rng.uniform(0.15, 0.3)),
        "light": _hsv(second, rng.uniform(0.05, 0.2), rng.uniform(0.88, 1.0)),
        "green": _hsv(rng.uniform(90, 140), 0.6, rng.uniform(0.4, 0.7)),
        "wood": _hsv(rng.uniform(18, 35), 0.55, rng.uniform(0.3, 0.5)),
    }


def _background(size: tuple[int, int], rng: np.random.Generator) -> Image.Image:
    """Two soft colours from top to bottom, clouded."""
    hue = rng.uniform(0, 360)
    top = _hsv(hue, rng.uniform(0.1, 0.5), rng.uniform(0.55, 0.98))
    bottom = _hsv(hue + rng.normal(0, 60), rng.uniform(0.1, 0.5), rng.uniform(0.35, 0.9))
    fade = np.linspace(0, 1, 64)[:, None, None] ** rng.uniform(0.6, 1.6)
    sky = np.array(top) * (1 - fade) + np.array(bottom) * fade
    clouds = sum(_noise(rng, cells, 64)[:, :, None] * strength for cells, strength in ((4, 26), (9, 15), (21, 8)))
    pixels = np.clip(np.broadcast_to(sky, (64, 64, 3)) + clouds, 0, 255).astype(np.uint8)
    return Image.fromarray(pixels).resize(size, Image.Resampling.BICUBIC)


def _noise(rng: np.random.Generator, cells: int, side: int) -> NDArray[np.float64]:
    """Smooth noise of `cells` x `cells` bumps, about -1 to 1."""
    bumps = Image.fromarray(rng.uniform(-1, 1, (cells, cells)).astype(np.float32))
    return np.asarray(bumps.resize((side, side), Image.Resampling.BICUBIC), dtype=np.float64)


def _clutter(canvas: Image.Image, rng: np.random.Generator) -> None:
    """Things that are not the subject."""
    painter = ImageDraw.Draw(canvas)
    for _ in range(rng.integers(2, 9)):
        corners = int(rng.choice([3, 4, 5, 24]))
        colour = _hsv(rng.uniform(0, 360), rng.uniform(0.2, 0.7), rng.uniform(0.4, 0.95))
        middle = (rng.uniform(0, canvas.width), rng.uniform(0, canvas.height))
        radius = min(canvas.size) * rng.uniform(0.02, 0.11)
        outline = ellipse(0, 0, 1, rng.uniform(0.5, 1), 0, corners)
        painter.polygon(_placed(outline, radius, middle, rng.uniform(0, pi), 1), fill=colour)


def _placed(points: Points, radius: float, middle: tuple[float, float], angle: float, mirror: int) -> Points:
    c, s = cos(angle), sin(angle)
    return [
        (middle[0] + radius * (mirror * x * c - y * s), middle[1] + radius * (mirror * x * s + y * c))
        for x, y in points
    ]


def _mask(canvas: Image.Image, polygons: list[Polygon], roles: tuple[str, ...] | None = None) -> Image.Image:
    mask = Image.new("L", canvas.size)
    painter = ImageDraw.Draw(mask)
    for points, role in polygons:
        painter.polygon(points, fill=255 if roles is None or role in roles else 0)
    return mask


def _shadow(canvas: Image.Image, polygons: list[Polygon], radius: float) -> None:
    small = (canvas.width // 4, canvas.height // 4)
    soft = _mask(canvas, polygons).resize(small).filter(ImageFilter.GaussianBlur(radius / 40)).resize(canvas.size)
    shade = soft.point(lambda level: int(level * 0.45))
    offset = int(radius / 14)
    canvas.paste((20, 20, 30), (offset, offset), shade)


def _texture(
    canvas: Image.Image,
    polygons: list[Polygon],
    texture: str,
    colours: dict[str, Colour],
    radius: float,
    rng: np.random.Generator,
) -> None:
    """Lay the class's texture over the parts in its main colour, and light over the whole."""
    step = int(radius * rng.uniform(0.16, 0.24))
    pattern = Image.new("L", canvas.size)
    painter = ImageDraw.Draw(pattern)
    width, height = canvas.size
    thick = max(2, step // 5)
    if texture in ("stripes", "bricks"):
        band = step // 2 if texture == "stripes" else thick
        for y in range(0, height, step):
            painter.rectangle((0, y, width, y + band), fill=255)
    if texture in ("lines", "bricks"):
        for row, y in enumerate(range(0, height, step)):
            offset = step if texture == "bricks" and row % 2 else 0
            for x in range(offset, width, step * (2 if texture == "bricks" else 1)):
                painter.rectangle((x, y, x + thick, y + step), fill=255)
    if texture in ("dots", "grain"):
        spot = step * (0.32 if texture == "dots" else 0.1)
        for _ in range(int(width * height / step**2 * (0.8 if texture == "dots" else 3))):
            across, down = rng.uniform(0, width), rng.uniform(0, height)
            painter.ellipse((across - spot, down - spot, across + spot, down + spot), fill=255)
    tint = colours["second"] if texture == "stripes" else colours["light"]
    on_object = Image.composite(pattern, Image.new("L", canvas.size), _mask(canvas, polygons, ("main",)))
    canvas.paste(tint, (0, 0), on_object.point(lambda level: int(level * 0.6)))


def _photographed(picture: Image.Image, rng: np.random.Generator) -> Image.Image:
    """Light from one side, exposure, a little blur, and sensor noise."""
    if rng.random() < 0.4:
        picture = picture.filter(ImageFilter.GaussianBlur(rng.uniform(0.3, 1.4)))
    pixels = np.asarray(picture, dtype=np.float32)
    x = np.linspace(-1, 1, pixels.shape[1])[None, :, None]
    y = np.linspace(-1, 1, pixels.shape[0])[:, None, None]
    light = 1 + rng.uniform(-0.16, 0.16) * x + rng.uniform(-0.16, 0.16) * y
    noisy = pixels * light * rng.uniform(0.78, 1.15) + rng.normal(0, rng.uniform(2, 9), pixels.shape)
    return Image.fromarray(np.clip(noisy, 0, 255).astype(np.uint8))
