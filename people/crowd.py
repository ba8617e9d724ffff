"""How many people are and were in view, by age band and perceived gender, for all outputs.

The rule of anonymity is implemented here only. An anonymous crowd reports no visit; its
numbers are those of the last full minute, rounded down to multiples of five: neither a number,
nor the difference of two, nor that of a total and its groups reveals fewer than five people.
All outputs read the same crowd, so they change at the same moment.
"""

import math
import threading
import time
from bisect import bisect_right
from collections import Counter, deque
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass, replace
from datetime import date
from itertools import pairwise
from typing import Any

from people.visits import Visit, Visits
from structures import ATTRIBUTES, FrameResult, Gender, SourceState

LEAST = 5  # people; an anonymous crowd reports no fewer
MINUTE_S = 60.0
TABLE_ROWS = 50
UNKNOWN = "unknown"  # the band of somebody without an estimate

_RECENT_STEP_S, _RECENT_STEPS = 5.0, 120  # ten minutes
_DAY_STEP_S, _DAY_STEPS = 900.0, 96  # a day

Key = tuple[str, Gender, str]  # camera, gender, out of `AGE_BANDS.names`


class Bands:
    """Age bands from each of `starts` up to the next, whole years; names as "20-29", "80+"."""

    def __init__(self, *starts: int) -> None:
        self._starts = starts
        self.names = (*(f"{low}-{high - 1}" for low, high in pairwise(starts)), f"{starts[-1]}+")

    def of(self, age_years: float) -> str:
        """The name of an age's band; `UNKNOWN` where the age is not finite."""
        if not math.isfinite(age_years):
            return UNKNOWN
        return self.names[max(bisect_right(self._starts, age_years) - 1, 0)]


AGE_BANDS = Bands(*range(0, 90, 10))  # of the page and /metrics, and what is counted
RECORD_BANDS = Bands(0, 10, 20, 40, 60)  # of aggregate records; each is made of whole AGE_BANDS
_WIDENED = {name: RECORD_BANDS.of(10 * i) for i, name in enumerate(AGE_BANDS.names)}


@dataclass(frozen=True, slots=True)
class Summary:
    """How many people all cameras have seen; what the page and /metrics show.

    A number is None where it may not be reported: below `LEAST` in an anonymous crowd.

    Attributes:
        now: people in view, by camera; cameras without images are left out.
        now_total: their sum; also None where no camera has images.
        today: people seen since midnight, or since the run began.
        seen: people seen since the run began.
        groups: of `today`, those with an estimate, by gender and `AGE_BANDS`.
        left: of `seen`, those who left and had an estimate, likewise; never falls.
        recent: most people in view at once in steps of 5 s, oldest first; None = unknown.
        day: the same in steps of 15 minutes.
        newest: the newest visits, newest first; none where anonymous.
    """

    now: dict[str, int | None]
    now_total: int | None
    today: int | None
    seen: int | None
    groups: dict[tuple[str, str], int | None]
    left: dict[tuple[str, str], int | None]
    recent: tuple[int | None, ...]
    day: tuple[int | None, ...]
    newest: tuple[Visit, ...]


@dataclass(frozen=True, slots=True)
class _Moment:
    """The exact numbers of a moment."""

    day: date  # local
    now: dict[str, int]  # people in view by camera, those without images left out
    here: Counter[Key]  # people in view
    left: Counter[Key]  # since the run began
    left_today: Counter[Key]  # since midnight


class Timeline:
    """The largest number noted in each of the last `steps` steps of equal length."""

    def __init__(self, step_s: float, steps: int) -> None:
        self._step_s, self._length = step_s, steps
        self._steps: deque[tuple[int, int]] = deque(maxlen=steps)

    def note(self, now_s: float, number: int) -> None:
        """Note a number; if the clock was set back it counts for the last step."""
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


class Crowd:
    """Counts the people of all cameras, each visit once; may be read from any thread.

    Every output passes on every result (`update`); a result counts once, however often it
    comes. Nothing here grows with the length of a run.

    Args:
        attributes: which of `structures.ATTRIBUTES` to report; ethnicity is never counted.
        anonymous: follow the module's rule; otherwise report everything, at once and exactly.
        clock: seconds, monotonic.
        utc: seconds since 1970.

    Attributes:
        minute: full minutes since the beginning; when it grows, aggregate records are due.
    """

    def __init__(
        self,
        attributes: Collection[str] = ATTRIBUTES,
        *,
        anonymous: bool = False,
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self.attributes, self.anonymous = attributes, anonymous
        self.minute = 0
        self._clock, self._utc = clock, utc
        self._step = LEAST if anonymous else 1
        self._lock = threading.RLock()
        self._visits: dict[str, Visits] = {}
        self._live: dict[str, None] = {}
        self._left_lately: deque[Visit] = deque(maxlen=TABLE_ROWS)
        self._left, self._left_today = Counter[Key](), Counter[Key]()
        self._recent = Timeline(_RECENT_STEP_S, _RECENT_STEPS)
        self._quarters = Timeline(_DAY_STEP_S, _DAY_STEPS)
        self._day = self._today()
        self._due_s = clock() + MINUTE_S
        self._release()

    # Input

    def update(self, result: FrameResult) -> None:
        """Take in a new frame, or the last one again, perhaps with another `status`."""
        with self._lock:
            utc_s = self._utc()
            if result.status.state is SourceState.LIVE:
                self._live[result.camera] = None
            else:
                self._live.pop(result.camera, None)
            visits = self._visits.setdefault(result.camera, Visits())
            is_new = visits.frame is not result.frame
            self._count(visits.update(result, utc_s))
            if self._clock() >= self._due_s:
                self._due_s = self._clock() + MINUTE_S
                self.minute += 1
                self._release()
            now = self._released.now if self.anonymous else self._now()
            if is_new and now:
                for timeline in (self._recent, self._quarters):
                    timeline.note(utc_s, sum(now.values()))

    def reset(self) -> None:
        """Count from zero; those in view count as they leave."""
        with self._lock:
            self._left.clear()
            self._left_today.clear()
            self._left_lately.clear()
            self._recent = Timeline(_RECENT_STEP_S, _RECENT_STEPS)
            self._quarters = Timeline(_DAY_STEP_S, _DAY_STEPS)

    def end(self) -> None:
        """End all visits, as at the end of a run."""
        with self._lock:
            for visits in self._visits.values():
                self._count(visits.end())
            self._release()

    # Reports

    def here(self, camera: str) -> tuple[Visit, ...]:
        """The current visits of a camera, oldest first; none where anonymous."""
        visits = self._visits.get(camera)
        return tuple(visits.here.values()) if visits and not self.anonymous else ()

    @property
    def cameras(self) -> tuple[str, ...]:
        """The names of all cameras so far."""
        return tuple(self._visits)

    def aggregate(self, camera: str) -> dict[str, Any]:
        """The numbers of one camera, as in an aggregate record of docs/events.md."""
        with self._lock:
            moment = self._reported()
            groups = self._grouped(
                (gender, _WIDENED.get(band, band), number)
                for (name, gender, band), number in moment.left_today.items()
                if name == camera
            )
            now = sum(number for (name, *_), number in moment.here.items() if name == camera)
        rounded = [
            {"age": age, "gender": gender, "people": self._rounded(number)}
            for (gender, age), number in sorted(groups.items(), key=lambda each: each[0][::-1])
        ]
        return {
            "day": moment.day.isoformat(),
            "now": self._rounded(now),
            "people": self._rounded(groups.total()),
            "step": self._step,
            "groups": [
                {name: value for name, value in group.items() if value != ""}
                for group in rounded
                if group["people"]
            ],
        }

    def summary(self) -> Summary:
        """The numbers of all cameras together."""
        with self._lock:
            utc_s, moment = self._utc(), self._reported()
            recent, quarters = self._recent.series(utc_s), self._quarters.series(utc_s)
            return Summary(
                now={camera: self._shown(number) for camera, number in moment.now.items()},
                now_total=self._shown(sum(moment.now.values())) if moment.now else None,
                today=self._shown(moment.left_today.total() + moment.here.total()),
                seen=self._shown(moment.left.total() + moment.here.total()),
                groups=self._all_groups(moment.left_today + moment.here),
                left=self._all_groups(moment.left),
                recent=tuple(None if n is None else self._shown(n) for n in recent),
                day=tuple(None if n is None else self._shown(n) for n in quarters),
                newest=self._newest(),
            )

    # The rule of anonymity

    def _reported(self) -> _Moment:
        """The numbers to report, before rounding: this moment's, or the last minute's."""
        return self._released if self.anonymous else self._moment()

    def _rounded(self, people: int) -> int:
        return people // self._step * self._step

    def _shown(self, people: int) -> int | None:
        return None if people < self._step and self.anonymous else self._rounded(people)

    def _newest(self) -> tuple[Visit, ...]:
        """Copies of the newest visits, which no other thread changes."""
        here = [visit for visits in self._visits.values() for visit in visits.here.values()]
        visits = [] if self.anonymous else [*here, *self._left_lately]
        visits.sort(key=lambda visit: visit.first_utc_s, reverse=True)
        return tuple(replace(visit) for visit in visits[:TABLE_ROWS])

    # The count

    def _count(self, left: list[Visit]) -> None:
        """Count visits that have just ended; the day's count starts again at midnight."""
        if self._today() != self._day:
            self._day = self._today()
            self._left_today.clear()
        keys = [_key(visit) for visit in left]
        self._left.update(keys)
        self._left_today.update(keys)
        self._left_lately += left

    def _now(self) -> dict[str, int]:
        return {camera: len(self._visits[camera].here) for camera in self._live}

    def _moment(self) -> _Moment:
        here = Counter(_key(v) for visits in self._visits.values() for v in visits.here.values())
        return _Moment(self._day, self._now(), here, self._left, self._left_today)

    def _release(self) -> None:
        """Keep this moment's numbers to be reported for the next minute."""
        left, left_today = self._left.copy(), self._left_today.copy()
        self._released = replace(self._moment(), left=left, left_today=left_today)

    def _today(self) -> date:
        return date.fromtimestamp(self._utc())

    def _grouped(self, counts: Iterable[tuple[str, str, int]]) -> Counter[tuple[str, str]]:
        """Sum (gender, age band, people); what is not among the attributes becomes ""."""
        groups = Counter[tuple[str, str]]()
        for gender, band, number in counts:
            groups[self._asked("gender", gender), self._asked("age", band)] += number
        return groups

    def _asked(self, attribute: str, value: str) -> str:
        return str(value) if attribute in self.attributes else ""

    def _all_groups(self, counts: Counter[Key]) -> dict[tuple[str, str], int | None]:
        """The people with an estimate in all possible groups, empty ones too."""
        known = ((gender, band, n) for (_, gender, band), n in counts.items() if band != UNKNOWN)
        groups = self._grouped(known)
        genders = dict.fromkeys(self._asked("gender", gender) for gender in Gender)
        bands = dict.fromkeys(self._asked("age", band) for band in AGE_BANDS.names)
        return {(g, b): self._shown(groups[g, b]) for g in genders for b in bands}


def _key(visit: Visit) -> Key:
    """The group of a visit, from its last known values."""
    person = visit.person
    if person is None:
        return visit.camera, Gender.UNSURE, UNKNOWN
    return visit.camera, person.gender, AGE_BANDS.of(person.age_years)
