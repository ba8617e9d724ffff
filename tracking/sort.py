"""SORT: boxes of single frames become tracks by their motion alone.

Reference: Bewley, Ge, Ott, Ramos, Upcroft, "Simple Online and Realtime Tracking",
ICIP 2016, arXiv 1602.00763. Differs:

- A confirmed track is remembered, and keeps its id, until it has gone unmatched for more
  than `max_age` frames' time and at least two detection runs; the paper ends it after one
  miss (T_lost = 1). Its predicted box is shown for a moment only, as there may be nobody.
- Everything is counted in seconds, so that 5 and 60 frames a second give the same tracks.
- Tracks and detections are paired in two rounds: `tracking.association`.
- A track starts with a detection of at least `start_score`; weaker ones only continue
  existing tracks (after Zhang et al., "ByteTrack: Multi-Object Tracking by
  Associating Every Detection Box", ECCV 2022, which matches them in a second round).
- Frames without detection are supported: `predict`.
- After a gap (a camera that stalled, a recording that paused) a face is looked for near its
  place alone, and ends if it is not there: who is elsewhere may be somebody else.
"""

import itertools
import math
from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from structures import SLACK_S, Detections, Float32, Track, TrackState
from tracking import FRAME_S, MAX_AGE, MIN_HITS
from tracking.association import Rows, associate
from tracking.boxes import Float64, overlaps
from tracking.kalman import BoxFilters

Mask = NDArray[np.bool_]

SHOWN_S = 0.12  # for so long at most a box is shown on nobody; for one frame at least
COVERED = 1 / 3  # of a box: what lies behind another face is not shown meanwhile
MIN_SIDE = 2.0  # pixels; a smaller box is no face any more
# Frames are missing where a step is longer than this, and than so many steps before it: a camera
# of a frame in two seconds has no gaps.
GAP_S, GAP_STEPS = 1.0, 5

_LIVE = np.dtype(
    [
        ("track_id", np.int64),
        ("born_s", np.float64),
        ("matched_s", np.float64),
        ("missed_s", np.float64),  # when the first run missed it since, else infinity
        ("missed_runs", np.int64),
        ("hits", np.int64),
        ("row", np.int64),  # of this frame's detections, -1 = none
        ("confirmed", np.bool_),
    ]
)


class SortTracker:
    """Assigns lasting ids to detections; one call of `update` or `predict` is one frame.

    A new track is tentative and ends with the first detection run that misses it, or at 60
    frames a second the third: 0.04 s are forgiven. It is confirmed once every run has matched
    it over the time of `min_hits` frames, and twice: after `min_hits` matches with detection on
    every frame of 25 a second, after two with detection on every fifth.
    In the first `min_hits` frames' time after the start or a `reset` new tracks are confirmed at
    once, so that a still image and a new connection show their faces without delay; with
    `min_hits` = 1 always.

    A confirmed track that is missed stays so for `SHOWN_S`, so that a face does not flicker,
    unless another face covers its place; then it is lost, and confirmed again when it is found.
    It ends when more than `max_age`
    frames' time has passed since its last match and at least two runs missed it (where runs are
    rarer than `max_age` one miss must not end it, but does after a gap). While missed its
    velocity fades. It ends early when its predicted box shrinks to nothing or leaves the image by
    the upper or left edge.

    One detection is one face: suppressing doubles is the detector's work, so two equal boxes
    are two tracks. Boxes without area are ignored. Ids are never reused by one instance.

    All tracks are rows of arrays, in the order of their birth.
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
            max_age: how long a confirmed track outlives its last match, in frames at 25 a
                second; 0 ends it at the first run that misses it. Four scripted faces that
                cross have 83 % IDF1 at 10, 93 % at 30.
            min_hits: how long a new track must be seen, in such frames, at least 1.
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
        self._ids = itertools.count(1) if ids is None else ids
        self.reset()

    def update(self, detections: Detections, time_s: float) -> list[Track]:
        """See `tracking.Tracker`; ValueError for a box that is not finite, and nothing changes."""
        boxes = detections.boxes
        if not np.isfinite(boxes).all():
            raise ValueError(f"boxes must be finite, got {boxes[~np.isfinite(boxes).all(axis=1)]}")
        unseen_s = self._now_s - self._live["matched_s"]  # up to the frame before this one
        self._advance(time_s)
        rows = associate(self._filters, unseen_s, boxes, self._iou_threshold, self._after_gap)
        self._match(rows, boxes)
        free = (detections.scores >= self._start_score) & (boxes[:, 2:] > boxes[:, :2]).all(axis=1)
        free[rows[rows >= 0]] = False
        if free.any():
            self._start(boxes, np.flatnonzero(free))
        return self._survivors()

    def predict(self, time_s: float) -> list[Track]:
        """See `tracking.Tracker`; nothing counts as missed, `unseen_s` grows."""
        self._advance(time_s)
        return self._survivors()

    def predicted_boxes(self, time_s: float) -> Float32:
        """See `tracking.Tracker`."""
        step_s = self._step_s(time_s)
        return self._filters.boxes_after(self._modelled_s(step_s), self._missed)

    def move(self, matrix: Float64) -> None:
        """See `tracking.Tracker`."""
        self._filters.move(matrix)

    def reset(self) -> None:
        """See `tracking.Tracker`."""
        self._filters, self._live = BoxFilters(), np.zeros(0, _LIVE)
        self._began_s = self._now_s = math.nan
        self._usual_s = math.inf  # the last step's length
        self._after_gap = False

    @property
    def _missed(self) -> Mask:
        missed: Mask = self._live["missed_runs"] > 0
        return missed

    def _step_s(self, time_s: float) -> float:
        """Seconds since the last frame; 0 for the first one, and where time does not grow."""
        return 0.0 if math.isnan(self._now_s) else max(0.0, time_s - self._now_s)

    def _is_gap(self, step_s: float) -> bool:
        return step_s > GAP_S and step_s > GAP_STEPS * self._usual_s

    def _modelled_s(self, step_s: float) -> float:
        """How long boxes move in a step: not all through a gap."""
        return GAP_S if self._is_gap(step_s) else step_s

    def _advance(self, time_s: float) -> None:
        """Enter the frame of that time, in which nothing has been matched yet."""
        step_s = self._step_s(time_s)
        if math.isnan(self._now_s):
            self._began_s = self._now_s = time_s
        self._after_gap = self._is_gap(step_s)
        self._filters.predict(self._modelled_s(step_s), self._missed)
        self._now_s, self._usual_s = self._now_s + step_s, step_s
        self._live["row"] = -1

    def _match(self, rows: Rows, boxes: Float32) -> None:
        """Give each track the detection of its row, -1 = none; confirm those seen long enough."""
        live, hit = self._live, rows >= 0
        self._filters.update(np.flatnonzero(hit), boxes[rows[hit]])
        live["row"] = rows
        live["hits"] += hit
        live["matched_s"][hit] = self._now_s
        live["missed_runs"] = np.where(hit, 0, live["missed_runs"] + 1)
        live["missed_s"] = np.where(hit, np.inf, np.minimum(live["missed_s"], self._now_s))
        lived_s = self._now_s - live["born_s"]
        long_enough = lived_s >= (self._min_hits - 1) * FRAME_S - SLACK_S
        live["confirmed"] |= hit & (live["hits"] >= 2) & long_enough

    def _start(self, boxes: Float32, rows: Rows) -> None:
        """Start a track on each of `rows`."""
        new = np.zeros(len(rows), _LIVE)
        new["track_id"] = list(itertools.islice(self._ids, len(rows)))
        new["born_s"] = new["matched_s"] = self._now_s
        new["missed_s"], new["hits"], new["row"] = np.inf, 1, rows
        since_s = self._now_s - self._began_s
        new["confirmed"] = self._min_hits == 1 or since_s < self._min_hits * FRAME_S - SLACK_S
        self._live = np.concatenate([self._live, new])
        self._filters.add(boxes[rows])

    def _survivors(self) -> list[Track]:
        boxes = self._filters.boxes()
        if (self._live["row"] < 0).any():  # else all were found
            kept = ~self._over(boxes)
            self._live, boxes = self._live[kept], boxes[kept]
            self._filters.keep(kept)
        return self._values(boxes)

    def _over(self, boxes: Float32) -> Mask:
        """Which tracks end in this frame, (N,)."""
        live = self._live
        unseen_s = self._now_s - live["matched_s"]
        refuted = ~live["confirmed"] & self._missed & (unseen_s >= FRAME_S - SLACK_S)
        runs = 1 if self._after_gap else min(self._max_age + 1, 2)
        too_long = unseen_s > self._max_age * FRAME_S + SLACK_S
        tiny = ((boxes[:, 2:] - boxes[:, :2]) < MIN_SIDE).any(axis=1)
        gone = (tiny | (boxes[:, 2:] <= 0).any(axis=1)) & (live["row"] < 0)
        over: Mask = refuted | (too_long & (live["missed_runs"] >= runs)) | gone
        return over

    def _values(self, boxes: Float32) -> list[Track]:
        """The tracks as others see them; `boxes` are theirs."""
        live = self._live
        unseen_s = self._now_s - live["matched_s"]
        unsure = live["confirmed"] & self._missed
        states = live["confirmed"].astype(np.int64)
        if unsure.any():
            lost = (unseen_s > SHOWN_S + SLACK_S) & (live["missed_s"] < self._now_s)
            states[unsure & (lost | _hidden(boxes, live["row"] >= 0))] = 2
        columns = (
            live["track_id"].tolist(),
            boxes,
            [_STATES[state] for state in states.tolist()],
            unseen_s.tolist(),
            [None if row < 0 else row for row in live["row"].tolist()],
            (self._now_s - live["born_s"]).tolist(),
        )
        return [Track(*each) for each in zip(*columns, strict=True)]


def _hidden(boxes: Float32, seen: Mask) -> Mask:
    """Which of the boxes, (N, 4), one of those that are `seen`, (N,), covers by a third."""
    covered = overlaps(boxes, boxes[seen], "min").max(axis=1, initial=0.0)
    hidden: Mask = covered > COVERED
    return hidden


_STATES = TrackState.TENTATIVE, TrackState.CONFIRMED, TrackState.LOST
