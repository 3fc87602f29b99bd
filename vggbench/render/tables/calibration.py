"""Columns and notes of `--metrics calibration`; each note stands where its column does."""

from collections.abc import Sequence
from functools import partial

from vggbench.errors import counted
from vggbench.render.tables.cells import is_many
from vggbench.render.tables.footer import Note
from vggbench.render.tables.table import NONE, Column
from vggbench.results.calibration import BINS, COOLEST, HOTTEST, LEAST_POSTERIOR
from vggbench.results.rows import Row

_FIGURES: tuple[tuple[str, str, str], ...] = (
    ("ECE", "ece",
     f"expected calibration error: accuracy's distance from confidence, the top class's posterior, over {BINS} bins of "
     "equal width, [low, high), the last with 1 (Guo et al. 2017)."),
    ("T", "temperature",
     "temperature, p^(1/T) over its sum, of least NLL on half of the images, halved by a hash of their ids; mean of "
     f"both halves', from {COOLEST:g} to {HOTTEST:g}."),
    ("ECE at T", "ece_tempered", "after it, each half at the T of the other."),
    ("NLL", "nll", "mean of -ln of the label's posterior."),
    ("Brier", "brier",
     "mean of the sum over classes of (posterior - 1 for the label, - 0 for others) squared, 0 to 2."),
    ("ECE by mass", "ece_equal_mass",
     f"over {BINS} bins of as many images each; equal confidences share one."),
    ("AURC", "aurc",
     "area under the risk-coverage curve: mean top-1 error, as a share, of the 1, 2, ... all most confident images, "
     "equal ones in mean order (Geifman and El-Yaniv 2017)."),
)  # fmt: skip
"""Heading, field of `Calibration` and meaning, the first to stand on a narrow terminal first."""


def calibration_columns(rows: Sequence[Row]) -> list[Column]:
    """None unless a row was asked for it; on the terminal as many as there is room for."""
    if not any(row.calibration for row in rows):
        return []
    return [
        Column(heading, partial(_cell, key=key), right=True, optional=True, spare=True) for heading, key, _ in _FIGURES
    ]


def calibration_notes(rows: Sequence[Row]) -> list[Note]:
    """What each column is, and what was clamped or scored among fewer classes."""
    found = [row.calibration for row in rows if row.calibration]
    if not found:
        return []
    headings = tuple(heading for heading, _, _ in _FIGURES)
    notes = [_note(f"{heading}: {meaning}", (heading,)) for heading, _, meaning in _FIGURES]
    if any(row.among for row in rows):
        notes.append(_note("Among the data's classes posteriors are divided by their sum there.", headings))
    clamped = sum(own.clamped for own in found)
    if clamped:
        what = f"{counted(clamped, 'posterior')} of labels below {LEAST_POSTERIOR:.3g}"
        notes.append(
            _note(f"{what}, float32's smallest normal number, counted as that, in all rows together.", ("NLL",))
        )
    if any(own.temperature is None for own in found):
        notes.append(_note("No T where all images fall into one half.", headings))
    return notes


_note = partial(Note, kind="calibration", place="detail")


def _cell(row: Row, key: str) -> str:
    found = row.calibration
    figure: float | None = getattr(found, key, None)
    return NONE if found is None or figure is None else f"{figure:.{4 if is_many(found.images) else 3}f}"
