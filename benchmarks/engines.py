"""Which engine runs the networks fastest on this CPU: OpenVINO, ONNX Runtime, TensorFlow.

    python -m benchmarks.engines [--weights NAME ...] [--repeat N]

Prints median milliseconds per call at several batch sizes, the engines taking turns call by call
because machines drift, and the seconds from start to the first result, each in its own process.
Engines that are not installed are left out, and int8 if the weights have no such file. For GPUs
see benchmarks.gpu.
"""

import argparse
import time
from functools import partial

import numpy as np

from benchmarks import common
from benchmarks.common import flag
from engines import Engine, make_engine
from engines.choose import installed
from estimators.weights import Weights, find_weights, read_manifest
from program.options import number
from structures import Image

BATCHES = (1, 4, 8, 32)
DEFAULT_WEIGHTS = ["dlibresnet_fairface", "mobilenetv2_fairface", "ssrnet_fairface"]
ENGINES = {
    "OpenVINO": ("openvino", "float32"),
    "OpenVINO int8": ("openvino", "int8"),
    "ONNX Runtime": ("onnxruntime", "float32"),
    "ONNX Runtime int8": ("onnxruntime", "int8"),
    "TensorFlow": ("tensorflow", "float32"),
}


def available(weights: Weights) -> list[str]:
    """Return the engines whose packages and files exist."""
    kinds = {"float32": "onnx", "int8": "onnx_int8"}
    return [
        label
        for label, (engine, precision) in ENGINES.items()
        if installed(engine) and kinds[precision] in weights.files
    ]


def engine_of(label: str, weights: Weights) -> Engine:
    """Return the engine of a label, with those weights."""
    name, precision = ENGINES[label]
    return make_engine(name, weights, device="cpu", precision=precision)


def noise_chips(engine: Engine, count: int) -> Image:
    """Return noise, (count, S, S, 3) uint8, of the engine's input size."""
    side = engine.input_size
    return np.random.default_rng(0).integers(0, 256, (count, side, side, 3), np.uint8)


def answer(engine: Engine, chips: Image) -> object:
    """Run the engine's network on the chips."""
    return engine.submit(chips)()


def start_s(label: str, name: str) -> float:
    """Return the seconds that a fresh process takes to load an engine and run it once."""
    start = time.perf_counter()
    common.output_of(common.python("benchmarks.engines", "--once", label, "--weights", name))
    return time.perf_counter() - start


def show(name: str, weights: Weights, repeat: int) -> None:
    """Print the times of one network on each engine."""
    made = {label: engine_of(label, weights) for label in available(weights)}
    print(f"\n{name}, ms" + "".join(f"{f'batch {b}':>10}" for b in BATCHES) + f"{'start, s':>10}")
    rows: dict[str, list[float]] = {label: [] for label in made}
    for batch in BATCHES:
        calls = {
            label: partial(answer, engine, noise_chips(engine, batch))
            for label, engine in made.items()
        }
        for label, ms in common.medians_ms(calls, repeat, warm=2).items():
            rows[label].append(ms)
    for label, values in rows.items():
        figures = "".join(f"{value:10.1f}" for value in (*values, start_s(label, name)))
        print(f"{label:{len(name) + 4}}" + figures)


@common.command(
    "engines",
    __doc__,
    flag("--weights", nargs="+", default=DEFAULT_WEIGHTS, metavar="NAME"),
    flag("--repeat", type=number(int, 1), default=31, metavar="N"),
    flag("--once", choices=ENGINES, help=argparse.SUPPRESS),
)
def main(options: argparse.Namespace) -> None:
    """Print a table per network."""
    for name in options.weights:
        weights = find_weights(name, read_manifest()["models"][name]["architecture"])
        if options.once:
            engine = engine_of(options.once, weights)
            answer(engine, noise_chips(engine, 1))
        else:
            show(name, weights, options.repeat)


if __name__ == "__main__":
    raise SystemExit(main())
