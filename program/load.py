"""How much work is done for a frame, and less of it where a live source would fall behind.

These are cut back one step at a time, and restored in the reverse order:

1. faces are estimated less often (known values stay);
2. the whole image is searched less often (known faces are followed on every frame;
   new ones are found later);
3. the search skips small faces (known ones are still followed);
4. frames are dropped: a live source always returns its newest one.
"""

from collections import deque
from dataclasses import dataclass

import numpy as np

DEFAULT_MAX_LATENCY_MS = 150.0

_LOOK_BACK = 15  # frames judged together
_SETTLE_S = 0.7  # after a change, before the next step down: its effect must show first
_PATIENCE_S = 4.0  # of room before something is restored
_MOST_PATIENCE_S = 120.0  # after failed attempts to restore the wait doubles, up to this
_ROOM = 0.6  # of the limit: below it there is room


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is done for each frame.

    Attributes:
        search_s: seconds of the source's time from one search of the whole image to the
            next, where no fixed number of frames was asked for.
        estimate_gap_s: seconds from one estimate of a face to the next, at least. Neighbouring
            frames are so alike that three estimates say little more than one (see
            `tracking.smoothing`).
        coarse: see `detectors.Detector.detect`.
        label: what is being cut back, for users; empty = nothing.
    """

    search_s: float = 0.2
    estimate_gap_s: float = 0.12
    coarse: float = 1.0
    label: str = ""


LADDER = (
    Effort(),
    Effort(0.2, 0.32, 1.0, "estimating less often"),
    Effort(0.4, 0.32, 1.0, "searching less often"),
    Effort(0.8, 0.48, 1.0, "searching less often"),
    Effort(0.8, 0.48, 1.5, "passing over small faces"),
    Effort(1.6, 1.0, 2.0, "passing over small faces"),
)


class LoadControl:
    """Chooses the effort that keeps a live source's frames younger than a limit.

    Args:
        max_latency_ms: age limit of a fully processed frame.

    Raises:
        ValueError: a limit that is not positive.
    """

    def __init__(self, max_latency_ms: float = DEFAULT_MAX_LATENCY_MS) -> None:
        if not max_latency_ms > 0:
            raise ValueError(f"max_latency_ms must be positive, got {max_latency_ms}")
        self._limit_ms = max_latency_ms
        self._level = 0
        self._restored = False
        self._recent_ms: deque[float] = deque(maxlen=_LOOK_BACK)
        self._changed_s = -np.inf
        self._room_since_s: float | None = None
        self._patience_s = _PATIENCE_S

    @property
    def effort(self) -> Effort:
        """What to do for the next frame."""
        return LADDER[self._level]

    def note(self, latency_ms: float, now_s: float) -> None:
        """Record the age of a finished frame; `now_s` is `time.monotonic()`."""
        self._recent_ms.append(latency_ms)
        late = float(np.percentile(self._recent_ms, 90))
        settled = now_s - self._changed_s > _SETTLE_S
        if late > self._limit_ms and settled:
            self._cut_back(now_s)
        if late > _ROOM * self._limit_ms:
            self._room_since_s = None
        elif self._room_since_s is None:
            self._room_since_s = now_s
        elif now_s - self._room_since_s > self._patience_s and self._level:
            self._move(-1, now_s)

    def _cut_back(self, now_s: float) -> None:
        """Go one step down; if the last change restored something, wait longer next time."""
        if self._level == len(LADDER) - 1:
            return
        if self._restored:
            early = now_s - self._changed_s < 2 * self._patience_s
            self._patience_s = min(2 * self._patience_s, _MOST_PATIENCE_S) if early else _PATIENCE_S
        self._move(1, now_s)

    def _move(self, steps: int, now_s: float) -> None:
        self._level += steps
        self._restored = steps < 0
        self._changed_s = now_s
        self._room_since_s = None
        self._recent_ms.clear()
