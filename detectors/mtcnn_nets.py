"""P-, R- and O-Net of MTCNN ready to run: one chain of layers, built for each engine.

A runner takes (B, H, W, 3) uint8 BGR, B >= 1, and gives (B, channels, h, w) float32.
"""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from detectors.mtcnn_layers import GEOMETRY, Layer, NetName, layers_of, read_weights
from detectors.pyramid import CELL, STRIDE
from engines.choose import ON_CPU, Way, installed, require, ways
from engines.onnxruntime_engine import open_session
from engines.openvino_engine import CompiledNetwork
from engines.pieces import pieces, try_gpu
from engines.tensorflow_engine import start_tensorflow
from errors import EngineError
from structures import Float32, Image

Runner = Callable[[Image], Float32]
Shape = tuple[int | None, int | None, int | None, int]  # None = any
_STRIP = 88  # rows of windows; measured: fewer cost more calls, more leave the cache


class Net:
    """One of the three nets, ready to run; any number of threads may run it at once.

    Args:
        name: which net.
        threads: on the CPU, 0 = as many as there are cores.
        way: the engine and the device, see `net_ways`.
        pad: whether batches are filled up, see `engines.pieces.pieces`; None = on GPUs.
        bfloat16: compute in bfloat16; on OpenVINO, where `engines.openvino_engine.has_bfloat16`.

    Raises:
        EngineError: the engine is not installed, or cannot use the GPU.
        WeightsError: see `mtcnn_layers.read_weights`.
    """

    def __init__(
        self,
        name: NetName,
        threads: int = 0,
        way: Way = ON_CPU,
        pad: bool | None = None,
        bfloat16: bool = False,
    ) -> None:
        require(way)
        side = GEOMETRY[name].side
        slides = name == "pnet"
        shape: Shape = (1, None, None, 3) if slides else (None, side, side, 3)
        layers = layers_of(name, read_weights(name))
        if way.engine == "openvino":
            run = _on_openvino(layers, shape, threads, bfloat16)
            self._run = _by_strips(run) if slides else run
        elif way.engine == "onnxruntime":
            self._run = _on_onnxruntime(layers, shape, threads, way.device)
        else:
            self._run = _on_tensorflow(layers, shape, threads, way.device)
        self._pad = not slides and (way.device == "gpu" if pad is None else pad)
        if way.device == "gpu":
            try_gpu(way.engine, lambda: self(np.zeros((1, side, side, 3), np.uint8)))

    def __call__(self, images: Image) -> Float32:
        """Run on (B, H, W, 3) uint8 BGR, B >= 1; return (B, channels, h, w) float32.

        P-Net takes B = 1, and an even H: strips of it leave no half window at the end. The
        result is a view that the same thread's next call overwrites.
        """
        if not self._pad:
            return self._run(images)
        return np.concatenate([self._run(piece)[:rows] for piece, rows in pieces(images)])


def net_ways(engine: str = "auto", device: str = "auto") -> list[Way]:
    """How the nets can be run, best first: on a GPU as the estimator is, else on OpenVINO.

    See `engines.choose.ways` for the arguments and what is raised.
    """
    on_gpu = [way for way in ways(engine, device) if way.device == "gpu"]
    return on_gpu if device == "gpu" else [*on_gpu, *ways("auto", "cpu")]


def _on_openvino(layers: Sequence[Layer], shape: Shape, threads: int, bfloat16: bool) -> Runner:
    """The result is a view that the thread's next call overwrites."""
    return CompiledNetwork(openvino_model(layers, shape), threads, bfloat16).first_view


def _by_strips(run: Runner) -> Runner:
    """Run P-Net on strips of the picture, whose maps stay in the processor's cache.

    All are equally high, for a new height costs time: the last one overlaps more.
    """

    def run_all(images: Image) -> Float32:
        windows = (images.shape[1] - CELL) // STRIDE + 1
        count = -(-windows // _STRIP)
        each = -(-windows // count)
        starts = [min(i * each, windows - each) for i in range(count)]
        height = STRIDE * (each - 1) + CELL
        strips = [run(images[:, STRIDE * y : STRIDE * y + height]).copy() for y in starts[:-1]]
        last = run(images[:, STRIDE * starts[-1] : STRIDE * starts[-1] + height])
        rest = windows - each * (count - 1)
        return np.concatenate([*strips, last[:, :, each - rest :]], 2) if strips else last

    return run_all


def openvino_model(layers: Sequence[Layer], shape: Shape) -> Any:
    """Build an `openvino.Model` out of `layers`."""
    import openvino as ov
    import openvino.opset13 as ops

    pixels = ops.parameter([-1 if side is None else side for side in shape], np.uint8)
    x = ops.transpose(ops.convert(pixels, "f32"), [0, 3, 1, 2])
    for layer in layers:
        kernel = ops.constant(np.ascontiguousarray(layer.kernel, np.float32))
        x = ops.convolution(x, kernel, [1, 1], [0, 0], [0, 0], [1, 1])
        x = ops.add(x, ops.constant(layer.bias.reshape(1, -1, 1, 1).astype(np.float32)))
        if layer.slope is not None:
            x = ops.prelu(x, ops.constant(layer.slope))
        if layer.pool:
            window = [layer.pool, layer.pool]
            x = ops.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], window, "ceil").output(0)
    return ov.Model([x], [pixels], "mtcnn")


def _on_onnxruntime(layers: Sequence[Layer], shape: Shape, threads: int, device: str) -> Runner:
    if not installed("onnx"):
        raise EngineError("engine onnxruntime: MTCNN needs the package onnx; pip install onnx")
    session = open_session(onnx_model(layers, shape), threads, device)
    return lambda images: session.run(None, {"bgr": images})[0]


def onnx_model(layers: Sequence[Layer], shape: Shape) -> bytes:
    """Build what would stand in an .onnx file out of `layers`."""
    from onnx import TensorProto, helper, numpy_helper

    nodes = [
        helper.make_node("Cast", ["bgr"], ["numbers"], to=TensorProto.FLOAT),
        helper.make_node("Transpose", ["numbers"], ["x0"], perm=[0, 3, 1, 2]),
    ]
    constants = []
    last = "x0"

    def add(kind: str, arrays: dict[str, Float32], **attributes: Any) -> None:
        nonlocal last
        names = [f"{name}{len(nodes)}" for name in arrays]
        for name, array in zip(names, arrays.values(), strict=True):
            constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        output = f"x{len(nodes)}"
        nodes.append(helper.make_node(kind, [last, *names], [output], **attributes))
        last = output

    for layer in layers:
        add("Conv", {"kernel": layer.kernel, "bias": layer.bias})
        if layer.slope is not None:
            add("PRelu", {"slope": layer.slope.reshape(-1, 1, 1)})
        if layer.pool:
            add("MaxPool", {}, kernel_shape=[layer.pool] * 2, strides=[2, 2], ceil_mode=1)
    pixels = helper.make_tensor_value_info("bgr", TensorProto.UINT8, shape)
    maps = helper.make_tensor_value_info(last, TensorProto.FLOAT, [None] * 4)
    graph = helper.make_graph(nodes, "mtcnn", [pixels], [maps], constants)
    versions = [helper.make_opsetid("", 17)]
    return helper.make_model(graph, opset_imports=versions, ir_version=8).SerializeToString()


def _on_tensorflow(layers: Sequence[Layer], shape: Shape, threads: int, device: str) -> Runner:
    tf, place = start_tensorflow(threads, device), f"/{device}:0"
    with tf.device(place):
        kernels = [tf.constant(layer.kernel.transpose(2, 3, 1, 0)) for layer in layers]

    def forward(images: Any) -> Any:
        x = tf.cast(images, tf.float32)
        for layer, kernel in zip(layers, kernels, strict=True):
            x = tf.nn.conv2d(x, kernel, 1, "VALID") + layer.bias
            if layer.slope is not None:
                x = tf.maximum(x, 0.0) + layer.slope * tf.minimum(x, 0.0)
            if layer.pool:
                # Partial windows count: make room for them with what no maximum takes.
                ends = [(0, (tf.shape(x)[axis] - layer.pool) % 2) for axis in (1, 2)]
                x = tf.pad(x, [(0, 0), *ends, (0, 0)], constant_values=x.dtype.min)
                x = tf.nn.max_pool2d(x, layer.pool, 2, "VALID")
        return tf.transpose(x, [0, 3, 1, 2])

    compiled = tf.function(forward, [tf.TensorSpec(shape, tf.uint8)])

    def run(images: Image) -> Float32:
        with tf.device(place):
            return np.asarray(compiled(images))

    return run
