"""What the record of somebody's leaving says, checked."""

from collections.abc import Mapping
from datetime import datetime
from functools import lru_cache
from typing import Any, NamedTuple

from structures import Gender

Record = Mapping[str, Any]
_LONGEST_S = 1e9
_QUARTER_S = 900  # no time zone is off by less


def local_hour(utc_s: float) -> str:
    """The local hour of a time since 1970: "2026-01-31T14:00+01:00"."""
    return _hour_of_quarter(int(utc_s // _QUARTER_S))


@lru_cache(1000)
def _hour_of_quarter(quarter: int) -> str:
    local = datetime.fromtimestamp(quarter * _QUARTER_S).astimezone()
    return local.replace(minute=0).isoformat(timespec="minutes")


class Leaving(NamedTuple):
    """One person who left.

    Attributes:
        number: the person's id.
        first_s: when they came, in the source's time.
        last_s: when they were last seen; not before, though a film may be wound back.
        hour: of coming, local, as in records; left_s: when they left, seconds since 1970.
        gender: as told, "" = it was not estimated, or there was no estimate.
        female_prob: None likewise.
        age_years, spread_years: None likewise.
        samples: how many estimates there were.
        face_px, evidence: the face's mean side, and how far its looks can be trusted, 0 to 1;
            None = not known.
        watched: whether they looked this way; None = not known. watched_s: how long.
        lines: crossings in and out by line; zones: seconds by zone.
    """

    number: int
    first_s: float
    last_s: float
    hour: str
    left_s: float
    gender: str
    female_prob: float | None
    age_years: float | None
    spread_years: float | None
    samples: int
    face_px: float | None
    evidence: float | None
    watched: bool | None
    watched_s: float
    lines: dict[str, tuple[int, int]]
    zones: dict[str, float]

    @property
    def stay_s(self) -> float:
        """How long they were in view."""
        return self.last_s - self.first_s

    @classmethod
    def of(cls, record: Record, left_s: float) -> "Leaving":
        """Read a person record of docs/events.md.

        Raises:
            LookupError, TypeError, ValueError: it is not as it should be.
        """
        first_s = between(record["first_seen_s"], -_LONGEST_S, _LONGEST_S)
        last_s = max(first_s, between(record["last_seen_s"], -_LONGEST_S, _LONGEST_S))
        get = record.get
        return cls(
            number=int(between(record["id"], 1, 2**53)),
            first_s=first_s,
            last_s=last_s,
            hour=local_hour(left_s - (last_s - first_s)),
            left_s=left_s,
            gender="" if get("gender") is None else Gender(record["gender"]),
            female_prob=maybe(get("female_prob"), 1),
            age_years=maybe(get("age_years"), 200),
            spread_years=maybe(get("age_uncertainty_years"), _LONGEST_S),
            samples=int(between(record["samples"], 0, _LONGEST_S)),
            face_px=maybe(get("face_px"), _LONGEST_S),
            evidence=maybe(get("evidence"), 1),
            watched=_yes_or_no(get("watched")),
            watched_s=maybe(get("attention_s"), _LONGEST_S) or 0.0,
            lines={
                name: (_count(n["in"]), _count(n["out"])) for name, n in _named(record, "lines")
            },
            zones={name: between(s, 0, _LONGEST_S) for name, s in _named(record, "zones")},
        )


def time_of(value: Any) -> datetime:
    """The time that a record names, which has a time zone.

    Raises:
        TypeError, ValueError: it is no such time, or not between 1970 and 2200.
    """
    when = datetime.fromisoformat(value)
    if when.tzinfo is None or not 1970 <= when.year <= 2200:
        raise ValueError(f"want a time with its zone, from 1970 to 2200, got {value!r}")
    return when


def text(value: Any) -> str:
    """A text of a record; raises TypeError where it is none."""
    if not isinstance(value, str):
        raise TypeError(f"want a text, got {value!r}")
    return value


def between(value: Any, low: float, high: float) -> float:
    """A number of a record; raises ValueError where it is none, or not in that range."""
    if type(value) not in (int, float) or not low <= value <= high:
        raise ValueError(f"want a number from {low} to {high}, got {value!r}")
    return float(value)


def _count(value: Any) -> int:
    return int(between(value, 0, _LONGEST_S))


def maybe(value: Any, high: float) -> float | None:
    """A number from 0 to `high` that may be missing or null; raises ValueError likewise."""
    return None if value is None else between(value, 0, high)


def _yes_or_no(value: Any) -> bool | None:
    if value is not None and not isinstance(value, bool):
        raise TypeError(f"want true, false or null, got {value!r}")
    return value


def _named(record: Record, name: str) -> list[tuple[str, Any]]:
    return [(str(key), value) for key, value in (record.get(name) or {}).items()]
