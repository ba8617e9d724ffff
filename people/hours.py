"""Who came and went, hour by hour and day by day; how many there were at once."""

import itertools
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime

from people.attention import NOBODY, Audience

_HOURS, _DAYS = 48, 31  # kept


@dataclass(frozen=True, slots=True)
class Span:
    """One hour or day.

    Attributes:
        begins: local, "2026-01-31T14:00+01:00" or "2026-01-31".
        entered: people who came.
        left: people who went.
        seconds: how long those had been there, all together.
        audience: who of those looked this way.
    """

    begins: str
    entered: int = 0
    left: int = 0
    seconds: float = 0.0
    audience: Audience = NOBODY

    @property
    def dwell_s(self) -> float | None:
        """How long those who went had been there, on average; None if nobody went."""
        return self.seconds / self.left if self.left else None

    def plus(self, other: "Span") -> "Span":
        """The same hour or day with the people of another one, too."""
        return Span(
            self.begins,
            self.entered + other.entered,
            self.left + other.left,
            self.seconds + other.seconds,
            self.audience.plus(other.audience),
        )


class Ledger:
    """Keeps the last 48 hours and 31 days in which somebody came or went."""

    def __init__(self) -> None:
        self.hours: dict[str, Span] = {}
        self.days: dict[str, Span] = {}

    def note(self, utc_s: float, more: Span) -> None:
        """Add those who came and went at a time since 1970."""
        if not more.entered and not more.left:
            return
        local = datetime.fromtimestamp(utc_s, UTC).astimezone()
        hour = local.replace(minute=0).isoformat(timespec="minutes")
        places = ((self.hours, hour, _HOURS), (self.days, local.date().isoformat(), _DAYS))
        for spans, begins, kept in places:
            spans[begins] = spans.get(begins, Span(begins)).plus(more)
            while len(spans) > kept:
                del spans[next(iter(spans))]


class Timeline:
    """The largest number noted in each of the last `steps` steps of equal length."""

    def __init__(self, step_s: float, steps: int) -> None:
        self._step_s, self._length = step_s, steps
        self._steps: deque[tuple[int, int]] = deque(maxlen=steps)

    def note(self, now_s: float, number: int) -> None:
        """Note a number; if the clock was set back, what was noted of later counts here, too."""
        step = int(now_s // self._step_s)
        while self._steps and self._steps[-1][0] >= step:
            number = max(number, self._steps.pop()[1])
        self._steps.append((step, number))

    def series(self, now_s: float) -> tuple[int | None, ...]:
        """Return one number a step up to `now_s`, None where nothing was noted."""
        end = int(now_s // self._step_s)
        noted = dict(self._steps)
        return tuple(noted.get(step) for step in range(end - self._length + 1, end + 1))


def together(ledgers: Iterable[Iterable[Span]]) -> tuple[Span, ...]:
    """Add spans with the same beginning, the earliest first, also when clocks are put back."""
    sums: dict[str, Span] = {}
    for span in itertools.chain.from_iterable(ledgers):
        sums[span.begins] = sums.get(span.begins, Span(span.begins)).plus(span)
    return tuple(sums[begins] for begins in sorted(sums, key=_begin_s))


def _begin_s(begins: str) -> float:
    return datetime.fromisoformat(begins).timestamp()
