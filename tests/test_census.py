"""What a data set is made of, counted."""

from dataclasses import replace
from typing import Any

from test_tables import pets

from vggbench.images.headers import Header
from vggbench.images.inspection import Inspection, Looked
from vggbench.results.census import census

SIDES = (63, 64, 224, 225, 3000)


def inspected() -> Inspection:
    headers: list[Any] = [
        Header(side, 5000, "RGB" if side < 1000 else "L", "JPEG", oriented=side == 64) for side in SIDES
    ]
    looked = [Looked(place, header) for place, header in enumerate(headers)] + [Looked(5, None, "is no image")]
    return Inspection(pets(7), tuple(looked), verified=True)


def test_of_headers() -> None:
    found = census(inspected())
    assert found.pixels
    assert (dict(found.pixels.modes), found.pixels.turned) == ({"RGB": 4, "L": 1}, 1)
    assert found.pixels.shorter_sides == (63, 3000, 224.0)
    bins = {first: (last, count) for first, last, count in found.pixels.bins}
    assert (bins[0], bins[64], bins[224], bins[2048]) == ((63, 1), (127, 1), (255, 2), (None, 1))
    assert sum(count for _, count in bins.values()) == len(SIDES)
    assert (found.looked, found.decoded, len(found.problems)) == (6, 5, 1)


def test_of_classes() -> None:
    found = census(inspected())
    assert dict(found.images) == {"cat": 3, "dog": 4}
    own = found.per_class
    assert (own.classes, own.fewest, own.most, own.median) == (2, (3, "cat"), (4, "dog"), 3.5)


def test_empty_bins_at_either_end_are_left_out() -> None:
    whole = inspected()
    found = census(replace(whole, looked=whole.looked[2:4]))
    assert found.pixels
    assert found.pixels.bins == ((224, 255, 2),)
    assert census(replace(whole, looked=whole.looked[5:])).pixels is None
