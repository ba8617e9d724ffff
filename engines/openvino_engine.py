"""OpenVINO: networks compiled for the CPU, safe to run from several threads."""

import functools
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from engines.pieces import Outputs, Pending, chip_side
from errors import WeightsError
from structures import Image


class OpenVinoEngine:
    """The network on the CPU by OpenVINO; see `engines.Engine`."""

    name, device = "openvino", "cpu"

    def __init__(
        self, path: Path, threads: int = 0, precision: str = "float32", bfloat16: bool = False
    ) -> None:
        """Compile an .onnx file; for the arguments see `engines.make_engine`, `CompiledNetwork`.

        Raises:
            WeightsError: the file is damaged or not a network for chips.
        """
        self.precision = precision
        try:
            _check_onnx_begin(path)
            self._network = CompiledNetwork(path, threads, bfloat16)
        except (RuntimeError, OSError) as error:
            raise WeightsError(f"{path} is not a network that OpenVINO can run") from error
        self.input_size = chip_side([sizes_of(node) for node in self._network.inputs], path)

    def submit(self, chips: Image) -> Pending:
        """See `Engine`."""
        outputs = self._network(chips.astype(np.float32))
        return lambda: outputs


class CompiledNetwork:
    """A network of one input, compiled for low latency on the CPU.

    Any number of threads may run it at once: each has its own inference request, because a
    request holds the arrays of one call. `inputs` and `outputs` are OpenVINO's nodes.
    """

    def __init__(self, model: Any, threads: int = 0, bfloat16: bool = False) -> None:
        """Compile the network.

        Args:
            model: an `openvino.Model`, or the path of a file.
            threads: 0 = one per core.
            bfloat16: compute in bfloat16, not float32; only where `has_bfloat16`.

        Raises:
            RuntimeError: OpenVINO cannot read or run it.
        """
        options: dict[str, Any] = {
            "PERFORMANCE_HINT": "LATENCY",
            # Always set: bfloat16, the default where the CPU has it, moves boxes.
            "INFERENCE_PRECISION_HINT": "bf16" if bfloat16 else "f32",
            "INFERENCE_NUM_THREADS": threads,
            "ENABLE_CPU_PINNING": False,  # a pinned thread waits for anything that shares its core
        }
        if isinstance(model, Path):
            model = str(model)
        self._compiled = shared_core().compile_model(model, "CPU", options)
        self._of_thread = threading.local()
        self.inputs, self.outputs = self._compiled.inputs, self._compiled.outputs
        self._names = [node.any_name if node.names else "" for node in self.outputs]

    def __call__(self, rows: np.ndarray) -> Outputs:
        """Outputs by name, arrays of the caller's own, for the (B, ...) of the input; B >= 1."""
        results = self._request().infer([rows], share_inputs=True)
        return {name: results[i] for i, name in enumerate(self._names)}

    def first_view(self, rows: np.ndarray) -> Any:
        """The first output as a view that this thread's next call overwrites."""
        return self._request().infer([rows], share_inputs=True, share_outputs=True)[0]

    def _request(self) -> Any:
        """This thread's inference request."""
        try:
            return self._of_thread.request
        except AttributeError:
            self._of_thread.request = self._compiled.create_infer_request()
            return self._of_thread.request


@functools.cache
def shared_core() -> Any:
    """The `openvino.Core` of this process, kept until its end.

    A core that went with its network would take the CPU plugin away while the plugin's own threads
    may still run, which crashes now and then. The plugin is loaded in a thread of its own: it
    gives the thread that loads it a signal stack, and a main thread left with one that is no more
    would crash at the next Ctrl-C.
    """
    import openvino

    core = openvino.Core()
    with ThreadPoolExecutor(max_workers=1) as worker:
        worker.submit(core.get_property, "CPU", "INFERENCE_PRECISION_HINT").result()
    return core


def has_bfloat16() -> bool:
    """Whether this CPU has bfloat16: only there is it OpenVINO's default."""
    import openvino

    default = shared_core().get_property("CPU", "INFERENCE_PRECISION_HINT")
    return default == openvino.Type.bf16


def sizes_of(node: Any) -> tuple[int | None, ...]:
    """The shape of an input or output, None = any size; () where even its rank is free."""
    shape = node.partial_shape
    if shape.rank.is_dynamic:
        return ()
    return tuple(None if size.is_dynamic else size.get_length() for size in shape)


def _check_onnx_begin(path: Path) -> None:
    """Raise RuntimeError unless the file begins as ONNX does, with the version's tag.

    OpenVINO tries one format after the other, and some of them complain on stderr.
    """
    with path.open("rb") as file:
        if file.read(1) != b"\x08":
            raise RuntimeError(f"{path} does not begin as an ONNX file")
