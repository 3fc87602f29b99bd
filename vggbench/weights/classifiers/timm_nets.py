"""timm's classifiers: built, or loaded by timm itself, and the data config that each comes with."""

from math import floor
from pathlib import Path
from typing import Any

from torch import Tensor

from vggbench.errors import UsageError
from vggbench.images.preprocessing import Input, Preset, Rescale
from vggbench.weights.classifiers.built import Built
from vggbench.weights.spec import OtherSpec

_FILTERS = ("nearest", "bilinear", "bicubic", "box", "hamming", "lanczos")


def names() -> list[str]:
    """All architectures; one with a dot and a tag is its weights of another training."""
    import timm

    return list(timm.list_models())


def knows(name: str) -> bool:
    """Whether there is such a network, with such a tag if it names one."""
    import timm

    architecture, _, tag = name.partition(".")
    return bool(timm.is_model(architecture)) and (not tag or name in timm.list_pretrained(f"{architecture}.*"))


def require_source(spec: OtherSpec) -> None:
    """Refuse a source that is no file. Raises UsageError."""
    raise UsageError(
        f"{spec.name}: there is no file {spec.source}: expected timm:{spec.network}@FILE or @random; other weights of "
        f"timm's have a tag in the name, such as timm:resnet50.a1_in1k."
    )


def pretrained(spec: OtherSpec) -> Built:
    """Load timm's weights."""
    import timm

    return _built(timm.create_model(spec.network, pretrained=True), spec)


def build(
    spec: OtherSpec, classes: int | None, *, tensors: dict[str, Tensor] | None = None, path: Path | None = None
) -> Built:
    """The network of so many classes, or of its usual ones, without weights."""
    import timm

    own = {} if classes is None else {"num_classes": classes}
    return _built(timm.create_model(spec.network, pretrained=False, **own), spec)


def renamed(spec: OtherSpec, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Tensors by timm's names, which they have."""
    return tensors


def _built(network: Any, spec: OtherSpec) -> Built:
    from timm.data import resolve_model_data_config

    how = resolve_model_data_config(network)
    channels, height, width = how["input_size"]
    classes = int(getattr(network, "num_classes", 0) or 0)
    if channels != 3 or height != width or not classes or spec.network.startswith("naflex"):
        what = "gives no scores of classes" if not classes else f"takes {channels} x {height} x {width}"
        raise UsageError(f"{spec.name} {what}: expected a classifier of square colour images of one size.")
    one, two, three = how["mean"]
    red, green, blue = how["std"]
    preset, why_not = _preset(how, network.pretrained_cfg)
    return Built(network, classes, Input("RGB", 1, (one, two, three), (red, green, blue)), height, preset, why_not)


def _preset(how: dict[str, Any], own: dict[str, Any]) -> tuple[Preset | None, str | None]:
    """What timm's evaluation transform does by this config; or why we cannot do it exactly."""
    crop, mode, filter = how["input_size"][1], how["crop_mode"], how["interpolation"]
    scale = floor(crop / how["crop_pct"])
    if mode not in ("center", "squash"):
        return None, f"timm's data config has crop mode {mode!r}, which pads with borders"
    if filter not in _FILTERS:
        return None, f"timm's data config has interpolation {filter!r}"
    if scale < crop:
        return None, f"timm's data config has crop_pct {how['crop_pct']:g}, which pads with borders"
    rescale = Rescale(filter, library="Pillow", square=mode == "squash")
    return Preset("timm's data config", scale, crop, rescale, remark=_at_test_size(how, own)), None


def _at_test_size(how: dict[str, Any], own: dict[str, Any]) -> str | None:
    """timm's results are at another size for some networks."""
    size, share = own.get("test_input_size"), own.get("test_crop_pct") or how["crop_pct"]
    if size is None or tuple(size) == tuple(how["input_size"]):
        return None
    return (
        f"timm's validate.py and inference.py take {size[1]} x {size[2]}, crop_pct {share:g}, unless --use-train-size "
        "is given"
    )
