"""`quickstart`: six nets, a table and a picture in half a minute."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

from vggbench.cli.app import command
from vggbench.cli.options import Format, Output, Runs, option
from vggbench.cli.output import put, require_file, require_output
from vggbench.cli.panels import OUTPUT
from vggbench.cli.questions import NEXT
from vggbench.cli.terminal import say

if TYPE_CHECKING:
    from vggbench.studies.quickstart import Quickstart


@command()
def quickstart(
    runs: Runs = Path("runs"),
    map: Annotated[Path, option("Draw where the net D sees a fish: a .png, .svg or .pdf.", OUTPUT)] = Path(
        "quickstart.png"
    ),
    format: Format = None,
    output: Output = None,
) -> None:
    """Try vggbench in half a minute: six small nets on 120 drawn pictures, a table, a picture, and what to type next.

    No file of yours and no network are needed. The errors say nothing about ImageNet.

    Example: vggbench quickstart
    """
    require_output(format, output)
    require_file(map, "--map")
    from vggbench.render.plots.figure import require_picture

    require_picture(map)
    from vggbench.cli.evaluating import Teller
    from vggbench.render.tables.errors import nets_table
    from vggbench.studies.quickstart import quickstart as started

    found = started(runs, Teller(forecasts=False))
    put(nets_table(found.rows, found.found.about), format, output)
    _draw(found, map)
    say("What to try next:")
    for line in NEXT:
        say(f"  {line}")


def _draw(found: "Quickstart", path: Path) -> None:
    from vggbench.render.plots.figure import save
    from vggbench.render.plots.score_map import score_map

    save(score_map(found.pixels.permute(1, 2, 0).numpy(), found.map, found.title, found.how), path)
    say(f"{path}: where {found.how.partition(',')[0]} sees the {found.title.partition(':')[0]}.")
