"""`check`: is this the published accuracy?"""

from typing import TYPE_CHECKING, Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.options import CheckOptions, ModelName, number, option
from vggbench.cli.output import put, require_output
from vggbench.cli.panels import WHAT
from vggbench.cli.terminal import say_progress

if TYPE_CHECKING:
    from vggbench.studies.checking.claim import Judged


@command()
def check(
    model: ModelName,
    options: CheckOptions,
    expect: Annotated[
        str | None,
        option(
            "Test this claim: top-1 and top-5 error in percent, such as 28.41/9.62. Default: the publisher's.",
            WHAT,
            metavar="T1/T5",
        ),
    ] = None,
    images: Annotated[int, number("Take at most this number of images, in a seeded random order.", WHAT, 1)] = 10_000,
) -> None:
    """Test a claimed accuracy in minutes: images in random order, until the claim is refuted.

    After each block of images a confidence sequence tests the claimed error. It is valid at every moment at once, at 1%
    for top-1 and top-5 together.

    If the claim is refuted, likely causes are tried on the same images, and a change that explains it is named.
    Exit 0: not refuted; 1: refuted. `eval` resumes from what is stored.

    Example: vggbench check D@torchvision --data imagenet --center
    """
    require_output(options.format, options.output)
    from vggbench.cli.evaluating import Teller, asked
    from vggbench.evaluation.request import Request
    from vggbench.render.tables.checking import closing, verdict_table
    from vggbench.studies.checking.check import checked

    def tell(judged: "Judged") -> None:
        say_progress(closing(judged))

    request = asked(Request, options, models=(model,), data=options.data)
    found = checked(request, Teller(), expect=expect, images=images, tell=tell)
    put(verdict_table(found), options.format, options.output, explained=options.explained)
    if found.is_refuted:
        raise typer.Exit(1)
