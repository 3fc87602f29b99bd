"""The published figures against the paper's tables, copied here as they are printed (arXiv 1409.1556v6)."""

import itertools
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vggbench.nets.cost import Architecture, cost
from vggbench.paper.configs import CONFIGS, PAPER
from vggbench.paper.protocols import TrainScale
from vggbench.paper.published import PARAMETERS_MILLIONS, RESULTS, TABLE_7, Member, OtherResult, Result, published

patient = settings(deadline=None)

# Net, S, Q, top-1, top-5; on the validation set.
TABLE_3 = """
    A     256     256 29.6 10.4
    A-LRN 256     256 29.7 10.5
    B     256     256 28.7  9.9
    C     256     256 28.1  9.4
    C     384     384 28.1  9.3
    C     256-512 384 27.3  8.8
    D     256     256 27.0  8.8
    D     384     384 26.8  8.7
    D     256-512 384 25.6  8.1
    E     256     256 27.3  9.0
    E     384     384 26.9  8.7
    E     256-512 384 25.5  8.0
"""
TABLE_4 = """
    B 256     224,256,288 28.2 9.6
    C 256     224,256,288 27.7 9.2
    C 384     352,384,416 27.8 9.2
    C 256-512 256,384,512 26.3 8.2
    D 256     224,256,288 26.6 8.6
    D 384     352,384,416 26.5 8.6
    D 256-512 256,384,512 24.8 7.5
    E 256     224,256,288 26.9 8.7
    E 384     352,384,416 26.7 8.6
    E 256-512 256,384,512 24.8 7.5
"""
# Net, then dense, multi-crop, both: top-1 / top-5; S = [256;512], Q = {256,384,512}.
TABLE_5 = """
    D 24.8/7.5 24.6/7.5 24.4/7.2
    E 24.8/7.5 24.6/7.4 24.4/7.1
"""
PROTOCOLS = ("dense", "multicrop", "dense+multicrop")
JITTERED = ("256-512", (256, 384, 512))
SUBMISSION = (
    Member("D", "256", (224, 256, 288)),
    Member("D", "384", (352, 384, 416)),
    Member("D", *JITTERED),
    Member("C", "256", (224, 256, 288)),
    Member("C", "384", (352, 384, 416)),
    Member("E", "256", (224, 256, 288)),
    Member("E", "384", (352, 384, 416)),
)
D_AND_E = (Member("D", *JITTERED), Member("E", *JITTERED))
TABLE_6 = [
    Result(6, "dense", SUBMISSION, 24.7, 7.5, 7.3),
    Result(6, "dense", D_AND_E, 24.0, 7.1, 7.0),
    Result(6, "multicrop", D_AND_E, 23.9, 7.2, None),
    Result(6, "dense+multicrop", D_AND_E, 23.7, 6.8, 6.8),
]
# Method, nets, top-1 val, top-5 val, top-5 test; GoogLeNet's one merged cell stands in both columns.
OTHERS = """
    VGG 2 23.7 6.8 6.8
    VGG 1 24.4 7.1 7.0
    VGG 7 24.7 7.5 7.3
    GoogLeNet 1 - 7.9 7.9
    GoogLeNet 7 - 6.7 6.7
    MSRA 11 - - 8.1
    MSRA 1 27.9 9.1 9.1
    Clarifai multiple - - 11.7
    Clarifai 1 - - 12.5
    Zeiler_&_Fergus 6 36.0 14.7 14.8
    Zeiler_&_Fergus 1 37.5 16.0 16.1
    OverFeat 7 34.0 13.2 13.6
    OverFeat 1 35.7 14.2 -
    Krizhevsky_et_al. 5 38.1 16.4 16.4
    Krizhevsky_et_al. 1 40.7 18.2 -
"""


def printed(text: str) -> list[list[str]]:
    return [line.split() for line in text.strip().splitlines()]


def single_rows(table: int, text: str) -> list[Result]:
    return [
        Result(table, "dense", (Member(net, s, tuple(int(q) for q in qs.split(","))),), float(top1), float(top5))
        for net, s, qs, top1, top5 in printed(text)
    ]


def table_5_rows() -> list[Result]:
    rows = []
    for net, *cells in printed(TABLE_5):
        for protocol, cell in zip(PROTOCOLS, cells, strict=True):
            top1, top5 = (float(error) for error in cell.split("/"))
            rows.append(Result(5, protocol, (Member(net, *JITTERED),), top1, top5))
    return rows


def number(cell: str) -> float | None:
    return None if cell == "-" else float(cell)


EXPECTED = [*single_rows(3, TABLE_3), *single_rows(4, TABLE_4), *table_5_rows(), *TABLE_6]


def test_results_are_the_papers() -> None:
    assert list(RESULTS) == EXPECTED


def test_results_have_as_many_rows_as_the_paper() -> None:
    assert Counter(result.table for result in RESULTS) == {3: 12, 4: 10, 5: 6, 6: 4}


def test_table_7_is_the_papers() -> None:
    expected = [
        OtherResult(method.replace("_", " "), None if nets == "multiple" else int(nets), *map(number, errors))
        for method, nets, *errors in printed(OTHERS)
    ]
    assert list(TABLE_7) == expected


def test_table_2_is_the_papers_and_the_closed_form_rounds_to_it() -> None:
    assert PARAMETERS_MILLIONS == {"A": 133, "A-LRN": 133, "B": 133, "C": 134, "D": 138, "E": 144}
    counted = {name: round(cost(Architecture(config)).parameters / 1e6) for name, config in PAPER.items()}
    assert counted == PARAMETERS_MILLIONS


@pytest.mark.parametrize("result", [result for result in RESULTS if result.table == 3])
def test_table_3_tests_at_the_single_scale_of_s(result: Result) -> None:
    (member,) = result.members
    assert member.scales == (TrainScale.parse(member.train_scale).single,)


@pytest.mark.parametrize("result", [result for result in RESULTS if result.table > 3])
def test_tables_4_to_6_test_at_the_three_scales_of_s(result: Result) -> None:
    for member in result.members:
        assert member.scales == TrainScale.parse(member.train_scale).multi


@pytest.mark.parametrize("member", sorted({member for result in RESULTS for member in result.members}, key=str))
def test_members_are_written_as_our_values_print(member: Member) -> None:
    assert member.config in CONFIGS
    assert str(TrainScale.parse(member.train_scale)) == member.train_scale


@pytest.mark.parametrize("result", RESULTS)
def test_every_result_is_found(result: Result) -> None:
    found = published(result.protocol, result.members)
    assert found is not None
    assert (found.top1, found.top5) == (result.top1, result.top5)
    repeats_table_4 = result.table == 5 and result.protocol == "dense"
    assert found.table == (4 if repeats_table_4 else result.table)


def test_fusions_are_found_in_any_order_of_the_nets() -> None:
    for result in TABLE_6:
        assert published(result.protocol, result.members[::-1]) == result


@patient
@given(st.permutations(SUBMISSION))
def test_the_submission_is_found_in_any_order_of_its_seven_nets(members: list[Member]) -> None:
    assert published("dense", tuple(members)) == TABLE_6[0]


@pytest.mark.parametrize(
    ("protocol", "members"),
    [
        ("center", (Member("D", "256", (256,)),)),
        ("multicrop", (Member("D", "256", (256,)),)),
        ("multicrop8", (Member("D", *JITTERED),)),
        ("multicrop+dense", (Member("D", *JITTERED),)),
        ("dense", (Member("D", "256", (384,)),)),
        ("dense", (Member("D", "384", (256,)),)),
        ("dense", (Member("D", "256-512", (256, 384)),)),
        ("dense", (Member("A", "384", (384,)),)),
        ("dense", (Member("A", "256", (224, 256, 288)),)),
        ("dense", (Member("vgg16", "256", (256,)),)),
        ("dense", (Member("D", *JITTERED), Member("D", *JITTERED))),
        ("dense", (*D_AND_E, Member("C", *JITTERED))),
        ("dense", SUBMISSION[:-1]),
        ("multicrop", SUBMISSION),
        ("dense", ()),
    ],
)
def test_what_the_paper_did_not_measure_is_none(protocol: str, members: tuple[Member, ...]) -> None:
    assert published(protocol, members) is None


def test_no_two_rows_for_the_same_question_disagree() -> None:
    for first, second in itertools.combinations(RESULTS, 2):
        if first.protocol == second.protocol and set(first.members) == set(second.members):
            assert (first.top1, first.top5) == (second.top1, second.top5)
            assert {first.table, second.table} == {4, 5}
