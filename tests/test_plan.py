"""The chains of commands that lead to the paper's rows."""

import shlex
from collections.abc import Callable

import pytest
from conftest import Result

from vggbench import Settings
from vggbench.paper.configs import CONFIGS, PAPER
from vggbench.paper.published import RESULTS
from vggbench.train.plan import chain, seconds_per_image
from vggbench.train.step import Running


@pytest.mark.parametrize("config", PAPER)
def test_every_row_of_tables_3_and_4_is_reached(config: str) -> None:
    reached = [row for stage in chain(CONFIGS[config]) if stage.config.name == config for row in stage.rows()]
    expected = [row for row in RESULTS if row.table in (3, 4) and row.members[0].config == config]
    assert sorted(map(repr, reached)) == sorted(map(repr, expected))


@pytest.mark.parametrize("config", [*PAPER, "B-5x5"])
def test_every_stage_starts_from_one_before(config: str) -> None:
    made: list[str] = []
    for stage in chain(CONFIGS[config]):
        assert stage.start is None or stage.start in made
        made.append(stage.model)
    assert len(set(made)) == len(made)


def test_what_is_no_deeper_than_a_starts_from_random_weights() -> None:
    assert [name for name in (*PAPER, "B-5x5") if len(chain(CONFIGS[name])) == 1] == ["A", "A-LRN", "B-5x5"]
    (stage,) = chain(CONFIGS["B-5x5"])
    assert stage.command("imagenet", 1.0) == (
        "vggbench train B-5x5 --data imagenet --init paper --output B-5x5-S256.safetensors"
    )
    assert stage.rows() == [], "the paper has no figure of it"


def test_the_commands_parse_and_say_what_the_paper_says(
    vggbench: Callable[..., Result], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vggbench.train.plan.seconds_per_image", lambda *whatever: 0.01)
    result = vggbench("train", "D", "--plan", "--device", "cpu")
    assert result.code == 0, result.err
    lines = [line for line in result.out.splitlines() if line and not line.startswith("#")]
    trains = [shlex.split(line) for line in lines if line.startswith("vggbench train")]
    assert [line[2] for line in trains] == ["A", "D", "D", "D", "D"]
    assert trains[2][trains[2].index("--rate") + 1] == "0.001"
    assert trains[4][trains[4].index("--train-layers") + 1] == "fc"
    jittered = "vggbench eval D@D-S256-512.safetensors --data imagenet --scales 384 --dense"
    assert f"# Table 3: 25.6 / 8.1 %\n{jittered}" in result.out
    assert (
        f"At most 74 epochs of 1,281,167 images: {74 * 1_281_167 * 0.01 / 86400:.0f} days at 100 images/s" in result.out
    )
    narrow = vggbench("train", "D", "--plan", "--device", "cpu", "--width", 0.5, "--precision", "bf16")
    assert "Table 3" not in narrow.out
    assert narrow.out.count("--width 0.5 ") == narrow.out.count("--precision bf16") == 5


def test_the_probe_measures_a_step() -> None:
    assert seconds_per_image(CONFIGS["A"], 1 / 16, Running(Settings(device="cpu")), classes=4) > 0
