"""Bands of ages, by which people are counted."""

import math
from bisect import bisect_right
from itertools import pairwise

UNKNOWN = "unknown"  # the band of somebody without an estimate


class Bands:
    """Age bands from each of `starts` up to the next, whole years; names as "20-29", "80+"."""

    def __init__(self, *starts: int) -> None:
        self._starts = starts
        self.names = (*(f"{low}-{high - 1}" for low, high in pairwise(starts)), f"{starts[-1]}+")

    def of(self, age_years: float) -> str:
        """The band of an age in whole years, as it is shown; `UNKNOWN` if it is not finite."""
        if not math.isfinite(age_years):
            return UNKNOWN
        return self.names[max(bisect_right(self._starts, round(age_years)) - 1, 0)]


AGE_BANDS = Bands(*range(0, 90, 10))  # of the page and /metrics, and what is counted
RECORD_BANDS = Bands(0, 10, 20, 40, 60)  # of aggregate records; each is made of whole AGE_BANDS
WIDENED = {name: RECORD_BANDS.of(10 * i) for i, name in enumerate(AGE_BANDS.names)}
