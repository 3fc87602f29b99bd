"""Notes under a table: few and numbered on a terminal, all of them in Markdown, each explained on a page."""

import re
from dataclasses import replace
from pathlib import Path
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st
from test_every_table import of_ilsvrc
from test_tables import circumstances, full, measured, model, pets, small

from vggbench.images.preprocessing import INPUTS
from vggbench.render.tables.errors import eval_table, nets_table
from vggbench.render.tables.footer import UNSIGNED, Kind, Note, Signed, on_terminal, ranges
from vggbench.render.tables.table import Table, footer, layout, render, shown_notes
from vggbench.results.correction import corrected
from vggbench.results.lines import Paired
from vggbench.results.rows import Reference

ROOT = Path(__file__).parent.parent
GAIN = Paired("dense Q=384", "dense+multicrop Q=256,384,512", 900, 400, 9_000, 50_000)


def six_nets() -> Table:
    """As `compare A A-LRN B C D E` prints them on ILSVRC, of weights of two origins."""
    rows = []
    for place, config in enumerate(("A", "A-LRN", "B", "C", "D", "E")):
        source = "torchvision" if config in "AB" else "oxford"
        net = replace(model(config, source), input=INPUTS["caffe" if source == "oxford" else source])
        against = None if place == 0 else Paired("A@torchvision", net.name, 900, 1_000, 9_000, 50_000)
        rows.append(
            measured("dense", (384,), (12_800, 4_050), 50_000, models=(net,), network=net.name, against=against,
                     reference=Reference(25.6, 8.1, "paper, Table 3"), images_per_second=100.0)
        )  # fmt: skip
    return nets_table(corrected(rows), full()[1])


def many_rows() -> Table:
    """As `eval D --scales 256 384 512 --dense --multicrop` prints them on ILSVRC."""
    rows, about = full()
    others = [
        measured(protocol, scales, (12_800, 4_050), 50_000)
        for protocol in ("dense", "multicrop")
        for scales in ((256,), (384,), (512,), (256, 384, 512))
    ]
    return eval_table([*others, rows[1]], about, GAIN)


def lines_under(table: Table, monkeypatch: pytest.MonkeyPatch, width: int = 80) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    return render(table, "table").splitlines()[2 + len(table.rows) :]


@pytest.mark.parametrize("table", [six_nets(), many_rows()], ids=["compare", "eval"])
def test_five_lines_at_80_columns_for_ilsvrc(table: Table, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = lines_under(table, monkeypatch)
    assert 3 <= len(lines) <= 5
    assert len(lines) < len(table.rows) + 2, "shorter than the table"
    assert any("minus mean" in line for line in lines), "the preprocessing stays"
    assert any(line.startswith(" vggbench ") for line in lines), "and the signature"


def test_one_row_has_three_lines_with_its_preprocessing(monkeypatch: pytest.MonkeyPatch) -> None:
    rows, about = full()
    lines = lines_under(eval_table(rows[:1], about), monkeypatch)
    assert len(lines) == 3
    assert lines[0] == " 1 BGR 0-255 minus mean, ceil pooling; fp32, PyTorch on cpu."


def test_the_numbers_of_what_is_left_out_are_named_and_all_stand_when_asked_for(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    table = six_nets()
    (pointer,) = re.findall(r"([\d, -]+): --explain-notes", "\n".join(lines_under(table, monkeypatch)))
    shown = [int(number) for line in lines_under(table, monkeypatch) for number in re.findall(r"(?:^ |  )(\d+) ", line)]
    named = numbers_in(pointer.strip())
    every = footer(table, layout(table, 80), 80, explained=True)
    headings = {column.heading for column in layout(table, 80).columns}
    notes = [note for note in table.notes if isinstance(note, Note)]
    standing = [note.text for note in notes if not note.of or not headings.isdisjoint(note.of)]
    assert named.isdisjoint(shown)
    assert {*shown, *named} == set(range(1, len(standing) + 1))
    assert every == [*(f"{number} {text}" for number, text in enumerate(standing, 1)), *table.signed.lines]


def test_a_warning_is_never_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    drawn = model(source="random")
    table = eval_table([measured("dense", (384,), (90, 80), 96, models=(drawn,))], circumstances(pets()))
    assert "Random weights: these errors mean nothing." in "\n".join(lines_under(table, monkeypatch))


def test_several_networks_share_one_signature_on_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    table = six_nets()
    assert lines_under(table, monkeypatch)[-1].endswith(" | 6 networks | S256-512 | ilsvrc12-val:50000 | Q384")
    assert len([line for line in render(table, "md").splitlines() if line.startswith("vggbench ")]) == 6


def test_notes_without_a_kind_stand_as_they_are() -> None:
    table = small([{"net": "D"}], notes=["One.", "Two."])
    assert footer(table, layout(table, 80), 80) == ["One.", "Two."]


NOTES = st.builds(
    Note,
    st.from_regex(r"[ab]+( [ab]+){0,20}", fullmatch=True),
    kind=st.just("row"),
    brief=st.none() | st.just("b"),
    place=st.sampled_from(["always", "room", "detail"]),
)


@pytest.mark.thorough
@given(st.lists(NOTES, min_size=2, max_size=12), st.integers(3, 12), st.integers(20, 200))
def test_each_note_is_shown_or_named(notes: list[Note], height: int, width: int) -> None:
    lines = on_terminal(notes, set(), UNSIGNED, height=height, width=width, explained=False)
    text = "  ".join(lines)
    pointer = re.search(r"(?:^|  )([\d, -]+): --explain-notes", text)
    named = numbers_in(pointer[1]) if pointer else set()
    shown = {int(number) for number in re.findall(r"(?:^|  )(\d+) ", text)}
    assert shown | named == set(range(1, len(notes) + 1))
    assert not shown & named
    assert not {number for number in named if notes[number - 1].place == "always"}
    assert not {number for number in shown if notes[number - 1].place == "detail"}


def numbers_in(spans: str) -> set[int]:
    """2, 3 and 4 for `2-4`."""
    found = [span.partition("-") for span in spans.split(", ")]
    return {number for low, _, high in found for number in range(int(low), int(high or low) + 1)}


def test_numbers_in_a_row_are_a_range() -> None:
    assert ranges([1, 3, 4, 5, 8, 9]) == "1, 3-5, 8-9"
    assert ranges([]) == ""


def test_a_table_of_one_note_numbers_nothing() -> None:
    found = on_terminal([Note("Alone.", kind="row")], set(), Signed(("s",)), height=9, width=80, explained=False)
    assert found == ["Alone.", "s"]


# ---------------------------------------------------------------- what each note means


def test_every_kind_of_note_is_explained_on_the_page() -> None:
    page = (ROOT / "docs" / "explain" / "notes.md").read_text()
    explained = re.findall(r"^\| `([a-z0-9-]+)` \|", page, re.MULTILINE)
    assert sorted(explained) == sorted(get_args(Kind)), "each once, and no other"


def test_every_kind_is_of_some_note() -> None:
    source = "".join(path.read_text() for path in (ROOT / "vggbench/render/tables").glob("*.py"))
    assert {kind for kind in get_args(Kind) if f'kind="{kind}"' not in source} == set()


@pytest.mark.parametrize("table", [six_nets(), many_rows(), *of_ilsvrc()])
def test_notes_of_errors_have_a_kind(table: Table) -> None:
    assert all(isinstance(note, Note) and note.kind for note in table.notes)
    assert shown_notes(table, table.markdown)
