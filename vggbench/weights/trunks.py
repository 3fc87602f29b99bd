"""Models up to a layer, which describe images: whole nets without what follows it, and convolutions that a file holds
alone or under another head."""

from dataclasses import replace

import torch

from vggbench.errors import UsageError, WeightsError
from vggbench.images.preprocessing import Input, input_of_text
from vggbench.nets.cost import Architecture
from vggbench.nets.vgg import VGG, trunk
from vggbench.paper.descriptors import Descriptor
from vggbench.store.identity import Identity
from vggbench.weights.description import ORDERS
from vggbench.weights.files import tensors_hash
from vggbench.weights.fit import frozen
from vggbench.weights.load import CEIL_POOLED, LoadOptions, Model
from vggbench.weights.parts import PartOfNetError
from vggbench.weights.spec import ModelSpec


def up_to(model: Model, descriptor: Descriptor) -> Model:
    """The same model, ending in the descriptor's layer, which it gives in place of scores. Raises UsageError."""
    if not isinstance(model.module, VGG):
        raise UsageError(
            f"{model.identity.name} is not a VGG, and its layers have other names: expected CONFIG@SOURCE such as "
            "D@oxford, or torchvision:vgg16."
        )
    return replace(model, module=trunk(model.module, descriptor.layer, after_relu=descriptor.after_relu))


def of_convolutions(found: PartOfNetError, spec: ModelSpec, options: LoadOptions, descriptor: Descriptor) -> Model:
    """The convolutions that a file holds, as a model whose fc layers have no values (meta tensors).

    Its weights are known by the hash of these tensors. Raises UsageError for a layer that needs fc layers, and where
    the input is not stated; WeightsError for another config's convolutions, and for values that are not finite.
    """
    part = found.part
    if not descriptor.is_pooling:
        raise UsageError(
            f"{found.path} {part.sentence}: expected a whole net for --layer {descriptor.layer}. Its pooling stages "
            "are all there: --layer pool5."
        )
    if part.config.name != spec.config.name and (part.config.name, spec.config.name) != ("A", "A-LRN"):
        raise WeightsError(
            f"{found.path} {part.sentence}: expected {spec.config.name}'s. Ask for {part.config.name}@{found.path}."
        )
    input = _input(found, options)
    ceil = options.input in CEIL_POOLED if found.ceil_pool is None else found.ceil_pool
    with torch.device("meta"):
        network = VGG(spec.config, 1, part.width, ceil_pool=ceil)
    tensors = {name: tensor.to(torch.float32, copy=True) for name, tensor in found.convolutions.items()}
    broken = next((name for name, tensor in tensors.items() if not tensor.isfinite().all()), None)
    if broken:
        raise WeightsError(f"{found.path} holds NaN or infinity in {broken}: expected finite weights.")
    missing = [name for name in network.features.state_dict(prefix="features.") if name not in tensors]
    if missing:
        raise WeightsError(
            f"{found.path} {part.sentence}, and {missing[0]} is not taken from a part of a net: expected a whole one."
        )
    network.load_state_dict(tensors, strict=False, assign=True)
    identity = Identity(
        name=spec.name,
        input=input,
        classes=1,
        class_names=None,
        weights_hash=tensors_hash(tensors),
        train_scale=options.train_scale,
        architecture=Architecture(spec.config, 1, part.width, ceil),
        source=spec.shown_source,
        spec=f"{spec.config.name}@{found.path.absolute()}",
        said=(f"{part.sentence}; the convolutions alone are taken",),
        averaged=options.ema,
    )
    return Model(identity, frozen(network), found.path)


def _input(found: PartOfNetError, options: LoadOptions) -> Input:
    """By the file's word, or else as it is stated. Raises UsageError, and WeightsError where these contradict."""
    stated = options.input or options.otherwise
    if found.input:
        return found.input.agreed(stated, found.path)
    if stated in (None, *ORDERS):
        raise UsageError(
            f"{found.path} holds convolutions alone and does not say what they expect at their input, and a guess "
            "could give wrong numbers: pass --input torchvision, caffe or matconvnet, or another such as RGB,1,0.5,0.5."
        )
    return input_of_text(str(stated))
