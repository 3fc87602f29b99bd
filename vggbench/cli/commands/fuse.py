"""`fuse`: ConvNet fusion."""

from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.completion import models_and_runs
from vggbench.cli.options import EvalOptions, option
from vggbench.cli.output import put, require_output
from vggbench.cli.panels import WHAT

if TYPE_CHECKING:
    from vggbench.paper.published import Result
    from vggbench.results.evaluated import Evaluated


@command()
def fuse(
    models: Annotated[
        list[str],
        typer.Argument(
            metavar="MODEL|RUN...",
            help="Models, or runs of the store by name. two-net or seven-net before them: a fusion of the "
            "paper's Table 6.",
            autocompletion=models_and_runs,
        ),
    ],
    options: EvalOptions,
    shares: Annotated[
        list[float] | None,
        option("Weight the nets by these, in order. Default: all alike.", WHAT, metavar="N...", min=0),
    ] = None,
) -> None:
    """Average the posteriors of several models: ConvNet fusion (paper, section 4.4, Table 6).

    The first row is the fusion, tested against the best single net by McNemar's exact test. The single nets follow.

    Example: vggbench fuse D@d.safetensors E@e.safetensors --data imagenet --scales multi --dense --multicrop
    """
    require_output(options.format, options.output, dry=options.dry_run)
    from vggbench.cli.stored import of_words
    from vggbench.render.tables.errors import nets_table
    from vggbench.results.evaluated import fused
    from vggbench.results.fusions import name_runs, split_name

    paper, texts = split_name(models)
    has_runs = name_runs(options.runs, texts)
    found = of_words(texts, options, 2) if has_runs else _of_models(texts, options, shares or None, paper)
    if found:
        rows = fused(found, shares or None, paper)
        put(nets_table(rows, found.about, rows[0].against), options.format, options.output, explained=options.explained)


def _of_models(
    texts: list[str], options: EvalOptions, shares: list[float] | None, paper: "Result | None"
) -> "Evaluated | None":
    from vggbench.cli.evaluating import asked, evaluation
    from vggbench.evaluation.request import Manner
    from vggbench.results.fusions import default_nets, require_fusible, require_nets

    if paper:
        texts, options = texts or default_nets(paper), _as_in(paper, options)
    require_fusible(texts, asked(Manner, options), shares)
    return evaluation(texts, options, check=partial(require_nets, texts=texts, shares=shares, paper=paper))


def _as_in(paper: "Result", options: EvalOptions) -> EvalOptions:
    """The paper's protocols and Qs, unless the command line names others."""
    if not (options.center or options.tencrop or options.dense or options.multicrop):
        options = replace(options, dense="dense" in paper.protocol, multicrop="multicrop" in paper.protocol)
    return options if options.scales else replace(options, scales=["multi"])
