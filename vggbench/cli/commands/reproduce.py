"""`reproduce`: the paper's tables."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING, Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.options import ReproduceOptions, option
from vggbench.cli.output import put_all, require_output
from vggbench.cli.panels import DATA, WHAT
from vggbench.cli.terminal import say
from vggbench.errors import UsageError

if TYPE_CHECKING:
    from vggbench.paper.published import Member, Result
    from vggbench.render.tables.table import Table
    from vggbench.results.circumstances import Circumstances
    from vggbench.results.rows import Row
    from vggbench.studies.reproduction import Measured, Remedy
    from vggbench.weights.load import Model
    from vggbench.weights.released import Published, Released


@command()
def reproduce(
    options: ReproduceOptions,
    tables: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="TABLE...|SOURCE",
            help="Tables 1 to 7 and 11 (default: all), or a source, torchvision or oxford, for its own figures.",
        ),
    ] = None,
    nets: Annotated[
        list[str] | None, option("Add your nets, CONFIG@FILE, to the released ones.", DATA, metavar="MODEL...")
    ] = None,
    with_: Annotated[
        list[str] | None,
        option("Add other networks to Table 7, such as torchvision:resnet50.", DATA, "--with", metavar="MODEL..."),
    ] = None,
    published: Annotated[bool, option("Print the paper's figures alone, and run nothing.", WHAT)] = False,
) -> None:
    """Reproduce the paper's Tables 1 to 7 and 11, or a publisher's own figures as a first check.

    What is missing and possible is run, and what no released weights can give is named. Exit 1 if released weights
    cannot be had, as with `compare`.

    Example: vggbench reproduce torchvision --data imagenet; vggbench reproduce 3 4 5 6 --data imagenet --plan
    """
    require_output(options.format, options.output, dry=options.dry_run)
    from vggbench.render.tables.paper import published_table
    from vggbench.studies.reproduction import parse_tables

    show = partial(put_all, form=options.format, output=options.output, explained=options.explained)
    if published:
        show([published_table(number) for number in parse_tables(tables or ())])
    elif tables and not tables[0].isdecimal():
        if len(tables) > 1 or nets or with_:
            raise UsageError(f"reproduce {' '.join(tables)}: expected table numbers, or one source alone.")
        _checks(tables[0], options, show)
    else:
        _tables(parse_tables(tables or ()), nets or (), with_ or (), options, show)


def _tables(
    numbers: Sequence[int],
    named: Sequence[str],
    beside: Sequence[str],
    options: ReproduceOptions,
    show: Callable[[list["Table"]], None],
) -> None:
    """The paper's, with what is measured; none after a plan."""
    from vggbench.cli.evaluating import evaluation
    from vggbench.evaluation.models import require_loaded
    from vggbench.studies.reproduction import jobs_of, neighbours, nets_for, remedies, reproduced, results_of
    from vggbench.weights.spec import parse_model

    if beside and 7 not in numbers:
        raise UsageError("--with is for Table 7: expected 7 among the tables.")
    names = [parse_model(text).name for text in beside]
    results = results_of(numbers)
    if not results:
        show([_unmeasured(number) for number in numbers])
        return
    found = evaluation(
        [*nets_for(named, options.data), *beside], options.for_evaluation(), keep_going=True,
        jobs_of=partial(jobs_of, results=results, beside=names),
        check=partial(_say_plan, results) if options.dry_run else None,
    )  # fmt: skip
    if found is None:
        return
    rows = reproduced(found, results)
    for entry in found.entries:
        if entry.note:
            say(f"Note: {entry.note}")
    about, lacking = found.about, remedies(rows, str(options.data or "sample"))
    others = neighbours(found, names)
    show([_table(number, rows, about, lacking, others) for number in numbers])
    require_loaded(found.entries)


def _table(
    number: int,
    rows: "list[Measured]",
    about: "Circumstances",
    lacking: "dict[Member, Remedy]",
    others: "list[Row]",
) -> "Table":
    from vggbench.render.tables.paper import measured_others_table, measured_table
    from vggbench.studies.reproduction import ERROR_TABLES

    if number in ERROR_TABLES:
        return measured_table(number, [found for found in rows if found.result.table == number], about, lacking)
    return measured_others_table(rows, about, lacking, others) if number == 7 else _unmeasured(number)


def _unmeasured(number: int) -> "Table":
    """A table of nets as printed; of Table 11 the commands that measure its rows."""
    from vggbench.render.tables.paper import published_table
    from vggbench.render.tables.transfer import planned_transfer_table
    from vggbench.studies.reproduction import TRANSFER_TABLE

    return planned_transfer_table() if number == TRANSFER_TABLE else published_table(number)


def _say_plan(results: "Sequence[Result]", models: "Sequence[Model]") -> None:
    from vggbench.render.tables.paper import network
    from vggbench.studies.reproduction import lacking_members

    for result, lacking in lacking_members([model.identity for model in models], results):
        lacks = ", ".join(f"{member.config} of S={member.train_scale}" for member in lacking)
        what = f"Table {result.table}, {network(result)}, S={result.members[0].train_scale}, {result.protocol}"
        say(f"{what}: {f'lacks {lacks}' if lacks else 'can be measured'}.")


def _checks(source: str, options: ReproduceOptions, show: Callable[[list["Table"]], None]) -> None:
    """A source's own figures, with what is measured; none after a plan."""
    from vggbench.cli.evaluating import evaluation
    from vggbench.evaluation.models import require_loaded
    from vggbench.render.tables.paper import checks_table
    from vggbench.studies.reproduction import check_jobs, checked, checks_of

    checks = checks_of(source)
    found = evaluation(
        list(dict.fromkeys(row.name for row, _ in checks)), options.for_evaluation(), keep_going=True,
        jobs_of=partial(check_jobs, checks=checks), check=partial(_say_checks, checks) if options.dry_run else None,
    )  # fmt: skip
    if found:
        show([checks_table(source, checked(found, checks), found.about)])
        require_loaded(found.entries)


def _say_checks(checks: "Sequence[tuple[Released, Published]]", models: "Sequence[Model]") -> None:
    known = [model.identity.released for model in models]
    for row, figure in checks:
        say(f"{row.name}, {figure.how}: {'can be measured' if row.name in known else 'lacks its weights'}.")
