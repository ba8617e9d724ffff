"""Rows held out of the training: which, and how good a network is on them."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from errors import DatasetError
from estimators.age import AGE_CLASSES, SpreadScale, decode_age
from training.chips import Chips, shrink, years_outside
from training.fitting.objectives import nearest_classes
from training.fitting.spreads import fit_spread_scale

Rows = NDArray[np.int64]
Answers = dict[str, NDArray[np.float32]]  # output -> (N, K)
_BATCH, _BATCH_OF_VECTORS = 256, 1024


def hold_out(groups: NDArray[np.str_], share: float, seed: int) -> tuple[Rows, Rows]:
    """Split rows so that no group is on both sides.

    Args:
        groups: `(N,)` str.
        share: of the rows to hold out; met as the groups allow, with at least one.
        seed: decides which.

    Returns:
        Training rows and held-out rows, int64, ascending.

    Raises:
        DatasetError: there are fewer than two groups.
    """
    order, members = _shuffled(groups, seed)
    ends = np.cumsum(np.bincount(members)[order])
    count = int(np.searchsorted(ends, math.ceil(share * len(groups)))) + 1
    if count >= len(order):
        raise DatasetError(
            f"{len(order)} groups of faces are too few to hold some out; add rows to the set"
        )
    out = np.isin(members, order[:count])
    return np.flatnonzero(~out), np.flatnonzero(out)


def fold_rows(groups: NDArray[np.str_], folds: int, seed: int) -> list[tuple[Rows, Rows]]:
    """Cut rows into parts of similar size, for each the other rows and its own.

    No group is in two parts; DatasetError if there are fewer groups than parts.
    """
    order, members = _shuffled(groups, seed)
    if len(order) < folds:
        raise DatasetError(f"{len(order)} groups of faces do not make {folds} folds")
    sizes = np.bincount(members)
    part, filled = np.zeros(len(order), np.int64), np.zeros(folds, np.int64)
    for group in order[np.argsort(-sizes[order], kind="stable")]:
        part[group] = filled.argmin()
        filled[part[group]] += sizes[group]
    of_row = part[members]
    return [(np.flatnonzero(of_row != k), np.flatnonzero(of_row == k)) for k in range(folds)]


def _shuffled(groups: NDArray[np.str_], seed: int) -> tuple[Rows, Rows]:
    """Return the groups' numbers in random order, and each row's number."""
    names, members = np.unique(groups, return_inverse=True)
    return np.random.default_rng([seed, 0]).permutation(len(names)), members


def predict(model: Any, images: NDArray[np.uint8]) -> Answers:
    """Return a network's outputs for `(N, S, S, 3)` uint8 RGB chips of any size."""
    size = model.inputs[0].shape[1]
    return joined(
        model.predict_on_batch(shrink(images[i : i + _BATCH], size).astype(np.float32))
        for i in range(0, len(images), _BATCH)
    )


def predict_vectors(model: Any, views: NDArray[np.float16]) -> Answers:
    """Return the outputs of heads, averaged over the views of `(V, N, W)` vectors."""
    each = [
        joined(
            model.predict_on_batch(view[i : i + _BATCH_OF_VECTORS].astype(np.float32))
            for i in range(0, len(view), _BATCH_OF_VECTORS)
        )
        for view in views
    ]
    return {name: np.mean([answers[name] for answers in each], axis=0) for name in each[0]}


def joined(parts: Iterable[Mapping[str, Any]]) -> Answers:
    """Concatenate the outputs for one or more batches."""
    found = list(parts)
    return {name: np.concatenate([np.asarray(p[name]) for p in found]) for name in found[0]}


def metrics(answers: Answers, chips: Chips) -> dict[str, float]:
    """Measure a network's outputs where labels are known.

    Returns:
        `age_mae_years`, the mean distance from the labelled age or range; `cs5`, the share
        within 5 years; `gender_accuracy`; `ethnicity_accuracy`; of a head of age classes
        `class_accuracy`; and `score`, which chooses the best epoch, less is better: five
        points of gender, or twenty of ethnicity, count as much as a year.
    """
    found: dict[str, float] = {}
    known = np.isfinite(chips.age_low)
    if known.any():
        age = answers["age"][known]
        low, high = chips.age_low[known], chips.age_high[known]
        outside = years_outside(decode_age(age, 1.0)[0], low, high)
        found["age_mae_years"] = float(outside.mean())
        found["cs5"] = float((outside <= 5).mean())
        if age.shape[1] in AGE_CLASSES:
            middles = ((low + high) / 2).clip(0, 100).astype(np.int64)
            classes = nearest_classes(age.shape[1])[middles].argmax(1)
            found["class_accuracy"] = float((age.argmax(1) == classes).mean())
    known = np.isfinite(chips.female)
    if known.any():
        female = answers["gender"][known, 1] > 0.5
        found["gender_accuracy"] = float((female == (chips.female[known] > 0.5)).mean())
    known = chips.race >= 0
    if "race" in answers and known.any():
        right = answers["race"][known].argmax(1) == chips.race[known]
        found["ethnicity_accuracy"] = float(right.mean())
    found["score"] = (
        found.get("age_mae_years", 0.0)
        + 20 * (1 - found.get("gender_accuracy", 1.0))
        + 5 * (1 - found.get("ethnicity_accuracy", 1.0))
    )
    return found


def spread_scale(answers: Answers, chips: Chips) -> SpreadScale:
    """Return the calibration of the age spread, see `fit_spread_scale`; 1 without known ages."""
    known = np.isfinite(chips.age_low)
    if not known.any():
        return 1.0
    years, spread = decode_age(answers["age"][known], 1.0)
    return fit_spread_scale(years, spread, chips.age_low[known], chips.age_high[known])
