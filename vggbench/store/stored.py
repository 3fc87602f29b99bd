"""Runs found in the store by their names, and what their records tell of models and images that are not at hand."""

import contextlib
import hashlib
import re
import shutil
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from functools import cached_property
from pathlib import Path
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from vggbench.data import DataSet, ImageFile, open_data
from vggbench.data.imagenet import wnids
from vggbench.errors import StoreError, UsageError, VggbenchError, first_line
from vggbench.evaluation.jobs import Job, Settings
from vggbench.evaluation.plan import ILSVRC_CLASSES, Plan, prepare
from vggbench.files import sealed, unsealed, write_whole
from vggbench.images.preprocessing import INPUTS, Input, Rescale
from vggbench.metrics import ErrorRate, Errors
from vggbench.nets.cost import Architecture
from vggbench.paper.configs import CONFIGS, config_named
from vggbench.paper.protocols import Protocol, TrainScale
from vggbench.results.lines import Line, Part, lines_of, most_complete
from vggbench.store.blocks import BlockFile, disjoint
from vggbench.store.posteriors import Scores, fuse, label_ranks
from vggbench.store.runs import Run, Store, read_record
from vggbench.weights.load import LoadOptions, Model, load_model
from vggbench.weights.spec import ModelSpec

_ERRORS = ".errors.json"
_RUN_NAME = re.compile(r"-Q\d+-[0-9a-f]{8}$")
_SHOWN = 5


@dataclass
class StoredRun(Run):
    """A run by its record alone: `expected` are the images that it has, `total` how many it was asked for."""

    total: int = 0

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The run in this folder; raises StoreError for a record that cannot be read."""
        record = read_record(folder)
        try:
            found = cls(folder, dict(record["signature"]), (), dict(record.get("about", {})), total=record["images"])
            assert isinstance(found.total, int)
            _ = found.job  # refuses a record that is no run's
        except (ValueError, KeyError, TypeError, AssertionError, VggbenchError) as error:
            raise StoreError(
                f"{folder / 'run.json'} cannot be read ({type(error).__name__}: {first_line(error)}): expected the "
                "record of a run. Delete its folder, or name another store with --runs."
            ) from error
        found._find_files()
        return found

    def _find_files(self) -> None:
        found = []
        for path in sorted(self._blocks.glob("*.parquet")):
            try:
                found.append(BlockFile.open(path))
            except StoreError:
                self.damaged.append(path)
        self._files = disjoint(file for file in found if file.last < self.total)

    @cached_property
    def _ids(self) -> tuple[str, ...]:
        found = tuple(image for file in self._ordered for image in file.images)
        if len(set(found)) < len(found):
            twice = next(image for image, count in Counter(found).items() if count > 1)
            raise StoreError(
                f"{self.title} holds {twice} twice: expected every image once. Delete it with --delete, and evaluate "
                "again."
            )
        return found

    @property
    def images(self) -> tuple[str, ...]:
        """Ids of the images that have a posterior."""
        return self._ids

    def labels(self) -> NDArray[np.int32]:
        """The label of each image at the time of the run, (N,); raises StoreError for one that is no class."""
        found = super().labels()
        if len(found) and not 0 <= found.min() <= found.max() < int(self.signature["classes"]):
            raise StoreError(
                f"{self.title} has labels from {found.min()} to {found.max()}: expected those of its "
                f"{self.signature['classes']} classes. Delete it with --delete, and evaluate again."
            )
        return found

    @property
    def done(self) -> int:
        """Images that were looked at, readable or not."""
        return sum(file.last - file.first + 1 for file in self._ordered)

    @property
    def is_finished(self) -> bool:
        """Whether no image is left to compute."""
        return self.done == self.total

    @property
    def size(self) -> int:
        """Bytes of the files."""
        return sum(file.path.stat().st_size for file in self._ordered)

    @property
    def changed(self) -> float:
        """When its newest file, or else its record, was written, in seconds since 1970."""
        paths = [file.path for file in self._ordered] or [self.folder / "run.json"]
        return max(path.stat().st_mtime for path in paths)

    @cached_property
    def class_names(self) -> tuple[str, ...] | None:
        """The model's classes in order; None where its file, or an older record, names none."""
        named = self.about.get("class_names")
        if named == ILSVRC_CLASSES:
            return wnids()
        return tuple(str(name) for name in named) if named else None

    @property
    def names_of_classes(self) -> tuple[str, ...]:
        """The classes in order, by number where they have no names."""
        return self.class_names or tuple(str(place) for place in range(self.job.model.classes))

    @cached_property
    def job(self) -> Job:
        """What it is a run of; the model's network cannot run."""
        signature, scale = self.signature, self.about.get("train_scale")
        own = {name: value for name, value in signature["input"].items() if name != "ceil_pool"}
        config = config_named(signature["config"]) if signature["config"] in CONFIGS else None
        ceil = bool(signature["input"]["ceil_pool"])
        model = Model(
            name=str(self.about.get("model") or self.title.partition(f"-{signature['protocol']}-")[0]),
            module=_cannot_run,
            input=Input.from_dict(own),
            classes=int(signature["classes"]),
            class_names=self.class_names,
            weights_hash=str(signature["weights"]),
            train_scale=TrainScale.parse(scale) if scale else None,
            architecture=Architecture(config, int(signature["classes"]), float(signature["width"]), ceil)
            if config
            else None,
            altered=bool(self.about.get("altered", False)),
            is_described=bool(self.about.get("is_described", True)),
            said=tuple(str(sentence) for sentence in self.about.get("said", ())),
            averaged=bool(self.about.get("averaged", False)),
        )
        return Job(model, Protocol.parse(signature["protocol"]), int(signature["scale"]))

    @cached_property
    def data(self) -> DataSet:
        """The images by their ids, with the labels that they had at the time of the run; no pixels."""
        names = self.names_of_classes
        images = [
            ImageFile(image, Path(image), 0, names[label])
            for image, label in zip(self.images, self.labels().tolist(), strict=True)
        ]
        return DataSet(
            name=str(self.about.get("data", "unknown data")),
            images=tuple(images),
            total=int(self.about.get("images_total", self.total)),
            of_classes=names,
            is_sample=bool(self.about.get("is_sample", False)),
        )

    @property
    def errors(self) -> Errors | None:
        """By the labels at the time of the run, of the images so far; counted once and remembered beside the run."""
        if not self._files:
            return None
        key = [[file.path.name, file.path.stat().st_size, file.path.stat().st_mtime_ns] for file in self._ordered]
        return _remembered(self.folder / _ERRORS, key) or self._counted(key)

    def _counted(self, key: list[list[Any]]) -> Errors:
        (found,) = label_ranks([self], self.labels())
        errors = Errors.of(found, int(self.signature["classes"]))
        counts = [errors.top1.wrong, errors.top5.wrong if errors.top5 else None, errors.top1.images]
        with contextlib.suppress(VggbenchError):  # a store that may only be read
            write_whole(self.folder / _ERRORS, sealed({"files": key, "counts": counts}))
        return errors


def stored_runs(root: Path) -> tuple[list[StoredRun], list[str]]:
    """All runs of a store, sorted by name, and a sentence for each folder whose record cannot be read."""
    found, complaints = [], []
    for record in sorted(root.glob("*/run.json")):
        try:
            found.append(StoredRun.read(record.parent))
        except StoreError as error:
            complaints.append(str(error))
    return found, complaints


def named_runs(root: Path, texts: Sequence[str]) -> list[StoredRun]:
    """The runs that names, their hashes, their beginnings or patterns with * say, each once; raises UsageError."""
    names = sorted(record.parent.name for record in root.glob("*/run.json"))
    chosen = dict.fromkeys(name for text in texts for name in _matching(root, names, text))
    return [StoredRun.read(root / name) for name in chosen]


def is_run_name(root: Path, text: str) -> bool:
    """Whether a word on the command line says a stored run, be it there or not, rather than a model."""
    names = [record.parent.name for record in root.glob("*/run.json")]
    is_meant = bool(_candidates(names, text)) or _RUN_NAME.search(text) is not None
    return "@" not in text and is_meant and text not in CONFIGS


def delete(run: StoredRun) -> None:
    """Remove a run from the store; raises StoreError."""
    try:
        shutil.rmtree(run.folder)
    except OSError as error:
        raise StoreError(
            f"{run.folder} cannot be deleted ({error.strerror or error}): expected a folder that this user may change."
        ) from error


def continuation(run: StoredRun, settings: Settings) -> Plan:
    """What computes the images that a run lacks, with the model and images that its record names.

    Raises UsageError where it names none, StoreError where they are no longer the same, and what opening them does.
    """
    spec, place = run.about.get("spec"), run.about.get("place")
    if not spec or not place:
        raise UsageError(
            f"{run.title} does not say where its {'images' if spec else 'weights'} are: expected a run of this version "
            "of a file or of a named source. Repeat the command that began it; it carries on."
        )
    data = open_data(str(place)).subset(run.total)
    model = load_model(ModelSpec.parse(str(spec)), _load_options(run), data.class_names)
    job = Job(replace(model, name=run.job.model.name), run.job.protocol, run.job.scale)
    plan = prepare(data, [job], Store(run.folder.parent), replace(settings, **_settings_of(run)))
    if plan.runs[0].title != run.title:  # it ends in the hash of the signature
        raise StoreError(
            f"{run.title} was begun with other images, weights or settings than {place} and {spec} give now: expected "
            "the same. Delete it with --delete, or repeat the command that began it."
        )
    return plan


def stored_lines(runs: Sequence[StoredRun]) -> list[Line]:
    """The most complete row of each model of these runs; raises UsageError, and StoreError for different images, or
    none.
    """
    for run in runs:
        if not run.images:
            damaged = f" ({run.damaged[0]} is damaged)" if run.damaged else ""
            raise StoreError(
                f"{run.title} holds no images{damaged}: expected one or more. Compute them by `vggbench runs --finish "
                f"{run.title}`, or repeat the command that began it."
            )
    fuse(*runs)  # refuses different images by name
    _require_equal(runs, "rescaling", lambda run: run.signature["rescale"])
    _require_equal(runs, "precision", lambda run: run.signature["precision"])
    labels = [run.labels() for run in runs]
    for run, own in zip(runs, labels, strict=True):
        differ = np.flatnonzero(own != labels[0])
        if len(differ):
            raise StoreError(
                f"{runs[0].title} and {run.title} have different labels for {run.images[differ[0]]}: expected the "
                "same. Evaluate both by the same ground truth."
            )
    models: dict[tuple[str, str, Input], Model] = {}
    parts = []
    for run in runs:
        own_job = run.job
        key = (own_job.model.name, own_job.model.weights_hash, own_job.model.input)
        parts.append(Part(replace(own_job, model=models.setdefault(key, own_job.model)), run))
    return [_whole_row([part for part in parts if part.job.model is model]) for model in models.values()]


def stored_circumstances(runs: Sequence[StoredRun]) -> tuple[DataSet, Settings, list[dict[str, Any]]]:
    """The images, the settings and the provenance of runs of the same images."""
    return runs[0].data, Settings(**_settings_of(runs[0])), [entry for run in runs for entry in run.provenance]


def _whole_row(parts: Sequence[Part]) -> Line:
    found = most_complete(lines_of(parts))
    if len(found) > 1:
        raise UsageError(
            f"{parts[0].job.model.name}: {parts[0].job.protocol} does not combine several Qs: expected one of its runs."
        )
    return found[0]


def _require_equal(runs: Sequence[StoredRun], what: str, value: Callable[[StoredRun], Any]) -> None:
    for run in runs[1:]:
        if value(run) != value(runs[0]):
            raise UsageError(
                f"{runs[0].title} and {run.title} differ in {what} ({value(runs[0])}; {value(run)}): expected the "
                "same, since one note under the table tells it of all."
            )


def posteriors_sha256(runs: Sequence[Scores]) -> str:
    """Of the float32 posteriors of all runs, one after the other, little-endian, image by image."""
    digest = hashlib.sha256()
    for run in runs:
        for batch in run.batches():
            digest.update(np.ascontiguousarray(batch, dtype="<f4").tobytes())
    return digest.hexdigest()


def _cannot_run(images: Tensor) -> Tensor:
    raise AssertionError("a stored run's model has no weights")


def _remembered(path: Path, key: list[list[Any]]) -> Errors | None:
    """The errors that were counted of exactly these files."""
    try:
        kept = unsealed(path.read_bytes())
        top1, top5, images = kept["counts"]
        if kept["files"] != key:
            return None
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return Errors(ErrorRate(top1, images), None if top5 is None else ErrorRate(top5, images))


def _candidates(names: Sequence[str], text: str) -> list[str]:
    """Those that `text` may mean: one by its whole name or hash, or all that match a pattern or begin so."""
    exact = [name for name in names if text in (name, name.rpartition("-")[2])]
    if exact:
        return exact
    return [name for name in names if (fnmatchcase(name, text) if "*" in text else name.startswith(text))]


def _matching(root: Path, names: Sequence[str], text: str) -> list[str]:
    found = _candidates(names, text) if text else []
    if not found:
        some = ", ".join(names[:_SHOWN]) + (", ..." if len(names) > _SHOWN else "")
        raise UsageError(
            f"{root}/ has no run {text!r}: expected one of {some}; `vggbench runs` lists them."
            if names
            else f"{root}/ has no runs: expected the store of an evaluation. Name it with --runs."
        )
    if len(found) > 1 and "*" not in text:
        some = ", ".join(found[:_SHOWN]) + (", ..." if len(found) > _SHOWN else "")
        raise UsageError(f"{text!r} begins {len(found)} runs ({some}): expected one; {text}* takes them all.")
    return found


def _load_options(run: StoredRun) -> LoadOptions:
    """What had to be stated when the run began."""
    model = run.job.model
    known = next((name for name, value in INPUTS.items() if value == model.input), None)
    width = model.architecture.width if model.architecture else 1.0
    return LoadOptions(model.train_scale, known or model.input.channels, width, ema=model.averaged)


def _settings_of(run: StoredRun) -> dict[str, Any]:
    signature, how = run.signature, run.signature["rescale"]
    asked, _, compiled = str(signature["backend"]).partition("+")
    return {
        "precision": signature["precision"],
        "backend": asked,
        "compile": bool(compiled),
        "rescale": Rescale(how["filter"], bool(how["antialias"]), bool(how.get("square"))),
    }
