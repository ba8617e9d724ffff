"""Counting while a film runs: frames, their rate, the people seen."""

import time
from collections import deque
from collections.abc import Collection

from structures import Frame, Track

_WINDOW_S = 1.0  # over which the rate is taken
_PAUSE_S = 5.0  # a longer wait between frames is a pause, and counts for nothing


class Tally:
    """What has gone by since the run began; its size does not grow.

    Attributes:
        frames: frames counted.
        fps: frames per second over the last second, pauses left out; 0 while unknown.
        tracks: confirmed tracks that there have been.
        is_film: whether some frame went on from the one before; photographs never do.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.fps = 0.0
        self.tracks = 0
        self.is_film = False
        self._latest = time.monotonic()
        self._running_s = 0.0
        self._intervals_s: deque[float] = deque()
        self._epoch: int | None = None
        self._here: set[int] = set()

    def count(self, frame: Frame, tracks: Collection[Track]) -> None:
        """Count one processed frame and the confirmed tracks in it."""
        now = time.monotonic()
        interval_s, self._latest = now - self._latest, now
        if interval_s < _PAUSE_S:
            self._running_s += interval_s
            if self.frames:
                self._intervals_s.append(interval_s)
                while sum(self._intervals_s) - self._intervals_s[0] > _WINDOW_S:
                    self._intervals_s.popleft()
                self.fps = len(self._intervals_s) / max(sum(self._intervals_s), 1e-9)
        self.frames += 1
        self.is_film |= frame.epoch == self._epoch
        self._epoch = frame.epoch
        here = {track.track_id for track in tracks}
        self.tracks += len(here - self._here)
        self._here = here

    def summary(self, estimates_made: int, estimates_saved: int) -> str:
        """One line for the end of the run."""
        seconds = self._running_s
        fps = self.frames / max(seconds, 1e-9)
        share = 100 * estimates_saved / max(estimates_made + estimates_saved, 1)
        return (
            f"{self.frames} frames in {seconds:.1f} s ({fps:.1f} frames/s), "
            f"{self.tracks} tracks; {estimates_made} estimates, "
            f"{estimates_saved} saved on settled tracks ({share:.0f} %)"
        )
