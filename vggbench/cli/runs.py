"""The work of `runs`: list, show, finish, delete, export."""

import json
from collections.abc import Sequence
from pathlib import Path

from vggbench.cli.progress import Progress
from vggbench.cli.terminal import say
from vggbench.errors import UsageError, VggbenchError, counted
from vggbench.evaluation.jobs import Settings
from vggbench.evaluation.loop import execute
from vggbench.files import write_whole
from vggbench.render.tables.contribution import result_record
from vggbench.render.tables.notes import Circumstances
from vggbench.render.tables.runs import run_table, runs_table
from vggbench.render.tables.table import Table
from vggbench.results.rows import row
from vggbench.store.per_image import per_image, write_per_image
from vggbench.store.stored import (
    StoredRun,
    continuation,
    delete,
    named_runs,
    stored_circumstances,
    stored_lines,
    stored_runs,
)

_EXPORTS = (".parquet", ".csv", ".json")


def look(root: Path, names: Sequence[str]) -> Table:
    """One run in full, or all, or those named."""
    chosen = _chosen(root, names)
    if not chosen:
        say(f"{root}/ holds no runs yet: an evaluation makes it.")
    return run_table(chosen[0]) if len(names) == 1 and len(chosen) == 1 else runs_table(root, chosen)


def finish(root: Path, names: Sequence[str], settings: Settings) -> None:
    """Compute what the named runs lack, or all; raises VggbenchError at the end if some could not be."""
    lacking = [run for run in _chosen(root, names) if not run.is_finished]
    problems = []
    for run in lacking:
        say(f"{run.title}: {counted(run.total - run.done, 'image')} to compute.")
        try:
            plan = continuation(run, settings)
            with Progress(plan) as progress:
                execute(plan, progress)
        except VggbenchError as error:
            problems.append(f"{run.title}: {error}")
    if not lacking:
        say("Nothing is left to compute.")
    if problems:
        raise VggbenchError(" ".join(problems))


def remove(root: Path, names: Sequence[str]) -> None:
    """Delete the named runs, and say which."""
    if not names:
        raise UsageError("--delete names no run: expected one or more, as `vggbench runs` lists them, or a pattern.")
    for run in named_runs(root, names):
        images, size = run.done, run.size
        delete(run)
        say(f"Deleted {run.title}: {counted(images, 'image')}, {size / 1e6:.1f} MB.")


def export(root: Path, names: Sequence[str], output: Path | None) -> None:
    """Write what one model's runs say of each image, or their result to hand in; raises VggbenchError."""
    if output is None or output.suffix not in _EXPORTS:
        raise UsageError(
            f"runs export --output {output or ''}: expected a file that ends in {', '.join(_EXPORTS)}. "
            "Each image is a row of the first two; the last is a result with its signature."
        )
    runs = named_runs(root, names)
    if not runs:
        raise UsageError("runs export names no run: expected one or more, as `vggbench runs` lists them.")
    lines = stored_lines(runs)
    if len(lines) > 1:
        raise UsageError(
            f"{lines[0].models[0].name} and {lines[1].models[0].name}: expected runs of one model. Export each alone."
        )
    (line,) = lines
    if output.suffix == ".json":
        data, settings, provenance = stored_circumstances(runs)
        record = result_record(row(line, data, settings), Circumstances(data, settings, provenance), runs)
        write_whole(output, json.dumps(record, indent=1) + "\n")
    else:
        write_per_image(per_image(line.scores, runs[0].labels()), runs[0].names_of_classes, output)
    say(f"{output}: {line.models[0].name}, {line.title}, {counted(len(line.scores.images), 'image')}.")


def _chosen(root: Path, names: Sequence[str]) -> list[StoredRun]:
    if names:
        return named_runs(root, names)
    found, complaints = stored_runs(root)
    for complaint in complaints:
        say(f"Note: {complaint}")
    return found
