"""Where faces are or have just been: what to hide when faces must not be seen."""

from collections.abc import Collection

import numpy as np

from structures import NOWHERE, Float32, Track, TrackState
from tracking.boxes import iou_matrix

KEEP_S = 1.0
_GOES_ON = 0.3  # overlap from which a box is the one of the frame before


class FacePlaces:
    """Remembers the places of one source's faces.

    A place is a detection's box, or a track's in any state. One that no place of the next
    frame overlaps was lost: as the face may still be there, unfound, it remains for `keep_s`.
    So does the box of a track that is no longer shown.
    """

    def __init__(self, keep_s: float = KEEP_S) -> None:
        """Start with none; `keep_s` is in seconds of `Frame.time_s`."""
        self._keep_s = keep_s
        self._now = NOWHERE
        self._lost: list[tuple[Float32, float]] = []

    def update(self, found: Float32, tracks: Collection[Track], time_s: float) -> Float32:
        """Take in one frame; return every place in it, (M, 4) float32 xyxy; boxes may overlap.

        Args:
            found: (N, 4) float32 xyxy, all detections, wherever was searched.
            tracks: all live ones.
            time_s: of the frame.
        """
        tracks = [t for t in tracks if t.unseen_s <= self._keep_s]
        shown = [t.box[None] for t in tracks if t.state is not TrackState.LOST]
        hidden = [t.box[None] for t in tracks if t.state is TrackState.LOST]
        before, self._now = self._now, np.concatenate([found, *shown])
        overlap = iou_matrix(before, self._now).max(axis=1, initial=0.0)
        until_s = time_s + self._keep_s
        self._lost = [place for place in self._lost if place[1] > time_s]
        self._lost += [(box, until_s) for box in before[overlap < _GOES_ON]]
        return np.concatenate([self._now, *(box[None] for box, _ in self._lost), *hidden])

    def reset(self) -> None:
        """Forget all places, as after a cut."""
        self._now = NOWHERE
        self._lost.clear()
