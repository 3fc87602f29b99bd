"""What only a CUDA device shows (`pytest -m gpu`): all that `vggbench doctor` checks, and the size of batches."""

from pathlib import Path
from typing import get_args

import pytest
import torch

from vggbench.inference.choices import Precision
from vggbench.inference.devices import views_that_fit
from vggbench.studies.doctor.checks import PROTOCOLS
from vggbench.studies.doctor.examination import Examination
from vggbench.studies.doctor.finding import Finding

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> list[Finding]:
    """All that `vggbench doctor --device cuda` looks at, once."""
    return list(Examination("cuda", store=tmp_path_factory.mktemp("doctor") / "runs").findings())


@pytest.mark.parametrize("part", ["Posteriors", "Same bits", "Memory", "Store", "Training", "Pace", "Machine"])
def test_the_doctor_finds_nothing_wrong(part: str, found: list[Finding]) -> None:
    own = [finding for finding in found if finding.part == part]
    assert own
    assert [(finding.name, finding.seen) for finding in own if finding.seen.verdict == "wrong"] == []


def test_each_protocol_was_computed_in_each_precision(found: list[Finding]) -> None:
    right = {finding.name for finding in found if finding.seen.verdict == "right"}
    for precision in get_args(Precision):
        assert {f"D {protocol}, {precision}, pytorch" for protocol in PROTOCOLS} <= right


@pytest.mark.slow
def test_full_width_and_compiled(tmp_path: Path) -> None:
    found = Examination("cuda", store=tmp_path / "runs", full=True).findings()
    assert [finding for finding in found if finding.seen.verdict == "wrong"] == []


def test_the_batch_size_follows_free_memory() -> None:
    device = torch.device("cuda")
    free = torch.cuda.mem_get_info(device)[0]
    views = views_that_fit(device)
    assert 1 <= views <= 256
    assert views == 256 or views * 64 * 2**20 <= free
