"""Where faces must be hidden in a frame, seen from a second later.

A tracker of its own joins the detections of neighbouring frames, weak ones too. In each frame is
hidden what is found in it, and where a box jumps also that of the frame before and after. Of every
face that is not found, but shortly before or after, is hidden:

- between two frames that find it, its way from one to the other;
- before the first and after the last of them, the place where it stands in that, and the one to
  which its speed would take it, for a second; `WEAK_S` where no detection was a sure one and
  there were fewer than `FEW`, and in less than a quarter of the frames: hardly ever a face.

The whole frame is hidden where that may not do: a sure face is not found in it, and either it shows
less than half the detail of the frame that finds the face (dark, faded, blurred by motion), or no
face is found at all and at least two were lost at one moment.
"""

from collections import deque
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import cv2
import numpy as np

from structures import SLACK_S, Detections, Float32, Frame, Image
from tracking import FRAME_S
from tracking.sort import SortTracker

SPAN_S = 1.0  # how far back and ahead is looked
WEAK_S = 0.1
FEW = 6
_LEAST_DETAIL = 0.5  # of that in which the face was found
_SPEED_S = 0.2  # over which a face's speed is measured
_JUMP = 0.15  # of a box's shorter side, which a face hardly moves or grows in a frame
_DETAIL_WIDTH = 480  # pixels of the picture in which detail is measured


class Sighting(NamedTuple):
    """A face found in a frame: its box, (4,) float32 xyxy, and the detail of the frame."""

    time_s: float
    box: Float32
    score: float
    detail: float


class _Moment(NamedTuple):
    """A frame and the faces found in it, by track."""

    time_s: float
    epoch: int
    size_wh: tuple[int, int]
    detail: float
    seen: dict[int, Sighting]


class _Gap(NamedTuple):
    """A face that is not found in a frame: the sightings before it and those after it."""

    before: Sequence[Sighting]
    after: Sequence[Sighting]

    def is_sure(self, score: float, frames: int) -> bool:
        """Whether it is a face, as far as one of so many `frames` can tell."""
        every = [*self.before, *self.after]
        return len(every) >= min(FEW, frames / 4) or any(each.score >= score for each in every)

    def away_s(self, time_s: float) -> float:
        """How far away the nearest sighting is at that time."""
        return min(abs(each.time_s - time_s) for each in self.ends)

    @property
    def ends(self) -> list[Sighting]:
        """The sightings next to the frame."""
        return [*self.before[-1:], *self.after[:1]]

    def places(self, time_s: float) -> list[Float32]:
        """Where the face may be at that time, each (4,) xyxy."""
        if self.before and self.after:
            start, end = self.ends
            if start.time_s == end.time_s:
                return [start.box, end.box]
            share = (time_s - start.time_s) / (end.time_s - start.time_s)
            return [start.box + np.float32(share) * (end.box - start.box)]
        (end,) = self.ends
        near = [s for s in (*self.before, *self.after) if abs(s.time_s - end.time_s) <= _SPEED_S]
        far = max(near, key=lambda each: abs(each.time_s - end.time_s))
        if far.time_s == end.time_s:
            return [end.box]
        share = (time_s - end.time_s) / (end.time_s - far.time_s)
        centre = np.float32(share / 2) * (end.box - far.box).reshape(2, 2).sum(axis=0)
        return [end.box, end.box + np.tile(centre, 2)]


class Hindsight:
    """The faces of one source's last frames; `add` each in order, `pop` the oldest.

    Args:
        sure: least score of a detection that is a face by itself.
        span_s: in seconds of `Frame.time_s`.
    """

    def __init__(self, sure: float, span_s: float = SPAN_S) -> None:
        self._sure, self._span_s = sure, span_s + SLACK_S
        self._tracker = SortTracker(max_age=round(span_s / FRAME_S), min_hits=1)
        self._ahead: deque[_Moment] = deque()
        self._behind: deque[_Moment] = deque()
        self._epoch: int | None = None

    def add(self, frame: Frame, found: Detections) -> None:
        """Take in a frame, as filmed, and all that was found in it."""
        if frame.epoch != self._epoch:
            self._tracker.reset()
            self._epoch = frame.epoch
        shows = detail(frame.image)
        seen = {}
        for track in self._tracker.update(found, frame.time_s):
            row = track.detection_index
            if row is not None:
                score = float(found.scores[row])
                seen[track.track_id] = Sighting(frame.time_s, found.boxes[row], score, shows)
        self._ahead.append(_Moment(frame.time_s, frame.epoch, frame.size_wh, shows, seen))

    def pop(self) -> Float32:
        """Take out the oldest frame; return what to hide in it, (M, 4) float32 xyxy.

        The last row is the whole frame where the frame is to be hidden as a whole.
        """
        now = self._ahead.popleft()
        since_s = now.time_s - self._span_s - _SPEED_S
        while self._behind and not (
            self._behind[0].epoch == now.epoch and self._behind[0].time_s >= since_s
        ):
            self._behind.popleft()
        later = [m for m in self._ahead if m.epoch == now.epoch]
        frames = len(self._behind) + 1 + len(later)
        places, sure = [each.box for each in now.seen.values()], []
        for moment in [*list(self._behind)[-1:], *later[:1]]:
            places += _jumped(now.seen, moment.seen)
        for gap in _gaps(now, self._behind, later):
            is_sure, away_s = gap.is_sure(self._sure, frames), gap.away_s(now.time_s)
            if away_s <= (self._span_s if is_sure else WEAK_S + SLACK_S):
                places += gap.places(now.time_s)
                sure += [gap] * is_sure
        if _in_doubt(now, sure):
            places.append(np.array((0, 0, *now.size_wh), np.float32))
        self._behind.append(now)
        return np.array(places, np.float32).reshape(-1, 4)

    def clear(self) -> None:
        """Forget all frames."""
        self._ahead.clear()
        self._behind.clear()
        self._epoch = None


def _jumped(here: Mapping[int, Sighting], near: Mapping[int, Sighting]) -> list[Float32]:
    """The boxes of a neighbouring frame's faces that are quite different here: either may be wrong.

    Both map tracks to sightings.
    """
    boxes = []
    for track_id in sorted(here.keys() & near.keys()):
        one, other = here[track_id].box, near[track_id].box
        if (np.abs(one - other) > _JUMP * (one[2:] - one[:2]).min()).any():
            boxes.append(other)
    return boxes


def _gaps(now: _Moment, behind: Sequence[_Moment], later: Sequence[_Moment]) -> list[_Gap]:
    """The faces that are not found in a frame, but before or after it."""
    sides: list[dict[int, list[Sighting]]] = [{}, {}]
    for side, moments in zip(sides, (behind, later), strict=True):
        for moment in moments:
            for track_id, sighting in moment.seen.items():
                side.setdefault(track_id, []).append(sighting)
    before, after = sides
    ids = (before.keys() | after.keys()) - now.seen.keys()
    return [_Gap(before.get(i, []), after.get(i, [])) for i in sorted(ids)]


def _in_doubt(now: _Moment, gaps: Sequence[_Gap]) -> bool:
    """Whether it is not known where the faces of a frame are; `gaps` are of sure ones."""
    if any(now.detail < _LEAST_DETAIL * each.detail for gap in gaps for each in gap.ends):
        return True
    lost = [gap.before[-1].time_s for gap in gaps if gap.before]
    return not now.seen and len(lost) >= 2 and lost.count(max(lost)) >= 2


def detail(image: Image) -> float:
    """Return how much detail an image, (H, W, 3) uint8 BGR, shows.

    The standard deviation of the Laplacian of its green, in grey levels at a width of 480 pixels.
    """
    step = max(1, image.shape[1] // _DETAIL_WIDTH)
    green = np.ascontiguousarray(image[::step, ::step, 1])
    return float(cv2.Laplacian(green, cv2.CV_32F).std())
