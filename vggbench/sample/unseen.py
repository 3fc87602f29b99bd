"""Six more classes, which no net of the sample was trained on: what descriptors of those nets tell of new things."""

from math import cos, pi, sin

import numpy as np

from vggbench.sample.drawing import Kind, Polygon, box, ellipse


def _bicycle(rng: np.random.Generator) -> list[Polygon]:
    seat = rng.uniform(-0.5, -0.38)
    wheels: list[Polygon] = []
    for x in (-0.6, 0.6):
        wheels += [(ellipse(x, 0.4, 0.44, 0.44), "dark"), (ellipse(x, 0.4, 0.35, 0.35), "light")]
    return [
        *wheels,
        ([(-0.64, 0.4), (-0.56, 0.4), (-0.18, seat), (-0.28, seat)], "main"),
        ([(0.52, 0.44), (0.62, 0.36), (0.4, -0.6), (0.3, -0.56)], "main"),
        ([(-0.26, seat + 0.12), (0.4, -0.44), (0.4, -0.32), (-0.2, seat + 0.24)], "main"),
        ([(-0.22, seat + 0.1), (-0.1, seat + 0.1), (0.06, 0.42), (-0.06, 0.42)], "main"),
        (box(-0.4, seat - 0.06, -0.06, seat + 0.04), "wood"),
        (box(0.22, -0.68, 0.58, -0.58), "dark"),
    ]


def _cup(rng: np.random.Generator) -> list[Polygon]:
    low = rng.uniform(0.32, 0.5)
    return [
        (ellipse(0.62, 0.02, 0.34, 0.36), "second"),
        (ellipse(0.62, 0.02, 0.2, 0.22), "dark"),
        ([(-0.72, -0.55), (0.62, -0.55), (low, 0.75), (-low - 0.1, 0.75)], "main"),
        (ellipse(-0.05, -0.55, 0.67, 0.16), "light"),
        (ellipse(-0.05, -0.53, 0.55, 0.1), "wood"),
    ]


def _key(rng: np.random.Generator) -> list[Polygon]:
    teeth = sorted(rng.uniform(0.35, 0.85, 3))
    return [
        (ellipse(-0.6, 0, 0.38, 0.42), "main"),
        (ellipse(-0.66, 0, 0.16, 0.18), "dark"),
        (box(-0.26, -0.1, 0.95, 0.1), "main"),
        *((box(x - 0.05, 0.08, x + 0.05, 0.36), "main") for x in teeth),
    ]


def _lamp(rng: np.random.Generator) -> list[Polygon]:
    narrow = rng.uniform(0.22, 0.4)
    return [
        (box(-0.06, -0.15, 0.06, 0.8), "wood"),
        (ellipse(0, 0.82, 0.42, 0.12), "dark"),
        ([(-narrow, -0.95), (narrow, -0.95), (0.75, -0.1), (-0.75, -0.1)], "main"),
        (box(-0.75, -0.16, 0.75, -0.06), "second"),
    ]


def _snail(rng: np.random.Generator) -> list[Polygon]:
    high = rng.uniform(-0.5, -0.3)
    return [
        ([(-0.95, 0.72), (-0.7, 0.5), (0.6, 0.5), (0.78, 0.0), (0.98, 0.05), (0.86, 0.72)], "second"),
        ([(0.8, 0.05), (0.86, 0.05), (0.72, high), (0.66, high)], "dark"),
        ([(0.9, 0.05), (0.96, 0.05), (1.02, high), (0.96, high)], "dark"),
        (ellipse(-0.15, 0.0, 0.62, 0.6), "main"),
        (ellipse(-0.08, 0.06, 0.42, 0.4), "dark"),
        (ellipse(-0.1, 0.06, 0.33, 0.31), "main"),
        (ellipse(-0.05, 0.1, 0.14, 0.13), "dark"),
    ]


def _umbrella(rng: np.random.Generator) -> list[Polygon]:
    ribs = int(rng.integers(4, 7))
    dome = [(0.98 * cos(pi + pi * i / 30), 0.1 + 0.95 * sin(pi + pi * i / 30)) for i in range(31)]
    width = 1.96 / ribs
    return [
        (box(-0.04, -0.9, 0.04, 0.85), "wood"),
        (ellipse(0.12, 0.86, 0.16, 0.12), "wood"),
        (dome, "main"),
        *((ellipse(-0.98 + width * (i + 0.5), 0.1, width / 2, 0.13), "dark") for i in range(ribs)),
        (ellipse(0, -0.4, 0.2, 0.44), "second"),
    ]


# fmt: off
UNSEEN = (
    #    class        shape      hues        texture    turn
    Kind("bicycle",   _bicycle,  (220, 45),  "plain",   12),
    Kind("cup",       _cup,      (185, 340), "dots",    12),
    Kind("key",       _key,      (48, 210),  "grain",   60),
    Kind("lamp",      _lamp,     (60, 300),  "lines",   10),
    Kind("snail",     _snail,    (25, 100),  "stripes", 15),
    Kind("umbrella",  _umbrella, (290, 170), "plain",   18),
)
# fmt: on
