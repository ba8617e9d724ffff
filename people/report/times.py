"""People by day, by hour of the day, by weekday; no number of them is of fewer than five people.

An hour is told as in records: "2026-01-31T14:00+01:00", local time.
"""

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from itertools import pairwise
from typing import NamedTuple

from people.crowd import LEAST
from people.report.doubles import Span95, Twice
from people.report.groups import merged

Hours = Mapping[str, int]  # people by hour

MOST_STEPS = 62  # rows: more than so many days are told by week, more weeks by month
BUSIEST = 5  # hours told one by one
BUSY = 5


class Cell(NamedTuple):
    """One row of a table, one column of a drawing.

    Attributes:
        label: what it is about; brief: the same in a few letters.
        people: how many were counted.
        width: of how many neighbours it was put together.
        different: how many different people that were; None = not known.
    """

    label: str
    brief: str
    people: int
    width: int = 1
    different: Span95 | None = None


class Step(NamedTuple):
    """What is counted by: its name alone, the names of its edges, and one of a few letters."""

    alone: str
    begin: str
    end: str
    brief: str


def cells_of(
    names: Sequence[Step], people: Sequence[int], twice: Twice | None = None
) -> list[Cell]:
    """Put neighbours together until nobody's group is under five."""
    cells = []
    for first, last, number in merged(people):
        span = f"{names[first].begin} – {names[last].end}"
        label = names[first].alone if first == last else span
        different = twice.different(number) if twice and number else None
        cells.append(Cell(label, names[first].brief, number, last - first + 1, different))
    return cells


def by_day(hours: Hours, twice: Twice | None) -> tuple[str, list[Cell]]:
    """Return what the steps are, "day", "week" or "month", and people by step."""
    days = Counter[date]()
    for hour, people in hours.items():
        days[date.fromisoformat(hour[:10])] += people
    if not days:
        return "day", []
    every = [min(days) + timedelta(n) for n in range((max(days) - min(days)).days + 1)]
    for name, begin in _STEPS.items():
        step, sums = name, dict.fromkeys(map(begin, every), 0)
        if len(sums) <= MOST_STEPS:
            break
    for day, people in days.items():
        sums[begin(day)] += people
    return step, cells_of([_step(step, each) for each in sums], list(sums.values()), twice)


_STEPS: dict[str, Callable[[date], date]] = {
    "day": lambda day: day,
    "week": lambda day: day - timedelta(day.weekday()),
    "month": lambda day: day.replace(day=1),
}


def _step(step: str, begins: date) -> Step:
    if step == "day":
        name = f"{begins:%a} {begins.day} {begins:%b}"
        return Step(name, name, name, f"{begins.day}")
    if step == "week":
        sunday = begins + timedelta(6)
        first, last = f"{begins.day} {begins:%b}", f"{sunday.day} {sunday:%b}"
        return Step(f"{first} – {last}", first, last, first)
    month = f"{begins:%b %Y}"
    return Step(month, month, month, f"{begins:%b}")


def by_hour(hours: Hours, twice: Twice | None) -> list[Cell]:
    """People by hour of the day, all days together."""
    sums = [0] * 24
    for hour, people in hours.items():
        sums[int(hour[11:13])] += people
    edges = [f"{hour:02}:00" for hour in range(25)]
    names = [Step(f"{a} – {b}", a, b, f"{int(a[:2])}") for a, b in pairwise(edges)]
    return cells_of(names, sums, twice)


def by_weekday(hours: Hours) -> list[list[int]]:
    """How busy each hour of each weekday is, Monday first, on average: from 0 to `BUSY`.

    0 stands for fewer than five people in all, `BUSY` for the busiest; empty for less than
    two days.
    """
    days = sorted({date.fromisoformat(hour[:10]) for hour in hours})
    if len(days) < 2:
        return []
    every = [days[0] + timedelta(n) for n in range((days[-1] - days[0]).days + 1)]
    count = Counter(day.weekday() for day in every)
    sums = Counter[tuple[int, int]]()
    for hour, people in hours.items():
        sums[date.fromisoformat(hour[:10]).weekday(), int(hour[11:13])] += people
    rates = {
        (weekday, hour): people / count[weekday]
        for (weekday, hour), people in sums.items()
        if people >= LEAST
    }
    most = max(rates.values(), default=1.0)
    return [
        [math.ceil(BUSY * rates.get((weekday, hour), 0) / most) for hour in range(24)]
        for weekday in range(7)
    ]


def busiest(hours: Hours) -> list[Cell]:
    """The busiest hours, in fives: exact ones could be taken from the totals of their days."""
    best = sorted(hours.items(), key=lambda each: (-each[1], each[0]))[:BUSIEST]
    rows = []
    for hour, people in best:
        begins = datetime.fromisoformat(hour)
        label = f"{begins:%a} {begins.day} {begins:%b %Y}, {begins:%H}:00 – {begins.hour + 1:02}:00"
        rows.append(Cell(label, label, people // LEAST * LEAST))
    return [row for row in rows if row.people]


def zone_of(moment: datetime) -> str:
    """The local time zone with its offset, "CET/CEST (UTC+01:00)"."""
    offset = moment.strftime("%z")
    return f"{'/'.join(dict.fromkeys(time.tzname))} (UTC{offset[:3]}:{offset[3:5]})"


@dataclass(frozen=True, slots=True)
class Times:
    """When people came.

    Attributes:
        step: "day", "week" or "month", by which `steps` are.
        steps: people by day, week or month.
        hours: people by hour of the day.
        week: how busy each hour of each weekday is; see `by_weekday`.
        busiest: the busiest hours, in fives.
    """

    step: str
    steps: list[Cell]
    hours: list[Cell]
    week: list[list[int]]
    busiest: list[Cell]

    @classmethod
    def of(cls, hours: Hours, twice: Twice | None) -> "Times":
        """Work them out of people by hour."""
        step, steps = by_day(hours, twice)
        return cls(step, steps, by_hour(hours, twice), by_weekday(hours), busiest(hours))
