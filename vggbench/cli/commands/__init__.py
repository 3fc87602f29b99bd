"""The commands, in the order in which --help lists them."""

from importlib import import_module

for _name in (
    "quickstart", "params", "eval", "compare", "score", "check", "locate", "explain", "reproduce", "fuse", "features",
    "probe", "report", "predict", "runs", "data", "speed", "doctor", "train", "weights", "export", "cite",
):  # fmt: skip
    import_module(f"{__name__}.{_name}")
