"""Stored runs in place of models: which options they heed. Imported once there are some: results are not light."""

from collections.abc import Sequence
from dataclasses import fields

from vggbench.cli.options import EvalOptions
from vggbench.errors import UsageError
from vggbench.results.evaluated import Evaluated
from vggbench.results.judging import ground_truths
from vggbench.results.stored import stored
from vggbench.store.runs import named_runs

_HEEDED = {
    "runs", "data", "labels", "blacklist", "device", "workers", "batch_size", "verbose", "format", "output",
}  # fmt: skip
"""Options that stored runs heed, or that a shell may set for all commands alike and change no figure."""


def of_runs(texts: Sequence[str], options: EvalOptions, at_least: int = 1) -> Evaluated:
    """The runs that words name, by the ground truths asked for; raises UsageError and StoreError."""
    for item in fields(options):
        if item.name not in _HEEDED and getattr(options, item.name) != item.default:
            raise UsageError(
                f"--{item.name.replace('_', '-')} is for models, and these are stored runs, which keep their own: "
                "expected it to be left out, or models in their place."
            )
    runs = named_runs(options.runs, texts)
    if len(runs) < at_least:
        raise UsageError(f"{' '.join(texts)}: expected two or more different runs.")
    return stored(runs, ground_truths(options.labels or (), options.blacklist))
