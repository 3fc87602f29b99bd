"""The words by which a form of output is asked for; importing them imports nothing else."""

from typing import Literal

Format = Literal["table", "md", "csv", "json"]
"""What --format takes."""
