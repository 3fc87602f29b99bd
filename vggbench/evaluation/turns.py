"""What is computed after what: the blocks that jobs lack, in the order of the images, and these as they are read."""

import math
from collections.abc import Iterator
from typing import NamedTuple

from vggbench.evaluation.plan import Plan
from vggbench.images.packs import Images, Loaded, Request, in_packs
from vggbench.images.preprocessing import Wanted
from vggbench.images.reading import from_workers
from vggbench.inference.transfer import Transfer


class Turn(NamedTuple):
    """A block of a job, by the places of both, and its images on the device, without those that are known."""

    job: int
    block: int
    images: list[Loaded]


def turns(plan: Plan, transfer: Transfer) -> Iterator[list[Turn]]:
    """The blocks that are missing, those of the same images together; each image is read once for all jobs.

    Runs that began elsewhere may have blocks of another size.
    """
    each = _in_order(plan)
    requests = [in_packs(_requests(plan, blocks), plan.images_of_pack) for blocks in each]
    packs = [pack for some in requests for pack in some]
    images = Images(plan.data.images, plan.settings.rescale)
    stream = from_workers(images, packs, plan.workers, pinned=transfer.pins)
    for blocks, some in zip(each, requests, strict=True):
        there = {image.position: image for _ in some for image in next(stream).unpacked(transfer.up)}
        plan.images_read += len(there)
        yield [Turn(job, block, [there[at] for at in plan.to_compute(job, block)]) for job, block in blocks]


def _in_order(plan: Plan) -> list[list[tuple[int, int]]]:
    """The missing blocks (job, block), together where they have images in common."""
    together: dict[int, list[tuple[int, int]]] = {}
    images = math.lcm(*(run.block for run in plan.runs))
    for job, (run, blocks) in enumerate(zip(plan.runs, plan.missing, strict=True)):
        for block in blocks:
            together.setdefault(block * run.block // images, []).append((job, block))
    return [together[place] for place in sorted(together)]


def _requests(plan: Plan, blocks: list[tuple[int, int]]) -> list[Request]:
    wanted: dict[int, list[Wanted]] = {}
    for job, block in blocks:
        for position in plan.to_compute(job, block):
            wanted.setdefault(position, []).append(plan.jobs[job].wanted)
    return [Request.of(position, wanted[position]) for position in sorted(wanted)]
