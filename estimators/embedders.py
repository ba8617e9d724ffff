"""Embeddings of aligned chips: FaceNet's, dlib's, or a user's own network's.

For training and tables. Of the live program, `--estimator facenet` and `--remember` use one.
"""

from pathlib import Path
from typing import Any, Protocol

import numpy as np

from engines import Engine, make_engine
from engines.onnx_reader import refuse_control_flow
from engines.openvino_engine import CompiledNetwork, shared_core, sizes_of
from engines.pieces import chip_side
from errors import WeightsError
from estimators.dlib_descriptor import DlibEmbedder
from estimators.facenet import embedding_weights
from structures import Float32, Image

SUFFIXES = (".onnx", ".pb", ".tflite")
SCALINGS = ("fixed", "prewhiten", "unit", "none")


class Embedder(Protocol):
    """Turns chips into vectors, for any number of threads at once.

    Attributes:
        name: without folders.
        input_size: side of the chips it takes, pixels.
    """

    name: str
    input_size: int

    def embed(self, chips: Image) -> dict[str, Float32]:
        """Return vectors (B, W) float32 by name, `embedding` among them.

        `chips` are (B, S, S, 3) uint8 RGB, B >= 1; not changed.
        """
        ...


def make_embedder(choice: str = "facenet", threads: int = 0, scaling: str = "fixed") -> Embedder:
    """Build an embedder.

    Args:
        choice: "facenet", "dlib", or the path of an .onnx, .pb or .tflite file.
        threads: 0 = one per core.
        scaling: of pixels, one of `SCALINGS`, for a file: (x - 127.5) / 128, by each chip's own
            mean and deviation, to 0..1, or not at all because the file does it.

    Raises:
        ValueError: unknown scaling.
        WeightsError: no such embedder, or not installed, missing or damaged.
    """
    if scaling not in SCALINGS:
        raise ValueError(f"scaling must be one of {', '.join(SCALINGS)}, got {scaling!r}")
    if choice == "facenet":
        return _EngineEmbedder(make_engine("auto", embedding_weights(), threads))
    if choice == "dlib":
        return DlibEmbedder(threads)
    path = Path(choice)
    if path.suffix.lower() not in SUFFIXES:
        raise WeightsError(
            f"no embedder called {choice!r}; known: facenet, dlib, "
            f"or give the path of a {', '.join(SUFFIXES)} file"
        )
    return FileEmbedder(path, threads, scaling)


class _EngineEmbedder:
    """FaceNet, as the live program runs it."""

    def __init__(self, engine: Engine) -> None:
        self.name, self.input_size = "facenet_20180408", engine.input_size
        self._engine = engine

    def embed(self, chips: Image) -> dict[str, Float32]:
        """See `Embedder`; `features`, (B, 2944), come with the `embedding`, (B, 512)."""
        return self._engine.submit(chips)()


class FileEmbedder:
    """A user's own network, on OpenVINO: one image in, one vector out."""

    def __init__(self, path: Path, threads: int = 0, scaling: str = "fixed") -> None:
        """Load a file; batches of any size are used where the network allows, else single chips.

        Args:
            path: .onnx, .pb (frozen graph) or .tflite; channels may come last or first. Boolean
                inputs (`phase_train`) are set to false.
            threads: 0 = one per core.
            scaling: one of `SCALINGS`.

        Raises:
            WeightsError: missing, damaged, or not such a network.
        """
        if not path.is_file():
            raise WeightsError(f"{path} does not exist; check the path of the embedding network")
        self.name, self._scaling = path.stem, scaling
        if path.suffix.lower() == ".onnx":
            refuse_control_flow(path)
        try:
            model = _with_free_batch(path)
            shape = sizes_of(model.inputs[0]) if len(model.inputs) == 1 else ()
            self._one_by_one = model.outputs[0].partial_shape[0].is_static
            if self._one_by_one:
                model = _read(path)  # unchanged, for one image
            self._network = CompiledNetwork(model, threads)
        except RuntimeError as error:
            raise WeightsError(f"{path} is not a network that OpenVINO can run") from error
        self._channels_first = shape[1:2] == (3,)
        if self._channels_first:
            shape = (shape[0], *shape[2:], 3)
        self.input_size = chip_side([(None, *shape[1:])], path)
        grey = np.full((1, self.input_size, self.input_size, 3), 128, np.uint8)
        if len(self._network.outputs) != 1 or self.embed(grey)["embedding"].ndim != 2:
            raise WeightsError(f"{path}: want one output of (any, width), as embeddings have")

    def embed(self, chips: Image) -> dict[str, Float32]:
        """See `Embedder`."""
        pixels = scaled(chips, self._scaling)
        if self._channels_first:
            pixels = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
        if self._one_by_one:
            return {"embedding": np.concatenate([self._run(each[None]) for each in pixels])}
        return {"embedding": self._run(pixels)}

    def _run(self, pixels: Float32) -> Float32:
        return next(iter(self._network(pixels).values()))


def scaled(chips: Image, scaling: str) -> Float32:
    """Return the scaled pixels, (B, S, S, 3) float32; see `make_embedder`."""
    pixels = chips.astype(np.float32)
    if scaling == "fixed":
        return (pixels - np.float32(127.5)) / np.float32(128)
    if scaling == "unit":
        return pixels / np.float32(255)
    if scaling == "prewhiten":
        axes = (1, 2, 3)
        least = 1 / np.sqrt(pixels[0].size)  # of a chip of one colour
        deviation = np.maximum(pixels.std(axes, keepdims=True), least)
        return ((pixels - pixels.mean(axes, keepdims=True)) / deviation).astype(np.float32)
    return pixels


def _read(path: Path) -> Any:
    """The network as an `openvino.Model`, its boolean inputs set to false."""
    import openvino
    from openvino import opset13

    model = shared_core().read_model(path)
    for parameter in model.get_parameters():
        if parameter.get_element_type() == openvino.Type.boolean:
            shape = parameter.get_partial_shape().get_min_shape()
            no = opset13.constant(np.zeros(list(shape), bool))
            parameter.output(0).replace(no.output(0))
            model.remove_parameter(parameter)
    return model


def _with_free_batch(path: Path) -> Any:
    model = _read(path)
    if len(model.inputs) == 1 and model.inputs[0].partial_shape.rank == 4:
        shape = model.inputs[0].partial_shape
        shape[0] = -1
        model.reshape(shape)
    return model
