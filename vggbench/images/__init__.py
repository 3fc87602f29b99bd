"""Pixels: decode, rescale, crop, mirror, normalise; the processes that read images; what is wrong with a file."""
