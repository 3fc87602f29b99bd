"""Stage by stage through a dump: what is equal, what differs, and which candidate makes the difference vanish."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import combinations, count
from typing import Any

import numpy as np

from vggbench.evaluation.jobs import Job
from vggbench.images.preprocessing import Rescale
from vggbench.studies.locating.candidates import STEPS, UNKNOWN, Candidate, candidates
from vggbench.studies.locating.comparison import (
    LARGEST,
    LEVELS,
    PROBABILITY,
    Fit,
    Tolerance,
    fit,
    unit_of_largest,
)
from vggbench.studies.locating.dump import (
    INPUT,
    LOGITS,
    PIXELS,
    POSTERIOR,
    Array,
    Given,
    Reading,
    class_readings,
    input_readings,
    layer_readings,
    pixel_readings,
)
from vggbench.studies.locating.network import Network
from vggbench.studies.locating.recipe import UNROUNDED, Recipe, Steps, ended, reordered, softmax

EQUAL, ROUNDED, DIFFERENT = "equal", "equal up to rounding", "different"
_ORDERS = ("class-order", "class-shift")
"""What fits more than it explains, and is named where nothing else is."""
_NETWORK = STEPS.index("network")
_MOST_PAIRS = 400
"""The most pairs of candidates that take a forward pass each: minutes of the paper's largest net on two cores."""


@dataclass
class Stage:
    """What was found of one array of a dump."""

    name: str
    verdict: str
    largest: float
    """The largest difference from what our own recipe gives there, theirs being the input of the last stage."""
    tolerance: Tolerance
    reading: str = ""
    """How it is laid out where that is not as ours: `HWC`, `BGR`, `0-1`."""
    causes: list[str] = field(default_factory=list)
    also: list[str] = field(default_factory=list)
    """Causes that explain it as well as the one that is named."""
    is_bgr: bool = False


@dataclass(frozen=True)
class Tried:
    """A recipe, how near it comes, and by which reading of their values."""

    names: tuple[str, ...]
    recipe: Recipe
    fit: Fit
    reading: Reading
    value: bytes
    """A key by which another candidate with the same values is known."""
    row: Candidate | None = None


class Search:
    """What is known so far: the last values of theirs, and the recipe that led there."""

    def __init__(self, job: Job, how: Rescale, data: bytes, network: Network) -> None:
        self._job, self._network, self._how = job, network, job.rescale or how
        self._steps = Steps(data, job, how)
        self._rows = candidates(self._how.filter)
        self._recipe, self._place = Recipe(), -1
        self._start: tuple[str | None, Array | None] = (None, None)
        self._replaced: dict[str, Array] = {}
        self._logits: Array | None = None
        self._runs: dict[Any, dict[str, list[Array]]] = {}

    def judge(self, given: Given) -> Stage:
        """Compare one stage, look for causes where it differs, and go on from theirs."""
        self._runs.clear()
        tolerance = self._tolerance(given)
        found = self._tried(given, self._recipe, ())
        stage = Stage(given.name, EQUAL, found.fit.largest, tolerance)
        if found.fit.largest > 0:
            self._explain(stage, given, found, tolerance)
            found = self._best if stage.verdict == DIFFERENT else found
        stage.reading, stage.is_bgr = found.reading.how, found.reading.is_bgr
        self._go_on(given.name, found)
        return stage

    def _explain(self, stage: Stage, given: Given, found: Tried, tolerance: Tolerance) -> None:
        self._best = found
        if found.fit.is_same(tolerance):
            stage.verdict = ROUNDED
            return
        singles = self._singles(given, found)
        best = self._closest(singles, found, Fit.explains, tolerance)
        if not best and found.fit.is_rounding(tolerance):
            stage.verdict = ROUNDED
            return
        pairs: list[Tried] = []
        for judge in (Fit.explains, Fit.nearly_explains) if not best else ():
            best = self._closest(singles, found, judge, tolerance)
            pairs = pairs or ([] if best else list(self._pairs(given, singles, found, tolerance)))
            best = best or self._closest(pairs, found, judge, tolerance)
            if best:
                break
        stage.verdict = DIFFERENT
        if best:
            self._best, stage.causes = best, list(dict.fromkeys(best.names))
            stage.also = [name for name in self._as_good(best, singles, tolerance) if name not in best.names]
        else:
            stage.causes = [UNKNOWN]

    def _singles(self, given: Given, found: Tried) -> list[Tried]:
        """Each candidate alone, once, where it changes anything."""
        at, seen, tried = self._step(given.name), {found.value}, list[Tried]()
        for row in self._rows:
            if self._place < STEPS.index(row.step) <= at and not self._is_ours(row):
                one = self._tried(given, row.of(self._recipe), (row.name,), row)
                if one.value not in seen:
                    seen.add(one.value)
                    tried.append(one)
        return tried

    def _is_ours(self, row: Candidate) -> bool:
        """Whether a row changes what was changed already, or nothing but that pixels are not rounded."""
        if row.is_taken(self._recipe):
            return True
        if row.field != "resizer" or row.value not in UNROUNDED:
            return False
        ours, other = (self._steps.walk(one, *self._start, "resized") for one in (self._recipe, row.of(self._recipe)))
        return fit(other, ours, 1.0, LEVELS).is_rounding(LEVELS)

    def _pairs(self, given: Given, singles: Sequence[Tried], found: Tried, tolerance: Tolerance) -> Iterator[Tried]:
        """Two of different kinds, those first that come nearest alone; up to the first pair that explains it."""
        at = self._step(given.name)
        ranked = sorted(singles, key=lambda one: (one.names[0] in _ORDERS, one.fit.mean))
        both = sorted(combinations(range(len(ranked)), 2), key=sum)
        rows = [(ranked[first], ranked[first].row, ranked[second].row) for first, second in both]
        different = [(one, row, other) for one, row, other in rows if row and other and row.field != other.field]
        passes = count()
        for one, row, other in different:
            needs_pass = at >= _NETWORK >= max(STEPS.index(each.step) for each in (row, other))
            if needs_pass and next(passes) >= _MOST_PAIRS:
                continue
            pair = self._tried(given, other.of(one.recipe), self._in_order(row, other))
            yield pair
            if pair.fit.explains(found.fit, tolerance) and not set(pair.names) & set(_ORDERS):
                return

    def _in_order(self, one: Candidate, other: Candidate) -> tuple[str, ...]:
        return tuple(row.name for row in sorted((one, other), key=lambda row: STEPS.index(row.step)))

    def _closest(
        self, tried: Sequence[Tried], found: Tried, judge: Callable[[Fit, Fit, Tolerance], bool], tolerance: Tolerance
    ) -> Tried | None:
        fitting = [one for one in tried if judge(one.fit, found.fit, tolerance)]
        plain = [one for one in fitting if not set(one.names) & set(_ORDERS)]
        if not fitting:
            return None
        best = min(plain or fitting, key=lambda one: one.fit.mean)
        alike = [one for one in plain if one.fit.mean <= best.fit.mean + tolerance.same / 100] or [best]
        shares = [one for one in alike if one.names == ("no-antialias",) and "0-1" in one.reading.how]
        return (shares or alike)[0]

    def _as_good(self, best: Tried, singles: Sequence[Tried], tolerance: Tolerance) -> list[str]:
        if len(best.names) > 1:
            return []
        near = [one for one in singles if one.fit.mean <= best.fit.mean + tolerance.same / 100]
        return list(dict.fromkeys(one.names[0] for one in near if one.names[0] != "class-order"))

    def _go_on(self, name: str, found: Tried) -> None:
        """Take theirs as the input of what follows, and keep what was found of the recipe."""
        self._recipe, self._place = found.recipe, self._step(name)
        if name in PIXELS or name == INPUT:
            self._start = (name, found.reading.values)
        elif name == LOGITS:
            self._logits = found.reading.values
        elif name != POSTERIOR:
            self._replaced = {self._network.named(name): found.reading.values}
            self._place -= 1  # other layers follow

    def _step(self, name: str) -> int:
        return STEPS.index(name if name in STEPS else "network")

    def _tolerance(self, given: Given) -> Tolerance:
        kinds = dict.fromkeys((*PIXELS, INPUT), LEVELS) | {POSTERIOR: PROBABILITY}
        found = kinds.get(given.name, LARGEST)
        return found.of_half() if given.is_half else found

    def _tried(self, given: Given, recipe: Recipe, names: tuple[str, ...], row: Candidate | None = None) -> Tried:
        """What a recipe gives beside theirs, by the reading that comes nearest."""
        ours = self._values(given, recipe)
        pairs = [(reading, value) for reading in self._readings(given) for value in ours]
        fits = [self._fit(given, reading, value) for reading, value in pairs]
        best = min(range(len(fits)), key=lambda place: fits[place].mean)
        return Tried(names, recipe, fits[best], pairs[best][0], ours[0].tobytes(), row)

    def _fit(self, given: Given, reading: Reading, ours: Array) -> Fit:
        tolerance = self._tolerance(given)
        if given.name in PIXELS:
            rounded = [np.rint(ours), np.floor(ours)] if given.is_whole else [ours]
            return min(fit(reading.values, one, 1.0, tolerance) for one in rounded)
        if given.name == INPUT:
            expected = self._job.model.input
            unit = np.array(expected.std).reshape(3, 1, 1) * 255 / expected.range
            return fit(reading.values, ours, unit, tolerance)
        centred = given.name == LOGITS
        return fit(reading.values, ours, unit_of_largest(ours, centred=centred), tolerance)

    def _readings(self, given: Given) -> list[Reading]:
        if given.name in PIXELS:
            return list(pixel_readings(given, given.name))
        if given.name == INPUT:
            return input_readings(given, self._job.protocol.crop)
        if given.name in (LOGITS, POSTERIOR):
            return class_readings(given, self._job.identity.classes)
        return layer_readings(given, self._network.shape(self._network.named(given.name)))

    def _values(self, given: Given, recipe: Recipe) -> list[Array]:
        """What a recipe gives at a stage; of a layer also what the next one makes of it in place."""
        if given.name in PIXELS or given.name == INPUT:
            return [self._steps.walk(recipe, *self._start, given.name)]
        if given.name not in (LOGITS, POSTERIOR):
            found = self._network_of(recipe, given.name)
            return found.get(self._network.named(given.name), [np.full(1, np.nan)])
        scores = self._logits if self._logits is not None and given.name == POSTERIOR else self._scores(recipe)
        if self._logits is None:
            scores = _as_said(scores, recipe.scores)
            scores = self._reordered(given, scores, recipe, LOGITS)
        if given.name == POSTERIOR:
            scores = self._reordered(given, ended(scores, recipe.ending), recipe, POSTERIOR)
        return [scores]

    def _reordered(self, given: Given, values: Array, recipe: Recipe, stage: str) -> Array:
        step, way = recipe.classes
        if step != stage or given.name != stage:
            return values
        return reordered(values, way, given.values.reshape(-1), are_shares=stage == POSTERIOR)

    def _scores(self, recipe: Recipe) -> Array:
        found = self._network_of(recipe, None).get(LOGITS)
        return found[0].astype(np.float64) if found else np.full(self._job.identity.classes, np.nan)

    def _network_of(self, recipe: Recipe, layer: str | None) -> dict[str, list[Array]]:
        pixels = self._steps.walk(recipe, *self._start, INPUT) if self._start[0] != INPUT else self._start[1]
        assert pixels is not None
        if layer:  # too large to be kept for hundreds of candidates
            return self._network.run(pixels, recipe.altered, self._replaced, [self._network.named(layer)])
        key = hash(np.ascontiguousarray(pixels).tobytes()), recipe.altered
        if key not in self._runs:
            self._runs[key] = self._network.run(pixels, recipe.altered, self._replaced, [])
        return self._runs[key]


def _as_said(scores: Array, how: str) -> Array:
    """Scores, or what is taken for them."""
    if not how:
        return scores
    return softmax(scores) if how == "softmax" else ended(scores, "log")
