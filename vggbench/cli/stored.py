"""Stored runs instead of models, or with them, and the options that apply to them. Imported once there are some."""

from collections.abc import Sequence
from dataclasses import fields, replace

from vggbench.cli.options import EvalOptions
from vggbench.errors import UsageError
from vggbench.results.evaluated import Evaluated
from vggbench.results.judging import ground_truths
from vggbench.results.stored import stored
from vggbench.store.runs import is_run_name, named_runs

_HEEDED = {
    "runs", "data", "labels", "blacklist", "classes_of_data", "metrics", "device", "workers", "batch_size", "verbose",
    "format", "output",
}  # fmt: skip
"""Options that apply to stored runs, or that a shell may set for all commands and that change no figure."""


def of_words(texts: Sequence[str], options: EvalOptions, at_least: int = 1) -> Evaluated | None:
    """What the words name; at least one is a stored run. Stored runs and models stand in the order given.

    None where another process goes on, or after a dry run. Raises UsageError and StoreError.
    """
    is_stored = [is_run_name(options.runs, text) for text in texts]
    if all(is_stored):
        return of_runs(texts, options, at_least)
    from vggbench.cli.evaluating import evaluation

    models = [text for text, own in zip(texts, is_stored, strict=True) if not own]
    computed = evaluation(models, options)
    if computed is None:
        return None
    if len(computed.models) != len(models):
        raise UsageError(f"{' '.join(models)}: expected different models, each once.")
    truths = ground_truths(options.labels or (), options.blacklist, options.classes_of_data or ())
    each = iter(replace(computed, runs=[run for run in computed.runs if run.identity.key == model.key])
                for model in computed.models)  # fmt: skip
    parts = [stored(named_runs(options.runs, [text]), truths, options.metrics or ()) if own else next(each, None)
             for text, own in zip(texts, is_stored, strict=True)]  # fmt: skip
    first, *others = [part for part in parts if part]
    return replace(first.joined(*others), data=computed.data, settings=computed.settings)


def of_runs(texts: Sequence[str], options: EvalOptions, at_least: int = 1) -> Evaluated:
    """The runs that words name, by the ground truths asked for; raises UsageError and StoreError."""
    for item in fields(options):
        if item.name not in _HEEDED and getattr(options, item.name) != item.default:
            raise UsageError(
                f"--{item.name.replace('_', '-')} is for models, and these are stored runs, which keep their own: "
                "expected it to be left out, or models instead."
            )
    runs = named_runs(options.runs, texts)
    if len(runs) < at_least:
        raise UsageError(f"{' '.join(texts)}: expected two or more different runs.")
    truths = ground_truths(options.labels or (), options.blacklist, options.classes_of_data or ())
    return stored(runs, truths, options.metrics or ())
