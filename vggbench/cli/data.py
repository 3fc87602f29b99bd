"""The work of `data`: open, look, print, and fail where an evaluation would be refused."""

from vggbench.cli.progress import VerifyProgress
from vggbench.data import open_data
from vggbench.errors import DataError, UnreadableImages, counted
from vggbench.images.inspection import Inspection, inspect
from vggbench.render.tables.data import classes_table, data_table
from vggbench.render.tables.table import Table


def look(path: str, ground_truth: str | None, *, verify: bool, workers: int | None) -> Inspection:
    """What is at `path`."""
    data = open_data(path, ground_truth)
    with VerifyProgress(len(data) if verify else 0) as progress:
        return inspect(data, verify=verify, workers=workers, tell=progress.update)


def table(found: Inspection, *, classes: bool) -> Table:
    """The facts, or the classes."""
    return classes_table(found) if classes else data_table(found)


def require_fit(found: Inspection) -> None:
    """Raise DataError where an evaluation would be refused."""
    problems = found.problems
    if problems:
        image, why = problems[0]
        raise UnreadableImages(
            f"{len(problems):,} of the {len(found.looked):,} images looked at {'is' if len(problems) == 1 else 'are'} "
            f"wrong, the first {image}, which {why}. Expected images that decode without a complaint: copy or download "
            "them again. An evaluation counts those that libjpeg only complains of, and names them; the others it "
            "leaves out with --skip-bad-images."
        )
    if found.unknown_wnids:
        raise DataError(
            f"{counted(len(found.unknown_wnids), 'class')} outside ILSVRC-2012's 1,000, the first "
            f"{found.unknown_wnids[0]!r}: expected those alone, since nets of the 1,000 refuse any other. Take the "
            "folders out."
        )
