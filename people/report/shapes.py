"""The shapes of the report's drawings, in units of their SVG; the template draws them.

Columns stand for people by day, hour or length of stay; where neighbours were put together, one
wide column has the height of their mean. The pyramid has a bar for each group, as corrected or,
where nothing is known of the network's errors, as told, with the interval as a thin line.
"""

from collections.abc import Sequence
from typing import NamedTuple

from people.correction import Corrected
from people.crowd import LEAST
from people.report.groups import down, in_fives, span_in_fives, up
from people.report.presence import GroupRow
from people.report.times import Cell
from structures import Gender

WIDTH = 720
COLUMNS_HEIGHT, ABOVE = 150, 22  # of the columns' place, and the room for numbers over it
MOST_NAMES, MOST_NUMBERS = 24, 31  # that have room below and above the columns
NARROW, WIDE = 36, 110  # columns: over which four digits have no room, under which a label has
_SIDE, _MIDDLE = 205, 74  # longest bar of a side, and the room for ages between the sides
ROW = 34


class Column(NamedTuple):
    """A column, its middle, and the texts below and above it, empty where there is no room."""

    x: float
    y: float
    width: float
    height: float
    middle: float
    name: str
    number: str
    title: str


class Side(NamedTuple):
    """A bar of the pyramid: from `x`, with the interval and what was told as places in x."""

    css: str
    y: float
    x: float
    width: float
    low: float | None
    high: float | None
    told: float | None
    text: str
    text_x: float
    anchor: str


def columns(cells: Sequence[Cell]) -> list[Column]:
    """Draw people as columns, side by side."""
    total = sum(cell.width for cell in cells)
    most = max((cell.people / cell.width for cell in cells), default=0) or 1
    unit, drawn, place = WIDTH / max(total, 1), [], 0
    every = -(-total // MOST_NAMES)
    for cell in cells:
        height = COLUMNS_HEIGHT * cell.people / cell.width / most
        x, width = place * unit, cell.width * unit
        number = _number(cell.people, width) if total <= MOST_NUMBERS else ""
        gap = min(width / 6, 6)
        drawn.append(
            Column(
                round(x + gap / 2, 1),
                round(ABOVE + COLUMNS_HEIGHT - height, 1),
                round(width - gap, 1),
                round(height, 1),
                round(x + width / 2, 1),
                _name(cell, width, place % every == 0),
                number,
                f"{cell.label}: {cell.people:,}",
            )
        )
        place += cell.width
    return drawn


def _number(people: int, width: float) -> str:
    if people >= 1000 and width < NARROW:
        return f"{people / 1000:.1f}k"
    return f"{people:,}" if people else ""


def _name(cell: Cell, width: float, room: bool) -> str:
    if cell.width > 1 and width > WIDE:
        return cell.label
    return cell.brief if room else ""


def pyramid(groups: Sequence[GroupRow]) -> tuple[list[Side], list[tuple[str, float]]]:
    """Draw groups of women to the left and men to the right, the oldest on top.

    Returns:
        The bars; and the age bands with the height at which they are written.
    """
    sexes = {Gender.FEMALE: -1, Gender.MALE: 1}
    shown = [group for group in groups if group.gender in sexes and group.band]
    bands = list(dict.fromkeys(group.band for group in shown))[::-1]
    longest = (up(g.corrected.high) if g.corrected else down(g.told) for g in shown)
    most = max(longest, default=0) or 1
    return [
        _side(group, sexes[Gender(group.gender)], bands.index(group.band) * ROW, _SIDE / most)
        for group in shown
    ], [(band, (row + 0.5) * ROW) for row, band in enumerate(bands)]


def _in_fives(count: Corrected) -> Corrected:
    """As the text says: what is drawn could be measured."""
    return Corrected(down(count.people), down(count.low), up(count.high))


def _side(group: GroupRow, side: int, y: float, scale: float) -> Side:
    inner = WIDTH / 2 + side * _MIDDLE / 2

    def place(people: float) -> float:
        return round(inner + side * scale * people, 1)

    exact, told = group.corrected, down(group.told)
    known = exact and _in_fives(exact)
    people = known.people if known else told
    text = in_fives(people) + (f" ({span_in_fives(known)})" if known and people >= LEAST else "")
    if people < LEAST:
        people, known = 0, None
    end = place(max(known.high, told) if known else people)
    return Side(
        group.gender,
        y,
        min(inner, place(people)),
        round(scale * people, 1),
        place(known.low) if known else None,
        place(known.high) if known else None,
        place(told) if known and told else None,
        text,
        end + 8 * side,
        "start" if side > 0 else "end",
    )
