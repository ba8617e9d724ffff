"""Networks on the CPU by OpenVINO: the one place that says how they are compiled."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any


def compile_for_cpu(model: Any, threads: int = 0) -> Any:
    """Compile a network for low latency in float32.

    It is compiled in a thread of its own: OpenVINO's CPU plugin gives the thread that
    compiles a signal stack and leaves it registered when the network is gone, so that
    the next Ctrl-C would crash the program if that were the main thread.

    Args:
        model: an `openvino.Model`, or the path of an .onnx file.
        threads: 0 = as many as there are cores.

    Returns:
        An `openvino.CompiledModel`.

    Raises:
        RuntimeError: OpenVINO cannot read or run it.
    """
    import openvino

    options: dict[str, Any] = {
        "PERFORMANCE_HINT": "LATENCY",
        # bfloat16, the default where the CPU has it, moves boxes, and probabilities by 0.007.
        "INFERENCE_PRECISION_HINT": "f32",
        "INFERENCE_NUM_THREADS": threads,
        "ENABLE_CPU_PINNING": False,  # a pinned thread waits for whatever shares its core
    }
    if isinstance(model, Path):
        model = str(model)
    with ThreadPoolExecutor(max_workers=1) as worker:
        return worker.submit(openvino.Core().compile_model, model, "CPU", options).result()
