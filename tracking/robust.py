"""A mean that gross errors cannot move."""

import numpy as np
from numpy.typing import NDArray

Float64 = NDArray[np.float64]

CUT = 4.685  # 95 % efficient for Gaussian noise
STEPS = 3


def robust_mean(values: Float64, scales: Float64, weights: Float64) -> tuple[float, Float64]:
    """Return Tukey's biweight mean about the weighted median, in a few steps of its W-form.

    A value further than `CUT` of its scales from the mean does not count at all. Each
    step's mean lies between values that count, so some value always does.

    Args:
        values: (N,), N >= 1.
        scales: (N,) > 0, one standard deviation of the noise of each.
        weights: (N,) > 0.

    Returns:
        The mean, and the factor (N,) in 0..1 that is left of each weight.

    Reference: Maronna, Martin, Yohai, Salibián-Barrera, "Robust Statistics", 2nd edition
    2019, sections 2.3 (M-estimators of location) and 2.8.1 (the W-form).
    """
    order = np.argsort(values, kind="stable")
    middle = np.searchsorted(np.cumsum(weights[order]), weights.sum() / 2)
    mean = float(values[order[middle]])
    kept = np.ones_like(values)
    for _ in range(STEPS):
        distance = (values - mean) / (CUT * scales)
        kept = np.square(np.maximum(1 - distance**2, 0))
        mean = float(np.average(values, weights=weights * kept))
    return mean, kept
