"""The published figures of Simonyan & Zisserman, arXiv 1409.1556v6, Tables 2 to 7 and 11.

Table 1 is `configs.CONFIGS`. Errors in percent on the ILSVRC-2012 validation set; Table 11 is of other sets.
"""

from dataclasses import dataclass

from vggbench.paper.protocols import COMBINATION


@dataclass(frozen=True)
class Member:
    """One net's share in a result: S as TrainScale prints it, and the Qs."""

    config: str
    train_scale: str
    scales: tuple[int, ...]


@dataclass(frozen=True)
class Result:
    """One printed row; several members are a fusion."""

    table: int
    protocol: str
    members: tuple[Member, ...]
    top1: float
    top5: float
    top5_test: float | None = None


@dataclass(frozen=True)
class OtherResult:
    """A row of Table 7, which compares with other publications; `nets` None where the paper says multiple."""

    method: str
    nets: int | None
    top1: float | None
    top5: float | None
    top5_test: float | None


@dataclass(frozen=True)
class Transfer:
    """A row of Table 11: a linear SVM on descriptors; `nets` are empty of another publication.

    Mean average precision on VOC, mean class recall with its deviation over the splits on Caltech; all in percent.
    """

    method: str
    nets: tuple[str, ...]
    voc2007: tuple[float] | None
    voc2012: tuple[float] | None
    caltech101: tuple[float, float] | None
    caltech256: tuple[float, float] | None

    def figure(self, protocol: str) -> tuple[float, ...] | None:
        """What is printed for a set, the deviation second; the set by the name of its field."""
        found: tuple[float, ...] | None = getattr(self, protocol)
        return found


PARAMETERS_MILLIONS = {"A": 133, "A-LRN": 133, "B": 133, "C": 134, "D": 138, "E": 144}
"""Table 2."""


SHALLOW = (
    "B-5x5 is B with each pair of 3x3 layers replaced by one 5x5 layer; the paper states that its top-1 error is 7% "
    "higher than B's on a centre crop (section 4.1), and prints no figure."
)
"""All that the paper says of it: no absolute figure, S or Q, nor whether 7% are points."""


def _one(table: int, protocol: str, config: str, train_scale: str, scales: str, top1: float, top5: float) -> Result:
    qs = tuple(int(q) for q in scales.split(","))
    return Result(table, protocol, (Member(config, train_scale, qs),), top1, top5)


_D_JITTERED = Member("D", "256-512", (256, 384, 512))
_E_JITTERED = Member("E", "256-512", (256, 384, 512))
_SUBMISSION = (
    Member("D", "256", (224, 256, 288)),
    Member("D", "384", (352, 384, 416)),
    _D_JITTERED,
    Member("C", "256", (224, 256, 288)),
    Member("C", "384", (352, 384, 416)),
    Member("E", "256", (224, 256, 288)),
    Member("E", "384", (352, 384, 416)),
)

# fmt: off
RESULTS: tuple[Result, ...] = (
    #    table protocol     net      S          Q              top-1 top-5
    _one(3,    "dense",     "A",     "256",     "256",         29.6, 10.4),
    _one(3,    "dense",     "A-LRN", "256",     "256",         29.7, 10.5),
    _one(3,    "dense",     "B",     "256",     "256",         28.7,  9.9),
    _one(3,    "dense",     "C",     "256",     "256",         28.1,  9.4),
    _one(3,    "dense",     "C",     "384",     "384",         28.1,  9.3),
    _one(3,    "dense",     "C",     "256-512", "384",         27.3,  8.8),
    _one(3,    "dense",     "D",     "256",     "256",         27.0,  8.8),
    _one(3,    "dense",     "D",     "384",     "384",         26.8,  8.7),
    _one(3,    "dense",     "D",     "256-512", "384",         25.6,  8.1),
    _one(3,    "dense",     "E",     "256",     "256",         27.3,  9.0),
    _one(3,    "dense",     "E",     "384",     "384",         26.9,  8.7),
    _one(3,    "dense",     "E",     "256-512", "384",         25.5,  8.0),
    _one(4,    "dense",     "B",     "256",     "224,256,288", 28.2,  9.6),
    _one(4,    "dense",     "C",     "256",     "224,256,288", 27.7,  9.2),
    _one(4,    "dense",     "C",     "384",     "352,384,416", 27.8,  9.2),
    _one(4,    "dense",     "C",     "256-512", "256,384,512", 26.3,  8.2),
    _one(4,    "dense",     "D",     "256",     "224,256,288", 26.6,  8.6),
    _one(4,    "dense",     "D",     "384",     "352,384,416", 26.5,  8.6),
    _one(4,    "dense",     "D",     "256-512", "256,384,512", 24.8,  7.5),
    _one(4,    "dense",     "E",     "256",     "224,256,288", 26.9,  8.7),
    _one(4,    "dense",     "E",     "384",     "352,384,416", 26.7,  8.6),
    _one(4,    "dense",     "E",     "256-512", "256,384,512", 24.8,  7.5),
    _one(5,    "dense",     "D",     "256-512", "256,384,512", 24.8,  7.5),
    _one(5,    "multicrop", "D",     "256-512", "256,384,512", 24.6,  7.5),
    _one(5,    COMBINATION, "D",     "256-512", "256,384,512", 24.4,  7.2),
    _one(5,    "dense",     "E",     "256-512", "256,384,512", 24.8,  7.5),
    _one(5,    "multicrop", "E",     "256-512", "256,384,512", 24.6,  7.4),
    _one(5,    COMBINATION, "E",     "256-512", "256,384,512", 24.4,  7.1),
    Result(6, "dense",     _SUBMISSION,                24.7, 7.5, 7.3),
    Result(6, "dense",     (_D_JITTERED, _E_JITTERED), 24.0, 7.1, 7.0),
    Result(6, "multicrop", (_D_JITTERED, _E_JITTERED), 23.9, 7.2),
    Result(6, COMBINATION, (_D_JITTERED, _E_JITTERED), 23.7, 6.8, 6.8),
)

FUSIONS = {"two-net": RESULTS[-1], "seven-net": next(result for result in RESULTS if len(result.members) == 7)}
"""The fusions of Table 6 by name: the last row, and the submission to ILSVRC-2014."""

TABLE_7: tuple[OtherResult, ...] = (
    #           method               nets  top-1 top-5 top-5 test
    OtherResult("VGG",               2,    23.7,  6.8,  6.8),
    OtherResult("VGG",               1,    24.4,  7.1,  7.0),
    OtherResult("VGG",               7,    24.7,  7.5,  7.3),
    OtherResult("GoogLeNet",         1,    None,  7.9,  7.9),
    OtherResult("GoogLeNet",         7,    None,  6.7,  6.7),
    OtherResult("MSRA",              11,   None,  None, 8.1),
    OtherResult("MSRA",              1,    27.9,  9.1,  9.1),
    OtherResult("Clarifai",          None, None,  None, 11.7),
    OtherResult("Clarifai",          1,    None,  None, 12.5),
    OtherResult("Zeiler & Fergus",   6,    36.0, 14.7, 14.8),
    OtherResult("Zeiler & Fergus",   1,    37.5, 16.0, 16.1),
    OtherResult("OverFeat",          7,    34.0, 13.2, 13.6),
    OtherResult("OverFeat",          1,    35.7, 14.2, None),
    OtherResult("Krizhevsky et al.", 5,    38.1, 16.4, 16.4),
    OtherResult("Krizhevsky et al.", 1,    40.7, 18.2, None),
)

TABLE_11: tuple[Transfer, ...] = (
    #        method             nets        VOC-2007 VOC-2012 Caltech-101  Caltech-256
    Transfer("Zeiler & Fergus", (),         None,    (79.0,), (86.5, 0.5), (74.2, 0.3)),
    Transfer("Chatfield et al.", (),        (82.4,), (83.2,), (88.4, 0.6), (77.6, 0.1)),
    Transfer("He et al.",       (),         (82.4,), None,    (93.4, 0.5), None),
    Transfer("Wei et al.",      (),         (81.5,), (81.7,), None,        None),
    Transfer("VGG",             ("D",),     (89.3,), (89.0,), (91.8, 1.0), (85.0, 0.2)),
    Transfer("VGG",             ("E",),     (89.3,), (89.0,), (92.3, 0.5), (85.1, 0.3)),
    Transfer("VGG",             ("D", "E"), (89.7,), (89.3,), (92.7, 0.5), (86.2, 0.3)),
)
"""Without Wei et al.'s 85.2 and 90.3, of networks that were trained on 2,000 classes."""
# fmt: on


def published(protocol: str, members: tuple[Member, ...]) -> Result | None:
    """The paper's result for exactly these nets, S, Qs and protocol, in any order of the nets.

    A row of Table 5 that repeats one of Table 4 is found as Table 4's.
    """
    wanted = sorted(members, key=repr)
    return next((r for r in RESULTS if r.protocol == protocol and sorted(r.members, key=repr) == wanted), None)


def own_row(row: OtherResult) -> Result | None:
    """The row of Table 5 or 6 that a row of Table 7 repeats, but for the test error of one net."""
    if row.method != "VGG":
        return None
    combined = [result for result in RESULTS if result.protocol == COMBINATION or result == FUSIONS["seven-net"]]
    return next(
        (r for r in reversed(combined) if (len(r.members), r.top1, r.top5) == (row.nets, row.top1, row.top5)), None
    )
