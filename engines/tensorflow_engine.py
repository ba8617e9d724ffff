"""Keras models on TensorFlow: what keeps a GPU busy.

One graph serves every batch size (the batch is left free, so nothing is traced twice).
On a GPU batches are padded to a few lengths, because cuDNN chooses its algorithms again for
each; chips are sent there as bytes and become floats there.
"""

import logging
import os
import time
from pathlib import Path
from typing import Any

import numpy as np

from engines.pieces import Outputs, Pending, chip_side, join, pieces, try_gpu, unusable_gpu
from errors import EngineError, WeightsError
from structures import Image

log = logging.getLogger(__name__)
_WARM_UP_S = 3.0  # at most, for the batches of up to:
_WARM_UP_CHIPS = 64


class TensorFlowEngine:
    """The network as a Keras model on TensorFlow, on the CPU or a GPU; see `engines.Engine`."""

    name = "tensorflow"

    def __init__(
        self,
        path: Path,
        threads: int = 0,
        device: str = "cpu",
        precision: str = "float32",
        pad: bool | None = None,
    ) -> None:
        """Load a .keras file; for the arguments see `engines.make_engine`. Takes seconds.

        `pad` pads batches, see `engines.pieces.pieces`; None = on GPUs.

        Raises:
            EngineError: the GPU cannot be used, or Keras runs on something else.
            WeightsError: the file is damaged or not a Keras model.
        """
        self._tf = tf = start_tensorflow(threads, device)
        self.device, self.precision = device, precision
        self._place = f"/{device}:0"
        self._pad = device == "gpu" if pad is None else pad
        import keras

        if keras.backend.backend() != "tensorflow":
            raise EngineError(
                f"engine tensorflow: Keras runs on {keras.backend.backend()}; "
                "set KERAS_BACKEND=tensorflow or use another --engine"
            )
        with tf.device(self._place):
            try:
                model = keras.models.load_model(path, compile=False)
            except (ValueError, OSError, TypeError, KeyError) as error:
                raise WeightsError(f"{path} is not a Keras model that can be loaded") from error
        inputs = getattr(model, "inputs", None) or ()  # a Sequential model may have none yet
        self.input_size = side = chip_side([tuple(node.shape) for node in inputs], path)
        if not isinstance(getattr(model, "output", None), dict):
            raise WeightsError(f"{path}: want outputs with names, as the models here have")
        if precision != "float32":
            halve(model)

        def forward(chips: Any) -> dict[str, Any]:
            outputs = model(tf.cast(chips, tf.float32), training=False)
            return {name: tf.cast(value, tf.float32) for name, value in outputs.items()}

        self._forward = tf.function(forward, [tf.TensorSpec([None, side, side, 3], tf.uint8)])
        if device == "gpu":
            try_gpu(self.name, self._warm_up)

    def submit(self, chips: Image) -> Pending:
        """See `Engine`; all pieces of a large batch are started before one is awaited."""
        parts = pieces(chips) if self._pad else [(chips, len(chips))]
        with self._tf.device(self._place):
            started = [(self._forward(piece), rows) for piece, rows in parts]

        def collect() -> Outputs:
            arrays = [({k: np.asarray(v) for k, v in out.items()}, n) for out, n in started]
            return join(arrays)

        return collect

    def _warm_up(self) -> None:
        """Run the likely batch lengths, smallest first, for a bounded time."""
        end, chips = time.monotonic() + _WARM_UP_S, 1
        while chips <= _WARM_UP_CHIPS and time.monotonic() < end:
            self.submit(np.zeros((chips, self.input_size, self.input_size, 3), np.uint8))()
            chips *= 2


def start_tensorflow(threads: int = 0, device: str = "cpu") -> Any:
    """Import TensorFlow, which takes seconds, set it up and return the module.

    `threads` is for the CPU, 0 = one per core; the first call decides. `device` is "cpu" or
    "gpu"; EngineError if the GPU cannot be used.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    # TensorFlow 2.21 logs that oneDNN is on before it reads this; no setting silences that.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise unusable_gpu("tensorflow")
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        for gpu in gpus:  # or it takes all of the GPU's memory at once
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        log.info("TensorFlow runs already and keeps its settings")
    return tf


def halve(model: Any) -> None:
    """Let a functional Keras model compute its maps in float16, in place.

    Weights stay float32, and so do the first scaling of pixels and all that comes after the
    maps were pooled: heads, softmax, outputs. Layers of models within it are left alone.
    bfloat16 would move ages by up to two years.
    """
    import keras

    policy = keras.DTypePolicy("mixed_float16")
    for layer in model.layers:
        if isinstance(layer, keras.layers.InputLayer | keras.layers.Rescaling):
            continue
        if len(getattr(layer.output, "shape", ())) == 4:  # (B, H, W, channels)
            layer.dtype_policy = policy
