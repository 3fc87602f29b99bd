"""Broken images are read or refused in one sentence by every command, and nothing hangs."""

import subprocess
import sys
from pathlib import Path

import fuzz_images
import pytest


def test_broken_images_are_read_or_refused() -> None:
    """Some seconds: three commands on 320 files of 20 kinds, each three times decoded."""
    told = fuzz_images.campaign(320, seed=1)
    assert "320 files" in told
    assert all(f"{sound.name} read" in told for sound in fuzz_images.pictures())


@pytest.mark.slow
def test_broken_images_by_the_thousand() -> None:
    """In a process of its own, with a bound on memory, which survives no crash."""
    script = Path(fuzz_images.__file__)
    told = subprocess.run([sys.executable, script, "20000"], check=False, capture_output=True, text=True)
    assert told.returncode == 0, told.stderr
    assert "20,000 files" in told.stdout
    assert told.stderr == ""
