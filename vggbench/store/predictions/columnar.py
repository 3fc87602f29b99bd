"""Predictions as Parquet."""

from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from vggbench.errors import DataError
from vggbench.store.predictions.part import MOST_BYTES, ROWS, Part, reading, unique

_FORM = "Parquet"


def open_parquet(path: Path) -> Part:
    """Read the schema, and refuse a file that claims more than any predictions are. Raises DataError."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    def is_list(kind: Any) -> bool:
        types = pa.types
        return bool(types.is_list(kind) or types.is_large_list(kind) or types.is_fixed_size_list(kind))

    with reading(path, _FORM), pq.ParquetFile(path) as file:
        groups = [file.metadata.row_group(number) for number in range(file.metadata.num_row_groups)]
        size = sum(group.total_byte_size for group in groups)
        if size > MOST_BYTES:
            raise DataError(f"{path} claims {size:,} bytes: expected at most {MOST_BYTES:,}. Do not trust it.")
        schema = file.schema_arrow
    unique(schema.names, path)
    return Part(path, {field.name: is_list(field.type) for field in schema}, partial(_tables, path))


def _tables(path: Path, numbers: Sequence[str], others: Sequence[str]) -> Iterator[Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    with reading(path, _FORM), pq.ParquetFile(path) as file:
        for batch in file.iter_batches(ROWS, columns=[*numbers, *others], use_threads=False):
            yield pa.Table.from_batches([batch])
