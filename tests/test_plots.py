"""Pictures: what is drawn is what was measured, the same bytes again, nothing half-written."""

import functools
import re
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import pytest
from conftest import Result
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axis import Axis
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.text import Text

from vggbench.errors import UsageError, VggbenchError
from vggbench.metrics import ErrorRate, Errors
from vggbench.nets.cost import Architecture, cost
from vggbench.paper.configs import CONFIGS
from vggbench.render.plots.cost import gmacs_by_protocol, parameters_and_macs
from vggbench.render.plots.evaluation import (
    confusion,
    error_against_cost,
    error_against_scale,
    error_by_class,
)
from vggbench.render.plots.figure import as_svg, on_dark, save
from vggbench.render.plots.score_map import score_map
from vggbench.results.by_class import counts_by_class, pareto
from vggbench.results.rows import Row
from vggbench.store.per_image import PerImage
from vggbench.studies.counts import by_layer, by_protocol
from vggbench.studies.prediction import ClassMap


def row_of(wrong: int, macs: float, scales: Sequence[int] = (256,), network: str = "D", protocol: str = "dense") -> Row:
    errors = Errors(ErrorRate(wrong, 100), ErrorRate(0, 100))
    return Row(network, (), protocol, tuple(scales), None, 2, None, macs, 100, errors=errors)


ROWS = [
    row_of(30, 1e9), row_of(20, 2e9, (384,)), row_of(25, 4e9, (512,)), row_of(18, 7e9, (256, 384, 512)),
    row_of(40, 1e9, network="A"), row_of(35, 2e9, (384,), network="A"),
]  # fmt: skip


@given(st.lists(st.tuples(st.integers(0, 100), st.integers(1, 9)), min_size=1, max_size=12))
def test_nothing_on_the_front_is_undercut(points: list[tuple[int, int]]) -> None:
    rows = [row_of(wrong, macs * 1e9) for wrong, macs in points]
    front = [(row.errors.top1.wrong, row.macs) for row in pareto(rows) if row.errors and row.macs]
    for wrong, macs in front:
        assert not any(w <= wrong and 1e9 * m <= macs and (w, 1e9 * m) != (wrong, macs) for w, m in points)
    for wrong, macs in points:
        assert any(w <= wrong and m <= 1e9 * macs for w, m in front)


def test_error_against_q_draws_each_line_with_its_interval() -> None:
    figure = error_against_scale(ROWS, "title")
    assert figure
    (axes,) = figure.axes
    d, a = (container[0] for container in axes.containers)
    assert np.asarray(d.get_ydata()).tolist() == [30, 20, 25]
    assert np.asarray(a.get_ydata()).tolist() == [40, 35]
    np.testing.assert_allclose(np.asarray(d.get_xdata(), dtype=float), [256, 384, 512], atol=3)  # lines stand apart
    assert "%" in axes.get_ylabel()
    assert "pixels" in axes.get_xlabel()
    assert error_against_scale([ROWS[0], ROWS[3]], "one Q") is None


def test_error_against_cost_has_every_row_once() -> None:
    figure = error_against_cost(ROWS, "title")
    assert figure
    (axes,) = figure.axes
    drawn = [line for line in axes.lines if line.get_linestyle() == "None" and len(np.asarray(line.get_xdata())) == 1]
    found = sorted((float(np.asarray(p.get_xdata())[0]), float(np.asarray(p.get_ydata())[0])) for p in drawn)
    assert found == sorted((row.macs / 1e9, row.errors.top1.percent) for row in ROWS if row.macs and row.errors)
    assert axes.get_xscale() == "log"
    assert error_against_cost(ROWS[:1], "one point") is None


LABELS = np.array([0, 0, 0, 1, 1, 2], np.int32)
SAID = np.array([0, 1, 2, 1, 0, 2], np.int32)
FOUND = PerImage(
    tuple(f"i{i}" for i in range(6)), LABELS, SAID[:, None], np.ones((6, 1), np.float32),
    (SAID != LABELS).astype(np.int32), np.zeros(6),
)  # fmt: skip


def test_classes_and_what_they_are_taken_for() -> None:
    images, wrong = counts_by_class(FOUND, 4)
    assert images.tolist() == [3, 2, 1, 0]
    assert wrong.tolist() == [2, 1, 0, 0]
    names = ["a", "b", "c", "never seen"]
    by_class = error_by_class(FOUND, names, "title")
    assert [text.get_text() for text in by_class.axes[1].get_yticklabels()] == ["a", "b", "c"]
    matrix = confusion(FOUND, names, "title")
    assert matrix
    shown = np.asarray(matrix.axes[0].images[0].get_array())
    rows = [text.get_text() for text in matrix.axes[0].get_yticklabels()]
    columns = [text.get_text() for text in matrix.axes[0].get_xticklabels()]
    assert shown[rows.index("a"), columns.index("b")] == pytest.approx(100 / 3)
    assert shown[rows.index("b"), columns.index("a")] == 50
    right = PerImage(FOUND.images, SAID, SAID[:, None], FOUND.probabilities, FOUND.ranks * 0, FOUND.losses)
    assert confusion(right, names, "no error") is None


def test_a_thousand_classes_stay_readable() -> None:
    rng = np.random.default_rng(0)
    labels = np.repeat(np.arange(1000, dtype=np.int32), 5)
    ranks = rng.integers(0, 2, 5000).astype(np.int32)
    many = PerImage(("x",) * 5000, labels, labels[:, None], np.ones((5000, 1), np.float32), ranks, np.zeros(5000))
    figure = error_by_class(many, [f"class {i}" for i in range(1000)], "title")
    assert len(figure.axes[1].get_yticklabels()) == 15
    assert figure.get_size_inches()[1] < 6


def test_bars_of_layers_add_up() -> None:
    net = Architecture(CONFIGS["D"])
    figure = parameters_and_macs(by_layer([net], [224]))
    left, right = figure.axes
    total = cost(net)
    assert sum(bar.get_height() for bar in left.patches) == pytest.approx(total.parameters / 1e6)  # type: ignore[attr-defined]
    assert sum(bar.get_height() for bar in right.patches) == pytest.approx(total.macs / 1e9)  # type: ignore[attr-defined]


def test_costs_are_those_of_the_table() -> None:
    nets = [Architecture(CONFIGS[name]) for name in ("A", "A-LRN", "D")]
    crops, dense = gmacs_by_protocol(by_protocol(nets, (256, 512))).axes
    center, tencrop, multicrop = (np.asarray(line.get_ydata()) for line in crops.lines)
    np.testing.assert_allclose(center, [cost(net).macs / 1e9 for net in nets])
    np.testing.assert_allclose([tencrop / center, multicrop / center], [[10] * 3, [50] * 3])
    assert [line.get_label() for line in dense.lines] == ["A, A-LRN", "D"]
    (row,) = [row for row in by_protocol(nets, (256, 512)) if (row.protocol, row.scales) == ("dense", (512,))]
    for line, name in zip(dense.lines, ("A", "D"), strict=True):
        assert np.asarray(line.get_ydata())[1] == pytest.approx(row.macs[name] / 1e9)


def test_files_are_the_same_again_and_whole(tmp_path: Path) -> None:
    for ending in ("png", "svg", "pdf"):
        for name in ("a", "b"):
            figure = error_against_cost(ROWS, "title")
            assert figure
            save(figure, tmp_path / "folder" / f"{name}.{ending}")
        one, other = (tmp_path / "folder" / f"{name}.{ending}" for name in ("a", "b"))
        assert one.read_bytes() == other.read_bytes(), ending
    assert len(list((tmp_path / "folder").iterdir())) == 6
    figure = error_against_cost(ROWS, "title")
    assert figure
    with pytest.raises(UsageError, match="ends in"):
        save(figure, tmp_path / "x.gif")
    (tmp_path / "file").touch()
    with pytest.raises(VggbenchError, match="cannot be written"):
        save(figure, tmp_path / "file" / "x.png")


@pytest.mark.thorough
def test_the_command_draws_what_there_is_data_for(
    vggbench: Callable[..., Result], few_drawn: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "plots"
    done = vggbench("compare", "A", "D", "--data", "sample", "--scales", 256, 288, "--plot", folder)
    assert done.code == 0, done.err
    names = {path.name for path in folder.iterdir()}
    assert {"error-q.png", "error-q.svg", "error-gmacs.png", "classes-A-sample.svg", "classes-D-sample.png"} <= names
    assert "SAMPLE" in done.out
    assert vggbench("params", "D", "E", "--plot", folder).code == 0
    assert (folder / "layers-224.svg").exists()
    drawn = vggbench("params", "--cost", "--plot", folder / "cost")
    assert drawn.code == 0
    assert {path.name for path in (folder / "cost").iterdir()} == {"cost.png", "cost.svg"}, "its costs, no layers"


# ---------------------------------------------------------------- what is drawn can be read


LONG = "D@of-some/checkpoint-of-mine-256-512-epoch-074.safetensors, dense+multicrop at Q=256,384,512 | 50,000 of 50,000"
WIDE = [f"WWWWWWWWWWWWWWW {i} of a long name" for i in range(40)]


def guessed(classes: int, images: int) -> PerImage:
    """Half of the images right, the others of any class."""
    rng, count = np.random.default_rng(0), classes * images
    labels = np.repeat(np.arange(classes, dtype=np.int32), images)
    said = np.where(rng.random(count) < 0.5, labels, rng.integers(0, classes, count)).astype(np.int32)
    ones = np.ones((count, 1), np.float32)
    return PerImage(("x",) * count, labels, said[:, None], ones, (said != labels).astype(np.int32), np.zeros(count))


@functools.cache
def drawn() -> dict[str, Figure | None]:
    """Every picture, with names that are longer than it is wide, and with few."""
    rows = [row_of(30 + i, 1e9 * (i + 1), (256 + 32 * i,), network=LONG[:60]) for i in range(3)]
    image, seen = np.full((300, 320, 3), 128, np.uint8), np.full((300, 320), 0.5)
    return {
        "error-q": error_against_scale([*ROWS, *rows], LONG),
        "error-gmacs": error_against_cost([*ROWS, *rows], LONG),
        "classes": error_by_class(guessed(30, 20), WIDE[:30], LONG),
        "confusion": confusion(guessed(40, 20), WIDE, LONG),
        "confusion of two": confusion(guessed(2, 20), ["a", WIDE[0]], "title"),
        "layers": parameters_and_macs(by_layer([Architecture(CONFIGS["A"]), Architecture(CONFIGS["E"])], [224])),
        "map": score_map(image, ClassMap(seen, (0, 0), (4, 4), 0.5), f"{LONG}: 53.5 %", LONG),
    }


@pytest.mark.parametrize(
    "name", ["error-q", "error-gmacs", "classes", "confusion", "confusion of two", "layers", "map"]
)
def test_every_word_lies_inside_the_picture(name: str) -> None:
    figure = drawn()[name]
    assert figure
    FigureCanvasAgg(figure).draw()  # type: ignore[no-untyped-call]
    box = figure.bbox
    texts = [text for text in figure.findobj(Text) if text.get_visible() and text.get_text().strip()]
    ticks = {label for axes in figure.axes for axis in (axes.xaxis, axes.yaxis) for label in out_of_range(axis)}
    for text in texts:
        found = text.get_window_extent()
        inside = found.x0 >= -1 and found.y0 >= -1 and found.x1 <= box.x1 + 1 and found.y1 <= box.y1 + 1
        assert inside or text in ticks, text.get_text()
    assert len(texts) > len(ticks)


def out_of_range(axis: Axis) -> Iterator[Text]:
    """Labels that are never drawn, since their ticks lie beyond the axis."""
    low, high = sorted(axis.get_view_interval())
    yield from (
        label for tick in (*axis.get_major_ticks(), *axis.get_minor_ticks()) for label in (tick.label1, tick.label2)
        if not low <= tick.get_loc() <= high
    )  # fmt: skip


def test_a_single_cell_is_a_cell() -> None:
    one = PerImage(("x",) * 3, np.zeros(3, np.int32), np.array([[1], [0], [0]], np.int32), np.ones((3, 1), np.float32),
                   np.array([1, 0, 0], np.int32), np.zeros(3))  # fmt: skip
    figure = confusion(one, ["star", "flower"], "title")
    assert figure
    (axes,) = figure.axes
    height, width = (axes.get_position().size * figure.get_size_inches())[::-1]
    assert (width, height) == pytest.approx((0.62, 0.32))
    (image,) = axes.images
    assert image.to_rgba(np.array([0.0]))[0][3] == 0, "nothing is as clear as the page"
    assert 0.2 < image.to_rgba(np.asarray(image.get_array()))[0, 0, 3] < 0.8, "a third is no full colour"


def test_a_number_on_a_full_colour_is_white_on_a_dark_page_too() -> None:
    found = PerImage(("x",), np.zeros(1, np.int32), np.array([[1]], np.int32), np.ones((1, 1), np.float32),
                     np.array([1], np.int32), np.zeros(1))  # fmt: skip
    figure = confusion(found, ["star", "flower"], "title")
    assert figure
    (number,) = figure.axes[0].texts
    colour = str(number.get_color())
    assert (number.get_text(), colour[:6]) == ("100", "#fffff")
    assert colour in as_svg(figure)
    assert colour in on_dark(as_svg(figure))


def test_the_legend_names_what_is_drawn() -> None:
    """The line of the front is none where one row is both cheapest and best."""
    named = {}
    for rows in (ROWS, [row_of(20, 1e9), row_of(30, 2e9, (384,))]):
        figure = error_against_cost(rows, "title")
        assert figure
        (axes,) = figure.axes
        names = [text.get_text() for text in axes.get_legend().get_texts()]  # type: ignore[union-attr]
        lines = [line for line in axes.lines if line.get_linestyle() == "-" and len(np.asarray(line.get_xdata())) > 1]
        named[len(rows)] = ("nothing cheaper is better" in names, len(lines))
    assert named == {6: (True, 1), 2: (False, 0)}


def test_names_are_no_formulas(tmp_path: Path) -> None:
    figure = confusion(FOUND, ["$\\frac$", "$x", "月"], "$\\bad$")
    assert figure
    save(figure, tmp_path / "x.svg")


def test_a_dark_picture_has_no_light_ground_and_no_dark_ink() -> None:
    for figure in drawn().values():
        assert figure
        light = as_svg(figure)
        dark = on_dark(light)
        assert "#ffffff" in light
        assert not {"#ffffff", "#1f2328", "#000000"} & set(re.findall("#[0-9a-f]{6}", dark))
