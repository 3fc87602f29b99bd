"""Predictions that other tools wrote, by the ids of their images, in the order of the data set."""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggbench.data.imagenet import wnids
from vggbench.errors import DataError, printable
from vggbench.store.predictions.arrays import is_npy, open_npy, open_npz
from vggbench.store.predictions.cells import lists, numbers, texts
from vggbench.store.predictions.classes import Order, order_of_named, order_of_unnamed
from vggbench.store.predictions.columnar import open_parquet
from vggbench.store.predictions.layout import Best, Layout, understand
from vggbench.store.predictions.part import FORMATS, MOST_BYTES, ROWS, Part, reading, some
from vggbench.store.predictions.records import open_json
from vggbench.store.predictions.roll import Roll
from vggbench.store.predictions.texts import encoding_of, open_csv
from vggbench.store.predictions.tops import Tops
from vggbench.store.predictions.values import posteriors_of


@dataclass(frozen=True)
class Predictions:
    """What a tool predicted for N images, in the data's order: all posteriors, or the best classes alone."""

    class_names: tuple[str, ...]
    """(K,), in the order of the posteriors' columns."""
    posteriors: NDArray[np.float32] | None
    """(N, K), or None."""
    top: NDArray[np.int32] | None
    """(N, T) places among the classes, most probable first, T = min(5, K); None where there are posteriors."""
    said: tuple[str, ...]
    """What was decided, a sentence each."""
    sha256: str
    """SHA-256 of the bytes of all files, one after the other."""
    paths: tuple[Path, ...]


def read_predictions(
    paths: Sequence[Path], images: Sequence[str], data_classes: Sequence[str], *, classes: Sequence[str] | None = None
) -> Predictions:
    """Read one or several files of predictions, each image's exactly once.

    `images` are the data's ids in order, (N,), and `data_classes` the names of its classes, sorted; `classes` are the
    model's in order of its outputs, where somebody stated them (see `named_classes`). Values are told apart as
    `values.kind_of` says. Raises DataError for whatever leaves a choice or is not as expected.
    """
    assert len(paths) > 0 < len(images)
    most = max(len(wnids()), len(data_classes), len(classes or ())) + 1
    parts = [*_opened(paths, len(images), most)]
    layouts = [understand(part.columns, data_classes, classes, part.path) for part in parts]
    _require_alike(layouts, parts)
    digest, roll, where = _sha256(paths), Roll(images), some([str(path) for path in paths])
    if layouts[0].best:
        tops = Tops(images)
        for table, ids, at, part, layout in _rows(parts, layouts, roll):
            assert layout.best
            tops.take(table, layout.best, at, ids, str(part.path))
        roll.require_all(paths)
        top, names, said = tops.places(data_classes, classes, where)
        return Predictions(names, None, top, said, digest, tuple(paths))
    values, order = _gathered(parts, layouts, roll, data_classes, classes)
    roll.require_all(paths)
    if not layouts[0].named:
        _refuse_sorted(values, where)
    posteriors, said = posteriors_of(values, order, images, paths)
    return Predictions(order.names, posteriors, None, (*order.said, *said), digest, tuple(paths))


def _opened(paths: Sequence[Path], images: int, most: int) -> Iterator[Part]:
    """By what the files begin with, whatever their endings. Raises DataError."""
    for path in paths:
        with reading(path, "predictions"):
            if not path.is_file():
                found = "a folder or no plain file" if path.exists() else "not there"
                raise DataError(f"{path} is {found}: expected a file of predictions, {FORMATS}.")
    if any(is_npy(path) for path in paths):
        yield open_npy(paths, images, most)
        return
    for path in paths:
        with reading(path, "predictions"), path.open("rb") as file:
            head = file.read(4096)
        if head.startswith(b"PAR1"):
            yield open_parquet(path)
        elif head.startswith(b"PK"):
            yield open_npz(path, images, most)
        else:
            yield _opened_text(path, head)


def _opened_text(path: Path, head: bytes) -> Part:
    encoding = encoding_of(head)
    text = head.decode(encoding, errors="ignore").lstrip()
    if not text or (encoding != "utf-16" and (b"\0" in head or head.startswith((b"\x1f\x8b", b"\x80", b"\x89HDF")))):
        raise DataError(
            f"{path} begins with {head[:8]!r}: expected a file of predictions, {FORMATS}; nothing is unpickled or "
            "unpacked here."
        )
    return open_json(path) if text[0] in "{[" else open_csv(path)


def _require_alike(layouts: Sequence[Layout], parts: Sequence[Part]) -> None:
    """Raise DataError unless all parts have the same columns, in whatever order."""
    for layout, part in zip(layouts, parts, strict=True):
        if (_shape(layout), part.class_names) != (_shape(layouts[0]), parts[0].class_names):
            odd = sorted(set(part.columns) ^ set(parts[0].columns)) or list(part.columns)
            raise DataError(
                f"{parts[0].path} and {part.path} have different columns ({some(odd)}): expected parts of one whole."
            )


def _shape(layout: Layout) -> tuple[object, ...]:
    """What the columns of all parts must have in common."""
    best = layout.best or Best()
    return set(layout.named), len(layout.numbered), bool(layout.listed), bool(best.names), bool(best.numbers)


def _rows(
    parts: Sequence[Part], layouts: Sequence[Layout], roll: Roll
) -> Iterator[tuple[Any, list[str], NDArray[np.int64], Part, Layout]]:
    """The rows of all parts, with their images' names and places."""
    for part, layout in zip(parts, layouts, strict=True):
        best = layout.best or Best()
        scalars = [*layout.named, *layout.numbered, *(name for name in best.numbers + best.values)]
        single = [name for name in scalars if not part.columns[name]]
        others = [*layout.ids, *best.names, *([layout.listed] if layout.listed else [])]
        for table in part.tables(single, [*others, *(name for name in scalars if part.columns[name])]):
            if table.num_rows:
                ids = _ids(table, layout, part.path)
                yield table, ids, roll.call(ids, part.path), part, layout


def _ids(table: Any, layout: Layout, path: Path) -> list[str]:
    first, *second = (texts(table, name, str(path)) for name in layout.ids)
    odd = [name for name, other in zip(first, second[0] if second else first, strict=True) if name != other]
    if odd:
        raise DataError(
            f"{path} has the columns {some(layout.ids)}, which differ ({some(odd)}): expected one name of each image. "
            "Remove one of the columns."
        )
    return first


def _gathered(
    parts: Sequence[Part],
    layouts: Sequence[Layout],
    roll: Roll,
    data_classes: Sequence[str],
    classes: Sequence[str] | None,
) -> tuple[NDArray[np.floating], Order]:
    """The values of all images, (N, W), at their places, and what W counts. Raises DataError."""
    values: NDArray[np.floating] = np.empty((0, 0), np.float16)
    order = None
    for table, ids, at, part, layout in _rows(parts, layouts, roll):
        order = order or _order(table, ids, part, layout, data_classes, classes)
        block = _block(table, ids, part, layout, order)
        if values.shape[1] == 0:
            _require_affordable(len(roll.images), order.width, part.path)
            values = np.empty((len(roll.images), order.width), block.dtype)
        values = values.astype(np.result_type(values.dtype, block.dtype), copy=False)
        values[at] = block
    if order is None:
        roll.require_all([part.path for part in parts])
    assert order is not None
    return values, order


def _order(
    table: Any,
    ids: Sequence[str],
    part: Part,
    layout: Layout,
    data_classes: Sequence[str],
    classes: Sequence[str] | None,
) -> Order:
    if layout.named:
        return order_of_named(layout.named, data_classes, classes, part.path)
    stated = part.class_names
    if stated and classes is not None and tuple(classes) != stated:
        raise DataError(f"{part.path} names its classes, and --classes names others: expected the same. Leave it out.")
    width = len(layout.numbered) or lists(table, layout.listed, ids, str(part.path)).shape[1]
    return order_of_unnamed(width, data_classes, classes or stated, part.path, "the file" if stated else "--classes")


def _block(table: Any, ids: Sequence[str], part: Part, layout: Layout, order: Order) -> NDArray[np.floating]:
    """The values of a table's rows, (n, W), in order. Raises DataError for cells that are no finite numbers."""
    where = str(part.path)
    if layout.listed:
        block = lists(table, layout.listed, ids, where)
        if block.dtype == object or block.shape[1] != order.width:
            raise DataError(
                f"{where} has {block.shape[1]:,} {'names' if block.dtype == object else 'values'} in "
                f"{printable(layout.listed)} ({some(ids)}): expected {order.width:,} numbers in every row."
            )
    else:
        block = numbers(table, layout.numbered or _sorted(layout.named, order), ids, where)
    odd = np.flatnonzero(~np.isfinite(block).all(axis=1))
    if len(odd):
        raise DataError(
            f"{where} has NaN or infinity for {some([ids[row] for row in odd[:6]])}: expected finite numbers. Predict "
            "these images again."
        )
    return block


def _sorted(columns: Sequence[str], order: Order) -> list[str]:
    """The columns in order of the classes, a background at its place."""
    names = list(order.names)
    if order.background is not None:
        names.insert(order.background, next(iter(set(columns) - set(names))))
    return names


def _require_affordable(images: int, width: int, path: Path) -> None:
    if width < 2 or images * width * 8 > MOST_BYTES:
        raise DataError(f"{path} has {width:,} values for each of {images:,} images: expected 2 or more, within 8 GiB.")


def _refuse_sorted(values: NDArray[np.floating], where: str) -> None:
    """Raise DataError for values without names that fall from the first to the last, as the best without classes do."""
    blocks = (values[start : start + ROWS] for start in range(0, len(values), ROWS))
    falls = values.shape[1] > 2 and len(values) > 1 and all((np.diff(block, axis=1) <= 0).all() for block in blocks)
    if falls and (values != values[0]).any():
        raise DataError(
            f"{where} has values that fall from the first to the last for every image, as those of the best classes "
            "do: expected the order of the classes. timm's inference.py writes it with --topk 0."
        )


def _sha256(paths: Sequence[Path]) -> str:
    digest = hashlib.sha256()
    for path in paths:
        with reading(path, "predictions"), path.open("rb") as file:
            while block := file.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
