"""The one way to write a file: whole, on the disk, or not at all; and that nothing in the package writes otherwise."""

import ast
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import vggbench
from vggbench.errors import StoreError, VggbenchError
from vggbench.files import LEFTOVERS, OUTPUT, Refusal, take_place, write_whole, written_whole

PACKAGE = Path(vggbench.__file__).parent

# ---------------------------------------------------------------- what it does


def test_a_file_is_there_once_it_is_whole_and_its_folder_is_made(tmp_path: Path) -> None:
    path = tmp_path / "some" / "folder" / "x.txt"
    with written_whole(path) as partial:
        partial.write_text("new")
        assert not path.exists()
        assert list(path.parent.glob(LEFTOVERS)) == [partial]
    assert path.read_text() == "new"
    assert list(path.parent.iterdir()) == [path]


@pytest.mark.parametrize("is_folder", [False, True])
@pytest.mark.parametrize("raised", [ValueError, KeyboardInterrupt, OSError])
def test_whatever_stops_the_writing_leaves_what_was_there(
    tmp_path: Path, raised: type[BaseException], is_folder: bool
) -> None:
    path = tmp_path / "x"
    if not is_folder:
        path.write_text("old")
    caught = pytest.raises(VggbenchError if raised is OSError else raised)
    with caught, written_whole(path, is_folder=is_folder) as partial:
        (partial / "half" if is_folder else partial).write_text("half")
        raise raised
    assert [file.name for file in tmp_path.iterdir()] == ([] if is_folder else ["x"])
    assert is_folder or path.read_text() == "old"


def test_a_kill_leaves_what_is_known_for_a_leftover(tmp_path: Path) -> None:
    script = (
        "import os, signal, sys; from pathlib import Path; from vggbench.files import written_whole\n"
        "with written_whole(Path(sys.argv[1])) as partial:\n"
        "    partial.write_text('half'); os.kill(os.getpid(), signal.SIGKILL)"
    )
    done = subprocess.run([sys.executable, "-c", script, str(tmp_path / "x.txt")], check=False)
    assert done.returncode == -signal.SIGKILL
    assert list(tmp_path.iterdir()) == list(tmp_path.glob(LEFTOVERS))
    assert len(list(tmp_path.glob(".x.txt.*.partial"))) == 1


def test_no_two_writers_share_a_place(tmp_path: Path) -> None:
    """Not even threads, or processes with one number on two machines over one file system."""
    path = tmp_path / "x.txt"
    with written_whole(path) as one, written_whole(path) as other:
        assert one != other
        assert f".{os.getpid()}-" in one.name
        one.write_text("one")
        other.write_text("other")
    assert path.read_text() == "one", "the last to end"


def test_of_two_that_make_a_folder_the_first_wins(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with written_whole(path, is_folder=True) as late:
        (late / "who").write_text("late")
        with written_whole(path, is_folder=True) as early:
            (early / "who").write_text("early")
    assert (path / "who").read_text() == "early"
    assert list(tmp_path.iterdir()) == [path]


@pytest.mark.parametrize("umask", [0o022, 0o077, 0o002])
def test_permissions_are_as_the_umask_gives(tmp_path: Path, umask: int) -> None:
    before = os.umask(umask)
    try:
        with written_whole(tmp_path / "x") as partial:
            partial.write_text("x")
            partial.chmod(0o600)  # as a library does
    finally:
        os.umask(before)
    assert (tmp_path / "x").stat().st_mode & 0o777 == 0o666 & ~umask


def test_all_is_on_the_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """File, then name, then the folder that holds the name."""
    happened: list[str] = []
    synced, replace = os.fsync, Path.replace

    def fsync(number: int) -> None:
        happened.append(Path(f"/proc/self/fd/{number}").resolve().name)
        synced(number)

    def renamed(self: Path, target: Path) -> Path:
        happened.append("renamed")
        return replace(self, target)

    monkeypatch.setattr(os, "fsync", fsync)
    monkeypatch.setattr(Path, "replace", renamed)
    with written_whole(tmp_path / "x") as partial:
        partial.write_text("x")
    assert happened == [partial.name, "renamed", tmp_path.name]
    happened.clear()
    with written_whole(tmp_path / "many", is_folder=True) as partial:
        (partial / "in").mkdir()
        (partial / "in" / "it").write_text("x")
    assert happened == [partial.name, "in", "it", "renamed", tmp_path.name]


def test_a_system_that_syncs_no_folders_is_none_to_complain_of(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    synced = os.fsync

    def fsync(number: int) -> None:
        if Path(f"/proc/self/fd/{number}").resolve().is_dir():
            raise OSError(22, "Invalid argument")
        synced(number)

    monkeypatch.setattr(os, "fsync", fsync)
    write_whole(tmp_path / "x", b"x")
    assert (tmp_path / "x").read_bytes() == b"x"


def test_the_caller_says_what_went_wrong(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(VggbenchError, match=r"x cannot be written \(File exists\): .* --output, --plot or --map"):
        write_whole(tmp_path / "file" / "x", "text")
    with pytest.raises(StoreError, match=r"^no room \(File exists\): expected a disk\.$"):
        write_whole(tmp_path / "file" / "x", "text", Refusal(StoreError, "a disk.", "no room"))
    zero = OUTPUT._replace(failures=(ZeroDivisionError,))
    with pytest.raises(ZeroDivisionError), written_whole(tmp_path / "x"):
        _ = 1 / 0
    with pytest.raises(VggbenchError, match="by zero"), written_whole(tmp_path / "x", zero):
        _ = 1 / 0


def test_a_place_beside_keeps_a_folder_clean(tmp_path: Path) -> None:
    (tmp_path / "clean").mkdir()
    with written_whole(tmp_path / "clean" / "x", beside=tmp_path) as partial:
        assert partial.parent == tmp_path
    assert [path.name for path in (tmp_path / "clean").iterdir()] == ["x"]


def test_the_longest_name_can_be_written(tmp_path: Path) -> None:
    path = tmp_path / ("ä" * 127)
    write_whole(path, "text\r\n")
    assert path.read_bytes() == b"text\r\n"


def test_what_was_downloaded_takes_its_place(tmp_path: Path) -> None:
    (tmp_path / "x.part").write_text("x")
    take_place(tmp_path / "x.part", tmp_path / "x")
    assert [file.name for file in tmp_path.iterdir()] == ["x"]


# ---------------------------------------------------------------- and that nothing does otherwise

_CALLED_WITHIN = "on the partial file of `write_predictions`, within `written_whole`"
ALLOWED = {
    ("weights/download.py", "partial.open('ab')"): "the next call resumes with it",
    ("data/single.py", "path.write_bytes(encoded)"): "in a temporary folder, for what comes by standard input",
    ("studies/speed.py", "Path('/proc/self/clear_refs').write_text('5')"): "a switch of the kernel",
    ("studies/doctor/subject.py", "picture.save(path, quality=quality)"): "in a temporary folder",
    ("images/libjpeg.py", "os.open(os.devnull, os.O_WRONLY)"): "keeps nothing",
    (
        "store/blocks.py",
        "self.path.replace(self.path.parent.parent / f'.{self.path.name}.damaged')",
    ): "writes nothing: moves a damaged file aside",
    ("train/loop.py", "checkpoint.save(state)"): "our own, which writes by the one way",
    ("train/checkpoint.py", "self.save(state)"): "our own, which writes by the one way",
    (
        "store/features.py",
        "writer.write_table(table, row_group_size=rows_of_group(batch.shape[1], 2 if half else 4))",
    ): "on the partial file, within `written_whole`",
    ("store/predictions/writing.py", "pq.ParquetWriter(path, _schema(classes))"): _CALLED_WITHIN,
    ("store/predictions/writing.py", "writer.write_table(_table(classes, *rows))"): _CALLED_WITHIN,
    ("store/predictions/writing.py", "path.open('w', encoding='utf-8')"): _CALLED_WITHIN,
    ("store/predictions/writing.py", "zipfile.ZipFile(path, 'w')"): _CALLED_WITHIN,
    ("store/predictions/writing.py", "archive.open(f'{name}.npy', 'w')"): _CALLED_WITHIN,
    ("store/predictions/writing.py", "archive.open('posteriors.npy', 'w', force_zip64=True)"): _CALLED_WITHIN,
}
"""Calls that look like a file to keep and are none, and why."""
OF_A_PATH = {"write_text", "write_bytes", "rename"}
"""Methods of what is written."""
TO_A_PATH = {
    "to_csv", "to_parquet", "to_json", "to_html", "to_pickle", "save", "savez", "savefig", "tofile", "dump",
    "write_table", "ParquetWriter", "save_file", "copyfile", "move",
}  # fmt: skip
"""Functions and methods whose arguments say what is written."""
OURS = {"save"}
"""Functions of our own among those names; a method of that name, or a module's, is somebody else's."""
ONE_WAY = {"written_whole"}
IN_MEMORY = {"BytesIO", "StringIO"}


def writes_otherwise(source: str) -> list[str]:
    """Calls that write a file, or let one take its name, but not within `with written_whole(...) as partial`."""
    return list(_otherwise(ast.parse(source), frozenset()))


def _otherwise(node: ast.AST, places: frozenset[str]) -> Iterator[str]:
    """`places` are the names of what may be written to here."""
    if isinstance(node, ast.With):
        for item in node.items:
            is_place = _called(item.context_expr) in ONE_WAY or _written(item.context_expr, places)
            if is_place and isinstance(item.optional_vars, ast.Name):
                places |= {item.optional_vars.id}
    elif isinstance(node, ast.FunctionDef):
        places |= {
            target.id
            for inner in ast.walk(node)
            if isinstance(inner, ast.Assign) and _called(inner.value) in IN_MEMORY
            for target in inner.targets
            if isinstance(target, ast.Name)
        }
    elif isinstance(node, ast.Constant) and isinstance(node.value, str) and ".partial" in node.value:
        yield repr(node.value)
    elif isinstance(node, ast.Call) and _writes(node) and not _written(node, places):
        yield ast.unparse(node)
    for child in ast.iter_child_nodes(node):
        yield from _otherwise(child, places)


def _called(node: ast.AST) -> str:
    """The last name of what is called."""
    if not isinstance(node, ast.Call):
        return ""
    return node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")


def _writes(call: ast.Call) -> bool:
    name, is_method = _called(call), isinstance(call.func, ast.Attribute)
    if name == "open" or name in ("ZipFile", "TarFile"):
        modes = [*call.args, *(keyword.value for keyword in call.keywords if keyword.arg in (None, "mode"))]
        texts = [mode.value for mode in modes if isinstance(mode, ast.Constant) and isinstance(mode.value, str)]
        flags = {ast.unparse(part) for mode in modes for part in ast.walk(mode) if isinstance(part, ast.Attribute)}
        return any(len(text) < 6 and set(text) & set("wax+") for text in texts) or bool(
            flags & {"os.O_WRONLY", "os.O_RDWR", "os.O_CREAT"}
        )
    if name == "replace" and is_method:  # of a path it takes one value, of a text two, of dataclasses names
        return ast.unparse(call.func) == "os.replace" or (len(call.args) == 1 and not call.keywords)
    return name in (OF_A_PATH | TO_A_PATH if is_method else TO_A_PATH - OURS)


def _written(call: ast.AST, places: frozenset[str]) -> bool:
    """Whether what is written to is one of the `places`, or lies in it."""
    if not isinstance(call, ast.Call):
        return False
    receiver = [call.func.value] if isinstance(call.func, ast.Attribute) else []
    return any(
        isinstance(part, ast.Name) and part.id in places
        for value in [*receiver, *call.args, *(keyword.value for keyword in call.keywords)]
        for part in [value, *(ast.walk(value) if isinstance(value, ast.BinOp) else ())]
    )


def test_the_package_writes_files_in_one_way() -> None:
    met = set()
    for path in sorted(PACKAGE.rglob("*.py")):
        name = path.relative_to(PACKAGE).as_posix()
        if name != "files.py":
            met |= {(name, call) for call in writes_otherwise(path.read_text(encoding="utf-8"))}
    assert met - ALLOWED.keys() == set(), "write these by vggbench.files.written_whole"
    assert ALLOWED.keys() - met == set(), "exceptions that nothing needs any more"


@pytest.mark.parametrize(
    "source",
    [
        "path.write_text('x')",
        "(folder / 'x').write_bytes(b'x')",
        "open(path, 'w')",
        "open(path, mode='wb')",
        "path.open('x')",
        "os.open(path, os.O_WRONLY | os.O_CREAT)",
        "zipfile.ZipFile(path, 'w')",
        "os.replace(a, b)",
        "partial.replace(path)",
        "a.rename(b)",
        "shutil.move(a, b)",
        "frame.to_csv(path, index=False)",
        "torch.save(tensors, path)",
        "save_file(tensors, path)",
        "figure.savefig(path)",
        "picture.save(path, 'JPEG')",
        "pq.ParquetWriter(path, schema)",
        "name = f'.{path.name}.partial'",
        "with written_whole(path) as partial:\n    path.write_text('x')",
        "with written_whole(path) as partial:\n    partial.write_text('x')\npartial.write_text('x')",
        "with other(path) as partial:\n    torch.save(tensors, partial)",
    ],
)
def test_the_check_finds_every_other_way(source: str) -> None:
    assert writes_otherwise(source)


@pytest.mark.parametrize(
    "source",
    [
        "with written_whole(path) as partial, drawing():\n    figure.savefig(partial)",
        "with written_whole(path) as partial:\n    (partial / 'x').write_bytes(b'x')",
        "with written_whole(path) as partial, partial.open('wb') as file, pq.ParquetWriter(file, schema) as writer:\n"
        "    writer.write_table(table)",
        "def f():\n    file = io.BytesIO()\n    picture.save(file, 'JPEG')",
        "text.replace('a', 'b')",
        "replace(value, name=1)",
        "path.open('rb')",
        "path.open(encoding='latin-1')",
        "archive.open(name)",
    ],
)
def test_the_check_lets_the_one_way_pass(source: str) -> None:
    assert writes_otherwise(source) == []
