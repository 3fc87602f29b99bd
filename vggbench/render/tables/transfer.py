"""The paper's Table 11: as it is printed, and the commands that measure its rows."""

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from vggbench.paper.probes import PROTOCOLS, ProbeProtocol
from vggbench.paper.published import TABLE_11, Transfer
from vggbench.render.tables.table import NONE, Column, Table

TITLE = "Table 11: descriptors and a linear SVM"
_SOURCE = "Simonyan & Zisserman, arXiv 1409.1556v6, appendix B; in %, mean AP on VOC, mean class recall on Caltech."
_SETS = [one for one in PROTOCOLS.values() if one.scales]
_PLACES = {
    "caltech101": "101_ObjectCategories", "caltech256": "256_ObjectCategories", "voc2007": "VOCdevkit/VOC2007",
    "voc2012": "VOCdevkit/VOC2012",
}  # fmt: skip
_NETS = ("D@oxford", "E@oxford")


@dataclass(frozen=True)
class Step:
    """A command towards the rows of a set."""

    protocol: ProbeProtocol
    command: str


def published_transfer_table() -> Table:
    """The row as it is printed."""
    columns = [
        Column("Method", _method),
        *(Column(one.title, _figure_of(one.name), right=True) for one in _SETS),
    ]
    notes = [
        _SOURCE,
        "Wei et al. have 85.2 and 90.3 on VOC with networks that were trained on 2,000 classes.",
        *(f"VGG on {title}: Q={scales} {over}." for title, scales, over in _descriptors()),
    ]
    return Table(f"{TITLE} (published)", TABLE_11, columns, columns, _record, notes)


def _figure_of(name: str) -> Callable[[Transfer], str]:
    return lambda row: _cell(row.figure(name))


def _method(row: Transfer) -> str:
    return f"{row.method} {' + '.join(row.nets)}".strip()


def _cell(figure: Sequence[float] | None) -> str:
    return NONE if figure is None else " ± ".join(f"{number:.1f}" for number in figure)


def _descriptors() -> list[tuple[str, str, str]]:
    """Sets that the paper describes alike, their Qs, and what becomes of them."""
    alike: dict[tuple[str, str], list[str]] = {}
    for one in _SETS:
        over = "averaged" if one.over_scales == "average" else "stacked"
        alike.setdefault((",".join(map(str, one.scales)), over), []).append(one.title)
    return [(" and ".join(titles), scales, over) for (scales, over), titles in alike.items()]


def _record(row: Transfer) -> dict[str, Any]:
    figures: dict[str, float | None] = {}
    for one in _SETS:
        mean, *deviation = row.figure(one.name) or (None,)
        figures[f"paper_{one.name}"] = mean
        if not one.is_voc:
            figures[f"paper_{one.name}_deviation"] = deviation[0] if deviation else None
    return {"table": 11, "method": row.method, "network": " + ".join(row.nets) or None} | figures


def planned_transfer_table() -> Table:
    """What measures the paper's rows, set by set; `probe` prints the paper's figures beside them."""
    columns = [
        Column("Set", lambda step: step.protocol.title),
        Column("Command", lambda step: step.command, folds=True),
    ]
    steps = [step for one in _SETS for step in _steps(one)]
    notes = [
        "Each probe has three rows, D, E and D + E, with the paper's figures beside them: `vggbench reproduce 11 "
        "--published` prints these by themselves.",
        "The labels of VOC-2012's test images are not public: its val tests instead, and no figure of the paper's "
        "stands beside that.",
    ]
    return Table(
        f"{TITLE} | commands", steps, columns, columns,
        lambda step: {"table": 11, "protocol": step.protocol.name, "command": step.command}, notes,
    )  # fmt: skip


def _steps(one: ProbeProtocol) -> list[Step]:
    place, files = _PLACES[one.name], [f"{net[0]}-{one.name}.parquet" for net in _NETS]
    scales, over = map(str, one.scales), str(one.over_scales)
    taken = ["--data", place, "--scales", *scales, "--over-scales", over]
    commands = [["features", net, *taken, "--output", file] for net, file in zip(_NETS, files, strict=True)]
    voc = ["--data", place] if one.is_voc else ["--split-file", f"{one.name}.json"]
    commands.append(["probe", *files, "--each", "--protocol", one.name, *voc])
    return [Step(one, shlex.join(["vggbench", *command])) for command in commands]
