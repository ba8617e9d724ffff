"""Whether the spreads of ages and the probabilities of gender are reliable.

An age comes with its spread. As a normal distribution, it gives an interval of ages for each
level, such as 68 %; the true age should lie in it that often. Gender comes with a probability;
see `accuracy.reliability`.
"""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from structures import Estimates
from training.chips import Chips, years_outside
from training.judging.accuracy import Bin, Float64, calibration_error, reliability

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.68, 0.8, 0.9, 0.95)
# By estimated age, since that is all that a user knows of a face.
ESTIMATED_BANDS = ((0, 12), (13, 17), (18, 24), (25, 39), (40, 59), (60, 120))


class Calibration(NamedTuple):
    """How reliable spreads and probabilities are for some faces.

    Attributes:
        ages: name of the band of estimated ages, "all" = of all.
        age_bins: expected and true share within the interval of each of `LEVELS`.
        age_error: mean distance of the two; NaN if no age is labelled.
        within: share of ages within one spread, and within 1.64 (68 and 90 % would be right).
        gender_error: expected calibration error of the probability of "female".
        rows: number of faces.
    """

    ages: str
    age_bins: list[Bin]
    age_error: float
    within: tuple[float, float]
    gender_error: float
    rows: int


def calibrations(chips: Chips, estimates: Estimates) -> list[Calibration]:
    """Return the calibration of all faces, and of each band of estimated ages that has any."""
    years = estimates.age_years
    bands = [("all", np.ones(len(chips), np.bool_))]
    for low, high in ESTIMATED_BANDS:
        name = f"{low}-{high}" if high < 100 else f"{low}+"
        bands.append((name, (years >= low) & (years < high + 1)))
    return [_calibration(name, chips, estimates, rows) for name, rows in bands if rows.any()]


def errors_in_spreads(chips: Chips, estimates: Estimates) -> Float64:
    """Return `(N,)` distances of estimated from true age in spreads; NaN if the age is unknown.

    Of a range, it is the distance to its nearer end: an interval that touches it is right.
    """
    years = estimates.age_years.astype(np.float64)
    low = chips.age_low.astype(np.float64)
    off = years_outside(years, low, chips.age_high.astype(np.float64))
    return np.asarray(off / np.maximum(estimates.age_spread_years, 1e-6), np.float64)


def interval_curve(off: Float64) -> list[Bin]:
    """Return how often the true age is in the interval of each of `LEVELS`; empty without ages.

    `off` is `(N,)`, as from `errors_in_spreads`.
    """
    # Imported late: it takes longer than the rest of the module.
    from scipy.special import ndtri

    known = off[~np.isnan(off)]
    if not len(known):
        return []
    ends = ndtri((1 + np.array(LEVELS)) / 2)  # (10,)
    shares = (known <= ends[:, None]).mean(axis=1)  # (10, N) -> (10,)
    return [
        Bin(level, float(share), len(known)) for level, share in zip(LEVELS, shares, strict=True)
    ]


def _calibration(
    name: str, chips: Chips, estimates: Estimates, rows: NDArray[np.bool_]
) -> Calibration:
    off = errors_in_spreads(chips, estimates)[rows]
    curve, known = interval_curve(off), off[~np.isnan(off)]
    within = [float((known <= end).mean()) if len(known) else float("nan") for end in (1, 1.64)]
    bins = reliability(
        estimates.female_prob[rows].astype(np.float64), chips.female[rows].astype(np.float64)
    )
    return Calibration(
        name,
        curve,
        calibration_error(curve),
        (within[0], within[1]),
        calibration_error(bins),
        int(rows.sum()),
    )
