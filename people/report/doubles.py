"""How many people were probably counted twice: lost by the tracker and found again as new.

Of each person who comes: had somebody who looks alike (age within `ALIKE_YEARS`, no other
gender told) left the same camera within `WINDOW_S` before? Some had by chance. How many, the same
question tells of a time in which nobody is lost and found any more, `LATER_S` earlier, since people
come and go as often then. With M and C such people of n, and chance striking both kinds alike,

    counted twice  =  (M - C) / (1 - C / n),   variance of M - C:  2 C (1 - C/n)

A queue, in which the next comes whenever one leaves, looks the same and is counted, too.
"""

import math
from bisect import bisect_right
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

WINDOW_S = 10.0
LATER_S = 20.0
ALIKE_YEARS = 10.0
LEAST_PEOPLE = 50  # of fewer nothing can be said
_KEPT = 256  # of those who left last
_SIGMAS = 1.96  # 95 %


class Span95(NamedTuple):
    """A number that is estimated, and between which numbers it lies with 95 %."""

    value: float
    low: float
    high: float


class Twice(NamedTuple):
    """How many of so many people were probably counted twice, with the standard deviation."""

    people: int
    value: float
    spread: float

    @property
    def span(self) -> Span95:
        """The same with its interval."""
        return _within(self.value, self.spread, self.people)

    def different(self, people: int) -> Span95:
        """How many different people some of them, counted alike, are."""
        rate, spread = self.value / self.people, self.spread / self.people
        rate = min(max(rate, 0.0), 1.0)
        chance = people * rate * (1 - rate)
        value, low, high = _within(
            people * (1 - rate), math.sqrt(chance + (people * spread) ** 2), people
        )
        return Span95(value, math.floor(low), math.ceil(high))


@dataclass(slots=True)
class Doubles:
    """Counts one camera's people of one run who came when somebody alike had just left.

    Attributes:
        people: how many were looked at.
        found: M of the module.
        chance: C of the module.
    """

    people: int = 0
    found: int = 0
    chance: int = 0
    _left_s: list[float] = field(default_factory=list)
    _looks: list[tuple[float, str]] = field(default_factory=list)

    def note(self, first_s: float, last_s: float, age_years: float, gender: str) -> None:
        """Take in somebody who has left; in the order of leaving. Times are the source's."""
        self.people += 1
        self.found += self._alike(first_s - WINDOW_S, first_s, age_years, gender)
        earlier_s = first_s - LATER_S
        self.chance += self._alike(earlier_s - WINDOW_S, earlier_s, age_years, gender)
        self._left_s.append(last_s)
        self._looks.append((age_years, gender))
        if len(self._left_s) > 2 * _KEPT:
            del self._left_s[:_KEPT], self._looks[:_KEPT]

    def _alike(self, after_s: float, until_s: float, age_years: float, gender: str) -> bool:
        """Whether somebody alike left in that time."""
        start, end = (bisect_right(self._left_s, each) for each in (after_s, until_s))
        return any(
            abs(age - age_years) <= ALIKE_YEARS and {gender, other} != {"female", "male"}
            for age, other in self._looks[start:end]
        )


def counted_twice(parts: Iterable[Doubles]) -> Twice | None:
    """Estimate how many were, of several cameras and runs together; None = of too few people."""
    sums = [(part.people, part.found, part.chance) for part in parts]
    people, found, chance = (sum(each) for each in zip(*sums, strict=True)) if sums else (0, 0, 0)
    if people < LEAST_PEOPLE:
        return None
    free = 1 - min(chance, people - 1) / people
    variance = 2 * chance * (1 - chance / people)
    return Twice(people, max(found - chance, 0) / free, math.sqrt(max(variance, 1)) / free)


def _within(value: float, spread: float, most: int) -> Span95:
    bounds = value, value - _SIGMAS * spread, value + _SIGMAS * spread
    return Span95(*(min(max(each, 0.0), float(most)) for each in bounds))
