"""Following faces and smoothing their estimates: the two contracts.

A tracker turns the boxes of single frames into tracks with lasting ids; a smoother turns
the estimates along one track into one steady answer. Neither knows of the other: the loop
passes track ids from one to the other.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from structures import Detections, Estimates, Float32, Smoothed, Track
from tracking.boxes import Float64

FRAME_S = 0.04  # `max_age` and `min_hits` count frames at 25 a second
MAX_AGE, MIN_HITS = 30, 3  # the tracker's defaults, see `sort.SortTracker`


class Tracker(Protocol):
    """Assigns lasting ids to the faces of successive frames.

    Each processed frame is exactly one call: `update` where detection ran, `predict` where
    it did not. `time_s` is the frame's `Frame.time_s`; one that does not grow counts as no
    time passed.
    """

    def update(self, detections: Detections, time_s: float) -> list[Track]:
        """Take the detections of this frame, none included; return the live tracks by id."""
        ...

    def predict(self, time_s: float) -> list[Track]:
        """Advance the tracks to this frame without detections; return the live ones by id."""
        ...

    def predicted_boxes(self, time_s: float) -> Float32:
        """Where the live tracks will be at that time, (N, 4) xyxy; changes nothing."""
        ...

    def move(self, matrix: Float64) -> None:
        """Move the tracks with the picture, before the next frame is taken.

        `matrix`, (2, 3), maps pixels of the last frame to those of the next one.
        """
        ...

    def reset(self) -> None:
        """Drop all tracks; ids are not used again."""
        ...


class Smoother(Protocol):
    """Keeps one running answer per track; it never invents or ends a track by itself.

    Attributes:
        estimates_made: estimates taken in so far.
        estimates_saved: times that `is_due` said no.
    """

    estimates_made: int
    estimates_saved: int

    def is_due(self, track_id: int, time_s: float, least_gap_s: float = 0.0) -> bool:
        """Whether an estimate is worth making; ask once per frame and visible track.

        Never before `least_gap_s` seconds have passed since the last one. Each no counts as an
        estimate saved.
        """
        ...

    def update(
        self,
        track_ids: Sequence[int],
        estimates: Estimates,
        weights: Float32,
        time_s: float,
    ) -> None:
        """Take in the estimates of one frame; row i belongs to `track_ids[i]`.

        Args:
            track_ids: B ids.
            estimates: of B chips; B = 0 changes nothing.
            weights: (B,) float32 in 0..1, how far each chip can be trusted; an estimate of
                weight 0 is ignored.
            time_s: `Frame.time_s`, which dates the estimates.

        Raises:
            ValueError: lengths differ, a weight is out of range, or an age, spread or
                probability is not finite. Nothing has changed then.
        """
        ...

    def release(self, track_id: int) -> object:
        """Drop a track and return what is known of it, for `resume`; None if that is nothing."""
        ...

    def resume(self, track_id: int, memory: object, time_s: float) -> None:
        """Go on at that time from what `release` returned; anything else is ignored."""
        ...

    def forget_except(self, track_ids: Collection[int]) -> None:
        """Drop every other track."""
        ...

    def current(self, track_id: int) -> Smoothed | None:
        """The answer for a track now; None before its first usable estimate."""
        ...
