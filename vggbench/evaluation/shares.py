"""Several processes that share a store by hand, over one file system."""

import json
import re
from collections.abc import Sequence
from pathlib import Path

from vggbench.errors import StoreError, UsageError


def parse_share(text: str) -> tuple[int, int]:
    """`2/8` -> (1, 8): the second of eight processes; raises UsageError."""
    match = re.fullmatch(r"([0-9]{1,6})/([0-9]{1,6})", text)
    if match is None or not 1 <= int(match[1]) <= int(match[2]):
        raise UsageError(f"--share {text}: expected I/N, such as 2/8 for the second of eight processes.")
    return int(match[1]) - 1, int(match[2])


def is_last(root: Path, work: Sequence[str], share: tuple[int, int]) -> bool:
    """Whether this process is the last of those that share `work`, by a note that each leaves in the folder `root`.

    Raises OSError where the folder cannot be read, StoreError where it cannot be written.
    """
    import hashlib

    from filelock import FileLock

    from vggbench.files import Refusal, write_whole

    name = hashlib.sha256("\n".join([*work, str(share[1])]).encode()).hexdigest()[:16]
    note = root / f".shares-{name}.json"
    with FileLock(root / f".shares-{name}.lock"):
        try:
            done = set(json.loads(note.read_text()))
        except (OSError, ValueError, TypeError):
            done = set()
        done.add(share[0])
        if done >= set(range(share[1])):
            note.unlink(missing_ok=True)
            return True
        expected = "room and a folder that this user may write. Repeat the command; it computes nothing again."
        write_whole(note, json.dumps(sorted(done)), Refusal(StoreError, expected))
        return False
