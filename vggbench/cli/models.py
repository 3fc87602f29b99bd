"""The MODELs of a command line: which weights each takes, loaded, or why not."""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, replace

from vggbench.cli.options import EvalOptions
from vggbench.cli.progress import DownloadProgress
from vggbench.cli.terminal import say
from vggbench.data import DataSet
from vggbench.errors import UsageError, VggbenchError
from vggbench.paper.protocols import TrainScale
from vggbench.results.lines import require_same_classes
from vggbench.weights.load import LoadOptions, Model, load_model
from vggbench.weights.released import Released, default_source
from vggbench.weights.spec import SAMPLE_NETS, ModelSpec
from vggbench.weights.unfetched import by_shape, unfetched


@dataclass(frozen=True)
class Entry:
    """One MODEL of the command line: loaded, or why not; `failed` when a named file did not load."""

    spec: ModelSpec
    model: Model | None
    note: str | None = None
    failed: bool = False


def load_options_of(options: EvalOptions) -> LoadOptions:
    """What the command line states about files."""
    train_scale = TrainScale.parse(options.train_scale) if options.train_scale else None
    return LoadOptions(train_scale, options.input, options.width, options.ema)


def load(texts: Sequence[str], options: EvalOptions, data: DataSet, *, keep_going: bool) -> list[Entry]:
    """Load the models; `keep_going` turns a missing or unfit file into an entry without weights.

    A dry run fetches nothing: a released net that is not on this machine is then there by its shape alone.
    """
    load_options = load_options_of(options)
    specs = _specs(texts, options, data)
    if options.width != 1 and all(spec.source != "random" for spec in specs):
        raise UsageError("--width is for random nets: a file has its own width. Expected CONFIG@random.")
    loaded: dict[ModelSpec, Entry] = {}
    away: list[Released] = []
    for spec, is_named in specs.items():
        try:
            model = _by_shape(spec, away) if options.dry_run else None
            model = model or _loaded(spec, load_options, data)
            data.labels(model.identity.class_names, model.identity.classes)  # refuses a net that lacks a class
            loaded[spec] = Entry(spec, model)
        except VggbenchError as error:
            if not keep_going or (is_named and isinstance(error, UsageError)):
                raise
            loaded[spec] = Entry(spec, None, str(error), failed=not isinstance(error, UsageError))
    _say_unfetched(away)
    entries = _told_apart(list(loaded.values()))
    _require_different([entry.model for entry in entries if entry.model])
    return entries


def _specs(texts: Sequence[str], options: EvalOptions, data: DataSet) -> dict[ModelSpec, bool]:
    """What is to be loaded, and whether its weights are named."""
    specs: dict[ModelSpec, bool] = {}
    for text in texts:
        spec = _with_default(ModelSpec.parse(text), options.weights, data)
        if spec in specs:
            say(f"Note: {text} is {spec.name} once more: each model is evaluated once and has one row.")
        specs.setdefault(spec, "@" in text)
    return specs


def _say_unfetched(away: Sequence[Released]) -> None:
    if away:
        files = ", ".join(f"{row.name} ({row.megabytes})" for row in away)
        say(
            f"Note: The weights of {files} are not on this machine, and a plan fetches nothing: the forecast goes by "
            "shapes, as if no result were stored."
        )


def _require_different(models: Sequence[Model]) -> None:
    """Refuse nets of different classes, and the same weights by two names. Raises VggbenchError."""
    identities = [model.identity for model in models]
    require_same_classes(identities)
    for one, other in itertools.combinations(identities, 2):
        if (other.architecture, other.weights_hash, other.input) == (one.architecture, one.weights_hash, one.input):
            raise UsageError(f"{one.name} and {other.name} are the same weights: expected different ones.")


def _by_shape(spec: ModelSpec, away: list[Released]) -> Model | None:
    """Where the weights would have to be fetched, which is noted in `away`."""
    row = unfetched(spec)
    if row is None:
        return None
    away.append(row)
    return by_shape(row)


def _loaded(spec: ModelSpec, options: LoadOptions, data: DataSet) -> Model:
    with DownloadProgress() as watch:
        return load_model(spec, options, data.class_names, watch)


def require_loaded(entries: Sequence[Entry]) -> None:
    """The one rule of every command that goes on without some of its nets: raise if one that exists did not load.

    That is a named file, or a released one that cannot be had; a net that nobody has released is no failure.
    """
    failed = [str(entry.note) for entry in entries if entry.failed]
    if failed:
        raise VggbenchError(" ".join(failed))


def _told_apart(entries: list[Entry]) -> list[Entry]:
    """Models from files of one name are printed by their paths."""
    names = [entry.spec.name for entry in entries]
    return [
        replace(entry, model=entry.model.with_identity(name=f"{entry.spec.config.name}@{entry.spec.source}"))
        if entry.model and names.count(entry.spec.name) > 1
        else entry
        for entry in entries
    ]


def _with_default(spec: ModelSpec, source: str | None, data: DataSet) -> ModelSpec:
    """A bare name takes the source of --weights; else the sample's nets on the sample, released ones on ILSVRC."""
    if spec.source:
        return spec
    usual = SAMPLE_NETS if data.is_sample else default_source(spec.config) if data.has_ilsvrc_classes else None
    return ModelSpec(spec.config, source or usual)
