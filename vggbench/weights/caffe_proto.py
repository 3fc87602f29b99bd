"""The messages of Caffe's `.caffemodel` whose fields can change what a net computes, declared for protobuf."""

from functools import cache
from pathlib import Path
from typing import Any

from vggbench.errors import WeightsError

# Message: fields as type (`*`: repeated), name and number, as in BVLC's caffe.proto; V1Layer is of the old generation,
# and Dropout's second field of forks. Layers and blobs are bytes, to be parsed one at a time; so are packed numbers,
# which NumPy reads a thousand times faster than one by one, and what changes no value in evaluation (fillers).
_SCHEMA = """
    Net: bytes* input 3, bytes* layers 2, bytes* layer 100;
    V1Layer: bytes older 1, bytes* bottom 2, bytes* top 3, bytes name 4, int32 type 5, bytes* blobs 6,
        Rule* include 32, Convolution convolution_param 10, Dropout dropout_param 12,
        InnerProduct inner_product_param 17, LRN lrn_param 18, Pooling pooling_param 19, ReLU relu_param 30,
        Softmax softmax_param 39, Transformation transform_param 36, Data data_param 11,
        ImageData image_data_param 15, Data window_data_param 20;
    Layer: bytes name 1, bytes type 2, bytes* bottom 3, bytes* top 4, bytes* blobs 7, Rule* include 8, int32 phase 10,
        Convolution convolution_param 106, Dropout dropout_param 108, InnerProduct inner_product_param 117,
        LRN lrn_param 118, Pooling pooling_param 121, ReLU relu_param 123, Softmax softmax_param 125,
        Transformation transform_param 100, Data data_param 107, ImageData image_data_param 115,
        Data window_data_param 129, BatchNorm batch_norm_param 139, Scale scale_param 142, Flatten flatten_param 135;
    Blob: int32 num 1, int32 channels 2, int32 height 3, int32 width 4, bytes* data 5, Shape shape 7,
        bytes* double_data 8;
    LooseBlob: float* data 5, double* double_data 8;
    Shape: int64* dim 1;
    Convolution: uint64 num_output 1, bool bias_term 2, uint64* pad 3, uint64* kernel_size 4, uint64 group 5,
        uint64* stride 6, bytes weight_filler 7, bytes bias_filler 8, uint64 pad_h 9, uint64 pad_w 10,
        uint64 kernel_h 11, uint64 kernel_w 12, uint64 stride_h 13, uint64 stride_w 14, int32 engine 15,
        int64 axis 16, bool force_nd_im2col 17, uint64* dilation 18;
    Pooling: int32 pool 1, uint64 kernel_size 2, uint64 stride 3, uint64 pad 4, uint64 kernel_h 5, uint64 kernel_w 6,
        uint64 stride_h 7, uint64 stride_w 8, uint64 pad_h 9, uint64 pad_w 10, int32 engine 11,
        bool global_pooling 12, int32 round_mode 13;
    Transformation: float scale 1, bool mirror 2, uint64 crop_size 3, bytes mean_file 4, float* mean_value 5,
        bool force_color 6, bool force_gray 7;
    InnerProduct: uint64 num_output 1, bool bias_term 2, bytes weight_filler 3, bytes bias_filler 4, int64 axis 5,
        bool transpose 6;
    LRN: uint64 local_size 1, float alpha 2, float beta 3, int32 norm_region 4, float k 5, int32 engine 6;
    ReLU: float negative_slope 1, int32 engine 2;
    Softmax: int32 engine 1, int64 axis 2;
    Dropout: float dropout_ratio 1, bool scale_train 2;
    Rule: int32 phase 1;
    Data: float scale 2, bytes mean_file 3;
    ImageData: float scale 2, bytes mean_file 3, bool is_color 11;
    BatchNorm: bool use_global_stats 1, float moving_average_fraction 2, float eps 3;
    Scale: int64 axis 1, int64 num_axes 2, bytes filler 3, bool bias_term 4, bytes bias_filler 5;
    Flatten: int64 axis 1, int64 end_axis 2;
"""
_MESSAGES = {
    name.strip(): [field.split() for field in fields.split(",")]
    for name, _, fields in (message.partition(":") for message in _SCHEMA.split(";")[:-1])
}
PARAMETERS = {name: kind for kind, name, _ in _MESSAGES["Layer"] if name.endswith("_param")}
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
            f"{path} is not a complete Caffe model (no {kind} message): expected a .caffemodel. Copy or "
            f"download it again."
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
        for type_, name, number in fields:
            kind, repeated = type_.removesuffix("*"), type_.endswith("*")
            field = declared.field.add(name=name, number=int(number), label=3 if repeated else 1)
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
