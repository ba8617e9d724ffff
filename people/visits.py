"""A visit: one person of one camera, from the first frame to the last one.

A person is a confirmed track. The visit ends, for all outputs, when the track ends, at a new
epoch, and when the source disconnects.
"""

import math
from dataclasses import dataclass, field
from datetime import date
from typing import NamedTuple

from people.attention import Attention
from people.bands import AGE_BANDS, UNKNOWN
from people.footfall import Footfall, Passages, Walk
from structures import Float32, Frame, FrameResult, Gender, Smoothed

_MOST = 1000  # people whose ids are kept, more than are remembered


class Key(NamedTuple):
    """The group of a visit; `band` is one of `AGE_BANDS`, `female` the likelier gender."""

    camera: str
    gender: Gender
    band: str
    female: bool


@dataclass(slots=True, eq=False)
class Visit:
    """One person from first to last frame; does not grow.

    Attributes:
        camera: name of the source; empty where there is only one.
        track_id: of the person's track.
        epoch: of the frames.
        first_s: `Frame.time_s` of the first frame.
        last_s: of the last one in which the face was detected, not merely predicted.
        first_utc_s: when the program processed the first one, seconds since 1970.
        last_utc_s: the same for the last one.
        frames: in how many the face was detected.
        sides_px: the sides of its boxes in these, all together; a side is the root of the area.
        person: the last known values, None before the first estimate.
        settled: whether the values have converged at least once.
        over: whether the person has left; nothing changes any more.
        again: whether the person was here before on that day, and is counted already.
        attention: how long the head pointed this way.
        walk: which lines it has crossed, and how long it was in which zones.
    """

    camera: str
    track_id: int
    epoch: int
    first_s: float
    last_s: float
    first_utc_s: float
    last_utc_s: float
    frames: int = 0
    sides_px: float = 0.0
    person: Smoothed | None = None
    settled: bool = False
    over: bool = False
    again: bool = False
    attention: Attention = field(default_factory=Attention)
    walk: Walk = field(default_factory=Walk)

    @property
    def key(self) -> Key:
        """The person's group, from the last known values."""
        person = self.person
        if person is None:
            return Key(self.camera, Gender.UNSURE, UNKNOWN, False)
        female = person.female_prob > 0.5
        return Key(self.camera, person.gender, AGE_BANDS.of(person.age_years), female)


class Visits:
    """The visits of one camera.

    Attributes:
        here: the current visits, by track id, in the order of their first frames.
        frame: the newest frame; None before the first.
        footfall: counts them at lines and in zones.
    """

    def __init__(self) -> None:
        self.here: dict[int, Visit] = {}
        self.frame: Frame | None = None
        self.footfall = Footfall()
        self._days: dict[int, date] = {}  # when the newest people left last

    def update(self, result: FrameResult, utc_s: float) -> list[Visit]:
        """Take in a new frame, or the last one again, perhaps with another `status`.

        `utc_s` is in seconds since 1970. Returns the visits that end with it.
        """
        frame, before = result.frame, self.frame
        if frame is before:
            return self.end() if result.status.is_over else []
        self.frame = frame
        cut = before is not None and before.epoch != frame.epoch
        tracked = set() if cut else result.living
        left = self._end_all_but(tracked)
        for track in result.tracks:
            if track.track_id not in self.here:
                times = frame.time_s, frame.time_s, utc_s, utc_s
                new = Visit(result.camera, track.track_id, frame.epoch, *times)
                new.again = self._days.get(track.track_id) == date.fromtimestamp(utc_s)
                self.here[track.track_id] = new
            visit = self.here[track.track_id]
            if track.found:
                visit.last_s, visit.last_utc_s = frame.time_s, utc_s
                visit.frames += 1
                visit.sides_px += _side_px(track.box)
            pose = result.poses.get(track.track_id)
            if pose is not None:
                visit.attention = visit.attention.after(pose, frame.time_s)
            visit.person = result.people.get(track.track_id, visit.person)
            visit.settled |= visit.person is not None and visit.person.converged
            if track.found:
                self.footfall.follow(track, visit.walk, frame)
        return left

    def reset(self) -> int:
        """Count everybody anew; returns how many of those who are there were counted before."""
        self._days.clear()
        self.footfall.reset()
        again = [visit for visit in self.here.values() if visit.again]
        for visit in again:
            visit.again = False
        return len(again)

    def passages(self, of_run: bool = False) -> Passages:
        """The counts of today at lines and in zones.

        Or of the whole run, in which those who are there have no group: theirs may change, and
        the counts never fall.
        """
        groups = {} if of_run else {number: visit.key for number, visit in self.here.items()}
        return self.footfall.passages(of_run, groups)

    def end(self) -> list[Visit]:
        """End all visits; returns them."""
        return self._end_all_but(set())

    def _end_all_but(self, tracked: set[int]) -> list[Visit]:
        left = [visit for track_id, visit in self.here.items() if track_id not in tracked]
        for visit in left:
            visit.over = True
            self.footfall.end(visit.track_id, visit.key)
            del self.here[visit.track_id]
            # Ids come again only with `--remember`, and not of all people.
            self._days.pop(visit.track_id, None)
            self._days[visit.track_id] = date.fromtimestamp(visit.last_utc_s)
            if len(self._days) > _MOST:
                del self._days[next(iter(self._days))]
        return left


def _side_px(box: Float32) -> float:
    """The side of the square that is as large as a box, (4,) xyxy."""
    x1, y1, x2, y2 = box.tolist()
    return math.sqrt(max(x2 - x1, 0.0) * max(y2 - y1, 0.0))
