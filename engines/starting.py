"""How the engines are started: the one place that sets their options.

Each engine is imported by the function that starts it. `pieces` is for those whose
first call of every new batch size is slow.
"""

import logging
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from engines.choose import Way, remedy
from errors import EngineError
from structures import Image

log = logging.getLogger(__name__)
LARGEST_PIECE = 512


def compile_for_cpu(model: Any, threads: int = 0, bfloat16: bool = False) -> Any:
    """Compile a network with OpenVINO, for low latency.

    It is compiled in a thread of its own: OpenVINO's CPU plugin gives the thread that
    compiles a signal stack and leaves it registered when the network is gone, so that
    the next Ctrl-C would crash the program if that were the main thread.

    Args:
        model: an `openvino.Model`, or the path of an .onnx file.
        threads: 0 = as many as there are cores.
        bfloat16: compute in bfloat16, not float32; only where `has_bfloat16`.

    Returns:
        An `openvino.CompiledModel`.

    Raises:
        RuntimeError: OpenVINO cannot read or run it.
    """
    import openvino

    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        # Said always: bfloat16, the default where the CPU has it, moves boxes.
        "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,  # a pinned thread waits for whatever shares its core
    }
    if isinstance(model, Path):
        model = str(model)
    with ThreadPoolExecutor(max_workers=1) as worker:
        return worker.submit(openvino.Core().compile_model, model, "CPU", options).result()


def has_bfloat16() -> bool:
    """Whether this CPU has bfloat16: just there it is OpenVINO's own default."""
    import openvino

    default = openvino.Core().get_property("CPU", "INFERENCE_PRECISION_HINT")
    return default == openvino.Type.bf16


def open_session(model: Path | bytes, threads: int = 0, device: str = "cpu") -> Any:
    """Open a network with ONNX Runtime.

    Args:
        model: an .onnx file, or what would stand in one.
        threads: on the CPU, 0 = as many as there are cores.
        device: "cpu" or "gpu".

    Returns:
        An `onnxruntime.InferenceSession`.

    Raises:
        EngineError: the GPU cannot be used.
        RuntimeError: ONNX Runtime cannot read or run it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # what goes wrong is raised as well
    # Spinning threads take the core from whoever runs beside them: six times slower there.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers: list[Any] = ["CPUExecutionProvider"]
    if device == "gpu":
        onnxruntime.preload_dlls()  # CUDA's libraries from their Python packages
        # By default every new shape is timed with every algorithm, which takes seconds.
        providers.insert(0, ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC"}))
    source = model if isinstance(model, bytes) else str(model)
    try:
        session = onnxruntime.InferenceSession(source, options, providers=providers)
    except Exception as error:  # its exceptions have no base of their own
        raise RuntimeError(f"ONNX Runtime: {error}") from error
    if device == "gpu" and "CUDAExecutionProvider" not in session.get_providers():
        raise _unusable("onnxruntime")  # it would go on with the CPU
    return session


def start_tensorflow(threads: int = 0, device: str = "cpu") -> Any:
    """Import TensorFlow, which takes seconds, and set it up.

    Args:
        threads: on the CPU, 0 = as many as there are cores; the first call decides.
        device: "cpu" or "gpu".

    Returns:
        The module.

    Raises:
        EngineError: the GPU cannot be used.
    """
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    # TensorFlow 2.21 says that oneDNN is on before it reads this; no setting silences that.
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    import tensorflow as tf

    gpus = tf.config.list_physical_devices("GPU")
    if device == "gpu" and not gpus:
        raise _unusable("tensorflow")
    try:
        tf.config.threading.set_intra_op_parallelism_threads(threads)
        for gpu in gpus:  # or it takes all of the GPU's memory at once
            tf.config.experimental.set_memory_growth(gpu, True)
    except RuntimeError:
        log.info("TensorFlow runs already and keeps its settings")
    return tf


def try_gpu(engine: str, call: Callable[[], object]) -> None:
    """Run a network for the first time on a GPU: only there some missing libraries show.

    Raises:
        EngineError: it failed.
    """
    try:
        call()
    except Exception as error:  # each engine has exceptions of its own
        log.info("%s on the GPU: %s", engine, error)
        raise _unusable(engine) from error


def _unusable(engine: str) -> EngineError:
    return EngineError(
        f"engine {engine} cannot use the GPU: a library of CUDA or the driver does not fit; "
        f"reinstall with: {remedy(Way(engine, 'gpu'))}, or use --device cpu"
    )


def pieces(rows: Image, largest: int = LARGEST_PIECE) -> Iterator[tuple[Image, int]]:
    """Cut a batch so that few lengths ever occur: powers of two up to `largest`.

    GPUs choose and load their kernels anew for each length.

    Args:
        rows: (N, ...), not changed.
        largest: a power of two.

    Yields:
        A piece, filled up with zeros, and how many of its rows are those of `rows`.
    """
    for start in range(0, len(rows), largest):
        piece = rows[start : start + largest]
        length = 1 << (len(piece) - 1).bit_length()
        if length == len(piece):
            yield piece, length
            continue
        padded = np.zeros((length, *rows.shape[1:]), rows.dtype)
        padded[: len(piece)] = piece
        yield padded, len(piece)
