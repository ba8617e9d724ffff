"""Which engine runs the networks fastest on this CPU: OpenVINO, ONNX Runtime, TensorFlow.

    python -m benchmarks.engines [--weights NAME ...] [--repeat N]

Prints median milliseconds a call at several batch sizes, the engines taking turns call
by call because machines drift, and the seconds from nothing to the first answer, each in
a process of its own. Engines that are not installed are left out, and int8 where the
weights have no such file. For GPUs see benchmarks.gpu.
"""

import argparse
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence

import numpy as np

from engines import make_engine
from engines.choose import installed
from errors import StreamError
from estimators.weights import Weights, find_weights, read_manifest
from program.options import number
from structures import Image

BATCHES = (1, 4, 8, 32)
INPUT_SIZES = {"mobilenetv2": 96, "ssrnet": 64}
Call = Callable[[Image], object]


ENGINES = {
    "OpenVINO": ("openvino", "float32"),
    "OpenVINO int8": ("openvino", "int8"),
    "ONNX Runtime": ("onnxruntime", "float32"),
    "ONNX Runtime int8": ("onnxruntime", "int8"),
    "TensorFlow": ("tensorflow", "float32"),
}


def available(weights: Weights) -> list[str]:
    """The engines whose packages and files there are."""
    kinds = {"float32": "onnx", "int8": "onnx_int8"}
    return [
        label
        for label, (engine, precision) in ENGINES.items()
        if installed(engine) and kinds[precision] in weights.files
    ]


def make_call(label: str, weights: Weights) -> Call:
    """The engine of that label as a function of chips."""
    name, precision = ENGINES[label]
    engine = make_engine(name, weights, device="cpu", precision=precision)
    return lambda chips: engine.submit(chips)()


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
            engines = [options.once] if options.once else available(weights)
            calls = {engine: make_call(engine, weights) for engine in engines}
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
