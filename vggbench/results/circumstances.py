"""What all rows of a table share: the images, and how and by what the networks were run."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from vggbench.data import DataSet
from vggbench.evaluation.jobs import Settings
from vggbench.results.rows import Row


@dataclass(frozen=True)
class Circumstances:
    """The data, how the networks were run, and the record of each part of the work."""

    data: DataSet
    settings: Settings
    provenance: Sequence[Mapping[str, Any]]

    @property
    def ways(self) -> tuple[str, ...]:
        """What ran the networks, on which devices."""
        return tuple(dict.fromkeys(f"{entry['backend']} on {entry['device']}" for entry in self._of_ours))

    @property
    def seconds(self) -> float:
        """The seconds of forward passes."""
        return float(sum(entry["seconds"] for entry in self.provenance))

    @property
    def decoders(self) -> tuple[tuple[str | None, str | None], ...]:
        """The versions of torchvision and of Pillow that decoded, which can move a figure."""
        return tuple(dict.fromkeys((entry.get("torchvision"), entry.get("pillow")) for entry in self._of_ours))

    @property
    def _of_ours(self) -> list[Mapping[str, Any]]:
        """Without what other tools computed."""
        return [entry for entry in self.provenance if "device" in entry]


def data_name(data: DataSet) -> str:
    """The images' name, and that the sample is one."""
    if data.is_sample:
        return f"{data.name.replace('sample', 'SAMPLE', 1)} (drawn pictures)"
    return "ILSVRC-2012 val" if data.is_full_ilsvrc_val else data.name


def data_title(data: DataSet, row: Row) -> str:
    """The images, and how many of them a row is of."""
    if not row.errors:
        return data_name(data)
    skipped = f" ({row.skipped} unreadable)" if row.skipped else ""
    subset = ", a subset" if len(data) != data.total else ""
    return f"{data_name(data)}, {row.images:,} of {data.total:,} images{skipped}{subset}"
