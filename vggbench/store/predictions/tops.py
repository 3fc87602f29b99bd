"""The best classes of each image, where a file has no more than those."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from vggbench.data.imagenet import is_ilsvrc_class, wnids
from vggbench.errors import DataError
from vggbench.store.predictions.cells import lists, numbers, texts
from vggbench.store.predictions.classes import STATE, without_background
from vggbench.store.predictions.layout import MORE, TOP, Best
from vggbench.store.predictions.part import some


@dataclass
class Tops:
    """What is gathered of N images: T names, or T numbers, from the best on."""

    images: Sequence[str]
    names: NDArray[Any] | None = None
    numbers: NDArray[np.floating] | None = None
    width: int = field(default=0)

    def take(self, table: Any, best: Best, at: NDArray[np.int64], ids: Sequence[str], where: str) -> None:
        """Put a table's rows to their images' places, `at`. Raises DataError where values are not sorted."""
        names = _names(table, best.names, ids, where)
        places = _numbers(table, best.numbers, ids, where)
        values = _numbers(table, best.values, ids, where)
        widths = {found.shape[1] for found in (names, places, values) if found is not None} | {self.width} - {0}
        if len(widths) > 1:
            raise DataError(
                f"{where} has {some(sorted(map(str, widths)))} of the best classes of an image: expected as many names "
                "as values in every row."
            )
        self.width = widths.pop()
        if values is not None:
            odd = np.flatnonzero((np.diff(values, axis=1) > 0).any(axis=1))
            if len(odd):
                raise DataError(
                    f"{where} has best classes whose values are not sorted ({some([ids[row] for row in odd[:6]])}): "
                    "expected the most probable first. Sort them, or write the values of all classes."
                )
        if names is not None:
            self.names = np.empty((len(self.images), self.width), object) if self.names is None else self.names
            self.names[at] = names
        if places is not None:
            self.numbers = np.empty((len(self.images), self.width)) if self.numbers is None else self.numbers
            self.numbers[at] = places

    def places(
        self, data_classes: Sequence[str], classes: Sequence[str] | None, where: str
    ) -> tuple[NDArray[np.int32], tuple[str, ...], tuple[str, ...]]:
        """(N, T) places among the classes, those, and what was decided. Raises DataError."""
        found = self._by_name(data_classes, classes, where) if self.names is not None else None
        if found is None:
            found = self._by_number(data_classes, classes, where)
        places, all_classes = found
        order = without_background(all_classes, data_classes)
        if order.background is not None:
            places = self._without(order.background, places, where)
        count = min(TOP, len(order.names))
        if places.shape[1] < count:
            raise DataError(
                f"{where} has the {places.shape[1]} best of {len(order.names):,} classes: expected {count} or all. "
                f"{MORE}"
            )
        self._refuse([len(set(row)) < len(row) for row in places.tolist()], where, "a class twice among its best")
        said = f"It holds the {count} best classes of each image alone: top-1 and top-5 errors, and nothing of losses."
        return np.ascontiguousarray(places[:, :count], np.int32), order.names, (*order.said, said)

    def _by_name(
        self, data_classes: Sequence[str], classes: Sequence[str] | None, where: str
    ) -> tuple[NDArray[np.int64], tuple[str, ...]] | None:
        assert self.names is not None
        met = set(self.names.ravel().tolist())
        few = len(data_classes) <= TOP  # else five of ILSVRC's would be asked of a net that has four
        choices = [classes] if classes is not None else [data_classes, wnids()] if few else [wnids(), data_classes]
        known = next((choice for choice in choices if met <= set(choice)), None)
        if known is None:
            if self.numbers is not None:
                return None
            strays = sorted(name for name in met if name not in data_classes and not is_ilsvrc_class(name))
            raise DataError(
                f"{where} has best classes called {some(strays or sorted(met))}: expected wnids, the data's classes, "
                "or those of --classes. timm's inference.py writes wnids with --label-type name, numbers with "
                "--include-index."
            )
        place = {name: number for number, name in enumerate(known)}
        found = np.array([place[name] for name in self.names.ravel().tolist()], np.int64)
        return found.reshape(self.names.shape), tuple(known)

    def _by_number(
        self, data_classes: Sequence[str], classes: Sequence[str] | None, where: str
    ) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        assert self.numbers is not None
        if classes is None and list(data_classes) != [str(number) for number in range(len(data_classes))]:
            raise DataError(f"{where} has the numbers of the best classes and does not say what they number. {STATE}")
        known = tuple(data_classes if classes is None else classes)
        is_place = (self.numbers == np.floor(self.numbers)) & (self.numbers >= 0) & (self.numbers < len(known))
        beyond = ~is_place.all(axis=1)
        if beyond.any():
            row = int(np.flatnonzero(beyond)[0])
            self._refuse(
                beyond.tolist(),
                where,
                f"a best class of {self.numbers[row][~is_place[row]][0]:g}, which is no place from 0 to "
                f"{len(known) - 1}",
            )
        return self.numbers.astype(np.int64), known

    def _without(self, background: int, places: NDArray[np.int64], where: str) -> NDArray[np.int64]:
        """One column less: the background's place is taken out, or else the last."""
        rows = [([place for place in row if place != background])[: places.shape[1] - 1] for row in places.tolist()]
        found = np.array(rows, np.int64).reshape(len(rows), -1)
        has_none = not (places == background).any()
        found = places if has_none else found
        return np.where(found > background, found - 1, found)

    def _refuse(self, odd: Sequence[bool], where: str, what: str) -> None:
        strays = [image for image, is_odd in zip(self.images, odd, strict=True) if is_odd]
        if strays:
            raise DataError(
                f"{where} has {what} ({some(strays)}): expected different classes, from the most probable on, in the "
                "order that --classes states."
            )


def _names(table: Any, columns: Sequence[str], ids: Sequence[str], where: str) -> NDArray[Any] | None:
    if not columns:
        return None
    if len(columns) == 1 and is_listed(table, columns[0]):
        found = lists(table, columns[0], ids, where)
        return found if found.dtype == object else np.array([[f"{n:g}" for n in row] for row in found], object)
    return np.array([texts(table, name, where) for name in columns], object).T


def _numbers(table: Any, columns: Sequence[str], ids: Sequence[str], where: str) -> NDArray[np.floating] | None:
    if not columns:
        return None
    is_list = len(columns) == 1 and is_listed(table, columns[0])
    found = lists(table, columns[0], ids, where) if is_list else numbers(table, columns, ids, where)
    odd = (
        ids if found.dtype == object else [ids[row] for row in np.flatnonzero(~np.isfinite(found).all(axis=1)).tolist()]
    )
    if odd:
        raise DataError(
            f"{where} has names, NaN or infinity in {some(columns)} for {some(odd)}: expected finite numbers. Predict "
            "these images again."
        )
    return found


def is_listed(table: Any, name: str) -> bool:
    """Whether a column holds lists, or text that may be printed ones."""
    import pyarrow as pa

    kind = table.schema.field(name).type
    return bool(pa.types.is_nested(kind)) or (pa.types.is_string(kind) and not name[-1].isdecimal())
