"""`params --check`: fvcore traces the network itself and must count what the closed form says."""

import dataclasses

import pytest

from vggbench.errors import NumericsError
from vggbench.nets import recount as checking
from vggbench.nets.cost import Architecture, Cost, cost
from vggbench.paper.configs import CONFIGS

TINY = 1 / 16


@pytest.mark.thorough
@pytest.mark.parametrize("name", CONFIGS)
@pytest.mark.parametrize(("height", "width", "ceil_pool"), [(224, 224, False), (256, 341, False), (256, 341, True)])
def test_fvcore_agrees_at_small_width(name: str, height: int, width: int, ceil_pool: bool) -> None:
    network = Architecture(CONFIGS[name], classes=10, width=TINY, ceil_pool=ceil_pool)
    checking.check(network, height, width)
    expected = cost(network, height, width)
    assert checking.recount(network, height, width) == (expected.parameters, expected.macs)


def test_fvcore_agrees_at_the_papers_width() -> None:
    assert checking.recount(Architecture(CONFIGS["A-LRN"])) == (132_863_336, 7_609_090_048)
    checking.check(Architecture(CONFIGS["A-LRN"]))


def test_fvcore_counts_b_5x5_at_the_papers_width() -> None:
    assert checking.recount(Architecture(CONFIGS["B-5x5"])) == (134_503_528, 9_356_017_664)
    checking.check(Architecture(CONFIGS["B-5x5"]))


@pytest.mark.parametrize("field", ["conv_parameters", "fc_parameters", "macs"])
@pytest.mark.parametrize("off", [-1, 1])
def test_a_closed_form_that_is_off_by_one_is_caught(monkeypatch: pytest.MonkeyPatch, field: str, off: int) -> None:
    def wrong(network: Architecture, height: int, width: int) -> Cost:
        right = cost(network, height, width)
        return dataclasses.replace(right, **{field: getattr(right, field) + off})

    network = Architecture(CONFIGS["A"], classes=10, width=TINY)
    checking.check(network)
    monkeypatch.setattr(checking, "cost", wrong)
    right = cost(network)
    with pytest.raises(NumericsError) as caught:
        checking.check(network)
    assert f"fvcore counts {right.parameters} parameters and {right.macs} MACs" in str(caught.value)
    assert "A at 224 x 224" in str(caught.value)
