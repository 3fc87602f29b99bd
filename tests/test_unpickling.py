"""Pickles are read as data: nothing is executed, memory and time are bounded, and tensors equal those of torch.load."""

import argparse
import collections
import contextlib
import pickle
import random
import subprocess
import sys
import time
import tracemalloc
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from fuzz import changed
from pickles import MARK, harmful, rewritten, spliced
from torch import Tensor

from vggbench.errors import WeightsError
from vggbench.paper.configs import CONFIGS
from vggbench.weights.archives import read_archive
from vggbench.weights.checkpoints import chosen
from vggbench.weights.formats import read_weights
from vggbench.weights.held import Held, Odd
from vggbench.weights.rebuilt import mapping_of, tensor_of
from vggbench.weights.unpickling import Inert, Named, Window, unpickled

A = CONFIGS["A"]
CORPUS = Path(__file__).parent / "corpus"
PROOF = """
import copyreg, os, pathlib, pickle, sys, time
copyreg.add_extension("os", "system", 240)
for name, data in pickle.loads(sys.stdin.buffer.read()).items():
    place = pathlib.Path(sys.argv[1])
    try: kept = pickle.loads(data)
    except Exception as error: print(name, repr(error))
    for _ in range(200):
        if place.exists(): break
        time.sleep(0.01)
    else: print(name, "did nothing")
    place.unlink(missing_ok=True)
"""


def test_each_of_the_pickles_does_harm_where_it_is_unpickled(tmp_path: Path) -> None:
    """Or the next test shows nothing."""
    place = tmp_path / "harmed"
    payloads = {name: payload + b"." for name, payload in harmful(place).items()}
    told = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROOF, place], input=pickle.dumps(payloads), capture_output=True,
        check=True, env={"BROWSER": "touch %s", "PATH": "/usr/bin:/bin"},
    )  # fmt: skip
    assert len(payloads) > 20
    assert told.stdout.decode() == ""


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", harmful(Path("x")))
def test_none_of_them_does_where_it_is_read_here(name: str, zipped: bool, tmp_path: Path) -> None:
    harmed, path, weights = tmp_path / "harmed", tmp_path / "x.pth", {"features.0.bias": torch.rand(3)}
    spliced({"args": MARK, "state_dict": weights, "epoch": 3}, harmful(harmed)[name], path, zipped=zipped)
    found = chosen(read_archive(path), ema=False).tensors
    assert not harmed.exists()
    assert torch.equal(found["features.0.bias"].read(), weights["features.0.bias"])
    spliced({**weights, "features.0.weight": MARK}, harmful(harmed)[name], path, zipped=zipped)
    with pytest.raises(WeightsError, match="never executed"):
        read_weights(path, A)
    assert not harmed.exists()


def test_torchs_own_way_to_nested_pickles_is_not_taken(tmp_path: Path) -> None:
    harmed = tmp_path / "harmed"
    inner = harmful(harmed)["builtins.open"] + b"."
    torch_inner = (
        pickle.dumps(0x1950A86A20F9469CFC6C) + pickle.dumps(1001) + pickle.dumps({}) + inner + pickle.dumps([])
    )
    payload = b"ctorch.storage\n_load_from_bytes\n(B" + len(torch_inner).to_bytes(4, "little") + torch_inner + b"tR"
    spliced({"x": MARK}, payload, tmp_path / "x.pth", zipped=True)
    with pytest.raises(WeightsError, match="no state dict"):
        read_weights(tmp_path / "x.pth", A)
    assert not harmed.exists()
    with pytest.warns(ResourceWarning):
        pickle.loads(payload + b".")
    assert harmed.exists()


def test_a_pickled_state_dict_says_how_to_save_it_again(tmp_path: Path) -> None:
    """`pickle.dump` nests in each tensor a pickle of its storage, which only executing it would read."""
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps({"features.0.weight": torch.rand(64, 3, 3, 3)}))
    with pytest.raises(WeightsError, match=r"pickle\.dump.*torch\.save\(pickle\.load\(open\(.*x\.pkl', 'rb'\)\)"):
        read_weights(path, A)


PERSISTENT: dict[str, bytes] = {
    "text": b"Pstorage\n",
    "number": b"K\x01Q",
    "other": b"(Vother\nK\x01tQ",
    "function for a type": b"(Vstorage\ncos\nsystem\nV0\nVcpu\nK\x01tQ",
    "key of another kind": b"(Vstorage\nctorch\nFloatStorage\nK\x07Vcpu\nK\x01tQ",
    "itself": b"(Vstorage\nctorch\nFloatStorage\n(Vstorage\ntQVcpu\nK\x01tQ",
}


@pytest.mark.parametrize("zipped", [True, False], ids=["zip", "legacy"])
@pytest.mark.parametrize("name", PERSISTENT)
def test_persistent_ids_of_odd_kinds_are_nothing_or_refused(name: str, zipped: bool, tmp_path: Path) -> None:
    tensor = (
        b"ctorch._utils\n_rebuild_tensor_v2\n("
        + PERSISTENT[name]
        + b"K\x00(K\x01t(K\x01t\x89ccollections\nOrderedDict\n)RtR"
    )
    spliced({"features.0.weight": MARK}, tensor, tmp_path / "x.pth", zipped=zipped)
    with pytest.raises(WeightsError, match=r"x\.pth"):
        read_weights(tmp_path / "x.pth", A)


@pytest.mark.parametrize(
    "bomb",
    [
        pytest.param(b"Nr" + (200_000_000).to_bytes(4, "little") + b".", id="memo index"),
        pytest.param(b"}N" + b"2\x86" * 200 + b"Ns.", id="tuples of tuples as a key"),
        pytest.param(b"]" + b"2\x86" * 20_000 + b".", id="deep tuples"),
        pytest.param(b"\x8e" + (2**62).to_bytes(8, "little") + b".", id="bytes beyond its end"),
        pytest.param(b"(" * 50_000 + b".", id="marks"),
        pytest.param(b"I" + b"9" * 5000 + b"\n.", id="digits"),
    ],
)
def test_a_small_pickle_takes_little_memory_and_time(bomb: bytes) -> None:
    tracemalloc.start()
    started = time.perf_counter()
    with contextlib.suppress(ValueError, IndexError):
        unpickled(Window(bomb), lambda saved: saved)
    assert time.perf_counter() - started < 3
    assert tracemalloc.get_traced_memory()[1] < 50_000_000
    tracemalloc.stop()


def test_more_steps_than_any_checkpoint_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vggbench.weights.unpickling._MOST_STEPS", 100)
    with pytest.raises(ValueError, match="more than 100 steps"):
        unpickled(Window(b"N0" * 200 + b"N."), lambda saved: saved)


PLAIN: dict[str, object] = {
    "numbers": {"a": [1, -2, 3.5, 2**70, True, None], "b": (1, (2, 3)), "c": b"bytes", 4: "text", "d": {}},
    "nested": [[[], [[1]]], {"a": {"b": {"c": ()}}}],
}


@pytest.mark.parametrize("protocol", range(6))
@pytest.mark.parametrize("name", PLAIN)
def test_plain_values_are_those_of_pickle(name: str, protocol: int) -> None:
    if protocol > 2 or name == "nested":  # bytes are no plain value of the older protocols
        assert unpickled(Window(pickle.dumps(PLAIN[name], protocol)), lambda saved: saved) == PLAIN[name]


def test_what_would_be_called_is_kept_as_it_came() -> None:
    made = unpickled(Window(pickle.dumps(argparse.Namespace(lr=0.1, names=["a"]))), lambda saved: saved)
    assert isinstance(made, Inert)
    assert made.made_by == Named("argparse", "Namespace")
    assert made.state == {"lr": 0.1, "names": ["a"]}


def _tensors() -> dict[str, Any]:
    base = torch.arange(24, dtype=torch.float32).view(2, 3, 4)
    return {
        "plain": base, "permuted": base.permute(2, 0, 1), "strided": base[:, ::2, 1:3], "scalar": torch.tensor(3.5),
        "empty": torch.zeros(0, 3), "tied": base, "view": base[1], "parameter": torch.nn.Parameter(base * 2),
        "buffer": torch.nn.Buffer(base * 3), "half": base.half(), "bfloat16": base.bfloat16(), "double": base.double(),
        "int64": base.long(), "int8": base.to(torch.int8), "bool": base > 3, "uint8": base.to(torch.uint8),
        "array": np.arange(6, dtype=np.float32).reshape(2, 3),
        "fortran": np.asfortranarray(np.ones((2, 3)) * [1, 2, 3]),
        "big-endian": np.arange(3, dtype=">f4"),
    }  # fmt: skip


@pytest.mark.parametrize("form", ["zip", "legacy", "pickle 2", "pickle 5"])
def test_tensors_equal_those_of_torch(form: str, tmp_path: Path) -> None:
    path, tensors = tmp_path / "x.pth", _tensors()
    kinds = (collections.OrderedDict, dict, collections.defaultdict, collections.Counter)
    if form.startswith("pickle"):
        tensors = {name: value for name, value in tensors.items() if isinstance(value, np.ndarray)}
        path.write_bytes(pickle.dumps(tensors, int(form[-1])))
    else:
        holders: dict[str, Any] = {kind.__name__: kind() for kind in kinds}
        for holder in holders.values():
            holder.update(tensors)
        torch.save(holders, path, _use_new_zipfile_serialization=form == "zip")
    archive = read_archive(path)
    content = mapping_of(archive.content)
    assert content is not None
    for mapping in [content] if form.startswith("pickle") else map(mapping_of, content.values()):
        assert mapping
        assert set(mapping) == set(tensors)
        for name, value in tensors.items():
            found = tensor_of(mapping[name], archive)
            assert isinstance(found, Held), name
            expected = (
                torch.from_numpy(value.astype(value.dtype.newbyteorder("=")))
                if isinstance(value, np.ndarray)
                else value
            )
            read = found.read()
            assert read.dtype == expected.dtype
            assert found.shape == tuple(expected.shape)
            assert torch.equal(read, expected.detach()), name


@pytest.mark.parametrize(
    ("tensor", "kind"),
    [
        (lambda: torch.quantize_per_tensor(torch.ones(3), 0.1, 0, torch.qint8), "quantised"),
        (lambda: torch.eye(3).to_sparse(), "sparse"),
        (lambda: torch.ones(3, dtype=torch.complex64), "complex64"),
        (lambda: torch.ones(3, device="meta"), "meta"),
        (lambda: torch.ones(3).to(torch.float8_e4m3fn), "float8_e4m3fn"),
    ],
    ids=["quantised", "sparse", "complex", "meta", "float8"],
)
@pytest.mark.filterwarnings("ignore")
def test_other_kinds_of_tensors_are_refused_by_name(tensor: Callable[[], Tensor], kind: str, tmp_path: Path) -> None:
    torch.save({"features.0.weight": tensor()}, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match=rf"'features\.0\.weight' as a .*{kind}"):
        read_weights(tmp_path / "x.pth", A)


def test_a_lazily_negated_tensor_is_not_read_with_the_other_sign(tmp_path: Path) -> None:
    negated = torch.tensor([1 + 2j, 3 - 4j]).conj().imag
    assert negated.is_neg()
    torch.save({"x": negated}, tmp_path / "x.pth")
    archive = read_archive(tmp_path / "x.pth")
    content = mapping_of(archive.content)
    assert content
    assert isinstance(tensor_of(content["x"], archive), Odd)


@pytest.mark.parametrize(
    ("layout", "sentence"),
    [
        (b"K\x00(K\x02K\x02t(K\x02K\x01t", "reaches beyond its storage"),
        (b"K\x03(K\x02t(K\x01t", "reaches beyond its storage"),
        (b"J\xff\xff\xff\xff(K\x02t(K\x01t", "reaches beyond its storage"),
        (b"K\x00(K\x02t(J\xff\xff\xff\xfft", "reaches beyond its storage"),
        (b"K\x00(J\xff\xff\xff\xfft(K\x01t", "in a way that"),
        (b"K\x00(K\x02t(K\x01K\x01t", "in a way that"),
        (b"K\x00(\x88t(K\x01t", "in a way that"),
        (b"K\x00" + b"(" + b"K\x01" * 9 + b"t(" + b"K\x01" * 9 + b"t", "in a way that"),
    ],
)
def test_shapes_and_strides_stay_within_their_storage(layout: bytes, sentence: str, tmp_path: Path) -> None:
    storage = b"(Vstorage\nctorch\nFloatStorage\nV0\nVcpu\nK\x03tQ"
    tensor = b"ctorch._utils\n_rebuild_tensor_v2\n(" + storage + layout + b"\x89}tR"
    spliced({"a": torch.ones(3), "features.0.weight": MARK}, tensor, tmp_path / "x.pth", zipped=True)
    with pytest.raises(WeightsError, match=sentence):
        read_weights(tmp_path / "x.pth", A)


def test_a_changed_value_fails_its_check_sum(peaked: Callable[..., dict[str, Tensor]], tmp_path: Path) -> None:
    path, weights = tmp_path / "x.pth", peaked("A")
    torch.save(weights, path)
    content = bytearray(path.read_bytes())
    content[content.index(weights["features.3.weight"].numpy().tobytes())] ^= 1
    path.write_bytes(content)
    with pytest.raises(WeightsError, match="the check sum of storage"):
        read_weights(path, A)


def test_a_file_that_was_saved_without_check_sums_is_read(tmp_path: Path, peaked: Callable[..., Any]) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        torch.save(peaked("A"), tmp_path / "x.pth")
    finally:
        torch.serialization.set_crc32_options(True)
    assert len(read_weights(tmp_path / "x.pth", A).tensors) == 22


def test_a_view_of_the_older_form_is_a_part_of_its_storage(tmp_path: Path) -> None:
    path, content = tmp_path / "x.pth", {"a": torch.arange(5.0), "features.0.bias": MARK}
    torch.save(content, path, _use_new_zipfile_serialization=False)
    (key,) = read_archive(path).places
    view = f"(Vstorage\nctorch\nFloatStorage\nV{key}\nVcpu\nK\x05(Vview\nK\x01K\x02ttQ".encode()
    tensor = b"ctorch._utils\n_rebuild_tensor\n(" + view + b"K\x00(K\x02t(K\x01ttR"
    mark = b"X" + len(MARK).to_bytes(4, "little") + MARK.encode()
    path.write_bytes(path.read_bytes().replace(mark, tensor))
    found = chosen(read_archive(path), ema=False).tensors
    assert found["features.0.bias"].read().tolist() == [1, 2]
    assert found["a"].read().tolist() == [0, 1, 2, 3, 4]


def test_the_other_byte_order_is_read(tmp_path: Path) -> None:
    torch.save({"a": torch.tensor([1.5, -2.0]), "b": torch.ones(3).bfloat16()}, tmp_path / "x.pth")
    with zipfile.ZipFile(tmp_path / "x.pth") as archive:
        files = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    swapped = {"x/byteorder": b"big", "x/data/0": np.frombuffer(files["x/data/0"], "<f4").astype(">f4").tobytes()}
    swapped["x/data/1"] = np.frombuffer(files["x/data/1"], "<u2").astype(">u2").tobytes()
    rewritten(tmp_path / "x.pth", files | swapped)
    found = chosen(read_archive(tmp_path / "x.pth"), ema=False).tensors
    assert found["a"].read().tolist() == [1.5, -2]
    assert found["b"].read().tolist() == [1, 1, 1]


def test_holders_within_holders_without_end_take_no_time(tmp_path: Path) -> None:
    content: dict[str, Any] = {}
    content |= dict.fromkeys(("model", "net", "state_dict", "ema", "module", "weights"), content)
    torch.save(content, tmp_path / "x.pth")
    with pytest.raises(WeightsError, match="no state dict"):
        read_weights(tmp_path / "x.pth", A)


def test_holders_in_every_key_take_no_time(tmp_path: Path) -> None:
    holders = ("model", "net", "state_dict", "ema", "module", "weights")
    held: dict[str, Any] = {"x": 1}
    for _ in range(3):
        held = dict.fromkeys(holders, held)
    torch.save(
        {"features.0.bias": torch.ones(2), **{f"k{number}": held for number in range(20_000)}}, tmp_path / "x.pth"
    )
    started = time.perf_counter()
    assert chosen(read_archive(tmp_path / "x.pth"), ema=False).tensors.keys() == {"features.0.bias"}
    assert time.perf_counter() - started < 3


_TWICE = b"K\x01\x85" + b"2\x86" * 60
"""A tuple of itself twice, sixty times: 2 ** 60 ones where it is written out."""
_MODULE = b"\x80\x02ctorch.nn.modules.conv\nConv2d\n)\x81}(X\x08\x00\x00\x00_modules}%bub."
_OLD = b"\x80\x02\x8a\x0al\xfc\x9cF\xf9 j\xa8P\x19.\x80\x02"


@pytest.mark.parametrize(
    "content",
    [
        _MODULE % (b"X\x06\x00\x00\x00stride" + _TWICE),
        _MODULE % (b"X\x1b\x00\x00\x00_non_persistent_buffers_setcbuiltins\nset\n](" + _TWICE + b"e\x85R"),
        _OLD + _TWICE + b".\x80\x02}.",
        _OLD + b"M\xe9\x03.\x80\x02}.\x80\x02}.\x80\x02](" + _TWICE + b"e." + bytes(8),
    ],
    ids=["a setting", "a set", "a version", "a key"],
)
def test_nothing_without_end_is_written_out(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "x.pth").write_bytes(content)
    with contextlib.suppress(WeightsError):
        read_weights(tmp_path / "x.pth", A)


@pytest.mark.parametrize("seed", ["D.pth", "D-whole.pth"])
def test_changed_opcodes_are_read_or_refused(seed: str, tmp_path: Path) -> None:
    """With their check sums right, so that the pickle itself is met."""
    with zipfile.ZipFile(CORPUS / seed) as archive:
        files = {entry.filename: archive.read(entry) for entry in archive.infolist()}
    name = next(name for name in files if name.endswith("data.pkl"))
    draw = random.Random(seed)
    refused = 0
    for _ in range(150):
        rewritten(tmp_path / "x", files | {name: changed(files[name], draw)})
        try:
            read_weights(tmp_path / "x", CONFIGS["D"])
        except WeightsError:
            refused += 1
    assert refused > 50
