"""The tables of `speed`: forward passes, and the reading of images."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from vggbench.errors import counted
from vggbench.render.tables.footer import Note
from vggbench.render.tables.table import NONE, Column, Table

if TYPE_CHECKING:
    from vggbench.studies.speed import Reading, Timings


def speed_table(rows: "Sequence[Timings]", products: Mapping[Any, float]) -> Table:
    """One row for each model and setup; `products` are the rates of matrix products by precision."""
    return Table(
        title=f"Forward passes | {rows[0].device}, {counted(rows[0].threads, 'thread')}",
        rows=rows,
        terminal=_columns(),
        markdown=_columns(),
        record=_record,
        notes=_notes(rows, products),
    )


def reading_table(rows: "Sequence[Reading]") -> Table:
    """One row for each number of workers."""
    columns = [
        Column("Workers", lambda row: str(row.workers), right=True),
        Column("Images", lambda row: f"{row.images:,}", right=True),
        Column("Images/s", lambda row: f"{row.images_per_second:,.0f}", right=True),
        Column("p10-p90", lambda row: "{:,.0f}-{:,.0f}".format(*row.quantiles), right=True),
        Column("ms/image", lambda row: f"{1000 / row.images_per_second:,.2f}", right=True),
    ]
    scales = ", ".join(str(scale) for scale in rows[0].scales)
    return Table(
        title=f"Reading {rows[0].data.name} | {rows[0].data.layout} | Q={scales}",
        rows=rows,
        terminal=columns,
        markdown=columns,
        record=_reading_record,
        notes=[
            "Images are read, decoded once, rescaled to every Q and handed over as uint8: the most that an "
            "evaluation waits for.",
            "Workers 0: in the main process. p10-p90: of 32 images each.",
        ],
    )


def _columns() -> list[Column]:
    def timed(cell: Any) -> Any:
        return lambda row: cell(row) if row.seconds else NONE

    return [
        Column("Network", lambda row: row.network),
        Column("Backend", lambda row: row.setup.backend),
        Column("Prec.", lambda row: row.setup.precision),
        Column("Batch", lambda row: str(row.setup.batch), right=True),
        Column("Size", lambda row: str(row.setup.size), right=True),
        Column("ms", timed(lambda row: _ms(row.quantiles[1])), right=True),
        Column("p10-p90", timed(lambda row: f"{_ms(row.quantiles[0])}-{_ms(row.quantiles[2])}"), right=True,
               from_width=100),
        Column("Images/s", timed(lambda row: f"{row.images_per_second:,.1f}"), right=True),
        Column("GMAC/s", timed(lambda row: _giga(row.macs_per_second)), right=True, optional=True),
        Column("Share", timed(_share), right=True, optional=True),
        Column("Peak MB", lambda row: f"{row.peak_bytes / 1e6:,.0f}" if row.peak_bytes else NONE, right=True,
               from_width=90, optional=True),
    ]  # fmt: skip


def _notes(rows: "Sequence[Timings]", products: Mapping[Any, float]) -> list[str | Note]:
    rates = ", ".join(f"{_giga(rate)} GMAC/s in {precision}" for precision, rate in products.items())
    fewest = min((len(row.seconds) for row in rows if row.seconds), default=0)
    notes: list[str | Note] = [
        f"Median of {fewest} or more passes after warming up, from uint8 images on the device to score maps; "
        f"{', '.join(dict.fromkeys(row.version for row in rows))}.",
        Note(
            f"Share: of the rate of 4096 x 4096 matrix products measured in the same run, {rates}, by the faster of "
            "PyTorch and NumPy.",
            ("Share",),
        ),
        Note("1 MAC = 2 FLOPs.", ("GMAC/s",), same_line=True),
    ]
    if any(row.peak_bytes for row in rows):
        where = "of the whole process" if rows[0].device == "cpu" else "of PyTorch on the device"
        notes.append(Note(f"Peak: memory {where}, weights included.", ("Peak MB",)))
    if any(not row.seconds for row in rows):
        notes.append(f"{NONE}: not enough memory.")
    return notes


def _record(row: "Timings") -> dict[str, Any]:
    low, middle, high = row.quantiles if row.seconds else (None, None, None)
    rate = row.macs_per_second if row.seconds else None
    return {
        "network": row.network,
        "config": row.architecture.config.name if row.architecture else None,
        "width": row.architecture.width if row.architecture else None,
        "classes": row.classes,
        "backend": row.setup.backend,
        "backend_version": row.version,
        "precision": row.setup.precision,
        "device": row.device,
        "threads": row.threads,
        "batch_size": row.setup.batch,
        "size": row.setup.size,
        "iterations": len(row.seconds),
        "median_seconds": middle,
        "p10_seconds": low,
        "p90_seconds": high,
        "images_per_second": row.images_per_second if row.seconds else None,
        "gmacs_per_second": rate and rate / 1e9,
        "product_gmacs_per_second": row.product_rate / 1e9,
        "share_of_product": row.share if row.seconds else None,
        "peak_bytes": row.peak_bytes,
    }


def _reading_record(row: "Reading") -> dict[str, Any]:
    low, high = row.quantiles
    return {
        "data": row.data.name,
        "layout": row.data.layout,
        "test_scales": list(row.scales),
        "workers": row.workers,
        "images": row.images,
        "images_per_second": row.images_per_second,
        "p10_images_per_second": low,
        "p90_images_per_second": high,
    }


def _ms(seconds: float) -> str:
    return f"{1000 * seconds:,.{1 if seconds < 1 else 0}f}"


def _giga(rate: float | None) -> str:
    return NONE if rate is None else f"{rate / 1e9:,.{1 if rate < 1e11 else 0}f}"


def _share(row: "Timings") -> str:
    return NONE if row.share is None else f"{row.share:.2f}"
