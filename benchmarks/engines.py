"""Which engine runs the networks fastest here: OpenVINO, ONNX Runtime, TensorFlow.

    python -m benchmarks.engines [--weights NAME ...] [--repeat N]

Prints median milliseconds a call at several batch sizes, the engines taking turns call
by call because machines drift, and the seconds from nothing to the first answer, each in
a process of its own. Engines that are not installed are left out; ONNX Runtime is no
engine of the program and is measured for comparison (pip install onnxruntime).
"""

import argparse
import importlib.util
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from errors import StreamError
from estimators.engines import OpenVinoEngine, TensorFlowEngine
from estimators.weights import Weights, find_weights, read_manifest
from options import number
from structures import Image

BATCHES = (1, 4, 8, 32)
INPUT_SIZES = {"mobilenetv2": 96, "ssrnet": 64}
Call = Callable[[Image], object]


def _onnx_runtime(weights: Weights) -> Call:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    # Spinning threads take the core from whoever runs beside them.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    session = onnxruntime.InferenceSession(
        weights.path("onnx"), options, providers=["CPUExecutionProvider"]
    )
    name = session.get_inputs()[0].name
    return lambda chips: session.run(None, {name: chips.astype(np.float32)})


ENGINES: dict[str, tuple[str, Callable[[Weights], Call]]] = {
    "OpenVINO": ("openvino", OpenVinoEngine),
    "ONNX Runtime": ("onnxruntime", _onnx_runtime),
    "TensorFlow": ("tensorflow", TensorFlowEngine),
}


def available() -> list[str]:
    """The engines whose packages are installed."""
    return [name for name, (package, _) in ENGINES.items() if importlib.util.find_spec(package)]


def call_ms(calls: dict[str, Call], chips: Image, repeat: int) -> dict[str, float]:
    """Median milliseconds of each call, taken in turns, after two calls to warm up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for round_ in range(repeat + 2):
        for name, call in calls.items():
            start = time.perf_counter()
            call(chips)
            if round_ >= 2:
                times[name].append(1e3 * (time.perf_counter() - start))
    return {name: statistics.median(values) for name, values in times.items()}


def start_s(engine: str, weights: str) -> float:
    """Seconds that a fresh process takes to load the engine and answer once."""
    command = [sys.executable, "-m", "benchmarks.engines", "--once", engine, "--weights", weights]
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True)
    return time.perf_counter() - start


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.engines")
    default = ["mobilenetv2_fairface", "ssrnet_fairface"]
    parser.add_argument("--weights", nargs="+", default=default, metavar="NAME")
    parser.add_argument("--repeat", type=number(int, 1), default=31)
    parser.add_argument("--once", choices=ENGINES, help=argparse.SUPPRESS)
    options = parser.parse_args(arguments)
    try:
        for name in options.weights:
            architecture = read_manifest()["models"][name]["architecture"]
            weights, size = find_weights(name, architecture), INPUT_SIZES[architecture]
            engines = [options.once] if options.once else available()
            calls = {engine: ENGINES[engine][1](weights) for engine in engines}
            if options.once:
                calls[options.once](np.zeros((1, size, size, 3), np.uint8))
                continue
            _show(name, calls, size, options.repeat)
    except StreamError as error:
        print(f"engines: {error}", file=sys.stderr)
        return 2
    return 0


def _show(name: str, calls: dict[str, Call], size: int, repeat: int) -> None:
    rng = np.random.default_rng(0)
    print(f"\n{name}, ms" + "".join(f"{f'batch {b}':>10}" for b in BATCHES) + f"{'start, s':>10}")
    rows: dict[str, list[float]] = {engine: [] for engine in calls}
    for batch in BATCHES:
        chips = rng.integers(0, 256, (batch, size, size, 3), np.uint8)
        for engine, ms in call_ms(calls, chips, repeat).items():
            rows[engine].append(ms)
    for engine, values in rows.items():
        figures = "".join(f"{value:10.1f}" for value in (*values, start_s(engine, name)))
        print(f"{engine:{len(name) + 4}}" + figures)


if __name__ == "__main__":
    sys.exit(main())
