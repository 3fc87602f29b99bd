"""What the notes under a table of errors say, as values: the images, weights and decoders of its rows."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from vggbench.data import DataSet
from vggbench.metrics import LEAST_SIGNIFICANT
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import IMPORTED, OWN
from vggbench.results.judging import ORIGINAL
from vggbench.results.records import input_of
from vggbench.results.rows import Row
from vggbench.store.identity import Identity
from vggbench.weights.released import origin_of

Seen = Literal["learned from", "chosen by"]
"""What a net was by images: their pupil, or that of the epoch that erred least on them."""


@dataclass(frozen=True)
class Counted:
    """How many of the evaluated images count by other labels than the data's own."""

    labels: str
    images: int
    count: int


@dataclass(frozen=True)
class Grain:
    """What one image is in points of error, and from how many points apart two rows can differ significantly."""

    images: int
    one: float
    least: float

    @classmethod
    def of(cls, images: int) -> "Grain":
        """Closer rows do not, even if one errs on all images that the other errs on."""
        return cls(images, 100 / images, 100 * LEAST_SIGNIFICANT / images)


@dataclass(frozen=True)
class Nets:
    """What holds of the nets of a table."""

    models: tuple[Identity, ...]
    by_input: Mapping[str, tuple[str, ...]]
    """Names by what they expect."""
    unnamed: tuple[str, ...]
    """The nets whose outputs are matched to the folders in sorted order."""
    random: bool
    """Whether any has random weights."""
    seen: Mapping[str, Seen]
    """What the training of some had of exactly these images."""
    origins: Mapping[str, tuple[str, ...]]
    """Configs by where their weights are from."""
    presets: Mapping[str, tuple[str, ...]]
    """Names by how their publishers evaluate them, of those that a row is of by `own`."""
    remarks: tuple[tuple[str, str], ...]
    """Names, and what else has to be said of those."""
    has_shallow_control: bool
    """Whether both B and B-5x5 are among them."""
    differences: tuple[tuple[str, str], ...] | None
    """How two sources of one config differ in what they need; None where a table is not of two such."""

    @classmethod
    def of(cls, rows: Sequence[Row], data: DataSet) -> "Nets":
        """The nets of these rows, each once."""
        models = tuple({model.key: model for row in rows for model in row.models}.values())
        owns = {part.network for row in rows for part in row.parts if part.protocol == OWN}
        by_own = [model for model in models if model.name in owns and model.preset]
        return cls(
            models=models,
            by_input=_grouped([(input_of(model), model.name) for model in models]),
            unnamed=tuple(model.name for model in models if model.class_names is None and not data.by_index),
            random=any(model.is_random for model in models),
            seen={model.name: seen for model in models if (seen := _seen(model, data))},
            origins=_grouped([
                (origin_of(model.released), model.architecture.config.name)
                for model in models
                if model.architecture and not model.is_random
            ]),
            presets=_grouped([(str(model.preset), model.name) for model in by_own]),
            remarks=tuple((own.name, own.preset.remark) for own in by_own if own.preset and own.preset.remark),
            has_shallow_control={"B", "B-5x5"}
            <= {model.architecture.config.name for model in models if model.architecture and not model.is_random},
            differences=_differences(*models) if len(models) == 2 else None,
        )  # fmt: skip


@dataclass(frozen=True)
class Facts:
    """What holds of the measured rows of a table; `grain` is None where nothing is measured."""

    nets: Nets
    grain: Grain | None
    papers: tuple[str, ...]
    """The tables that figures of the paper are from; those of others are from `publishers`."""
    publishers: tuple[str, ...]
    lacks_top5: bool
    """Whether a row has no top-5 error."""
    counted: tuple[Counted, ...]
    blacklisted: int
    """Images of a blacklist that do not count."""
    classes_of_data: int | None
    """Classes that the data has, where the models have more."""
    among: int | None
    """Classes that stand in line in some rows, where they are not all of the model's."""
    doubtful: Mapping[str, str]
    """Images that were decoded with a complaint, and of what."""
    has_speed: bool
    tests: int
    """Comparisons of two rows."""
    baseline: str | None
    """What they are with."""
    rescales: Mapping[str, tuple[str, ...]]
    """Networks by how images were rescaled for them, but for those of `own` and of other tools."""
    whole: tuple[str, ...]
    """Networks that are not VGGs, of rows by `dense`."""
    uncounted: Mapping[str, tuple[str, ...]]
    """The operators that a network's MACs lack, by network."""
    mixed: tuple[str, ...]
    """The protocol of each network, if rows of different protocols are compared or fused."""
    crops: Mapping[str, tuple[str, ...]]
    """Networks by the side of their crops, where that is not 224; those of `own` say it themselves."""
    without_macs: bool
    """Whether a row's MACs are not known."""
    remarks: tuple[str, ...]
    """Remarks on single rows."""

    @property
    def is_original(self) -> bool:
        """Whether all rows are by the data's own labels, over all images."""
        return not self.counted and not self.blacklisted


def facts_of(rows: Sequence[Row], data: DataSet) -> Facts:
    """The facts of all rows of a table, measured or not."""
    measured = [row for row in rows if row.errors]
    papers, publishers = references_of(rows)
    compared = [row.against for row in rows if row.against]
    parts = [part for row in measured for part in row.parts]
    others = {model.name for row in measured for model in row.models if not model.architecture}
    judged = {row.labels: Counted(row.labels, row.images, row.errors.top1.images) for row in measured if row.errors}
    return Facts(
        nets=Nets.of(measured, data),
        grain=Grain.of(measured[0].images) if measured else None,
        papers=papers,
        publishers=publishers,
        lacks_top5=any(row.errors and row.errors.top5 is None for row in rows),
        counted=tuple(found for labels, found in judged.items() if not labels.startswith(ORIGINAL.name)),
        blacklisted=max((row.blacklisted for row in rows), default=0),
        classes_of_data=_classes_of_data(measured[0].models[0], data) if measured else None,
        among=max((row.among for row in measured if row.among), default=None),
        doubtful={image: why for row in measured for image, why in row.doubtful.items()},
        has_speed=any(row.images_per_second for row in measured),
        tests=len(compared),
        baseline=compared[0].first if compared else None,
        rescales=_grouped(
            list(dict.fromkeys((part.rescale, part.network) for part in parts if part.protocol not in (OWN, IMPORTED)))
        ),
        whole=tuple(
            dict.fromkeys(
                part.network for part in parts if part.protocol.startswith("dense") and part.network in others
            )
        ),
        mixed=_mixed(measured),
        crops=_grouped(
            list(
                dict.fromkeys(
                    (str(part.crop), part.network)
                    for part in parts
                    if part.crop not in (None, CROP) and part.protocol != OWN
                )
            )
        ),
        without_macs=any(row.macs is None for row in measured),
        uncounted={row.network: row.uncounted for row in measured if row.uncounted},
        remarks=tuple(row.note for row in rows if row.note),
    )


def _mixed(rows: Sequence[Row]) -> tuple[str, ...]:
    """Each network by its protocol and Qs, where networks of a table are not all by the same protocols."""
    found: dict[str, dict[str, list[int]]] = {}
    for row in rows:
        for part in row.parts:
            scales = found.setdefault(part.network, {}).setdefault(part.protocol, [])
            scales += [part.scale] if part.scale and part.scale not in scales else []
    if len({frozenset(protocols) for protocols in found.values()}) < 2:
        return ()
    return tuple(
        f"{name} "
        + " and ".join(f"{one} at Q={','.join(map(str, at))}" if at else one for one, at in protocols.items())
        for name, protocols in found.items()
    )


def _classes_of_data(model: Identity, data: DataSet) -> int | None:
    known = set(data.class_names) & set(model.class_names or ()) - data.empty_classes
    return len(known) if known and len(known) < model.classes else None


def references_of(rows: Sequence[Row]) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """The paper's tables, and the other publishers, whose figures stand beside rows, sorted."""
    sources = {row.reference.source for row in rows if row.reference}
    papers = {source for source in sources if source.startswith("paper")}
    return tuple(sorted(source.partition(", ")[2] for source in papers)), tuple(sorted(sources - papers))


def without_top5(rows: Sequence[Row]) -> bool:
    """Whether what is measured has no top-5 error at all."""
    measured = [row.errors for row in rows if row.errors]
    return bool(measured) and all(errors.top5 is None for errors in measured)


def _seen(model: Identity, data: DataSet) -> Seen | None:
    if data.fingerprint == model.trained_ids:
        return "learned from"
    return "chosen by" if data.fingerprint == model.validation_ids else None


def _differences(one: Identity, other: Identity) -> tuple[tuple[str, str], ...] | None:
    if not one.architecture or not other.architecture or one.architecture.config != other.architecture.config:
        return None
    return tuple((a, b) for a, b in zip(_needs(one), _needs(other), strict=True) if a != b)


def _needs(model: Identity) -> tuple[str, ...]:
    assert model.architecture
    assert model.input
    return (
        model.input.channels,
        f"0-{model.input.range}",
        "mean alone" if set(model.input.std) == {1.0} else "mean and std",
        f"{'ceil' if model.architecture.ceil_pool else 'floor'} pooling",
        f"S {model.train_scale or 'unknown'}",
    )


def _grouped(pairs: Sequence[tuple[str, str]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, tuple[str, ...]] = {}
    for key, name in pairs:
        found[key] = (*found.get(key, ()), name)
    return found
