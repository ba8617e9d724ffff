"""Following faces and smoothing what is said of them: the two contracts.

A tracker turns the boxes of single frames into tracks with ids that last; a smoother
turns the estimates made along one track into one steady answer. The two know nothing
of each other: the loop hands track ids from the one to the other.
"""

from collections.abc import Collection, Sequence
from typing import Protocol

from structures import Detections, Estimates, Float32, Smoothed, Track

MAX_AGE, MIN_HITS = 10, 3  # frames; the tracker's defaults, see `sort.SortTracker`


class Tracker(Protocol):
    """Gives the faces of successive frames lasting ids.

    Each processed frame is told to it by exactly one call: `update` where detection
    ran, `predict` where it did not.
    """

    def update(self, detections: Detections) -> list[Track]:
        """Take the detections of this frame, none included; return the live tracks by id."""
        ...

    def predict(self) -> list[Track]:
        """Move the tracks on by one frame without detections; return the live tracks by id."""
        ...

    def predicted_boxes(self) -> Float32:
        """Where the live tracks will be in the next frame, (N, 4) xyxy; changes nothing."""
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

    def is_due(self, track_id: int, frame_index: int, least_gap: int = 1) -> bool:
        """Whether an estimate of this track is worth making in this frame.

        With `least_gap` not before that many frames have passed since the last one.
        """
        ...

    def update(
        self,
        track_ids: Sequence[int],
        estimates: Estimates,
        weights: Float32,
        frame_index: int,
    ) -> None:
        """Take in the estimates of one frame; row i belongs to `track_ids[i]`.

        `weights` is (B,) float32 in 0..1: how much the picture of each face can be
        trusted. B = 0 changes nothing.
        """
        ...

    def forget_except(self, track_ids: Collection[int]) -> None:
        """Drop what is known of every other track."""
        ...

    def current(self, track_id: int) -> Smoothed | None:
        """What is believed of a track now; None before its first usable estimate."""
        ...
