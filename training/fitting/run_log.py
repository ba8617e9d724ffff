"""A run's records beside its weights: the log of its epochs, and facts for NAME.json."""

from __future__ import annotations

import csv
import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from engines.tensorflow_engine import start_tensorflow
from structures import ETHNICITIES
from training.chips import Chips
from training.result_files import commit, versions, write_tfrecord, writing

log = logging.getLogger(__name__)
_Line = dict[str, float]
# Panels of history.png: title, and columns of the log.
_PANELS = (
    ("loss, by head", ("loss", "age_loss", "gender_loss", "race_loss")),
    ("error of age on held-out faces, years", ("age_mae_years",)),
    (
        "share correct on held-out faces",
        ("cs5", "class_accuracy", "gender_accuracy", "ethnicity_accuracy"),
    ),
    ("learning rate", ("rate",)),
)


def label_counts(chips: Chips) -> dict[str, Any]:
    """Count the rows, and those with each label."""
    known = np.isfinite(chips.age_low)
    decades = np.clip((chips.age_low[known] + chips.age_high[known]) // 20, 0, 9).astype(int)
    races = np.bincount(chips.race[chips.race >= 0], minlength=len(ETHNICITIES))
    return {
        "rows": len(chips),
        "female": int((chips.female == 1).sum()),
        "male": int((chips.female == 0).sum()),
        "age_by_decade": np.bincount(decades, minlength=10).tolist(),
        "ethnicity": dict(zip(ETHNICITIES, races.tolist(), strict=True)),
    }


def made_with() -> dict[str, str]:
    """Return the versions of what made the weights, and the git commit if known."""
    import keras

    found = versions(("numpy", "opencv-python", "keras"))
    return found | {"backend": keras.backend.backend()} | commit()


def write_log(folder: Path, history: Sequence[_Line], plot: bool = False) -> None:
    """Write log.csv and the events for TensorBoard, and with `plot` history.png, in a second.

    `history` has a line per epoch, all with the same columns; if empty, nothing is written.

    Raises:
        SinkError: a file cannot be written.
    """
    if not history:
        return
    with writing(folder / "log.csv") as beside, beside.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(history[0]))
        writer.writeheader()
        writer.writerows(history)
    _write_events(folder / "tensorboard" / "events.out.tfevents.0000000001.run", history)
    if plot:
        with writing(folder / "history.png") as beside:
            _figure(history).savefig(beside, dpi=110)


def _write_events(path: Path, history: Sequence[_Line]) -> None:
    """Write one scalar for each column and epoch of a log, replacing the file.

    A file of events is a TFRecord file. TensorFlow writes it whatever backend Keras runs on.
    """
    try:
        tf = start_tensorflow()
    except ImportError:
        log.info("%s needs TensorFlow; it is left out", path)
        return
    v1 = tf.compat.v1
    events = [v1.Event(file_version="brain.Event:2")]
    for line in history:
        numbers = {name: line[name] for name in line if name not in ("epoch", "minutes")}
        values = [v1.Summary.Value(tag=name, simple_value=n) for name, n in numbers.items()]
        seconds, epoch = 60 * line.get("minutes", 0.0), int(line["epoch"])
        events.append(v1.Event(wall_time=seconds, step=epoch, summary=v1.Summary(value=values)))
    write_tfrecord(path, (event.SerializeToString() for event in events))


def _figure(history: Sequence[_Line]) -> Any:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(11, 7), layout="constrained")
    epochs = [line["epoch"] for line in history]
    marker = "o" if len(history) < 30 else None
    for axes, (title, columns) in zip(figure.subplots(2, 2).flat, _PANELS, strict=True):
        for name in columns:
            if name in history[0]:
                values = [line[name] for line in history]
                axes.plot(epochs, values, marker=marker, markersize=3, label=name)
        axes.set_title(title, fontsize=10)
        axes.set_xlabel("epoch")
        axes.grid(alpha=0.3)
        if axes.lines:
            axes.legend(fontsize=8)
    best = min(history, key=lambda line: line["score"])
    figure.suptitle(f"best epoch: {best['epoch']:.0f} (score {best['score']:.3f}, less is better)")
    return figure
