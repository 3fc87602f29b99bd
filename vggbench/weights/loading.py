"""Any MODEL: what it names is there, and it loads; of the paper's nets, of libraries, and of programs in files."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from vggbench.data.imagenet import wnids
from vggbench.errors import UsageError, WeightsError
from vggbench.images.preprocessing import Input, input_of_text, require_input
from vggbench.paper.configs import CROP
from vggbench.paper.protocols import TrainScale
from vggbench.store.identity import Identity
from vggbench.weights.classifiers import libraries, torchvision_nets
from vggbench.weights.description import ORDERS
from vggbench.weights.download import DownloadWatch
from vggbench.weights.load import LoadOptions, Model, load_model
from vggbench.weights.onnx import read_description
from vggbench.weights.spec import LIBRARIES, ONNX, RANDOM, AnySpec, ModelSpec, OtherSpec, parse_model
from vggbench.weights.unfetched import require_source

if TYPE_CHECKING:
    from vggbench.weights.classifiers.program import Program


def require_model(spec: AnySpec) -> None:
    """Refuse, before anything heavy, what is not there. Raises UsageError and WeightsError."""
    if isinstance(spec, ModelSpec):
        require_source(spec)
    elif spec.kind in LIBRARIES:
        libraries.require_network(spec)
    elif not (path := spec.path) or not path.is_file():
        raise WeightsError(f"There is no file {path}: expected {spec.kind}:FILE.")


def without_weights(spec: OtherSpec) -> OtherSpec:
    """The same network with random weights, where none are named: to count or to time it."""
    return replace(spec, source=RANDOM) if spec.kind in LIBRARIES and not spec.source else spec


def load_any(
    spec: AnySpec,
    options: LoadOptions,
    folders: tuple[str, ...],
    watch: DownloadWatch | None = None,
    *,
    shape_alone: bool = False,
) -> Model:
    """Load what `spec` names; a random net takes `folders`, the data's class folders, as its classes.

    `shape_alone`: nothing is fetched, and random weights stand for what would have to be. Raises as `load_model`.
    """
    if isinstance(spec, ModelSpec):
        return load_model(spec, options, folders, watch)
    if torchvision_nets.config_of(spec):
        return _as_our_own(spec, options, folders, watch)
    if spec.kind in LIBRARIES:
        built, identity = libraries.load_network(spec, folders, watch, ema=options.ema, shape_alone=shape_alone)
        if spec.path:  # what is stated of a file is heeded, whatever the library does with its own weights
            identity = _as_stated(identity, options)
        return Model(identity, built.module, spec.path, built.no_preset)
    return _program(spec, options)


def require_heeded(specs: Sequence[AnySpec], options: LoadOptions) -> None:
    """Refuse what is stated of files where there are networks of libraries alone, which state it themselves.

    Raises UsageError.
    """
    others = [spec for spec in specs if isinstance(spec, OtherSpec)]
    if len(others) < len(specs) or not specs:
        return
    stated = {"--input": options.input, "--train-scale": options.train_scale}
    option = next((name for name, value in stated.items() if value), None)
    if option and not any(spec.path for spec in others):
        raise UsageError(f"{option} with {others[0].name}, whose library states it: expected it to be left out.")
    if options.size and all(spec.kind in LIBRARIES for spec in others):
        raise UsageError(f"--size with {others[0].name}, whose library states it: expected it to be left out.")


def load_file(
    text: str, train_scale: str | None, input: str | None, watch: DownloadWatch | None = None, *, ema: bool = False
) -> Model:
    """Load the MODEL of one file or released source, with what is stated of it. Raises UsageError and WeightsError."""
    spec = parse_model(text)
    stated = TrainScale.parse(train_scale) if train_scale else None
    require_input(input)
    if spec.source == RANDOM and isinstance(spec, ModelSpec):
        raise UsageError(f"{spec.name} is no file: expected a released model such as D@oxford, or D@FILE.")
    require_model(spec)
    return load_any(spec, LoadOptions(stated, input, ema=ema), (), watch)


def _as_stated(identity: Identity, options: LoadOptions) -> Identity:
    stated = input_of_text(options.input) if options.input not in (None, *ORDERS) else None
    identity = replace(identity, train_scale=options.train_scale or identity.train_scale)
    if stated is None or stated == identity.input:
        return identity
    said = (*identity.said, "its input is as --input states it, not as its library does")
    return replace(identity, input=stated, is_published=False, said=said)


def _as_our_own(spec: OtherSpec, options: LoadOptions, folders: tuple[str, ...], watch: DownloadWatch | None) -> Model:
    """A VGG of torchvision's: the same net and weights as CONFIG@torchvision, and torchvision's own preset."""
    config = torchvision_nets.config_of(spec)
    assert config
    same = ModelSpec(config, spec.source or "torchvision")
    model = load_model(same, replace(options, otherwise="torchvision"), folders, watch)
    preset, why_not = torchvision_nets.preset_of(spec)
    said = (*model.identity.said, f"the same net and weights as {same.name}")
    own = model.with_identity(
        name=spec.name, preset=preset, is_published=bool(model.identity.released), spec=spec.in_full, said=said
    )
    return replace(own, no_preset=why_not)


def _program(spec: OtherSpec, options: LoadOptions) -> Model:
    """What a file computes, on the input that is stated of it, or that it states itself if `vggbench export` wrote it.

    Raises WeightsError, and UsageError where its input or size is not known, or stated otherwise than it says.
    """
    from vggbench.weights.classifiers.onnx_file import read_onnx
    from vggbench.weights.classifiers.pt2_file import read_pt2

    path = spec.path
    assert path
    own = read_description(path) if spec.kind == ONNX else {}
    given, names = _stated_input(spec, options, own), own.get("classes")
    program = (read_onnx if spec.kind == ONNX else read_pt2)(path, options.size or CROP)
    side = _side(spec, options, program)
    if names and len(names) != program.classes:
        raise WeightsError(f"{path} names {len(names)} classes and gives {program.classes} scores: expected equal.")
    identity = Identity(
        name=spec.name,
        input=given,
        classes=program.classes,
        class_names=tuple(map(str, names)) if names else wnids() if program.classes == len(wnids()) else None,
        weights_hash=program.sha256,
        train_scale=options.train_scale or _stated_scale(own, path),
        source=path.name,
        spec=spec.in_full,
        said=(*program.said, *(["quantised"] if program.is_quantised else [])),
        kind=spec.kind,
        side=side,
        parameters=program.parameters,
        macs=program.macs,
    )
    return Model(identity, program.module, path)


def _stated_input(spec: OtherSpec, options: LoadOptions, own: dict[str, Any]) -> Input:
    """The input by the file's own word, or else by `--input`. Raises WeightsError and UsageError."""
    path, asked = spec.path, None if options.input in (None, *ORDERS) else options.input
    stated = input_of_text(str(asked or options.otherwise)) if asked or options.otherwise else None
    if "input" in own:
        try:
            given = Input.from_dict({name: value for name, value in own["input"].items() if name != "ceil_pool"})
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise WeightsError(
                f"{path} describes its input in a way this version cannot read: expected what `vggbench export` "
                "writes. Export it again."
            ) from error
        if asked and stated != given:
            raise UsageError(
                f"{spec.name} says that it expects {given.in_full()}: --input {asked} contradicts it. Leave it out."
            )
        return given
    if stated is None:
        raise UsageError(
            f"{spec.name} does not say what it expects at its input, and a guess could give a wrong number: pass "
            "--input torchvision (RGB 0-1, mean and std), caffe, matconvnet, or order, full scale, mean and deviation "
            "such as RGB,1,0.5,0.5."
        )
    return stated


def _stated_scale(own: dict[str, Any], path: Path) -> TrainScale | None:
    """S by the file's own word. Raises WeightsError."""
    try:
        return TrainScale.parse(str(own["train_scale"])) if own.get("train_scale") else None
    except UsageError as error:
        raise WeightsError(
            f"{path} describes itself wrongly ({error}): expected what `vggbench export` wrote."
        ) from error


def _side(spec: OtherSpec, options: LoadOptions, program: "Program") -> int:
    """The side of the crops that a program takes: its own, or as stated. Raises UsageError."""
    if program.size is None:
        return options.size or CROP
    height, width = program.size
    if height != width:
        raise UsageError(f"{spec.name} takes images of {height} x {width}: expected square ones.")
    if options.size not in (None, height):
        raise UsageError(f"{spec.name} takes images of {height} x {width}: --size {options.size} contradicts it.")
    return height
