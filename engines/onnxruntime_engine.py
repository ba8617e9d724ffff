"""ONNX Runtime: networks on the CPU, or on an NVIDIA GPU with CUDA."""

from pathlib import Path
from typing import Any

import numpy as np

from engines.pieces import Outputs, Pending, chip_side, join, pieces, unusable_gpu
from errors import WeightsError
from structures import Image


class OnnxRuntimeEngine:
    """The network by ONNX Runtime, on the CPU or with CUDA; see `engines.Engine`."""

    name = "onnxruntime"

    def __init__(
        self,
        path: Path,
        threads: int = 0,
        device: str = "cpu",
        precision: str = "float32",
        pad: bool | None = None,
    ) -> None:
        """Load an .onnx file; for the arguments see `engines.make_engine`.

        `pad` pads batches, see `engines.pieces.pieces`; None = on GPUs.

        Raises:
            EngineError: the GPU cannot be used.
            WeightsError: the file is damaged or not a network for chips.
        """
        self.device, self.precision = device, precision
        self._pad = device == "gpu" if pad is None else pad
        try:
            self._session = open_session(path, threads, device)
        except RuntimeError as error:
            raise WeightsError(f"{path} is not a network that ONNX Runtime can run") from error
        self.input_size = chip_side(input_shapes(self._session), path)
        self._input = self._session.get_inputs()[0].name
        self._names = [output.name for output in self._session.get_outputs()]

    def submit(self, chips: Image) -> Pending:
        """See `Engine`; sessions may be run by several threads."""
        parts = pieces(chips) if self._pad else [(chips, len(chips))]
        outputs = join([(self._run(piece), rows) for piece, rows in parts])
        return lambda: outputs

    def _run(self, chips: Image) -> Outputs:
        try:
            results = self._session.run(None, {self._input: chips.astype(np.float32)})
        except Exception as error:  # its exceptions have no common base
            raise RuntimeError(f"ONNX Runtime: {error}") from error
        return dict(zip(self._names, results, strict=True))


def open_session(model: Path | bytes, threads: int = 0, device: str = "cpu") -> Any:
    """Open an .onnx file, or the content of one, as an `onnxruntime.InferenceSession`.

    `threads` is for the CPU, 0 = one per core; `device` is "cpu" or "gpu".

    Raises:
        EngineError: the GPU cannot be used.
        RuntimeError: ONNX Runtime cannot read or run it.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    options.log_severity_level = 4  # errors are raised as well
    # Spinning threads take cores from the other threads, which then run six times slower.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    providers: list[Any] = ["CPUExecutionProvider"]
    if device == "gpu":
        onnxruntime.preload_dlls()  # CUDA's libraries from their Python packages
        # By default every new shape is timed with every algorithm, which takes seconds.
        providers.insert(0, ("CUDAExecutionProvider", {"cudnn_conv_algo_search": "HEURISTIC"}))
    source = model if isinstance(model, bytes) else str(model)
    try:
        session = onnxruntime.InferenceSession(source, options, providers=providers)
    except Exception as error:  # its exceptions have no common base
        if device == "gpu":
            raise unusable_gpu("onnxruntime") from error
        raise RuntimeError(f"ONNX Runtime: {error}") from error
    if device == "gpu" and "CUDAExecutionProvider" not in session.get_providers():
        raise unusable_gpu("onnxruntime")  # it would silently run on the CPU
    return session


def input_shapes(session: Any) -> list[tuple[int | None, ...]]:
    """The shapes of a session's inputs, None = any size."""
    shapes = [each.shape for each in session.get_inputs()]
    return [tuple(n if isinstance(n, int) else None for n in shape) for shape in shapes]
