"""How many people are and were in view, by age band and perceived gender, for all outputs.

The rule of anonymity is implemented here only. An anonymous crowd reports no visit; its
numbers are those of the last full minute, rounded down to multiples of five: neither a number,
nor the difference of two, nor that of a total and its groups reveals fewer than five people.
All outputs read the same crowd, so they change at the same moment.
"""

import threading
import time
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import date
from functools import reduce
from typing import Any

from estimators.weights import Confusion
from people.ages import MeanAges
from people.attention import NOBODY, Audience
from people.bands import AGE_BANDS, UNKNOWN, WIDENED
from people.correction import Correction, as_json, named, told_counts
from people.expected_error import ExpectedError
from people.footfall import Passages
from people.hours import Ledger, Span, Timeline, together
from people.summary import Summary
from people.visits import Key, Visit, Visits
from people.zones import NOTHING, Layout
from structures import ATTRIBUTES, FrameResult, Gender, SourceState, SourceStatus

LEAST = 5  # people; an anonymous crowd reports no fewer
MINUTE_S = 60.0
TABLE_ROWS = 50

_RECENT_STEP_S, _RECENT_STEPS = 5.0, 120  # ten minutes
_DAY_STEP_S, _DAY_STEPS = 900.0, 96  # a day


@dataclass(frozen=True, slots=True)
class _Moment:
    """The exact numbers of a moment."""

    day: date  # local
    now: dict[str, int]  # people in view by camera, those without images left out
    here: Counter[Key]  # people in view who were not counted before
    again: Counter[str]  # those who were, by camera
    left: Counter[Key]  # since the run began
    left_today: Counter[Key]  # since midnight
    todays: dict[str, Span]  # by camera, since midnight or a reset
    stays_s: float  # of those who left since the run began
    hours: dict[str, tuple[Span, ...]]  # by camera
    days: dict[str, tuple[Span, ...]]
    audiences: dict[str, Audience]  # by camera, since the run began
    places: dict[str, Passages]  # of today, by camera
    places_run: dict[str, Passages]


class Crowd:
    """Counts the people of all cameras, each visit once; may be read from any thread.

    Somebody who comes again on the same day, and is recognised, is counted once by each camera.

    Every output passes on every result (`update`); a result counts once, however often it
    comes. Nothing here grows with the length of a run.

    Args:
        attributes: which of `structures.ATTRIBUTES` to report; ethnicity is never counted.
        anonymous: follow the module's rule; otherwise report everything, at once and exactly.
        confusion: of the network, to correct the counts of groups by; None = they are not.
        attention: report who looked this way.
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
        confusion: Confusion | None = None,
        attention: bool = False,
        clock: Callable[[], float] = time.monotonic,
        utc: Callable[[], float] = time.time,
    ) -> None:
        self.attributes, self.anonymous, self.attention = attributes, anonymous, attention
        self.minute = 0
        self._clock, self._utc = clock, utc
        self._step = LEAST if anonymous else 1
        self._lock = threading.RLock()
        self._visits: dict[str, Visits] = {}
        self._live: dict[str, None] = {}
        self._left_lately: deque[Visit] = deque(maxlen=TABLE_ROWS)
        self._left, self._left_today = Counter[Key](), Counter[Key]()
        self._ages = MeanAges()  # of those who left today; where anonymous, of nobody
        self._stays_s, self._ledgers = 0.0, defaultdict[str, Ledger](Ledger)
        self._todays, self._audiences = dict[str, Span](), dict[str, Audience]()
        self._errors = defaultdict[str, ExpectedError](ExpectedError)
        self._correction = Correction(None if anonymous else confusion, attributes, clock)
        self._recent = Timeline(_RECENT_STEP_S, _RECENT_STEPS)
        self._quarters = Timeline(_DAY_STEP_S, _DAY_STEPS)
        self._day = self._today()
        self._due_s = clock() + MINUTE_S
        self._release()

    # Input

    def update(self, result: FrameResult) -> None:
        """Take in a new frame, or the last one again, perhaps with another `status`."""
        with self._lock:
            utc_s = self._utc() - result.held_s
            if _has_images(result.status):
                self._live[result.camera] = None
            else:
                self._live.pop(result.camera, None)
            visits = self._visits.setdefault(result.camera, Visits())
            is_new, before = visits.frame is not result.frame, _new(visits.here.values())
            left = visits.update(result, utc_s)
            self._count(left)
            entered = _new([*visits.here.values(), *left]) - before
            self._note(result.camera, utc_s, entered, left)
            if self._clock() >= self._due_s:
                self._due_s = self._clock() + MINUTE_S
                self.minute += 1
                self._correction.refresh()
                self._release()
            now = self._released.now if self.anonymous else self._now()
            if is_new and now:
                for timeline in (self._recent, self._quarters):
                    timeline.note(utc_s, sum(now.values()))

    def reset(self) -> None:
        """Count from zero, and everybody in view anew. Hours and days are kept."""
        with self._lock:
            self._stays_s = 0.0
            self._correction.refresh()
            self._left.clear()
            self._left_today.clear()
            self._ages.clear()
            self._left_lately.clear()
            self._audiences.clear()
            self._todays.clear()
            for camera, visits in self._visits.items():
                self._ledgers[camera].note(self._utc(), Span("", visits.reset()))
                self._todays[camera] = Span("", entered=len(visits.here))
            self._recent = Timeline(_RECENT_STEP_S, _RECENT_STEPS)
            self._quarters = Timeline(_DAY_STEP_S, _DAY_STEPS)

    def end(self) -> None:
        """End all visits, as at the end of a run."""
        with self._lock:
            for camera, visits in self._visits.items():
                left = visits.end()
                self._count(left)
                self._note(camera, self._utc(), 0, left)
            self._correction.refresh()
            self._release()

    def lay_out(self, camera: str, layout: Layout) -> None:
        """Count at these lines and zones of a camera from now on."""
        with self._lock:
            self._visits.setdefault(camera, Visits()).footfall.lay_out(layout)
            if all(visits.frame is None for visits in self._visits.values()):
                self._release()  # later only when its minute is over

    # Reports

    def layout(self, camera: str) -> Layout:
        """The lines and zones of a camera."""
        visits = self._visits.get(camera)
        return visits.footfall.layout if visits else NOTHING

    @property
    def layouts(self) -> tuple[Layout, ...]:
        """The lines and zones of all cameras so far."""
        return tuple(map(self.layout, self._visits))

    def here(self, camera: str) -> tuple[Visit, ...]:
        """The current visits of a camera, oldest first; none where anonymous."""
        visits = self._visits.get(camera)
        return tuple(visits.here.values()) if visits and not self.anonymous else ()

    def hours(self, camera: str) -> dict[str, dict[str, Any]]:
        """What came and went in the last 48 hours, as in aggregate records, by beginning."""
        with self._lock:
            hours = self._released.hours if self.anonymous else self._hours()
        spans = hours.get(camera, ())
        return {span["begins"]: span for span in self._spans(spans)}

    @property
    def cameras(self) -> tuple[str, ...]:
        """The names of all cameras so far."""
        return tuple(self._visits)

    def aggregate(self, camera: str) -> dict[str, Any]:
        """The numbers of one camera, as in an aggregate record of docs/events.md."""
        with self._lock:
            moment, ages = self._reported(), self._ages.of(camera, self.attributes)
        left = Counter({k: n for k, n in moment.left_today.items() if k.camera == camera})
        groups = self._grouped((k.gender, WIDENED.get(k.band, k.band), n) for k, n in left.items())
        here = sum(number for key, number in moment.here.items() if key.camera == camera)
        rounded = [
            {"age": age, "gender": gender, "people": self._rounded(number)}
            for (gender, age), number in sorted(groups.items(), key=lambda each: each[0][::-1])
        ]
        today, span = moment.day.isoformat(), moment.todays.get(camera, Span(""))
        return {
            "day": today,
            "now": self._rounded(here + moment.again[camera]),
            "people": self._rounded(span.left),
            "entered": self._rounded(span.entered),
            "dwell_s": self._dwell(span),
            **ages,
            "step": self._step,
            "groups": [named(group) for group in rounded if group["people"]],
            "corrected": as_json(self._correction.of(f"today {camera}", told_counts(left))),
            "error_years": self._error_years(camera),
            **self._known_errors(),
            "hours": self._spans(
                span for span in moment.hours.get(camera, ()) if span.begins.startswith(today)
            ),
            "days": self._spans(day for day in moment.days.get(camera, ()) if day.begins != today),
            **({"attention": self._told(span.audience).as_json()} if self.attention else {}),
            **self._places(moment.places).get(camera, {}),
        }

    def places(self, camera: str) -> dict[str, Any]:
        """The numbers of a camera's lines and zones, as in an aggregate record."""
        with self._lock:
            places = self._released.places if self.anonymous else self._passages()
        return self._places(places).get(camera, {})

    def _known_errors(self) -> dict[str, Any]:
        """The network's confusion, from which a report corrects the counts of many days."""
        confusion = self._correction.confusion
        return {} if confusion is None else {"confusion": [list(row) for row in confusion]}

    def summary(self) -> Summary:
        """The numbers of all cameras together."""
        with self._lock:
            utc_s, moment = self._utc(), self._reported()
            recent, quarters = self._recent.series(utc_s), self._quarters.series(utc_s)
            today, left, newest = moment.left_today + moment.here, moment.left, self._newest()
        watched = reduce(Audience.plus, (s.audience for s in moment.todays.values()), NOBODY)
        return Summary(
            now={camera: self._shown(number) for camera, number in moment.now.items()},
            now_total=self._shown(sum(moment.now.values())) if moment.now else None,
            today=self._shown(today.total()),
            seen=self._shown(left.total() + moment.here.total()),
            groups=self._all_groups(today),
            left=self._all_groups(left),
            recent=tuple(None if n is None else self._shown(n) for n in recent),
            day=tuple(None if n is None else self._shown(n) for n in quarters),
            newest=newest,
            gone=self._shown(left.total()),
            stays_s=None if self.anonymous else moment.stays_s,
            hours=self._spans(together(moment.hours.values())),
            days=self._spans(together(moment.days.values())),
            groups_corrected=self._correction.of("today", told_counts(today)),
            left_corrected=self._correction.of("run", told_counts(left)),
            audience=self._told(watched) if self.attention else None,
            audiences={name: self._told(each) for name, each in moment.audiences.items()},
            errors_years={camera: self._error_years(camera) for camera in moment.now},
            places=self._places(moment.places),
            places_run=self._places(moment.places_run, wide=False),
        )

    # The rule of anonymity

    def _reported(self) -> _Moment:
        """The numbers to report, before rounding: this moment's, or the last minute's."""
        return self._released if self.anonymous else self._moment()

    def _rounded(self, people: int) -> int:
        return people // self._step * self._step

    def _shown(self, people: int) -> int | None:
        return None if people < self._step and self.anonymous else self._rounded(people)

    def _spans(self, spans: Iterable[Span]) -> list[dict[str, Any]]:
        """Hours or days as in records and on the page; those that may not be told of left out."""
        told = [
            {
                "begins": span.begins,
                "entered": self._rounded(span.entered),
                "left": self._rounded(span.left),
                "dwell_s": self._dwell(span),
            }
            for span in spans
        ]
        return [span for span in told if span["entered"] or span["left"]]

    def _dwell(self, span: Span) -> float | None:
        """How long people stayed on average; it would tell of one person where anonymous."""
        if self.anonymous or span.dwell_s is None:
            return None
        return round(span.dwell_s, 1)

    def _told(self, audience: Audience) -> Audience:
        return audience.rounded(self._step) if self.anonymous else audience

    def _error_years(self, camera: str) -> float | None:
        """See `ExpectedError`; where anonymous it would move with every single person."""
        if self.anonymous or "age" not in self.attributes or camera not in self._errors:
            return None
        years = self._errors[camera].years(self._utc())
        return None if years is None else round(years, 1)

    def _places(
        self, passages: Mapping[str, Passages], wide: bool = True
    ) -> dict[str, dict[str, Any]]:
        """Lines and zones by camera, as in records, or by `AGE_BANDS` where not `wide`."""

        def group(key: Key) -> tuple[str, str]:
            band = WIDENED.get(key.band, key.band) if wide else key.band
            return self._asked("gender", key.gender), self._asked("age", band)

        exact = not self.anonymous
        return {
            camera: each.as_json(group, self._rounded, exact)
            for camera, each in passages.items()
            if each.layout.shapes
        }

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
            self._todays.clear()
            self._ages.clear()
            for visits in self._visits.values():
                visits.footfall.begin_day()
        new = [visit for visit in left if not visit.again]
        keys = [visit.key for visit in new]
        self._left.update(keys)
        self._left_today.update(keys)
        if not self.anonymous:  # a mean moves with every single person
            self._ages.add(new)
        self._left_lately += left

    def _note(self, camera: str, utc_s: float, entered: int, left: list[Visit]) -> None:
        """Enter into the books who came and went."""
        new = [(visit.attention, visit.last_s - visit.first_s) for visit in left if not visit.again]
        audience, stays_s = Audience.of(new), [stay_s for _, stay_s in new]
        more = Span("", entered, len(stays_s), sum(stays_s), audience)
        self._stays_s += more.seconds
        self._ledgers[camera].note(utc_s, more)
        self._todays[camera] = self._todays.get(camera, Span("")).plus(more)
        if self.attention:
            self._audiences[camera] = self._audiences.get(camera, NOBODY).plus(audience)
        spreads = [v.person.age_uncertainty_years for v in left if v.person is not None]
        self._errors[camera].note(utc_s, spreads)

    def _now(self) -> dict[str, int]:
        return {camera: len(self._visits[camera].here) for camera in self._live}

    def _moment(self) -> _Moment:
        everybody = [v for visits in self._visits.values() for v in visits.here.values()]
        here = Counter(visit.key for visit in everybody if not visit.again)
        again = Counter(visit.camera for visit in everybody if visit.again)
        days = {name: tuple(each.days.values()) for name, each in self._ledgers.items()}
        left, left_today = self._left.copy(), self._left_today.copy()
        return _Moment(
            self._day, self._now(), here, again, left, left_today,
            self._todays.copy(), self._stays_s, self._hours(), days, self._audiences.copy(),
            self._passages(), self._passages(of_run=True),
        )  # fmt: skip

    def _passages(self, of_run: bool = False) -> dict[str, Passages]:
        """The exact counts at the lines and zones of each camera."""
        return {camera: visits.passages(of_run) for camera, visits in self._visits.items()}

    def _hours(self) -> dict[str, tuple[Span, ...]]:
        """The exact hours of each camera."""
        return {name: tuple(each.hours.values()) for name, each in self._ledgers.items()}

    def _release(self) -> None:
        """Keep this moment's numbers to be reported for the next minute."""
        self._released = self._moment()

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
        known = ((k.gender, k.band, n) for k, n in counts.items() if k.band != UNKNOWN)
        groups = self._grouped(known)
        genders = dict.fromkeys(self._asked("gender", gender) for gender in Gender)
        bands = dict.fromkeys(self._asked("age", band) for band in AGE_BANDS.names)
        return {(g, b): self._shown(groups[g, b]) for g in genders for b in bands}


def _has_images(status: SourceStatus) -> bool:
    """Whether images come of a source, or came to their end: so it is known who is in view."""
    if status.state is SourceState.ENDED:
        return True
    return status.connected and status.state is not SourceState.STALLED


def _new(visits: Iterable[Visit]) -> int:
    """How many of them are counted for the first time."""
    return sum(not visit.again for visit in visits)
