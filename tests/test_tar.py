"""Tars are read where they lie, whole or not at all; hostile ones do no harm."""

import gc
import io
import os
import subprocess
import tarfile
import time
from collections.abc import Callable
from pathlib import Path

import forms
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vggbench.cli.terminal import speak
from vggbench.data import index, open_data, open_training_data
from vggbench.data.imagenet import val_id
from vggbench.data.tar import list_tar
from vggbench.errors import DataError, VggbenchError


def _member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", size: int = 0) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.type, member.linkname, member.size = kind, link, size
    return member


def _tar(path: Path, *members: tuple[tarfile.TarInfo, bytes], form: int = tarfile.PAX_FORMAT) -> Path:
    with tarfile.open(path, "w", format=form) as tar:
        for member, content in members:
            member.size = len(content)
            tar.addfile(member, io.BytesIO(content))
    return path


def _plain(path: Path, *names: str) -> Path:
    return _tar(path, *((_member(name), name.encode()) for name in names))


NAMES = st.lists(
    st.lists(st.text("abc_é-0", min_size=1, max_size=70), min_size=1, max_size=3).map("/".join),
    min_size=1, max_size=12, unique=True,
).filter(lambda names: not any(other.startswith(f"{name}/") for name in names for other in names))  # fmt: skip


@given(names=NAMES, form=st.sampled_from([tarfile.PAX_FORMAT, tarfile.GNU_FORMAT]))
def test_every_member_is_found_with_its_bytes(
    names: list[str], form: int, tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("tar") / "x.tar"
    contents = [os.urandom(i * 97) for i in range(len(names))]
    _tar(path, *((_member(f"top/{name}.jpg"), c) for name, c in zip(names, contents, strict=True)), form=form)
    found = {entry.name: entry.image("x").read() for entry in list_tar(path).files}
    whole = {f"{name}.jpg": content for name, content in zip(names, contents, strict=True)}
    assert sorted(found.values()) == sorted(whole.values())
    assert all(any(f"top/{name}".endswith(short) for name in whole) for short in found)


@pytest.mark.parametrize(
    ("member", "what"),
    [
        (_member("../../x.JPEG"), "a path that leaves the archive"),
        (_member("a/../../x.JPEG"), "a path that leaves the archive"),
        (_member("/etc/x.JPEG"), "a path that leaves the archive"),
        (_member("a/x.JPEG", tarfile.SYMTYPE, "/etc/passwd"), "a link"),
        (_member("a/x.JPEG", tarfile.LNKTYPE, "a/y.JPEG"), "a link"),
        (_member("a/x.JPEG", tarfile.CHRTYPE), "a device"),
        (_member("a/x.JPEG", tarfile.BLKTYPE), "a device"),
        (_member("a/x.JPEG", tarfile.FIFOTYPE), "a device"),
    ],
)
def test_hostile_members_are_refused_and_nothing_is_written(member: tarfile.TarInfo, what: str, tmp_path: Path) -> None:
    (tmp_path / "a" / "b").mkdir(parents=True)
    path = _tar(tmp_path / "a" / "b" / "x.tar", (_member("a/y.JPEG"), b"y"), (member, b""))
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(DataError, match=rf"has the member .*, {what}.*: expected plain files in folders. Nothing was"):
        open_data(path)
    assert sorted(tmp_path.rglob("*")) == before


def _header_damaged(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[1024 + 10] ^= 0xFF  # in the name of the second member
    path.write_bytes(content)


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:3000])


def _without_end(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: 3 * 1024])


def _negative(path: Path) -> None:
    """A size that leads back to the header itself."""
    content = bytearray(path.read_bytes())
    header = content[1024:1536]
    header[124:136] = (-512).to_bytes(12, "big", signed=True)
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    content[1024:1536] = header
    path.write_bytes(content)


def _beyond(path: Path) -> None:
    content = bytearray(path.read_bytes())
    header = content[2048:2560]
    header[124:136] = b"%011o\0" % 10**9
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    content[2048:2560] = header
    path.write_bytes(content)


def _zeroed_from_the_middle(path: Path) -> None:
    """As a download is that was cut off in a file of its full size: the first zeros look like the end."""
    content = path.read_bytes()
    path.write_bytes(content[:1024] + bytes(3 << 20))


def _zeroed_in_the_middle(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[:1024] + bytes(512) + content[1536:])


def _two(path: Path) -> None:
    path.write_bytes(path.read_bytes() * 2)


@pytest.mark.parametrize(
    "damage",
    [_header_damaged, _cut, _without_end, _negative, _beyond, _zeroed_from_the_middle, _zeroed_in_the_middle, _two],
)
def test_a_tar_that_is_not_whole_is_refused_rather_than_shortened(
    damage: Callable[[Path], None], tmp_path: Path
) -> None:
    path = _plain(tmp_path / "x.tar", "a/1.JPEG", "a/2.JPEG", "b/3.JPEG")
    assert len(open_data(path)) == 3
    damage(path)
    with pytest.raises(DataError, match="is not a complete tar"):
        open_data(path)


@given(places=st.lists(st.tuples(st.integers(0, 10_239), st.integers(0, 255)), min_size=1, max_size=30))
def test_whatever_is_changed_the_tar_is_read_or_refused(
    places: list[tuple[int, int]], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = _plain(tmp_path_factory.mktemp("tar") / "x.tar", "n01440764/1.JPEG", "b/2.JPEG", "b/" + "3" * 150 + ".JPEG")
    content = bytearray(path.read_bytes())
    for place, value in places:
        content[place % len(content)] = value
    path.write_bytes(content)
    try:
        data = open_data(path)
    except VggbenchError:
        return
    assert all(len(image.read()) == image.length for image in data.images)


def test_a_header_that_claims_a_gigabyte_takes_no_memory(tmp_path: Path) -> None:
    path = tmp_path / "x.tar"
    head = _member("pax", tarfile.XHDTYPE, size=1 << 30).tobuf(tarfile.USTAR_FORMAT)
    with path.open("wb") as file:
        file.write(head)
        file.truncate((1 << 30) + 2048)
    with pytest.raises(DataError, match=r"not a complete tar \(a header of 1,073,741,824 bytes\)"):
        open_data(path)


@pytest.mark.parametrize(("magic", "command"), [("z", "gzip -d"), ("j", "bzip2 -d"), ("J", "xz -d")])
def test_a_compressed_tar_is_refused_with_the_command(magic: str, command: str, tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "1.JPEG").write_bytes(b"1")
    path = tmp_path / "x.tar"
    subprocess.run(["tar", f"-c{magic}f", path, "-C", tmp_path, "a"], check=True)
    with pytest.raises(DataError, match=f"is compressed: expected a plain tar.* {command} x.tar"):
        open_data(path)


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.zip"
    path.write_bytes(b"PK\3\4" + bytes(600))
    with pytest.raises(DataError, match=r"is a file, and neither a tar nor Parquet: expected .*ILSVRC2012_img_val.tar"):
        open_data(path)


def test_the_same_image_twice_in_a_tar(tmp_path: Path) -> None:
    path = _plain(tmp_path / "x.tar", f"{val_id(1)}.JPEG", f"{val_id(2)}.JPEG", f"{val_id(1)}.JPEG")
    with pytest.raises(DataError, match=r"has the member .ILSVRC2012_val_00000001.JPEG. twice"):
        open_data(path)


def test_the_training_tar_of_tars(tmp_path: Path) -> None:
    inner = []
    for name in ("n01440764", "n01443537"):
        _plain(tmp_path / f"{name}.tar", *(f"{name}_{i}.JPEG" for i in range(3)))
        inner.append((_member(f"{name}.tar"), (tmp_path / f"{name}.tar").read_bytes()))
    data = open_data(_tar(tmp_path / "ILSVRC2012_img_train.tar", *inner))
    assert data.class_names == ("n01440764", "n01443537")
    assert [image.read().decode() for image in data.images] == [f"{image.id}.JPEG" for image in data.images]
    assert len(data) == 6


def test_an_image_in_the_wrong_class_is_refused(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is n01443537 by its place and n01440764 by its own name"):
        open_data(_plain(tmp_path / "x.tar", "n01443537/n01440764_3.JPEG", "n01440764/n01440764_4.JPEG"))
    with pytest.raises(DataError, match="is n01440764 by its place and n01751748 by the labels of ILSVRC-2012 val"):
        open_data(_plain(tmp_path / "x.tar", f"n01440764/{val_id(1)}.JPEG"))


def test_the_index_is_kept_and_made_again_when_the_file_changes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VGGBENCH_CACHE", str(tmp_path / "cache"))
    path = _plain(tmp_path / "x.tar", "a/1.JPEG", "b/2.JPEG")
    first = open_data(path)
    (kept,) = (tmp_path / "cache" / "index").iterdir()
    monkeypatch.setattr("vggbench.data.tar.told_if_large", None)
    assert open_data(path).images == first.images
    monkeypatch.undo()
    monkeypatch.setenv("VGGBENCH_CACHE", str(tmp_path / "cache"))
    _plain(path, "a/1.JPEG", "b/2.JPEG", "b/3.JPEG")
    assert len(open_data(path)) == 3
    kept.write_text("{ broken")
    assert len(open_data(path)) == 3
    monkeypatch.setenv("VGGBENCH_CACHE", "/proc/nowhere")
    assert len(open_data(path)) == 3, "a cache that cannot be written costs time alone"


def test_a_file_that_changes_while_it_is_indexed_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(b"1")

    def find() -> list[list[object]]:
        path.write_bytes(b"22")
        return []

    with pytest.raises(DataError, match="changed while it was read"):
        index.indexed(path, "test", 1, find)


def test_a_large_file_says_that_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(index, "_WORTH_SAYING", 100)
    path = _plain(tmp_path / "x.tar", "a/1.JPEG", "b/2.JPEG")
    speak()
    open_data(path)
    assert capfd.readouterr().err == f"Reading what {path} holds (0.0 GB), once.\n"
    open_data(path)
    assert capfd.readouterr().err == ""


@pytest.mark.thorough
def test_a_tar_of_fifty_thousand_opens_at_once(tmp_path: Path) -> None:
    """With its index in the cache: under a second, the issue's bound, and sooner than tarfile lists its members."""
    path = _tar(tmp_path / "val.tar", *((_member(f"{val_id(n)}.JPEG"), b"x" * (n % 700)) for n in range(1, 50_001)))
    assert open_data(path).is_full_ilsvrc_val
    ours, tarfiles = [], []
    gc.freeze()  # what other tests left alive is none of either's time
    for _ in range(3):
        started = time.perf_counter()
        data = open_data(path)
        ours.append(time.perf_counter() - started)
        started = time.perf_counter()
        with tarfile.open(path) as archive:
            assert len(archive.getmembers()) == 50_000
        tarfiles.append(time.perf_counter() - started)
    assert min(ours) < 1
    assert min(ours) < min(tarfiles)
    assert len(data) == 50_000
    assert data.images[699].length == 0
    assert tuple(data.labels(data.class_names, 1000)[:120]) == forms.LABELS


def test_the_commonest_ways_to_pack_a_folder(tmp_path: Path) -> None:
    """`tar -C folder .`, one that holds everything, and one class with a folder in it: as the folder itself."""
    for name in ("cat/1.JPEG", "dog/2.JPEG"):
        (tmp_path / "set" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "set" / name).write_bytes(b"x")
    (tmp_path / "set" / "labels.txt").write_text("about the set")
    subprocess.run(["tar", "-cf", tmp_path / "dot.tar", "-C", tmp_path / "set", "."], check=True)
    subprocess.run(["tar", "-cf", tmp_path / "whole.tar", "-C", tmp_path, "set"], check=True)
    for name in ("dot.tar", "whole.tar", "set"):
        assert open_data(tmp_path / name).class_names == ("cat", "dog")
    one = _plain(tmp_path / "one.tar", "cat/images/1.JPEG", "cat/images/2.JPEG")
    assert open_data(one).class_names == ("cat",)


def test_many_headers_within_headers_are_refused(tmp_path: Path) -> None:
    long_name = _member("././@LongLink", tarfile.GNUTYPE_LONGNAME, size=0).tobuf(tarfile.GNU_FORMAT)
    path = tmp_path / "x.tar"
    path.write_bytes(long_name * 3000 + bytes(1024))
    with pytest.raises(DataError, match="not a complete tar"):
        open_data(path)


def test_one_tar_with_train_and_val(tmp_path: Path) -> None:
    path = _plain(
        tmp_path / "x.tar",
        *(f"{split}/{c}/{split}{c}{i}.png" for split in ("train", "val") for c in "ab" for i in "01"),
    )
    train, val = open_training_data(path)
    assert [image.id for image in train.images] == ["traina0", "traina1", "trainb0", "trainb1"]
    assert [image.id for image in val.images] == ["vala0", "vala1", "valb0", "valb1"]
    assert len(open_data(path)) == 4
