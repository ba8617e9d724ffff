"""The networks that an evaluation compares: loading, running and timing them."""

import ast
import importlib.util
import json
import time
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from engines.openvino_engine import shared_core
from errors import WeightsError
from estimators import ARCHITECTURES, Estimator, estimate_both_ways, make_estimator, networks
from estimators.facenet import NETWORK
from estimators.weights import read_manifest
from structures import Estimates, Image

BATCHES = 1, 8  # for which the time per face is measured
_BATCH = 64
_CALLS, _WARM_UP = 25, 3


@dataclass(slots=True)
class Contender:
    """One network under test.

    Attributes:
        name: as shown; differs between contenders.
        estimator: the network.
        ms: batch size -> milliseconds per face, as measured here.
    """

    name: str
    estimator: Estimator
    ms: dict[int, float] = field(default_factory=dict)


def load(
    choices: Sequence[str],
    architecture: str | None,
    make: Callable[..., Estimator] = make_estimator,
    **engine: Any,
) -> list[Contender]:
    """Load networks.

    Args:
        choices: names of weights/manifest.json, and .keras and .onnx files; empty = all shipped
            ones that can run; those of facenet must be converted first.
        architecture: of the files; None = found by `architecture_of`.
        make: builds an estimator.
        engine: further arguments of `make`.

    Raises:
        WeightsError: unknown, missing, damaged, or of an unknown architecture.
        EngineError: the engine cannot be used.
    """
    models = read_manifest()["models"]
    found: list[Contender] = []
    shipped = [n for n, m in models.items() if m["architecture"] != "facenet" or NETWORK.is_file()]
    for choice in dict.fromkeys(choices or shipped):
        if choice in models:
            name, kind = choice, models[choice]["architecture"]
        else:
            name, kind = Path(choice).stem, architecture or architecture_of(Path(choice), models)
        if name in (one.name for one in found):
            name = choice  # two files of the same name
        found.append(Contender(name, make(kind, choice, **engine)))
    return found


def architecture_of(path: Path, known: Sequence[str] = ()) -> str:
    """Return a file's architecture: from the record of its training, or by its chips' size.

    `known` are valid names, for the message. WeightsError if there is no such .keras or .onnx
    file, or no architecture takes such chips.
    """
    suffix = path.suffix.lower()
    if suffix not in (".keras", ".onnx"):
        names = ", ".join(known) or "none"
        raise WeightsError(
            f"no weights called {str(path)!r}; known: {names}, or give a .keras or .onnx file"
        )
    if not path.is_file():
        raise WeightsError(f"weights file {path} does not exist; check the path")
    recorded = _recorded(path.with_suffix(".json"))
    if recorded in ARCHITECTURES:
        return recorded
    side = _keras_side(path) if suffix == ".keras" else _onnx_side(path)
    sides = {name: _side_of(name) for name in ARCHITECTURES}
    for name, wanted in sides.items():
        if wanted == side:
            return name
    fitting = ", ".join(f"{name} {wanted}" for name, wanted in sides.items() if wanted)
    raise WeightsError(
        f"{path} takes chips of {side or 'unknown'} pixels, but {fitting}; "
        "name its architecture with --estimator"
    )


def estimate_all(
    estimator: Estimator,
    images: Image,
    tick: Callable[[int], object] = lambda done: None,
    both_ways: bool = False,
) -> Estimates:
    """Run a network on all of `images`, (N, S, S, 3) uint8 RGB; row i belongs to chip i.

    S is its `input_size`; `tick` is called with the number of chips done. With `both_ways`
    each answer is the mean of the chip's and its mirror image's.

    Raises:
        WeightsError: the network returns NaN.
    """
    estimate = partial(estimate_both_ways, estimator) if both_ways else estimator.estimate
    parts = [estimate(images[:0])]
    for start in range(0, len(images), _BATCH):
        parts.append(estimate(images[start : start + _BATCH]))
        tick(len(parts[-1]))
    races = [part.ethnicity_probs for part in parts if part.ethnicity_probs is not None]
    estimates = Estimates(
        np.concatenate([part.age_years for part in parts]),
        np.concatenate([part.age_spread_years for part in parts]),
        np.concatenate([part.female_prob for part in parts]),
        np.concatenate(races) if estimator.has_ethnicity else None,
    )
    if not (np.isfinite(estimates.age_years).all() and np.isfinite(estimates.female_prob).all()):
        raise WeightsError("the network returns NaN for some faces; its training has failed")
    return estimates


def time_ms(estimator: Estimator, images: Image, batch: int) -> float:
    """Return milliseconds per face: the median of 25 calls with `batch` chips each.

    The chips are taken from `images`, (N, S, S, 3) uint8 RGB, N >= 1, over and over.
    """
    chips = images[np.arange(batch) % len(images)]
    times = []
    for _ in range(_WARM_UP + _CALLS):
        start_s = time.perf_counter()
        estimator.estimate(chips)
        times.append(time.perf_counter() - start_s)
    return 1e3 * float(np.median(times[_WARM_UP:])) / batch


def _recorded(path: Path) -> str:
    """Return the architecture in a record of training, "" if there is none."""
    try:
        return str(json.loads(path.read_text(encoding="utf-8"))["settings"]["architecture"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""


def _keras_side(path: Path) -> int | None:
    """Return the side of the chips that a .keras file takes, without loading it."""
    try:
        with zipfile.ZipFile(path) as parts:
            layers = json.loads(parts.read("config.json"))["config"]["layers"]
        shape = layers[0]["config"]["batch_shape"]
        return int(shape[1])
    except (OSError, zipfile.BadZipFile, KeyError, IndexError, TypeError, ValueError) as error:
        raise WeightsError(f"{path} is damaged or not a functional Keras model") from error


def _onnx_side(path: Path) -> int | None:
    """Return the side of the chips that an .onnx file takes."""
    try:
        shape = shared_core().read_model(path).inputs[0].partial_shape
        return None if shape[1].is_dynamic else int(shape[1].get_length())
    except (RuntimeError, IndexError) as error:
        raise WeightsError(f"{path} is damaged or not an ONNX network") from error


def _side_of(architecture: str) -> int | None:
    """Read `INPUT_SIZE` in the architecture's module: importing some takes seconds."""
    spec = importlib.util.find_spec(f"{networks.__name__}.{architecture}")
    if spec is None or spec.origin is None:
        return None
    source = Path(spec.origin).read_text(encoding="utf-8")
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "INPUT_SIZE":
            return int(ast.literal_eval(node.value))
    return None
