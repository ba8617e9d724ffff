"""What runs the networks: OpenVINO on CPUs, Keras on TensorFlow where there is a GPU.

An engine is a callable, chips in and named outputs out. OpenVINO reads the .onnx
file, TensorFlow the .keras file; neither is imported before it is chosen.
"""

import importlib.util
import logging
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Protocol

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
        _require("openvino", self.name)
        path = weights.path("onnx")
        try:
            self._network = compile_for_cpu(path, threads)
        except RuntimeError as error:
            raise WeightsError(f"{path} is not a network that OpenVINO can run") from error
        shape = self._network.input(0).partial_shape
        if len(shape) != 4 or not shape[1].is_static or shape[1] != shape[2]:
            raise WeightsError(f"{path}: want an input of (B, S, S, 3), got {shape}")
        self.input_size = shape[1].get_length()
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
        _require("tensorflow", self.name)
        path = weights.path("keras")
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
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
        self.input_size = int(model.inputs[0].shape[1])
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

    "auto" is TensorFlow where an NVIDIA GPU and TensorFlow are present, else OpenVINO.

    Raises:
        ValueError: unknown name.
        EngineError: not installed.
        WeightsError: the engine cannot use these weights.
    """
    if name == "auto":
        name = "tensorflow" if _has_gpu() and _installed("tensorflow") else "openvino"
    if name not in ENGINES:
        raise ValueError(f"engine must be one of auto, {', '.join(ENGINES)}, got {name!r}")
    return ENGINES[name](weights, threads)


def _has_gpu() -> bool:
    """Whether an NVIDIA driver is there; asks no library."""
    return Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None


def _installed(package: str) -> bool:
    return importlib.util.find_spec(package) is not None


def _require(package: str, engine: str) -> None:
    if not _installed(package):
        raise EngineError(
            f"engine {engine} needs the package {package}; "
            "install it with: pip install -r requirements.txt"
        )
