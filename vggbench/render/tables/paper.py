"""The paper's Tables 1 to 7, and 11: as printed, or with what is measured here."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from operator import itemgetter
from typing import TYPE_CHECKING, Any

from vggbench.metrics import ErrorRate
from vggbench.nets.cost import Architecture
from vggbench.paper.configs import CONFIGS, CROP, PAPER
from vggbench.paper.published import RESULTS, TABLE_7, Member, OtherResult, Result, own_row
from vggbench.render.tables.cells import difference, error_cell, error_in_markdown, reference
from vggbench.render.tables.footer import Note
from vggbench.render.tables.notes import made_notes, made_signed
from vggbench.render.tables.parameters import parameters_table
from vggbench.render.tables.table import NONE, Column, Table
from vggbench.render.tables.transfer import published_transfer_table
from vggbench.results.circumstances import Circumstances, data_name, data_title
from vggbench.results.facts import without_top5
from vggbench.results.records import error_record
from vggbench.results.rows import Row
from vggbench.studies.counts import by_net

if TYPE_CHECKING:
    from vggbench.studies.reproduction import Check, Measured, Remedy

Cell = Callable[[ErrorRate | None], str]
"""How an error with its interval prints: on the terminal, or in Markdown."""
Remedies = Mapping[Member, "Remedy"]
_TITLES = {
    1: "Table 1: the six configurations", 2: "Table 2: parameters", 3: "Table 3: dense, single test scale",
    4: "Table 4: dense, three test scales", 5: "Table 5: dense, multi-crop and both", 6: "Table 6: ConvNet fusion",
    7: "Table 7: other publications",
}  # fmt: skip
_SOURCE = "Simonyan & Zisserman, arXiv 1409.1556v6; errors in %, on ILSVRC-2012 val unless it says test."
_TEST = "Top-5 on the test set cannot be measured: its labels are not public."
_NO_TEST = Note(_TEST, kind="test-set")
_NOT_OURS = object()
"""In place of a row, of what is not measured here."""
_FROM = {"A": None, "A-LRN": "A", "B": "A", "C": "B", "D": "C", "E": "D"}
"""What each net of Table 1 is told apart from."""


def configurations_table() -> Table:
    """Table 1: one column a net; * marks what it has and the net before has not."""
    stages = {name: _stages(name) for name in PAPER}
    rows = []
    for stage in range(5):
        depth = max(len(stages[name][stage]) for name in PAPER)
        for place in range(depth):
            rows.append({name: _cell(stages, name, stage, place) for name in PAPER})
        rows.append(dict.fromkeys(PAPER, "maxpool"))
    rows += [dict.fromkeys(PAPER, text) for text in ("FC-4096", "FC-4096", "FC-1000", "softmax")]
    columns = [Column(name, itemgetter(name)) for name in PAPER]
    return Table(
        title=_TITLES[1],
        rows=[{name: f"{len(CONFIGS[name].convs) + 3} layers" for name in PAPER}, *rows],
        terminal=columns,
        markdown=columns,
        record=lambda row: {"table": 1} | row,
        notes=[
            "convK-C: C filters of K x K; LRN after the first ReLU. * what the net to its left lacks (B: A).",
            _SOURCE,
        ],
    )


def _stages(name: str) -> list[list[str]]:
    found: list[list[str]] = [[]]
    for layer in CONFIGS[name].layers:
        if layer.kind == "pool":
            found.append([])
        else:
            found[-1].append("LRN" if layer.kind == "lrn" else f"conv{layer.kernel}-{layer.channels}")
    return found


def _cell(stages: dict[str, list[list[str]]], name: str, stage: int, place: int) -> str:
    own, before = stages[name][stage], _FROM[name]
    if place >= len(own):
        return ""
    known = stages[before][stage] if before else own
    return own[place] + ("" if place < len(known) and known[place] == own[place] else "*")


def published_table(number: int) -> Table:
    """One table as it is printed."""
    if number == 1:
        return configurations_table()
    if number == 2:
        counted = parameters_table(by_net([Architecture(CONFIGS[name]) for name in PAPER], (CROP,)))
        return replace(counted, title=_TITLES[2], record=lambda row: {"table": 2} | counted.record(row))
    if number == 7:
        return _others_table()
    if number == 11:
        return published_transfer_table()
    return _errors_table(number, [result for result in RESULTS if result.table == number])


def _errors_table(number: int, results: Sequence[Result]) -> Table:
    columns = [
        *_result_columns(results),
        Column("Top-1", lambda r: f"{r.top1:.1f}", right=True),
        Column("Top-5", lambda r: f"{r.top5:.1f}", right=True),
        Column("Top-5 test", lambda r: _figure(r.top5_test), right=True, optional=True),
    ]
    return Table(f"{_TITLES[number]} (published)", results, columns, columns, _published_record, [_SOURCE])


def _result_columns(results: Sequence[Any], result: Callable[[Any], Result] = lambda row: row) -> list[Column]:
    several = len({result(row).protocol for row in results}) > 1
    return [
        Column("Network", lambda r: network(result(r)), folds=True),
        Column("S", lambda r: _same([m.train_scale for m in result(r).members], "by net")),
        Column("Q", lambda r: _same([",".join(map(str, m.scales)) for m in result(r).members], "three by S")),
        *([Column("Protocol", lambda r: result(r).protocol)] if several else []),
    ]


def network(result: Result) -> str:
    """D, or D + E, or D/256 + D/384 where S is not the same for all."""
    several = len({member.train_scale for member in result.members}) > 1
    return " + ".join(f"{m.config}/{m.train_scale}" if several else m.config for m in result.members)


def _same(texts: Sequence[str], otherwise: str) -> str:
    return texts[0] if len(set(texts)) == 1 else otherwise


def _published_record(result: Result) -> dict[str, Any]:
    return {
        "table": result.table,
        "network": network(result),
        "train_scale": " + ".join(dict.fromkeys(member.train_scale for member in result.members)),
        "test_scales": _test_scales(result),
        "protocol": result.protocol,
        "paper_top1": result.top1,
        "paper_top5": result.top5,
        "paper_top5_test": result.top5_test,
    }


def _test_scales(result: Result) -> list[int] | list[str]:
    """The Qs, or those of each net where they differ."""
    own = [member.scales for member in result.members]
    return list(own[0]) if len(set(own)) == 1 else [",".join(map(str, scales)) for scales in own]


def _others_table() -> Table:
    columns = [
        Column("Method", lambda r: r.method),
        Column("Nets", lambda r: str(r.nets or "multiple"), right=True),
        Column("Top-1", lambda r: _figure(r.top1), right=True),
        Column("Top-5", lambda r: _figure(r.top5), right=True),
        Column("Top-5 test", lambda r: _figure(r.top5_test), right=True),
    ]
    notes = [_SOURCE, "GoogLeNet's top-5 is one figure for both sets. VGG's rows are of Tables 5 (E) and 6."]
    return Table(f"{_TITLES[7]} (published)", TABLE_7, columns, columns, _other_record, notes)


def _other_record(row: OtherResult) -> dict[str, Any]:
    return {
        "table": 7, "method": row.method, "nets": row.nets or "multiple", "paper_top1": row.top1,
        "paper_top5": row.top5, "paper_top5_test": row.top5_test,
    }  # fmt: skip


def measured_table(number: int, rows: "Sequence[Measured]", about: Circumstances, remedies: Remedies) -> Table:
    """One table of errors with what is measured here; the paper's figures stand beside comparable ones alone."""

    def columns(cell: Cell) -> list[Column]:
        return [
            *_result_columns(rows, lambda found: found.result),
            *_here(cell, lambda found: found.row, rows),
            *(_paper_columns(rows, about) if about.data.is_full_ilsvrc_val else []),
        ]

    return Table(
        title=f"{_TITLES[number]} | {_what(rows, about)} | error, %",
        rows=rows,
        terminal=columns(error_cell),
        markdown=columns(error_in_markdown),
        record=lambda found: _measured_record(found, about),
        notes=_measured_notes(number, rows, about, remedies),
        signed=made_signed([found.row for found in rows if found.row], about),
    )


def measured_others_table(
    rows: "Sequence[Measured]", about: Circumstances, remedies: Remedies, neighbours: Sequence[Row] = ()
) -> Table:
    """Table 7: the paper's own rows with what is measured, the other publications beside comparable ones alone.

    `neighbours` are other networks by the paper's protocols, below.
    """
    full, by_result = about.data.is_full_ilsvrc_val, {found.result: found for found in rows}
    own = {row: by_result[result] for row in TABLE_7 if (result := own_row(row))}

    def columns(cell: Cell) -> list[Column]:
        return [
            Column("Method", _method, folds=True),
            Column("Nets", lambda r: "1" if isinstance(r, Row) else str(r.nets or "multiple"), right=True),
            *_here(cell, lambda r: r if isinstance(r, Row) else own[r].row if r in own else _NOT_OURS, rows),
            *(_others_columns(own, about) if full else []),
        ]

    return Table(
        title=f"{_TITLES[7]} | {_what(list(own.values()), about)} | error, %",
        rows=[*(row for row in TABLE_7 if full or row in own), *neighbours],
        terminal=columns(error_cell),
        markdown=columns(error_in_markdown),
        record=lambda row: (
            _neighbour_record(row, about)
            if isinstance(row, Row)
            else (_measured_record(own[row], about) if row in own else _other_record(row))
            | {"table": 7, "method": row.method, "training": "the paper's" if row in own else None}
        ),
        notes=[
            *([_NO_TEST] if full else []),
            *_neighbour_notes(neighbours),
            *_measured_notes(7, list(own.values()), about, remedies, neighbours),
        ],
        signed=made_signed([found.row for found in own.values() if found.row] + list(neighbours), about),
    )


def _method(row: "OtherResult | Row") -> str:
    return f"{row.network}*, {row.protocol}" if isinstance(row, Row) else row.method


def _neighbour_record(row: Row, about: Circumstances) -> dict[str, Any]:
    return error_record(row, about) | {"table": 7, "method": _method(row), "training": "its publisher's"}


def _neighbour_notes(neighbours: Sequence[Row]) -> list[Note]:
    if not neighbours:
        return []
    by_scales = dict.fromkeys(
        f"{row.network} {row.protocol} at Q={','.join(map(str, row.scales))}" for row in neighbours
    )
    return [
        Note(
            "* of other training than the paper's: later recipes and more epochs, so these rows compare networks as "
            "they are released, not architectures.",
            kind="training",
            brief="* trained by later recipes: networks as released, not architectures.",
            place="always",
        ),
        Note(f"Measured: {'; '.join(by_scales)}.", kind="training"),
    ]


def _others_columns(own: "Mapping[OtherResult, Measured]", about: Circumstances) -> list[Column]:
    def published(row: "OtherResult | Row") -> str:
        if isinstance(row, Row):
            return reference(row.reference, " / ")
        return f"{_figure(row.top1)} / {_figure(row.top5)}" if is_beside(row) else NONE

    def is_beside(row: OtherResult) -> bool:
        return row not in own or own[row].is_comparable(about.data)

    def test(row: "OtherResult | Row") -> str:
        return NONE if isinstance(row, Row) or not is_beside(row) else _figure(row.top5_test)

    return [Column("Published", published), Column("Test, published", test, right=True)]


def _what(rows: "Sequence[Measured | Check]", about: Circumstances) -> str:
    measured = [found.row for found in rows if found.row]
    return data_title(about.data, measured[0]) if measured else data_name(about.data)


def _paper_columns(rows: "Sequence[Measured]", about: Circumstances) -> list[Column]:
    def paper(found: "Measured") -> str:
        return f"{found.result.top1:.1f} / {found.result.top5:.1f}" if found.is_comparable(about.data) else NONE

    def test(found: "Measured") -> str:
        return _figure(found.result.top5_test) if found.is_comparable(about.data) else NONE

    return [
        Column("Paper", paper),
        Column("Difference", _difference),
        Column("Test, paper", test, right=True, optional=True),
        *([Column("Test, here", lambda f: NONE)] if any(found.result.top5_test for found in rows) else []),
    ]


def _here(cell: Cell, row: Callable[[Any], Any], rows: "Sequence[Measured | Check]") -> list[Column]:
    """The columns of what is measured here."""

    def shown(found: Any, k: int) -> str:
        own = row(found)
        if own is None or own is _NOT_OURS:
            return "no weights" if k == 1 and own is None else NONE
        return cell(own.errors.top1 if k == 1 else own.errors.top5)

    few = without_top5([found.row for found in rows if found.row])
    return [
        Column("Top-1 here", lambda found: shown(found, 1)),
        Column("Top-5 here", lambda found: shown(found, 5), optional=few),
    ]


def _difference(found: "Measured") -> str:
    return "agrees to the digit" if found.agrees else difference(found.difference, 2)


def _measured_record(found: "Measured", about: Circumstances) -> dict[str, Any]:
    paper = _published_record(found.result)
    if not found.is_comparable(about.data):
        paper |= {"paper_top1": None, "paper_top5": None, "paper_top5_test": None}
    measured = error_record(found.row, about) if found.row else {"data": about.data.name, "top1_error": None}
    return measured | paper | {"lacking": [f"{m.config} S={m.train_scale}" for m in found.lacking]}


def _measured_notes(
    number: int,
    rows: "Sequence[Measured]",
    about: Circumstances,
    remedies: Remedies,
    neighbours: Sequence[Row] = (),
) -> list[Note]:
    measured = [found.row for found in rows if found.row] + list(neighbours)
    notes = made_notes(measured, about) if measured else []
    if not about.data.is_full_ilsvrc_val:
        brief = f"The paper's figures are for the whole ILSVRC-2012 val: vggbench reproduce --published {number}."
        notes.append(Note(f"No column Paper. {brief}", kind="paper", brief=brief))
    lacking = dict.fromkeys(member for found in rows for member in found.lacking)
    for member in lacking:
        released = remedies[member].released
        whose = f"but {released} has been released" if released else "and none are released"
        text = f"{member.config} of S={member.train_scale}: no weights here, {whose}; {remedies[member].command}"
        notes.append(Note(text, kind="lacking"))
    if number == 6 and about.data.is_full_ilsvrc_val:
        notes.append(_NO_TEST)
    if about.data.is_full_ilsvrc_val and not all(row.reference for row in measured):
        text = "Paper -: the row differs in width, classes, rescaling or precision, or lacks images."
        notes.append(Note(text, kind="paper"))
    return notes


def checks_table(source: str, rows: "Sequence[Check]", about: Circumstances) -> Table:
    """A publisher's nets by its own protocol, and whether that gives its own figures."""
    measured = [check.row for check in rows if check.row]
    full = about.data.is_full_ilsvrc_val

    def columns(cell: Cell) -> list[Column]:
        return [
            Column("Network", lambda c: c.released.name),
            Column("Protocol", lambda c: f"{c.published.protocol}, Q={','.join(map(str, c.published.scales))}"),
            *_here(cell, lambda c: c.row, rows),
            *([Column("Published", _stated), Column("Verdict", _verdict)] if full else []),
        ]

    how = ", ".join(dict.fromkeys(check.published.how for check in rows))
    other = f"No verdict: {source}'s figures are for the whole ILSVRC-2012 val, and these images are others."
    notes = [Note(f"Published: {how}." if full else other, kind="published")]
    notes += [Note(check.note, kind="row", place="always") for check in rows if check.note]
    return Table(
        title=f"{source}'s own protocol | {_what(rows, about)} | error, %",
        rows=rows,
        terminal=columns(error_cell),
        markdown=columns(error_in_markdown),
        record=lambda check: _check_record(check, about),
        notes=notes + (made_notes(measured, about) if measured else []),
        signed=made_signed(measured, about),
    )


def _stated(check: "Check") -> str:
    found = (check.published.top1, check.published.top5)
    return " / ".join(NONE if value is None else f"{value:.{check.published.digits}f}" for value in found)


def _verdict(check: "Check") -> str:
    if check.agrees is None:
        return "does not compare" if check.row else NONE
    if check.agrees:
        return "agrees"
    off = {f"top-{k}": (points, check.images_off(k)) for k in (1, 5) if (points := check.points(k)) is not None}
    return "differs: " + ", ".join(
        f"{name} {points:+.3f}" + ("" if images is None else f" ({images:+,} images)")
        for name, (points, images) in off.items()
    )


def _check_record(check: "Check", about: Circumstances) -> dict[str, Any]:
    beside = check.agrees is not None
    measured = error_record(check.row, about) if check.row else {"network": check.released.name, "top1_error": None}
    return measured | {
        "published_top1": check.published.top1 if beside else None,
        "published_top5": check.published.top5 if beside else None,
        "agrees": check.agrees,
        "images_off": check.images_off(1),
        "images_off_top5": check.images_off(5),
    }


def _figure(value: float | None) -> str:
    return NONE if value is None else f"{value:.1f}"
