"""Retrain the age head of a trained network on the features that it has, in a minute.

    python -m training.refit FILE.keras --data DIR --out OTHER.keras
    python -m training.refit FILE.keras --data DIR --out OTHER.keras --set draw_by_age=1

All other layers stay as they are, and so do gender and ethnicity. The features of the chips and
of their mirror images are computed once, so many balances of ages can be tried, and sets can be
learnt that are too small for the whole network. CONFIG (default: training/configs/refit.toml)
has the settings of `training.train`, of which those of ages and of their fitting are used.
The printed errors are of held-out rows of the train split: for sets that the network was trained
on they are lower than for new ones.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engines.tensorflow_engine import start_tensorflow
from errors import WeightsError
from estimators.age import decode_age
from estimators.networks.heads import AGE_HEADS
from program.options import OneLineParser
from training.chips import Chips, join, load_train, shrink, years_outside
from training.fitting.fit import factor
from training.fitting.held_out import Rows, hold_out
from training.fitting.objectives import losses, make_targets
from training.fitting.settings import TrainingSettings, read_settings
from training.records import write_derived
from training.result_files import writing
from training.tools import run_tool

Floats = NDArray[np.float32]
_USED = ("sets", "limit", "held_out", "seed", "epochs", "batch", "rate", "warmup", "decay",
         "age_loss", "label_sd", "distance_weight", "mean_weight", "variance_weight",
         "range_weight", "open_years", "draw_by_age", "weigh_age")  # fmt: skip
_UNUSED = {field.name for field in dataclasses.fields(TrainingSettings)} - set(_USED)
_LAYERS = ("age_hidden", "age_dropout", "age_logits", "age", "age_blur")
_BATCH = 256


def age_layers(model: Any) -> list[Any]:
    """Return the layers of the age head, in their order.

    Raises:
        WeightsError: the network has no age head that can be retrained.
    """
    layers = [layer for layer in model.layers if layer.name.startswith("age")]
    if not {"age_logits", "age"} <= {layer.name for layer in layers} <= set(_LAYERS):
        raise WeightsError("the network has no age head with a distribution or classes")
    return layers


def _age_of(model: Any) -> str:
    """Return how the network answers age, one of `AGE_HEADS`."""
    width = age_layers(model)[-1].output.shape[-1]
    return next(name for name, known in AGE_HEADS.items() if known == width)


def features(model: Any, images: NDArray[np.uint8]) -> Floats:
    """Return the age head's input, `(2, N, D)`, of chips and of their mirror images.

    `images` are `(N, S, S, 3)` uint8 RGB of any size.
    """
    import keras

    size = model.inputs[0].shape[1]
    below = keras.Model(model.inputs, age_layers(model)[0].input)
    views: tuple[list[Any], list[Any]] = [], []
    for i in range(0, len(images), _BATCH):
        chips = shrink(images[i : i + _BATCH], size).astype(np.float32)
        for view, seen in zip(views, (chips, chips[:, :, ::-1]), strict=True):
            view.append(np.asarray(below.predict_on_batch(np.ascontiguousarray(seen))))
    return np.stack([np.concatenate(view) for view in views])


def refit(model: Any, inputs: Floats, chips: Chips, settings: TrainingSettings) -> list[str]:
    """Train the age head of `model`, in place.

    Args:
        model: the network.
        inputs: `(V, N, D)` features of V views of the chips, the chips themselves first.
        chips: the labels.
        settings: of the run.

    Returns:
        Lines for people: the error on held-out rows before and after.

    Raises:
        DatasetError: there are too few groups of faces.
    """
    learnt, held_out = hold_out(chips.groups, settings.held_out, settings.seed)
    head = _head(model, inputs.shape[2])
    before = _errors(head, inputs[0, held_out], chips.take(held_out))
    _train(head, inputs, chips, learnt, settings)
    after = _errors(head, inputs[0, held_out], chips.take(held_out))
    return [f"{name}: {old:.2f} -> {after[name]:.2f} years outside" for name, old in before.items()]


def _head(model: Any, width: int) -> Any:
    """Return a network of the age head alone, from `(B, width)` features, with its weights."""
    import keras

    entry = keras.Input((width,))
    age = entry
    for layer in age_layers(model):
        layer.trainable = layer.name != "age_blur"
        age = layer(age)
    return keras.Model(entry, age)


def _train(
    head: Any, inputs: Floats, chips: Chips, learnt: Rows, settings: TrainingSettings
) -> None:
    import keras

    targets = make_targets(chips, settings)
    chances = None
    if targets.chances is not None:
        chances = targets.chances[learnt] / targets.chances[learnt].sum()
    head.compile(
        keras.optimizers.AdamW(settings.rate, weight_decay=settings.decay),
        loss=losses(settings, taught=False)[0]["age"],
    )
    rng = np.random.default_rng(settings.seed)
    steps = settings.epochs * max(1, len(learnt) // settings.batch)
    for step in range(steps):
        rows = rng.choice(learnt, min(settings.batch, len(learnt)), p=chances)
        views = rng.integers(len(inputs), size=len(rows))
        head.optimizer.learning_rate = settings.rate * factor(step / steps, settings.warmup)
        head.train_on_batch(inputs[views, rows], targets.of(rows)["age"])


def _errors(head: Any, inputs: Floats, chips: Chips) -> dict[str, float]:
    """Return the mean distance from the labelled age or range: of all, and of each decade."""
    years = decode_age(np.asarray(head.predict_on_batch(inputs)), 1.0)[0]
    outside = years_outside(years, chips.age_low, chips.age_high)
    known = np.isfinite(outside)
    decade = np.minimum((chips.age_low + chips.age_high) / 2 // 10, 7)
    found = {"all": float(outside[known].mean())}
    for ten in range(8):
        rows = known & (decade == ten)
        if rows.any():
            found[f"{10 * ten}s" if ten < 7 else "70 and over"] = float(outside[rows].mean())
    return found


def run(options: argparse.Namespace) -> None:
    """Do what the command line says; print the lines of `refit`."""
    from estimators.networks.backbones import load_keras

    settings = read_settings(options.config, options.set, _UNUSED)
    start_tensorflow()
    model = load_keras(options.file)
    settings = dataclasses.replace(settings, age=_age_of(model))
    limit = settings.limit or None
    chips = join([load_train(options.data, name, limit) for name in settings.sets])
    lines = refit(model, features(model, chips.images), chips, settings)
    with writing(options.out) as beside:
        model.save(beside)
    write_derived(options.out, [options.file], settings.sets)
    print("\n".join(lines))


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; return the exit code."""
    parser = OneLineParser(prog="python -m training.refit", description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("file", type=Path, metavar="FILE.keras")
    add("config", nargs="?", type=Path, default=Path("refit"), metavar="CONFIG")
    add("--set", nargs="+", action="extend", default=[], metavar="KEY=VALUE")
    add("--data", type=Path, required=True, help="folder of the chip sets")
    add("--out", type=Path, required=True, metavar="FILE.keras", help="to write")
    options = parser.parse_args(arguments)
    if options.out.suffix != ".keras":
        parser.error(f"--out wants a .keras file, got {options.out}")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    return run_tool("refit", lambda: run(options))


if __name__ == "__main__":
    sys.exit(main())
