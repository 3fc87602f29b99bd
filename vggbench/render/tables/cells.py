"""How a figure prints: errors with as many digits as the images bear, intervals, p, cost, time."""

from vggbench.metrics import ErrorRate
from vggbench.render.tables.table import NONE
from vggbench.results.lines import Paired
from vggbench.results.rows import Reference, Row

_MANY = 10_000
"""Images from which errors get two decimals and symmetric intervals."""


def is_many(count: int) -> bool:
    """Whether so many images bear two decimals, and an interval that is nearly symmetric."""
    return count >= _MANY


def digits(count: int) -> int:
    """Decimals of an error of so many images, in percent."""
    return 2 if is_many(count) else 1


def points(against: Paired | None) -> str:
    """A difference of errors, with * where it is significant among all of its table."""
    if against is None:
        return NONE
    return f"{against.points:+.{digits(against.images)}f}{'*' if against.is_significant else ''}"


def percent(rate: ErrorRate | None) -> str:
    """An error."""
    return NONE if rate is None else f"{rate.percent:.{digits(rate.images)}f}"


def bounds(rate: ErrorRate | None) -> str:
    """The bounds of its interval."""
    if rate is None:
        return NONE
    low, high = rate.interval
    return f"{low:.{digits(rate.images)}f}-{high:.{digits(rate.images)}f}"


def error_cell(rate: ErrorRate | None) -> str:
    """An error with its interval on the terminal, as wide as the number of images makes it."""
    if rate is None:
        return NONE
    if is_many(rate.images):
        return f"{percent(rate)} ±{rate.half_width:.2f}"
    return f"{percent(rate)} {_in_brackets(rate.interval, rate.images)}"


def error_in_markdown(rate: ErrorRate | None) -> str:
    """The same in one column of Markdown."""
    return error_cell(rate) if rate is None or is_many(rate.images) else f"{percent(rate)} {bounds(rate)}"


def paired_bounds(against: Paired | None) -> str:
    """The bounds of a difference, in points."""
    if against is None:
        return NONE
    low, high = against.interval
    return f"{low:+.{digits(against.images)}f} to {high:+.{digits(against.images)}f}"


def paired_interval(against: Paired | None) -> str:
    """The same on the terminal."""
    return NONE if against is None else _in_brackets(against.interval, against.images)


def _in_brackets(interval: tuple[float, float], images: int) -> str:
    return "[{:.{digits}f}, {:.{digits}f}]".format(*interval, digits=digits(images))


def p_value(p: float) -> str:
    """Two digits, or that it is below a ten-thousandth."""
    return f"{p:.2g}" if p >= 1e-4 else "<0.0001"


def p_cell(against: Paired | None) -> str:
    """The p of McNemar's test."""
    return NONE if against is None else p_value(against.p)


def speed(row: Row) -> str:
    """Images per second."""
    return f"{row.images_per_second:,.3g}" if row.images_per_second else NONE


def scales(row: Row) -> str:
    """All Qs."""
    return ",".join(str(scale) for scale in row.scales) or NONE


def views(row: Row) -> str:
    """The views of an image."""
    return str(row.views) if row.views else NONE


def gmacs(row: Row) -> str:
    """Per image, to print."""
    if row.macs is None:
        return NONE
    least = "≥" if row.uncounted else ""
    return least + (f"{row.macs / 1e9:.1f}" if row.macs >= 1e10 else f"{row.macs / 1e9:.3f}")


def params(row: Row) -> str:
    """In millions."""
    if row.parameters is None:
        return NONE
    return f"{row.parameters / 1e6:.{2 if row.parameters >= 1e7 else 3}f}"


def reference(reference: Reference | None, slash: str) -> str:
    """A published figure."""
    return f"{reference.top1}{slash}{reference.top5}" if reference else NONE


def difference(found: tuple[float, float | None] | None, decimals: int = 1) -> str:
    """The difference from published figures, in points."""
    if found is None:
        return NONE
    return " / ".join(NONE if value is None else f"{value:+.{decimals}f}" for value in found)


def duration(seconds: float) -> str:
    """Seconds as people say them: 12 s, 4 min, 3 h 20, 12 days."""
    if seconds < 90:
        return f"{seconds:.0f} s" if seconds >= 9.5 else f"{seconds:.1f} s"
    minutes = round(seconds / 60)
    if minutes >= 2 * 24 * 60:
        return f"{minutes / (24 * 60):,.0f} days"
    return f"{minutes} min" if minutes < 90 else f"{minutes // 60} h {minutes % 60:02d}"


def images(count: int) -> str:
    """1 image, 2 images."""
    return "1 image" if count == 1 else f"{count:,} images"
