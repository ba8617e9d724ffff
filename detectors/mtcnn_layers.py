"""P-, R- and O-Net of MTCNN as chains of layers, with the published weights.

All three are chains of convolution, PReLU and max-pooling; a fully connected layer
is a convolution as large as its input. What can be done once is done to the
weights: pixels are scaled by the first kernel, the two class scores become their
difference (the logit of the softmax), and the heads become one convolution.

Reference:
    Zhang, Zhang, Li, Qiao, "Joint Face Detection and Alignment using Multitask
    Cascaded Convolutional Networks", 2016, figure 2.
"""

from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from typing import Literal, NamedTuple

import joblib
import numpy as np

from errors import WeightsError
from structures import Float32

NetName = Literal["pnet", "rnet", "onet"]

_REMEDY = "run `pip install -r requirements-live.txt`"


class Geometry(NamedTuple):
    """What the weights do not say of a net.

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
    """Read a net's arrays from the installed package `mtcnn`, which is not imported.

    Importing it would import TensorFlow.

    Raises:
        WeightsError: the package or its file is missing or unreadable.
    """
    spec = find_spec("mtcnn")
    if spec is None or spec.origin is None:
        raise WeightsError(f"MTCNN's weights: the package mtcnn is not installed; {_REMEDY}")
    path = Path(spec.origin).parent / "assets" / "weights" / f"{name}.lz4"
    try:
        arrays = joblib.load(path)
    except Exception as error:  # joblib raises whatever unpickling and lz4 raise
        raise WeightsError(f"MTCNN's weights: cannot read {path.name}; {_REMEDY}") from error
    return [np.asarray(array, np.float32) for array in arrays]


def layers_of(name: NetName, arrays: list[Float32]) -> list[Layer]:
    """Arrange a net's published arrays as layers for BGR pixels 0..255.

    Args:
        name: which net.
        arrays: kernel (height, width, in, out) or matrix (in, out), bias and slope of each
            layer; then kernel and bias of the heads: box, landmarks (O-Net), classes.

    Returns:
        The layers; the last gives the channels `logit, 4 box offsets, (10 landmarks)`.

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
    """Return (out, in, height, width); a matrix saw its input flattened as (width, height, in)."""
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
