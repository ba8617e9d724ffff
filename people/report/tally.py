"""Sums of records, from which the report is made; they grow with hours and runs.

What grows with people, so that a copy counts once, is eight bytes for each; a live run has no
copies and keeps the newest only.

A person is taken from the record of their leaving, and counts in the hour (local) in which they
came; who is recognised on the same day (`--remember`) counts once. A record that was taken in
already, from a copy of a file, counts once, too. Runs that are anonymous have no person records:
of these the latest aggregate record of each day counts, in fives.
"""

import math
from array import array
from bisect import bisect_right
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from typing import Any

from estimators.weights import Confusion
from people.attention import NOBODY, Audience
from people.bands import RECORD_BANDS
from people.correction import GROUPS, group_of
from people.records import SCHEMA
from people.report.doubles import Doubles
from people.report.leaving import Leaving, local_hour, text, time_of
from people.report.numbers import Numbers, RoundedDay
from people.wording import UNSURE_YEARS
from structures import Gender, SourceState

Record = dict[str, Any]

STAYS_S = 2, 5, 10, 30, 60, 300  # where the second and further classes of stays begin
FEW_SAMPLES = 5
SMALL_PX = 60.0
POOR_EVIDENCE = 0.25
_BLOCK = 64  # ids that share an array
NEWEST = 1000  # people, or blocks, more than the people who are remembered: half a megabyte
_OFFLINE = frozenset(SourceState) - {SourceState.LIVE, SourceState.ENDED}
_OF_PROGRAM = "online", "offline"


class WrongSchemaError(ValueError):
    """A record of another version."""


@dataclass(slots=True)
class Flaw:
    """Something that speaks against the data: of how many people it is known, how many have it."""

    known: int = 0
    found: int = 0


@dataclass(slots=True)
class Passage:
    """Of a line: crossings in and out. Of a zone: people who were in it, and their seconds."""

    inward: int = 0
    outward: int = 0
    seconds: float = 0.0


@dataclass(slots=True)
class CameraRun:
    """One camera in one run.

    Attributes:
        began_s: of the first record, seconds since 1970.
        ended_s: of the last one.
        outages: how often there were no images.
        told: people told to be of each of `GROUPS`.
        confusion: of the network; None = not known.
        doubles: how many may have been counted twice.
        days: of an anonymous run, what the latest aggregate record of each day said.
    """

    began_s: float
    ended_s: float
    outages: int = 0
    told: list[int] = field(default_factory=lambda: [0] * len(GROUPS))
    confusion: Confusion | None = None
    doubles: Doubles = field(default_factory=Doubles)
    days: dict[str, RoundedDay] = field(default_factory=dict)
    _offline_s: float = 0.0
    _lost_s: float | None = None
    _state_s: float = -math.inf
    _left_s: dict[int, "array[float]"] = field(default_factory=dict)
    _zones: dict[tuple[str, int], str] = field(default_factory=dict)  # days, of the newest people

    def left_before(self, person: Leaving, blocks: int | None) -> float:
        """When this person left the last time, seconds since 1970, 0 = never; notes this time.

        Only the newest `blocks` of people are kept; None = all.
        """
        block, place = divmod(person.number, _BLOCK)
        times = self._left_s.pop(block, None) or array("d", bytes(8 * _BLOCK))
        self._left_s[block] = times
        if blocks is not None and len(self._left_s) > blocks:
            del self._left_s[next(iter(self._left_s))]
        before, times[place] = times[place], max(times[place], person.left_s)
        return before

    def is_first_in(self, zone: str, person: Leaving) -> bool:
        """Whether this person was not in that zone before on that day; notes that they were."""
        key, day = (zone, person.number), person.hour[:10]
        before = self._zones.pop(key, "")
        self._zones[key] = day
        if len(self._zones) > NEWEST:
            del self._zones[next(iter(self._zones))]
        return before != day

    def note_state(self, state: SourceState, utc_s: float) -> None:
        """Take in a state of the source; one of a copy changes nothing."""
        if utc_s <= self._state_s:
            return
        self._state_s = utc_s
        if state not in _OFFLINE:
            self._offline_s, self._lost_s = self.offline_s(utc_s), None
        elif self._lost_s is None:
            self._lost_s = utc_s
            self.outages += 1

    def offline_s(self, until_s: float) -> float:
        """How long there were no images."""
        return self._offline_s + (0.0 if self._lost_s is None else until_s - self._lost_s)


@dataclass(slots=True)
class CameraSums:
    """One camera in all runs.

    Attributes:
        hours: people by the hour in which they came, "2026-01-31T14:00+01:00".
        stays: people by class of `STAYS_S`.
        stayed_s: how long they stayed, all together.
        unknown: people without an estimate.
        alone: people by age band or by gender, where the other was not estimated.
        flaws: by name: gender unsure, age vague, few looks, face small, looks poor.
        error_records: of how many records the error of age is known that is expected here.
        error_sum_years: their errors, all together.
    """

    hours: Counter[str] = field(default_factory=Counter)
    stays: list[int] = field(default_factory=lambda: [0] * (len(STAYS_S) + 1))
    stayed_s: float = 0.0
    unknown: int = 0
    alone: Counter[str] = field(default_factory=Counter)
    flaws: dict[str, Flaw] = field(default_factory=lambda: defaultdict(Flaw))
    lines: dict[str, Passage] = field(default_factory=lambda: defaultdict(Passage))
    zones: dict[str, Passage] = field(default_factory=lambda: defaultdict(Passage))
    attention: Audience = NOBODY
    error_records: int = 0
    error_sum_years: float = 0.0

    @property
    def error_years(self) -> float | None:
        """The error of age predicted for this camera, on average; None = not known."""
        return self.error_sum_years / self.error_records if self.error_records else None


class Tally:
    """Takes in records, those of a run in their order.

    Args:
        blocks: of how many blocks of `_BLOCK` ids it is known when people left, for each camera
            of a run: `NEWEST` where no record comes twice; None = of all.

    Attributes:
        cameras: sums by the camera's name.
        runs: by the run's and the camera's name.
        repeated: records of people that were there already.
    """

    def __init__(self, blocks: int | None = None) -> None:
        self._blocks = blocks
        self.cameras: dict[str, CameraSums] = defaultdict(CameraSums)
        self.runs: dict[tuple[str, str], CameraRun] = {}
        self.repeated = 0

    def add(self, record: Record) -> None:
        """Take in a record; nothing is kept of one that says nothing about people or sources.

        Raises:
            WrongSchemaError: it is of another version.
            LookupError, TypeError, ValueError, OverflowError: it is not as docs/events.md says.
        """
        if record["schema"] != SCHEMA:
            raise WrongSchemaError(f"want schema {SCHEMA}, got {record['schema']!r}")
        kind = record["type"]
        if kind not in ("source", "person", "aggregate"):
            return
        if kind == "source" and record["source"]["state"] in _OF_PROGRAM:
            return
        utc_s = time_of(record["utc"]).timestamp()
        name, number = text(record["camera"]), text(record["run"])
        content = _content(record, utc_s)  # checked before anything is changed
        camera = self.cameras[name]
        run = self.runs.setdefault((number, name), CameraRun(utc_s, utc_s))
        run.began_s, run.ended_s = min(run.began_s, utc_s), max(run.ended_s, utc_s)
        if isinstance(content, SourceState):
            run.note_state(content, utc_s)
        elif isinstance(content, Numbers):
            _note_numbers(content, camera, run)
        elif content is not None:
            self._person(content, camera, run)

    def _person(self, person: Leaving, camera: CameraSums, run: CameraRun) -> None:
        before_s = run.left_before(person, self._blocks)
        if before_s >= person.left_s:
            self.repeated += 1
            return
        for line, (inward, outward) in person.lines.items():
            camera.lines[line].inward += inward
            camera.lines[line].outward += outward
        for zone, seconds in person.zones.items():
            camera.zones[zone].inward += seconds > 0 and run.is_first_in(zone, person)
            camera.zones[zone].seconds += seconds
        if before_s and local_hour(before_s)[:10] == person.hour[:10]:
            return  # recognised, and counted already
        camera.hours[person.hour] += 1
        camera.stays[bisect_right(STAYS_S, person.stay_s)] += 1
        camera.stayed_s += person.stay_s
        _note_looks(person, camera, run)
        _note_flaws(person, camera)
        if person.watched is not None:
            one = Audience(1, int(person.watched), person.watched_s, person.stay_s)
            camera.attention = camera.attention.plus(one)


def _content(record: Record, utc_s: float) -> SourceState | Numbers | Leaving | None:
    """What a record says; None = it says nothing that counts, but that there was a run."""
    if record["type"] == "source":
        return SourceState(record["source"]["state"])
    if record["type"] == "aggregate":
        return Numbers.of(record, utc_s)
    return Leaving.of(record, utc_s) if record["event"] == "left" else None


def _note_numbers(numbers: Numbers, camera: CameraSums, run: CameraRun) -> None:
    """Take in an aggregate record; an earlier one of a copy changes no day."""
    if numbers.error_years is not None:
        camera.error_records += 1
        camera.error_sum_years += numbers.error_years
    run.confusion = numbers.confusion or run.confusion
    day, rounded = numbers.day, numbers.rounded
    if day is not None and rounded is not None:
        before = run.days.get(day)
        if before is None or before.told_s <= rounded.told_s:
            run.days[day] = rounded


def _note_looks(person: Leaving, camera: CameraSums, run: CameraRun) -> None:
    """Count somebody by group, and whether they may have been counted twice."""
    age, female = person.age_years, person.female_prob
    if age is not None and female is not None:
        run.told[group_of(female > 0.5, age)] += 1
    elif age is not None:
        camera.alone[RECORD_BANDS.of(age)] += 1
    elif female is not None:
        camera.alone[Gender.FEMALE if female > 0.5 else Gender.MALE] += 1
    else:
        camera.unknown += 1
    if age is not None:
        run.doubles.note(person.first_s, person.last_s, age, person.gender)


def _note_flaws(person: Leaving, camera: CameraSums) -> None:
    """Note what speaks against trusting somebody's values."""
    flaws = {
        "unsure": person.gender == Gender.UNSURE if person.gender else None,
        "vague": None if person.spread_years is None else person.spread_years > UNSURE_YEARS,
        "few": person.samples < FEW_SAMPLES,
        "small": None if person.face_px is None else person.face_px < SMALL_PX,
        "poor": None if person.evidence is None else person.evidence < POOR_EVIDENCE,
    }
    for name, has in flaws.items():
        if has is not None:
            camera.flaws[name].known += 1
            camera.flaws[name].found += has
