"""Fitting a network or heads: stages, schedule, averaged weights, best epoch, exact resume."""

from __future__ import annotations

import contextlib
import itertools
import math
import signal
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.chips import Chips
from training.fitting.checkpoint import Progress, restore, save_checkpoint
from training.fitting.held_out import Answers, metrics
from training.fitting.imitation import without_imitation
from training.fitting.networks import average, computing_in, freeze, make_optimizer
from training.fitting.objectives import Targets, losses
from training.fitting.run_log import write_log
from training.fitting.settings import TrainingSettings
from training.result_files import writing

# Most steps of one call of Keras' `fit`, during which the learning rate is constant: JAX reads
# it only between calls. A short epoch has about eight calls.
_CHUNK = 32

# Least steps of a warm-up that is cut short by `minutes`: EfficientNet-Lite0, at a rate of 1e-3
# after 30 steps, had the same features for all faces.
_WARMUP_STEPS = 250

# Inputs of a batch, and their rows (B,) int64.
Batches = Iterator[tuple[NDArray[Any], NDArray[np.int64]]]


@dataclass(frozen=True, slots=True)
class FitTask:
    """What a network is fitted to.

    Attributes:
        settings: of the run.
        targets: of all rows.
        steps: batches per epoch.
        batches: makes the batches of an epoch, from number `start` on.
        predict: returns a network's outputs for the held-out rows.
        held_out: their labels; they choose the epoch.
        folder: to write to.
        name: of the weights' file.
        settle: completes a network before it is measured and written, see `networks.settle`.
    """

    settings: TrainingSettings
    targets: Targets
    steps: int
    batches: Callable[[int, int], Batches]
    predict: Callable[[Any], Answers]
    held_out: Chips
    folder: Path
    name: str
    settle: Callable[[Any], None] | None = None

    @property
    def weights(self) -> Path:
        """The file of the kept epoch."""
        return self.folder / f"{self.name}.keras"

    @property
    def checkpoint(self) -> Path:
        """The file to resume from."""
        return self.folder / "checkpoint.npz"


class Fit:
    """One fit of a network.

    Args:
        task: what to fit it to.
        model: the network, with its first weights.
        progress: of an earlier run, whose checkpoint is then read.

    Raises:
        WeightsError: the checkpoint is of another network.
    """

    def __init__(self, task: FitTask, model: Any, progress: Progress) -> None:
        import keras

        self._task, self._model, self._progress = task, model, progress
        self._averaged = keras.models.clone_model(model)
        self._stop = False
        self._enter_stage()
        if progress.epoch or progress.step:
            same_stage = progress.frozen == self._is_frozen
            restore(task.checkpoint, model, optimizer_too=same_stage)
        progress.frozen = self._is_frozen

    def run(self) -> bool:
        """Fit until the end, or until Ctrl-C; return whether it is finished.

        The state is on disk then; SinkError if a file cannot be written.
        """
        task = self._task
        with computing_in(self._model, task.settings.precision), _signals(self._interrupt):
            if self._progress.step and self._time_is_up():  # interrupted then, by less time now
                self._after_epoch()
            while not self._progress.is_over(task.settings):
                if self._progress.frozen != self._is_frozen:
                    self._enter_stage()
                    self._progress.frozen = self._is_frozen
                if self._epoch():
                    self._after_epoch()
                if self._stop:
                    save_checkpoint(task.checkpoint, self._progress, self._model)
                    return False
        write_log(task.folder, self._progress.history, plot=True)
        return True

    @property
    def _is_frozen(self) -> bool:
        return self._progress.epoch < self._task.settings.frozen_epochs

    def _enter_stage(self) -> None:
        """Freeze what is not trained, and compile with an optimizer for the rest."""
        import keras

        settings, model = self._task.settings, self._model
        freeze(model, self._is_frozen, settings.frozen_norms, settings.frozen_share)
        functions, weights = losses(settings, self._task.targets.taught)
        optimizer = make_optimizer(settings, self._is_frozen)
        on_jax = keras.backend.backend() == "jax"
        model.compile(
            optimizer,
            loss=functions,
            loss_weights=weights,
            jit_compile="auto" if on_jax else settings.jit,
            auto_scale_loss=False,
        )
        optimizer.build(model.trainable_variables)

    def _time_is_up(self) -> bool:
        limit = self._task.settings.minutes
        return bool(limit) and self._progress.minutes >= limit

    def _epoch(self) -> bool:
        """Fit the rest of one epoch; return whether it is complete, or the time is up."""
        progress, steps = self._progress, self._task.steps
        title = f"epoch {progress.epoch + 1}/{self._task.settings.epochs}"
        source = self._task.batches(progress.epoch, progress.step)
        with tqdm(
            total=steps, initial=progress.step, desc=title, unit="step", leave=False, disable=None
        ) as bar:
            while progress.step < steps and not self._stop and not self._time_is_up():
                bar.update(self._fit_some(source))
                bar.set_postfix(loss=f"{progress.sums['loss'] / progress.step:.3f}")
        return progress.step >= steps or (self._time_is_up() and not self._stop)

    def _fit_some(self, source: Batches) -> int:
        """Fit to the end of a chunk of steps; return the number of steps run."""
        import keras

        progress, task = self._progress, self._task
        chunk = min(_CHUNK, max(4, task.steps // 8))
        start = progress.step // chunk * chunk
        end = min(start + chunk, task.steps)
        count = end - progress.step
        middle = progress.epoch + (start + end) / 2 / task.steps
        now = rate(task.settings, middle, progress.minutes, task.steps)
        self._model.optimizer.learning_rate = now
        # Counted as they begin: a callback at a step's end would wait for the GPU each time.
        begun: list[int] = []
        counter = keras.callbacks.LambdaCallback(
            on_train_batch_begin=lambda batch, logs: begun.append(batch)
        )
        began = time.monotonic()
        fitted = self._model.fit(
            ((inputs, task.targets.of(rows)) for inputs, rows in itertools.islice(source, count)),
            steps_per_epoch=count,
            shuffle=False,
            verbose=0,
            callbacks=[counter],
        )
        progress.minutes += (time.monotonic() - began) / 60
        progress.step += len(begun)
        for name, values in fitted.history.items():
            progress.sums[name] = progress.sums.get(name, 0.0) + values[0] * len(begun)
        return len(begun)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Finish the step on Ctrl-C; end at once on a second one."""
        if self._stop:
            raise KeyboardInterrupt
        self._stop = self._model.stop_training = True

    def _after_epoch(self) -> None:
        """Measure the averaged weights, save the kept ones, and log."""
        task, progress = self._task, self._progress
        self._average()
        line: dict[str, float] = {"epoch": progress.epoch + 1}
        line |= {name: total / progress.step for name, total in progress.sums.items()}
        line |= metrics(task.predict(self._averaged), task.held_out)
        line["rate"] = float(self._model.optimizer.learning_rate)
        line["minutes"] = round(progress.minutes, 3)
        if progress.add(line, last=task.settings.keep == "last"):
            with writing(task.weights) as beside:
                without_imitation(self._averaged).save(beside)
        save_checkpoint(task.checkpoint, progress, self._model)
        write_log(task.folder, progress.history)
        tqdm.write(" ".join(f"{name} {value:.4g}" for name, value in line.items()))

    def _average(self) -> None:
        """Set the averaged network's weights: their moving average, if there is one."""
        model = self._model
        current = model.get_weights()
        average(model.optimizer, model.trainable_variables)
        self._averaged.set_weights(model.get_weights())
        model.set_weights(current)
        if self._task.settle:
            self._task.settle(self._averaged)


@contextlib.contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Let a function handle Ctrl-C and SIGTERM for a while; only in the main thread."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    kinds = (signal.SIGINT, signal.SIGTERM)
    before = [signal.signal(kind, handler) for kind in kinds]
    try:
        yield
    finally:
        for kind, old in zip(kinds, before, strict=True):
            signal.signal(kind, old)


def rate(settings: TrainingSettings, epochs: float, minutes: float, steps: int) -> float:
    """Return the learning rate after `epochs`, with their fraction, and minutes of fitting.

    While the backbone is frozen: constant, after a warm-up. Then by the used share of the
    remaining epochs or of all minutes, whichever is larger, so that a slow machine still
    anneals to the end. Minutes never shorten the warm-up below `_WARMUP_STEPS`, of `steps`
    per epoch.
    """
    frozen = settings.frozen_epochs
    if epochs < frozen:
        used, highest = epochs / frozen, settings.frozen_rate or settings.rate
    else:
        used, highest = (epochs - frozen) / (settings.epochs - frozen), settings.rate
        if settings.minutes:
            used = max(used, minutes / settings.minutes)
    constant = epochs < frozen or settings.schedule == "constant"
    past = constant and used >= settings.warmup
    share = 1.0 if past else factor(used, settings.warmup)
    if settings.minutes and epochs >= frozen:
        needed = min(_WARMUP_STEPS, settings.warmup * (settings.epochs - frozen) * steps)
        share = min(share, _rise((epochs - frozen) * steps, needed))
    return highest * share


def _rise(done: float, needed: float) -> float:
    """Rise from 2 % to 1 until `done` reaches `needed`."""
    return 0.02 + 0.98 * done / needed if done < needed else 1.0


def factor(used: float, warmup: float) -> float:
    """Rise from 2 % during the warm-up, then half a cosine down to 1 %; of shares 0..1."""
    if used < warmup:
        return _rise(used, warmup)
    left = min(1.0, (used - warmup) / (1 - warmup))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * left))
