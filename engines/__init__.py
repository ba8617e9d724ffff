"""What runs the networks: the contract, and OpenVINO, ONNX Runtime or TensorFlow for it.

An engine takes chips and returns named outputs. OpenVINO and ONNX Runtime read .onnx files,
TensorFlow the .keras file; none is imported before it is chosen (`engines.choose`).
"""

import logging
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from engines.choose import PRECISIONS, Way, choose_precision, first_that_works, require, ways
from engines.onnx_reader import refuse_control_flow
from engines.pieces import Pending
from structures import Image

log = logging.getLogger(__name__)

# OpenVINO would tell a server of its maker's that it was imported; with this it has a stand-in.
sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]


class Engine(Protocol):
    """Runs one network, for any number of threads at once.

    Attributes:
        name: as `--engine` takes it.
        device: "cpu" or "gpu".
        precision: one of `engines.choose.PRECISIONS` but "auto".
        input_size: side of the chips it takes, pixels.
    """

    name: str
    device: str
    precision: str
    input_size: int

    def submit(self, chips: Image) -> Pending:
        """Start one forward pass; a GPU then works while the caller does something else.

        Thread-safe: each call gets the outputs of its own chips, in arrays that no later
        call changes.

        Args:
            chips: (B, S, S, 3) uint8 RGB, B >= 1; must not change before the result arrives.

        Returns:
            A function that waits for the result: name -> (B, ...) float32. On the CPU the
            work is done already, as no other processor could do it meanwhile.
        """
        ...


class NetworkFiles(Protocol):
    """The files of one network; see `estimators.weights.Weights`."""

    @property
    def files(self) -> Mapping[str, Path]:
        """Format ("onnx", "onnx_int8", "keras") -> path."""
        ...

    @property
    def bfloat16(self) -> bool:
        """Whether OpenVINO may compute in bfloat16 when no precision is requested."""
        ...

    def path(self, file_format: str) -> Path:
        """The checked file in that format; raises WeightsError if it has none."""
        ...


def make_engine(
    name: str,
    network: NetworkFiles,
    threads: int = 0,
    device: str = "auto",
    precision: str = "auto",
) -> Engine:
    """Build the engine called `name`, or with "auto" the fastest on this machine.

    Args:
        name: "auto" or one of `engines.choose.ENGINES`.
        network: what it runs.
        threads: on the CPU, 0 = one per core.
        device: one of `engines.choose.DEVICES`.
        precision: one of `engines.choose.PRECISIONS`; see `choose_precision`.

    Raises:
        ValueError: unknown engine, device or precision.
        EngineError: not installed, without the device, or without the precision.
        WeightsError: the engine cannot run this network.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")

    def build(way: Way) -> Engine:
        require(way)
        chosen = choose_precision(way, precision)
        log.info("%s on the %s in %s", way.engine, way.device.upper(), chosen)
        if way.engine == "tensorflow":
            from engines.tensorflow_engine import TensorFlowEngine

            return TensorFlowEngine(network.path("keras"), threads, way.device, chosen)
        path = network.path("onnx_int8" if chosen == "int8" else "onnx")
        refuse_control_flow(path)
        if way.engine == "onnxruntime":
            from engines.onnxruntime_engine import OnnxRuntimeEngine

            return OnnxRuntimeEngine(path, threads, way.device, chosen)
        from engines.openvino_engine import OpenVinoEngine, has_bfloat16

        short = network.bfloat16 and precision == "auto" and has_bfloat16()
        return OpenVinoEngine(path, threads, chosen, short)

    return first_that_works(ways(name, device, network.files), build)
