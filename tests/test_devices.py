"""Which device is taken, by one process or several, and what is said of a GPU that PyTorch does not use."""

import ctypes
import types
import warnings
from pathlib import Path

import pytest
import torch

from vggbench.errors import UsageError
from vggbench.evaluation import processes
from vggbench.evaluation.processes import own_device, processes_beside, share_threads
from vggbench.evaluation.request import Manner
from vggbench.images import reading, threads
from vggbench.inference import devices
from vggbench.inference.devices import fallen_back, has_cuda, pick_device
from vggbench.nets.onnxruntime_session import open_session

CPU = torch.device("cpu")
OPEN = (
    "NVRM version: NVIDIA UNIX Open Kernel Module for x86_64  545.23.06  Release Build  (dvs-builder@U16)  Sun Oct 15\n"
)
CLOSED = "NVRM version: NVIDIA UNIX x86_64 Kernel Module  535.104.05  Sat Aug 19 01:15:15 UTC 2023\nGCC version:  12\n"


@pytest.fixture
def gpus(monkeypatch: pytest.MonkeyPatch) -> int:
    """As many as PyTorch says that there are."""
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    monkeypatch.setattr(torch.cuda, "device_count", lambda: 4)
    return 4


@pytest.mark.parametrize(("asked", "share", "expected"), [
    ("auto", (0, 1), "auto"), ("auto", (0, 8), "cuda:0"), ("cuda", (3, 8), "cuda:3"), ("auto", (5, 8), "cuda:1"),
    ("cuda:2", (5, 8), "cuda:2"), ("cpu", (5, 8), "cpu"),
])  # fmt: skip
def test_each_of_a_share_has_a_gpu(asked: str, share: tuple[int, int], expected: str, gpus: int) -> None:
    assert own_device(asked, share) == expected


def test_under_torchrun_the_local_rank_says_which_gpu(gpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "2")
    assert own_device("auto") == "cuda:2"


def test_without_a_gpu_there_is_none_to_share(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert own_device("auto", (5, 8)) == "auto"


def test_the_cores_are_divided_among_the_processes_of_a_machine(gpus: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(processes, "cores", lambda: 32)
    monkeypatch.setattr(threads, "cores", lambda: 32)
    monkeypatch.setattr(reading, "shared_memory", lambda: 8_000)
    manners = [Manner(share=share, device=device) for share, device in (
        (None, "auto"), ("6/8", "auto"), ("2/2", "auto"), ("2/8", "cuda:1"), ("2/8", "cpu"))]  # fmt: skip
    settings = [manner.settings for manner in manners]
    assert [one.device for one in settings] == ["auto", "cuda:1", "cuda:1", "cuda:1", "cpu"]
    assert [one.beside for one in settings] == [1, 4, 2, 4, 1]
    assert [one.loader_workers for one in settings] == [16, 8, 16, 8, 2]
    room = [one.workers_for(100, held=10, ahead=1) for one in settings]
    assert room == [16, 5, 15, 5, 2], "a quarter of shared memory is 2,000, of which 1,000 are held"


def test_threads_are_shared_unless_the_user_says_how_many(monkeypatch: pytest.MonkeyPatch) -> None:
    taken: list[int] = []
    monkeypatch.setattr(torch, "set_num_threads", taken.append)
    monkeypatch.setattr(processes, "cores", lambda: 32)
    share_threads(4)
    assert taken == [], "OMP_NUM_THREADS is set in tests"
    monkeypatch.delenv("OMP_NUM_THREADS")
    share_threads()
    share_threads(4)
    share_threads(64)
    assert taken == [8, 1]
    assert processes_beside(CPU, (1, 8)) == 1


def test_torchrun_shares_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "1")
    with pytest.raises(UsageError, match=r"^--share 1/2: expected processes that are started one by one"):
        _ = Manner(share="1/2", device="cpu").settings


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> types.SimpleNamespace:
    """A machine whose driver, and PyTorch's build, a test says; PyTorch finds no GPU on it."""
    found = types.SimpleNamespace(driver=tmp_path / "version", cuda=12020)

    def version(number: "ctypes._Pointer[ctypes.c_int]") -> int:
        number._obj.value = found.cuda  # type: ignore[attr-defined]
        return 0

    def library(name: str) -> object:
        if not found.cuda:
            raise OSError(f"{name}: cannot open shared object file")
        return types.SimpleNamespace(cuDriverGetVersion=version)

    found.driver.write_text(CLOSED)
    monkeypatch.setattr(devices, "_DRIVER", found.driver)
    monkeypatch.setattr(ctypes, "CDLL", library)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    monkeypatch.setattr(torch, "__version__", "2.14.1")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    return found


TOO_OLD = (
    "the NVIDIA driver 535.104.05, for CUDA up to 12.2, is too old for PyTorch 2.14.1, built for CUDA 13.0 (update the "
    "driver, or install a PyTorch built for CUDA 12)"
)


def test_a_driver_that_is_too_old_is_said(machine: types.SimpleNamespace) -> None:
    assert fallen_back("auto", pick_device("auto")) == f"This runs on the CPU: {TOO_OLD}."
    with pytest.raises(UsageError) as refused:
        pick_device("cuda")
    assert str(refused.value) == f"--device cuda: {TOO_OLD}; expected auto or cpu."
    assert fallen_back("cpu", CPU) is None, "as it was asked for"
    machine.cuda = 11040
    assert "is too old for PyTorch 2.14.1, built for CUDA 13.0 (update the driver)." in str(fallen_back("auto", CPU))


def test_a_pytorch_without_cuda_beside_a_driver_is_said(
    machine: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(torch.version, "cuda", None)
    machine.driver.write_text(OPEN)
    assert fallen_back("auto", CPU) == (
        "This runs on the CPU: the NVIDIA driver 545.23.06, for CUDA up to 12.2, is here and PyTorch 2.14.1 is built "
        "without CUDA (install one built for CUDA 12)."
    )


def test_a_driver_whose_gpus_are_not_to_be_seen_is_said(machine: types.SimpleNamespace) -> None:
    machine.cuda = 0  # as in a container that was started without GPUs
    assert fallen_back("auto", CPU) == (
        "This runs on the CPU: the NVIDIA driver 535.104.05 is here and PyTorch 2.14.1, built for CUDA 13.0, finds no "
        "GPU (see what nvidia-smi lists; start a container with --gpus all)."
    )


def test_without_a_driver_or_with_hidden_gpus_nothing_is_said(
    machine: types.SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", "")
    assert fallen_back("auto", CPU) is None
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES")
    machine.driver.unlink()
    assert "the NVIDIA driver of this machine, for CUDA up to 12.2," in str(fallen_back("auto", CPU)), "as under WSL"
    machine.cuda = 0
    assert fallen_back("auto", CPU) is None
    with pytest.raises(UsageError, match=r"^--device cuda: PyTorch finds no such device here; expected auto or cpu"):
        pick_device("cuda")


def test_pytorch_does_not_warn_as_well(monkeypatch: pytest.MonkeyPatch) -> None:
    def is_available() -> bool:
        warnings.warn("CUDA initialization: The NVIDIA driver on your system is too old", stacklevel=1)
        return False

    monkeypatch.setattr(torch.cuda, "is_available", is_available)
    assert not has_cuda()


def test_onnxruntime_for_another_cuda_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(torch, "__version__", "2.14.1")
    monkeypatch.setattr(torch.version, "cuda", "13.0")
    monkeypatch.setattr(onnxruntime, "__version__", "1.23.0")
    monkeypatch.setattr(onnxruntime, "cuda_version", "12.8", raising=False)
    with pytest.raises(UsageError) as refused:
        open_session(b"", torch.device("cuda"))
    assert str(refused.value) == (
        "--backend onnxruntime: onnxruntime-gpu 1.23.0 is built for CUDA 12.8 and PyTorch 2.14.1 for CUDA 13.0. "
        "Expected both for one CUDA: install an onnxruntime-gpu built for CUDA 13 or a PyTorch built for CUDA 12; or "
        "--backend pytorch."
    )
