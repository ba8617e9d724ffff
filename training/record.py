"""What is kept of a run beside its weights: settings, data, versions, results."""

from __future__ import annotations

import dataclasses
import json
import platform
import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from structures import ETHNICITIES
from training.chips import Chips
from training.files import writing
from training.settings import Settings


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
    command = ["git", "describe", "--always", "--abbrev=40", "--dirty"]
    try:
        done = subprocess.run(
            command, capture_output=True, text=True, check=True, cwd=Path(__file__).parent
        )
    except (OSError, subprocess.CalledProcessError):
        return found
    return found | {"commit": done.stdout.strip()}
