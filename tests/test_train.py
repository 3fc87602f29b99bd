"""The trainer, in its first form: what a deeper net takes from A, the schedule, and that it learns."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from torch import Tensor

from vggbench import INPUTS, VGG, Model, Settings, open_data
from vggbench.configs import CONFIGS
from vggbench.train import Epoch, Recipe, _schedule, statistics, train, transfer


@pytest.mark.parametrize("config", ["A", "A-LRN", "B", "C", "D", "E"])
def test_the_transfer_takes_exactly_what_the_paper_says(config: str, peaked: Callable[..., dict[str, Tensor]]) -> None:
    start = VGG(CONFIGS["A"], 4, 1 / 16)
    start.load_state_dict(peaked("A"))
    net = VGG(CONFIGS[config], 4, 1 / 16)
    before = {name: tensor.clone() for name, tensor in net.state_dict().items()}
    copied = transfer(Model("A", start, INPUTS["caffe"], 4, None, ""), net)
    changed = [name for name, tensor in net.state_dict().items() if not tensor.equal(before[name])]
    assert changed == [name for name in before if name in copied]
    fc = {f"classifier.{index}.{kind}" for index in (0, 3, 6) for kind in ("weight", "bias")}
    assert fc <= set(copied)
    if config.startswith("A"):
        assert set(copied) == set(before)


def test_the_rate_drops_when_the_error_has_stopped_improving() -> None:
    log: list[Epoch] = []
    recipe = Recipe(epochs=30, patience=2, drops=2, rate=1.0)
    rates = []
    for (number, rate), error in zip(_schedule(recipe, log), [9, 8, 8, 8, 7, 7, 7, 7, 7, 1, 1], strict=False):
        rates.append(rate)
        log.append(Epoch(number, rate, 0.0, error, 0.0))
    assert rates == pytest.approx([1, 1, 1, 1, 0.1, 0.1, 0.1, 0.01, 0.01])


def test_statistics_are_the_pixels(pictures: Path) -> None:
    found = statistics(open_data(pictures))
    assert all(0.2 < mean < 0.8 for mean in found.input.mean)
    components = np.array(found.components)
    assert components.shape == (3, 3)
    np.testing.assert_allclose(components @ components.T, np.diag(np.diag(components @ components.T)), atol=1e-12)


def test_training_repeats_itself_and_learns(many_pictures: Path) -> None:
    data, recipe = open_data(many_pictures), Recipe(batch_size=10, epochs=2, rate=0.001, dropout=0.0)
    settings = Settings(device="cpu", workers=0)
    first, log = train(CONFIGS["A"], data, data, recipe, width=1 / 16, settings=settings)
    second, _ = train(CONFIGS["A"], data, data, recipe, width=1 / 16, settings=settings)
    assert first.weights_hash == second.weights_hash
    assert len(log) == 2
    assert all(np.isfinite(epoch.loss) for epoch in log)
