"""Groups under five, which a report never shows: neighbours are put together instead.

So all numbers of a table add up to the total, and none can be worked out from the others. Single
numbers that belong to no table are told as "<5". Where two numbers would tell a third one, such as
people with an age and all people, they are in fives, and shares and intervals are of these.
"""

from collections.abc import Sequence
from typing import NamedTuple

from people.correction import Corrected
from people.crowd import LEAST

FEW = f"<{LEAST}"


class Part(NamedTuple):
    """Neighbouring groups, from place `first` to `last` of all, and their people."""

    first: int
    last: int
    people: int


def merged(people: Sequence[int]) -> list[Part]:
    """Put neighbours together until nobody's group is under five.

    Empty groups stay by themselves where they can. Where all together are under five, one part
    holds all.
    """
    parts: list[Part] = []
    first, number = 0, 0
    for place, count in enumerate(people):
        number += count
        if number >= LEAST or number == 0:
            parts.append(Part(first, place, number))
            first, number = place + 1, 0
    while number and number < LEAST and parts:
        first, number = parts[-1].first, number + parts.pop().people
    if first < len(people):
        parts.append(Part(first, len(people) - 1, number))
    return parts


def told(people: int) -> str:
    """A number on its own, as it may be told."""
    return FEW if 0 < people < LEAST else f"{people:,}"


def down(people: float) -> int:
    """Rounded down to fives."""
    return int(people // LEAST) * LEAST


def up(people: float) -> int:
    """Rounded up to fives."""
    return -down(-people)


def in_fives(people: int) -> str:
    """People of a group by age and gender; that there is nobody is not told, either.

    Rounded down, so that all people and the other groups do not tell how many they are.
    """
    return FEW if people < LEAST else f"{down(people):,}"


def span_in_fives(count: Corrected) -> str:
    """The interval of such a group, rounded outwards: "205–255"; a dash for one under five."""
    if count.people < LEAST:
        return "–"
    return f"{down(count.low):,}–{up(count.high):,}"


def told_share(people: int, of: int) -> str:
    """Part of some people in fives: "120 (8 %)", "none", "nearly all"; the share is of fives."""
    if people < LEAST:
        return told(people) if people else "none"
    if 0 < of - people < LEAST:
        return "nearly all"
    return f"{down(people):,} ({100 * down(people) / down(of):.0f} %)"
