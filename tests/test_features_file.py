"""The file of descriptors: what is written is read, by us and by others; what is not right is refused by a sentence."""

import hashlib
import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from vggbench.errors import DataError
from vggbench.store.blocks import rows_of_group
from vggbench.store.features import ABOUT, Features, read_features, write_features

IMAGES, NUMBERS = 50, 12
DRAWN = np.random.default_rng(0).random((IMAGES, NUMBERS)).astype(np.float32)
IDS = [f"picture {at}" for at in range(IMAGES)]
LABELS = np.arange(IMAGES, dtype=np.int32) % 3
TOLD: dict[str, Any] = {
    "models": ["D@x"], "weights": ["ab"], "layer": "fc7", "after_relu": True, "pool": "average", "views": "dense",
    "scales": [256, 384], "over_scales": "stack", "l2": True, "input": {"D@x": {}}, "classes": ["a", "b", "c"],
    "data": "d", "signatures": ["s"], "vggbench": "0",
}  # fmt: skip


def written(path: Path, *, half: bool = False, **changes: Any) -> Path:
    write_features(path, IDS, LABELS, (DRAWN[at : at + 7] for at in range(0, IMAGES, 7)), TOLD | changes, half=half)
    return path


def rewritten(path: Path, **columns: Any) -> Path:
    """With other columns and the same metadata."""
    table = pq.read_table(written(path))
    for name, values in columns.items():
        table = table.set_column(table.column_names.index(name), name, values)
    pq.write_table(table, path)
    return path


def fixed(rows: np.ndarray[Any, np.dtype[Any]]) -> pa.Array:
    return pa.FixedSizeListArray.from_arrays(pa.array(rows.reshape(-1)), rows.shape[1])


@pytest.mark.parametrize("half", [False, True])
def test_what_is_written_is_read(tmp_path: Path, half: bool) -> None:
    found = read_features(written(tmp_path / "f.parquet", half=half))
    assert found.images == tuple(IDS)
    assert found.classes == ("a", "b", "c")
    assert (found.labels == LABELS).all()
    assert found.descriptors.dtype == np.float32
    assert (found.descriptors == (DRAWN.astype(np.float16) if half else DRAWN)).all()
    assert {name: found.about[name] for name in ABOUT} == TOLD
    assert found.title == "D@x fc7 Q=256, 384"


@pytest.mark.parametrize("half", [False, True])
def test_others_read_it(tmp_path: Path, half: bool) -> None:
    path, expected = written(tmp_path / "f.parquet", half=half), DRAWN.astype(np.float16) if half else DRAWN
    frame = pd.read_parquet(path)
    assert (np.stack(frame.descriptor.tolist()) == expected).all()
    assert list(frame.image) == IDS
    rows = duckdb.sql(f"select image, label, descriptor from '{path}'").fetchall()
    assert [row[:2] for row in rows] == list(zip(IDS, LABELS.tolist(), strict=True))
    assert (np.array([row[2] for row in rows], np.float32) == expected).all()


def test_a_file_that_was_written_again_by_arrow_is_read(tmp_path: Path) -> None:
    assert (read_features(rewritten(tmp_path / "f.parquet")).descriptors == DRAWN).all()


def test_data_without_labels(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    write_features(path, IDS, np.full(IMAGES, -1), [DRAWN], TOLD | {"classes": None})
    found = read_features(path)
    assert found.classes is None
    assert set(found.labels.tolist()) == {-1}


@pytest.mark.parametrize(
    ("columns", "sentence"),
    [
        ({"image": pa.array(["twice", "twice", *IDS[2:]])}, "holds twice twice"),
        ({"image": pa.array([None, *IDS[1:]])}, "lacks a value"),
        ({"image": pa.array(range(IMAGES))}, "has the columns image (int64)"),
        ({"label": pa.array(LABELS + 1)}, "has labels from 1 to 3 and 3 classes"),
        ({"label": pa.array(LABELS - 2)}, "has labels from -2"),
        ({"label": pa.array(LABELS.astype(np.int64))}, "label (int64)"),
        ({"descriptor": fixed(np.where(DRAWN > 0.99, np.nan, DRAWN))}, "holds NaN or infinity in the descriptor of"),
        ({"descriptor": fixed(np.where(DRAWN > 0.99, np.inf, DRAWN))}, "holds NaN or infinity"),
        ({"descriptor": pa.array(DRAWN.tolist())}, "descriptor (list<"),
        ({"descriptor": pa.array(DRAWN[:, 0])}, "descriptor (float)"),
        ({"descriptor": fixed(DRAWN.astype(np.float64))}, "(fixed_size_list<"),
    ],
)
def test_what_is_not_right_is_refused(tmp_path: Path, columns: dict[str, Any], sentence: str) -> None:
    with pytest.raises(DataError) as refused:
        read_features(rewritten(tmp_path / "f.parquet", **columns))
    told = str(refused.value).replace("double", "float")
    assert sentence in told
    assert ": expected" in told


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"kind": "posteriors"}, "is not a file of descriptors"),
        ({"format": 2}, "is of format 2"),
        ({"layer": 7}, "nothing right of its layer"),
        ({"classes": ["a", "a"]}, "nothing right of its classes"),
        ({"models": []}, "nothing right of its models"),
        ({"weights": []}, "nothing right of its weights"),
        ({"weights": [None]}, "nothing right of its weights"),
        ({"scales": []}, "nothing right of its scales"),
        ({"scales": [256, -1]}, "nothing right of its scales"),
        ({"signatures": [{}]}, "nothing right of its signatures"),
        ({"scales": ["256"]}, "nothing right of its scales"),
        ({"classes": None}, "has labels from 0 to 2 and 0 classes"),
    ],
)
def test_what_it_says_of_itself_is_checked(tmp_path: Path, changes: dict[str, Any], sentence: str) -> None:
    table = pq.read_table(written(tmp_path / "f.parquet"))
    about = json.loads(table.schema.metadata[b"vggbench"]) | changes
    told = json.dumps(about).encode()
    digest = hashlib.sha256(told).hexdigest()
    kept = {"vggbench": told, "vggbench.sha256": digest}
    pq.write_table(table.replace_schema_metadata(kept), tmp_path / "f.parquet")
    with pytest.raises(DataError, match="expected") as refused:
        read_features(tmp_path / "f.parquet")
    assert sentence in str(refused.value)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    with pytest.raises(DataError, match="There is no file"):
        read_features(path)
    path.write_bytes(b"no Parquet")
    with pytest.raises(DataError, match="cannot be read as Parquet"):
        read_features(path)
    pq.write_table(pa.table({"a": [1]}), path)
    with pytest.raises(DataError, match="is not a file of descriptors"):
        read_features(path)


def test_a_file_that_inflates_is_refused_before_memory_is_taken(tmp_path: Path) -> None:
    path, part, numbers = tmp_path / "f.parquet", 100, 1 << 16
    schema = pq.read_schema(written(path)).set(2, pa.field("descriptor", pa.list_(pa.float32(), numbers)))
    rows = [pa.array(["a"] * part), pa.array(np.zeros(part, np.int32)), fixed(np.zeros((part, numbers), np.float32))]
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for _ in range(3):
            writer.write_table(pa.table(rows, schema=schema))
    with pytest.raises(DataError, match="Do not trust it"):
        read_features(path)


def test_long_names_are_refused_before_memory_is_taken(tmp_path: Path) -> None:
    """A file holds one copy of a name that is in every row; read, such names would be 200 times as long as the file."""
    path = tmp_path / "f.parquet"
    schema = pq.read_schema(written(path))
    names = pa.array(["x" * 20_000] * 400)
    with pq.ParquetWriter(path, schema, compression="zstd") as writer:
        for _ in range(20):
            rows = [
                names,
                pa.array(np.zeros(400, np.int32)),
                fixed(np.random.default_rng(0).random((400, NUMBERS), "f")),
            ]
            writer.write_table(pa.table(rows, schema=schema))
    assert path.stat().st_size < 800_000
    with pytest.raises(DataError, match=r"names of images .* Do not trust it"):
        read_features(path)


def test_names_as_long_as_paths_are_read(tmp_path: Path) -> None:
    path = tmp_path / "f.parquet"
    long = [f"{at:0250}" for at in range(IMAGES)]
    write_features(path, long, LABELS, [DRAWN[:, :1]], TOLD)
    assert read_features(path).images == tuple(long)


def test_damage_is_refused_or_does_no_harm(tmp_path: Path) -> None:
    path = written(tmp_path / "f.parquet")
    whole, draw = path.read_bytes(), np.random.default_rng(1)
    refused = 0
    for _ in range(150):
        broken = bytearray(whole)
        broken[int(draw.integers(len(whole)))] ^= 1 << int(draw.integers(8))
        path.write_bytes(broken)
        try:
            found = read_features(path)
        except DataError:
            refused += 1
            continue
        assert isinstance(found, Features)
        assert (found.descriptors == DRAWN).all()
        assert found.images == tuple(IDS)
        assert {name: found.about[name] for name in ABOUT} == TOLD
    assert refused > 100


def test_a_row_group_is_small_however_wide_a_descriptor() -> None:
    assert rows_of_group(4096) == 512
    assert rows_of_group(100) == 1024
    assert rows_of_group(1 << 24) == 1
