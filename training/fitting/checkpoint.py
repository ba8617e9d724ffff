"""The state of a run on disk, from which it resumes exactly."""

from __future__ import annotations

import json
import zipfile
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from errors import SinkError, WeightsError
from training.fitting.settings import TrainingSettings
from training.result_files import writing

_KINDS = ("network", "optimizer")
# What may change when a run is resumed: neither weights nor order depend on these.
_MAY_CHANGE = ("epochs", "minutes", "patience", "workers")


@dataclass(slots=True)
class Progress:
    """How far a run is, without the weights of the network and the optimizer.

    Attributes:
        epoch: completed epochs.
        step: completed batches of the next epoch.
        minutes: spent on fitting.
        sums: mean losses of these batches times their number, by name.
        history: the log, a line per epoch.
        best: the line of the kept epoch: that with the lowest score, or the last.
        frozen: whether the optimizer is that of the frozen backbone.
        of: settings and data; a run is resumed only with the same.
    """

    epoch: int = 0
    step: int = 0
    minutes: float = 0.0
    sums: dict[str, float] = field(default_factory=dict)
    history: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, float] = field(default_factory=dict)
    frozen: bool = False
    of: dict[str, Any] = field(default_factory=dict)

    def add(self, line: dict[str, float], last: bool = False) -> bool:
        """Log a complete epoch; return whether its weights are kept: if better, or if `last`."""
        self.history.append(line)
        self.epoch, self.step, self.sums = self.epoch + 1, 0, {}
        better = last or not self.best or line["score"] < self.best["score"]
        if better:
            self.best = line
        return better

    def is_over(self, settings: TrainingSettings) -> bool:
        """Whether the last epoch is done, the time is up, or patience has run out."""
        if self.epoch >= settings.epochs or (settings.minutes and self.minutes >= settings.minutes):
            return True
        if not settings.patience or not self.best or self.step:
            return False
        return self.epoch - self.best["epoch"] >= settings.patience


def begin(
    folder: Path, settings: TrainingSettings, digest: str, resume: bool, overwrite: bool = False
) -> Progress:
    """Return where a run starts: at the beginning, or with `resume` where its checkpoint is.

    `digest` is that of its data; `overwrite` starts over without `resume` if there is a
    checkpoint in `folder`.

    Raises:
        SinkError: the folder holds a run already, or one with other settings or data.
        WeightsError: the checkpoint cannot be read.
    """
    path = folder / "checkpoint.npz"
    of = {key: value for key, value in settings.public().items() if key not in _MAY_CHANGE}
    of["data"] = digest
    if not path.exists() or (overwrite and not resume):
        return Progress(of=of)
    if not resume:
        raise SinkError(
            f"{folder} holds a run already; add --resume to resume it, or choose another --out"
        )
    try:
        progress = Progress(**json.loads(_arrays(path)["progress"].tobytes()))
    except (ValueError, KeyError, TypeError) as error:
        raise _no_checkpoint(path) from error
    differing = [key for key in of if progress.of.get(key) != of[key]]
    if differing:
        raise SinkError(
            f"the run in {folder} has other {', '.join(differing)}; "
            "choose another --out or the same settings"
        )
    return progress


def save_checkpoint(path: Path, progress: Progress, model: Any) -> None:
    """Write the state, whole or not at all; SinkError if it cannot be written."""
    from keras import ops

    arrays = {"progress": np.frombuffer(json.dumps(asdict(progress)).encode(), np.uint8)}
    for kind, variables in zip(_KINDS, _variables(model), strict=True):
        for i, variable in enumerate(variables):
            arrays[f"{kind}{i}"] = np.asarray(ops.convert_to_numpy(variable))
    with writing(path) as beside, beside.open("wb") as file:
        np.savez(file, allow_pickle=False, **arrays)


def restore(path: Path, model: Any, optimizer_too: bool) -> None:
    """Load a checkpoint into a compiled model, and into its built optimizer.

    WeightsError if it cannot be read, or is of another network.
    """
    arrays = _arrays(path)
    pairs = list(zip(_KINDS, _variables(model), strict=True))
    for kind, variables in pairs if optimizer_too else pairs[:1]:
        shapes = [tuple(variable.shape) for variable in variables]
        found = [arrays[f"{kind}{i}"] for i in range(len(shapes)) if f"{kind}{i}" in arrays]
        if [value.shape for value in found] != shapes or f"{kind}{len(shapes)}" in arrays:
            raise WeightsError(f"{path} is of another architecture; choose another --out")
        for variable, value in zip(variables, found, strict=True):
            variable.assign(value)


def _arrays(path: Path) -> dict[str, np.ndarray]:
    try:
        with path.open("rb") as opened, np.load(opened) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise _no_checkpoint(path) from error


def _no_checkpoint(path: Path) -> WeightsError:
    return WeightsError(f"{path} is not a checkpoint of a run, or is damaged; choose another --out")


def _variables(model: Any) -> tuple[list[Any], list[Any]]:
    """Return those of the network, including its dropout's state, and of its optimizer."""
    return list(model.variables), list(model.optimizer.variables)
