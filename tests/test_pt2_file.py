"""Programs of torch.export: equal to PyTorch's own, and files that would run something were its reader used."""

import contextlib
import copy
import json
import pickle
import random
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torchvision
from small_nets import CLASSES, SIDE, images, scores, small, write_pt2
from torch import Tensor, nn

from vggbench.errors import VggbenchError, WeightsError
from vggbench.weights.classifiers import pt2_graph, pt2_operators
from vggbench.weights.classifiers.pt2_file import read_pt2
from vggbench.weights.files import file_hash

Members = dict[str, bytes]
Json = dict[str, Any]


@pytest.fixture(scope="module")
def open_sized(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_pt2(small(), tmp_path_factory.mktemp("pt2") / "small.pt2")


def members_of(path: Path) -> Members:
    with zipfile.ZipFile(path) as archive:
        return {name.partition("/")[2]: archive.read(name) for name in archive.namelist()}


def write_members(path: Path, members: Members, compression: int = zipfile.ZIP_STORED) -> Path:
    with zipfile.ZipFile(path, "w", compression) as archive:
        for name, content in members.items():
            archive.writestr(f"net/{name}", content)
    return path


def rewritten(source: Path, change: Callable[[Json], object], member: str = "models/model.json") -> Path:
    """The archive with a part of its JSON changed, and all check sums right."""
    members = members_of(source)
    content = json.loads(members[member])
    change(content)
    members[member] = json.dumps(content).encode()
    return write_members(source.with_name("rewritten.pt2"), members)


def graph_of(program: Json) -> Json:
    graph: Json = program["graph_module"]["graph"]
    return graph


# What is read runs as PyTorch runs it


@pytest.mark.thorough
@pytest.mark.parametrize("decomposed", [False, True])
@pytest.mark.parametrize("name", ["resnet18", "squeezenet1_1"])
def test_scores_are_pytorchs_to_the_bit(name: str, decomposed: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = getattr(torchvision.models, name)(num_classes=7).eval()
    program = torch.export.export(net, (images(2, 64),), dynamic_shapes=({0: torch.export.Dim.AUTO},))
    path = tmp_path / "net.pt2"
    torch.export.save(program.run_decompositions() if decomposed else program, path)
    found = read_pt2(path)
    given = images(3, 64)
    assert torch.equal(scores(found.module, given), scores(torch.export.load(path).module(), given))
    assert torch.allclose(scores(found.module, given), scores(net, given), atol=1e-5)
    assert (found.size, found.batch, found.classes, found.said) == ((64, 64), None, 7, ())
    assert found.parameters == sum(parameter.numel() for parameter in net.parameters())
    assert found.sha256 == file_hash(path)
    assert not found.is_quantised


def test_sizes_that_the_file_leaves_open(open_sized: Path) -> None:
    found = read_pt2(open_sized, SIDE)
    assert (found.size, found.batch, found.said) == (None, None, ())
    for count, side in ((1, 24), (5, 30), (2, 33)):
        assert torch.equal(scores(found.module, images(count, side)), scores(small(), images(count, side)))


def test_a_batch_that_the_file_fixes(tmp_path: Path) -> None:
    found = read_pt2(write_pt2(small(), tmp_path / "small.pt2", fixed=True))
    assert (found.size, found.batch) == ((SIDE, SIDE), 2)
    assert found.said == ("batches of 2, as its file fixes them: the last is padded, and the padding discarded",)
    assert torch.allclose(scores(found.module, images(5)), scores(small(), images(5)), atol=1e-6)
    with pytest.raises(WeightsError, match="takes images of 24 x 24: expected those, found 32 x 32"):
        found.module(images(1, 32))


def test_macs_are_those_of_convolutions_and_matrices(open_sized: Path) -> None:
    maps = (SIDE // 2) ** 2
    assert read_pt2(open_sized, SIDE).macs == maps * 8 * 9 * (3 + 8) + 8 * CLASSES


@pytest.mark.parametrize("decomposed", [False, True])
def test_macs_of_attention_are_counted_in_either_form(decomposed: bool, tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = torchvision.models.VisionTransformer(32, 16, 1, 2, 16, 32, num_classes=3).eval()
    path = tmp_path / "net.pt2"
    program = torch.export.export(net, (images(1, 32),))
    torch.export.save(program.run_decompositions() if decomposed else program, path)
    tokens = 4 + 1
    layer = tokens * (4 * 16 * 16 + 2 * 16 * 32) + 2 * tokens * tokens * 16
    assert read_pt2(path).macs == 4 * 16 * 3 * 16 * 16 + layer + 16 * 3


class Branching(nn.Module):
    """Another network at each kind of size."""

    def forward(self, pixels: Tensor) -> Tensor:
        found = pixels[:, :, ::2].mean((2, 3))
        if pixels.shape[2] % 2 == 0:
            found = found * 2
        if pixels.shape[2] == pixels.shape[3]:
            found = found + 3
        return found


def test_a_branch_is_taken_for_no_other_size(tmp_path: Path) -> None:
    """The exporter keeps one branch: PyTorch refuses other sizes by code in the file, which is read as data here."""
    found = read_pt2(write_pt2(Branching(), tmp_path / "net.pt2"), SIDE)
    assert torch.allclose(scores(found.module, images(2, 30)), scores(Branching(), images(2, 30)))
    with pytest.raises(WeightsError, match=r"was exported for sizes for which .* % 2\) == 0"):
        found.module(images(2, 31))
    with pytest.raises(WeightsError, match="was exported for sides that are multiples of one number"):
        found.module(images(2, 30)[:, :, :28])


def test_ranges_and_multiples_are_kept(tmp_path: Path) -> None:
    side = torch.export.Dim("side", min=4, max=10)
    count = torch.export.Dim("count", max=3)
    net = nn.Sequential(nn.PixelUnshuffle(2), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    path = tmp_path / "net.pt2"
    torch.export.save(
        torch.export.export(net, (images(2, 16),), dynamic_shapes=({0: count, 2: 2 * side, 3: 2 * side},)), path
    )
    with pytest.raises(WeightsError, match="exported for sides from 8 to 20 in steps of 2"):
        read_pt2(path, SIDE)
    found = read_pt2(path, 16)
    three_batches = scores(found.module, images(7, 20))
    assert torch.allclose(three_batches, scores(net, images(7, 20)), atol=1e-6)
    with pytest.raises(WeightsError, match="exported for sides from 8 to 20 in steps of 2"):
        found.module(images(2, 15))


def test_probabilities_become_their_logarithms(tmp_path: Path) -> None:
    found = read_pt2(write_pt2(small(nn.Softmax(1)), tmp_path / "net.pt2"), SIDE)
    assert found.said == ("its outputs are probabilities: their logarithms are taken as scores",)
    assert torch.allclose(scores(found.module, images(4)), scores(small(), images(4)).log_softmax(1), atol=1e-5)
    found = read_pt2(write_pt2(small(nn.LogSoftmax(1)), tmp_path / "net.pt2"), SIDE)
    assert found.said == ()
    assert torch.allclose(scores(found.module, images(4)), scores(small(), images(4)).log_softmax(1), atol=1e-5)


def test_probabilities_that_are_zero_have_a_logarithm(tmp_path: Path) -> None:
    class Sure(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            return nn.functional.one_hot(pixels.flatten(1)[:, :4].argmax(1) % 4, 4).float()

    found = scores(read_pt2(write_pt2(Sure(), tmp_path / "net.pt2", fixed=True)).module, images(3))
    assert bool(found.isfinite().all())
    assert torch.allclose(found.softmax(1), scores(Sure(), images(3)))


def test_outputs_between_0_and_1_are_said_to_be_scores(tmp_path: Path) -> None:
    found = read_pt2(write_pt2(small(nn.Sigmoid()), tmp_path / "net.pt2"), SIDE)
    assert "do not sum to 1" in found.said[0]
    assert torch.equal(scores(found.module, images(2)), scores(small(nn.Sigmoid()), images(2)))


def test_maps_of_scores(tmp_path: Path) -> None:
    net = nn.Sequential(nn.Conv2d(3, CLASSES, 5, 4)).eval()
    found = read_pt2(write_pt2(net, tmp_path / "net.pt2"), SIDE)
    assert found.classes == CLASSES
    assert torch.equal(scores(found.module, images(2, 33)), scores(net, images(2, 33)))


def test_an_output_of_half_precision_is_cast(tmp_path: Path) -> None:
    class Half(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small().half()

        def forward(self, pixels: Tensor) -> Tensor:
            found: Tensor = self.net(pixels.half())
            return found

    found = scores(read_pt2(write_pt2(Half().eval(), tmp_path / "net.pt2"), SIDE).module, images(2))
    assert found.dtype == torch.float32
    assert torch.equal(found, scores(Half().eval(), images(2)).float())


def test_images_of_half_precision_are_cast(tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(small().half(), (images(2).half(),)), path)
    assert torch.allclose(scores(read_pt2(path).module, images(2)), scores(small(), images(2)), atol=0.05)


def test_graphs_within(tmp_path: Path) -> None:
    class Within(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.net = small()

        def forward(self, pixels: Tensor) -> Tensor:
            with torch.no_grad():
                first = self.net(pixels)
            with torch.autocast("cpu", torch.bfloat16, enabled=False):
                second = first * torch.arange(CLASSES, dtype=torch.float32, device=pixels.device)
            found: Tensor = torch.split(second, 3, 1)[0]
            return found

    found = read_pt2(write_pt2(Within().eval(), tmp_path / "net.pt2"), SIDE).module
    assert torch.equal(scores(found, images(2)), scores(Within().eval(), images(2)))


class Factory(nn.Module):
    """A device that is written into the program."""

    def __init__(self) -> None:
        super().__init__()
        self.net = small()

    def forward(self, pixels: Tensor) -> Tensor:
        found: Tensor = self.net(pixels) * torch.arange(CLASSES, device="cpu") + torch.zeros(CLASSES).to("cpu")
        return found


def test_weights_and_factories_follow_the_device(tmp_path: Path) -> None:
    found = read_pt2(write_pt2(Factory().eval(), tmp_path / "net.pt2"), SIDE).module
    assert torch.equal(scores(found, images(2)), scores(Factory().eval(), images(2)))
    assert found(images(2).to("meta")).device.type == "meta"


def test_what_writes_to_its_input_leaves_ours_alone(tmp_path: Path) -> None:
    class Writes(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            return pixels.mul_(2).mean((2, 3))

    program = torch.export.export(Writes(), (images(2),))
    path = tmp_path / "net.pt2"
    torch.export.save(program, path)
    given = images(2)
    if any("user_input_mutation" in spec for spec in output_specs(path)):
        with pytest.raises(WeightsError, match="changes what it holds"):
            read_pt2(path)
    else:
        scores(read_pt2(path).module, given)
        assert torch.equal(given, images(2))


def output_specs(path: Path) -> list[Json]:
    specs: list[Json] = json.loads(members_of(path)["models/model.json"])["graph_module"]["signature"]["output_specs"]
    return specs


def test_weights_that_are_shared_are_kept_and_counted_once(tmp_path: Path) -> None:
    class Twice(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.one = nn.Linear(3, 3, bias=False)
            self.other = self.one

        def forward(self, pixels: Tensor) -> Tensor:
            found: Tensor = self.other(self.one(pixels.mean((2, 3))))
            return found

    found = read_pt2(write_pt2(Twice(), tmp_path / "net.pt2"), SIDE)
    assert found.parameters == 9
    assert sum(buffer.numel() for buffer in found.module.buffers()) == 9


def test_quantised_operators(tmp_path: Path) -> None:
    import torch.ao.quantization.fx._decomposed

    class Quantised(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.register_buffer("weight", torch.randint(-100, 100, (CLASSES, 3), dtype=torch.int8))

        def forward(self, pixels: Tensor) -> Tensor:
            take = torch.ops.quantized_decomposed.dequantize_per_tensor.default
            weight = take(self.weight, 0.02, 0, -127, 127, torch.int8)
            found: Tensor = nn.functional.linear(pixels.mean((2, 3)), weight)
            return found

    net = Quantised()
    found = read_pt2(write_pt2(net, tmp_path / "net.pt2"), SIDE)
    assert (found.is_quantised, found.parameters) == (True, 15)
    assert torch.equal(scores(found.module, images(2)), scores(net, images(2)))


# What is not a classifier in use is refused


@pytest.mark.parametrize(
    ("net", "said"),
    [
        (small().train(), "exported as for training"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Dropout()).train(), r"for training \(dropout\)"),
        (nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(3, 1)), "expected one output of scores"),
        (nn.Identity(), None),
    ],
)
def test_a_network_that_is_not_in_use(net: nn.Module, said: str | None, tmp_path: Path) -> None:
    path = write_pt2(net, tmp_path / "net.pt2", fixed=True)
    if said is None:
        assert read_pt2(path).classes == 3  # (N, 3, H, W) is a map of scores
        return
    with pytest.raises(WeightsError, match=said):
        read_pt2(path)


def test_scores_that_are_random(tmp_path: Path) -> None:
    class Random(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            return pixels.mean((2, 3)) + torch.rand_like(pixels[:, :, 0, 0])

    with pytest.raises(WeightsError, match=r"for training \(rand_like\)"):
        read_pt2(write_pt2(Random(), tmp_path / "net.pt2"))


class Whitened(nn.Module):
    """Scores that depend on the batch, without an operator that says so."""

    def forward(self, pixels: Tensor) -> Tensor:
        means = pixels.mean((2, 3)) + pixels.amax((2, 3))
        return means / means.abs().amax()


def test_scores_that_depend_on_the_batch(tmp_path: Path) -> None:
    found = read_pt2(write_pt2(Whitened(), tmp_path / "net.pt2"), SIDE)
    assert "images go one by one" in found.said[-1]
    alone = torch.cat([scores(Whitened(), one) for one in torch.split(images(4), 1)])
    assert torch.equal(scores(found.module, images(4)), alone)
    with pytest.raises(WeightsError, match="depends on the others in its batch"):
        read_pt2(write_pt2(Whitened(), tmp_path / "net.pt2", fixed=True))


def test_two_outputs_that_could_be_scores(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, pixels: Tensor) -> dict[str, Tensor]:
            return {"scores": pixels.mean((2, 3)), "others": pixels.amax((2, 3))}

    with pytest.raises(WeightsError, match=r"yields mean \(1, 3\), amax \(1, 3\): expected one output of scores"):
        read_pt2(write_pt2(Two(), tmp_path / "net.pt2"))


def test_two_inputs(tmp_path: Path) -> None:
    class Two(nn.Module):
        def forward(self, one: Tensor, other: Tensor) -> Tensor:
            return (one + other).mean((2, 3))

    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(Two(), (images(2), images(2))), path)
    with pytest.raises(WeightsError, match="takes 2 inputs"):
        read_pt2(path)


@pytest.mark.parametrize(
    ("shape", "dtype"), [((2, 1, 8, 8), torch.float32), ((2, 3, 8), torch.float32), ((2, 3, 8, 8), torch.uint8)]
)
def test_an_input_that_is_no_image(shape: tuple[int, ...], dtype: torch.dtype, tmp_path: Path) -> None:
    class Flat(nn.Module):
        def forward(self, pixels: Tensor) -> Tensor:
            return pixels.flatten(1).float()

    path = tmp_path / "net.pt2"
    torch.export.save(torch.export.export(Flat(), (torch.zeros(shape, dtype=dtype),)), path)
    with pytest.raises(WeightsError, match=r"expected images of floating point"):
        read_pt2(path)


def test_weights_that_it_writes_to(tmp_path: Path) -> None:
    """A counter, which a program in PyTorch's newer form changes by an operator alone."""

    def count(program: Json) -> None:
        graph = graph_of(program)
        node = next(node for node in graph["nodes"] if node["target"] == "torch.ops.aten.relu_.default")
        other = copy.deepcopy(node)
        other["inputs"][0]["arg"] = {"as_tensor": {"name": "p_fc_bias"}}
        other["outputs"], other["name"] = [{"as_tensor": {"name": "written"}}], "written"
        graph["nodes"].insert(0, other)

    with pytest.raises(WeightsError, match="writes to its own weights"):
        read_pt2(rewritten(write_pt2(small(), tmp_path / "net.pt2"), count), SIDE)


# Files that would run something


class Evil:
    """What pickle makes a file of."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...]]:
        return Path.touch, (self.mark,)


def pickled_weight(source: Path, mark: Path) -> Path:
    def change(config: Json) -> None:
        config["config"]["fc.bias"] |= {"use_pickle": True, "path_name": "weight_evil"}

    path = rewritten(source, change, "data/weights/model_weights_config.json")
    return write_members(path, members_of(path) | {"data/weights/weight_evil": pickled(mark)})


def pickled_constant(source: Path, mark: Path) -> Path:
    def change(config: Json) -> None:
        config["config"]["evil"] = {
            "path_name": "opaque_obj_0", "is_param": False, "use_pickle": True, "tensor_meta": None,
        }  # fmt: skip

    path = rewritten(source, change, "data/constants/model_constants_config.json")
    return write_members(path, members_of(path) | {"data/constants/opaque_obj_0": pickle.dumps(Evil(mark))})


def pickled_samples(source: Path, mark: Path) -> Path:
    return write_members(source, members_of(source) | {"data/sample_inputs/model.pt": pickled(mark)})


def pickled(mark: Path) -> bytes:
    path = mark.with_name("evil.pt")
    torch.save((Evil(mark), {}), path)
    return path.read_bytes()


def evaluated_size(source: Path, mark: Path) -> Path:
    def change(program: Json) -> None:
        sizes = graph_of(program)["tensor_values"]["linear"]["sizes"]
        sizes[0] = {"as_expr": {"expr_str": f"__import__('pathlib').Path('{mark}').touch() or 2", "hint": None}}

    return rewritten(source, change)


def evaluated_guard(source: Path, mark: Path) -> Path:
    guard = f"__import__('pathlib').Path('{mark}').touch() or True"
    return rewritten(source, lambda program: program.update(guards_code=[guard]))


def called_target(source: Path, mark: Path) -> Path:
    """Any function of PyTorch's, and of what it imports, is called by its name."""

    def change(program: Json) -> None:
        node = graph_of(program)["nodes"][-1]
        node["target"] = "torch.os.system"
        node["inputs"] = [{"name": "", "arg": {"as_string": f"touch {mark}"}, "kind": 1}]

    return rewritten(source, change)


def named_code(source: Path, mark: Path) -> Path:
    """A value's name becomes Python."""

    def change(program: Json) -> None:
        text = json.dumps(program["graph_module"])
        name = f"linear = [__import__('pathlib').Path('{mark}').touch()]; linear"
        program["graph_module"] = json.loads(text.replace('"linear"', json.dumps(name)))

    return rewritten(source, change)


EVIL: tuple[tuple[Callable[[Path, Path], Path], str | None], ...] = (
    (pickled_weight, "keeps 'fc.bias' pickled"),
    (pickled_constant, "keeps 'evil' pickled"),
    (pickled_samples, None),
    (evaluated_size, None),
    (evaluated_guard, "states the sizes of its images in a way that cannot be read"),
    (called_target, "calls 'torch.os.system'"),
    (named_code, None),
)
"""Makers of files, and what is said of each; None where what would run is not looked at, and the network runs.

PyTorch 2.14 finds what the last two would run, and does not run it.
"""


@pytest.mark.parametrize(("evil", "said"), EVIL, ids=lambda value: getattr(value, "__name__", ""))
def test_a_file_that_would_run_something_does_not(
    evil: Callable[[Path, Path], Path], said: str | None, tmp_path: Path
) -> None:
    mark = tmp_path / "ran"
    path = evil(write_pt2(small(), tmp_path / "net.pt2"), mark)
    if said:
        with pytest.raises(WeightsError, match=said):
            read_pt2(path, SIDE)
    else:
        assert torch.equal(scores(read_pt2(path, SIDE).module, images(2)), scores(small(), images(2)))
    assert not mark.exists()


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("evil", [evil for evil, _ in EVIL[:-2]], ids=lambda evil: evil.__name__)
def test_pytorchs_own_reader_runs_it(evil: Callable[[Path, Path], Path], tmp_path: Path) -> None:
    """So that the files above are evil; a release that does not is no worse, and this test can go."""
    mark = tmp_path / "ran"
    path = evil(write_pt2(small(), tmp_path / "net.pt2"), mark)
    with contextlib.suppress(Exception):  # after it ran
        torch.export.load(path).module()(images(2))
    assert mark.exists()


@pytest.mark.parametrize(
    "target",
    [
        "torch.hub.load", "torch.load", "os.system", "builtins.eval", "_operator.attrgetter", "_operator.methodcaller",
        "torch.ops.aten.__class__.__name__", "torch.ops.aten.from_file.default", "torch.ops.aten.save.default",
        "torch.ops.aten.set_.source_Tensor", "torch.ops.aten.empty.memory_format", "torch.ops.aten.add.out",
        "torch.ops.load_library.default.x", "torch.ops.c10d.send.default", "torch.ops.aten._print.default",
        "torch.ops.aten.conv2d.default.__call__", "#extension:evil", "math.__loader__.load_module", "",
        "torch.ops.aten.resize_.default", "torch.ops.aten._foreach_add_.Scalar", "torch.ops.aten.nothing.default",
        "torch.ops.aten.conv2d.nothing", "_operator.lshift", "torch.ops.inductor.add_.default",
    ],
)  # fmt: skip
def test_operators_that_are_not_called(target: str, open_sized: Path, tmp_path: Path) -> None:
    def change(program: Json) -> None:
        graph_of(program)["nodes"][-1]["target"] = target

    with pytest.raises(WeightsError, match="expected operators of PyTorch's"):
        read_pt2(rewritten(open_sized, change), SIDE)


def test_the_rule_of_operators_bites(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without it, a file could make a file: `aten.from_file` is one of PyTorch's operators."""
    mark = tmp_path / "made"

    def change(program: Json) -> None:
        node = graph_of(program)["nodes"][0]
        node["target"], node["name"] = "torch.ops.aten.from_file.default", "made"
        values = {"filename": {"as_string": str(mark)}, "shared": {"as_bool": True}, "size": {"as_int": 4}}
        node["inputs"] = [{"name": name, "arg": value, "kind": 2} for name, value in values.items()]

    path = rewritten(write_pt2(small(), tmp_path / "net.pt2"), change)
    with pytest.raises(WeightsError, match="from_file"):
        read_pt2(path, SIDE)
    assert not mark.exists()
    monkeypatch.setattr(pt2_operators, "_is_named", lambda _: True)
    monkeypatch.setattr(pt2_operators, "_is_harmless", lambda *_: True)
    with pytest.raises(WeightsError):
        read_pt2(path, SIDE)
    assert mark.exists()


def test_numbers_that_grow_without_bound(open_sized: Path) -> None:
    """2 ** (2 ** 64), by squares."""

    def change(program: Json) -> None:
        nodes = graph_of(program)["nodes"]
        for place in range(70):
            before = {"as_sym_int": {"as_name": f"n{place - 1}"} if place else {"as_int": 2}}
            part = {"name": "", "arg": before, "kind": 1}
            output = {"as_sym_int": {"as_name": f"n{place}"}}
            nodes.insert(place, {"target": "_operator.mul", "inputs": [part, part], "outputs": [output], "name": None})

    with pytest.raises(WeightsError, match="a size beyond all bounds"):
        read_pt2(rewritten(open_sized, change), SIDE)


def nest(program: Json) -> None:
    graph = graph_of(program)
    for _ in range(12):
        inner = {"as_graph": {"name": "inner", "graph": copy.deepcopy(graph)}}
        arguments = [{"as_bool": False}, inner]
        node = {
            "target": "torch.ops.higher_order.wrap_with_set_grad_enabled",
            "inputs": [{"name": "", "arg": argument, "kind": 1} for argument in arguments], "outputs": [],
        }  # fmt: skip
        graph |= {"nodes": [node]}
    program["graph_module"]["graph"] = graph


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (nest, "has more nodes than a network has"),
        (lambda program: program["schema_version"].update(major=9), "is of version 9 of PyTorch's exported programs"),
        (lambda program: graph_of(program)["nodes"][0]["inputs"][0].update(arg={"as_operator": "x"}), "'as_operator'"),
        (lambda program: program.update(guards_code=["(" * 5000]), "in a way that cannot be read"),
        (lambda program: program.update(guards_code=["9 ** 9 ** 9 == 1"]), "where arithmetic was expected"),
        (lambda program: program.update(guards_code=["open('x') == 1"]), "where arithmetic was expected"),
        (lambda program: program.update(guards_code=["1 // (L['x'].size()[2] - 24) == 1"]), "sizes for which"),
    ],
)  # fmt: skip
def test_other_programs_that_are_refused(change: Callable[[Json], object], said: str, open_sized: Path) -> None:
    with pytest.raises(WeightsError, match=said):
        read_pt2(rewritten(open_sized, change), SIDE)


# Files that are damaged, or of another kind


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "is not a complete PT2 archive"),
        (b"these are no weights\n" * 9, "is not a complete PT2 archive"),
        (b"PK\x03\x04" + bytes(100), "is not a complete PT2 archive"),
    ],
)
def test_what_is_no_archive(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "net.pt2"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=said) as refused:
        read_pt2(path)
    assert "\n" not in str(refused.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(WeightsError, match="There is no readable weights file"):
        read_pt2(tmp_path / "net.pt2")


def test_a_state_dict_is_no_program(tmp_path: Path) -> None:
    torch.save(small().state_dict(), tmp_path / "net.pt2")
    with pytest.raises(WeightsError, match="is a zip file, but not a PT2 archive"):
        read_pt2(tmp_path / "net.pt2")


def test_other_kinds_of_archive(open_sized: Path, tmp_path: Path) -> None:
    members = members_of(open_sized)
    path = tmp_path / "net.pt2"
    with pytest.raises(WeightsError, match="holds compiled code"):
        read_pt2(write_members(path, members | {"data/aotinductor/model/code.so": b"code"}))
    with pytest.raises(WeightsError, match="is of an older form"):
        read_pt2(write_members(path, members | {"serialized_state_dict.pt": b""}))
    legacy = {name: content for name, content in members.items() if "weights_config" not in name}
    with pytest.raises(WeightsError, match="is of an older form"):
        read_pt2(write_members(path, legacy | {"data/weights/model.pt": b""}))
    with pytest.raises(WeightsError, match="holds 2 programs"):
        read_pt2(write_members(path, members | {"models/other.json": b"{}"}))


def test_an_archive_that_would_inflate(open_sized: Path, tmp_path: Path) -> None:
    members = members_of(open_sized) | {"data/weights/weight_0": bytes(10**7)}
    with pytest.raises(WeightsError, match="compressed"):
        read_pt2(write_members(tmp_path / "net.pt2", members, zipfile.ZIP_DEFLATED))


@pytest.mark.parametrize(
    "meta",
    [
        {"sizes": [{"as_int": 2**40}]}, {"storage_offset": {"as_int": 1}}, {"strides": [{"as_int": 2}]},
        {"sizes": [{"as_int": 2**40}], "strides": [{"as_int": 0}]}, {"dtype": 8}, {"strides": [{"as_int": -1}]},
    ],
)  # fmt: skip
def test_a_tensor_reaches_no_other_memory(meta: Json, open_sized: Path) -> None:
    def change(config: Json) -> None:
        config["config"]["fc.bias"]["tensor_meta"] |= meta

    with pytest.raises(WeightsError, match="is not a complete PT2 archive"):
        read_pt2(rewritten(open_sized, change, "data/weights/model_weights_config.json"), SIDE)


def check(path: Path, count: int = 2) -> None:
    """Refused by a sentence, or it runs."""
    try:
        found = scores(read_pt2(path, SIDE).module, images(count))
    except VggbenchError as error:
        said = str(error)
    else:
        said = "" if len(found) == count else "\n"
    assert "\n" not in said


def test_files_that_are_cut_short_or_changed(open_sized: Path, tmp_path: Path) -> None:
    content, draw, path = open_sized.read_bytes(), random.Random(0), tmp_path / "net.pt2"
    for part in range(50):
        path.write_bytes(content[: len(content) * part // 50])
        with pytest.raises(WeightsError):
            read_pt2(path, SIDE)
    right = scores(read_pt2(open_sized, SIDE).module, images(2))
    for _ in range(100):
        damaged = bytearray(content)
        damaged[draw.randrange(len(damaged))] ^= 1 << draw.randrange(8)
        path.write_bytes(damaged)
        try:
            found = scores(read_pt2(path, SIDE).module, images(2))
        except VggbenchError:
            continue
        assert torch.equal(found, right)  # a name or a date that nothing depends on: all else has a check sum


def places(value: Any, path: tuple[Any, ...] = ()) -> Iterator[tuple[Any, ...]]:
    """Every place in some JSON."""
    for key, inner in value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ():
        yield (*path, key)
        yield from places(inner, (*path, key))


def test_json_that_is_changed(open_sized: Path) -> None:
    draw = random.Random(0)
    values: tuple[Any, ...] = (
        0,
        -1,
        3,
        2**31,
        2**63,
        1.5,
        "x",
        "Infinity",
        None,
        True,
        [],
        {},
        [1, 2],
        {"as_int": 3},
        {"as_name": "x"},
    )
    for _ in range(150):

        def change(program: Json) -> None:
            for node in graph_of(program)["nodes"]:
                node["metadata"] = {}
            *before, last = draw.choice(list(places(program)))
            parent: Any = program
            for key in before:
                parent = parent[key]
            parent[last] = copy.deepcopy(draw.choice(values))

        check(rewritten(open_sized, change))


def test_the_tables_have_no_operator_twice() -> None:
    assert not pt2_operators._PRIVATE & pt2_operators._REFUSED
    assert set(pt2_graph._READ) >= {"as_tensor", "as_int", "as_none"}
