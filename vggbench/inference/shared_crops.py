"""The maps of many crops of one image, computed once where the crops agree: exact, not an approximation.

A 3x3 convolution of a crop and of the whole image differ only where the crop's zero padding reaches: after n of them
in a border ring n wide, of 5x5 ones 2n wide. Pooling halves the ring (rounded up), the next stage's convolutions widen
it again: r' = ceil((r + n) / 2), for D 1, 2, 3 after stages 1, 2, 3. Pooling commutes with cropping where offsets are
multiples of its stride, hence --grid 8 for three stages; at any offset crops share what comes before the first pooling.
1x1 convolutions, LRN and batch normalisation act on single positions.

The ring is shared too. Its upper side depends on where the crop begins, not on its left end: it is that of the image
cut off above the crop, a strip as wide as the image, common to all crops of that row. So there is one strip for every
top, bottom, left and right, and only a ring's four corners, where two sides meet, are a crop's own. A crop's map is
put together from whole image, strips and corners; where a crop ends with the image, the strip is the image's. Each
part enters the next stage with as much of its neighbour as that stage's convolutions reach, which is thrown away.
"""

import itertools
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import NamedTuple, Self

import torch
from torch import Tensor, nn

from vggbench.inference.timing import in_turn, shortest
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import View

_POOLED = 3
"""Stages whose pooling the crops on a grid of 8 share."""
CHOICES = (0, 3)
"""Numbers of stages that are tried: none are plain crops. A fourth saves a tenth more, but its small maps get other
kernels of oneDNN than the crops' own, whose sums differ in the last bits; with three no bit differed where measured.
A stored run that began with four goes on with four."""
_AT_ONCE = 16
"""Crops that go through unshared stages together."""
_AT_ONCE_WHOLE = 8
"""The same of crops that share no pooling, whose maps have 13 MB each: as many as go through a net together on a CPU,
since oneDNN has other kernels for other numbers of small maps."""
_LEAST_GAIN = 2
"""Times as many pixels as an image that its crops must have, so that sharing the first convolutions pays."""

Function = Callable[[Tensor], Tensor]
Through = Callable[[nn.Sequential], Function]
"""Makes layers a function, by whatever runs them."""


class Stage(NamedTuple):
    """Some layers that share a size of map, as a function (N, C, h, w) -> (N, C', h', w')."""

    run: Function
    reach: int
    """Positions on each side that a result depends on, before the pooling."""
    step: int
    """Its stride."""

    @classmethod
    def of(cls, layers: nn.Sequential, through: Through) -> Self:
        """These layers."""
        reach = sum(module.kernel_size[0] // 2 for module in layers.modules() if isinstance(module, nn.Conv2d))
        return cls(through(layers), reach, 2 if isinstance(layers[-1], nn.MaxPool2d) else 1)


class Edge(NamedTuple):
    """A side of some crops, in pixels of the image: where they begin, or where they end."""

    at: int
    begins: bool

    def span(self, depth: int, stride: int) -> slice:
        """The `depth` positions inside the crops that lie along it, on a map of this stride."""
        at = self.at // stride
        return slice(at, at + depth) if self.begins else slice(at - depth, at)

    def outermost(self, depth: int) -> slice:
        """The same among positions that a strip along it has."""
        return slice(0, depth) if self.begins else slice(-depth, None)


@dataclass(frozen=True)
class Parts:
    """Maps after some stages, (1, C, h, w): the whole image's, and what differs along the crops' sides and corners."""

    whole: Tensor
    stride: int = 1
    ring: int = 0
    """Depth of strips and corners: how far the crops' padding has reached."""
    rows: Mapping[Edge, Tensor] = field(default_factory=dict)
    columns: Mapping[Edge, Tensor] = field(default_factory=dict)
    corners: Mapping[tuple[Edge, Edge], Tensor] = field(default_factory=dict)

    def window(
        self, down: slice, across: slice, rows: Iterable[Edge] = (), columns: Iterable[Edge] = (),
        into: Tensor | None = None,
    ) -> Tensor:  # fmt: skip
        """A part of the map as a crop with these sides has it, `into` a place (1, C, h, w) if there is one."""
        here = self.whole[:, :, down, across]
        found = here.clone() if into is None else into.copy_(here)
        rows, columns = (
            [edge for edge in edges if edge in known] for edges, known in ((rows, self.rows), (columns, self.columns))
        )
        for row in rows:
            _paste(self.rows[row], (self._along(row), self._all(3)), found, (down, across))
        for column in columns:
            _paste(self.columns[column], (self._all(2), self._along(column)), found, (down, across))
        for row, column in itertools.product(rows, columns):
            _paste(self.corners[row, column], (self._along(row), self._along(column)), found, (down, across))
        return found

    def _along(self, edge: Edge) -> slice:
        return edge.span(self.ring, self.stride)

    def _all(self, axis: int) -> slice:
        return slice(0, self.whole.shape[axis])


def crop_maps(stages: Sequence[Stage], image: Tensor, views: Sequence[View], shared: int) -> Tensor:
    """The last map of each view of one image, (1, 3, H, W) -> (views, C, 7, 7), sharing so many stages.

    The views are crops at some tops x some lefts, multiples of 8, and their mirrors: a grid of `multicrop8`.
    """
    tops, lefts = (sorted(set(offsets)) for offsets in zip(*((view.top, view.left) for view in views), strict=True))
    image = image[:, :, : tops[-1] + CROP, : lefts[-1] + CROP]  # beyond it there is no crop
    places = {place: index for index, place in enumerate(itertools.product(tops, lefts))}
    found = []
    for mirror in dict.fromkeys(view.mirror for view in views):
        # The mirrors of crops are crops of the mirror, where the last begins at 0.
        offsets = [lefts[-1] - left for left in lefts] if mirror else lefts
        maps = _together_after(stages, image.flip(3) if mirror else image, tops, offsets, shared)
        own = [places[view.top, view.left] for view in views if view.mirror == mirror]
        found.append(maps[own])
    assert [view.mirror for view in views] == sorted(view.mirror for view in views), "mirrors come last"
    return torch.cat(found)


def crop_maps_anywhere(stages: Sequence[Stage], image: Tensor, views: Sequence[View]) -> Tensor:
    """The same for crops at any offsets, which share the first of two stages, `before_pooling`."""
    before, rest = stages
    width, channels = image.shape[3], 0
    tops, halves = [view.top for view in views], dict[bool, Parts]()
    for mirror in {view.mirror for view in views}:
        lefts = [_left(view, width) for view in views if view.mirror == mirror]
        halves[mirror] = _parts([before], image.flip(3) if mirror else image, tops, lefts)
        channels = halves[mirror].whole.shape[1]
    found = []
    for first in range(0, len(views), _AT_ONCE_WHOLE):
        batch = views[first : first + _AT_ONCE_WHOLE]
        maps = halves[batch[0].mirror].whole.new_empty(len(batch), CROP, CROP, channels).permute(0, 3, 1, 2)
        for place, view in enumerate(batch):
            _crop(halves[view.mirror], view.top, _left(view, width), maps[place : place + 1])
        found.append(rest.run(maps))
    return torch.cat(found)


def quickest(stages: Sequence[Stage], image: Tensor, views: Sequence[View]) -> int:
    """How many stages to share for views such as these: the choices are tried in turn."""
    runs = in_turn([partial(crop_maps, stages, image, views, shared) for shared in CHOICES], image.device)
    return min(zip(CHOICES, runs, strict=True), key=lambda tried: shortest(tried[1]))[0]


def is_grid(views: Sequence[View]) -> bool:
    """Whether `crop_maps` takes these views."""
    return all(view.top % 8 == 0 and view.left % 8 == 0 and view.height == view.width == CROP for view in views)


def _together_after(
    stages: Sequence[Stage], image: Tensor, tops: Sequence[int], lefts: Sequence[int], shared: int
) -> Tensor:
    """All crops at tops x lefts after all of the stages, the first `shared` of them computed on what they share."""
    parts = _parts(stages[:shared], image, tops, lefts)
    maps = torch.cat([_crop(parts, top, left) for top in tops for left in lefts])
    return torch.cat([_through(stages[shared:], batch) for batch in torch.split(maps, _AT_ONCE)])


def _parts(stages: Sequence[Stage], image: Tensor, tops: Sequence[int], lefts: Sequence[int]) -> Parts:
    """What crops at tops x lefts share after these stages."""
    parts = Parts(image)
    rows, columns = _inner_edges(tops, image.shape[2]), _inner_edges(lefts, image.shape[3])
    for stage in stages:
        parts = _after(stage, parts, rows, columns)
    return parts


def _left(view: View, width: int) -> int:
    """Where a crop begins in the image, or its mirror in the image's mirror."""
    return width - view.left - view.width if view.mirror else view.left


def _through(stages: Sequence[Stage], maps: Tensor) -> Tensor:
    for stage in stages:
        maps = stage.run(maps)
    return maps


def _crop(parts: Parts, top: int, left: int, into: Tensor | None = None) -> Tensor:
    """The whole map of one crop, which is written `into` a place if there is one."""
    down, across = (slice(at // parts.stride, (at + CROP) // parts.stride) for at in (top, left))
    rows, columns = ((Edge(at, True), Edge(at + CROP, False)) for at in (top, left))
    return parts.window(down, across, rows, columns, into)


def in_stages(features: nn.Sequential, through: Through) -> list[Stage]:
    """What crops on a grid of 8 can share, a stage each, the fourth without its pooling; and the rest."""
    layers = list(features)
    ends = [place + 1 for place, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d)]
    cuts = [0, *ends[:_POOLED], ends[_POOLED] - 1, len(layers)]
    return [Stage.of(nn.Sequential(*layers[start:end]), through) for start, end in itertools.pairwise(cuts)]


def before_pooling(features: nn.Sequential, through: Through) -> list[Stage]:
    """What crops at any offsets can share, as one stage; and the rest, which begins with a ReLU and the pooling."""
    layers = list(features)
    end = next(place for place, layer in enumerate(layers) if isinstance(layer, nn.MaxPool2d))
    end -= isinstance(layers[end - 1], nn.ReLU)  # of a quarter of the positions after the pooling
    return [Stage.of(nn.Sequential(*some), through) for some in (layers[:end], layers[end:])]


def is_worth_sharing(height: int, width: int, views: Sequence[View]) -> bool:
    """Whether crops overlap enough that the first convolutions of the whole image cost less than theirs."""
    pixels = sum(view.height * view.width for view in views if not view.mirror)
    return _LEAST_GAIN * height * width <= pixels


def _inner_edges(offsets: Sequence[int], size: int) -> list[Edge]:
    """The sides of the crops that are not the image's own, where the padding is the same."""
    begins = {Edge(offset, True) for offset in offsets if offset != 0}
    return sorted(begins | {Edge(offset + CROP, False) for offset in offsets if offset + CROP != size})


def _after(stage: Stage, parts: Parts, rows: Sequence[Edge], columns: Sequence[Edge]) -> Parts:
    """The parts after one more stage."""
    reach, step = stage.reach, stage.step
    ring = -(-(parts.ring + reach) // step)
    depth = step * ring + -(-reach // step) * step  # whole steps, so that pooling pairs the same positions
    height, width = (slice(0, size) for size in parts.whole.shape[2:])
    span = {edge: edge.span(depth, parts.stride) for edge in (*rows, *columns)}
    corners = list(itertools.product(rows, columns))
    along_rows = _together(stage, [parts.window(span[row], width, [row]) for row in rows])
    along_columns = _together(stage, [parts.window(height, span[column], (), [column]) for column in columns])
    at_corners = _together(stage, [parts.window(span[row], span[column], [row], [column]) for row, column in corners])
    return Parts(
        whole=stage.run(parts.whole),
        stride=step * parts.stride,
        ring=ring,
        rows={row: maps[:, :, row.outermost(ring)] for row, maps in zip(rows, along_rows, strict=True)},
        columns={edge: maps[..., edge.outermost(ring)] for edge, maps in zip(columns, along_columns, strict=True)},
        corners={
            (row, column): maps[:, :, row.outermost(ring), column.outermost(ring)]
            for (row, column), maps in zip(corners, at_corners, strict=True)
        },
    )


def _together(stage: Stage, windows: Sequence[Tensor]) -> Sequence[Tensor]:
    """Windows of one shape through a stage, as one batch."""
    return torch.split(stage.run(torch.cat(list(windows))), 1) if windows else ()


def _paste(part: Tensor, place: tuple[slice, slice], target: Tensor, window: tuple[slice, slice]) -> None:
    """Write what `part`, which lies at `place`, has of `window` into `target`, which is that window."""
    common = [slice(max(p.start, w.start), min(p.stop, w.stop)) for p, w in zip(place, window, strict=True)]
    if all(inner.start < inner.stop for inner in common):
        target[:, :, *map(_within, common, window)] = part[:, :, *map(_within, common, place)]


def _within(inner: slice, outer: slice) -> slice:
    return slice(inner.start - outer.start, inner.stop - outer.start)
