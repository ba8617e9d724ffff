"""What is kept of a run beside its weights: the log, curves, and the record NAME.json."""

from __future__ import annotations

import csv
import dataclasses
import json
import platform
import struct
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from structures import ETHNICITIES
from training.chips import Chips, load_chips
from training.fitting.checkpoint import Progress
from training.fitting.held_out import metrics, predict, spread_scale
from training.fitting.settings import Settings
from training.fitting.training_data import Data
from training.labels import read_table
from training.result_files import git, writing

if TYPE_CHECKING:
    from training.fitting.fit import Job


def write_record(path: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON.

    Raises:
        SinkError: it cannot be written.
    """
    with writing(path) as part:
        part.write_text(json.dumps(record, indent=2) + "\n", "utf-8")


def settings_of(settings: Settings) -> dict[str, Any]:
    """All settings; of files the name alone, as folders are nobody's business."""
    values = dataclasses.asdict(settings)
    for key in ("backbone", "init", "teacher"):
        values[key] = Path(values[key]).name if values[key] else ""
    return values


def counts(chips: Chips) -> dict[str, Any]:
    """How many rows there are, and of which labels."""
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


def versions() -> dict[str, str]:
    """Versions of what made the weights, and the git commit where there is one."""
    import cv2
    import keras

    found = {"python": platform.python_version(), "numpy": np.__version__}
    found |= {"opencv": cv2.__version__, "keras": keras.__version__}
    found["backend"] = keras.backend.backend()
    commit = git("describe", "--always", "--abbrev=40", "--dirty")
    return found | {"commit": commit} if commit else found


def finish(job: Job, data: Data, progress: Progress, folder: Path) -> dict[str, Any]:
    """Measures the kept epoch on rows never learnt, and writes the record."""
    import keras

    model = keras.saving.load_model(job.weights, compile=False)
    answers = predict(model, job.held_out.images)
    record = {
        "architecture": job.settings.architecture,
        "settings": settings_of(job.settings),
        "data": {"learnt": counts(data.chips.take(job.plan.rows)), "digest": data.digest},
        "parameters": model.count_params(),
        "epochs": progress.epoch,
        "minutes": round(progress.minutes, 2),
        "best_epoch": progress.best["epoch"],
        "held_out": {"rows": len(job.held_out)} | metrics(answers, job.held_out),
        "spread_scale": spread_scale(answers, job.held_out),
        "test": {},
        "versions": versions(),
    }
    for name in job.settings.sets:
        if any(face.split == "test" for face in read_table(folder / f"{name}.csv")):
            chips = load_chips(folder, name, "test", job.settings.limit or None)
            found = metrics(predict(model, chips.images), chips)
            record["test"][name] = {"rows": len(chips)} | found
    write_record(job.folder / f"{job.name}.json", record)
    for name, found in (("held out", record["held_out"]), *record["test"].items()):
        print(f"{name}: " + ", ".join(f"{key} {value:.4g}" for key, value in found.items()))
    return record


def summarize(path: Path, records: Sequence[dict[str, Any]]) -> None:
    """Writes and tells mean and standard deviation over the folds."""
    names = [key for key in records[0]["held_out"] if key != "rows"]
    values = {name: [record["held_out"][name] for record in records] for name in names}
    summary = {
        name: {"mean": float(np.mean(each)), "sd": float(np.std(each, ddof=1)), "folds": each}
        for name, each in values.items()
    }
    write_record(path, {"folds": len(records), "held_out": summary})
    for name, found in summary.items():
        print(f"{name}: {found['mean']:.4g}, sd {found['sd']:.2g} over {len(records)} folds")


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


_POLYNOMIAL = 0x82F63B78  # CRC-32C (Castagnoli), bits reversed


def write_events(path: Path, history: Sequence[dict[str, float]]) -> None:
    """Write one scalar for each column and epoch of a log; the file is made anew.

    Args:
        path: its name wants `tfevents` in it.
        history: lines with `epoch` and `minutes`; the latter stand for the time.

    Raises:
        SinkError: it cannot be written.
    """
    version = _field(3, 2, b"brain.Event:2")
    records = [_record(_field(1, 1, struct.pack("<d", 0.0)) + version)]
    for line in history:
        head = _field(1, 1, struct.pack("<d", 60 * line.get("minutes", 0.0)))
        head += _field(2, 0, _varint(int(line["epoch"])))
        values = b"".join(
            _field(1, 2, _field(1, 2, name.encode()) + _field(2, 5, struct.pack("<f", value)))
            for name, value in line.items()
            if name not in ("epoch", "minutes")
        )
        records.append(_record(head + _field(5, 2, values)))
    with writing(path) as part:
        part.write_bytes(b"".join(records))


def _field(number: int, kind: int, value: bytes) -> bytes:
    """A field of a protocol buffer: kind 0 a varint, 1 eight bytes, 2 bytes, 5 four bytes."""
    length = _varint(len(value)) if kind == 2 else b""
    return _varint(number << 3 | kind) + length + value


def _varint(value: int) -> bytes:
    out = bytearray()
    while value > 127:
        out.append(value & 127 | 128)
        value >>= 7
    return bytes([*out, value])


def _record(data: bytes) -> bytes:
    length = struct.pack("<Q", len(data))
    return length + _checksum(length) + data + _checksum(data)


def _checksum(data: bytes) -> bytes:
    crc = 0xFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ _POLYNOMIAL * (crc & 1)
    crc ^= 0xFFFFFFFF
    masked = ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
    return struct.pack("<I", masked)
