"""How accurate estimates are: each row's share in a figure, and figures that are no means.

Most figures are a ratio of two sums over rows: errors by faces of known age, right answers by
faces. `ratios` returns both parts of each row, 0 where the label is missing: unlabelled faces
drop out, and one product with the counts of a resample gives the figure of that resample (see
`scores`). A median and an area under a curve take the counts as weights.
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
    """What each row adds to a figure: `(N,)` to the numerator and `(N,)` to the denominator."""

    top: Float64
    bottom: Float64


class Bin(NamedTuple):
    """One step of a reliability curve: mean estimated probability, share that is so, rows."""

    told: float
    true: float
    rows: int


def ratios(chips: Chips, told: Estimates, schemes: Sequence[int] = ()) -> dict[str, Ratio]:
    """What each row adds to each figure that is a ratio of sums.

    Args:
        chips: the labels; images are not looked at.
        told: the estimates, row by row.
        schemes: which of `AGE_CLASSES` to count classes by.

    Returns:
        name -> parts; names as in `scores.METRICS`.
    """
    exact = chips.age_low == chips.age_high
    ranged = chips.age_low < chips.age_high
    error = signed_years(chips, told)
    absolute = np.abs(error)
    found = {
        "mae_years": _mean(absolute, exact),
        "bias_years": _mean(error, exact),
        "cs5": _mean(absolute <= CLOSE_YEARS, exact),
        "outside_years": _mean(absolute, ranged),
        "outside_bias_years": _mean(error, ranged),
        "inside": _mean(absolute == 0, ranged),
        "spread_1": _mean(absolute <= told.age_spread_years, exact),
        "spread_2": _mean(absolute <= 2 * told.age_spread_years, exact),
    }
    for count in schemes:
        truth, guess = age_classes(chips, told, count)
        found[f"class{count}"] = _mean(truth == guess, truth >= 0)
        found[f"class{count}_near"] = _mean(np.abs(truth - guess) <= 1, truth >= 0)
    known = ~np.isnan(chips.female)
    right = (told.female_prob > 0.5) == (chips.female > 0.5)
    found["gender"] = _mean(right, known)
    found["gender_too_sure"] = _mean(
        np.maximum(told.female_prob, 1 - told.female_prob) - right, known
    )
    if told.ethnicity_probs is not None:
        right = told.ethnicity_probs.argmax(axis=1) == chips.race
        found["ethnicity"] = _mean(right, chips.race >= 0)
    return found


def class_ratios(truth: Ints, guess: Ints, count: int) -> dict[str, Ratio]:
    """Precision, recall and F1 of each of `count` classes, as `ratios` gives figures.

    Args:
        truth: `(N,)`, -1 = unknown.
        guess: `(N,)`, 0..count-1.
        count: number of classes.

    Returns:
        "precision 0" ... "f1 K-1".
    """
    known = truth >= 0
    found = {}
    for i in range(count):
        is_so, said = known & (truth == i), known & (guess == i)
        hit = is_so & said
        found[f"precision {i}"] = _mean(hit, said)
        found[f"recall {i}"] = _mean(hit, is_so)
        both = is_so.astype(np.float64) + said
        found[f"f1 {i}"] = Ratio(2.0 * hit, both)
    return found


def signed_years(chips: Chips, told: Estimates) -> Float64:
    """`(N,)` years by which ages are estimated too old (+) or too young (-); NaN = unlabelled.

    Of a range, it is the distance outside: 0 within.
    """
    years = told.age_years.astype(np.float64)
    outside = years_outside(years, chips.age_low, chips.age_high)
    return np.asarray(np.where(years < chips.age_low, -outside, outside), np.float64)


def age_classes(chips: Chips, told: Estimates, count: int) -> tuple[Ints, Ints]:
    """True and estimated age classes, `(N,)` each, by the scheme of `AGE_CLASSES[count]`.

    A label belongs to a class if all of its range does; -1 where it does not, or where
    nothing is known. The last class has no upper end.
    """
    ranges = AGE_CLASSES[count]
    lows, highs = np.array(ranges, np.float64).T
    inside = (chips.age_low[:, None] >= lows) & (
        chips.age_high[:, None] <= np.append(highs[:-1], np.inf)
    )
    truth = np.where(inside.any(axis=1), inside.argmax(axis=1), -1)
    return truth.astype(np.int64), nearest_class(told.age_years, ranges)


def confusion(truth: Ints, guess: Ints, count: int) -> Ints:
    """Faces, `(count, count)`, by true class (rows) and estimated class (columns).

    Args:
        truth: `(N,)`; -1 is left out.
        guess: `(N,)`.
        count: number of classes.
    """
    known = truth >= 0
    pairs = truth[known] * count + guess[known]
    return np.bincount(pairs, minlength=count * count).reshape(count, count)


def reliability(told: NDArray[np.floating], truth: NDArray[np.floating]) -> list[Bin]:
    """How often an estimated probability is right, in equal steps of it; no empty steps.

    Args:
        told: `(N,)` probabilities.
        truth: `(N,)` 1 where it is so, 0 where not, NaN = unknown.
    """
    known = ~np.isnan(truth)
    told, truth = told[known], truth[known]
    step = np.minimum((told * RELIABILITY_BINS).astype(np.int64), RELIABILITY_BINS - 1)
    return [
        Bin(float(told[rows].mean()), float(truth[rows].mean()), int(rows.sum()))
        for i in range(RELIABILITY_BINS)
        if (rows := step == i).any()
    ]


def calibration_error(bins: Sequence[Bin]) -> float:
    """Expected calibration error: mean distance of estimate from truth, by rows; NaN of nothing.

    Reference:
        Guo, Pleiss, Sun, Weinberger, "On Calibration of Modern Neural Networks", ICML 2017,
        eq. 3. Differs: of the probability of one class, not of the likelier one.
    """
    rows = sum(one.rows for one in bins)
    return sum(abs(one.told - one.true) * one.rows for one in bins) / rows if rows else float("nan")


def weighted_median(values: Float64, weights: NDArray[np.floating]) -> Float64:
    """Medians, `(B,)`, of `(N,)` values that count `(B, N)` times; NaN where none counts."""
    if not len(values):
        return np.full(len(weights), np.nan)
    order = np.argsort(values)
    total = np.cumsum(weights[:, order], axis=1)
    half = total[:, -1:] / 2
    ends = np.minimum([(total < half).sum(axis=1), (total <= half).sum(axis=1)], len(values) - 1)
    middle = values[order][ends].mean(axis=0)
    return np.asarray(np.where(half[:, 0] > 0, middle, np.nan), np.float64)


def weighted_auc(
    told: NDArray[np.floating], truth: NDArray[np.bool_], weights: NDArray[np.floating]
) -> Float64:
    """Areas, `(B,)`, under the ROC curve: how often a true row gets more than a false one.

    Ties count half. NaN where there are no true or no false rows.

    Args:
        told: `(N,)`.
        truth: `(N,)`.
        weights: `(B, N)`, how often each row counts.

    Reference:
        Hanley and McNeil, "The meaning and use of the area under a receiver operating
        characteristic (ROC) curve", Radiology 1982.
    """
    if not len(told):
        return np.full(len(weights), np.nan)
    order = np.argsort(told)
    starts = np.flatnonzero(np.append(True, np.diff(told[order]) > 0))
    counts = weights[:, order].astype(np.float64)
    hit = np.add.reduceat(counts * truth[order], starts, axis=1)
    miss = np.add.reduceat(counts * ~truth[order], starts, axis=1)
    below = np.cumsum(miss, axis=1) - miss / 2
    pairs = hit.sum(axis=1) * miss.sum(axis=1)
    with np.errstate(invalid="ignore"):
        return np.asarray((hit * below).sum(axis=1) / np.where(pairs > 0, pairs, np.nan))


def _mean(values: NDArray[np.generic], rows: NDArray[np.bool_]) -> Ratio:
    top = np.where(rows, values.astype(np.float64), 0.0)
    return Ratio(top, rows.astype(np.float64))
