"""SORT: boxes of single frames become tracks by a Kalman filter and overlap alone.

Reference: Bewley, Ge, Ott, Ramos, Upcroft, "Simple Online and Realtime Tracking",
ICIP 2016, arXiv 1602.00763. Differs:

- A confirmed track stays, and is returned with its predicted box, until it has gone
  unmatched for more than `max_age` frames and at least two detection runs; the paper
  ends it after one miss (T_lost = 1) and shows matched tracks only.
- Pairs below the overlap threshold are excluded before the assignment, not after it, so
  that no acceptable pair is given up for one that is then refused.
- What is left over gets a second assignment with both boxes grown, which catches fast
  faces (Yang, Odashima, Masui, Jiang, "Hard to Track Objects with Irregular Motions and
  Similar Appearances? Make It Easier by Buffering the Matching Space", WACV 2023). In a
  street clip with detection on every fifth frame, 9 ids instead of 22.
- A track starts with a detection of at least `start_score`; weaker ones only continue
  existing tracks (after Zhang et al., "ByteTrack: Multi-Object Tracking by
  Associating Every Detection Box", ECCV 2022, which matches them in a second round).
- Frames without detection are supported: `predict`.
"""

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from scipy.optimize import linear_sum_assignment

from structures import Detections, Float32, Track, TrackState
from tracking import MAX_AGE, MIN_HITS
from tracking.boxes import Float64, grow, iou_matrix
from tracking.kalman import BoxFilter

# How far boxes are grown for the second assignment, as a fraction of their extent on every
# side: more for an unseen track, whose place is less certain.
GROWTH, GROWTH_PER_FRAME, MOST_GROWTH = 0.5, 0.05, 1.0
MIN_SIDE = 2.0  # pixels; a smaller box is no face any more


@dataclass(slots=True, eq=False)
class _Live:
    """One live track; the values handed out are copies made each frame."""

    track_id: int
    motion: BoxFilter
    confirmed: bool
    detection_index: int | None
    hits: int = 1
    missed_runs: int = 0
    time_since_update: int = 0
    frames_seen: int = 1

    def advance(self) -> None:
        """Enter the next frame, in which nothing has been matched yet."""
        self.motion.predict(fading=self.missed_runs > 0)
        self.detection_index = None
        self.time_since_update += 1
        self.frames_seen += 1

    def match(self, box: Float32, row: int, min_hits: int) -> None:
        """Take the detection of `row`; confirm the track if it was seen often enough.

        A tentative track was matched on every run, so `frames_seen` counts its hits with
        detection on every frame, and the span they cover with rarer runs.
        """
        self.motion.update(box)
        self.detection_index = row
        self.hits += 1
        self.missed_runs = self.time_since_update = 0
        self.confirmed |= self.hits >= 2 and self.frames_seen >= min_hits

    def is_over(self, max_age: int) -> bool:
        """Whether the track ends in this frame."""
        if not self.confirmed:
            return self.missed_runs > 0
        runs = min(max_age + 1, 2)
        lost = self.time_since_update > max_age and self.missed_runs >= runs
        return lost or (self.time_since_update > 0 and _is_gone(self.motion.box))

    def value(self) -> Track:
        """The track as others see it."""
        return Track(
            track_id=self.track_id,
            box=self.motion.box,
            state=TrackState.CONFIRMED if self.confirmed else TrackState.TENTATIVE,
            time_since_update=self.time_since_update,
            detection_index=self.detection_index,
            frames_seen=self.frames_seen,
        )


class SortTracker:
    """Assigns lasting ids to detections; one call of `update` or `predict` is one frame.

    A new track is tentative and ends with the first detection run that misses it. It is
    confirmed once every run has matched it over at least `min_hits` frames, and twice: after
    `min_hits` matches with detection on every frame, after two with detection on every fifth.
    In the first `min_hits` frames after the start or a `reset` new tracks are confirmed at
    once, so that a still image and a new connection show their faces without delay; with
    `min_hits` = 1 always.

    A confirmed track keeps its id and is returned, matched or not, until more than `max_age`
    frames have passed since its last match and at least two runs missed it (where runs are
    rarer than `max_age` one miss must not end it). While missed its velocity fades. It ends
    early when its predicted box shrinks to nothing or leaves the image by the upper or left
    edge.

    One detection is one face: suppressing doubles is the detector's work, so two equal boxes
    are two tracks. Boxes without area are ignored. Ids are never reused by one instance.
    """

    def __init__(
        self,
        max_age: int = MAX_AGE,
        min_hits: int = MIN_HITS,
        iou_threshold: float = 0.3,
        start_score: float = -math.inf,
        ids: Iterator[int] | None = None,
    ) -> None:
        """Start without tracks.

        Args:
            max_age: frames that a confirmed track outlives its last match; 0 ends it at the
                first run that misses it. Raised to 10 it keeps more identities (MOT17 with
                simulated detections: IDF1 46 % at 1, 57 % at 10 and at 15); beyond that it
                mostly keeps boxes on nobody, and at 25 fps a box that outstays its face by
                half a second looks wrong.
            min_hits: frames over which a new track must be seen, at least 1.
            iou_threshold: least overlap of predicted and detected box, in (0, 1].
            start_score: least score of a detection that starts a track.
            ids: where new tracks' ids come from; shared by trackers whose ids must differ.
                None = 1, 2, 3 ...

        Raises:
            ValueError: an argument out of its range.
        """
        if max_age < 0:
            raise ValueError(f"max_age must be at least 0, got {max_age}")
        if min_hits < 1:
            raise ValueError(f"min_hits must be at least 1, got {min_hits}")
        if not 0 < iou_threshold <= 1:
            raise ValueError(f"iou_threshold must be in (0, 1], got {iou_threshold}")
        self._max_age, self._min_hits, self._iou_threshold = max_age, min_hits, iou_threshold
        self._start_score = start_score
        self._live: list[_Live] = []
        self._ids = itertools.count(1) if ids is None else ids
        self._frames = 0

    def update(self, detections: Detections) -> list[Track]:
        """See `tracking.Tracker`; ValueError for a box that is not finite, and nothing changes."""
        boxes = detections.boxes
        if not np.isfinite(boxes).all():
            raise ValueError(f"boxes must be finite, got {boxes[~np.isfinite(boxes).all(axis=1)]}")
        self._advance()
        pairs = self._associate(boxes)
        for index, live in enumerate(self._live):
            if index in pairs:
                live.match(boxes[pairs[index]], pairs[index], self._min_hits)
            else:
                live.missed_runs += 1
        strong = set(np.flatnonzero(detections.scores >= self._start_score).tolist())
        self._start(boxes, strong - set(pairs.values()))
        return self._survivors()

    def predict(self) -> list[Track]:
        """See `tracking.Tracker`; nothing counts as missed, `time_since_update` grows."""
        self._advance()
        return self._survivors()

    def predicted_boxes(self) -> Float32:
        """See `tracking.Tracker`."""
        boxes = [live.motion.next_box for live in self._live]
        return np.stack(boxes) if boxes else np.zeros((0, 4), np.float32)

    def reset(self) -> None:
        """See `tracking.Tracker`."""
        self._live.clear()
        self._frames = 0

    def _advance(self) -> None:
        self._frames += 1
        for live in self._live:
            live.advance()

    def _associate(self, boxes: Float32) -> dict[int, int]:
        """Return index of track -> row of `boxes`, each used at most once."""
        if not self._live or not len(boxes):
            return {}
        predicted = np.stack([live.motion.box for live in self._live])
        pairs = assign(iou_matrix(predicted, boxes), self._iou_threshold)
        return pairs | self._second_chance(predicted, boxes, pairs)

    def _second_chance(
        self, predicted: Float32, boxes: Float32, pairs: dict[int, int]
    ) -> dict[int, int]:
        """Pair what `pairs` left over, with both boxes grown."""
        tracks = [index for index in range(len(predicted)) if index not in pairs]
        rows = sorted(set(range(len(boxes))) - set(pairs.values()))
        if not tracks or not rows:
            return {}
        overlap = np.empty((len(tracks), len(rows)))
        for i, index in enumerate(tracks):
            unseen = self._live[index].time_since_update - 1
            growth = min(GROWTH + GROWTH_PER_FRAME * unseen, MOST_GROWTH)
            overlap[i] = iou_matrix(grow(predicted[index], growth), grow(boxes[rows], growth))
        more = assign(overlap, self._iou_threshold)
        return {tracks[i]: rows[j] for i, j in more.items()}

    def _start(self, boxes: Float32, rows: set[int]) -> None:
        """Start a track on each of `rows` whose box has an area."""
        for row in sorted(rows):
            if (boxes[row, 2:] <= boxes[row, :2]).any():
                continue
            at_once = self._frames <= self._min_hits or self._min_hits == 1
            self._live.append(_Live(next(self._ids), BoxFilter(boxes[row]), at_once, row))

    def _survivors(self) -> list[Track]:
        self._live = [live for live in self._live if not live.is_over(self._max_age)]
        return [live.value() for live in self._live]


def assign(overlap: Float64, threshold: float) -> dict[int, int]:
    """Return row -> column so that the sum of overlaps is greatest.

    `overlap` is (N, M), 0 = none, N or M may be 0; pairs below `threshold` are not made.
    """
    allowed = np.where(overlap >= threshold, overlap, 0.0)
    rows, columns = linear_sum_assignment(allowed, maximize=True)
    kept = allowed[rows, columns] > 0
    return dict(zip(rows[kept].tolist(), columns[kept].tolist(), strict=True))


def _is_gone(box: Float32) -> bool:
    """Whether a box is too small to be a face, or left of or above the image."""
    return bool(((box[2:] - box[:2]) < MIN_SIDE).any() or (box[2:] <= 0).any())
