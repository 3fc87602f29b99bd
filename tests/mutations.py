"""Single damages to every file of a finished run: `python tests/mutations.py RUN_FOLDER 6600`.

Each must leave every figure as it was, or be said: never another figure, never a traceback.
"""

import random
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from vggbench.errors import VggbenchError
from vggbench.render.tables.runs import run_table, runs_table
from vggbench.results.circumstances import Circumstances
from vggbench.results.records import error_record
from vggbench.results.stored import stored
from vggbench.store.per_image import per_image, write_per_image
from vggbench.store.posteriors import posteriors, posteriors_sha256
from vggbench.store.recording import Store
from vggbench.store.runs import Run

Damage = Callable[[bytearray, random.Random], None]


def _flip(data: bytearray, draw: random.Random) -> None:
    data[draw.randrange(len(data))] ^= 1 << draw.randrange(8)


def _swap(data: bytearray, draw: random.Random) -> None:
    one, other = draw.randrange(len(data)), draw.randrange(len(data))
    data[one], data[other] = data[other], data[one]


def _zero(data: bytearray, draw: random.Random) -> None:
    at, length = draw.randrange(len(data)), draw.randint(1, 64)
    data[at : at + length] = bytes(len(data[at : at + length]))


def _cut(data: bytearray, draw: random.Random) -> None:
    del data[draw.randrange(len(data)) :]


def _append(data: bytearray, draw: random.Random) -> None:
    data += draw.choice((bytes(1), draw.randbytes(16), bytes(data[-64:]), bytes(data)))


def _digit(data: bytearray, draw: random.Random) -> None:
    """Another digit, letter or sign in its place."""
    data[draw.randrange(len(data))] = draw.choice(b'0123456789-."}]aZ')


DAMAGES: tuple[Damage, ...] = (_flip, _swap, _zero, _cut, _append, _digit)


def _by_name(folder: Path) -> dict[str, Any]:
    """What `runs`, `fuse RUN` and `runs export` say; of a run that lacks images, that it does and no more."""
    run = Run.read(folder)
    if run.damaged:
        assert not run.is_finished, "a damaged file counts"
        return {}
    table = runs_table(folder.parent, [run], now=0.0)
    listed = {key: value for key, value in table.record(table.rows[0]).items() if key not in ("changed", "bytes")}
    facts = [fact for fact in run_table(run).rows if fact.name != "Size"]
    found = stored([run])
    line = found.whole_line(found.models[0])
    images = per_image(line.posteriors, run.labels())
    with tempfile.TemporaryDirectory() as place:
        write_per_image(images, run.identity.names_of_classes, Path(place, "x.csv"))
        exported = Path(place, "x.csv").read_text()
    return {
        "listed": listed, "facts": facts, "hash": posteriors_sha256([run]), "exported": exported,
        "row": error_record(found.measured([line])[0], Circumstances(found.data, found.settings, found.provenance)),
    }  # fmt: skip


def _by_signature(folder: Path, signature: dict[str, Any], images: tuple[str, ...]) -> dict[str, Any]:
    """What `eval` takes from the store; nothing where images are to be computed again."""
    run = Store(folder.parent).run(folder.name.rpartition("-")[0], signature, images)
    if run.missing():
        return {}
    return {
        "posteriors": posteriors(run).tobytes(), "labels": run.labels().tolist(), "sizes": run.sizes(),
        "provenance": run.provenance, "doubtful": run.doubtful, "unreadable": run.unreadable,
    }  # fmt: skip


def campaign(original: Path, count: int, seed: int = 0) -> Counter[str]:
    """Damage each file of the run in turn, `count` times in all; how often it was said, or made no difference.

    Raises AssertionError for another figure, and whatever is no VggbenchError.
    """
    found: Counter[str] = Counter()
    draw = random.Random(seed)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(shutil.copytree(original, Path(place, original.name)))
        whole = Run.read(folder)
        signature, images = whole.signature, whole.images
        ways: tuple[Callable[[Path], Any], ...] = (_by_name, lambda folder: _by_signature(folder, signature, images))
        expected = [way(folder) for way in ways]
        files = sorted(path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
        for number in range(count):
            file, damage = files[number % len(files)], DAMAGES[number // len(files) % len(DAMAGES)]
            content = bytearray((folder / file).read_bytes())
            damage(content, draw)
            for way, right in zip(ways, expected, strict=True):
                (folder / file).write_bytes(content)
                said = f"damage {number} of seed {seed}, {damage.__name__} in {file}"
                try:
                    is_same = (figures := way(folder)) == right
                except VggbenchError:
                    found["refused"] += 1
                except Exception as error:
                    raise RuntimeError(said) from error
                else:
                    assert is_same or not figures, f"{said}: another figure"
                    found["no difference" if is_same else "to be computed again"] += 1
                shutil.rmtree(folder)
                shutil.copytree(original, folder)
    return found


if __name__ == "__main__":
    print(dict(campaign(Path(sys.argv[1]), int(sys.argv[2]))))
