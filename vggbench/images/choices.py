"""The words by which rescaling and inputs are asked for; importing them imports nothing else."""

from typing import Literal

Filter = Literal["bilinear", "bicubic"]
"""What --filter takes."""
InputName = Literal["torchvision", "caffe", "matconvnet", "RGB", "BGR"]
"""An input by name, or the order of channels of a file that states all else; `preprocessing.input_of_text` has more."""
