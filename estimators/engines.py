"""What runs the networks: OpenVINO on CPUs, Keras on TensorFlow where there is a GPU.

An engine is a callable, chips in and named outputs out. OpenVINO reads the .onnx
file, TensorFlow the .keras file; neither is imported before it is chosen.
"""

import importlib.util
import logging
import os
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from errors import EngineError, WeightsError
from estimators.weights import Weights
from inference import compile_for_cpu
from structures import Float32, Image

log = logging.getLogger(__name__)
Outputs = dict[str, Float32]


class Engine(Protocol):
    """Runs one network.

    Attributes:
        name: as `--engine` takes it.
        input_size: side of the chips it wants, pixels.
    """

    name: str
    input_size: int

    def __call__(self, chips: Image) -> Outputs:
        """One forward pass: (B, S, S, 3) uint8 RGB, B >= 1 -> name -> (B, ...) float32."""
        ...


class OpenVinoEngine:
    """The network on the CPU by OpenVINO, in float32."""

    name = "openvino"

    def __init__(self, weights: Weights, threads: int = 0) -> None:
        """Compile the network.

        Args:
            weights: must have an .onnx file.
            threads: 0 = as many as there are cores.

        Raises:
            EngineError: OpenVINO is not installed.
            WeightsError: the file is missing, damaged or not a network for chips.
        """
        _require("openvino", self.name, "requirements-live.txt")
        path = weights.path("onnx")
        try:
            _check_onnx_begin(path)
            self._network = compile_for_cpu(path, threads)
        except (RuntimeError, OSError) as error:
            raise WeightsError(f"{path} is not a network that OpenVINO can run") from error
        shapes = [_sizes(node.partial_shape) for node in self._network.inputs]
        self.input_size = chip_side(shapes, path)
        self._names = [output.any_name for output in self._network.outputs]

    def __call__(self, chips: Image) -> Outputs:
        """See `Engine`."""
        results = self._network(chips.astype(np.float32))
        return {name: results[i] for i, name in enumerate(self._names)}


class TensorFlowEngine:
    """The network as a Keras model on TensorFlow, on the GPU where there is one."""

    name = "tensorflow"

    def __init__(self, weights: Weights, threads: int = 0) -> None:
        """Load the model; TensorFlow's import takes seconds.

        Args:
            weights: must have a .keras file.
            threads: 0 = as many as there are cores.

        Raises:
            EngineError: TensorFlow is not installed.
            WeightsError: the file is missing, damaged or not a Keras model.
        """
        _require("tensorflow", self.name, "requirements.txt")
        path = weights.path("keras")
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        # TensorFlow 2.21 says that oneDNN is on before it reads this; no setting silences that.
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        import keras
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(threads)
        gpus = tf.config.list_physical_devices("GPU")
        for gpu in gpus:
            tf.config.experimental.set_memory_growth(gpu, True)
        log.info("TensorFlow %s on %s", tf.__version__, "GPU" if gpus else "CPU")
        try:
            model = keras.models.load_model(path, compile=False)
        except (ValueError, OSError, TypeError, KeyError) as error:
            raise WeightsError(f"{path} is not a Keras model that can be loaded") from error
        inputs = getattr(model, "inputs", None) or ()  # a Sequential model may have none yet
        self.input_size = chip_side([tuple(node.shape) for node in inputs], path)
        if not isinstance(getattr(model, "output", None), dict):
            raise WeightsError(f"{path}: want outputs with names, as the models here have")
        signature = tf.TensorSpec([None, self.input_size, self.input_size, 3], tf.uint8)
        self._forward = tf.function(
            lambda chips: model(tf.cast(chips, tf.float32), training=False), [signature]
        )

    def __call__(self, chips: Image) -> Outputs:
        """See `Engine`."""
        return {name: np.asarray(value) for name, value in self._forward(chips).items()}


ENGINES: dict[str, Callable[[Weights, int], Engine]] = {
    "openvino": OpenVinoEngine,
    "tensorflow": TensorFlowEngine,
}


def make_engine(name: str, weights: Weights, threads: int = 0) -> Engine:
    """Build the engine called `name`, or with "auto" the quickest for this machine.

    Raises:
        ValueError: unknown name.
        EngineError: not installed.
        WeightsError: the engine cannot use these weights.
    """
    if name == "auto":
        name = quickest(weights)
    if name not in ENGINES:
        raise ValueError(f"engine must be one of auto, {', '.join(ENGINES)}, got {name!r}")
    return ENGINES[name](weights, threads)


def quickest(weights: Weights) -> str:
    """The quickest engine that runs `weights` here; imports none.

    TensorFlow, where there is an NVIDIA GPU, TensorFlow with the CUDA libraries of
    requirements-gpu.txt (on a CPU it is slower) and a .keras file; else OpenVINO.
    """
    packages = ("tensorflow", "nvidia.cudnn")
    on_gpu = "keras" in weights.files and _has_gpu() and all(map(_installed, packages))
    return "tensorflow" if on_gpu else "openvino"


def chip_side(shapes: Sequence[tuple[int | None, ...]], path: Path) -> int:
    """The side of the chips that a network takes.

    Args:
        shapes: of its inputs; None = any size.
        path: its file, for the message.

    Raises:
        WeightsError: it does not take (B, S, S, 3), B free and S fixed.
    """
    match shapes:
        case [(None, int(height), int(width), 3)] if height == width:
            return height
    got = ", ".join(str(shape).replace("None", "any") for shape in shapes)
    raise WeightsError(f"{path}: want one input of (any, S, S, 3), S a number, got {got or 'none'}")


def _sizes(shape: Any) -> tuple[int | None, ...]:
    """An `openvino.PartialShape` in plain numbers, None = any; () where even its rank is free."""
    if shape.rank.is_dynamic:
        return ()
    return tuple(None if size.is_dynamic else size.get_length() for size in shape)


def _check_onnx_begin(path: Path) -> None:
    """Raise RuntimeError unless the file begins as ONNX does, with the version's tag.

    OpenVINO tries one format after the other, and some say on stderr what they dislike.
    """
    with path.open("rb") as file:
        if file.read(1) != b"\x08":
            raise RuntimeError(f"{path} does not begin as an ONNX file")


def _has_gpu() -> bool:
    """Whether an NVIDIA driver is there; asks no library."""
    return Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # the package that it would be in
        return False


def _require(package: str, engine: str, requirements: str) -> None:
    if not _installed(package):
        raise EngineError(
            f"engine {engine} needs the package {package}; "
            f"install it with: pip install -r {requirements}"
        )
