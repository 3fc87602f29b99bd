"""When the paper's Table 11 may stand beside what is measured: the same set, nets, descriptors and protocol."""

from collections.abc import Mapping
from typing import Any

from vggbench.images.preprocessing import Input, Rescale
from vggbench.paper.probes import PROTOCOLS
from vggbench.paper.published import TABLE_11
from vggbench.studies.probing.descriptors import Descriptors
from vggbench.weights.released import Released, by_name

_LAYER, _POOL, _VIEWS = "fc7", "average", "dense"
_PUBLISHER = "oxford"


def paper_figure(own: Descriptors, protocol: str, is_papers: bool) -> tuple[float, ...] | None:
    """The paper's figure, with its deviation on Caltech; None of a row that is unlike the paper's in anything known.

    `is_papers`: whether the images that train and test are as in the paper. The nets are known by what released file
    their weights are, by hash.
    """
    rule = PROTOCOLS[protocol]
    is_whole = rule.is_voc or len(own) == rule.images
    if not (is_papers and is_whole and all(_is_papers(about, protocol) for about in own.about)):
        return None
    nets = sorted(str(name) for about in own.about for name in _nets(about))
    row = next((row for row in TABLE_11 if row.nets and sorted(row.nets) == nets), None)
    return row.figure(protocol) if row else None


def _is_papers(about: Mapping[str, Any], protocol: str) -> bool:
    rule = PROTOCOLS[protocol]
    return bool(
        about["layer"] == _LAYER
        and about["after_relu"]
        and about["l2"]
        and about["pool"] == _POOL
        and about["views"] == _VIEWS
        and tuple(about["scales"]) == rule.scales
        and about["over_scales"] == rule.over_scales
        and about.get("precision") == "fp32"
        and _is_usual(about.get("rescale"))
        and None not in _nets(about)
    )


def _is_usual(rescale: Any) -> bool:
    """Whether images were rescaled as by default."""
    usual = Rescale()
    given = rescale if isinstance(rescale, dict) else {}
    return (given.get("filter"), given.get("antialias")) == (usual.filter, usual.antialias)


def _nets(about: Mapping[str, Any]) -> list[str | None]:
    """The configs of the publisher's files that the weights are, None of others and of another input than theirs."""
    given = about.get("released")
    names = given if isinstance(given, list) and len(given) == len(about["models"]) else [None] * len(about["models"])
    rows = [by_name(name) if isinstance(name, str) else None for name in names]
    return [
        row.config.name if row and row.source == _PUBLISHER and _has_its_input(about, model, row) else None
        for model, row in zip(about["models"], rows, strict=True)
    ]


def _has_its_input(about: Mapping[str, Any], model: str, row: Released) -> bool:
    """Whether a net was given what its publisher says; readers turn BGR into RGB, weights and means alike."""
    given = about["input"].get(model)
    try:
        own = Input.from_dict({name: value for name, value in given.items() if name != "ceil_pool"})
    except (AttributeError, KeyError, TypeError, ValueError):
        return False
    return own.in_rgb() == row.input.in_rgb() and given.get("ceil_pool") is row.ceil_pool
