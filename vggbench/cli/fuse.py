"""The work of `fuse`: of models, of stored runs, and the paper's fusions by name."""

from collections.abc import Sequence
from dataclasses import fields, replace

from vggbench.cli.evaluate import evaluation, protocols_of, scales_of
from vggbench.cli.options import EvalOptions
from vggbench.errors import UsageError
from vggbench.paper.protocols import ANY_SCALE
from vggbench.paper.published import FUSIONS, Result
from vggbench.render.tables.errors import nets_table
from vggbench.render.tables.notes import Circumstances
from vggbench.render.tables.table import Table
from vggbench.results.judging import ground_truths, require_val
from vggbench.results.lines import fused_line, most_complete
from vggbench.results.rows import row
from vggbench.store.stored import is_run_name, named_runs, stored_circumstances, stored_lines
from vggbench.weights.load import Model

_OF_STORED_RUNS = {
    "runs", "data", "labels", "blacklist", "device", "workers", "batch_size", "verbose", "format", "output",
}  # fmt: skip
"""Options that stored runs heed, or that a shell may set for all commands alike and change no figure."""


def fuse(words: Sequence[str], options: EvalOptions, shares: Sequence[float] | None) -> Table | None:
    """The row of a fusion; None after a dry run, and in all but one of several processes."""
    name, texts = (words[0], list(words[1:])) if words[0] in FUSIONS else (None, list(words))
    stored = [is_run_name(options.runs, text) for text in texts]
    if any(stored) and not all(stored):
        raise UsageError(
            f"{texts[stored.index(True)]} is a stored run and {texts[stored.index(False)]} a model: expected all of "
            "one kind."
        )
    paper = FUSIONS[name] if name else None
    if any(stored):
        return _of_runs(texts, options, shares, paper)
    return _of_models(texts, options, shares, paper)


def _of_models(
    texts: list[str], options: EvalOptions, shares: Sequence[float] | None, paper: Result | None
) -> Table | None:
    if paper:
        texts, options = texts or _default_nets(paper), _as_in(paper, options)

    _require_shares(shares, len(set(texts)))
    last = protocols_of(options)[-1]
    if not last.combines and len(scales_of(last, options, ANY_SCALE)) > 1:
        raise UsageError("center and tencrop do not combine several Qs: expected one Q, or --dense or --multicrop.")

    def check(models: Sequence[Model]) -> None:
        _require_members(models, paper)
        _require_shares(shares, len(models))

    done = evaluation(texts, options, at_least=2, check=check)
    if done is None:
        return None
    lines = [line for model in done.models for line in most_complete(done.lines(model))]
    return nets_table(done.rows([fused_line(lines, shares or None)]), done.about)


def _of_runs(texts: Sequence[str], options: EvalOptions, shares: Sequence[float] | None, paper: Result | None) -> Table:
    _refuse_unused(options)
    runs = named_runs(options.runs, texts)
    if len(runs) < 2:
        raise UsageError(f"{' '.join(texts)}: expected two or more different runs.")
    lines = stored_lines(runs)
    _require_members([line.models[0] for line in lines], paper)
    _require_shares(shares, len(lines))
    data, settings, provenance = stored_circumstances(runs)
    truths = ground_truths(options.labels or (), options.blacklist)
    require_val(truths, data)
    fused = fused_line(lines, shares or None)
    rows = [row(fused, data, settings, truth) for truth in truths]
    return nets_table(rows, Circumstances(data, settings, provenance))


def _refuse_unused(options: EvalOptions) -> None:
    """Raise UsageError for an option that says what is evaluated, since stored runs are what they are."""
    for item in fields(options):
        if item.name not in _OF_STORED_RUNS and getattr(options, item.name) != item.default:
            raise UsageError(
                f"--{item.name.replace('_', '-')} is for models, and these are stored runs, which keep their own: "
                "expected it to be left out, or models in their place."
            )


def _require_shares(shares: Sequence[float] | None, count: int) -> None:
    if shares and (len(shares) != count or min(shares) < 0 or not 0 < sum(shares) < float("inf")):
        raise UsageError(
            f"--shares {' '.join(f'{share:g}' for share in shares)}: expected {count} numbers of 0 or more, one a net."
        )


def _as_in(paper: Result, options: EvalOptions) -> EvalOptions:
    """The paper's protocols and Qs, unless the command line names others."""
    if not (options.center or options.tencrop or options.dense or options.multicrop):
        options = replace(options, dense="dense" in paper.protocol, multicrop="multicrop" in paper.protocol)
    return options if options.scales else replace(options, scales=["multi"])


def _default_nets(paper: Result) -> list[str]:
    """Bare names, where each config is in the fusion once."""
    configs = [member.config for member in paper.members]
    if len(set(configs)) < len(configs):
        raise UsageError(
            f"This fusion is of {_members(paper)}: expected a MODEL for each, such as D@d-256.safetensors; nobody has "
            "released them all. `vggbench train --plan CONFIG` prints how they are trained."
        )
    return configs


def _require_members(models: Sequence[Model], paper: Result | None) -> None:
    if paper is None:
        return
    wanted = sorted((member.config, member.train_scale) for member in paper.members)
    found = sorted(
        (model.architecture.config.name if model.architecture else "other", str(model.train_scale)) for model in models
    )
    if found != wanted:
        have = ", ".join(f"{config} of S={scale}" for config, scale in found)
        raise UsageError(f"Found {have}: expected {_members(paper)}. Name those, or fuse without the paper's name.")


def _members(paper: Result) -> str:
    return ", ".join(f"{member.config} of S={member.train_scale}" for member in paper.members)
