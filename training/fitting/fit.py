"""Fitting a network: stages, schedule, averaged weights, the best epoch, going on exactly."""

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

from tqdm import tqdm

from training.chips import Chips
from training.fitting.batches import Loader, Plan
from training.fitting.checkpoint import Progress, restore, save_checkpoint
from training.fitting.held_out import metrics, predict
from training.fitting.networks import average, computing_in, freeze, make_optimizer
from training.fitting.objectives import Targets, losses
from training.fitting.run_log import write_history
from training.fitting.settings import Settings
from training.result_files import writing

# Most steps of one call of `fit`, in which the learning rate does not change; a short epoch
# has about eight of them.
_CHUNK = 32


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be fitted.

    Attributes:
        settings: of the run.
        images: `(N, S, S, 3)` uint8 RGB, all rows.
        targets: of these rows.
        plan: which of them are learnt, and in which order.
        held_out: chips to choose the epoch by.
        taught: whether the targets hold a teacher's answers.
        folder: to write to.
        name: of the weights' file.
    """

    settings: Settings
    images: Any
    targets: Targets
    plan: Plan
    held_out: Chips
    taught: bool
    folder: Path
    name: str

    @property
    def weights(self) -> Path:
        """The file of the epoch that is kept."""
        return self.folder / f"{self.name}.keras"

    @property
    def checkpoint(self) -> Path:
        """The file to go on from."""
        return self.folder / "checkpoint.npz"


class Fit:
    """One fit of a network.

    Attributes:
        progress: how far it is.
    """

    def __init__(self, job: Job, model: Any, progress: Progress) -> None:
        """Prepares to fit `model`, or to go on where `progress` and the checkpoint are.

        Raises:
            WeightsError: the checkpoint is of another network.
        """
        import keras

        self.progress = progress
        self._job, self._model = job, model
        self._averaged = keras.models.clone_model(model)
        self._stop = False
        resuming = bool(progress.epoch or progress.step)
        self._enter_stage()
        if resuming:
            same_stage = progress.frozen == self._is_frozen
            restore(job.checkpoint, model, optimizer_too=same_stage)
        progress.frozen = self._is_frozen

    def run(self) -> bool:
        """Fits until the end, or until Ctrl-C; the state is then on disk.

        Returns:
            Whether it came to its end.

        Raises:
            SinkError: a file cannot be written.
        """
        job = self._job
        with (
            Loader(job.images, job.plan, job.settings.workers) as loader,
            computing_in(self._model, job.settings.precision),
            _signals(self._interrupt),
        ):
            while not self.progress.is_over(job.settings):
                if self.progress.frozen != self._is_frozen:
                    self._enter_stage()
                    self.progress.frozen = self._is_frozen
                if self._epoch(loader):
                    self._after_epoch()
                if self._stop:
                    save_checkpoint(job.checkpoint, self.progress, self._model)
                    return False
        write_history(job.folder, self.progress.history, plot=True)
        return True

    @property
    def _is_frozen(self) -> bool:
        return self.progress.epoch < self._job.settings.frozen_epochs

    def _enter_stage(self) -> None:
        """Freezes what is to be frozen, and compiles with an optimizer for the rest."""
        import keras

        settings, model = self._job.settings, self._model
        freeze(model, self._is_frozen, settings.frozen_norms)
        functions, weights = losses(settings, self._job.taught)
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
        limit = self._job.settings.minutes
        return bool(limit) and self.progress.minutes >= limit

    def _epoch(self, loader: Loader) -> bool:
        """Fits the rest of one epoch; whether it is complete, or the time is up."""
        progress, steps = self.progress, self._job.plan.steps
        title = f"epoch {progress.epoch + 1}/{self._job.settings.epochs}"
        source = loader.batches(progress.epoch, progress.step)
        with tqdm(
            total=steps, initial=progress.step, desc=title, unit="step", leave=False, disable=None
        ) as bar:
            while progress.step < steps and not self._stop and not self._time_is_up():
                done = self._fit_some(source)
                bar.update(done)
                bar.set_postfix(loss=f"{progress.sums['loss'] / progress.step:.3f}")
        return progress.step >= steps or (self._time_is_up() and not self._stop)

    def _fit_some(self, source: Iterator[Any]) -> int:
        """Fits up to the end of a chunk of steps; gives how many it were."""
        import keras

        progress, settings = self.progress, self._job.settings
        steps = self._job.plan.steps
        chunk = min(_CHUNK, max(4, steps // 8))
        start = progress.step // chunk * chunk
        end = min(start + chunk, steps)
        count = end - progress.step
        middle = progress.epoch + (start + end) / 2 / steps
        self._model.optimizer.learning_rate = rate(settings, middle, progress.minutes)
        # Counted as they begin: what hears of a step's end must wait for the GPU each time.
        begun: list[int] = []
        counter = keras.callbacks.LambdaCallback(
            on_train_batch_begin=lambda batch, logs: begun.append(batch)
        )
        began = time.monotonic()
        fitted = self._model.fit(
            self._feed(itertools.islice(source, count)),
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

    def _feed(self, batches: Iterator[Any]) -> Iterator[Any]:
        for images, rows in batches:
            yield images, self._job.targets.of(rows)

    def _interrupt(self, number: int, frame: FrameType | None) -> None:
        """Ctrl-C: the step is finished; a second one ends at once."""
        if self._stop:
            raise KeyboardInterrupt
        self._stop = self._model.stop_training = True

    def _after_epoch(self) -> None:
        """Measures the averaged weights, and saves them if they are to be kept; logs."""
        job, progress = self._job, self.progress
        self._average()
        line: dict[str, float] = {"epoch": progress.epoch + 1}
        line |= {name: total / progress.step for name, total in progress.sums.items()}
        line |= metrics(predict(self._averaged, job.held_out.images), job.held_out)
        line["rate"] = float(self._model.optimizer.learning_rate)
        line["minutes"] = round(progress.minutes, 3)
        if progress.add(line, last=job.settings.keep == "last"):
            with writing(job.weights) as part:
                self._averaged.save(part)
        save_checkpoint(job.checkpoint, progress, self._model)
        write_history(job.folder, progress.history)
        tqdm.write(" ".join(f"{k} {v:.4g}" for k, v in line.items()))

    def _average(self) -> None:
        """Gives the averaged network its weights: the mean of the last ones, where there is one."""
        model, optimizer = self._model, self._model.optimizer
        current = model.get_weights()
        average(optimizer, model.trainable_variables)
        self._averaged.set_weights(model.get_weights())
        model.set_weights(current)


@contextlib.contextmanager
def _signals(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Hands Ctrl-C and SIGTERM to a function for a while; only the main thread may."""
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


def rate(settings: Settings, epochs: float, minutes: float) -> float:
    """The learning rate after so many epochs and minutes.

    While the backbone is frozen: constant, after a warm-up. Then by the used share of the
    remaining epochs or of all minutes, whichever is larger: so a slow machine, or one that
    others use too, still anneals to the end.

    Args:
        settings: of the run.
        epochs: done, with their fraction.
        minutes: spent on fitting.
    """
    frozen = settings.frozen_epochs
    if epochs < frozen:
        rising = settings.warmup and epochs / frozen < settings.warmup
        warm = factor(epochs / frozen, settings.warmup) if rising else 1.0
        return (settings.frozen_rate or settings.rate) * warm
    used = (epochs - frozen) / (settings.epochs - frozen)
    if settings.minutes:
        used = max(used, minutes / settings.minutes)
    if settings.schedule == "constant":
        return settings.rate * (factor(used, settings.warmup) if used < settings.warmup else 1.0)
    return settings.rate * factor(used, settings.warmup)


def factor(used: float, warmup: float) -> float:
    """A rise from 2 % during the warm-up, then half a cosine down to 1 %; of shares 0..1."""
    if used < warmup:
        return 0.02 + 0.98 * used / warmup
    left = min(1.0, (used - warmup) / (1 - warmup))
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * left))
