"""Which nets, or stored runs, make a fusion: the paper's by name (Table 6), any others, weighted or not."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from vggbench.errors import UsageError, nearest
from vggbench.paper.published import FUSIONS, Result
from vggbench.store.identity import Identity
from vggbench.store.runs import is_run_name

if TYPE_CHECKING:
    from vggbench.evaluation.request import Manner
    from vggbench.weights.load import Model


def split_name(words: Sequence[str]) -> tuple[Result | None, list[str]]:
    """The paper's fusion, where the first word is its name, and the words that name models or runs."""
    return (FUSIONS[words[0]], list(words[1:])) if words[0] in FUSIONS else (None, list(words))


def name_runs(root: Path, texts: Sequence[str]) -> bool:
    """Whether any of the words names a stored run rather than a model."""
    return any(is_run_name(root, text) for text in texts)


def require_fusible(texts: Sequence[str], manner: "Manner", shares: Sequence[float] | None) -> None:
    """Raise UsageError, before anything is loaded, for what cannot become one row."""
    near = nearest(texts[0], FUSIONS) if texts else []
    if near:
        raise UsageError(f"{texts[0]}: no fusion and no model has this name. Did you mean {near[0]}?")
    require_shares(shares, len(set(texts)))
    last = manner.chosen_protocols[-1]
    if not last.combines and manner.has_several_scales(last):
        raise UsageError("center and tencrop do not combine several Qs: expected one Q, or --dense or --multicrop.")
    require_several(texts, len(set(texts)))


def require_nets(
    models: "Sequence[Model]", texts: Sequence[str], shares: Sequence[float] | None, paper: Result | None
) -> None:
    """Raise UsageError unless what was loaded is several nets, as many as shares, and those of the paper's fusion."""
    require_several(texts, len(models))
    require_members([model.identity for model in models], paper)
    require_shares(shares, len(models))


def require_several(texts: Sequence[str], count: int) -> None:
    """Raise UsageError for fewer than two models."""
    if count < 2:
        raise UsageError(f"{' '.join(texts)}: expected two or more different models.")


def default_nets(paper: Result) -> list[str]:
    """Bare names, where each config is in the fusion once; raises UsageError."""
    configs = [member.config for member in paper.members]
    if len(set(configs)) < len(configs):
        raise UsageError(
            f"This fusion is of {_members(paper)}: expected a MODEL for each, such as D@d-256.safetensors; not all of "
            "them are released. `vggbench train --plan CONFIG` prints how they are trained."
        )
    return configs


def require_members(models: Sequence[Identity], paper: Result | None) -> None:
    """Raise UsageError unless the nets are those of the paper's fusion."""
    if paper is None:
        return
    wanted = sorted((member.config, member.train_scale) for member in paper.members)
    found = sorted(
        (model.architecture.config.name if model.architecture else "other", str(model.train_scale)) for model in models
    )
    if found != wanted:
        have = ", ".join(f"{config} of S={scale}" for config, scale in found)
        raise UsageError(f"Found {have}: expected {_members(paper)}. Name those, or fuse without the paper's name.")


def require_posteriors(models: Sequence[Identity]) -> None:
    """Refuse models whose five best classes alone are known. Raises UsageError."""
    for model in models:
        if model.has_five_best:
            raise UsageError(
                f"Of {model.name} only the five best classes are known, and a mean needs the probabilities of all: "
                "expected a file with all classes."
            )


def require_shares(shares: Sequence[float] | None, count: int) -> None:
    """Raise UsageError unless there are as many shares as nets, and they can be weights of a mean."""
    if shares is not None and (len(shares) != count or min(shares) < 0 or not 0 < sum(shares) < float("inf")):
        raise UsageError(
            f"--shares {' '.join(f'{share:g}' for share in shares)}: expected {count} numbers of 0 or more, one "
            f"per net."
        )


def _members(paper: Result) -> str:
    return ", ".join(f"{member.config} of S={member.train_scale}" for member in paper.members)
