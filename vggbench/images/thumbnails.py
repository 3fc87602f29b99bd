"""Small pictures of images, for people; by Pillow alone, so that none is decoded in full."""

import io

from vggbench.data import ImageFile
from vggbench.images.headers import JPEGS, NotAnImage, eight_bits, opened, read_whole, reasons
from vggbench.images.libjpeg import complaints

_QUALITY = 80


def thumbnail(image: ImageFile, side: int) -> bytes | None:
    """A JPEG whose longer side is `side` at most; None where the image can no longer be read."""
    file = io.BytesIO()
    try:
        picture = opened(read_whole(image))
        with complaints(), reasons("cannot be decoded"):
            if picture.format in JPEGS:
                picture.draft("RGB", (2 * side, 2 * side))
            picture = eight_bits(picture).convert("RGB")
            picture.thumbnail((side, side))
            picture.save(file, "JPEG", quality=_QUALITY)
    except NotAnImage:
        return None
    return file.getvalue()
