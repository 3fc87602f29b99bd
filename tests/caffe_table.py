"""caffe.proto, attribute by attribute: what is tried in place of what a net says, and what is expected of its file."""

from typing import Any, NamedTuple

from caffe_nets import BGR_MEAN

NO_EFFECT, RIGHT = "no effect", "right"
"""Read, with the scores of the unchanged net; read, with the other scores that the changed description has."""


class Row(NamedTuple):
    """A layer, what is said of it instead (None: nothing), and NO_EFFECT, RIGHT, or a word of the refusal."""

    layer: str
    settings: dict[str, Any]
    expected: str


def _rows(layer: str, parameter: str, table: dict[str, list[dict[str, Any]]]) -> list[Row]:
    return [Row(layer, {parameter: said}, expected) for expected, tried in table.items() for said in tried]


TABLE = [
    *_rows("conv3_2", "convolution_param", {
        NO_EFFECT: [
            {"pad": [1, 1]}, {"pad": None, "pad_h": 1, "pad_w": 1}, {"kernel_size": [3, 3]}, {"bias_term": 1},
            {"kernel_size": None, "kernel_h": 3, "kernel_w": 3}, {"stride": 1}, {"stride": [1, 1]},
            {"stride_h": 1, "stride_w": 1}, {"dilation": 1}, {"dilation": [1, 1]}, {"group": 1}, {"axis": 1},
            {"axis": -3}, {"engine": 0}, {"engine": 1}, {"engine": 2}, {"force_nd_im2col": 1}, {"weight_filler": b""},
        ],
        "padding": [
            {"pad": None}, {"pad": 0}, {"pad": 2}, {"pad": [1, 0]}, {"pad": [0, 1]}, {"pad": [1, 1, 1]},
            {"pad": None, "pad_h": 1}, {"pad": None, "pad_w": 1}, {"pad": None, "pad_h": 2, "pad_w": 1},
        ],
        "pad_h": [{"pad_h": 1, "pad_w": 1}],
        "kernel": [
            {"kernel_size": 1}, {"kernel_size": 5}, {"kernel_size": [3, 1]}, {"kernel_size": None, "kernel_h": 3},
            {"kernel_h": 3, "kernel_w": 3},
        ],
        "stride": [{"stride": 2}, {"stride": [1, 2]}, {"stride_h": 2, "stride_w": 1}, {"stride_h": 1}, {"stride": 0}],
        "dilation": [{"dilation": 2}, {"dilation": [1, 2]}, {"dilation": [2, 1]}, {"dilation": 0}],
        "groups": [{"group": 2}, {"group": 0}],
        "bias_term": [{"bias_term": 0}],
        "outputs": [{"num_output": 9}, {"num_output": 1}],
        "axis": [{"axis": 0}, {"axis": 2}, {"axis": -1}],
        "99": [{"unknown": 1}],
    }),
    *_rows("pool3", "pooling_param", {
        NO_EFFECT: [
            {"pool": None}, {"pad": 0}, {"pad_h": 0, "pad_w": 0}, {"kernel_size": None, "kernel_h": 2, "kernel_w": 2},
            {"stride": None, "stride_h": 2, "stride_w": 2}, {"global_pooling": 0}, {"round_mode": 0}, {"engine": 1},
        ],
        "method": [{"pool": 1}, {"pool": 2}, {"pool": 3}],
        "kernel": [
            {"kernel_size": 1}, {"kernel_size": 3}, {"kernel_size": None}, {"kernel_h": 2, "kernel_w": 2},
            {"kernel_size": None, "kernel_h": 2, "kernel_w": 3}, {"kernel_size": None, "kernel_h": 2},
        ],
        "stride": [
            {"stride": None}, {"stride": 1}, {"stride": 3}, {"stride": None, "stride_h": 2, "stride_w": 1},
            {"stride_h": 2, "stride_w": 2},
        ],
        "pad": [{"pad": 1}, {"pad_h": 1, "pad_w": 0}, {"pad_h": 0, "pad_w": 1}, {"pad": 0, "pad_h": 1, "pad_w": 1}],
        "global pooling": [{"global_pooling": 1}, {"global_pooling": 1, "kernel_size": None, "stride": None}],
        "rounds": [{"round_mode": 1}],
        "round_mode": [{"round_mode": 2}],
        "99": [{"unknown": 1}],
    }),
    *_rows("relu_conv3_1", "relu_param", {
        NO_EFFECT: [{}, {"negative_slope": 0.0}, {"engine": 2}],
        "negative slope": [{"negative_slope": 0.1}, {"negative_slope": 1.0}, {"negative_slope": -0.1}],
        "99": [{"unknown": 1}],
    }),
    *_rows("fc7", "inner_product_param", {
        NO_EFFECT: [{"bias_term": 1}, {"axis": 1}, {"transpose": 0}, {"weight_filler": b""}],
        RIGHT: [{"transpose": 1}],
        "outputs": [{"num_output": 9}],
        "bias_term": [{"bias_term": 0}],
        "axis": [{"axis": 0}, {"axis": 2}],
        "99": [{"unknown": 1}],
    }),
    *_rows("drop_fc6", "dropout_param", {
        NO_EFFECT: [{"dropout_ratio": 0.9}, {"dropout_ratio": None}, {"scale_train": 1}],
        "scale_train": [{"scale_train": 0}],
        "99": [{"unknown": 1}],
    }),
    *_rows("prob", "softmax_param", {
        NO_EFFECT: [{"axis": None}, {"engine": 2}],
        "axis": [{"axis": 0}, {"axis": 2}, {"axis": -1}],
        "99": [{"unknown": 1}],
    }),
]  # fmt: skip
"""Rows for a net as deploy.prototxt has it, in both generations."""
LRN_TABLE = _rows("norm1", "lrn_param", {
    NO_EFFECT: [{"norm_region": 0}, {"engine": 1}],
    "size": [{"local_size": 3}, {"local_size": 7}, {"local_size": 4}],
    "alpha": [{"alpha": 1e-4}, {"alpha": None}, {"alpha": 1e-3}],
    "beta": [{"beta": 0.5}],
    "k": [{"k": 1.0}, {"k": None}],
    "region": [{"norm_region": 1}],
    "99": [{"unknown": 1}],
})  # fmt: skip
NORM_TABLE = [
    *_rows("conv3_2_bn", "batch_norm_param", {
        NO_EFFECT: [{}, {"use_global_stats": 1}, {"moving_average_fraction": 0.9}, {"eps": 1e-5}],
        RIGHT: [{"eps": 0.1}, {"eps": 1e-3}],
        "use_global_stats": [{"use_global_stats": 0}],
        "99": [{"unknown": 1}],
    }),
    *_rows("conv3_2_s", "scale_param", {
        NO_EFFECT: [{"axis": 1}, {"num_axes": 1}, {"filler": b""}],
        "axis": [{"axis": 2}, {"axis": 0}],
        "num_axes": [{"num_axes": 0}, {"num_axes": 2}, {"num_axes": -1}],
        "bias_term": [{"bias_term": 0}, {"bias_term": None}],
        "99": [{"unknown": 1}],
    }),
    Row("conv3_2_bn", {"phase": 0, "batch_norm_param": {"use_global_stats": 0}}, NO_EFFECT),
    Row("conv3_2_bn", {"include": {"phase": 0}}, NO_EFFECT),
]  # fmt: skip
INPUT_TABLE = [
    *_rows("data", "transform_param", {
        NO_EFFECT: [
            {"scale": 1.0}, {"crop_size": 227}, {"crop_size": None}, {"mirror": 0}, {"mirror": None},
            {"force_color": 1}, {"force_gray": 0},
        ],
        RIGHT: [
            {"scale": 0.5}, {"scale": 2.0}, {"mean_value": [110.0]}, {"mean_value": None},
            {"mean_value": list(BGR_MEAN[::-1])}, {"mean_value": [93.594, 104.7624, 129.1863]},
            {"mean_value": None, "scale": 1 / 256},
        ],
        "scale": [{"scale": 0.0}, {"scale": -1.0}],
        "means": [{"mean_value": [100.0, 110.0]}, {"mean_value": [1.0, 2.0, 3.0, 4.0]}],
        "mean image": [{"mean_file": "m.binaryproto"}, {"mean_value": None, "mean_file": "m.binaryproto"}],
        "force_gray": [{"force_gray": 1}],
        "99": [{"unknown": 1}],
    }),
    *_rows("data", "data_param", {
        NO_EFFECT: [
            {"source": "x"}, {"batch_size": 1}, {"backend": 0}, {"crop_size": 2}, {"mirror": 1}, {"rand_skip": 9},
            {"scale": 1.0},
        ],
        RIGHT: [{"scale": 0.5}],
        "mean image": [{"mean_file": "m.binaryproto"}],
    }),
    Row("data", {"transform_param": None}, RIGHT),
    Row("data", {"transform_param": {"scale": 0.5}, "data_param": {"scale": 0.25}}, "scale"),
    Row("data", {"type": "ImageData", "image_data_param": {"new_height": 9, "new_width": 9, "shuffle": 1}}, NO_EFFECT),
    Row("data", {"type": "ImageData", "image_data_param": {"is_color": 0}}, "is_color"),
    Row("data", {"type": "ImageData", "image_data_param": {"is_color": 1}, "data_param": {"scale": 0.5}}, NO_EFFECT),
    Row("data", {"type": "ImageData", "image_data_param": {"scale": 0.5}}, RIGHT),
    Row("data", {"type": "WindowData"}, NO_EFFECT),
    Row("data", {"type": "MemoryData"}, "RGB or BGR"),
]  # fmt: skip
