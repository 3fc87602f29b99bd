"""The messages of Caffe's `.caffemodel` whose fields can change what a net computes, declared for protobuf."""

from functools import cache
from pathlib import Path
from typing import Any

from vggbench.errors import WeightsError

# Message -> fields as (name, number, type, repeated), numbers as in BVLC's caffe.proto. Layers and blobs are bytes, to
# be parsed one at a time; so are packed numbers, which NumPy reads a thousand times faster than one by one, and what
# changes no value when a net is evaluated (fillers).
_CONVOLUTION = (
    ("num_output", 1, "uint64", False), ("bias_term", 2, "bool", False), ("pad", 3, "uint64", True),
    ("kernel_size", 4, "uint64", True), ("group", 5, "uint64", False), ("stride", 6, "uint64", True),
    ("weight_filler", 7, "bytes", False), ("bias_filler", 8, "bytes", False), ("pad_h", 9, "uint64", False),
    ("pad_w", 10, "uint64", False), ("kernel_h", 11, "uint64", False), ("kernel_w", 12, "uint64", False),
    ("stride_h", 13, "uint64", False), ("stride_w", 14, "uint64", False), ("engine", 15, "int32", False),
    ("axis", 16, "int64", False), ("force_nd_im2col", 17, "bool", False), ("dilation", 18, "uint64", True),
)  # fmt: skip
_POOLING = (
    ("pool", 1, "int32", False), ("kernel_size", 2, "uint64", False), ("stride", 3, "uint64", False),
    ("pad", 4, "uint64", False), ("kernel_h", 5, "uint64", False), ("kernel_w", 6, "uint64", False),
    ("stride_h", 7, "uint64", False), ("stride_w", 8, "uint64", False), ("pad_h", 9, "uint64", False),
    ("pad_w", 10, "uint64", False), ("engine", 11, "int32", False), ("global_pooling", 12, "bool", False),
    ("round_mode", 13, "int32", False),
)  # fmt: skip
_TRANSFORMATION = (
    ("scale", 1, "float", False), ("mirror", 2, "bool", False), ("crop_size", 3, "uint64", False),
    ("mean_file", 4, "bytes", False), ("mean_value", 5, "float", True), ("force_color", 6, "bool", False),
    ("force_gray", 7, "bool", False),
)  # fmt: skip
_PARAMETERS = (
    # message, name of the field, its number in a layer of the old generation (0: not there) and of the new
    ("Convolution", "convolution_param", 10, 106),
    ("Dropout", "dropout_param", 12, 108),
    ("InnerProduct", "inner_product_param", 17, 117),
    ("LRN", "lrn_param", 18, 118),
    ("Pooling", "pooling_param", 19, 121),
    ("ReLU", "relu_param", 30, 123),
    ("Softmax", "softmax_param", 39, 125),
    ("Transformation", "transform_param", 36, 100),
    ("Data", "data_param", 11, 107),
    ("ImageData", "image_data_param", 15, 115),
    ("Data", "window_data_param", 20, 129),
    ("BatchNorm", "batch_norm_param", 0, 139),
    ("Scale", "scale_param", 0, 142),
    ("Flatten", "flatten_param", 0, 135),
)
_MESSAGES: dict[str, tuple[tuple[str, int, str, bool], ...]] = {
    "Net": (("input", 3, "bytes", True), ("layers", 2, "bytes", True), ("layer", 100, "bytes", True)),
    "V1Layer": (
        ("older", 1, "bytes", False), ("bottom", 2, "bytes", True), ("top", 3, "bytes", True),
        ("name", 4, "bytes", False), ("type", 5, "int32", False), ("blobs", 6, "bytes", True),
        ("include", 32, "Rule", True),
        *((field, number, message, False) for message, field, number, _ in _PARAMETERS if number),
    ),
    "Layer": (
        ("name", 1, "bytes", False), ("type", 2, "bytes", False), ("bottom", 3, "bytes", True),
        ("top", 4, "bytes", True), ("blobs", 7, "bytes", True), ("include", 8, "Rule", True),
        ("phase", 10, "int32", False),
        *((field, number, message, False) for message, field, _, number in _PARAMETERS),
    ),
    "Blob": (
        ("num", 1, "int32", False), ("channels", 2, "int32", False), ("height", 3, "int32", False),
        ("width", 4, "int32", False), ("data", 5, "bytes", True), ("shape", 7, "Shape", False),
        ("double_data", 8, "bytes", True),
    ),
    "LooseBlob": (("data", 5, "float", True), ("double_data", 8, "double", True)),
    "Shape": (("dim", 1, "int64", True),),
    "Convolution": _CONVOLUTION,
    "Pooling": _POOLING,
    "Transformation": _TRANSFORMATION,
    "InnerProduct": (
        ("num_output", 1, "uint64", False), ("bias_term", 2, "bool", False), ("weight_filler", 3, "bytes", False),
        ("bias_filler", 4, "bytes", False), ("axis", 5, "int64", False), ("transpose", 6, "bool", False),
    ),
    "LRN": (
        ("local_size", 1, "uint64", False), ("alpha", 2, "float", False), ("beta", 3, "float", False),
        ("norm_region", 4, "int32", False), ("k", 5, "float", False), ("engine", 6, "int32", False),
    ),
    "ReLU": (("negative_slope", 1, "float", False), ("engine", 2, "int32", False)),
    "Softmax": (("engine", 1, "int32", False), ("axis", 2, "int64", False)),
    "Dropout": (("dropout_ratio", 1, "float", False), ("scale_train", 2, "bool", False)),  # the second in forks
    "Rule": (("phase", 1, "int32", False),),
    "Data": (("scale", 2, "float", False), ("mean_file", 3, "bytes", False)),
    "ImageData": (("scale", 2, "float", False), ("mean_file", 3, "bytes", False), ("is_color", 11, "bool", False)),
    "BatchNorm": (
        ("use_global_stats", 1, "bool", False), ("moving_average_fraction", 2, "float", False),
        ("eps", 3, "float", False),
    ),
    "Scale": (
        ("axis", 1, "int64", False), ("num_axes", 2, "int64", False), ("filler", 3, "bytes", False),
        ("bias_term", 4, "bool", False), ("bias_filler", 5, "bytes", False),
    ),
    "Flatten": (("axis", 1, "int64", False), ("end_axis", 2, "int64", False)),
}  # fmt: skip
PARAMETERS = {field: message for message, field, _, _ in _PARAMETERS}
"""The fields of a layer that hold settings, and their messages."""
_MORE_ALLOWED = ("Data", "ImageData")
"""Settings with more fields, which matter to training and to running alone."""


def parsed(kind: str, data: bytes, path: Path) -> Any:
    """A message of this kind. Raises WeightsError."""
    from google.protobuf.message import DecodeError

    try:
        return _classes()[kind].FromString(data)
    except DecodeError as error:
        raise WeightsError(
            f"{path} is no whole Caffe model (no {kind} message): expected a .caffemodel. Copy or download it again."
        ) from error


def unknown_field(kind: str, message: Any) -> int | None:
    """The number of a field that is not declared here and could change a value, if the message has one."""
    from google.protobuf.unknown_fields import UnknownFieldSet

    if kind in _MORE_ALLOWED:
        return None
    return next((int(unknown.field_number) for unknown in UnknownFieldSet(message)), None)


@cache
def _classes() -> dict[str, Any]:
    """Message classes from `_MESSAGES`."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    file = descriptor_pb2.FileDescriptorProto(name="vggbench_caffe.proto", package="vggbench_caffe", syntax="proto2")
    for message, fields in _MESSAGES.items():
        declared = file.message_type.add(name=message)
        for name, number, kind, repeated in fields:
            field = declared.field.add(name=name, number=number, label=3 if repeated else 1)
            if kind in _MESSAGES:
                field.type, field.type_name = 11, f".vggbench_caffe.{kind}"
            else:
                field.type = descriptor_pb2.FieldDescriptorProto.Type.Value(f"TYPE_{kind.upper()}")
                if repeated and kind != "bytes":
                    field.options.packed = True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"vggbench_caffe.{name}"))
        for name in _MESSAGES
    }
