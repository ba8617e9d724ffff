"""What runs the networks: OpenVINO, ONNX Runtime, or Keras on TensorFlow.

An engine takes chips and gives named outputs. OpenVINO and ONNX Runtime read .onnx
files, TensorFlow the .keras file; none is imported before it is chosen. `engines.choose` says
which is chosen.
"""

import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from engines.choose import PRECISIONS, Way, first_that_works, require, ways
from engines.starting import compile_for_cpu, has_bfloat16, open_session, pieces
from errors import EngineError, WeightsError
from estimators.weights import Weights
from structures import Float32, Image

log = logging.getLogger(__name__)
Outputs = dict[str, Float32]
Pending = Callable[[], Outputs]

_PRECISIONS_OF = {
    Way("openvino", "cpu"): ("float32", "int8"),
    Way("onnxruntime", "cpu"): ("float32", "int8"),
    Way("onnxruntime", "gpu"): ("float32",),
    Way("tensorflow", "cpu"): ("float32",),
    Way("tensorflow", "gpu"): ("float32", "float16"),
}


class Engine(Protocol):
    """Runs one network.

    Attributes:
        name: as `--engine` takes it.
        device: "cpu" or "gpu".
        precision: one of `engines.choose.PRECISIONS` but "auto".
        input_size: side of the chips it wants, pixels.
    """

    name: str
    device: str
    precision: str
    input_size: int

    def submit(self, chips: Image) -> Pending:
        """Start one forward pass; a GPU then works while the caller does something else.

        Args:
            chips: (B, S, S, 3) uint8 RGB, B >= 1; to be left alone until the answer is there.

        Returns:
            Waits for the answer and returns it: name -> (B, ...) float32. Engines on the CPU
            have done the work before, as no other processor could.
        """
        ...


class OpenVinoEngine:
    """The network on the CPU by OpenVINO."""

    name, device = "openvino", "cpu"

    def __init__(
        self,
        weights: Weights,
        threads: int = 0,
        precision: str = "float32",
        bfloat16: bool = False,
    ) -> None:
        """Compile the network.

        Args:
            weights: must have an .onnx file.
            threads: 0 = as many as there are cores.
            precision: "float32" or "int8".
            bfloat16: compute in bfloat16 what would be float32.

        Raises:
            WeightsError: the file is missing, damaged or not a network for chips.
        """
        self.precision = precision
        path = _onnx_path(weights, precision)
        try:
            _check_onnx_begin(path)
            self._network = compile_for_cpu(path, threads, bfloat16)
        except (RuntimeError, OSError) as error:
            raise WeightsError(f"{path} is not a network that OpenVINO can run") from error
        shapes = [_sizes(node.partial_shape) for node in self._network.inputs]
        self.input_size = chip_side(shapes, path)
        self._names = [output.any_name for output in self._network.outputs]

    def submit(self, chips: Image) -> Pending:
        """See `Engine`."""
        results = self._network(chips.astype(np.float32))
        outputs = {name: results[i] for i, name in enumerate(self._names)}
        return lambda: outputs


class OnnxRuntimeEngine:
    """The network by ONNX Runtime, on the CPU or with CUDA."""

    name = "onnxruntime"

    def __init__(
        self,
        weights: Weights,
        threads: int = 0,
        device: str = "cpu",
        precision: str = "float32",
        pad: bool | None = None,
    ) -> None:
        """Load the network.

        Args:
            weights: must have an .onnx file.
            threads: on the CPU, 0 = as many as there are cores.
            device: "cpu" or "gpu".
            precision: "float32" or "int8".
            pad: whether batches are filled up, see `engines.starting.pieces`; None = on GPUs.

        Raises:
            EngineError: the GPU cannot be used.
            WeightsError: the file is missing, damaged or not a network for chips.
        """
        self.device, self.precision = device, precision
        self._pad = device == "gpu" if pad is None else pad
        path = _onnx_path(weights, precision)
        try:
            self._session = open_session(path, threads, device)
        except RuntimeError as error:
            raise WeightsError(f"{path} is not a network that ONNX Runtime can run") from error
        inputs = self._session.get_inputs()
        shapes = [tuple(n if isinstance(n, int) else None for n in each.shape) for each in inputs]
        self.input_size = chip_side(shapes, path)
        self._input = inputs[0].name
        self._names = [output.name for output in self._session.get_outputs()]

    def submit(self, chips: Image) -> Pending:
        """See `Engine`."""
        parts = pieces(chips) if self._pad else [(chips, len(chips))]
        outputs = join([(self._run(piece), rows) for piece, rows in parts])
        return lambda: outputs

    def _run(self, chips: Image) -> Outputs:
        try:
            results = self._session.run(None, {self._input: chips.astype(np.float32)})
        except Exception as error:  # its exceptions have no base of their own
            raise RuntimeError(f"ONNX Runtime: {error}") from error
        return dict(zip(self._names, results, strict=True))


def make_engine(
    name: str, weights: Weights, threads: int = 0, device: str = "auto", precision: str = "auto"
) -> Engine:
    """Build the engine called `name`, or with "auto" the quickest for this machine.

    Args:
        name: "auto" or one of `engines.choose.ENGINES`.
        weights: what it runs.
        threads: on the CPU, 0 = as many as there are cores.
        device: one of `engines.choose.DEVICES`.
        precision: one of `engines.choose.PRECISIONS`; see `choose_precision`.

    Raises:
        ValueError: unknown engine, device or precision.
        EngineError: not installed, without the device, or without the precision.
        WeightsError: the engine cannot use these weights.
    """
    if precision not in PRECISIONS:
        raise ValueError(f"precision must be one of {', '.join(PRECISIONS)}, got {precision!r}")

    def build(way: Way) -> Engine:
        require(way)
        chosen = choose_precision(way, precision)
        log.info("%s on the %s in %s", way.engine, way.device.upper(), chosen)
        if way.engine == "openvino":
            short = weights.bfloat16 and precision == "auto" and has_bfloat16()
            return OpenVinoEngine(weights, threads, chosen, short)
        if way.engine == "onnxruntime":
            return OnnxRuntimeEngine(weights, threads, way.device, chosen)
        from engines.tensorflow_engine import TensorFlowEngine

        return TensorFlowEngine(weights, threads, way.device, chosen)

    return first_that_works(ways(name, device, weights.files), build)


def choose_precision(way: Way, precision: str) -> str:
    """The precision to compute in, "auto" resolved.

    That is float16 on TensorFlow's GPUs, else float32: on CPUs int8 saves a fifth of a stage
    that is a small part of the whole, and it moves single ages by a quarter of a year.

    Raises:
        EngineError: the engine does not have the one asked for.
    """
    having = _PRECISIONS_OF[way]
    if precision == "auto":
        return "float16" if "float16" in having else "float32"
    if precision not in having:
        raise EngineError(
            f"engine {way.engine} on the {way.device.upper()} does not compute in {precision}; "
            f"use --precision {' or '.join(having)}"
        )
    return precision


def join(parts: Sequence[tuple[Outputs, int]]) -> Outputs:
    """Join the outputs of successive pieces, of each the first so many rows; see `pieces`."""
    first = parts[0][0]
    return {name: np.concatenate([part[name][:rows] for part, rows in parts]) for name in first}


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


def _onnx_path(weights: Weights, precision: str) -> Path:
    return weights.path("onnx_int8" if precision == "int8" else "onnx")


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
