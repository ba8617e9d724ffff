"""Fitting the SSR-Net: the schedule, the choice of the best epoch, and the files."""

from __future__ import annotations

import argparse
import csv
import math
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

from training.chips import Chips, shrink, years_outside
from training.ssrnet_targets import age_loss


class Fit:
    """One fit: schedule, selection of the best epoch, files.

    Attributes:
        best: The log line of the epoch that `--out` holds.
    """

    def __init__(self, args: argparse.Namespace, model: Any, steps: int, held_out: Chips) -> None:
        """Prepares to fit `model` with `steps` batches in an epoch."""
        self.best = {"score": math.inf}
        self._args, self._model, self._steps, self._held_out = args, model, steps, held_out
        self._done = 0

    def run(self, source: Any) -> None:
        """Fits on batches of `source`; the file `--out` then holds the best epoch."""
        import keras

        args = self._args
        # A second model over the same layers has the optimizer: the first saves without it.
        trainer = keras.Model(self._model.inputs, self._model.output)
        optimizer = keras.optimizers.AdamW(
            args.rate, args.decay, global_clipnorm=2.0, use_ema=True, ema_momentum=0.998
        )
        optimizer.exclude_from_weight_decay(var_names=["bias", "gamma", "beta"])
        losses = {"age": age_loss, "gender": "categorical_crossentropy"}
        trainer.compile(optimizer, loss=losses, jit_compile=False)
        optimizer.build(trainer.trainable_variables)
        self._trainer, self._started = trainer, time.monotonic()
        callbacks = [
            keras.callbacks.SwapEMAWeights(swap_on_epoch=True),
            keras.callbacks.LambdaCallback(
                on_train_batch_begin=self._before_batch, on_epoch_end=self._after_epoch
            ),
        ]
        trainer.fit(
            source,
            steps_per_epoch=self._steps,
            epochs=args.epochs,
            callbacks=callbacks,
            shuffle=False,
            verbose=1 if sys.stdout.isatty() else 2,
        )

    def _before_batch(self, batch: int, logs: Any = None) -> None:
        """Sets the rate by the used share of epochs or minutes, whichever is larger.

        So a slow machine, or one that others use too, still anneals to the end.
        """
        used = self._done / (self._steps * self._args.epochs)
        if self._args.minutes:
            used = max(used, self._minutes() / self._args.minutes)
        self._trainer.stop_training = used >= 1
        self._trainer.optimizer.learning_rate = self._args.rate * schedule(used)
        self._done += 1

    def _after_epoch(self, epoch: int, logs: dict[str, float]) -> None:
        """Logs, and saves; the averaged weights are in the model here."""
        line = {"epoch": epoch + 1, **logs, **metrics(self._model, self._held_out)}
        # Five points of gender weigh as much as a year of age.
        line["score"] = line["age_mae_years"] + 20 * (1 - line["gender_accuracy"])
        line["minutes"] = self._minutes()
        path = self._args.out
        with path.with_suffix(".csv").open("a" if epoch else "w", newline="") as file:
            writer = csv.DictWriter(file, list(line))
            if epoch == 0:
                writer.writeheader()
            writer.writerow(line)
        save(self._model, path.with_suffix(".last.keras"))
        if line["score"] < self.best["score"]:
            self.best = line
            save(self._model, path)
        print(" ".join(f"{k} {v:.4g}" for k, v in line.items()), flush=True)

    def _minutes(self) -> float:
        return (time.monotonic() - self._started) / 60


def schedule(used: float) -> float:
    """Factor on the learning rate: 4 % warm-up, then a cosine down to 1 %."""
    if used < 0.04:
        return 0.02 + 0.98 * used / 0.04
    return 0.01 + 0.99 * 0.5 * (1 + math.cos(math.pi * min(1.0, (used - 0.04) / 0.96)))


def metrics(model: Any, chips: Chips) -> dict[str, float]:
    """Measures on plain chips, without mirror images.

    Returns:
        Mean distance outside the labelled age (range), share of ages that round into it,
        and share of right genders.
    """
    out = model.predict(
        shrink(chips.images, model.input_shape[1]).astype(np.float32), 256, verbose=0
    )
    age, female = out["age"][:, 0], out["gender"][:, 1]
    outside = years_outside(age, chips.age_low, chips.age_high)
    return {
        "age_mae_years": float(outside.mean()),
        "age_in_range": float((outside <= 0.5).mean()),
        "gender_accuracy": float(((female > 0.5) == (chips.female > 0.5)).mean()),
    }


def save(model: Any, path: Path) -> None:
    """Writes the weights so that a crash never leaves half a file under this name."""
    part = path.with_suffix(".part.keras")
    model.save(part)
    part.replace(path)
