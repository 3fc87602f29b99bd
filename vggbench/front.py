"""The front door: what a researcher types in Python, by the parts that the command line itself calls.

    import vggbench

    net = vggbench.load("D@sample")
    found = vggbench.evaluate(net, "sample", protocols=["dense", "multicrop"], scales=[256, 384, 512])
    found.to_pandas()

Words, paths and values are accepted alike. What is wrong is told by the names of parameters: `grid`, not `--grid`.
"""

import functools
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, ParamSpec, TypeVar

from vggbench.data import DataSet
from vggbench.data import open_data as opened
from vggbench.data.imagenet import wnids
from vggbench.errors import UsageError, VggbenchError

if TYPE_CHECKING:
    from pandas import DataFrame

    from vggbench.results.evaluated import Evaluated
    from vggbench.store.runs import Run
    from vggbench.studies.explanation import Explanation
    from vggbench.weights.load import Model

ILSVRC_CLASSES = wnids()
"""The 1,000 wnids of ILSVRC-2012, in the order of the outputs of every network that was released for them."""
_Given = ParamSpec("_Given")
_Found = TypeVar("_Found")
_OPTION = re.compile(r"--([a-z]+(?:-[a-z]+)*)( (?=[\d'\"A-Z./]|[a-z]+:)|)")
"""An option, and the blank before its value if one is told."""


def _in_python(call: Callable[_Given, _Found]) -> Callable[_Given, _Found]:
    """Let errors speak of parameters, where the command line's speak of options."""

    @functools.wraps(call)
    def told(*given: _Given.args, **named: _Given.kwargs) -> _Found:
        try:
            return call(*given, **named)
        except VggbenchError as error:
            raise type(error)(_OPTION.sub(_parameter, str(error))) from error

    return told


def _parameter(found: "re.Match[str]") -> str:
    return found[1].replace("-", "_") + ("=" if found[2] else "")


@_in_python
def open_data(path: str | Path, ground_truth: str | None = None) -> DataSet:
    """The images at `path` in any layout, or the built-in `sample`; raises DataError.

    `ground_truth` is a devkit or a file of labels that must agree, a column of shards, or `none`.

        >>> vggbench.open_data("sample").name
        'sample'
    """
    return opened(path, ground_truth)


@_in_python
def load(
    model: str | Path,
    *,
    input: str | None = None,
    train_scale: str | None = None,
    width: float = 1.0,
    ema: bool = False,
    classes: Sequence[str] = (),
) -> "Model":
    """A model by its MODEL string, or from a `.safetensors` that says which config it is; raises VggbenchError.

    `input` and `train_scale` state what a file does not say; `width` and `classes` are of random nets.

        >>> vggbench.load("D@sample").identity.classes
        12
    """
    from vggbench.paper.protocols import TrainScale
    from vggbench.weights.load import LoadOptions, load_model
    from vggbench.weights.spec import ModelSpec
    from vggbench.weights.unfetched import require_source

    spec = ModelSpec.parse(model if isinstance(model, str) else _described(model))
    require_source(spec)
    stated = TrainScale.parse(train_scale) if train_scale else None
    return load_model(spec, LoadOptions(stated, input, width, ema), tuple(classes))


@_in_python
def evaluate(
    models: "str | Model | Sequence[str | Model]",
    data: str | Path | DataSet,
    *,
    protocols: str | Sequence[str] = "dense",
    scales: str | int | Sequence[str | int] = (),
    labels: Sequence[str] = (),
    blacklist: Path | None = None,
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

    unknown = next((name for name in others if name not in Request.__dataclass_fields__), None)
    if unknown:
        raise UsageError(f"evaluate(..., {unknown}=...): expected one of {', '.join(Request.__dataclass_fields__)}.")
    request = Request(
        models=models, data=data, protocols=protocols, scales=scales, limit=limit, runs=Path(runs), device=device,
        precision=precision, batch_size=batch_size, workers=workers, **others,
    )  # fmt: skip
    return evaluated(request, labels=labels, blacklist=blacklist)


@_in_python
def compare(*models: "str | Model | Evaluated", against: str = "first", every: bool = False, **how: Any) -> "Evaluated":
    """Models side by side on the same images, each tested against the first or the best; `how` as for `evaluate`.

    Of finished evaluations nothing is computed.

        >>> side_by_side = vggbench.compare("A@sample", "D@sample", data="sample", scales=256, limit=12)
        >>> [row.network for row in side_by_side.rows]
        ['A@sample', 'D@sample']
    """
    if against not in ("first", "best"):
        raise UsageError(f"--against {against}: expected one of first, best.")
    first, *others = _several(models, how)
    return first.compare(*others, against="best" if against == "best" else "first", every=every)


@_in_python
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
    from vggbench.results.fusions import are_runs
    from vggbench.results.stored import stored
    from vggbench.store.runs import Run, named_runs

    words = [model for model in models if isinstance(model, str)]
    if words and len(words) == len(models) and are_runs(Path(runs), words):
        return stored(named_runs(Path(runs), words)).fuse(shares=shares)
    of_runs = [model for model in models if isinstance(model, Run)]
    if of_runs and len(of_runs) == len(models):
        return stored(of_runs).fuse(shares=shares)
    first, *others = _several([model for model in models if not isinstance(model, Run)], how | {"runs": runs})
    return first.fuse(*others, shares=shares)


@_in_python
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

    request = Request(models=(model,), data=data, **how | {"runs": Path(how.get("runs", "runs"))})
    jobs = functools.partial(changed_jobs, recipes=recipes, costly=multicrop)
    return explained_by(evaluated(request, jobs_of=jobs), recipes=recipes, costly=multicrop)


@_in_python
def params(*configs: str, scales: Sequence[int] = (224,), width: float = 1.0, classes: int = 1000) -> "DataFrame":
    """Parameters, MACs and FLOPs of configs, the paper's six without any, a row each with the keys that JSON has.

    >>> int(vggbench.params("D").parameters[0])
    138357544
    """
    from pandas import DataFrame

    from vggbench.nets.cost import Architecture
    from vggbench.paper.configs import PAPER, config_named
    from vggbench.paper.protocols import resolve_scales
    from vggbench.render.tables.parameters import parameters_table
    from vggbench.studies.counts import by_net

    nets = [Architecture(config_named(name), classes, width) for name in configs or PAPER]
    table = parameters_table(by_net(nets, resolve_scales([str(scale) for scale in scales], None)))
    return DataFrame([table.record(row) for row in table.rows])


def _several(models: "Sequence[str | Model | Evaluated]", how: dict[str, Any]) -> "list[Evaluated]":
    """The evaluations among `models`, and one of all others; none computes what another has."""
    from vggbench.results.evaluated import Evaluated

    done = [model for model in models if isinstance(model, Evaluated)]
    others = [model for model in models if not isinstance(model, Evaluated)]
    if not models:
        raise UsageError("No models: expected MODEL strings, models, or evaluations.")
    return [*done, *([evaluate(others, **how)] if others else [])]


def _described(path: Path) -> str:
    """CONFIG@FILE of a file that says its config; raises UsageError and WeightsError."""
    from vggbench.weights.files import description_in

    config = description_in(path).get("config") if path.suffix == ".safetensors" else None
    if not isinstance(config, str):
        raise UsageError(f"{path} does not say which config it is: expected the words CONFIG@FILE, such as 'D@{path}'.")
    return f"{config}@{path}"
