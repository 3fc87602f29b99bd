"""The front door: what a researcher types in Python, by the parts that the command line itself calls.

    import vggbench

    net = vggbench.load("D@sample")
    found = vggbench.evaluate(net, "sample", protocols=["dense", "multicrop"], scales=[256, 384, 512])
    found.to_pandas()

Words, paths and values are accepted alike. What is wrong is told by the names of parameters: `grid`, not `--grid`.
"""

import functools
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from vggbench.data import DataSet
from vggbench.data import open_data as opened
from vggbench.data.imagenet import wnids
from vggbench.errors import UsageError, did_you_mean, in_python

if TYPE_CHECKING:
    from pandas import DataFrame

    from vggbench.results.evaluated import Evaluated
    from vggbench.store.features import Features
    from vggbench.store.runs import Run
    from vggbench.studies.explanation import Explanation
    from vggbench.studies.probing.probed import Probed
    from vggbench.weights.load import Model

ILSVRC_CLASSES = wnids()
"""The 1,000 wnids of ILSVRC-2012, in the order of the outputs of every network that was released for them."""


@in_python
def open_data(path: str | Path, ground_truth: str | None = None) -> DataSet:
    """The images at `path` in any layout, or the built-in `sample`; raises DataError.

    `ground_truth` is a devkit or a file of labels that must agree, a column of shards, or `none`.

        >>> vggbench.open_data("sample").name
        'sample'
    """
    return opened(path, ground_truth)


@in_python
def load(
    model: str | Path,
    *,
    input: str | None = None,
    train_scale: str | None = None,
    width: float = 1.0,
    ema: bool = False,
    classes: Sequence[str] = (),
    size: int | None = None,
) -> "Model":
    """A model by its MODEL string, or from a `.safetensors` that says which config it is; raises VggbenchError.

    `input`, `size` and `train_scale` state what a file does not say; `width` and `classes` are of random nets.

        >>> vggbench.load("D@sample").identity.classes
        12
    """
    from vggbench.inference.choices import require_width
    from vggbench.paper.protocols import TrainScale
    from vggbench.weights.load import LoadOptions
    from vggbench.weights.loading import load_any, require_model
    from vggbench.weights.spec import parse_model

    require_width(width)
    spec = parse_model(model if isinstance(model, str) else _described(model))
    require_model(spec)
    stated = TrainScale.parse(train_scale) if train_scale else None
    return load_any(spec, LoadOptions(stated, input, width, ema, size=size), tuple(classes))


@in_python
def evaluate(
    models: "str | Path | Model | Iterable[str | Path | Model]",
    data: str | Path | DataSet,
    *,
    protocols: str | Sequence[str] = (),
    scales: str | int | Sequence[str | int] = (),
    labels: str | Sequence[str] = (),
    blacklist: str | Path | None = None,
    classes_of_data: str | Sequence[str] = (),
    metrics: str | Sequence[str] = (),
    limit: int | None = None,
    runs: str | Path = "runs",
    device: str = "auto",
    precision: str = "fp32",
    batch_size: int | None = None,
    workers: int | None = None,
    **others: Any,
) -> "Evaluated":
    """Evaluate models, computing only what the store in `runs` lacks, in one pass over the images.

    The parameters, and `others` such as `grid`, `weights` or `skip_bad_images`, are the options of `vggbench eval`.
    Raises UsageError, DataError, WeightsError, NumericsError, StoreError.

        >>> found = vggbench.evaluate("D@sample", "sample", scales=256, limit=12)
        >>> found.rows[0].errors.top1.images
        12
    """
    from vggbench.evaluation.request import Request
    from vggbench.results.evaluated import evaluated

    _require_known("evaluate", others, Request.__dataclass_fields__)
    for name, count in {"limit": limit, "batch_size": batch_size, "workers": workers}.items():
        if count is not None and not isinstance(count, int):
            raise UsageError(f"{name}={count!r}: expected a whole number.")
    request = Request(
        models=_named(models), data=data, protocols=protocols, scales=scales, limit=limit, runs=Path(runs),
        device=device, precision=precision, batch_size=batch_size, workers=workers, **others,
    )  # fmt: skip
    return evaluated(
        request,
        labels=[labels] if isinstance(labels, str) else labels,
        blacklist=None if blacklist is None else Path(blacklist),
        classes_of_data=[classes_of_data] if isinstance(classes_of_data, str) else classes_of_data,
        metrics=[metrics] if isinstance(metrics, str) else metrics,
    )


@in_python
def compare(
    *models: "str | Model | Evaluated | Run", against: str = "first", every: bool = False, **how: Any
) -> "Evaluated":
    """Models side by side on the same images, each tested against the first or the best; `how` as for `evaluate`.

    For finished evaluations nothing is computed.

        >>> side_by_side = vggbench.compare("A@sample", "D@sample", data="sample", scales=256, limit=12)
        >>> [row.network for row in side_by_side.rows]
        ['A@sample', 'D@sample']
    """
    if against not in ("first", "best"):
        raise UsageError(f"--against {against}: expected one of first, best.{did_you_mean(against, ('first', 'best'))}")
    first, *others = _several(models, "runs", how)
    return first.compare(*others, against="best" if against == "best" else "first", every=every)


@in_python
def fuse(
    *models: "str | Model | Evaluated | Run",
    shares: Sequence[float] | None = None,
    runs: str | Path = "runs",
    **how: Any,
) -> "Evaluated":
    """The mean of several models' posteriors (paper, section 4.4): of evaluations, stored runs by name, or models.

    `shares` weight the models, alike without; `how` is as for `evaluate`, and evaluates models.

        >>> pair = vggbench.fuse("A@sample", "D@sample", data="sample", scales=256, limit=12)
        >>> pair.rows[0].network
        'A@sample + D@sample'
    """
    first, *others = _several(models, runs, how)
    return first.fuse(*others, shares=shares)


@in_python
def score(
    files: "str | Path | Sequence[str | Path]",
    data: str | Path | DataSet,
    *,
    name: str | None = None,
    classes: str | None = None,
    labels: str | Sequence[str] = (),
    classes_of_data: str | Sequence[str] = (),
    metrics: str | Sequence[str] = (),
    runs: str | Path = "runs",
) -> "Evaluated":
    """What another tool predicted for all images of `data`, as an evaluation that compares and fuses like any other.

    The parameters are the options of `vggbench score`. Raises UsageError, DataError and StoreError.
    """
    from vggbench.results.imported import scored
    from vggbench.results.judging import ground_truths

    named = [files] if isinstance(files, str | Path) else files
    words = [[given] if isinstance(given, str) else given for given in (labels, classes_of_data, metrics)]
    truths = ground_truths(words[0], None, words[1])
    images = data if isinstance(data, DataSet) else opened(data)
    return scored(
        [Path(file) for file in named], images, Path(runs), name=name, classes=classes, truths=truths, metrics=words[2]
    )


@in_python
def features(
    models: "str | Path | Model | Iterable[str | Path | Model]",
    data: str | Path | DataSet,
    *,
    layer: str = "fc7",
    before_relu: bool = False,
    pool: str = "average",
    views: str | None = None,
    scales: str | int | Sequence[str | int] = (),
    over_scales: str = "average",
    output: str | Path | None = None,
    half: bool = False,
    runs: str | Path = "runs",
    **others: Any,
) -> "Features":
    """Descriptors of images, as appendix B of the paper takes them, computing only what the store in `runs` lacks.

    The parameters, and `others` such as `limit`, `precision` or `workers`, are the options of `vggbench features`;
    `output` also writes the file, whose descriptors `half` rounds to float16. Raises as `evaluate`.

        >>> found = vggbench.features("D@sample", "sample", scales=256, limit=12)
        >>> found.descriptors.shape
        (12, 256)
    """
    from vggbench.evaluation.request import Request
    from vggbench.inference.choices import require_choice
    from vggbench.paper.descriptors import Descriptor, OverScales
    from vggbench.studies.describing import described

    set_here = ("models", "data", "protocols", "grid", "descriptor", "dry_run", "keep_going", "share", "size")
    _require_known("features", others, [name for name in Request.__dataclass_fields__ if name not in set_here])
    require_choice("--over-scales", over_scales, get_args(OverScales))
    descriptor = Descriptor(layer, not before_relu, pool)  # type: ignore[arg-type] # it refuses others
    request = Request(models=_named(models), data=data, scales=scales, runs=Path(runs), **others)
    found = described(request, descriptor, views=views, over_scales=over_scales)  # type: ignore[arg-type]
    assert found, "one process, and no dry run"
    if output is not None:
        found.write(Path(output), half=half)
    return found.in_memory()


@in_python
def read_features(path: str | Path) -> "Features":
    """The descriptors in a file that `features` wrote; raises DataError for any other."""
    from vggbench.store.features import read_features as read

    return read(path)


@in_python
def explain(
    model: "str | Model", data: str | Path | DataSet, *, recipes: bool = False, multicrop: bool = False, **how: Any
) -> "Explanation":
    """The same weights under single changes from the paper's recipe, or by the `recipes` of other tools.

    `how` is as for `evaluate`, but for what the rows change.

        >>> told = vggbench.explain("D@sample", "sample", limit=2)
        >>> told.rows[0].name
        "paper's recipe"
    """
    from vggbench.evaluation.request import Request
    from vggbench.results.evaluated import evaluated
    from vggbench.studies.explanation import changed_jobs, explained_by

    changed = ("models", "data", "protocols", "scales", "grid", "filter", "antialias")
    _require_known("explain", how, [name for name in Request.__dataclass_fields__ if name not in changed])
    request = Request(models=(model,), data=data, **how | {"runs": Path(how.get("runs", "runs"))})
    jobs = functools.partial(changed_jobs, recipes=recipes, costly=multicrop)
    return explained_by(evaluated(request, jobs_of=jobs), recipes=recipes, costly=multicrop)


@in_python
def probe(
    features: str | Path | Sequence[str | Path],
    *,
    protocol: str = "folders",
    test: str | Path | Sequence[str | Path] = (),
    data: str | Path | None = None,
    split_file: str | Path | None = None,
    costs: float | Sequence[float] = (),
    **others: Any,
) -> "Probed":
    """A linear SVM on the descriptors in files that `vggbench features` wrote, stacked where there are several.

    The parameters, and `others` such as `train_per_class`, `seed` or `each`, are the options of `vggbench probe`. What
    is fitted is kept only in a folder that `runs` names, until `forget()` of what this returns, to resume by after a
    kill. Raises UsageError, DataError and StoreError.
    """
    from vggbench.studies.probing.machine import COSTS
    from vggbench.studies.probing.probe import probe as probed
    from vggbench.studies.probing.probed import Request

    _require_known("probe", others, Request.__dataclass_fields__)
    paths = [[Path(one) for one in ([given] if isinstance(given, str | Path) else given)] for given in (features, test)]
    tried = (float(costs),) if isinstance(costs, int | float) else tuple(map(float, costs)) or COSTS
    request = Request(
        protocol=protocol, test=paths[1], data=None if data is None else Path(data),
        split_file=None if split_file is None else Path(split_file), costs=tried, **others,
    )  # fmt: skip
    return probed(paths[0], request)


@in_python
def params(*models: str, scales: int | Sequence[int] = (), width: float = 1.0, classes: int = 1000) -> "DataFrame":
    """Parameters, MACs and FLOPs of configs, by default the paper's six, a row each with the keys that JSON has.

    Any other network may be named by its MODEL string. `scales`: sides of square inputs, by default what a net takes.

    >>> int(vggbench.params("D").parameters[0])
    138357544
    """
    from pandas import DataFrame

    from vggbench.inference.choices import require_least, require_width
    from vggbench.nets.cost import Architecture
    from vggbench.paper.configs import CROP, PAPER, config_named
    from vggbench.paper.protocols import resolve_scales
    from vggbench.render.tables.parameters import models_table, parameters_table
    from vggbench.studies.counts import by_model, by_net

    require_width(width)
    require_least("--classes", classes, 1)
    several = [str(scale) for scale in ([scales] if isinstance(scales, int) else scales)]
    others = any(":" in name for name in models)
    sizes = resolve_scales(several, None, 1 if others else CROP) if several else ()
    if others:
        table = models_table(by_model(models, sizes, width, classes))
    else:
        nets = [Architecture(config_named(name), classes, width) for name in models or PAPER]
        table = parameters_table(by_net(nets, sizes or (CROP,)))
    return DataFrame([table.record(row) for row in table.rows])


def _named(models: "str | Path | Model | Iterable[str | Path | Model]") -> "list[str | Model]":
    """One or several, as a list; raises UsageError where there is none."""
    named = [models] if isinstance(models, str | Path) or not isinstance(models, Iterable) else list(models)
    if not named:
        raise UsageError("No models: expected one or more, such as 'D@oxford'.")
    return [_described(one) if isinstance(one, Path) else one for one in named]


def _several(
    models: "Sequence[str | Model | Evaluated | Run]", runs: str | Path, how: dict[str, Any]
) -> "list[Evaluated]":
    """Each as an evaluation, in the order given: stored runs by name or value, and models, computed in one pass.

    `metrics` in `how` are of all of them.
    """
    from vggbench.results.calibrated import require_metrics
    from vggbench.results.evaluated import Evaluated
    from vggbench.results.stored import stored
    from vggbench.store.runs import Run, is_run_name, named_runs

    store = Path(how.get("runs", runs))
    found: list[Evaluated | None] = []
    for model in models:
        if isinstance(model, str) and is_run_name(store, model):
            found.append(stored(named_runs(store, [model])))
        else:
            found.append(stored([model]) if isinstance(model, Run) else model if isinstance(model, Evaluated) else None)
    computed = iter(_computed([model for model, own in zip(models, found, strict=True) if own is None], runs, how))
    several = [own if own is not None else next(computed) for own in found]
    if not several:
        raise UsageError("No models: expected MODEL strings, models, evaluations or stored runs.")
    given = how.get("metrics", ())
    metrics = (given,) if isinstance(given, str) else tuple(given)
    for one in several:
        require_metrics(metrics, one.truths, one.models)
    return [replace(one, metrics=metrics) for one in several] if metrics else several


def _computed(models: Sequence[Any], runs: str | Path, how: dict[str, Any]) -> "list[Evaluated]":
    """An evaluation for each model, in one pass."""
    if not models:
        ours = [name for name in how if name != "metrics"]
        if ours:
            raise UsageError(f"{ours[0]} is for models, and nothing is evaluated here: leave it out.")
        return []
    if "data" not in how:
        raise UsageError("No data for the models: expected data=..., a path or 'sample'.")
    done = evaluate(models, **{"runs": runs} | how)
    if len(done.models) != len(models):
        raise UsageError(f"{', '.join(map(str, models))}: expected different models, each once.")
    return [replace(done, runs=[run for run in done.runs if run.identity.key == one.key]) for one in done.models]


def _require_known(call: str, given: dict[str, Any], known: Iterable[str]) -> None:
    unknown = next((name for name in given if name not in set(known)), None)
    if unknown:
        names = list(known)
        raise UsageError(
            f"{call}(..., {unknown}=...): expected one of {', '.join(names)}.{did_you_mean(unknown, names)}"
        )


def _described(path: Path) -> str:
    """CONFIG@FILE of a file that says its config; raises UsageError and WeightsError."""
    from vggbench.weights.files import description_in

    config = description_in(path).get("config") if path.suffix == ".safetensors" else None
    if not isinstance(config, str):
        raise UsageError(f"{path} does not say which config it is: expected the words CONFIG@FILE, such as 'D@{path}'.")
    return f"{config}@{path}"
