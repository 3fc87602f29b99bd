"""Files of predictions in every form, right or with one fault, against a truth that was there first."""

import csv
import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from vggbench.data.imagenet import val_id, wnids

WORDS = ("apple", "boat", "fish, raw", "house", "tench", "zebra")
SOME_WNIDS = wnids()[10:17]
DECORATIONS: tuple[Callable[[str], str], ...] = (
    str, lambda i: f"{i}.JPEG", lambda i: f"val/n01440764/{i}.JPEG", lambda i: f"n01440764/{i}.jpg",
    lambda i: f"{i}_n01440764.JPEG", lambda i: f"C:\\val\\{i}.png", lambda i: f"./{i}.JPEG",
)  # fmt: skip
FORMS = ("csv", "parquet", "jsonl", "records", "index", "split", "columns", "npz", "npy")
LAYOUTS = ("named", "numbered", "listed", "top names", "top numbers", "timm names", "timm numbers")
KINDS = ("probabilities", "logits", "log-probabilities")


@dataclass(frozen=True)
class Plan:
    """One file, or several, to be written."""

    seed: int
    images: int
    names: str
    """Whose classes: words, wnids, ilsvrc or numbers."""
    form: str
    layout: str
    kind: str
    dtype: str
    decoration: int
    delimiter: str
    encoding: str
    newline: str
    background: str
    parts: int
    fault: str | None


@dataclass
class Truth:
    """What shall be read."""

    images: list[str]
    classes: tuple[str, ...]
    posteriors: NDArray[np.float32]
    is_exact: bool
    stated: tuple[str, ...] | None
    """For `classes`."""
    paths: list[Path]
    is_faulty: bool
    is_top: bool

    @property
    def top(self) -> NDArray[np.int64]:
        return np.argsort(-self.posteriors.astype(np.float64), axis=1, kind="stable")[:, :5]


def classes_of(names: str) -> tuple[str, ...]:
    return {"words": WORDS, "wnids": SOME_WNIDS, "ilsvrc": wnids(), "numbers": tuple(map(str, range(8)))}[names]


def _ids(plan: Plan, rng: np.random.Generator) -> list[str]:
    if plan.seed % 2:
        return [val_id(int(n) + 1) for n in sorted(rng.choice(50_000, plan.images, replace=False))]
    return [f"img {n}.{n}" if n % 3 else f"x{n}" for n in range(plan.images)]


def _values(plan: Plan, rng: np.random.Generator, width: int) -> NDArray[np.floating]:
    """As they shall stand in the file, without ties among the best, and not falling from first to last."""
    logits = np.array([rng.permutation(width) for _ in range(plan.images)]) * (14.0 / width) + rng.random() - 7
    logits += rng.normal(size=(plan.images, 1))
    low, high = sorted((logits[0, 0], logits[0, 1]))
    logits[0, :2] = low, high
    exact = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    values = {"probabilities": exact, "logits": logits, "log-probabilities": np.log(exact)}[plan.kind]
    stored: NDArray[np.floating] = values.astype(plan.dtype)
    return stored


def _expected(plan: Plan, values: NDArray[np.floating], background: int | None) -> NDArray[np.float32]:
    """By the definition, in float64, a row at a time."""
    rows = []
    for row in values.astype(np.float64):
        kept = row if background is None else np.array([v for place, v in enumerate(row) if place != background])
        if plan.kind != "probabilities":
            kept = np.exp(kept - (kept.max() if plan.kind == "logits" else 0))
        rows.append(kept / kept.sum() if plan.kind == "logits" or background is not None else kept)
    return np.array(rows).astype(np.float32)


def write(plan: Plan, folder: Path) -> Truth:
    """Write the files of a plan; `is_faulty` tells whether its fault could be put into them."""
    rng = np.random.default_rng(plan.seed)
    images, classes = _ids(plan, rng), classes_of(plan.names)
    is_top = plan.layout.startswith(("top", "timm"))
    background = None if is_top or not plan.background else rng.integers(len(classes)) if plan.layout == "named" else 0
    if plan.background and plan.layout != "named" and plan.names != "ilsvrc":
        background = None
    values = _values(plan, rng, len(classes) + (background is not None))
    posteriors = _expected(plan, values, None if background is None else int(background))
    stated: tuple[str, ...] | None = classes
    if plan.layout in ("named", "top names", "timm names"):
        stated = None
    truth = Truth(
        images, classes, posteriors, plan.kind == "probabilities" and background is None, stated, [], False, is_top
    )
    if (plan.form, plan.layout, plan.dtype) == ("csv", "listed", "float16"):
        truth.is_exact = False  # NumPy prints as few digits as tell one float16 from the next
    columns = list(classes)
    if background is not None:
        columns.insert(int(background), "background")
    frame = _frame(plan, truth, values, columns, rng)
    frame, truth.is_faulty = _with_fault(plan, frame, truth, int(rng.integers(len(frame))))
    for number in range(plan.parts):
        piece = frame.iloc[number :: plan.parts]
        if len(piece):
            truth.paths += _save(plan, piece, folder / f"part {number}")
    return truth


def _frame(
    plan: Plan, truth: Truth, values: NDArray[np.floating], columns: list[str], rng: np.random.Generator
) -> pd.DataFrame:
    ids = [DECORATIONS[plan.decoration](image) for image in truth.images]
    top, names = truth.top, np.array(truth.classes, dtype=object)
    best = np.take_along_axis(truth.posteriors, top, 1)
    content: dict[str, Any] = {"Filename" if plan.seed % 3 else "image": ids}
    if plan.layout == "named":
        order = rng.permutation(len(columns))
        content["label"] = [truth.classes[0]] * len(ids)
        content |= {columns[place]: values[:, place] for place in order}
    elif plan.layout == "numbered":
        word = ["prob_", "", "logit_", "p", "class_"][plan.seed % 5]
        content |= {f"{word}{place}": values[:, place] for place in range(values.shape[1])}
    elif plan.layout == "listed":
        content["prob"] = list(values)
    elif plan.layout == "top names":
        content |= {"label": [truth.classes[0]] * len(ids)} | {f"top{i + 1}": names[top[:, i]] for i in range(5)}
        content |= {f"p{i + 1}": best[:, i] for i in range(5)} | {"rank": 1, "loss": 0.5}
    elif plan.layout == "top numbers":
        content |= {f"index_{i}": top[:, i] for i in range(5)} | {f"prob_{i}": best[:, i] for i in range(5)}
    else:
        content |= {"label": list(names[top])} if plan.layout == "timm names" else {"index": list(top)}
        content["prob"] = list(best)
    return pd.DataFrame(content).iloc[rng.permutation(len(ids))].reset_index(drop=True)


def _with_fault(plan: Plan, frame: pd.DataFrame, truth: Truth, row: int) -> tuple[pd.DataFrame, bool]:
    """The frame with the plan's fault, and whether there is one now, or will be in its files."""
    if plan.fault in ("cut off", "class twice"):
        return frame, plan.fault == "cut off" or (plan.form == "csv" and not _is_listed(plan))
    changed = _CHANGES[plan.fault](plan, frame, truth, row) if plan.fault else None
    return (frame, False) if changed is None else (changed, True)


def _is_listed(plan: Plan) -> bool:
    return plan.layout in ("listed", "timm names", "timm numbers")


def _floats(frame: pd.DataFrame) -> list[str]:
    return [str(name) for name in frame.columns if frame[name].dtype.kind == "f" and name != "loss"]


def _with_cell(value: Any, plan: Plan, frame: pd.DataFrame, truth: Truth, row: int) -> pd.DataFrame | None:
    if plan.layout == "listed" and isinstance(value, float):
        return _with_list(frame, row, lambda cell: np.append(cell[:-1], value))
    if not (floats := _floats(frame)):
        return None
    name = floats[plan.seed % len(floats)]
    cells = list(frame[name].astype(object))
    cells[row] = value
    return frame.assign(**{name: pd.Series(cells, dtype=object)}).astype(
        {name: str} if value == "abc" and plan.form == "parquet" else {}
    )


def _with_list(frame: pd.DataFrame, row: int, change: Callable[[Any], Any]) -> pd.DataFrame:
    cells = list(frame["prob"])
    cells[row] = change(cells[row])
    return frame.assign(prob=cells)


def _without_place(plan: Plan, frame: pd.DataFrame, truth: Truth, row: int) -> pd.DataFrame | None:
    can_be = _is_listed(plan) and len(frame) > 1 and plan.parts == 1 and plan.form not in ("npz", "npy")
    return _with_list(frame, row, lambda cell: cell[:-1]) if can_be else None


def _without_order(plan: Plan, frame: pd.DataFrame, truth: Truth, row: int) -> pd.DataFrame | None:
    if truth.stated is None or plan.names == "numbers":
        return None
    truth.stated = None
    return frame


def _with_second_ids(plan: Plan, frame: pd.DataFrame, truth: Truth, row: int) -> pd.DataFrame | None:
    first = str(frame.columns[0])
    other = "filename" if first == "image" else "IMAGE"
    return None if plan.form == "npy" else frame.assign(**{other: frame[first] + "x"})


def _without_ids(plan: Plan, frame: pd.DataFrame, truth: Truth, row: int) -> pd.DataFrame | None:
    can_be = plan.form not in ("npz", "npy", "index")
    return frame.rename(columns={frame.columns[0]: "picture"}) if can_be else None


def _unsorted(plan: Plan, frame: pd.DataFrame, truth: Truth, row: int) -> pd.DataFrame | None:
    if plan.layout not in ("top names", "top numbers"):
        return None
    floats = _floats(frame)
    frame.loc[row, floats] = frame.loc[row, floats].to_numpy()[::-1]
    return frame


def _scaled(by: float, plan: Plan, frame: pd.DataFrame, truth: Truth, row: int) -> pd.DataFrame | None:
    if plan.layout not in ("named", "numbered") or plan.kind != "probabilities" or (not by and len(frame) == 1):
        return None
    floats = _floats(frame)
    if not by:  # logits in one row alone
        frame.loc[row, floats] = np.linspace(-2, 3, len(floats)).astype(plan.dtype)
        return frame
    frame[floats] = frame[floats].astype(np.float32) * np.float32(by)
    return frame


def _from_1(plan: Plan, frame: pd.DataFrame, truth: Truth, row: int) -> pd.DataFrame | None:
    words = {name: name.rstrip("0123456789") for name in _floats(frame)}
    raised = {name: f"{word}{int(name[len(word) :]) + 1}" for name, word in words.items() if name != word or not word}
    return frame.rename(columns=raised) if plan.layout == "numbered" else None


def _with_name(plan: Plan, frame: pd.DataFrame, truth: Truth, row: int) -> pd.DataFrame:
    frame.loc[row, frame.columns[0]] = "stranger.JPEG"
    return frame


_CHANGES: dict[str, Callable[[Plan, pd.DataFrame, Truth, int], pd.DataFrame | None]] = {
    "doubled": lambda plan, frame, truth, row: pd.concat([frame, frame.iloc[[row]]], ignore_index=True),
    "missing": lambda plan, frame, truth, row: frame.drop(index=row).reset_index(drop=True) if len(frame) > 1 else None,
    "unknown": _with_name,
    "NaN": partial(_with_cell, np.nan),
    "infinity": partial(_with_cell, np.inf),
    "text": partial(_with_cell, "abc"),
    "empty cell": partial(_with_cell, None),
    "ragged": _without_place,
    "lacks a class": lambda plan, frame, truth, row: (
        frame.drop(columns=frame.columns[2]) if plan.layout == "numbered" else None
    ),
    "no order": _without_order,
    "stray column": lambda plan, frame, truth, row: None if plan.form == "npy" else frame.assign(confidence=0.5),
    "two ids": _with_second_ids,
    "no ids": _without_ids,
    "unsorted": _unsorted,
    "mixed": partial(_scaled, 0.0),
    "percent": partial(_scaled, 100.0),
    "unscaled": partial(_scaled, 0.9),
    "from 1": _from_1,
}
FAULTS = (*_CHANGES, "cut off", "class twice")


def _save(plan: Plan, frame: pd.DataFrame, path: Path) -> list[Path]:
    paths = _saved(plan, frame, path)
    if plan.fault == "cut off":
        cut = next((path for path in paths if path.suffix == ".npy"), paths[0])  # of ids what is cut may be one still
        size = cut.stat().st_size
        with cut.open("r+b") as file:
            file.truncate(int(size * random.Random(plan.seed).uniform(0.05, 0.6)))
    if plan.fault == "class twice" and plan.form == "csv" and not _is_listed(plan):
        lines = paths[0].read_bytes().decode(plan.encoding).split(plan.newline)
        doubled = [line and line + plan.delimiter + line.rpartition(plan.delimiter)[2] for line in lines]
        paths[0].write_bytes(plan.newline.join(doubled).encode(plan.encoding))
    return paths


def _saved(plan: Plan, frame: pd.DataFrame, path: Path) -> list[Path]:
    lists = [name for name in frame.columns if isinstance(frame[name].iloc[0], np.ndarray)]
    if plan.form == "csv":
        path.write_bytes(csv_text(frame, plan).encode(plan.encoding))
    elif plan.form == "parquet":
        frame.map(lambda cell: cell if not isinstance(cell, np.ndarray) else cell.tolist()).to_parquet(path)
    elif plan.form in ("npz", "npy"):
        return _arrays(plan, frame, path)
    else:
        plain = frame.copy()
        for name in lists:
            plain[name] = [cell.tolist() for cell in plain[name]]
        path.write_text(json_text(plain, plan.form), encoding="utf-8")
    return [path]


def csv_text(frame: pd.DataFrame, plan: Plan) -> str:
    """With lists as NumPy prints them; floats have the fewest digits that are read as the same."""
    file = io.StringIO(newline="")
    writer = csv.writer(file, delimiter=plan.delimiter, lineterminator=plan.newline)
    writer.writerow(frame.columns)
    for row in frame.itertuples(index=False):
        writer.writerow([_printed(cell) for cell in row])
    return file.getvalue()


def _printed(cell: object) -> str:
    if isinstance(cell, np.ndarray):
        return np.array2string(cell, threshold=10**9, floatmode="unique")
    return "" if cell is None else str(cell)


def json_text(frame: pd.DataFrame, form: str) -> str:
    records = [{str(k): _plain(v) for k, v in row.items()} for row in frame.to_dict("records")]
    names = list(frame.columns)
    if form == "jsonl":
        return "".join(json.dumps(record) + "\n" for record in records)
    if form == "index":
        pairs = [(r[names[0]], {k: v for k, v in r.items() if k != names[0]}) for r in records]
        return "{" + ",\n".join(f"{json.dumps(key)}: {json.dumps(value)}" for key, value in pairs) + "}"
    if form == "split":
        return json.dumps({"columns": names, "data": [list(r.values()) for r in records]}, indent=2)
    if form == "columns":
        return json.dumps({name: [r[name] for r in records] for name in names})
    return json.dumps(records, indent=1)


def _plain(value: object) -> object:
    return value.item() if isinstance(value, np.generic) else value


def _arrays(plan: Plan, frame: pd.DataFrame, path: Path) -> list[Path]:
    """A list column as one array (N, K); `.npy` has room for no other."""
    arrays = {
        str(name): np.stack(frame[name].tolist())
        if isinstance(frame[name].iloc[0], np.ndarray)
        else np.array(frame[name].tolist())
        for name in frame.columns
    }
    arrays = {name: array.astype(str) if array.dtype == object else array for name, array in arrays.items()}
    if plan.form == "npz":
        with path.open("wb") as file:
            np.savez_compressed(file, **arrays)  # type: ignore[arg-type]
        return [path]
    ids, values = path.with_suffix(".txt"), path.with_suffix(".npy")
    ids.write_text("\n".join(arrays.pop(str(frame.columns[0])).tolist()) + "\n")
    np.save(values, arrays["prob"], allow_pickle=False)
    return [values, ids] if plan.seed % 2 else [ids, values]
