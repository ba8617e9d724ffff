"""What is kept of a run beside its weights: settings, data, versions, results."""

from __future__ import annotations

import dataclasses
import json
import platform
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from structures import ETHNICITIES
from training.chips import Chips, load_chips
from training.files import writing
from training.fitting.checkpoint import Progress
from training.fitting.data import Data
from training.fitting.fit import Job
from training.fitting.held_out import metrics, predict, spread_scale
from training.fitting.settings import Settings
from training.labels import read_table
from training.versions import git


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
