"""The chains of commands that lead to the paper's rows."""

import shlex
from collections.abc import Callable

import pytest
from conftest import Result

from vggbench.configs import CONFIGS
from vggbench.paper import RESULTS
from vggbench.protocols import TrainScale
from vggbench.train.plan import chain


@pytest.mark.parametrize("config", CONFIGS)
def test_every_row_of_tables_3_and_4_is_reached(config: str) -> None:
    reached = [row for stage in chain(CONFIGS[config]) if stage.config.name == config for row in stage.rows()]
    assert reached == [row for row in RESULTS if row.table in (3, 4) and row.members[0].config == config] or sorted(
        map(repr, reached)
    ) == sorted(repr(row) for row in RESULTS if row.table in (3, 4) and row.members[0].config == config)


@pytest.mark.parametrize("config", CONFIGS)
def test_every_stage_starts_from_one_before(config: str) -> None:
    made: list[str] = []
    for stage in chain(CONFIGS[config]):
        assert stage.start is None or stage.start in made
        made.append(stage.model)
    assert len(set(made)) == len(made)


def test_the_commands_parse_and_say_what_the_paper_says(vggbench: Callable[..., Result]) -> None:
    result = vggbench("train", "D", "--plan", "--width", 0.0625, "--device", "cpu")
    assert result.code == 0, result.err
    lines = [line for line in result.out.splitlines() if line and not line.startswith("#")]
    trains = [shlex.split(line) for line in lines if line.startswith("vggbench train")]
    assert [line[2] for line in trains] == ["A", "D", "D", "D", "D"]
    assert trains[2][trains[2].index("--rate") + 1] == "0.001"
    assert trains[4][trains[4].index("--train-layers") + 1] == "fc"
    assert "# Table 3: 25.6 / 8.1 %\nvggbench eval D@D-S256-512.safetensors --data imagenet --scales 384 --dense" in (
        result.out
    )
    assert "days at" in result.out
    assert str(TrainScale(256, 512)) in result.out
