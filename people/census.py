"""Who is here and who was: counts, ages and genders, a bounded table. Not thread-safe.

A person is a track of a camera. Nothing here grows with the length of a run: those who
left are added up and kept in the table only while they are among the newest.
"""

import time
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from structures import FrameResult, Gender, Smoothed

GENDERS = (Gender.FEMALE, Gender.MALE, Gender.UNSURE)
BANDS = (*(f"{low}-{low + 9}" for low in range(0, 80, 10)), "80+")  # whole years
TABLE_ROWS = 50

_GONE_AFTER_S = 2.0  # wall time without a track; ids do not come back
_RECENT_STEP_S, _RECENT_STEPS = 5.0, 120  # ten minutes
_DAY_STEP_S, _DAY_STEPS = 900.0, 96  # a day

Counts = NDArray[np.int64]


@dataclass(slots=True)
class Person:
    """What is known of one person.

    Attributes:
        camera: which source saw them; empty where there is one.
        track_id: theirs among that camera's.
        first_s: when they were first seen, seconds since 1970.
        last_s: when they were last found by the detector.
        smoothed: the newest values; None before the first estimate.
        here: whether they are in the newest picture.
    """

    camera: str
    track_id: int
    first_s: float
    last_s: float
    smoothed: Smoothed | None = None
    here: bool = True


@dataclass(frozen=True, slots=True, eq=False)
class Summary:
    """A census at one moment.

    Attributes:
        now: people in view, by camera; cameras without a picture are left out.
        today: people seen since midnight, or since the run began.
        seen: people seen since the run began.
        groups: of `today`, those with an estimate: (3, 9) int64, `GENDERS` by `BANDS`.
        left: of `seen`, those who left and had an estimate; the same shape, never falls.
        recent: most people in view at once in steps of 5 s, oldest first; None = unknown.
        day: the same in steps of 15 minutes.
        people: the newest, newest first.
    """

    now: dict[str, int]
    today: int
    seen: int
    groups: Counts
    left: Counts
    recent: tuple[int | None, ...]
    day: tuple[int | None, ...]
    people: tuple[Person, ...]


class Timeline:
    """The largest of the numbers noted in each of so many steps of equal length."""

    def __init__(self, step_s: float, steps: int) -> None:
        self._step_s, self._length = step_s, steps
        self._steps: deque[tuple[int, int]] = deque(maxlen=steps)

    def note(self, now_s: float, number: int) -> None:
        """Take note of a number; a clock that was set back counts for the last step."""
        step = int(now_s // self._step_s)
        if self._steps and step <= self._steps[-1][0]:
            step, largest = self._steps.pop()
            number = max(number, largest)
        self._steps.append((step, number))

    def series(self, now_s: float) -> tuple[int | None, ...]:
        """Return one number a step up to `now_s`, None where nothing was noted."""
        end = int(now_s // self._step_s)
        noted = dict(self._steps)
        return tuple(noted.get(step) for step in range(end - self._length + 1, end + 1))


class Census:
    """Counts the people in the results it is shown."""

    def __init__(self) -> None:
        self._people: dict[tuple[str, int], Person] = {}
        self._left_lately: deque[Person] = deque(maxlen=TABLE_ROWS)
        self._now: dict[str, int] = {}
        self._epochs: dict[str, int] = {}
        self._seen = self._today = 0
        self._left, self._left_today = (np.zeros((len(GENDERS), len(BANDS)), int) for _ in "ab")
        self._date: tuple[int, int] | None = None
        self._recent = Timeline(_RECENT_STEP_S, _RECENT_STEPS)
        self._day = Timeline(_DAY_STEP_S, _DAY_STEPS)

    def note(self, result: FrameResult, now_s: float) -> None:
        """Take note of the people in a new frame.

        Args:
            result: of the frame.
            now_s: seconds since 1970.
        """
        self._turn_the_day(now_s)
        camera = result.camera
        ids = {track.track_id for track in result.tracks}
        cut = self._epochs.get(camera, result.frame.epoch) != result.frame.epoch
        self._epochs[camera] = result.frame.epoch
        self._let_go(camera, set() if cut else ids, now_s, at_once=cut)
        for track in result.tracks:
            key = camera, track.track_id
            if key not in self._people:
                self._people[key] = Person(camera, track.track_id, now_s, now_s)
                self._seen += 1
                self._today += 1
            person = self._people[key]
            person.here = True
            person.smoothed = result.people.get(track.track_id, person.smoothed)
            if track.time_since_update == 0:
                person.last_s = now_s
        self._now[camera] = len(ids)
        self._note_number(now_s)

    def pause(self, camera: str) -> None:
        """Take note that a camera gives no pictures: who is in its view is unknown."""
        self._now.pop(camera, None)

    def summary(self, now_s: float) -> Summary:
        """Return everything as it stands at `now_s`, seconds since 1970."""
        self._turn_the_day(now_s)
        groups = self._left_today.copy()
        for person in self._people.values():
            _count(person, groups)
        newest = sorted(
            [*self._people.values(), *self._left_lately], key=lambda p: p.first_s, reverse=True
        )
        return Summary(
            dict(self._now), self._today, self._seen, groups, self._left.copy(),
            self._recent.series(now_s), self._day.series(now_s),
            tuple(_copy(person, self._now) for person in newest[:TABLE_ROWS]),
        )  # fmt: skip

    def _note_number(self, now_s: float) -> None:
        number = sum(self._now.values())
        self._recent.note(now_s, number)
        self._day.note(now_s, number)

    def _let_go(self, camera: str, ids: set[int], now_s: float, at_once: bool) -> None:
        """Mark who is not in view, and add up those who have been gone for a while."""
        for key, person in list(self._people.items()):
            if person.camera != camera or person.track_id in ids:
                continue
            person.here = False
            if at_once or now_s - person.last_s > _GONE_AFTER_S:
                del self._people[key]
                _count(person, self._left)
                _count(person, self._left_today)
                self._left_lately.append(person)

    def _turn_the_day(self, now_s: float) -> None:
        """At midnight begin to count anew, with those who are here."""
        local = time.localtime(now_s)
        date = local.tm_year, local.tm_yday
        if date != self._date:
            self._today = len(self._people) if self._date else self._today
            self._left_today[:] = 0
            self._date = date


def _copy(person: Person, now: dict[str, int]) -> Person:
    """Return what does not change behind the reader's back."""
    here = person.here and person.camera in now
    return Person(
        person.camera, person.track_id, person.first_s, person.last_s, person.smoothed, here
    )


def _count(person: Person, groups: Counts) -> None:
    """Add a person to the group that the newest values say."""
    known = person.smoothed
    if known is not None and np.isfinite(known.age_years):
        band = min(int(max(known.age_years, 0.0) // 10), len(BANDS) - 1)
        groups[GENDERS.index(known.gender), band] += 1
