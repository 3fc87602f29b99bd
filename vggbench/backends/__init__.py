"""What runs the network: a model on a device, by PyTorch or by ONNX Runtime, uint8 images -> score map."""

from vggbench.backends.backend import Backend
from vggbench.backends.choice import BACKENDS, RUN_NAMES, Asked, BackendName, choose, start
from vggbench.backends.devices import (
    AUTOCAST,
    Precision,
    allow_tf32,
    device_name,
    pick_device,
    precisions,
    views_that_fit,
)

__all__ = [
    "AUTOCAST", "BACKENDS", "RUN_NAMES", "Asked", "Backend", "BackendName", "Precision", "allow_tf32", "choose",
    "device_name", "pick_device", "precisions", "start", "views_that_fit",
]  # fmt: skip
