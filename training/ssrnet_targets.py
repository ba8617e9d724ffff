"""What the SSR-Net learns from: labels, the answers of a larger network, and the loss."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errors import DatasetError
from training.augmentation import augment
from training.chips import Chips, shrink

Floats = NDArray[np.float32]

_LABEL_SMOOTHING = 0.06
# Labels are uncertain by about this much, at the ends of a range as for an exact age: so
# far the teacher may leave them.
_TEACHER_SLACK_YEARS = 3.0


def age_loss(y_true: Any, y_pred: Any) -> Any:
    """Distance outside the labelled range plus a Huber pull to the teacher, in decades.

    Args:
        y_true: `(B, 4)`: youngest, oldest, the teacher's age, weight of the teacher.
        y_pred: `(B, 1)` years.

    Returns:
        `(B,)`.
    """
    from keras import ops

    low, high, teacher, weight = (y_true[:, i] for i in range(4))
    age = y_pred[:, 0]
    outside = ops.relu(low - age) + ops.relu(age - high)
    error = ops.abs(age - teacher)
    # Quadratic within two years: closer than that the teacher is no better than we are.
    huber = ops.where(error < 2.0, 0.25 * error * error, error - 1.0)
    return (outside + weight * huber) / 10.0


def targets(chips: Chips, teacher: tuple[Floats, Floats] | None) -> tuple[Floats, Floats]:
    """Builds what the losses want: age `(N, 4)` and gender `(N, 2)`, float32.

    Args:
        chips: The labels.
        teacher: Expected age in years and female probability, both `(N,)`, or none.
    """
    low, high = chips.age_low, chips.age_high
    female = chips.female * (1 - _LABEL_SMOOTHING) + _LABEL_SMOOTHING / 2
    age, weight = (low + high) / 2, np.zeros_like(low)
    if teacher:
        slack = _TEACHER_SLACK_YEARS
        age, weight = np.clip(teacher[0], low - slack, high + slack), np.ones_like(low)
        female = 0.5 * female + 0.5 * teacher[1]
    return np.stack([low, high, age, weight], 1), np.stack([1 - female, female], 1)


def teacher_answers(
    path: Path, sets: dict[str, Chips], kept: Path | None = None
) -> tuple[Floats, Floats]:
    """Asks the teacher once about every plain chip and its mirror image.

    Args:
        path: The teacher, a .keras file.
        sets: The chips by the name of their set.
        kept: A npz file to read the answers from, or to write them to where it is missing.

    Returns:
        Expected age in years and female probability, both `(N,)`, the sets one behind the
        other.

    Raises:
        DatasetError: `kept` was made from other chips.
    """
    if kept and kept.exists():
        with np.load(kept) as file:
            found = {key: file[key] for key in file.files}
    else:
        import keras

        teacher = keras.saving.load_model(path, compile=False)
        found = {}
        for name, chips in sets.items():
            found[f"{name}_age"], found[f"{name}_female"] = _ask(teacher, chips.images)
        if kept:
            np.savez(kept, **found)
    for name, chips in sets.items():
        if len(found.get(f"{name}_age", ())) != len(chips):
            raise DatasetError(f"{kept} holds answers about other chips than {name}; remove it")
    age, female = (np.concatenate([found[f"{n}_{k}"] for n in sets]) for k in ("age", "female"))
    return age, female


def _ask(teacher: Any, images: NDArray[np.uint8]) -> tuple[Floats, Floats]:
    """Expected age and female probability `(N,)`, the mean over both mirror images."""
    size = teacher.input_shape[1]
    ages, females = [], []
    for start in range(0, len(images), 1024):
        chips = shrink(images[start : start + 1024], size).astype(np.float32)
        both = [teacher.predict(c, 128, verbose=0) for c in (chips, chips[:, :, ::-1])]
        ages.append(sum(b["age"] @ np.arange(b["age"].shape[1]) for b in both) / 2)
        females.append(sum(b["gender"][:, 1] for b in both) / 2)
    return np.concatenate(ages).astype(np.float32), np.concatenate(females).astype(np.float32)


def batches(
    chips: Chips,
    rows: NDArray[np.int64],
    wanted: tuple[Floats, Floats],
    batch: int,
    strength: float,
    rng: np.random.Generator,
    balance: float = 0.0,
) -> Iterator[tuple[Floats, dict[str, Floats]]]:
    """Yields augmented batches of `rows` without end, drawn with replacement.

    Args:
        chips: All chips.
        rows: `(M,)` int64, those to draw from.
        wanted: What `targets` gives for all chips.
        batch: Chips in a batch.
        strength: Of the augmentation.
        rng: Source of all chance.
        balance: 0 draws every chip equally often, 1 every decade of age.
    """
    from estimators.ssrnet import INPUT_SIZE

    age, gender = wanted
    decades = np.clip(age[rows, 2] // 10, 0, 7).astype(np.int64)
    # Few are old: without a remedy the network calls everybody young who might be.
    chance = np.bincount(decades, minlength=8)[decades] ** -balance
    while True:
        part = rng.choice(rows, batch, p=chance / chance.sum())
        inputs = augment(chips.images[part], INPUT_SIZE, rng, strength)
        yield inputs.astype(np.float32), {"age": age[part], "gender": gender[part]}
