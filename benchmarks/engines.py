"""Which engine runs the networks fastest on this CPU: OpenVINO, ONNX Runtime, TensorFlow.

    python -m benchmarks.engines [--weights NAME ...] [--repeat N]

Prints median milliseconds per call at several batch sizes and the seconds from start to the first
result, each in its own process. All networks on all engines take turns call by call because
machines drift, so the times of two networks can be compared.
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
from estimators.weights import Weights, named_weights
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


def times(networks: dict[str, Weights], repeat: int) -> dict[str, dict[str, list[float]]]:
    """Return the median ms of a call at each of BATCHES, by network, then by engine."""
    made = {
        (name, label): engine_of(label, weights)
        for name, weights in networks.items()
        for label in available(weights)
    }
    found: dict[str, dict[str, list[float]]] = {name: {} for name in networks}
    for batch in BATCHES:
        calls = {
            key: partial(answer, engine, noise_chips(engine, batch)) for key, engine in made.items()
        }
        for (name, label), ms in common.medians_ms(calls, repeat, warm=2).items():
            found[name].setdefault(label, []).append(ms)
    return found


@common.command(
    "engines",
    __doc__,
    flag("--weights", nargs="+", default=DEFAULT_WEIGHTS, metavar="NAME"),
    flag("--repeat", type=number(int, 1), default=31, metavar="N"),
    flag("--once", choices=ENGINES, help=argparse.SUPPRESS),
)
def main(options: argparse.Namespace) -> None:
    """Print a table per network."""
    networks = {name: named_weights(name) for name in options.weights}
    if options.once:
        engine = engine_of(options.once, networks[options.weights[0]])
        answer(engine, noise_chips(engine, 1))
        return
    heads = "".join(f"{head:>10}" for head in (*(f"batch {b}" for b in BATCHES), "start, s"))
    for name, engines in times(networks, options.repeat).items():
        print(f"\n{name}, ms{heads}")
        for label, values in engines.items():
            figures = "".join(f"{value:10.1f}" for value in (*values, start_s(label, name)))
            print(f"{label:{len(name) + 4}}" + figures)


if __name__ == "__main__":
    raise SystemExit(main())
