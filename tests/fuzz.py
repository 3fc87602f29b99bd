"""Broken files by the thousand: `python tests/fuzz.py corpus/D.caffemodel 10000` changes the seed at random each time.

Every file must be read or refused in one sentence, within seconds of a processor and four gigabytes:
for a name of broken length libhdf5 takes up to that much before it gives up; all others take milliseconds.
"""

import random
import resource
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from vggbench.errors import VggbenchError
from vggbench.paper.configs import CONFIGS
from vggbench.weights.formats import read_weights

SECONDS, BYTES = 20.0, 4 << 30
NASTY = (b"\xff\xff\xff\xff", b"\x00\x00\x00\x00", b"\xff\xff\xff\x7f", b"\x80\x80\x80\x80\x08", b"\x01", b"\xff")


def changed(seed: bytes, draw: random.Random) -> bytes:
    """Flip, overwrite, cut, repeat or drop, one to eight times."""
    data = bytearray(seed)
    for _ in range(draw.randint(1, 8)):
        at, length = draw.randrange(len(data) or 1), draw.randint(1, 64)
        kind = draw.randrange(6)
        if kind == 0 and data:
            data[at] ^= 1 << draw.randrange(8)
        elif kind == 1:
            nasty = draw.choice(NASTY)
            data[at : at + len(nasty)] = nasty
        elif kind == 2:
            del data[at:]
        elif kind == 3:
            data[at:at] = data[at : at + length] * draw.randint(1, 50)
        elif kind == 4:
            del data[at : at + length]
        else:
            data[at : at + length] = draw.randbytes(length)
    return bytes(data)


def _sentence(path: Path) -> str:
    """Why a file is refused; nothing for one that is read."""
    try:
        read_weights(path, CONFIGS["D"])
    except VggbenchError as error:
        return str(error)
    return ""


def main(seed: Path, count: int) -> None:
    """Try `count` files; stop at the first that is neither read nor refused."""
    used = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (used + BYTES, used + BYTES))
    content, draw, refused = seed.read_bytes(), random.Random(seed.name), 0
    with TemporaryDirectory() as folder:
        path = Path(folder, "x")
        for number in range(count):
            path.write_bytes(changed(content, draw))
            started = time.process_time()
            try:
                sentence = _sentence(path)
                took = time.process_time() - started
                if len(sentence) > 1000 or took > SECONDS:
                    raise RuntimeError(f"{took:.1f} s: {sentence}")
            except BaseException:
                kept = Path(f"/tmp/fuzz-{number}-{seed.name}")
                kept.write_bytes(path.read_bytes())
                print(f"File {number} is kept as {kept}.", file=sys.stderr)
                raise
            refused += bool(sentence)
    print(f"{count} files of {seed.name}, {refused} refused")


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]))
