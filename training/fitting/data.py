"""What a run learns from: the train rows of its sets, and a teacher's answers about them."""

from __future__ import annotations

import dataclasses
import hashlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from errors import DatasetError
from training.chips import Chips, join, load_chips, shrink
from training.fitting.settings import Settings
from training.fitting.teacher import teacher_answers


@dataclass(frozen=True, slots=True)
class Data:
    """What is learnt.

    Attributes:
        chips: all train rows, one set behind the other.
        answers: a teacher's outputs, each `(N, K)` float32, or none.
        digest: a hash of labels and answers, by which a run knows its data again.
    """

    chips: Chips
    answers: dict[str, NDArray[np.float32]] | None
    digest: str


def load_data(folder: Path, settings: Settings, cache: Path) -> Data:
    """Reads the train rows of all sets, and asks the teacher about them.

    Args:
        folder: holds NAME.tar and NAME.csv of each set.
        settings: of the run.
        cache: folder that keeps the teacher's answers.

    Raises:
        StreamError: a set is missing or damaged, or the teacher is.
    """
    if not folder.is_dir():
        raise DatasetError(f"no folder {folder}; --data wants one with NAME.tar and NAME.csv")
    parts = [load_chips(folder, name, "train", settings.limit or None) for name in settings.sets]
    chips = join(_of_one_size(parts))
    answers = teacher_answers(settings.teacher, chips, cache) if settings.teacher else None
    digest = hashlib.sha256("\n".join(chips.files).encode())
    for labels in (chips.age_low, chips.age_high, chips.female, chips.race):
        digest.update(np.ascontiguousarray(labels).data)
    for _, answer in sorted((answers or {}).items()):
        digest.update(np.ascontiguousarray(answer).data)
    return Data(chips, answers, digest.hexdigest())


def _of_one_size(parts: list[Chips]) -> list[Chips]:
    """The sets with chips as large as the smallest of them."""
    side = min(part.images.shape[1] for part in parts)
    return [
        part
        if part.images.shape[1] == side
        else dataclasses.replace(part, images=shrink(part.images, side))
        for part in parts
    ]
