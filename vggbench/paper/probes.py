"""The protocols by which descriptors are probed: the paper's for each set of its Table 11 (appendix B), and for any.

The paper: "20% of training images were used as a validation set for hyper-parameter selection" on Caltech; on VOC the
official validation set is that part.
"""

from dataclasses import dataclass
from typing import Literal

ProbeName = Literal["folders", "caltech101", "caltech256", "voc2007", "voc2012"]
Over = Literal["average", "stack"]
"""How the descriptors of several Qs become one."""


@dataclass(frozen=True)
class ProbeProtocol:
    """Which images train and which test, and what the paper's descriptors for it are."""

    name: str
    title: str
    train_per_class: int = 30
    test_per_class: int | None = 50
    """The most test images of a class; None: all others."""
    splits: int = 3
    folds: int = 5
    """Fifths of the training part that are held out in turn to choose C; the paper holds out one."""
    scales: tuple[int, ...] = ()
    """Q of the paper's descriptors; none where the paper has no figure."""
    over_scales: Over | None = None
    classes: int | None = None
    images: int | None = None
    """The number of images in the whole set, without which no published figure compares."""
    year: int | None = None
    """The year of a VOC; None for any other set."""

    @property
    def is_voc(self) -> bool:
        """Whether an image has a label for each class, and the metric is mean average precision."""
        return self.year is not None

    @property
    def metric(self) -> str:
        """The name of the metric, as it is printed."""
        return "mAP" if self.is_voc else "mean class recall"

    @property
    def has_eleven_points(self) -> bool:
        """Whether average precision is VOC's until 2009: over eleven recalls, not the area under the curve."""
        return self.year is not None and self.year < 2010


_THREE, _FIVE = (256, 384, 512), (256, 384, 512, 640, 768)

PROTOCOLS: dict[str, ProbeProtocol] = {
    one.name: one
    for one in (
        ProbeProtocol("folders", "class folders"),
        ProbeProtocol(
            "caltech101", "Caltech-101", folds=1, scales=_THREE, over_scales="stack", classes=102, images=9_144
        ),
        ProbeProtocol(
            "caltech256", "Caltech-256", train_per_class=60, test_per_class=None, folds=1, scales=_THREE,
            over_scales="stack", classes=257, images=30_607,
        ),
        ProbeProtocol(
            "voc2007", "VOC-2007", splits=1, folds=1, scales=_FIVE, over_scales="average", classes=20, images=9_963,
            year=2007,
        ),
        ProbeProtocol(
            "voc2012", "VOC-2012", splits=1, folds=1, scales=_FIVE, over_scales="average", classes=20, year=2012
        ),
    )
}  # fmt: skip
"""By name; `images` of VOC-2012 is None because the labels of its test images are not public."""
