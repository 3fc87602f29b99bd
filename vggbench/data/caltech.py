"""The classes of Caltech-101 (Fei-Fei et al., 2004) and Caltech-256 (Griffin et al., 2007), by their folders' names."""

import re
from collections.abc import Sequence

from vggbench.errors import counted

CALTECH_101 = (
    "BACKGROUND_Google", "Faces", "Faces_easy", "Leopards", "Motorbikes", "accordion", "airplanes", "anchor", "ant",
    "barrel", "bass", "beaver", "binocular", "bonsai", "brain", "brontosaurus", "buddha", "butterfly", "camera",
    "cannon", "car_side", "ceiling_fan", "cellphone", "chair", "chandelier", "cougar_body", "cougar_face", "crab",
    "crayfish", "crocodile", "crocodile_head", "cup", "dalmatian", "dollar_bill", "dolphin", "dragonfly",
    "electric_guitar", "elephant", "emu", "euphonium", "ewer", "ferry", "flamingo", "flamingo_head", "garfield",
    "gerenuk", "gramophone", "grand_piano", "hawksbill", "headphone", "hedgehog", "helicopter", "ibis",
    "inline_skate", "joshua_tree", "kangaroo", "ketch", "lamp", "laptop", "llama", "lobster", "lotus", "mandolin",
    "mayfly", "menorah", "metronome", "minaret", "nautilus", "octopus", "okapi", "pagoda", "panda", "pigeon",
    "pizza", "platypus", "pyramid", "revolver", "rhino", "rooster", "saxophone", "schooner", "scissors", "scorpion",
    "sea_horse", "snoopy", "soccer_ball", "stapler", "starfish", "stegosaurus", "stop_sign", "strawberry",
    "sunflower", "tick", "trilobite", "umbrella", "watch", "water_lilly", "wheelchair", "wild_cat", "windsor_chair",
    "wrench", "yin_yang",
)  # fmt: skip
"""102: the paper counts the background class as one of them."""
_NUMBERED = re.compile(r"(\d{3})\.[\w.-]+")
_WANTED = {
    "caltech101": {name.lower(): name for name in CALTECH_101},
    "caltech256": {f"{number:03}": f"{number:03}.*" for number in range(1, 258)},
}
"""By what a class is known, and how it is written; the 257th class of Caltech-256 is its clutter."""


def unlike(protocol: str, classes: Sequence[str]) -> str | None:
    """How classes differ from those of `caltech101` or `caltech256`; None where they are those, in any order."""
    wanted = _WANTED[protocol]
    known = {_key(protocol, name): name for name in classes}
    lacking = [name for key, name in wanted.items() if key not in known]
    others = [name for name in classes if _key(protocol, name) not in wanted or known[_key(protocol, name)] != name]
    told = [f"without {_some(lacking)}"] if lacking else []
    told += [f"with {_some(others)}"] if others else []
    return f"{counted(len(classes), 'class')}, {' and '.join(told)}" if told else None


def _key(protocol: str, name: str) -> str:
    match = _NUMBERED.fullmatch(name) if protocol == "caltech256" else None
    return match[1] if match else name.lower()


def _some(names: Sequence[str]) -> str:
    return ", ".join(names[:3]) + (f" and {len(names) - 3} more" if len(names) > 3 else "")
