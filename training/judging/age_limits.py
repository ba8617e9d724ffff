"""Errors around the ages at which laws and shops draw limits: 13, 16, 18 and 25 years.

Each figure is a ratio as in `accuracy`: what each row adds to numerator and denominator. A face
counts if its whole label lies on one side of the limit; a range such as 10-19 counts nowhere.
Estimates are rounded to whole years, as people see them: 17.6 reads 18.

Reference:
    Hanaoka, Ngan, Yang, Quinn, Hom, Grother, "Face Analysis Technology Evaluation: Age
    Estimation and Verification", NIST IR 8525, 2024: Challenge 25, and ages 13 to 16 for the
    safety of children online.
"""

import numpy as np
from numpy.typing import NDArray

from structures import Estimates
from training.chips import Chips
from training.judging.accuracy import Ratio, mean_over

ADULT_YEARS = 18
CHALLENGE_YEARS = 25  # who looks younger is asked for proof of age


def limit_ratios(chips: Chips, estimates: Estimates) -> dict[str, Ratio]:
    """Return what each row adds to each figure.

    Args:
        chips: the labels; images are not used.
        estimates: the estimates, row by row.

    Returns:
        name -> parts; names as in `scores.METRICS`.
    """
    years = np.rint(estimates.age_years)
    adult, passes = years >= ADULT_YEARS, years >= CHALLENGE_YEARS
    return {
        "minors_adult": mean_over(adult, _aged(chips, 0, 17)),
        "teens_adult": mean_over(adult, _aged(chips, 13, 17)),
        "adults_minor": mean_over(~adult, _aged(chips, ADULT_YEARS)),
        "challenge_missed": mean_over(passes, _aged(chips, 14, 17)),
        "challenged_25": mean_over(~passes, _aged(chips, CHALLENGE_YEARS)),
        "challenged_30": mean_over(~passes, _aged(chips, 30)),
        "right_13_16": mean_over((years >= 13) & (years <= 16), _aged(chips, 13, 16)),
    }


def _aged(chips: Chips, low: float, high: float = np.inf) -> NDArray[np.bool_]:
    """Return `(N,)` whose whole label lies within these years; False if unknown.

    People of 17.9 years are 17: a year ends where the next one begins.
    """
    return np.asarray((chips.age_low >= low) & (chips.age_high < high + 1))
