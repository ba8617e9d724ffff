"""How far the truth lies from told ages, by told age: the factor that makes a spread honest."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from estimators.age import SpreadScale
from training.chips import years_outside

KNOTS = (0, 5, 10, 15, 20, 30, 40, 50, 60, 70, 80, 90)  # told ages
_NEAR_YEARS, _NEAR_CHILDREN = 7.5, 2.5  # what counts as about a knot; the latter below 20
_ENOUGH = 80  # faces about a knot
_LEVELS = ((0.68, 1.0), (0.90, 1.64))  # share of the truths, and within how many spreads
Floats = NDArray[np.float64]


def fit_spread_scale(
    years: NDArray[np.float32],
    spread: NDArray[np.float32],
    low: NDArray[np.float32],
    high: NDArray[np.float32],
    weights: Floats | None = None,
) -> SpreadScale:
    """Return the scale of the spread by told age, from faces that the network never learnt from.

    About each told age the factor is the geometric mean of those with which 68 % of the truths
    lie within one spread, and 90 % within 1.64. A told age with too few faces has none. Where
    only ranges are known, there is one factor for all ages: with it their likelihood under a
    normal distribution is the largest.

    Args:
        years: (N,) told ages, N >= 1.
        spread: (N,) their spreads at scale 1.
        low: (N,) the youngest age that each label allows.
        high: (N,) the oldest; equal to `low` where the age is exact.
        weights: (N,) > 0, what each face counts; None = all the same.
    """
    spread = np.maximum(spread, 1e-3)
    exact = low == high
    if exact.mean() <= 0.2:
        return _by_likelihood(years, spread, low, high)
    off = (years_outside(years, low, high) / spread)[exact].astype(np.float64)
    counts = np.ones(len(off)) if weights is None else weights[exact]
    pairs = []
    for knot in KNOTS:
        width = _NEAR_YEARS if knot >= 20 else _NEAR_CHILDREN
        near = np.abs(years[exact] - knot) <= width
        if near.sum() >= _ENOUGH:
            pairs.append((float(knot), _factor(off[near], counts[near])))
    return tuple(pairs) or _factor(off, counts)


def written(scale: SpreadScale) -> float | dict[str, float]:
    """Return the scale as the manifest and the record of a training hold it."""
    return {f"{age:g}": factor for age, factor in scale} if isinstance(scale, tuple) else scale


def _factor(off: Floats, weights: Floats) -> float:
    order = np.argsort(off)
    shares = np.cumsum(weights[order]) / weights.sum()
    ends = [off[order][np.searchsorted(shares, share)] / within for share, within in _LEVELS]
    return round(max(0.05, float(np.sqrt(np.prod(ends)))), 2)


def _by_likelihood(
    years: NDArray[np.float32],
    spread: NDArray[np.float32],
    low: NDArray[np.float32],
    high: NDArray[np.float32],
) -> float:
    from scipy.special import ndtr

    scales = np.geomspace(0.1, 30, 80)[:, None]
    above, below = (ndtr((end - years) / (scales * spread)) for end in (high + 1, low))
    return round(float(scales[np.log(above - below + 1e-6).sum(1).argmax(), 0]), 2)
