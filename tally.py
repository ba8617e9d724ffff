"""Counting while a film runs: frames, their rate, the people seen."""

import time
from collections.abc import Collection

from structures import Frame, Track

_LEAST_SHARE = 0.05  # of the newest interval in the running mean: about the last 20 frames


class Tally:
    """What has gone by since the run began; its size does not grow.

    Attributes:
        frames: frames counted.
        fps: frames per second over about the last second, 0 while unknown.
        tracks: confirmed tracks that there have been.
        is_film: whether some frame went on from the one before; photographs never do.
    """

    def __init__(self) -> None:
        self.frames = 0
        self.fps = 0.0
        self.tracks = 0
        self.is_film = False
        self._started = self._latest = time.monotonic()
        self._interval_s = 0.0
        self._epoch: int | None = None
        self._here: set[int] = set()

    def count(self, frame: Frame, tracks: Collection[Track]) -> None:
        """Count one processed frame and the confirmed tracks in it."""
        now = time.monotonic()
        interval_s, self._latest = now - self._latest, now
        if self.frames:
            share = min(1.0, max(interval_s, _LEAST_SHARE)) if self._interval_s else 1.0
            self._interval_s += share * (interval_s - self._interval_s)
            self.fps = 1 / self._interval_s if self._interval_s else 0.0
        self.frames += 1
        self.is_film |= frame.epoch == self._epoch
        self._epoch = frame.epoch
        here = {track.track_id for track in tracks}
        self.tracks += len(here - self._here)
        self._here = here

    def summary(self, estimates_made: int, estimates_saved: int) -> str:
        """One line for the end of the run."""
        seconds = max(time.monotonic() - self._started, 1e-9)
        share = 100 * estimates_saved / max(estimates_made + estimates_saved, 1)
        return (
            f"{self.frames} frames in {seconds:.1f} s ({self.frames / seconds:.1f} frames/s), "
            f"{self.tracks} tracks; {estimates_made} estimates, "
            f"{estimates_saved} saved on settled tracks ({share:.0f} %)"
        )
