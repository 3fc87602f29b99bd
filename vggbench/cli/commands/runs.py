"""`runs`: what the store holds."""

from pathlib import Path
from typing import Annotated

import typer

from vggbench.cli import completion
from vggbench.cli.app import command
from vggbench.cli.options import RUNNING, Device, Format, Output, Runs, Workers, option
from vggbench.cli.output import put, require_file, require_output
from vggbench.errors import UsageError

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
            help="Names, hashes, beginnings, or patterns such as 'D-*'; none: all. After export: see below.",
            autocompletion=completion.runs,
        ),
    ] = None,
    finish: Annotated[bool, option("Compute what these runs, or all, lack.", RUNNING)] = False,
    delete: Annotated[bool, option("Delete the runs named, for good.", RUNNING)] = False,
    runs: Runs = Path("runs"),
    device: Device = "auto",
    workers: Workers = None,
    format: Format = None,
    output: Output = None,
) -> None:
    """List the store; show one run in full; finish, delete or export runs.

    `vggbench runs export RUN... --output FILE` writes, by FILE's ending, .parquet or .csv with one row an image (its
    label, the five most probable classes, the rank of the truth, the loss), or .json, a result with its signature and
    the hash of its posteriors, to hand in. Several runs of one model are averaged as eval does.

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
    from vggbench.cli import runs as work
    from vggbench.evaluation.jobs import Settings

    if exports:
        work.export(runs, asked[1:], output)
    elif delete:
        work.remove(runs, asked)
    elif finish:
        work.finish(runs, asked, Settings(device=device, workers=workers))
    else:
        put(work.look(runs, asked), format, output)


def _require_one(asked: list[str], *, exports: bool, finish: bool, delete: bool, writes: bool) -> None:
    """Refuse words and options that ask for several things, or for what another word is for."""
    if asked and asked[0] in _OTHER_WORDS:
        raise UsageError(f"runs {' '.join(asked)}: expected `{_OTHER_WORDS[asked[0]]}`.")
    if finish + delete + exports > 1:
        raise UsageError("--finish, --delete and export: expected one of them.")
    if (finish or delete) and writes:
        raise UsageError("--finish and --delete print no table: expected no --format and no --output beside them.")
