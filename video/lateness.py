"""Tells late pictures from fresh ones by the sender's clock.

After a hold-up on the way, what was held back arrives all at once: each picture has just
left the decoder, and yet shows the past.
"""

from collections import deque

WINDOW_S = 5.0  # a connection that is silent for two seconds is given up: backlogs are shorter
JITTER_S = 0.2  # what networks and decoders make of an even pace
_LEAP_S = 10.0


class Lateness:
    """Compares the clock of one connection's sender with ours, picture by picture.

    The smallest difference within the last five seconds of the sender's time stands for
    "no delay". So a sender's clock that drifts, or leaps while its pictures go on
    coming evenly, is forgotten after that time.
    """

    def __init__(self) -> None:
        self._seen: deque[tuple[float, float]] = deque()  # sender's time, difference

    def of(self, media_s: float | None, arrived_s: float) -> float:
        """Return by how many seconds a picture is late; 0 within what is usual.

        Args:
            media_s: the sender's time stamp; None where it gives none.
            arrived_s: `time.monotonic()` when the picture left the decoder.
        """
        if media_s is None:
            return 0.0
        if self._seen and not -1 < media_s - self._seen[-1][0] < _LEAP_S:
            self._seen.clear()
        self._seen.append((media_s, arrived_s - media_s))
        while media_s - self._seen[0][0] > WINDOW_S:
            self._seen.popleft()
        late_s = self._seen[-1][1] - min(difference for _, difference in self._seen)
        return late_s if late_s > JITTER_S else 0.0
