"""What a file says of its own net and input, in one form for all formats, and the one check of it."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from vggbench.errors import UsageError, WeightsError
from vggbench.images.preprocessing import INPUTS, Input, input_of_text
from vggbench.paper.configs import FC6_KERNEL, Config

_CLOSE = 1e-5
"""The share by which equal numbers may differ: files hold them in float32."""
WITH_WEIGHTS = ("conv", "norm", "fc")
ORDERS = ("RGB", "BGR")


@dataclass(frozen=True)
class Described:
    """One layer as a file describes it; `facts` holds what the file states, by the names of `_expected`.

    `kind` is conv, norm, relu, lrn, pool, fc or softmax, or the format's own word for any other layer
    that computes something. Layers that change no value when a net is evaluated (dropout) are left out.
    Padding is (top, left, bottom, right); `rounding` of a pooling is floor or ceil.
    """

    kind: str
    name: str
    facts: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class StatedInput:
    """What a file does to pixels of 0-255: (x - mean) / std for each channel; `channels` None: no order is said."""

    channels: str | None
    mean: tuple[float, ...] = (0.0, 0.0, 0.0)
    std: tuple[float, ...] = (1.0, 1.0, 1.0)

    @classmethod
    def of(cls, input: Input) -> Self:
        """Another input, in these words."""
        mean, std = (tuple(255 / input.range * value for value in values) for values in (input.mean, input.std))
        return cls(input.channels, mean, std)

    def agreed(self, asked: str | None, path: Path) -> Input:
        """The input that the file and `--input` (an input, or an order of channels alone) agree on.

        Raises WeightsError where they do not, and UsageError where neither says the order of channels.
        """
        order = asked if asked in ORDERS else self.channels
        mine = StatedInput(order, self.mean, self.std)
        if asked in ORDERS and self.channels not in (None, order):
            raise WeightsError(
                f"{path} says that its channels come as {self.channels}: --input {asked} contradicts it."
            )
        stated = input_of_text(asked) if asked and asked not in ORDERS else None
        if stated and not mine._is(stated):
            raise WeightsError(
                f"{path} says that its input is {self}: --input {asked} is {stated.in_full()}. Leave --input "
                "out to take the file's word, or correct the file."
            )
        if stated:
            return stated
        if order not in ORDERS:
            raise UsageError(
                f"{path} says that its input is {self}, and not in which order channels come: expected --input RGB or "
                "--input BGR beside it."
            )
        known = next((known for known in INPUTS.values() if mine._is(known)), None)
        return known or Input("RGB" if order == "RGB" else "BGR", 255, _three(self.mean), _three(self.std))

    def _is(self, input: Input) -> bool:
        other = StatedInput.of(input)
        return self.channels in (None, other.channels) and same((self.mean, self.std), (other.mean, other.std))

    def __str__(self) -> str:
        mean, std = (", ".join(f"{value:g}" for value in values) for values in (self.mean, self.std))
        return f"{self.channels or 'RGB or BGR'} 0-255, mean {mean}, std {std}"


def _three(values: tuple[float, ...]) -> tuple[float, float, float]:
    one, two, three = values
    return one, two, three


def require_described(config: Config, described: Sequence[Described], path: Path, *, complete: bool) -> bool | None:
    """Compare what a file says with `config`; returns whether its pooling rounds up, None where it does not say.

    `complete`: the file lists every layer in order. Raises WeightsError with both sides named.
    """
    expected = tuple(_expected(config))
    if complete:
        _require_same_kinds(config, described, expected, path)
        pairs = list(zip(described, expected, strict=False))
    else:
        _require_known_kinds(config, described, expected, path)
        pairs = list(_paired(described, expected))
    _require_facts(config, pairs, path)
    return rounds_up(described, path)


def require_convolutions(config: Config, described: Sequence[Described], path: Path) -> None:
    """Compare all layers up to the last pooling, for a net with another head. Raises WeightsError."""
    expected = tuple(_expected(config))
    count = 1 + max(place for place, layer in enumerate(expected) if layer.kind == "pool")
    # without its last pooling, a net's last convolutions would pass for fully connected layers
    kinds = ["conv" if layer.kind == "fc" else layer.kind for layer in described[:count]]
    if kinds != [layer.kind for layer in expected[: len(kinds)]]:
        _require_same_kinds(config, described, expected, path)
    _require_facts(config, list(zip(described[:count], expected[:count], strict=False)), path)


def _require_facts(config: Config, pairs: Sequence[tuple[Described, Described]], path: Path) -> None:
    for layer, own in pairs:
        for fact, value in layer.facts.items():
            if fact != "rounding" and not same(value, own.facts[fact]):
                raise WeightsError(
                    f"{path} says that {layer.name} has {fact} {_shown(value)}: config {config.name} has "
                    f"{_shown(own.facts[fact])}. It is another net, which Model.wrap evaluates from Python."
                )


def rounds_up(described: Sequence[Described], path: Path) -> bool | None:
    """Whether pooled sizes are rounded up; None where a file does not say. Raises WeightsError where it says both."""
    found = {layer.facts["rounding"] for layer in described if "rounding" in layer.facts}
    if len(found) > 1:
        raise WeightsError(f"{path} rounds some pooled sizes up and others down: expected one rounding.")
    return next((rounding == "ceil" for rounding in found), None)


def _paired(described: Sequence[Described], expected: Sequence[Described]) -> Iterator[tuple[Described, Described]]:
    """Pair the layers of a file that does not give the order of all: those with weights by order, others by kind."""
    weighted, own = ([layer for layer in layers if layer.kind in WITH_WEIGHTS] for layers in (described, expected))
    if len(weighted) == len(own):
        yield from zip(weighted, own, strict=True)
    by_kind = {layer.kind: layer for layer in expected}
    yield from ((layer, by_kind[layer.kind]) for layer in described if layer.kind not in WITH_WEIGHTS)


def _require_known_kinds(
    config: Config, described: Sequence[Described], expected: Sequence[Described], path: Path
) -> None:
    kinds = {layer.kind for layer in described}
    if kinds - set(WITH_WEIGHTS):
        _require_lrn(config, has_lrn="lrn" in kinds, path=path)
    known = {layer.kind for layer in expected} | set(WITH_WEIGHTS)
    odd = next((layer for layer in described if layer.kind not in known), None)
    if odd:
        raise WeightsError(
            f"{path} says that it has a layer {odd.name!r} of kind {odd.kind}: config {config.name} has none. "
            "It is another net, which Model.wrap evaluates from Python."
        )


def _require_same_kinds(
    config: Config, described: Sequence[Described], expected: Sequence[Described], path: Path
) -> None:
    """The kinds of all layers in order; a softmax at the end may be there or not."""
    kinds, own = (tuple(layer.kind for layer in layers) for layers in (described, expected))
    if kinds[-1:] != ("softmax",):
        own = own[:-1]
    _require_lrn(config, has_lrn="lrn" in kinds, path=path)
    if kinds != own:
        shorter = min(len(kinds), len(own))
        at = next((i for i, (a, b) in enumerate(zip(kinds, own, strict=False)) if a != b), shorter)
        name = f" ({described[at].name})" if at < len(described) and described[at].name else ""
        raise WeightsError(
            f"{path} does not fit config {config.name}: expected {len(own)} layers, {_near(own, at)}; found "
            f"{len(kinds)}, {_near(kinds, at)}{name}."
        )


def _require_lrn(config: Config, *, has_lrn: bool, path: Path) -> None:
    if has_lrn != any(layer.kind == "lrn" for layer in config.layers):
        expected, found = ("without", "with") if has_lrn else ("with", "without")
        raise WeightsError(
            f"{path} does not fit config {config.name}: expected a net {expected} local response normalisation, found "
            f"one {found} it."
        )


def _near(kinds: Sequence[str], at: int) -> str:
    return f"with {' '.join(kinds[at : at + 3]) or 'nothing'} at place {at + 1}"


def _expected(config: Config) -> Iterator[Described]:
    """Every layer of `config`, with what a file may say of it."""
    for layer in config.layers:
        if layer.kind == "conv":
            yield Described("conv", layer.name, _conv(layer.kernel, layer.kernel // 2))
            if config.batch_norm:
                yield Described("norm", f"{layer.name}/bn", {"normalised axis": "channels"})
            yield _RELU
        elif layer.kind == "lrn":
            yield Described("lrn", layer.name, _LRN)
        else:
            yield Described("pool", layer.name, _POOL)
    for name, kernel in (("fc6", FC6_KERNEL), ("fc7", 1), ("fc8", 1)):
        yield Described("fc", name, _conv(kernel, 0))
        if name != "fc8":
            yield _RELU
    yield Described("softmax", "prob", {"axis": "channels"})


def _conv(kernel: int, pad: int) -> dict[str, Any]:
    """The facts of a convolution, also of one that stands for a fully connected layer."""
    return {
        "kernel": (kernel, kernel), "stride": (1, 1), "padding": (pad,) * 4, "dilation": (1, 1), "groups": 1,
    }  # fmt: skip


_RELU = Described("relu", "relu", {"negative slope": 0.0, "threshold": 0.0, "largest value": None})
_POOL = {"method": "max", "kernel": (2, 2), "stride": (2, 2), "padding": (0, 0, 0, 0), "dilation": (1, 1)}
_LRN = {"size": 5, "alpha": 1e-4, "beta": 0.75, "k": 2.0, "region": "across channels"}
"""Krizhevsky's formula, alpha by the plain sum (paper, section 2.1)."""


def same(one: Any, other: Any) -> bool:
    """Whether two facts are equal, numbers as closely as a file holds them."""
    if isinstance(one, tuple) and isinstance(other, tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    if isinstance(one, float) or isinstance(other, float):
        return one is not None and other is not None and abs(one - other) <= _CLOSE * max(abs(one), abs(other))
    return bool(one == other)


def _shown(value: Any) -> str:
    return " ".join(map(str, value)) if isinstance(value, tuple) else "none" if value is None else str(value)


def with_fc(described: Sequence[Described]) -> tuple[Described, ...]:
    """Convolutions after the last pooling are fully connected layers; there are three."""
    last = max((place for place, layer in enumerate(described) if layer.kind == "pool"), default=len(described))
    heads = [place for place, layer in enumerate(described) if layer.kind in ("conv", "fc")][-3:]
    return tuple(
        Described("fc", layer.name, layer.facts) if layer.kind == "conv" and place > last and place in heads else layer
        for place, layer in enumerate(described)
    )
