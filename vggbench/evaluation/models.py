"""The models of an evaluation: which weights each takes, loaded, or why not."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

from vggbench.data import DataSet
from vggbench.errors import UsageError, VggbenchError
from vggbench.evaluation.listening import Listener
from vggbench.evaluation.request import Request
from vggbench.paper.descriptors import Descriptor
from vggbench.store.identity import require_same_classes
from vggbench.weights.download import DownloadWatch
from vggbench.weights.load import LoadOptions, Model
from vggbench.weights.loading import load_any, require_heeded, require_model
from vggbench.weights.parts import PartOfNetError
from vggbench.weights.released import Released, default_source
from vggbench.weights.spec import SAMPLE_NETS, AnySpec, ModelSpec, OtherSpec, parse_model
from vggbench.weights.trunks import of_convolutions
from vggbench.weights.unfetched import by_shape, unfetched


@dataclass(frozen=True)
class Entry:
    """One of the models asked for: loaded, or why not; `failed` when one that exists did not load."""

    spec: AnySpec | None
    """None of a model that was given as a value."""
    model: Model | None
    note: str | None = None
    failed: bool = False

    @property
    def name(self) -> str:
        """The text that was asked for."""
        if self.spec:
            return self.spec.name
        assert self.model
        return self.model.identity.name


def require_sources(request: Request) -> None:
    """Refuse files that are not there and sources without such a net; raises VggbenchError.

    If the request keeps going, a file that is not there becomes an entry without weights.
    """
    for text in request.each_model:
        if isinstance(text, Model):
            continue
        spec = parse_model(text)
        if isinstance(spec, ModelSpec) and not spec.source and not request.keep_going:
            spec = ModelSpec(spec.config, request.weights)
        if not request.keep_going or spec.path is None:
            require_model(spec)


def load_all(request: Request, data: DataSet, listener: Listener) -> list[Entry]:
    """Load the models; a request that keeps going turns a missing or unfit file into an entry without weights.

    A dry run fetches nothing: a released net that is not on this machine is then there by its shape alone.
    """
    wanted = _wanted(request, data, listener)
    if request.width != 1 and not any(isinstance(one, ModelSpec) and one.source == "random" for one in wanted):
        raise UsageError("--width is for random nets: a file has its own width. Expected CONFIG@random.")
    require_heeded([one for one in wanted if not isinstance(one, Model)], request.load_options)
    entries: list[Entry] = []
    away: list[Released] = []
    for one, is_named in wanted.items():
        spec = None if isinstance(one, Model) else one
        try:
            model = one if isinstance(one, Model) else _loaded(one, request, data, listener, away)
            if request.descriptor is None:
                data.labels(model.identity.class_names, model.identity.classes)  # refuses a net that lacks a class
            entries.append(Entry(spec, model))
        except VggbenchError as error:
            if spec is None or not request.keep_going or (is_named and isinstance(error, UsageError)):
                raise
            entries.append(Entry(spec, None, str(error), failed=not isinstance(error, UsageError)))
    if away:
        files = ", ".join(f"{row.name} ({row.megabytes})" for row in away)
        listener.note(
            f"The weights of {files} are not on this machine, and a plan fetches nothing: the forecast "
            "uses shapes, as if no result were stored."
        )
    entries = _told_apart(entries)
    models = [entry.model for entry in entries if entry.model]
    if request.descriptor is None:
        require_same_classes([model.identity for model in models])
    _require_different(models)
    return entries


def require_loaded(entries: Sequence[Entry]) -> None:
    """The one rule of every command that goes on without some of its nets: raise if one that exists did not load.

    That is a named file, or a released one that cannot be had; a net that nobody has released is no failure.
    """
    failed = [str(entry.note) for entry in entries if entry.failed]
    if failed:
        raise VggbenchError(" ".join(failed))


def _wanted(request: Request, data: DataSet, listener: Listener) -> dict[AnySpec | Model, bool]:
    """What is to be loaded, each once, and whether its weights are named."""
    wanted: dict[AnySpec | Model, bool] = {}
    for text in request.each_model:
        one = text if isinstance(text, Model) else _with_default(parse_model(text), request.weights, data)
        if one in wanted:
            name = one.identity.name if isinstance(one, Model) else one.name
            said = name if isinstance(text, Model) else text
            listener.note(f"{said} is {name} again: each model is evaluated once and has one row.")
        wanted.setdefault(one, isinstance(one, Model | OtherSpec) or "@" in str(text))
    return wanted


def _with_default(spec: AnySpec, source: str | None, data: DataSet) -> AnySpec:
    """A bare name takes the source asked for; else the sample's nets on the sample, released ones on ILSVRC."""
    if isinstance(spec, OtherSpec) or spec.source:
        return spec
    usual = SAMPLE_NETS if data.is_sample else default_source(spec.config) if data.has_ilsvrc_classes else None
    return ModelSpec(spec.config, source or usual)


def _loaded(spec: AnySpec, request: Request, data: DataSet, listener: Listener, away: list[Released]) -> Model:
    """With its weights or, in a dry run that would have to fetch them, by its shape, which is noted in `away`."""
    row = unfetched(spec) if request.dry_run and isinstance(spec, ModelSpec) else None
    if row:
        away.append(row)
        return by_shape(row)
    if request.dry_run and isinstance(spec, OtherSpec) and spec.may_be_fetched:
        listener.note(
            f"The weights of {spec.name} may have to be fetched, and a plan fetches nothing: the forecast "
            "uses random ones, as if no result were stored."
        )
    with listener.downloading() as watch:
        return load_for(request.descriptor, spec, request.load_options, data, watch, shape_alone=request.dry_run)


def load_for(
    descriptor: Descriptor | None,
    spec: AnySpec,
    options: LoadOptions,
    data: DataSet,
    watch: DownloadWatch | None = None,
    *,
    shape_alone: bool = False,
) -> Model:
    """The model that `spec` names, for images of this data; for descriptors the convolutions of a file suffice.

    Raises as `load_any` and `of_convolutions`.
    """
    try:
        return load_any(spec, options, data.class_names, watch, shape_alone=shape_alone)
    except PartOfNetError as found:
        if descriptor is None or not isinstance(spec, ModelSpec):
            raise
        model = of_convolutions(found, spec, options, descriptor)
    for sentence in model.identity.said:
        (watch or DownloadWatch()).begin(f"{spec.name}: {sentence}.")
    return model


def _told_apart(entries: list[Entry]) -> list[Entry]:
    """Models from files of one name are printed by their paths."""
    names = [entry.name for entry in entries]
    return [
        replace(entry, model=entry.model.with_identity(name=entry.spec.in_full))
        if entry.model and entry.spec and names.count(entry.name) > 1
        else entry
        for entry in entries
    ]


def _require_different(models: Sequence[Model]) -> None:
    """Refuse the same weights by two names. Raises UsageError."""
    known: dict[object, str] = {}
    for model in models:
        key = *model.identity.weights, model.identity.input
        if key in known:
            raise UsageError(f"{known[key]} and {model.identity.name} are the same weights: expected different ones.")
        known[key] = model.identity.name
