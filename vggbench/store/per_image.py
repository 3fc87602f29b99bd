"""What a run or a fusion says of each image: the most probable classes, the rank of the truth, the loss."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from vggbench.files import written_whole
from vggbench.metrics import ranks
from vggbench.store.posteriors import Posteriors, batches_together

if TYPE_CHECKING:
    import pandas as pd

TOP = 5


@dataclass(frozen=True)
class PerImage:
    """Columns over N images, in their order; T is 5, or the number of classes where there are fewer."""

    images: tuple[str, ...]
    labels: NDArray[np.int32]
    """(N,)"""
    classes: NDArray[np.int32]
    """(N, T), most probable first; of equal ones the lower index first."""
    probabilities: NDArray[np.float32]
    """(N, T)"""
    ranks: NDArray[np.int32]
    """(N,), 0 where the truth is the most probable class."""
    losses: NDArray[np.float64]
    """(N,), -ln of the truth's probability; infinity where that is 0."""


def without_probabilities(found: PerImage) -> PerImage:
    """The same where only the order of the best classes is known: probabilities and losses are NaN.

    All ranks beyond these classes are the first beyond them.
    """
    unknown = np.full_like(found.probabilities, np.nan)
    ranks = np.minimum(found.ranks, found.classes.shape[1])
    return replace(found, probabilities=unknown, losses=np.full_like(found.losses, np.nan), ranks=ranks)


def per_image(scores: Posteriors, labels: NDArray[np.integer]) -> PerImage:
    """Read the posteriors once, a batch at a time; raises NumericsError for a NaN."""
    found: list[tuple[NDArray[np.integer], NDArray[np.floating], NDArray[np.int32], NDArray[np.floating]]] = []
    start = 0
    for (batch,) in batches_together([scores]):
        own = labels[start : start + len(batch)]
        start += len(batch)
        places = ranks(batch, own)  # refuses a NaN
        first = _most_probable(batch)
        with np.errstate(divide="ignore"):
            losses = -np.log(np.take_along_axis(batch.astype(np.float64), own[:, None].astype(np.int64), 1)[:, 0])
        found.append((first, np.take_along_axis(batch, first, 1), places, losses))
    assert start == len(labels), "one label for every posterior"
    classes, probabilities, all_places, losses = (np.concatenate(column) for column in zip(*found, strict=True))
    return PerImage(
        images=scores.images,
        labels=labels.astype(np.int32),
        classes=classes.astype(np.int32),
        probabilities=probabilities.astype(np.float32),
        ranks=all_places.astype(np.int32),
        losses=losses + 0.0,  # no negative zero
    )


def _most_probable(batch: NDArray[np.floating]) -> NDArray[np.int64]:
    """(n, K) -> (n, T): few may be most probable, so they alone are sorted, by probability and then by index."""
    count = min(TOP, batch.shape[1])
    least = np.partition(batch, -count, axis=1)[:, -count]
    chosen = np.empty((len(batch), count), np.int64)
    for row, (values, bound) in enumerate(zip(batch, least, strict=True)):
        among = np.flatnonzero(values >= bound)
        chosen[row] = among[np.lexsort((among, -values[among]))][:count]
    return chosen


def frame_of(found: PerImage, class_names: Sequence[str]) -> "pd.DataFrame":
    """One row an image: image, label, top1 to top5 (classes), p1 to p5 (their probabilities), rank (1 where the truth
    is the most probable class), loss. Of predictions whose five best classes alone are known, p1 to p5 and loss are
    empty, and rank 6 is any beyond 5.
    """
    import pandas as pd

    names = np.array(class_names, dtype=object)
    columns = {"image": np.array(found.images, dtype=object), "label": names[found.labels]}
    count = found.classes.shape[1]
    columns |= {f"top{place + 1}": names[found.classes[:, place]] for place in range(count)}
    columns |= {f"p{place + 1}": found.probabilities[:, place] for place in range(count)}
    return pd.DataFrame(columns | {"rank": found.ranks + 1, "loss": found.losses})


def write_per_image(found: PerImage, class_names: Sequence[str], path: Path) -> None:
    """A .parquet or .csv of `frame_of`, whole or not at all; raises VggbenchError."""
    frame = frame_of(found, class_names)
    with written_whole(path) as partial:
        if path.suffix == ".parquet":
            frame.to_parquet(partial, index=False)
        else:
            frame.to_csv(partial, index=False)
