"""The words by which devices, precisions and backends are asked for; importing them imports nothing heavy."""

from collections.abc import Sequence
from typing import Literal

from vggbench.errors import UsageError, did_you_mean
from vggbench.paper.configs import MAX_WIDTH

DEVICE = r"auto|(cpu|cuda|mps)(:\d{1,3})?"
Precision = Literal["fp32", "tf32", "bf16", "fp16"]
BackendName = Literal["pytorch", "pytorch+compile", "onnxruntime"]
"""What a run's signature names."""
Asked = Literal["auto", "onnxruntime", "pytorch"]
"""What --backend takes."""


def require_choice(option: str, value: str | None, allowed: Sequence[str | None]) -> None:
    """Raise UsageError unless `value` is one of those."""
    if value not in allowed:
        known = [choice for choice in allowed if choice]
        one_of = "one of " if len(known) > 1 else ""
        raise UsageError(f"{option} {value}: expected {one_of}{', '.join(known)}.{did_you_mean(value, known)}")


def require_least(option: str, count: float | None, least: int) -> None:
    """Raise UsageError for a number below `least`."""
    if count is not None and not count >= least:
        raise UsageError(f"{option} {count}: expected {least} or more.")


def require_width(width: float) -> None:
    """Raise UsageError for a width that no net can have."""
    if not 0 < width <= MAX_WIDTH:
        raise UsageError(f"--width {width}: expected a number above 0 and up to {MAX_WIDTH:g}; 1 is the paper's.")
