"""`doctor`: whether vggbench is right on this machine."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from vggbench import __version__
from vggbench.cli.app import command
from vggbench.cli.options import Device, Format, Output, option
from vggbench.cli.output import put, require_output
from vggbench.cli.panels import DATA, WHAT
from vggbench.errors import Interrupted, VggbenchError, counted

if TYPE_CHECKING:
    from vggbench.studies.doctor.finding import Finding


@command()
def doctor(
    device: Device = "auto",
    data: Annotated[
        str | None, option("Time the reading of these images. Default: drawn pictures.", DATA, envvar="VGGBENCH_DATA")
    ] = None,
    full: Annotated[bool, option("Examine D at full width as well, and compiled; takes minutes.", WHAT)] = False,
    format: Format = None,
    output: Output = None,
) -> None:
    """Examine this machine: whether vggbench is right on it, and what limits it. Exit 1 if anything is wrong.

    Example: vggbench doctor --device cuda --full --format json
    """
    require_output(format, output)
    from vggbench.cli.evaluating import Teller
    from vggbench.render.tables.doctor import doctor_table
    from vggbench.studies.doctor.examination import Examination

    store = Path(os.environ.get("VGGBENCH_RUNS", "runs"))
    found: list[Finding] = []
    try:
        for finding in Examination(device, data, store, full).findings(Teller()):
            found.append(finding)
    except KeyboardInterrupt:
        if found:
            put(doctor_table(found, __version__), format, output)
        raise Interrupted("Interrupted: the table holds what was found until then.") from None
    put(doctor_table(found, __version__), format, output)
    _require_right(found)


def _require_right(found: "list[Finding]") -> None:
    wrong = [finding for finding in found if finding.seen.verdict == "wrong"]
    if wrong:
        first = f"{wrong[0].part}, {wrong[0].name}: {wrong[0].seen.said}"
        raise VggbenchError(
            f"{counted(len(wrong), 'check')} wrong, expected none. {first} Take no figure from what is wrong, and "
            "report it with the output of `vggbench doctor --format json`."
        )
