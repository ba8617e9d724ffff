"""How far off the ages that one camera tells are likely to be: "here ± 7 years".

A network says how far each estimate may be off (its spread), and says more where a face is
small, blurred, dark or turned. The mean of the last hour's people tells what the errors are
like at this camera, without knowing anybody's age.
"""

from collections import deque
from collections.abc import Iterable

_STEP_S, _STEPS = 60.0, 60  # an hour
_LEAST = 5  # people; of fewer, nothing can be said
# Mean absolute error over mean spread, fitted on photographs made worse in 30 ways
# (`python -m benchmarks.camera_error --split train`). A Gaussian's would be 0.80.
SHARE = 0.83


class ExpectedError:
    """The mean error to be expected of one camera's ages; does not grow."""

    def __init__(self) -> None:
        self._minutes: deque[tuple[int, int, float]] = deque(maxlen=_STEPS)

    def note(self, utc_s: float, spreads_years: Iterable[float]) -> None:
        """Take in the uncertainties, in years, of people who left at a time since 1970."""
        spreads = tuple(spreads_years)
        if not spreads:
            return
        minute, people, total = int(utc_s // _STEP_S), len(spreads), sum(spreads)
        while self._minutes and self._minutes[-1][0] >= minute:  # the same, or it was set back
            _, more, years = self._minutes.pop()
            people, total = people + more, total + years
        self._minutes.append((minute, people, total))

    def years(self, utc_s: float) -> float | None:
        """Return the mean absolute error to be expected; None where under five people left."""
        since = int(utc_s // _STEP_S) - _STEPS
        recent = [(people, total) for minute, people, total in self._minutes if minute > since]
        people = sum(number for number, _ in recent)
        if people < _LEAST:
            return None
        return SHARE * sum(total for _, total in recent) / people
