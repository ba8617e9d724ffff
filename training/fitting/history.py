"""The log of a run: a table, curves as a picture, and a file for TensorBoard."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from training.files import writing
from training.fitting.events import write_events

_Line = dict[str, float]
# Panels of the picture: title, and the columns of the log that it shows.
_PANELS = (
    ("loss, by head", ("loss", "age_loss", "gender_loss", "race_loss")),
    ("error of age on held-out faces, years", ("age_mae_years",)),
    (
        "share right on held-out faces",
        ("cs5", "class_accuracy", "gender_accuracy", "ethnicity_accuracy"),
    ),
    ("learning rate", ("rate",)),
)


def write_history(folder: Path, history: Sequence[_Line], plot: bool = False) -> None:
    """Write log.csv and the events for TensorBoard, and history.png where `plot` says so.

    Args:
        folder: to write to.
        history: a line for each epoch, at least one, all with the same columns.
        plot: the picture takes a second, so it is made at the end.

    Raises:
        SinkError: a file cannot be written.
    """
    if not history:
        return
    with writing(folder / "log.csv") as part, part.open("w", newline="") as file:
        writer = csv.DictWriter(file, list(history[0]))
        writer.writeheader()
        writer.writerows(history)
    write_events(folder / "tensorboard" / "events.out.tfevents.0000000001.run", history)
    if plot:
        with writing(folder / "history.png") as part:
            _figure(history).savefig(part, dpi=110)


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
