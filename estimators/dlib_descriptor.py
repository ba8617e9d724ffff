"""dlib's face recognition network, read from its file and run by OpenVINO.

dlib's own binding computes one face in 80 ms and holds the interpreter meanwhile; OpenVINO
takes a tenth of that and lets other threads run. The answers are the same.

Reference:
    King, "High quality face recognition with deep metric learning", blog.dlib.net, 2017: a
    ResNet-34 (He et al., CVPR 2016) with fewer layers, half as many filters, and no
    normalisation left but a scale and a shift for each channel.
"""

import importlib.util
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from engines.openvino_engine import CompiledNetwork
from errors import WeightsError
from structures import Float32, Image

SIDE = 150  # pixels; its chips have the canonical geometry
_FILE = "dlib_face_recognition_resnet_model_v1.dat"
MEAN_RGB, SCALE = (122.782, 117.001, 104.298), 256.0
# The file holds the layers from the input on: a name, perhaps its sizes, then a tensor.
_LAYER = re.compile(rb"(?s)\x01(?:\x05con_4|\x07affine_|\x04fc_2.{5})\x01\x02")
STEM = (32, 3, 7)  # filters, channels of the input, side
# Blocks of two convolutions each: (filters, whether they halve the image).
BLOCKS = (
    *[(32, False)] * 3,
    *[(64, True), (64, False), (64, False), (64, False)],
    *[(128, True), (128, False), (128, False)],
    *[(256, True), (256, False), (256, False)],
    (256, True),
)
_WIDTH = 128


class DlibEmbedder:
    """The 128 numbers of a face; see `estimators.embedders.Embedder`."""

    name, input_size = "dlib_resnet_v1", SIDE

    def __init__(self, threads: int = 0, path: Path | None = None) -> None:
        """Load the network from `path`, see `read_weights`, also for errors.

        `threads` 0 = one per core.
        """
        self._network = CompiledNetwork(_build(*read_weights(path)), threads)

    def embed(self, chips: Image) -> dict[str, Float32]:
        """See `Embedder`."""
        return {"embedding": next(iter(self._network(chips).values()))}


def installed_file() -> Path:
    """The file of the package, which is not imported; WeightsError with the remedy."""
    spec = importlib.util.find_spec("face_recognition_models")
    folders = (spec and spec.submodule_search_locations) or [""]
    path = Path(folders[0]) / "models" / _FILE
    if not path.is_file():
        raise WeightsError(
            f"{_FILE} of the package face_recognition_models is not installed; "
            "install it with: pip install -r requirements-live.txt"
        )
    return path


class Convolution(NamedTuple):
    """One convolution, with the scale and the shift that follow it."""

    kernel: Float32  # (filters, channels, side, side)
    bias: Float32  # (filters,)


def read_weights(path: Path | None = None) -> tuple[list[Convolution], Float32]:
    """Return the convolutions, from the input on, and the matrix (256, 128) of the vector.

    They are those of the package `face_recognition_models`, or of another file. WeightsError if
    it is missing or damaged.
    """
    path = path or installed_file()
    try:
        parameters = _parameters(path.read_bytes())
        shape = (STEM[0], STEM[1], STEM[2], STEM[2])
        convolutions = [_convolution(parameters, shape)]
        for filters, _ in BLOCKS:
            for _ in range(2):
                shape = (filters, shape[0], 3, 3)
                convolutions.append(_convolution(parameters, shape))
        return convolutions, next(parameters).reshape(shape[0], _WIDTH)
    except (OSError, ValueError, IndexError, StopIteration) as error:
        raise WeightsError(f"{path} is damaged; install its package again") from error


def _convolution(parameters: Iterator[Float32], shape: tuple[int, int, int, int]) -> Convolution:
    weights, scale = next(parameters), next(parameters)
    filters = shape[0]
    factor, shift = scale.reshape(2, filters)
    kernel, bias = weights[:-filters].reshape(shape), weights[-filters:]
    return Convolution(kernel * factor.reshape(-1, 1, 1, 1), bias * factor + shift)


def _parameters(data: bytes) -> Iterator[Float32]:
    """Yield the parameters of each layer of dlib's file that has any, (N,) float32.

    A tensor is its four sizes, of which only the first is not 1, and little-endian numbers; a
    size is the number of its bytes and these bytes.
    """
    at = 0
    while (found := _LAYER.search(data, at)) is not None:
        at = found.end()
        sizes = []
        for _ in range(4):
            length = data[at]
            sizes.append(int.from_bytes(data[at + 1 : at + 1 + length], "little"))
            at += 1 + length
        count = int(np.prod(sizes))
        yield np.frombuffer(data, "<f4", count, at)
        at += 4 * count


def _build(convolutions: list[Convolution], matrix: Float32) -> Any:
    """The network as an `openvino.Model`: chips (B, 150, 150, 3) uint8 RGB -> (B, 128) float32."""
    import openvino
    from openvino import opset13 as op

    left = iter(convolutions)
    chips = op.parameter([-1, SIDE, SIDE, 3], np.uint8, "chips")
    pixels = op.transpose(op.convert(chips, "f32"), np.array([0, 3, 1, 2]))
    mean = np.array(MEAN_RGB, np.float32).reshape(1, 3, 1, 1)
    x = op.divide(op.subtract(pixels, mean), np.float32(SCALE))
    x = op.relu(_convolve(x, next(left), stride=2, pad=0))
    x = op.max_pool(x, [2, 2], [1, 1], [0, 0], [0, 0], [3, 3], "floor").output(0)
    channels, side = STEM[0], 35  # pixels, what is left of 150
    for filters, halves in BLOCKS:
        stride, pad = (2, 0) if halves else (1, 1)
        y = op.relu(_convolve(x, next(left), stride, pad))
        y = _convolve(y, next(left), 1, 1)
        if halves:
            x = op.avg_pool(x, [2, 2], [0, 0], [0, 0], [2, 2], True)
            x = _padded(x, filters - channels, 0)
            y = _padded(y, 0, 1 - side % 2)  # of 8 pixels the convolution leaves 3, not 4
            side //= 2
        x, channels = op.relu(op.add(x, y)), filters
    pooled = op.reduce_mean(x, np.array([2, 3]))
    return openvino.Model([op.matmul(pooled, matrix, False, False)], [chips], _FILE)


def _padded(x: Any, channels: int, sides: int) -> Any:
    """`x` with more channels, rows and columns, of zeros."""
    from openvino import opset13 as op

    more = np.array([0, channels, sides, sides])
    return op.pad(x, np.zeros(4, int), more, "constant", np.float32(0))


def _convolve(x: Any, convolution: Convolution, stride: int, pad: int) -> Any:
    from openvino import opset13 as op

    strides, pads = [stride, stride], [pad, pad]
    x = op.convolution(x, convolution.kernel, strides, pads, pads, [1, 1])
    return op.add(x, convolution.bias.reshape(1, -1, 1, 1))
