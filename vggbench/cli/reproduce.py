"""The work of `reproduce`: print what is published, or measure it."""

from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial

from vggbench.cli.evaluate import evaluation
from vggbench.cli.models import require_loaded
from vggbench.cli.options import ReproduceOptions
from vggbench.cli.terminal import say
from vggbench.data import is_sample
from vggbench.errors import UsageError
from vggbench.evaluation.jobs import Job
from vggbench.paper.configs import CONFIGS, PAPER
from vggbench.render.tables.paper import checks_table, measured_others_table, measured_table, network, published_table
from vggbench.render.tables.table import Table
from vggbench.studies.reproduction import (
    ERROR_TABLES,
    check_jobs,
    checked,
    checks_of,
    jobs_for,
    lacking_members,
    parse_tables,
    remedies,
    reproduced,
    results_of,
)
from vggbench.weights.load import Model
from vggbench.weights.released import Published, Released, released


def published(texts: Sequence[str]) -> list[Table]:
    """The paper's own figures."""
    return [published_table(number) for number in parse_tables(texts)]


def reproduce(
    texts: Sequence[str], nets: Sequence[str], options: ReproduceOptions, show: Callable[[list[Table]], None]
) -> None:
    """Show tables of the paper or of a source, with what is measured; none after a plan. Raises as `require_loaded`."""
    if texts and not texts[0].isdecimal():
        if len(texts) > 1 or nets:
            raise UsageError(f"reproduce {' '.join(texts)}: expected table numbers, or one source alone.")
        _checks(texts[0], options, show)
        return
    numbers = parse_tables(texts)
    results = results_of(numbers)
    models: list[Model] = []

    def jobs(model: Model) -> list[Job]:
        models.append(model)
        return jobs_for(model, results)

    if not results:
        show([published_table(number) for number in numbers])
        return
    done = evaluation(
        _nets(nets, options), options.for_evaluation(), keep_going=True, jobs_of=jobs,
        check=partial(_say_plan, numbers) if options.dry_run else None,
    )  # fmt: skip
    if done is None:
        return
    rows = reproduced(done.plan, models, results, done.about.settings)
    lacking = remedies(rows, str(options.data or "sample"))
    tables = []
    for number in numbers:
        if number in ERROR_TABLES:
            own = [found for found in rows if found.result.table == number]
            tables.append(measured_table(number, own, done.about, lacking))
        elif number == 7:
            tables.append(measured_others_table(rows, done.about, lacking))
        else:
            tables.append(published_table(number))
    for entry in done.entries:
        if entry.note:
            say(f"Note: {entry.note}")
    show(tables)
    require_loaded(done.entries)


def _nets(named: Sequence[str], options: ReproduceOptions) -> list[str]:
    """Those named, and bare names of the paper's nets that are not: the sample's six, else what was released."""
    given = {text.partition("@")[0] for text in named}
    on_sample = options.data is None or is_sample(options.data)
    usual = PAPER if on_sample else [name for name in PAPER if released(CONFIGS[name], "oxford")]
    return [*named, *(name for name in usual if name not in given)]


def _say_plan(numbers: Sequence[int], models: Sequence[Model]) -> None:
    for found in lacking_members(models, results_of(numbers)):
        result = found.result
        lacks = ", ".join(f"{member.config} of S={member.train_scale}" for member in found.lacking)
        what = f"Table {result.table}, {network(result)}, S={result.members[0].train_scale}, {result.protocol}"
        say(f"{what}: {f'lacks {lacks}' if lacks else 'can be measured'}.")


def _say_checks(checks: Sequence[tuple[Released, Published]], models: Sequence[Model]) -> None:
    known = [model.released for model in models]
    for row, figure in checks:
        say(f"{row.name}, {figure.how}: {'can be measured' if row in known else 'lacks its weights'}.")


def _checks(source: str, options: ReproduceOptions, show: Callable[[list[Table]], None]) -> None:
    checks = checks_of(source)
    names = list(dict.fromkeys(row.name for row, _ in checks))
    models: list[Model] = []

    def jobs(model: Model) -> list[Job]:
        models.append(model)
        return check_jobs(model, checks)

    done = evaluation(
        names, options.for_evaluation(), keep_going=True, jobs_of=jobs,
        check=partial(_say_checks, checks) if options.dry_run else None,
    )  # fmt: skip
    if done is None:
        return
    notes = {entry.spec.name: entry.note for entry in done.entries if entry.note}
    rows = [
        replace(row, note=notes.get(row.released.name))
        for row in checked(done.plan, models, checks, done.about.settings)
    ]
    show([checks_table(source, rows, done.about)])
    require_loaded(done.entries)
