"""The environment variables that change what vggbench does. There is no configuration file."""

from typing import NamedTuple


class Variable(NamedTuple):
    """An environment variable: its name, what it sets, and what holds without it."""

    name: str
    sets: str
    default: str


# fmt: off
VARIABLES = (
    Variable("VGGBENCH_DATA",        "The images, as --data.",                            "none"),
    Variable("VGGBENCH_RUNS",        "The store of posteriors, as --runs.",               "runs"),
    Variable("VGGBENCH_CACHE",       "The folder of downloads and kept measurements.",    "the user's cache folder"),
    Variable("TORCH_HOME",           "PyTorch's folder; weights in it are used.",         "~/.cache/torch"),
    Variable("HF_HOME",              "Hugging Face's folder; timm keeps weights in it.",  "~/.cache/huggingface"),
    Variable("OMP_NUM_THREADS",      "The threads of a process.",                         "all cores"),
    Variable("CUDA_VISIBLE_DEVICES", "The GPUs that are used.",                           "all"),
    Variable("COLUMNS",              "The width of a line, in characters.",               "the terminal's width"),
    Variable("NO_COLOR",             "No colours; any value does.",                       "colours on a terminal"),
)
# fmt: on
