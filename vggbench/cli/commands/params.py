"""`params`: counts, nothing run."""

from typing import TYPE_CHECKING, Annotated

import typer

from vggbench.cli.app import command
from vggbench.cli.completion import models
from vggbench.cli.options import Format, Output, Plot, Scales, number, option, width_option
from vggbench.cli.output import draw, put, require_output
from vggbench.cli.panels import WHAT
from vggbench.cli.terminal import say
from vggbench.errors import UsageError, counted
from vggbench.paper.configs import CROP, PAPER, config_named
from vggbench.paper.protocols import resolve_scales

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from vggbench.nets.cost import Architecture


@command()
def params(
    configs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="MODEL",
            help="A, A-LRN, B, C, D, E, B-5x5, or D-BN and so on; torchvision:NAME, timm:NAME, onnx:FILE, "
            "pt2:FILE. Default: the paper's six.",
            autocompletion=models,
        ),
    ] = None,
    scales: Scales = None,
    layers: Annotated[bool, option("Print layer by layer.", WHAT)] = False,
    cost: Annotated[
        bool, option("Print views and GMACs per image by protocol and Q. Default: the paper's Qs.", WHAT)
    ] = False,
    check: Annotated[bool, option("Count again by fvcore, and fail on any difference.", WHAT)] = False,
    width: Annotated[float, width_option("Multiply the paper's channels by this.", WHAT)] = 1.0,
    classes: Annotated[int, number("Set the number of outputs of the last layer.", WHAT, 1, 1_000_000)] = 1000,
    plot: Plot = None,
    format: Format = None,
    output: Output = None,
) -> None:
    """Count parameters, MACs and FLOPs of the six configurations, at any input size, and of other networks.

    Example: vggbench params D E --scales 224 384 --check
    """
    from vggbench.nets.cost import Architecture
    from vggbench.render.tables.parameters import cost_table, layers_table, models_table, parameters_table
    from vggbench.studies.counts import SCALES, by_layer, by_model, by_net, by_protocol

    if layers and cost:
        raise UsageError("--layers and --cost: expected one of the two.")
    require_output(format, output, plot=plot)
    if any(":" in name for name in configs or ()):
        if layers or cost or check or plot:
            raise UsageError("--layers, --cost, --check and --plot are of the paper's nets: expected those alone.")
        from vggbench.cli.progress import DownloadProgress

        with DownloadProgress() as watch:
            rows = by_model(configs or (), resolve_scales(scales, None, 1) if scales else (), width, classes, watch)
        put(models_table(rows), format, output)
        return
    sizes = resolve_scales(scales, None) if scales else SCALES if cost else (CROP,)
    chosen = dict.fromkeys(config_named(name) for name in configs or PAPER)
    nets = [Architecture(config, classes, width) for config in chosen]
    if check:
        _check(nets, sizes)
    if cost:
        table = cost_table(by_protocol(nets, sizes), classes)
    elif layers:
        table = layers_table(by_layer(nets, sizes), by_net(nets, sizes))
    else:
        table = parameters_table(by_net(nets, sizes))
    put(table, format, output)
    if plot:
        draw(_drawn(nets, sizes, cost=cost), plot)


def _drawn(nets: "list[Architecture]", sizes: tuple[int, ...], *, cost: bool) -> "dict[str, Figure]":
    """What the table is of: costs in one picture, or each size's layers."""
    from vggbench.render.plots.cost import gmacs_by_protocol, parameters_and_macs
    from vggbench.studies.counts import by_layer, by_protocol

    if cost:
        return {"cost": gmacs_by_protocol(by_protocol(nets, sizes))}
    say(f"Drawing {counted(len(sizes), 'plot')} of layers.")
    return {f"layers-{size}": parameters_and_macs(by_layer(nets, [size])) for size in sizes}


def _check(nets: "list[Architecture]", sizes: tuple[int, ...]) -> None:
    from vggbench.nets.recount import check

    for net in nets:
        for size in sizes:
            check(net, size, size)
    say(f"fvcore agrees on {counted(len(nets) * len(sizes), 'count')}.")
