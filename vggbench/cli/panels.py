"""Which options each command's help shows first: the five that most people need."""

from collections.abc import Sequence
from typing import Any

PANELS = (
    "Most used", "What is measured", "Recipe (defaults: the paper's, section 3.1)", "Start", "Data and weights",
    "Running", "Output",
)  # fmt: skip
"""In the order in which every command's help shows them."""
FIRST, WHAT, RECIPE, START, DATA, RUNNING, OUTPUT = PANELS

MOST_USED = {
    "params":    "--scales --cost --layers --check --format",
    "eval":      "--data --input --scales --center --dense",
    "compare":   "--data --input --scales --center --dense",
    "score":     "--data --classes --name --labels --output",
    "check":     "--data --input --center --expect --images",
    "locate":    "--theirs --own --scales --input --format",
    "explain":   "--data --input --train-scale --recipes --limit",
    "reproduce": "--data --plan --published --nets --output",
    "fuse":      "--data --input --scales --dense --shares",
    "features":  "--data --layer --scales --input --output",
    "probe":     "--protocol --test --data --costs --output",
    "report":    "--data --input --scales --dense --output",
    "predict":   "--scales --top --map --input --center",
    "runs":      "--finish --delete --posteriors --output --runs",
    "data":      "--verify --digest --classes --ground-truth --output",
    "speed":     "--batch-size --scales --backend --precision --device",
    "train":     "--data --train-scale --from --epochs --output",
}  # fmt: skip
"""The five options by command, for commands with more options than a screen shows at once."""


def ordered(command: str | None, params: Sequence[Any]) -> list[Any]:
    """Arguments, then options by panel, the most used first in the order of `MOST_USED`; moves those to their panel."""
    first = MOST_USED.get(command or "", "").split()
    places = {}
    for param in params:
        own = next((first.index(name) for name in param.opts if name in first), None)
        if own is not None and getattr(param, "rich_help_panel", None):
            param.rich_help_panel = FIRST
        panel = param.rich_help_panel
        places[id(param)] = (PANELS.index(panel) if panel else -1, own or 0)
    return sorted(params, key=lambda param: places[id(param)])
