"""The store: whole blocks or none, resume, fusion, and other programs that read it."""

import json
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from vggbench.errors import StoreError
from vggbench.store.blocks import Block
from vggbench.store.posteriors import fuse, label_ranks, posteriors
from vggbench.store.recording import Recording, Store
from vggbench.store.runs import BLOCK

K = 5


def _ids(count: int) -> tuple[str, ...]:
    return tuple(f"image_{i:05d}" for i in range(count))


def _values(count: int, seed: int = 0) -> NDArray[np.float32]:
    raw = np.random.default_rng(seed).random((count, K), dtype=np.float32)
    values: NDArray[np.float32] = raw / raw.sum(axis=1, keepdims=True)
    return values


def _write(run: Recording, number: int, values: NDArray[np.float32], bad: tuple[str, ...] = ()) -> None:
    run.create()
    places = [i for i in run.block_range(number) if run.expected[i] not in bad]
    count = len(places)
    sizes = np.full(count, 300, dtype=np.int32)
    here = {name: "is no image" for name in bad if name in run.expected[run.block_range(number)[0] :][:BLOCK]}
    run.write(
        number,
        Block(
            tuple(run.expected[i] for i in places), np.zeros(count, np.int32), sizes, sizes, values[places], here,
            provenance=[{"device": "cpu", "seconds": 1.0}],
        ),
    )  # fmt: skip


def _filled(store: Path, count: int, *, seed: int = 0, name: str = "r", compact: bool = True) -> Recording:
    run = Store(store).run(name, {"seed": seed}, _ids(count))
    for number in range(run.block_count):
        _write(run, number, _values(count, seed))
    if compact:
        run.compact()
    return run


@settings(max_examples=20, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(count=st.integers(1, 150), order=st.randoms(use_true_random=False), compact=st.booleans())
def test_round_trip_in_any_order(
    count: int, order: Any, compact: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    store = Store(tmp_path_factory.mktemp("store"))
    run = store.run("r", {}, _ids(count))
    numbers = list(range(run.block_count))
    order.shuffle(numbers)
    for number in numbers:
        assert number in run.missing()
        _write(run, number, _values(count))
    if compact:
        run.compact()
        assert len(list((run.folder / "posteriors").iterdir())) == 1
    again = store.run("r", {}, _ids(count))
    for found in (run, again):
        assert found.missing() == []
        assert found.images == _ids(count)
        np.testing.assert_array_equal(posteriors(found), _values(count))
        assert found.provenance == [{"device": "cpu", "seconds": float(run.block_count)}]


def test_the_folder_reads_by_itself_and_opens_in_pandas_and_duckdb(tmp_path: Path) -> None:
    run = _filled(tmp_path, 70, compact=False, name="D-x.pth-dense-Q384")
    assert run.folder.name.startswith("D-x.pth-dense-Q384-")
    record = json.loads((run.folder / "run.json").read_text())
    assert len(record.pop("sha256")) == 64
    assert record == {"signature": {"seed": 0}, "images": 70, "block": 32, "about": {}}
    frame = pd.read_parquet(run.folder / "posteriors")
    assert frame["image"].tolist() == list(_ids(70))
    np.testing.assert_array_equal(np.stack(frame["posterior"].tolist()), _values(70))
    count = duckdb.sql(f"select count(distinct image) from '{run.folder}/posteriors/*.parquet'").fetchall()
    assert count == [(70,)]


def test_another_signature_is_another_run(tmp_path: Path) -> None:
    _filled(tmp_path, 40)
    assert Store(tmp_path).run("r", {"seed": 1}, _ids(40)).missing() == [0, 1]


@pytest.mark.parametrize("damage", ["truncated", "empty", "other images", "no parquet"])
@pytest.mark.parametrize("compact", [False, True])
def test_a_damaged_file_is_noticed_and_computed_again(damage: str, compact: bool, tmp_path: Path) -> None:
    run = _filled(tmp_path, 70, compact=compact)
    path = sorted((run.folder / "posteriors").iterdir())[0]
    whole = path.read_bytes()
    if damage == "other images":
        table = pq.read_table(path)
        pq.write_table(table.slice(1), path)
    else:
        path.write_bytes({"truncated": whole[: len(whole) // 2], "empty": b"", "no parquet": b"x" * 500}[damage])
    again = Store(tmp_path).run("r", {"seed": 0}, _ids(70))
    assert again.damaged == [path]
    assert again.missing() == ([0, 1, 2] if compact else [0])
    for number in again.missing():
        _write(again, number, _values(70))
    again.compact()
    np.testing.assert_array_equal(posteriors(Store(tmp_path).run("r", {"seed": 0}, _ids(70))), _values(70))


def test_a_flipped_bit_inside_is_an_error_and_never_a_number(tmp_path: Path) -> None:
    run = _filled(tmp_path, 64)
    path = next((run.folder / "posteriors").iterdir())
    content = bytearray(path.read_bytes())
    needle = _values(64)[40].tobytes()
    place = bytes(content).index(needle)
    content[place + 2] ^= 0x10
    path.write_bytes(content)
    with pytest.raises(StoreError, match="damaged inside"):
        posteriors(Store(tmp_path).run("r", {"seed": 0}, _ids(64)))


def test_leftovers_of_a_kill_while_compacting_are_not_counted_twice(tmp_path: Path) -> None:
    run = _filled(tmp_path, 70, compact=False)
    block = sorted((run.folder / "posteriors").iterdir())[1]
    content = block.read_bytes()
    run.compact()
    block.write_bytes(content)
    again = Store(tmp_path).run("r", {"seed": 0}, _ids(70))
    assert again.images == _ids(70)
    assert not block.exists()


def test_a_record_changed_by_hand_is_refused(tmp_path: Path) -> None:
    run = _filled(tmp_path, 10)
    (run.folder / "run.json").write_text('{"signature": {"seed": 7}}')
    with pytest.raises(StoreError, match="changed by hand"):
        Store(tmp_path).run("r", {"seed": 0}, _ids(10))
    (run.folder / "run.json").write_text("{")
    with pytest.raises(StoreError, match="cannot be read"):
        Store(tmp_path).run("r", {"seed": 0}, _ids(10))


def test_unreadable_images_leave_their_block_missing_unless_accepted(tmp_path: Path) -> None:
    run = Store(tmp_path).run("r", {}, _ids(70))
    for number in range(3):
        _write(run, number, _values(70), bad=("image_00033",))
    assert run.missing() == [1]
    assert run.missing(accept_unreadable=True) == []
    assert run.unreadable == {"image_00033": "is no image"}
    assert len(run.images) == 69
    run.compact()
    assert len(list((run.folder / "posteriors").iterdir())) == 3


def test_a_full_disk_keeps_what_was_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = Store(tmp_path).run("r", {}, _ids(70))
    _write(run, 0, _values(70))

    def full(number: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(StoreError, match=r"No space left on device.*Finished blocks are kept"):
        _write(run, 1, _values(70))
    assert Store(tmp_path).run("r", {}, _ids(70)).missing() == [1, 2]
    assert [path.name for path in run.folder.iterdir() if "partial" in path.name] == []


def test_what_arrow_raises_while_blocks_are_joined_is_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = _filled(tmp_path, 70, compact=False)

    def broken(tables: Any) -> None:
        raise pa.ArrowInvalid("of another schema")

    monkeypatch.setattr(pa, "concat_tables", broken)
    with pytest.raises(StoreError, match=r"000000-000069\.parquet cannot be written \(of another schema\)"):
        run.compact()
    assert len(list((run.folder / "posteriors").iterdir())) == 3


def test_fusing_a_run_with_itself_is_the_run(tmp_path: Path) -> None:
    run = _filled(tmp_path, 70)
    for times in (1, 2, 3, 7):
        np.testing.assert_array_equal(posteriors(fuse(*[run] * times)), _values(70).astype(np.float64))


def test_fusion_is_the_mean_and_nests(tmp_path: Path) -> None:
    runs = [_filled(tmp_path, 2100, seed=seed) for seed in range(3)]
    expected = np.mean([_values(2100, seed).astype(np.float64) for seed in range(3)], axis=0)
    np.testing.assert_allclose(posteriors(fuse(*runs)), expected, rtol=1e-15)
    nested = posteriors(fuse(fuse(runs[0], runs[1]), runs[2]))
    np.testing.assert_allclose(nested, (expected * 3 - _values(2100, 2)) / 4 + _values(2100, 2) / 2, rtol=1e-6)


def test_shares_weigh_the_mean_which_stays_one_of_posteriors(tmp_path: Path) -> None:
    one, other = (_filled(tmp_path, 40, seed=seed, name=f"r{seed}") for seed in (1, 2))
    found = posteriors(fuse(one, other, shares=(3, 2)))
    np.testing.assert_allclose(found, 0.6 * posteriors(one) + 0.4 * posteriors(other), rtol=1e-6)
    np.testing.assert_allclose(found.sum(1), 1, rtol=1e-6)


def test_the_size_of_blocks_is_the_runs_own(tmp_path: Path) -> None:
    """Chosen when it begins and kept, also where its record is lost and blocks of another size are there."""
    ids, values = _ids(300), _values(300)
    run = Store(tmp_path).run("r", {"classes": K, "n": 1}, ids, block=64)
    assert (run.block_count, run.block_range(4)) == (5, range(256, 300))
    for number in (0, 2):
        _write(run, number, values)
    again = Store(tmp_path).run("r", {"classes": K, "n": 1}, ids, block=256)
    assert (again.block, again.missing()) == (64, [1, 3, 4])
    (run.folder / "run.json").unlink()
    assert Store(tmp_path).run("r", {"classes": K, "n": 1}, ids, block=128).missing() == [0, 1, 2]
    lost = Store(tmp_path).run("r", {"classes": K, "n": 1}, ids, block=32)
    assert lost.missing() == [2, 3, 6, 7, 8, 9]
    for number in lost.missing():
        _write(lost, number, values)
    lost.compact()
    np.testing.assert_array_equal(posteriors(lost), values)


@pytest.mark.parametrize("block", [0, -32, 5000, 32.5, "32", True, None])
def test_a_block_size_that_can_be_none_is_refused(block: object, tmp_path: Path) -> None:
    run = _filled(tmp_path, 40)
    record = run.folder / "run.json"
    kept = {name: value for name, value in json.loads(record.read_text()).items() if name != "sha256"}
    record.write_text(json.dumps(kept | {"block": block}))
    with pytest.raises(StoreError, match="expected 1 to 4,096"):
        Store(tmp_path).run("r", run.signature, run.expected)


def test_fusing_blocks_with_a_compacted_run(tmp_path: Path) -> None:
    loose, tight = _filled(tmp_path, 1500, compact=False), _filled(tmp_path, 1500, seed=1)
    expected = (_values(1500).astype(np.float64) + _values(1500, 1)) / 2
    np.testing.assert_array_equal(posteriors(fuse(loose, tight)), expected)


def test_different_images_are_not_fused(tmp_path: Path) -> None:
    with pytest.raises(StoreError, match=r"cover different images .*image_00070"):
        fuse(_filled(tmp_path, 70), _filled(tmp_path, 71, seed=1))


def test_label_ranks_over_batches(tmp_path: Path) -> None:
    run = _filled(tmp_path, 1100)
    labels = np.arange(1100, dtype=np.int32) % K
    values = _values(1100)
    expected = [(row > row[label]).sum() for row, label in zip(values, labels, strict=True)]
    assert label_ranks([run], labels)[0].tolist() == expected
