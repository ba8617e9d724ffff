"""Accuracy of estimates: each row's share in a figure, and figures that are not means.

Most figures are a ratio of two sums over rows: errors by faces of known age, correct estimates by
faces. `ratios` returns both parts of each row, 0 where the label is missing: unlabelled faces
drop out, and one product with the counts of a resample yields its figure (see `scores`). A median
and an area under a curve take the counts as weights.
"""

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from estimators.age import AGE_CLASSES
from structures import Estimates
from training.chips import Chips, nearest_class, years_outside

Float64 = NDArray[np.float64]
Ints = NDArray[np.int64]

CLOSE_YEARS = 5.0  # the 5 of CS@5
RELIABILITY_BINS = 10


class Ratio(NamedTuple):
    """What each row adds to a figure: `(N,)` to the numerator and to the denominator."""

    top: Float64
    bottom: Float64


class Bin(NamedTuple):
    """One step of a reliability curve: mean estimated probability, true share, rows."""

    told: float
    true: float
    rows: int


def ratios(chips: Chips, estimates: Estimates, schemes: Sequence[int] = ()) -> dict[str, Ratio]:
    """Return what each row adds to each figure that is a ratio of sums, by name.

    Args:
        chips: the labels; images are not used.
        estimates: the estimates, row by row.
        schemes: which of `AGE_CLASSES` to count classes by.

    Returns:
        name -> parts; names as in `scores.METRICS`.
    """
    exact = chips.age_low == chips.age_high
    ranged = chips.age_low < chips.age_high
    error = signed_years(chips, estimates)
    absolute = np.abs(error)
    found = {
        "mae_years": mean_over(absolute, exact),
        "bias_years": mean_over(error, exact),
        "cs5": mean_over(absolute <= CLOSE_YEARS, exact),
        "outside_years": mean_over(absolute, ranged),
        "outside_bias_years": mean_over(error, ranged),
        "inside": mean_over(absolute == 0, ranged),
        "spread_1": mean_over(absolute <= estimates.age_spread_years, exact),
        "spread_2": mean_over(absolute <= 2 * estimates.age_spread_years, exact),
    }
    for count in schemes:
        truth, guess = age_classes(chips, estimates, count)
        found[f"class{count}"] = mean_over(truth == guess, truth >= 0)
        found[f"class{count}_near"] = mean_over(np.abs(truth - guess) <= 1, truth >= 0)
    known = ~np.isnan(chips.female)
    correct = (estimates.female_prob > 0.5) == (chips.female > 0.5)
    found["gender"] = mean_over(correct, known)
    found["gender_too_sure"] = mean_over(
        np.maximum(estimates.female_prob, 1 - estimates.female_prob) - correct, known
    )
    if estimates.ethnicity_probs is not None:
        correct = estimates.ethnicity_probs.argmax(axis=1) == chips.race
        found["ethnicity"] = mean_over(correct, chips.race >= 0)
    return found


def class_ratios(truth: Ints, guess: Ints, count: int) -> dict[str, Ratio]:
    """Return the parts of precision, recall and F1 of each class, "precision 0" ... "f1 K-1".

    Args:
        truth: `(N,)`, -1 = unknown.
        guess: `(N,)`, 0..count-1.
        count: number of classes.
    """
    known = truth >= 0
    found = {}
    for i in range(count):
        is_class, guessed = known & (truth == i), known & (guess == i)
        hit = is_class & guessed
        found[f"precision {i}"] = mean_over(hit, guessed)
        found[f"recall {i}"] = mean_over(hit, is_class)
        both = is_class.astype(np.float64) + guessed
        found[f"f1 {i}"] = Ratio(2.0 * hit, both)
    return found


def signed_years(chips: Chips, estimates: Estimates) -> Float64:
    """Return `(N,)` years by which ages are overestimated (+) or underestimated (-).

    Of a range, it is the distance outside: 0 within. NaN = unlabelled.
    """
    years = estimates.age_years.astype(np.float64)
    outside = years_outside(years, chips.age_low, chips.age_high)
    return np.asarray(np.where(years < chips.age_low, -outside, outside), np.float64)


def age_classes(chips: Chips, estimates: Estimates, count: int) -> tuple[Ints, Ints]:
    """Return true and estimated age classes, `(N,)` each, by `AGE_CLASSES[count]`.

    A label belongs to a class if all of its range does; it is -1 otherwise, or if unknown.
    The last class has no upper end; years are whole, as 9.6 years are 9.
    """
    ranges = AGE_CLASSES[count]
    lows, highs = np.array(ranges, np.float64).T
    ends = np.append(highs[:-1] + 1, np.inf)
    inside = (chips.age_low[:, None] >= lows) & (chips.age_high[:, None] < ends)
    truth = np.where(inside.any(axis=1), inside.argmax(axis=1), -1)
    return truth.astype(np.int64), nearest_class(estimates.age_years, ranges)


def confusion(truth: Ints, guess: Ints, count: int) -> Ints:
    """Count faces, `(count, count)`, by true class (rows) and estimated class (columns).

    `truth` and `guess` are `(N,)`; rows whose truth is -1 are left out.
    """
    known = truth >= 0
    pairs = truth[known] * count + guess[known]
    return np.bincount(pairs, minlength=count * count).reshape(count, count)


def reliability(probs: NDArray[np.floating], truth: NDArray[np.floating]) -> list[Bin]:
    """Return how often `(N,)` probabilities are right, in equal steps; no empty steps.

    `truth` is `(N,)`, 1 where it is so, 0 where not, NaN = unknown.
    """
    known = ~np.isnan(truth)
    probs, truth = probs[known], truth[known]
    step = np.minimum((probs * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
    return [
        Bin(float(probs[rows].mean()), float(truth[rows].mean()), int(rows.sum()))
        for i in range(RELIABILITY_BINS)
        if (rows := step == i).any()
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Return the expected calibration error: mean distance from truth, by rows; NaN if empty.

    Reference:
        Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017,
        eq. 3. Differs: of one class's probability, not of the likelier one's.
    """
    rows = sum(one.rows for one in bins)
    return sum(abs(one.told - one.true) * one.rows for one in bins) / rows if rows else float("nan")


def weighted_median(values: Float64, weights: NDArray[np.floating]) -> Float64:
    """Return medians, `(B,)`, of `(N,)` values that count `(B, N)` times; NaN if none counts."""
    if not len(values):
        return np.full(len(weights), np.nan)
    order = np.argsort(values)
    total = np.cumsum(weights[:, order], axis=1)
    half = total[:, -1:] / 2
    ends = np.minimum([(total < half).sum(axis=1), (total <= half).sum(axis=1)], len(values) - 1)
    middle = values[order][ends].mean(axis=0)
    return np.asarray(np.where(half[:, 0] > 0, middle, np.nan), np.float64)


def weighted_auc(
    probs: NDArray[np.floating], truth: NDArray[np.bool_], weights: NDArray[np.floating]
) -> Float64:
    """Return areas, `(B,)`, under the ROC curve: how often a true row gets more than a false one.

    Ties count half. NaN without true or without false rows.

    Args:
        probs: `(N,)`.
        truth: `(N,)`.
        weights: `(B, N)`, how often each row counts.

    Reference:
        Hanley and McNeil, "The meaning and use of the area under a receiver operating
        characteristic (ROC) curve", Radiology 1982.
    """
    if not len(probs):
        return np.full(len(weights), np.nan)
    order = np.argsort(probs)
    starts = np.flatnonzero(np.append(True, np.diff(probs[order]) > 0))
    counts = weights[:, order].astype(np.float64)
    hit = np.add.reduceat(counts * truth[order], starts, axis=1)
    miss = np.add.reduceat(counts * ~truth[order], starts, axis=1)
    below = np.cumsum(miss, axis=1) - miss / 2
    pairs = hit.sum(axis=1) * miss.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray((hit * below).sum(axis=1) / np.where(pairs > 0, pairs, np.nan))


def mean_over(values: NDArray[np.generic], rows: NDArray[np.bool_]) -> Ratio:
    """Return the parts of the mean of `values` `(N,)` over `rows` `(N,)`."""
    top = np.where(rows, values.astype(np.float64), 0.0)
    return Ratio(top, rows.astype(np.float64))
