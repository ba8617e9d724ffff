"""What an aggregate record says that the report uses, checked."""

from collections.abc import Mapping
from datetime import date
from typing import Any, NamedTuple

from estimators.weights import Confusion
from people.correction import GROUPS
from people.report.leaving import between, maybe, text, time_of

Record = Mapping[str, Any]
_MOST = 1e9  # people, or faces of a confusion


class RoundedDay(NamedTuple):
    """A day of an anonymous run, in fives.

    Attributes:
        told_s: when, seconds since 1970.
        hours: people by hour of coming.
        groups: people by gender and band.
    """

    told_s: float
    hours: dict[str, int]
    groups: dict[tuple[str, str], int]


class Numbers(NamedTuple):
    """One aggregate record.

    Attributes:
        error_years: the error of age expected there; None = not known.
        confusion: of the network; None likewise.
        day: of an anonymous run, the day told of; None = it is not anonymous.
        rounded: what it says of that day.
    """

    error_years: float | None
    confusion: Confusion | None
    day: str | None
    rounded: RoundedDay | None

    @classmethod
    def of(cls, record: Record, utc_s: float) -> "Numbers":
        """Read an aggregate record of docs/events.md; `utc_s` is its time, seconds since 1970.

        Raises:
            LookupError, TypeError, ValueError, OverflowError: it is not as it should be.
        """
        error_years, confusion = maybe(record.get("error_years"), _MOST), record.get("confusion")
        network = _confusion(confusion) if confusion else None
        if between(record.get("step", 1), 1, _MOST) == 1:
            return cls(error_years, network, None, None)
        rounded = RoundedDay(
            utc_s,
            {_hour(span["begins"]): _count(span["entered"]) for span in record["hours"]},
            {
                (text(each.get("gender", "")), text(each.get("age", ""))): _count(each["people"])
                for each in record["groups"]
            },
        )
        return cls(error_years, network, date.fromisoformat(record["day"]).isoformat(), rounded)


def _count(value: Any) -> int:
    return int(between(value, 0, _MOST))


def _hour(value: Any) -> str:
    """The beginning of an hour as records have it, "2026-01-31T14:00+01:00"."""
    if time_of(value).isoformat(timespec="minutes") != value:
        raise ValueError(f"want an hour as in 2026-01-31T14:00+01:00, got {value!r}")
    return str(value)


def _confusion(rows: Any) -> Confusion:
    found = tuple(tuple(_count(number) for number in row) for row in rows)
    if [len(row) for row in found] != [len(GROUPS)] * len(GROUPS):
        raise ValueError(f"want {len(GROUPS)} rows of as many numbers, got {rows!r}")
    return found
