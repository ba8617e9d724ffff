"""Fitting heads to vectors, and asking them."""

from __future__ import annotations

import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from training.chips import Chips
from training.fitting.fit import factor
from training.fitting.held_out import Rows, metrics
from training.fitting.networks import average, make_optimizer
from training.fitting.objectives import losses, make_targets
from training.fitting.run_log import write_history
from training.fitting.settings import Settings
from training.fitting.vectors import Half
from training.result_files import writing

_BATCH = 1024  # of predictions
Answers = dict[str, NDArray[np.float32]]


@dataclass(frozen=True, slots=True)
class Data:
    """What is learnt.

    Attributes:
        chips: the labels, all sets one behind the other.
        views: (V, N, W) float16, see `training.fitting.vectors`.
        learnt: rows to learn.
        held_out: rows to choose the epoch by; no group is in both.
    """

    chips: Chips
    views: Half
    learnt: Rows
    held_out: Rows


def predict(model: Any, views: Half) -> Answers:
    """Answers averaged over the views of (V, N, W) vectors; name -> (N, K)."""
    found = [
        [
            model.predict_on_batch(view[start : start + _BATCH].astype(np.float32))
            for start in range(0, len(view), _BATCH)
        ]
        for view in views
    ]
    return {
        name: np.mean([np.concatenate([p[name] for p in parts]) for parts in found], axis=0)
        for name in found[0][0]
    }


class Fit:
    """One fit of heads.

    Attributes:
        history: a line for each epoch.
        best: that of the best one.
    """

    def __init__(self, settings: Settings, data: Data, model: Any, target: Path) -> None:
        """Prepares to fit `model` and to save its best epoch as `target`."""
        import keras

        self.history: list[dict[str, float]] = []
        self.best: dict[str, float] = {}
        self._settings, self._data, self._model, self._target = settings, data, model, target
        self._targets = make_targets(data.chips, settings)
        self._held_out = data.chips.take(data.held_out)
        self._steps = len(data.learnt) // settings.batch
        functions, weights = losses(settings, False)
        optimizer = make_optimizer(settings, False)
        # A second model over the same layers has the optimizer: the first is saved without it.
        self._trainer = keras.Model(model.inputs, model.output)
        self._trainer.compile(optimizer, loss=functions, loss_weights=weights, jit_compile=False)

    def run(self) -> None:
        """Fits all epochs; the file then holds the best one."""
        epochs = tqdm(range(self._settings.epochs), unit="epoch", disable=None)
        began = time.monotonic()
        for epoch in epochs:
            fitted = self._trainer.fit(
                self._batches(epoch),
                steps_per_epoch=self._steps,
                shuffle=False,
                verbose=0,
                callbacks=[self._scheduling(epoch)],
            )
            line = {"epoch": float(epoch + 1)}
            line |= {name: values[0] for name, values in fitted.history.items()}
            current = self._model.get_weights()
            average(self._trainer.optimizer, self._model.trainable_variables)
            line |= self._measure()
            line["rate"] = float(self._trainer.optimizer.learning_rate)
            line["minutes"] = round((time.monotonic() - began) / 60, 3)
            self.history.append(line)
            if not self.best or line["score"] < self.best["score"]:
                self.best = line
                with writing(self._target) as part:
                    self._model.save(part)
            self._model.set_weights(current)
            write_history(self._target.parent, self.history)
            epochs.set_postfix(age=f"{line.get('age_mae_years', math.nan):.2f}")
        write_history(self._target.parent, self.history, plot=True)

    def _measure(self) -> dict[str, float]:
        """How well the held-out faces are told as they are."""
        view = self._data.views[:1, self._data.held_out]
        return metrics(predict(self._model, view), self._held_out)

    def _scheduling(self, epoch: int) -> Any:
        """Sets the rate of each step of an epoch."""
        import keras

        settings, optimizer = self._settings, self._trainer.optimizer

        def begin(step: int, logs: Any) -> None:
            used = (epoch + step / self._steps) / settings.epochs
            optimizer.learning_rate = settings.rate * factor(used, settings.warmup)

        return keras.callbacks.LambdaCallback(on_train_batch_begin=begin)

    def _batches(self, epoch: int) -> Iterator[Any]:
        """Every row to learn once, or as often as it is drawn, in one of its views."""
        settings, views = self._settings, self._data.views
        rng = np.random.default_rng([settings.seed, epoch])
        order = rng.permutation(self._data.learnt)
        if self._targets.chances is not None:
            chances = self._targets.chances[order]
            order = rng.choice(order, len(order), p=chances / chances.sum())
        for step in range(self._steps):
            rows = order[step * settings.batch : (step + 1) * settings.batch]
            view = rng.integers(0, len(views), len(rows))
            yield views[view, rows].astype(np.float32), self._targets.of(rows)
