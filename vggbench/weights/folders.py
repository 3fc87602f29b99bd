"""A folder as Hugging Face has it: safetensors, whole or in shards, and a `config.json` that describes the net."""

import json
import re
from pathlib import Path
from typing import Any

from vggbench.errors import UsageError, WeightsError
from vggbench.images.preprocessing import Input
from vggbench.paper.configs import STAGE_CHANNELS, config_named
from vggbench.weights.files import held_in
from vggbench.weights.held import Held

INDEX = ".safetensors.index.json"
_LARGEST = 50_000_000
"""Bytes of a JSON file: a thousand class names take some ten thousand."""
FILES = (f"model{INDEX}", "model.safetensors", "pytorch_model.bin")
"""What holds the weights of such a folder."""
_UNCHANGED = {"num_classes", "global_pool", "drop_rate", "in_chans", "pretrained"}
"""Arguments of timm's models that leave a VGG what it is, as far as `_require_usual` does not refuse their value."""


def weights_in(folder: Path) -> tuple[Path, tuple[str, ...]] | None:
    """The file, or the index of shards, that holds a folder's weights, and what was left; None where there is none.

    Where a folder has the same weights as safetensors and as a pickle, the safetensors are taken, as timm and
    transformers do. Raises WeightsError where there are several of one kind.
    """
    found = [folder / name for name in FILES if (folder / name).is_file()]
    safe = [path for path in found if path.suffix != ".bin"]
    taken = safe or found
    if len(taken) > 1:
        raise WeightsError(
            f"{folder} holds {taken[0].name} and {taken[1].name}: expected weights once. Name the file that is meant."
        )
    left = [path.name for path in found if path not in taken]
    return (taken[0], (f"{taken[0].name} of the folder, not {' or '.join(left)}",) if left else ()) if taken else None


def read_shards(index: Path) -> dict[str, Held]:
    """The tensors of all shards that an index names, each exactly once. Raises WeightsError."""
    places = _json(index).get("weight_map")
    if not isinstance(places, dict) or not all(isinstance(name, str) for name in places.values()) or not places:
        raise WeightsError(f"{index} has no weight_map: expected one, from tensors to files of its folder.")
    tensors: dict[str, Held] = {}
    for name in sorted(set(places.values())):
        if name in (".", "..") or Path(name).name != name or "\\" in name or not name.endswith(".safetensors"):
            raise WeightsError(f"{index} names {name[:80]!r}: expected .safetensors files beside it.")
        shard = held_in(index.parent / name)
        expected = {tensor for tensor, place in places.items() if place == name}
        odd = sorted(expected ^ shard.keys())
        if odd:
            where = "lacks" if odd[0] in expected else "also holds"
            raise WeightsError(
                f"{index.parent / name} {where} {odd[0][:80]!r}: expected exactly what {index.name} lists. Download "
                "all files of the folder again."
            )
        tensors |= shard
    return tensors


def description_of(folder: Path, tensors: dict[str, Held]) -> dict[str, Any]:
    """What `config.json` says of the net, in the words of our own files; {} where it says nothing of its input.

    `tensors` are by torchvision's names. Raises WeightsError for what no VGG here is, and for what
    the tensors contradict.
    """
    path = folder / "config.json"
    if not path.is_file():
        return {}
    content = _json(path)
    own = content.get("pretrained_cfg", content)
    own = own if isinstance(own, dict) else {}
    if "mean" not in own and "std" not in own:
        return {}
    try:
        return _described(content, own, tensors, path)
    except (KeyError, TypeError, ValueError, UsageError) as error:
        raise WeightsError(
            f"{path} describes a net in a way that cannot be read ({type(error).__name__}: {error}): expected timm's, "
            "with architecture, num_classes and pretrained_cfg."
        ) from error


def _described(content: dict[str, Any], own: dict[str, Any], tensors: dict[str, Held], path: Path) -> dict[str, Any]:
    _require_usual(content, own, path)
    classes = _outputs(tensors, "classifier.6.weight")
    names = content.get("label_names") or own.get("label_names")
    stated = content.get("num_classes", own.get("num_classes", classes))
    if classes and (stated != classes or (names and len(names) != classes)):
        raise WeightsError(
            f"{path} says {stated} classes" + (f" and names {len(names)}" if names else "") + f", and the last layer "
            f"has {classes}: expected equal."
        )
    net_input = Input.from_dict({"channels": "RGB", "range": 1, "mean": own["mean"], "std": own["std"]})
    return {
        "config": config_named(_architecture(content, own, path)).name,
        "width": (_outputs(tensors, "features.0.weight") or STAGE_CHANNELS[0]) / STAGE_CHANNELS[0],
        "classes": [str(name) for name in names] if names else None,
        "train_scale": None,
        "input": net_input.as_dict(),
        "ceil_pool": False,
        "foreign": True,
    }


def _outputs(tensors: dict[str, Held], name: str) -> int | None:
    """The outputs of a layer, if it is there."""
    found = tensors.get(name)
    return found.shape[0] if found and found.shape else None


def _architecture(content: dict[str, Any], own: dict[str, Any], path: Path) -> str:
    named = str(content.get("architecture", own.get("architecture", ""))).partition(".")[0]
    if not re.fullmatch(r"vgg(11|13|16|19)(_bn)?", named):
        raise WeightsError(f"{path} says that its net is {named[:80]!r}: expected one of timm's, vgg11 to vgg19_bn.")
    return named


def _require_usual(content: dict[str, Any], own: dict[str, Any], path: Path) -> None:
    """Refuse arguments that make another net, and inputs of other than three channels."""
    size = own.get("input_size", [3, 224, 224])
    arguments = content.get("model_args", {})
    odd = sorted(set(arguments) - _UNCHANGED) if isinstance(arguments, dict) else ["model_args"]
    pool = content.get("global_pool", arguments.get("global_pool", "avg") if isinstance(arguments, dict) else "avg")
    if pool not in ("avg", ""):
        odd.append(f"global_pool {pool!r:.20}")
    if odd:
        raise WeightsError(f"{path} says that its net has {odd[0][:80]} of its own: expected timm's VGG as it is.")
    if not isinstance(size, list) or size[:1] != [3]:
        raise WeightsError(f"{path} says that its net takes {size!r:.40}: expected images of three channels.")


def _json(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST:
            raise ValueError(f"more than {_LARGEST:,} bytes")
        content = json.loads(path.read_text(encoding="utf-8"))
        if not isinstance(content, dict):
            raise ValueError("no object")
    except (OSError, ValueError, RecursionError) as error:
        raise WeightsError(f"{path} is not readable JSON ({type(error).__name__}): expected an object.") from error
    return content
