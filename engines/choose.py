"""Which engine runs a network here, and on what; looks for files and packages, imports no engine.

OpenVINO is the fastest on CPUs. TensorFlow and ONNX Runtime use an NVIDIA GPU where
their CUDA libraries are installed; TensorFlow comes first, as it computes in half precision.
What is special about GPUs (padded batches, half precision, refusals, falling back) is
tested on the CPU; none of it has been run on a GPU yet.
"""

import importlib.util
import logging
import shutil
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from typing import NamedTuple, TypeVar

from errors import EngineError

log = logging.getLogger(__name__)
T = TypeVar("T")

ENGINES = ("openvino", "onnxruntime", "tensorflow")
DEVICES = ("auto", "cpu", "gpu")
PRECISIONS = ("auto", "float32", "float16", "int8")
_CPU_ENGINES = ("openvino", "onnxruntime")  # TensorFlow is slow there, and slow to start
_GPU_FORMATS = {"tensorflow": "keras", "onnxruntime": "onnx"}  # engine -> what it reads
_ON_CPU = {
    "openvino": "-r requirements-live.txt",
    "onnxruntime": "onnxruntime",
    "tensorflow": "'.[train]'",
}
_ON_GPU = {
    "tensorflow": "'.[gpu]'",
    "onnxruntime": "'.[gpu-onnxruntime]'",
}


class Way(NamedTuple):
    """How a network is run: an `engine` of `ENGINES`, on the `device` "cpu" or "gpu"."""

    engine: str
    device: str


ON_CPU = Way("openvino", "cpu")  # the default wherever one may be left out
_PRECISIONS_OF = {
    Way("openvino", "cpu"): ("float32", "int8"),
    Way("onnxruntime", "cpu"): ("float32", "int8"),
    Way("onnxruntime", "gpu"): ("float32",),
    Way("tensorflow", "cpu"): ("float32",),
    Way("tensorflow", "gpu"): ("float32", "float16"),
}


def has_gpu() -> bool:
    """Whether an NVIDIA driver is installed; calls no library."""
    return Path("/dev/nvidiactl").exists() or shutil.which("nvidia-smi") is not None


def installed(package: str) -> bool:
    """Whether a package, or one within it, can be imported; does not import it."""
    try:
        return importlib.util.find_spec(package) is not None
    except ModuleNotFoundError:  # the parent package
        return False


def _can_use_gpu(engine: str) -> bool:
    """Whether the variant with CUDA is installed: both also exist without."""
    if engine == "tensorflow":
        return installed("tensorflow") and installed("nvidia.cudnn")
    spec = importlib.util.find_spec("onnxruntime")
    if spec is None or spec.origin is None:
        return False
    return any((Path(spec.origin).parent / "capi").glob("*onnxruntime_providers_cuda.*"))


class Machine(NamedTuple):
    """What the choice depends on; tests describe other machines."""

    has_gpu: Callable[[], bool] = has_gpu
    can_use_gpu: Callable[[str], bool] = _can_use_gpu
    installed: Callable[[str], bool] = installed


THIS_MACHINE = Machine()


def ways(
    engine: str,
    device: str,
    formats: Collection[str] = ("keras", "onnx"),
    machine: Machine = THIS_MACHINE,
) -> list[Way]:
    """Return how a network can be run here, best first, at least one; see `first_that_works`.

    Args:
        engine: "auto" or one of `ENGINES`.
        device: one of `DEVICES`; "auto" is a GPU where one can be used, then the CPU.
        formats: of the files that exist; an engine of "auto" is one that reads them.
        machine: what is installed.

    Raises:
        ValueError: unknown engine or device.
        EngineError: a GPU was requested and cannot be used.
    """
    if engine not in ("auto", *ENGINES):
        raise ValueError(f"engine must be one of auto, {', '.join(ENGINES)}, got {engine!r}")
    if device not in DEVICES:
        raise ValueError(f"device must be one of {', '.join(DEVICES)}, got {device!r}")
    on_gpu = []
    if device != "cpu" and machine.has_gpu():
        fitting = [e for e, kind in _GPU_FORMATS.items() if engine == e or kind in formats]
        usable = [e for e in fitting if engine in ("auto", e) and machine.can_use_gpu(e)]
        on_gpu = [Way(each, "gpu") for each in usable]
    if device == "gpu":
        return on_gpu or _refuse_gpu(engine, machine)
    if engine == "auto":
        return [*on_gpu, Way(next(filter(machine.installed, _CPU_ENGINES), "openvino"), "cpu")]
    return [*on_gpu, Way(engine, "cpu")]


def first_that_works(choices: Sequence[Way], build: Callable[[Way], T]) -> T:
    """Build with the first choice that does not raise `EngineError`; the last one may.

    A missing CUDA library, with the driver installed, shows only when the engine is tried.
    """
    for way in choices[:-1]:
        try:
            return build(way)
        except EngineError as error:
            log.warning("%s; trying the next engine", error)
    return build(choices[-1])


def choose_precision(way: Way, precision: str) -> str:
    """Return the precision to compute in; EngineError if the engine lacks the requested one.

    "auto" is float16 on TensorFlow's GPUs, else float32: on CPUs int8 saves a fifth of a stage
    that is a small part of the whole, and it moves single ages by a quarter of a year.
    """
    known = _PRECISIONS_OF[way]
    if precision == "auto":
        return "float16" if "float16" in known else "float32"
    if precision not in known:
        raise EngineError(
            f"engine {way.engine} on the {way.device.upper()} does not compute in {precision}; "
            f"use --precision {' or '.join(known)}"
        )
    return precision


def require(way: Way, machine: Machine = THIS_MACHINE) -> None:
    """Raise `EngineError` with the remedy unless the engine's package is installed."""
    if not machine.installed(way.engine):
        raise EngineError(f"engine {way.engine} is not installed; install it with: {remedy(way)}")


def remedy(way: Way) -> str:
    """The command that installs the engine."""
    return f"pip install {(_ON_GPU if way.device == 'gpu' else _ON_CPU)[way.engine]}"


def _refuse_gpu(engine: str, machine: Machine) -> list[Way]:
    if engine == "openvino":
        raise EngineError("engine openvino runs on the CPU only; use --engine auto or --device cpu")
    if not machine.has_gpu():
        raise EngineError("no NVIDIA GPU was found; install NVIDIA's driver, or use --device cpu")
    fitting = Way("tensorflow" if engine == "auto" else engine, "gpu")
    raise EngineError(
        "nothing that is installed can use the GPU with these weights; "
        f"install one that can with: {remedy(fitting)}, or use --device cpu"
    )
