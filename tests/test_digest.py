"""The digest of a set's bytes: one for the same files in whatever layout, another after a byte has changed."""

import hashlib
import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import forms
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from vggbench.cli.progress import VerifyProgress
from vggbench.data import DataSet, ImageFile, open_data
from vggbench.data.archive import VAL_ARCHIVE, Archive, ArchiveCheck, Published, archive_of
from vggbench.errors import DataError
from vggbench.images.digest import Contents, content_of, packs
from vggbench.images.inspection import inspect, inspect_all
from vggbench.images.threads import from_threads
from vggbench.render.tables.data import data_table
from vggbench.render.tables.table import render
from vggbench.results.census import census


@pytest.fixture(scope="module")
def flat(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return forms.write_pictures(tmp_path_factory.mktemp("digest") / "flat")


@pytest.fixture(scope="module")
def expected(flat: Path) -> str:
    return by_hand(flat)


def by_hand(flat: Path) -> str:
    """As the docs say it, in three lines."""
    files = sorted(flat.iterdir())
    lines = [f"{f.stem} {f.stat().st_size} {hashlib.sha256(f.read_bytes()).hexdigest()}\n" for f in files]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def digest_of(path: Path, *, decodes: bool = False, workers: int = 2) -> str | None:
    return inspect_all(open_data(path), decodes=decodes, workers=workers).digest


# ---------------------------------------------------------------- layouts


@pytest.mark.thorough
@pytest.mark.parametrize("form", forms.FORMS | forms.ELSEWHERE)
def test_every_layout_of_the_same_files_has_it(form: str, flat: Path, expected: str, tmp_path: Path) -> None:
    place = (forms.FORMS | forms.ELSEWHERE)[form](flat, tmp_path / "data")
    assert digest_of(place) == expected


@pytest.mark.parametrize("form", ["class_folders", "flat_alone", "plain_tar", "parquet", "webdataset"])
@pytest.mark.parametrize("at", [0, -1])
def test_one_byte_makes_another(form: str, at: int, flat: Path, expected: str, tmp_path: Path) -> None:
    other = Path(shutil.copytree(flat, tmp_path / "flat"))
    changed = other / f"{forms.IDS[17]}.JPEG"
    encoded = bytearray(changed.read_bytes())
    encoded[at] ^= 1
    changed.write_bytes(encoded)
    place = forms.FORMS[form](other, tmp_path / "data")
    assert digest_of(place) == by_hand(other) != expected
    assert open_data(place).fingerprint == open_data(flat).fingerprint, "which knows ids and lengths alone"


def test_images_encoded_again_decode_and_are_others(flat: Path, expected: str, tmp_path: Path) -> None:
    again = Path(shutil.copytree(flat, tmp_path / "flat"))
    with Image.open(flat / f"{forms.IDS[0]}.JPEG") as picture:
        picture.save(again / f"{forms.IDS[0]}.JPEG", quality=95)
    found = inspect_all(open_data(again), decodes=True, workers=0)
    assert not found.problems
    assert found.digest != expected


@pytest.mark.parametrize("workers", [0, 1, 2])
@pytest.mark.parametrize("decodes", [False, True])
@pytest.mark.parametrize("form", ["plain_tar", "parquet"])
def test_it_is_the_same_by_however_many(
    form: str, decodes: bool, workers: int, flat: Path, expected: str, tmp_path: Path
) -> None:
    place = forms.FORMS[form](flat, tmp_path / "data")
    assert digest_of(place, decodes=decodes, workers=workers) == expected


def test_what_was_decoded_comes_in_order_of_id(flat: Path, tmp_path: Path) -> None:
    found = inspect_all(open_data(forms.plain_tar(flat, tmp_path / "data")), decodes=True, workers=0)
    assert [looked.position for looked in found.looked] == list(range(forms.COUNT))
    assert all(looked.content is None for looked in found.looked), "32 bytes each are kept, and once"


def test_labels_do_not_enter(flat: Path, expected: str) -> None:
    data = open_data(flat)
    others = tuple(replace(image, class_name="n01440764") for image in data.images)
    assert inspect_all(replace(data, images=others), decodes=False, workers=0).digest == expected


def test_headers_alone_have_none(flat: Path) -> None:
    assert inspect(open_data(flat)).digest is None


# ---------------------------------------------------------------- reading


def test_a_row_group_is_read_once(flat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    for shard in sorted((forms.parquet(flat, tmp_path / "data") / "data").iterdir()):
        table: pa.Table = pq.read_table(shard)
        pq.write_table(table, shard, row_group_size=9)
    data = open_data(tmp_path / "data")
    groups = {(str(image.path), getattr(image, "group")) for image in data.images}  # noqa: B009
    read: list[tuple[str, int]] = []
    whole = pq.ParquetFile.read_row_group

    def counting(self: Any, group: int, *given: Any, **named: Any) -> Any:
        read.append((str(group), group))
        return whole(self, group, *given, **named)

    monkeypatch.setattr(pq.ParquetFile, "read_row_group", counting)
    inspect_all(data, decodes=False, workers=3)
    assert len(read) == len(groups) == 8 + 6


@given(st.lists(st.tuples(st.integers(0, 3), st.integers(0, 10**9)), max_size=60, unique=True))
def test_packs_hold_each_image_once_in_the_order_of_the_bytes(where: list[tuple[int, int]]) -> None:
    images = [ImageFile(f"{i:03d}", Path(f"{file}.tar"), 1, "", at) for i, (file, at) in enumerate(where)]
    found = [position for pack in packs(images) for position in pack]
    assert sorted(found) == list(range(len(images)))
    assert [where[position] for position in found] == sorted(where)


@pytest.mark.parametrize("threads", [0, 1, 4])
def test_threads_keep_the_order_and_stay_few_ahead(threads: int) -> None:
    begun: list[int] = []

    def work(number: int) -> int:
        begun.append(number)
        return number

    results = from_threads(work, range(100), threads)
    assert next(results) == 0
    assert len(begun) <= 1 + 3 * threads
    assert list(results) == list(range(1, 100))


def test_an_error_in_a_thread_is_met() -> None:
    with pytest.raises(ZeroDivisionError):
        list(from_threads(lambda number: 1 // number, [1, 0], 2))


@given(st.permutations(range(5)))
def test_images_may_be_met_in_any_order(order: list[int]) -> None:
    images = [ImageFile(str(i), Path(str(i)), i, "") for i in range(5)]
    contents = Contents(images)
    for position in order:
        assert contents.digest() is None
        contents.add(position, content_of(bytes([position])))
    lines = "".join(f"{i} {i} {hashlib.sha256(bytes([i])).hexdigest()}\n" for i in range(5))
    assert contents.digest() == hashlib.sha256(lines.encode()).hexdigest()


# ---------------------------------------------------------------- the command


@pytest.mark.parametrize("switch", ["--digest", "--verify"])
def test_it_is_printed_in_every_form(
    switch: str, vggbench: Callable[..., Any], flat: Path, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    for form in ("table", "md", "csv", "json"):
        done = vggbench("data", flat, switch, "--workers", 0, "--format", form)
        assert done.code == 0, done.err
        assert expected in done.out
        assert ("SHA-256 of a line for each image" in " ".join(done.out.split())) == (form in ("table", "md"))
    rows = json.loads(vggbench("data", flat, switch, "--workers", 0, "--format", "json").out)
    assert {row["fact"]: row["value"] for row in rows}["Digest"] == expected
    assert expected[:16] in vggbench("data", flat, switch, "--workers", 0, "--classes").out


def test_without_either_nothing_is_said_of_it(vggbench: Callable[..., Any], flat: Path) -> None:
    assert "digest" not in vggbench("data", flat, "--format", "table").out.lower()


def test_what_is_no_image_has_bytes(vggbench: Callable[..., Any], flat: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(flat, tmp_path / "flat"))
    (other / f"{forms.IDS[5]}.JPEG").write_bytes(b"<html>404</html>")
    done = vggbench("data", other, "--digest", "--format", "json")
    assert done.code == 1
    assert {row["fact"]: row["value"] for row in json.loads(done.out)}["Digest"] == by_hand(other)


@pytest.mark.parametrize("switch", ["--digest", "--verify"])
def test_a_file_that_cannot_be_read_is_named_and_there_is_no_digest(
    switch: str, vggbench: Callable[..., Any], flat: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = Path(shutil.copytree(flat, tmp_path / "flat"))
    lost = other / f"{forms.IDS[5]}.JPEG"
    monkeypatch.setattr("vggbench.images.inspection.LOOKED_AT", 1)  # so that its header is not read

    def lose(progress: VerifyProgress) -> VerifyProgress:
        lost.unlink()
        return progress

    monkeypatch.setattr(VerifyProgress, "__enter__", lose)
    done = vggbench("data", other, switch, "--format", "json")
    assert done.code == 1
    facts = {row["fact"]: row["value"] for row in json.loads(done.out)}
    assert facts["Digest"] is None
    assert facts["Wrong"] == f"{lost} cannot be read (No such file or directory)"
    assert f"1 of the {forms.COUNT} images looked at is wrong, the first {lost}, which cannot be read" in done.err


def test_reading_needs_no_pytorch(flat: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nfrom vggbench.data import open_data\n"
        "from vggbench.images.inspection import inspect_all\n"
        f"inspect_all(open_data(Path({str(flat)!r})), decodes=False)\nassert 'torch' not in sys.modules"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# ---------------------------------------------------------------- the archive


def published(tar: Path, **other: Any) -> Published:
    """As if this tar were the one that was published."""
    md5 = hashlib.md5(tar.read_bytes()).hexdigest()
    return replace(Published("ILSVRC2012_img_val.tar", tar.stat().st_size, md5, "a test"), **other)


def checked(data: DataSet, own: Published) -> Archive | None:
    with ArchiveCheck(archive_of(data, own), own) as check:
        check.start()
        return check.found()


def test_the_md5_is_torchvisions() -> None:
    from torchvision.datasets.imagenet import ARCHIVE_META

    assert ARCHIVE_META["val"] == (VAL_ARCHIVE.name, VAL_ARCHIVE.md5)
    assert VAL_ARCHIVE.length % 10_240 == 0, "a tar's record"


def test_an_archive_is_known_by_length_and_md5(flat: Path, tmp_path: Path) -> None:
    tar = forms.plain_tar(flat, tmp_path / "data")
    data = open_data(tar)
    own = published(tar)
    found = checked(data, own)
    assert found == Archive(tar, own.length, own.md5, own)
    assert found.is_original
    other = checked(data, replace(own, md5="0" * 32))
    assert other is not None
    assert (other.is_original, other.md5) == (False, own.md5)
    longer = checked(data, replace(own, length=own.length + 1))
    assert longer is not None
    assert (longer.is_original, longer.md5) == (False, None), "which is known without reading it"


def test_which_files_may_be_the_archive(flat: Path, tmp_path: Path) -> None:
    tar = forms.plain_tar(flat, tmp_path / "data")
    assert archive_of(open_data(tar)) == archive_of(open_data(tmp_path / "data")) == tar
    other = tar.rename(tmp_path / "some.tar")
    assert archive_of(open_data(other)) is None, "a part, called otherwise"
    for form in (forms.class_folders, forms.webdataset, forms.parquet):
        assert archive_of(open_data(form(flat, tmp_path / form.__name__))) is None


def test_an_archive_of_all_50_000_may_be_it_under_any_name(monkeypatch: pytest.MonkeyPatch) -> None:
    image = ImageFile(forms.IDS[0], Path("x.tar"), 1, "", 512)
    data = DataSet("a", (image,), 1, layout="flat folder in a tar")
    assert archive_of(data) is None
    monkeypatch.setattr(DataSet, "is_full_ilsvrc_val", True)
    assert archive_of(replace(data)) == Path("x.tar")
    assert archive_of(replace(data, layout="class folders in a tar")) is None


def test_an_archive_that_goes_away_is_told(flat: Path, tmp_path: Path) -> None:
    tar = forms.plain_tar(flat, tmp_path / "data")
    own = published(tar)
    with ArchiveCheck(tar, own) as check:
        tar.unlink()
        check.start()
        with pytest.raises(DataError, match=r"val.tar cannot be read \(No such file or directory\): expected the"):
            check.found()


@pytest.mark.parametrize("switch", ["--digest", "--verify"])
def test_the_command_says_whether_it_is_the_original(
    switch: str, vggbench: Callable[..., Any], flat: Path, expected: str, tmp_path: Path
) -> None:
    place = forms.plain_tar(flat, tmp_path / "data")
    done = vggbench("data", place, switch, "--workers", 0, "--format", "json")
    assert done.code == 0, "a part of the images fits an evaluation"
    facts = {row["fact"]: row["value"] for row in json.loads(done.out)}
    assert (facts["Archive"], facts["Digest"]) == ("not original", expected)
    said = " ".join(vggbench("data", place, switch, "--workers", 0, "--format", "md").out.split())
    length = place.stat().st_size
    assert f"not the original ILSVRC2012_img_val.tar: {length:,} bytes, and that has 6,744,924,160" in said
    assert "is that of torchvision's table of archives" in said


def test_the_table_says_how_it_knows(flat: Path, tmp_path: Path) -> None:
    tar = forms.plain_tar(flat, tmp_path / "data")
    own = published(tar)
    found = census(inspect_all(open_data(tar), decodes=False, workers=0))
    original = replace(found, archive=Archive(tar, own.length, own.md5, own))
    said = render(data_table(original), "md")
    assert f"the original ILSVRC2012_img_val.tar, by its {own.length:,} bytes and its MD5, {own.md5}" in said
    spoilt = replace(found, archive=Archive(tar, own.length, "0" * 32, own))
    assert f"its MD5 is {'0' * 32}, and that has {own.md5}" in render(data_table(spoilt), "md")
