"""Images read by worker processes: packed lists, and signals that reach the whole group."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggbench.loading import Packed


@given(st.lists(st.text() | st.integers() | st.tuples(st.text(), st.none())))
def test_a_packed_list_gives_back_its_items(items: list[object]) -> None:
    packed = Packed(items)
    assert [packed[index] for index in range(len(packed))] == items


@pytest.mark.parametrize("command", ["eval", "train"])
def test_a_signal_to_the_whole_group_ends_in_one_sentence(command: str, many_pictures: Path, tmp_path: Path) -> None:
    common = ["--data", str(many_pictures), "--runs", str(tmp_path / "runs"), "--workers", "2", "--width", "0.25"]
    arguments = {
        "eval": ["eval", "D@random", "--multicrop", "--scales", "256", *common],
        "train": ["train", "D", "--output", str(tmp_path / "d.safetensors"), "--batch-size", "8", *common],
    }[command]
    process = subprocess.Popen(
        [sys.executable, "-m", "vggbench", *arguments], stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    time.sleep(8)  # some seconds into the work, wherever that is
    os.killpg(process.pid, signal.SIGTERM)
    told = process.communicate(timeout=60)[1]
    assert process.returncode == 130, told
    assert told.splitlines()[-1].startswith("vggbench: Interrupted.")
    assert "Traceback" not in told
