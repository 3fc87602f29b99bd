"""`runs`: what the store holds."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from vggbench.cli import completion
from vggbench.cli.app import command
from vggbench.cli.options import Device, Format, Output, Runs, Workers, option
from vggbench.cli.output import put, require_file, require_output
from vggbench.cli.panels import OUTPUT, RUNNING
from vggbench.cli.terminal import say
from vggbench.errors import UsageError, counted

if TYPE_CHECKING:
    from vggbench.render.tables.table import Table
    from vggbench.store.runs import Run

_EXPORTS = (".parquet", ".csv", ".json")
_OF_POSTERIORS = (".parquet", ".csv", ".jsonl", ".npz")
_OTHER_WORDS = {
    "list": "vggbench runs", "ls": "vggbench runs", "all": "vggbench runs", "show": "vggbench runs RUN",
    "delete": "vggbench runs --delete RUN", "rm": "vggbench runs --delete RUN",
    "remove": "vggbench runs --delete RUN", "finish": "vggbench runs --finish",
    "resume": "vggbench runs --finish",
}  # fmt: skip
"""What people write where an option, or nothing, stands."""


@command()
def runs(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[export] [RUN...]",
            help="Names, hashes, beginnings, or patterns such as 'D-*'. Default: all. For export see above.",
            autocompletion=completion.runs,
        ),
    ] = None,
    finish: Annotated[bool, option("Compute what these runs lack. Default: all runs.", RUNNING)] = False,
    delete: Annotated[bool, option("Delete the named runs for good.", RUNNING)] = False,
    posteriors: Annotated[
        bool, option("Export all probabilities, one column per class, as `vggbench score` reads them.", OUTPUT)
    ] = False,
    runs: Runs = Path("runs"),
    device: Device = "auto",
    workers: Workers = None,
    format: Format = None,
    output: Output = None,
) -> None:
    """List the store, show one run in full, and finish, delete or export runs.

    `vggbench runs export RUN... --output FILE` writes a file by its ending. .parquet and .csv have one row per image:
    its label, the five most probable classes, the rank of the truth and the loss. .json is a result to hand in, with
    its signature and the hash of its posteriors.

    With --posteriors, .parquet, .csv, .jsonl and .npz have all probabilities, as `vggbench score` reads them. Several
    runs of one model are averaged as eval does.

    pandas.read_parquet("d.parquet"); in DuckDB: select image from 'd.parquet' where rank > 5

    Example: vggbench runs; vggbench runs export D-oxford-dense-Q384-1f2e3d4c --output d.parquet
    """
    asked = list(names or ())
    exports = asked[:1] == ["export"]
    _require_one(asked, exports=exports, finish=finish, delete=delete, writes=bool(format or output))
    if exports and output:
        require_file(output, "--output")
    elif not exports:
        require_output(format, output)
    if posteriors and not exports:
        raise UsageError("--posteriors is for runs export: expected `vggbench runs export RUN --posteriors`.")
    if exports:
        _export(runs, asked[1:], output, posteriors=posteriors)
    elif delete:
        _delete(runs, asked)
    elif finish:
        _finish(runs, asked, device, workers)
    else:
        put(_table(runs, asked), format, output)


def _require_one(asked: list[str], *, exports: bool, finish: bool, delete: bool, writes: bool) -> None:
    """Refuse words and options that ask for several things, or for what another word is for."""
    if asked and asked[0] in _OTHER_WORDS:
        raise UsageError(f"runs {' '.join(asked)}: expected `{_OTHER_WORDS[asked[0]]}`.")
    if finish + delete + exports > 1:
        raise UsageError("--finish, --delete and export: expected one of them.")
    if (finish or delete) and writes:
        raise UsageError("--finish and --delete print no table: expected no --format and no --output beside them.")


def _table(root: Path, names: list[str]) -> "Table":
    """One run in full, or all, or those named."""
    from vggbench.render.tables.runs import run_table, runs_table

    chosen = _chosen(root, names)
    if not chosen:
        say(f"{root}/ holds no runs yet: an evaluation makes it.")
    return run_table(chosen[0]) if len(names) == 1 and len(chosen) == 1 else runs_table(root, chosen, time.time())


def _finish(root: Path, names: list[str], device: str, workers: int | None) -> None:
    from vggbench.cli.evaluating import Teller
    from vggbench.evaluation.continuation import finish_runs
    from vggbench.evaluation.jobs import Settings

    lacking = [run for run in _chosen(root, names) if not run.is_finished]
    if not lacking:
        say("Nothing is left to compute.")
    finish_runs(lacking, Settings(device=device, workers=workers), Teller())


def _delete(root: Path, names: list[str]) -> None:
    from vggbench.store.runs import delete, named_runs

    if not names:
        raise UsageError("--delete names no run: expected one or more, as `vggbench runs` lists them, or a pattern.")
    for run in named_runs(root, names):
        images, size = run.done, run.size
        delete(run)
        say(f"Deleted {run.title}: {counted(images, 'image')}, {size / 1e6:.1f} MB.")


def _export(root: Path, names: list[str], output: Path | None, *, posteriors: bool) -> None:
    """Write what one model's runs say of each image, or their result to hand in."""
    from vggbench.files import write_whole
    from vggbench.results.contribution import result_record
    from vggbench.results.fusions import require_posteriors
    from vggbench.results.stored import stored
    from vggbench.store.per_image import write_per_image
    from vggbench.store.predictions.writing import write_predictions
    from vggbench.store.runs import named_runs

    endings = _OF_POSTERIORS if posteriors else _EXPORTS
    if output is None or output.suffix not in endings:
        what = (
            "Each has one row per image."
            if posteriors
            else ("Each image is a row of the first two; the last is a result with its signature.")
        )
        raise UsageError(
            f"runs export --output {output or ''}: expected a file that ends in {', '.join(endings)}. {what}"
        )
    runs = named_runs(root, names)
    if not runs:
        raise UsageError("runs export names no run: expected one or more, as `vggbench runs` lists them.")
    found = stored(runs)
    if len(found.models) > 1:
        raise UsageError(
            f"{found.models[0].name} and {found.models[1].name}: expected runs of one model. Export each alone."
        )
    line = found.whole_line(found.models[0])
    if output.suffix == ".json":
        record = result_record(found.measured([line])[0], found.about, runs)
        write_whole(output, json.dumps(record, indent=1) + "\n")
    elif posteriors:
        require_posteriors(found.models)
        write_predictions(
            line.posteriors.images,
            runs[0].labels(),
            found.models[0].names_of_classes,
            line.posteriors.batches(),
            output,
        )
    else:
        write_per_image(found.of_each_image(line), found.models[0].names_of_classes, output)
    say(f"{output}: {found.models[0].name}, {line.title}, {counted(len(line.posteriors.images), 'image')}.")


def _chosen(root: Path, names: list[str]) -> "list[Run]":
    from vggbench.store.runs import named_runs, stored_runs

    if names:
        return named_runs(root, names)
    found, complaints = stored_runs(root)
    for complaint in complaints:
        say(f"Note: {complaint}")
    return found
