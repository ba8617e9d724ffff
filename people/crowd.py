"""How many people of which age and gender were seen, and nothing about any one of them."""

import time
from collections import Counter
from collections.abc import Callable, Collection
from dataclasses import dataclass
from datetime import date

from people.visits import Changes, Visit, Visits
from structures import ATTRIBUTES, FrameResult, Gender

AGE_BANDS = ("0-9", "10-19", "20-39", "40-59", "60+")
UNKNOWN = "unknown"
LEAST = 5  # people; nothing is told of fewer
_BAND_ENDS = (10, 20, 40, 60)
_EVERY_S = 60.0

Key = tuple[str, str]  # age band, gender; "" = not asked for


@dataclass(frozen=True, slots=True)
class Group:
    """People of one age band and perceived gender.

    Attributes:
        age: out of `AGE_BANDS`, or `UNKNOWN` before an estimate; "" where not asked for.
        gender: a value of `Gender`; "" where not asked for.
        people: how many.
    """

    age: str
    gender: str
    people: int


@dataclass(frozen=True, slots=True)
class Crowd:
    """What may be told at a moment.

    Attributes:
        day: local date, YYYY-MM-DD; counting began at its midnight or with the run.
        now: people in the picture at this moment.
        people: who came and left today.
        groups: of these, by age band, then gender; empty ones are left out.
        step: all counts are multiples of it, rounded down.
    """

    day: str
    now: int
    people: int
    groups: tuple[Group, ...]
    step: int


def age_band(age_years: float) -> str:
    """The one of `AGE_BANDS` that holds an age."""
    return AGE_BANDS[sum(age_years >= end for end in _BAND_ENDS)]


class Aggregates:
    """Counts the people of one camera, each once, when leaving, with the values last known.

    Anonymous, counts are rounded down to multiples of five and change once a minute
    only: groups of fewer than five do not show, and the difference of two counts, or of
    the total and its groups, never tells of fewer than five people either.

    Args:
        attributes: which of `structures.ATTRIBUTES` to tell; ethnicity is never counted.
        anonymous: round as said. Otherwise all is told at once and exactly.
        clock: seconds, monotonic.
        today: the local date.
    """

    def __init__(
        self,
        attributes: Collection[str] = ATTRIBUTES,
        *,
        anonymous: bool = True,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], date] = date.today,
    ) -> None:
        self._attributes = attributes
        self._step = LEAST if anonymous else 1
        self._every_s = _EVERY_S if anonymous else 0.0
        self._clock, self._today = clock, today
        self._visits = Visits()
        self._waiting: list[Key] = []  # people who left since the counts last changed
        self._counts: Counter[Key] = Counter()
        self._day = today()
        self._due_s = clock() + self._every_s

    def update(self, result: FrameResult) -> Changes:
        """Take in a new frame, or the last one once more with another `status`.

        Returns:
            Who has just settled or left: not for the eyes of others where anonymous.
        """
        changes = self._visits.update(result)
        self._waiting += [self._key(visit) for visit in changes.left]
        self._count()
        return changes

    def end(self) -> Changes:
        """Let everybody who is still there leave, as at the end of a run."""
        changes = Changes(left=self._visits.end())
        self._waiting += [self._key(visit) for visit in changes.left]
        self._due_s = self._clock()
        self._count()
        return changes

    def crowd(self) -> Crowd:
        """What may be told now."""
        self._count()
        groups = (Group(*key, self._told(n)) for key, n in sorted(self._counts.items()))
        return Crowd(
            day=self._day.isoformat(),
            now=self._told(len(self._visits)),
            people=self._told(self._counts.total()),
            groups=tuple(group for group in groups if group.people),
            step=self._step,
        )

    def _count(self) -> None:
        """Take in who is waiting, where that is due; begin anew at midnight."""
        if self._today() != self._day:
            self._day = self._today()
            self._counts.clear()
        if self._clock() >= self._due_s:
            self._due_s = self._clock() + self._every_s
            self._counts.update(self._waiting)
            self._waiting.clear()

    def _told(self, people: int) -> int:
        return people // self._step * self._step

    def _key(self, visit: Visit) -> Key:
        person = visit.person
        age = UNKNOWN if person is None else age_band(person.age_years)
        gender = (Gender.UNSURE if person is None else person.gender).value
        asked = self._attributes
        return age if "age" in asked else "", gender if "gender" in asked else ""
