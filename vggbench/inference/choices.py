"""The words by which devices, precisions and backends are asked for; importing them imports nothing else."""

from typing import Literal

DEVICE = r"auto|(cpu|cuda|mps)(:\d{1,3})?"
Precision = Literal["fp32", "tf32", "bf16", "fp16"]
BackendName = Literal["pytorch", "pytorch+compile", "onnxruntime"]
"""What a run's signature names."""
Asked = Literal["auto", "onnxruntime", "pytorch"]
"""What --backend takes."""
