"""The work of `speed`: load one model after another, run it in every way asked for; or read images."""

from collections.abc import Callable, Iterator, Sequence
from itertools import product
from typing import get_args

import torch

from vggbench.cli.options import SpeedOptions
from vggbench.cli.progress import DownloadProgress
from vggbench.cli.terminal import say, warn
from vggbench.data import open_data
from vggbench.errors import Interrupted, UsageError, VggbenchError, counted
from vggbench.images.reading import cores
from vggbench.inference.choice import choose
from vggbench.inference.choices import BackendName, Precision
from vggbench.inference.devices import pick_device
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import Protocol, resolve_scales
from vggbench.render.tables.speed import reading_table, speed_table
from vggbench.render.tables.table import Table
from vggbench.studies.speed import Effort, Reading, Setup, Timings, measure, read
from vggbench.weights.load import LoadOptions, Model, load_model
from vggbench.weights.spec import RANDOM, ModelSpec
from vggbench.weights.unfetched import require_source


def speed(texts: Sequence[str], options: SpeedOptions, show: Callable[[Table], None]) -> None:
    """Forward passes of each model; interrupted, it shows those that are done."""
    if not texts:
        raise UsageError("No model: expected one or more, such as D; or --data-only.")
    device = pick_device(options.device)
    effort = Effort(options.iterations, options.seconds)
    specs = list(dict.fromkeys(ModelSpec.parse(text) for text in texts))
    for spec in specs:
        require_source(spec)
    setups = _setups(options)
    rows: list[Timings] = []
    refused: VggbenchError | None = None
    for spec in specs:
        model = _loaded(spec, options.width)
        able = list(_able(model, setups, device, tell=spec is specs[0]))
        for setup in able:
            say(
                f"{model.name}: {setup.backend}, {setup.precision}, {setup.batch} x {setup.size} x {setup.size} "
                f"({len(rows) + 1} of {len(able) * len(specs)}), at least {options.seconds:g} s."
            )
            try:
                rows.append(measure(model, setup, device, effort))
            except VggbenchError as error:  # as where a library for CUDA or a compiler lacks
                refused = error
                warn(f"Left out: {error}")
            except KeyboardInterrupt:
                if rows:
                    show(speed_table(rows))
                raise Interrupted("Interrupted: what was measured until then is all there is.") from None
    if refused and not rows:
        raise refused
    show(speed_table(rows))


def reading(options: SpeedOptions) -> Table:
    """How fast images are read, by none to as many workers as there are cores."""
    scales = resolve_scales(options.scales or (), None)
    counts = [0, 1, cores()] if options.workers is None else [options.workers]
    data = open_data(options.data)
    rows: list[Reading] = []
    for workers in dict.fromkeys(counts):
        say(f"{data.name}: {counted(workers, 'worker')}, {options.seconds:g} s.")
        rows.append(read(data, scales, workers, options.seconds))
    return reading_table(rows)


def _setups(options: SpeedOptions) -> list[Setup]:
    names = options.backend or [name for name in get_args(BackendName) if "compile" not in name]
    kinds = options.precision or ["fp32"]
    sizes = resolve_scales(options.scales, None) if options.scales else (CROP,)
    batches = options.batch_size or [1, 32]
    return [Setup(*each) for each in dict.fromkeys(product(names, kinds, batches, sizes))]  # type: ignore[arg-type]


def _able(model: Model, setups: Sequence[Setup], device: torch.device, *, tell: bool) -> Iterator[Setup]:
    """The setups that exist here; raises UsageError where none does."""
    refused: dict[tuple[BackendName, Precision], UsageError] = {}
    for setup in setups:
        try:
            _require_possible(model, setup, device)
        except UsageError as error:
            refused[setup.backend, setup.precision] = error
        else:
            yield setup
    if len(refused) == len({(setup.backend, setup.precision) for setup in setups}):
        raise next(iter(refused.values()))
    for reason in refused.values() if tell else ():
        warn(f"Left out: {reason}")


def _require_possible(model: Model, setup: Setup, device: torch.device) -> None:
    if setup.precision == "tf32" and device.type != "cuda":
        raise UsageError(f"--precision tf32 exists on CUDA only, and the device is {device}: expected fp32 or bf16.")
    if setup.backend != "pytorch+compile":
        choose(setup.backend, model, Protocol("center"), device, setup.precision)


def _loaded(spec: ModelSpec, width: float) -> Model:
    """Random weights where none are named: they are as fast as any."""
    named = spec if spec.source else ModelSpec(spec.config, RANDOM)
    with DownloadProgress() as watch:
        return load_model(named, LoadOptions(width=width, otherwise="torchvision"), (), watch)  # any input is as fast
