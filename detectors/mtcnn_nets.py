"""P-, R- and O-Net of MTCNN: the published weights as chains of layers, for each engine.

All three are chains of convolution, PReLU and max-pooling; a fully connected layer is a
convolution as large as its input. The weights are simplified once: the first kernel scales
the pixels, the two class scores become their difference (the logit of the softmax), and
the heads become one convolution.

Reference:
    Zhang, Zhang, Li, Qiao, "Joint Face Detection and Alignment using Multitask
    Cascaded Convolutional Networks", 2016, figure 2.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple

import joblib
import numpy as np

from detectors.pyramid import CELL, STRIDE
from engines.choose import ON_CPU, Way, installed, require, ways
from engines.onnx_writer import OnnxWriter
from engines.onnxruntime_engine import open_session
from engines.openvino_engine import CompiledNetwork
from engines.pieces import pieces, try_gpu
from engines.tensorflow_engine import start_tensorflow
from errors import EngineError, WeightsError
from structures import Float32, Image

NetName = Literal["pnet", "rnet", "onet"]
# Takes (B, H, W, 3) uint8 BGR, B >= 1, and returns (B, channels, h, w) float32.
Runner = Callable[[Image], Float32]
Shape = tuple[int | None, int | None, int | None, int]  # None = any
_STRIP = 88  # rows of windows; measured: fewer cost more calls, more leave the cache
_REMEDY = "run `pip install -r requirements-live.txt`"


class Geometry(NamedTuple):
    """What the weights do not say about a net.

    Attributes:
        side: the input's height and width in pixels; P-Net slides, its input may be larger.
        pools: pooling window behind each of the first layers, stride 2; 0 for none.
        heads: how many heads: box and class, and landmarks for O-Net.
    """

    side: int
    pools: tuple[int, ...]
    heads: int


GEOMETRY: dict[NetName, Geometry] = {
    "pnet": Geometry(12, (2, 0, 0), 2),
    "rnet": Geometry(24, (3, 3, 0, 0), 2),
    "onet": Geometry(48, (3, 3, 2, 0, 0), 3),
}


@dataclass(frozen=True, slots=True, eq=False)
class Layer:
    """One convolution (valid, stride 1), its PReLU and the max-pooling behind.

    Attributes:
        kernel: (out, in, height, width) float32.
        bias: (out,) float32.
        slope: (out,) float32 factor of negative values, or None for a linear layer.
        pool: side of the pooling window (stride 2, partial windows count), 0 for none.
    """

    kernel: Float32
    bias: Float32
    slope: Float32 | None = None
    pool: int = 0


def read_weights(name: NetName) -> list[Float32]:
    """Read a net's arrays from the package `mtcnn`, not importing it: that loads TensorFlow.

    Raises:
        WeightsError: the package or its file is missing or unreadable.
    """
    spec = find_spec("mtcnn")
    if spec is None or spec.origin is None:
        raise WeightsError(f"MTCNN's weights: the package mtcnn is not installed; {_REMEDY}")
    path = Path(spec.origin).parent / "assets" / "weights" / f"{name}.lz4"
    try:
        with path.open("rb") as file:  # by name, joblib closes it twice on Python 3.13
            arrays = joblib.load(file)
    except Exception as error:  # joblib raises whatever unpickling and lz4 raise
        raise WeightsError(f"MTCNN's weights: cannot read {path.name}; {_REMEDY}") from error
    return [np.asarray(array, np.float32) for array in arrays]


def layers_of(name: NetName, arrays: list[Float32]) -> list[Layer]:
    """Arrange a net's published arrays as layers for BGR pixels 0..255.

    The last layer returns the channels `logit, 4 box offsets, (10 landmarks)`.

    Args:
        name: which net.
        arrays: kernel (height, width, in, out) or matrix (in, out), bias and slope of each
            layer; then kernel and bias of the heads: box, landmarks (O-Net), classes.

    Raises:
        WeightsError: not the arrays of such a net.
    """
    geometry = GEOMETRY[name]
    depth = len(geometry.pools)
    if len(arrays) != 3 * depth + 2 * geometry.heads:
        raise WeightsError(f"MTCNN's weights: {name} has {len(arrays)} arrays, not as published")
    layers: list[Layer] = []
    for i, pool in enumerate(geometry.pools):
        kernel, bias, slope = arrays[3 * i : 3 * i + 3]
        layers.append(Layer(_as_kernel(kernel, layers), bias, slope.ravel(), pool))
    layers[0] = _fold_pixel_scaling(layers[0])
    return [*layers, _join_heads(arrays[3 * depth :])]


def _as_kernel(weights: Float32, before: list[Layer]) -> Float32:
    """Return (out, in, height, width); a matrix's input was flattened as (width, height, in)."""
    if weights.ndim == 2:
        channels = len(before[-1].bias)
        side = round((len(weights) / channels) ** 0.5)
        return weights.reshape(side, side, channels, -1).transpose(3, 2, 1, 0)
    return weights.transpose(3, 2, 0, 1)


def _fold_pixel_scaling(first: Layer) -> Layer:
    """Let the layer take BGR pixels 0..255 in place of (RGB - 127.5) / 128."""
    offset: Float32 = np.float32(127.5 / 128) * first.kernel.sum((1, 2, 3))
    kernel = first.kernel[:, ::-1] / np.float32(128)
    return replace(first, kernel=kernel, bias=first.bias - offset)


def _join_heads(arrays: list[Float32]) -> Layer:
    """Return one linear 1x1 layer; softmax over two classes is the sigmoid of their difference."""
    kernels = [array.reshape(-1, array.shape[-1]) for array in arrays[::2]]  # (in, out) each
    biases = arrays[1::2]
    kernel = np.concatenate([np.diff(kernels[-1], axis=1), *kernels[:-1]], axis=1)
    bias = np.concatenate([np.diff(biases[-1]), *biases[:-1]])
    return Layer(kernel.T[:, :, None, None], bias)


class Net:
    """One of the three nets, ready to run; any number of threads may run it at once.

    Args:
        name: which net.
        threads: on the CPU, 0 = one per core.
        way: the engine and the device, see `net_ways`.
        pad: whether to pad batches, see `engines.pieces.pieces`; None = on GPUs.
        bfloat16: compute in bfloat16; on OpenVINO, where `engines.openvino_engine.has_bfloat16`.

    Raises:
        EngineError: the engine is not installed, or cannot use the GPU.
        WeightsError: see `read_weights`.
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
    """How the nets can be run, best first: on a GPU like the estimator, else on OpenVINO.

    See `engines.choose.ways` for the arguments and what is raised.
    """
    on_gpu = [way for way in ways(engine, device) if way.device == "gpu"]
    return on_gpu if device == "gpu" else [*on_gpu, *ways("auto", "cpu")]


def _on_openvino(layers: Sequence[Layer], shape: Shape, threads: int, bfloat16: bool) -> Runner:
    return CompiledNetwork(openvino_model(layers, shape), threads, bfloat16).first_view


def _by_strips(run: Runner) -> Runner:
    """Run P-Net on strips of the image, whose maps stay in the processor's cache.

    All have the same height, as a new one costs time: the last overlaps more.
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
    """Build an `openvino.Model` from `layers`."""
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
    """Build the content of an .onnx file from `layers`."""
    writer = OnnxWriter()
    x = writer.add("Cast", ["bgr"], to=1)  # to float32
    x = writer.add("Transpose", [x], perm=[0, 3, 1, 2])  # (B, 3, H, W)
    for layer in layers:
        x = writer.add("Conv", [x, writer.constant(layer.kernel), writer.constant(layer.bias)])
        if layer.slope is not None:
            x = writer.add("PRelu", [x, writer.constant(layer.slope.reshape(-1, 1, 1))])
        if layer.pool:
            window = [layer.pool, layer.pool]
            x = writer.add("MaxPool", [x], kernel_shape=window, strides=[2, 2], ceil_mode=1)
    return writer.model("bgr", shape, {x: [None] * 4}, np.uint8)


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
                # Partial windows count: pad for them with the least value.
                ends = [(0, (tf.shape(x)[axis] - layer.pool) % 2) for axis in (1, 2)]
                x = tf.pad(x, [(0, 0), *ends, (0, 0)], constant_values=x.dtype.min)
                x = tf.nn.max_pool2d(x, layer.pool, 2, "VALID")
        return tf.transpose(x, [0, 3, 1, 2])

    compiled = tf.function(forward, [tf.TensorSpec(shape, tf.uint8)])

    def run(images: Image) -> Float32:
        with tf.device(place):
            return np.asarray(compiled(images))

    return run
