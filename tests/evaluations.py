"""Small labelled sets and made-up answers, for tests of evaluation."""

from collections.abc import Sequence

import numpy as np

from structures import Estimates
from training.chips import Chips, labelled
from training.labels import Face


def faces(count: int = 60, seed: int = 0) -> list[Face]:
    """Faces of many ages, some of them without this or that label, each a person of its own."""
    rng = np.random.default_rng(seed)
    found = []
    for i in range(count):
        age = float(rng.integers(0, 90))
        found.append(
            Face(
                f"{i}.png",
                None if i % 11 == 0 else (age, age) if i % 3 else (age, age + 9),
                None if i % 7 == 0 else bool(rng.integers(2)),
                None if i % 5 == 0 else int(rng.integers(5)),
            )
        )
    return found


def chips_of(some: Sequence[Face]) -> Chips:
    """Grey chips with the labels of `some`."""
    return labelled(np.full((len(some), 8, 8, 3), 128, np.uint8), some)


def answers(chips: Chips, seed: int = 0, ethnicity: bool = True) -> Estimates:
    """Answers that are right more often than not."""
    rng = np.random.default_rng(seed)
    count = len(chips)
    years = np.nan_to_num(chips.age_low, nan=30) + rng.normal(0, 6, count)
    female = np.where(rng.random(count) < 0.8, np.nan_to_num(chips.female), 0.5)
    races = rng.random((count, 5)) + np.eye(5)[chips.race.clip(0)]
    return Estimates(
        years.clip(0).astype(np.float32),
        rng.uniform(3, 9, count).astype(np.float32),
        (0.1 + 0.8 * female + rng.uniform(-0.1, 0.1, count)).astype(np.float32),
        (races / races.sum(1, keepdims=True)).astype(np.float32) if ethnicity else None,
    )
