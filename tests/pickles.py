"""Files of torch.save with a pickle of one's own spliced in, and pickles that do harm where they are unpickled."""

import pickle
import zipfile
from pathlib import Path

import torch

MARK = "here stands the payload"


def _call(what: str, arguments: bytes) -> bytes:
    """`module name` called with what is pushed after a mark."""
    module, name = what.split()
    return f"c{module}\n{name}\n".encode() + b"(" + arguments + b"tR"


def _text(text: str) -> bytes:
    return f"V{text}\n".encode()


def _list(*texts: str) -> bytes:
    return b"(l" + b"".join(_text(text) + b"a" for text in texts)


def harmful(path: Path) -> dict[str, bytes]:
    """Opcodes by name, each of which leaves one object on the stack, and under plain `pickle.loads` writes `path`."""
    touch = f"touch {path}"
    code = f"open({str(path)!r}, 'w').close()"
    the_os = _call("importlib import_module", _text("os"))
    inner = pickle.dumps(_Inner(path))
    shell = _text(touch)
    return {
        "os.system": _call("os system", shell),
        "posix.system": _call("posix system", shell),
        "builtins.eval": _call("builtins eval", _text(code)),
        "builtins.exec": _call("builtins exec", _text(code)),
        "builtins.open": _call("builtins open", _text(str(path)) + _text("w")),
        "eval by Python 2's name": _call("__builtin__ eval", _text(code)),
        "getattr chain": _call("builtins getattr", the_os + _text("system")) + b"(" + shell + b"tR",
        "importlib": _call("importlib import_module", _text("os")) + b"0" + _call("os system", shell),
        "stack global": b"\x8c\x02os\x8c\x06system\x93(" + shell + b"tR",
        "INST": b"(" + shell + b"ios\nsystem\n",
        "OBJ": b"(cos\nsystem\n" + shell + b"o",
        "EXT1": b"\x82\xf0(" + shell + b"tR",
        "EXT2": b"\x83\xf0\x00(" + shell + b"tR",
        "memo": b"cos\nsystem\np99999\n0g99999\n(" + shell + b"tR",
        "subprocess.run": _call("subprocess run", _list("touch", str(path))),
        "subprocess.Popen": _call("subprocess Popen", _list("touch", str(path))),
        "pty.spawn": _call("pty spawn", _list("touch", str(path))),
        "webbrowser.open": _call("webbrowser open", _text(str(path))),
        "timeit": _call("timeit timeit", _text("pass") + _text(code)),
        "copyreg": _call(
            "copyreg _reconstructor", b"csubprocess\nPopen\ncsubprocess\nPopen\n" + _list("touch", str(path))
        ),
        "functools.partial": _call("functools partial", b"cos\nsystem\n" + shell) + b")R",
        "BUILD with __setstate__": _call("functools partial", b"cbuiltins\nprint\n")
        + b"(cos\nsystem\n(" + shell + b"t}Ntb)R",
        "operator.attrgetter": _call("operator attrgetter", _text("system")) + b"(" + the_os + b"tR(" + shell + b"tR",
        "operator.methodcaller": _call("operator methodcaller", _text("system") + shell) + b"(" + the_os + b"tR",
        "map": _call("builtins list", _call("builtins map", b"cos\nsystem\n" + _list(touch))),
        "nested pickle": _call("pickle loads", b"B" + len(inner).to_bytes(4, "little") + inner),
        "NEWOBJ_EX": b"cfunctools\npartial\n(cos\nsystem\n" + shell + b"t}\x92)R",
    }  # fmt: skip


class _Inner:
    def __init__(self, path: Path) -> None:
        self._path = path

    def __reduce__(self) -> tuple[object, ...]:
        return (open, (str(self._path), "w"))


def spliced(content: object, payload: bytes, path: Path, *, zipped: bool) -> None:
    """Save `content`, in which `MARK` stands, with `payload` in that text's place."""
    torch.save(content, path, _use_new_zipfile_serialization=zipped)
    mark = b"X" + len(MARK).to_bytes(4, "little") + MARK.encode()
    if zipped:
        with zipfile.ZipFile(path) as archive:
            files = {entry.filename: archive.read(entry) for entry in archive.infolist()}
        rewritten(path, {name: data.replace(mark, payload) for name, data in files.items()})
    else:
        path.write_bytes(path.read_bytes().replace(mark, payload, 1))


def rewritten(path: Path, files: dict[str, bytes]) -> None:
    """A zip of these files, none compressed."""
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in files.items():
            archive.writestr(name, data)
