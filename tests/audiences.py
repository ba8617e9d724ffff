"""A simulated week of people in front of a camera, as records, with the truth about them."""

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np

from estimators.weights import Confusion
from people.correction import GROUPS
from people.records import Record, to_json
from structures import Gender

MONDAY = datetime(2026, 1, 5, tzinfo=UTC)
OPEN, CLOSED = 8, 20  # hours
LOST = 0.06  # of the people: lost by the tracker, and found again as somebody new
LOOKING = 0.4
AGES = {"0-9": (3, 9), "10-19": (10, 19), "20-39": (20, 39), "40-59": (40, 59), "60+": (60, 80)}


def confusion() -> Confusion:
    """Nine of ten have the right gender and band; the others the other gender, or the next band."""
    rows = np.zeros((10, 10), np.int64)
    for i in range(10):
        for j, faces in ((i, 900), ((i + 5) % 10, 60), (i - i % 5 + (i + 1) % 5, 40)):
            rows[i, j] += 20 * faces
    return tuple(map(tuple, rows.tolist()))


@dataclass
class Week:
    """What truly happened.

    Attributes:
        records: by day, in the order of time.
        people: different ones by the hour of the day in which they came (UTC).
        days: the same by day.
        groups: those counted, some of them twice, by their true group.
        twice: how many were counted twice.
        looking: how many of those counted looked this way.
    """

    records: list[list[Record]] = field(default_factory=list)
    people: Counter[int] = field(default_factory=Counter)
    days: Counter[str] = field(default_factory=Counter)
    groups: Counter[tuple[str, str]] = field(default_factory=Counter)
    twice: int = 0
    looking: int = 0


def week(seed: int, an_hour: float = 40.0, camera: str = "") -> Week:
    """Simulate seven days; on average `an_hour` people come in each hour, more at noon."""
    rng, truth = np.random.default_rng(seed), Week()
    shares = rng.dirichlet(np.full(10, 2.0))
    for day in range(7):
        begins = MONDAY + timedelta(day)
        run = f"{seed:08x}{day:08x}"
        visits: list[tuple[float, Record]] = []
        for hour in range(OPEN, CLOSED):
            rate = an_hour * (1.5 if hour in (12, 13, 17) else 0.8) * (1.4 if day > 4 else 1)
            for _ in range(rng.poisson(rate)):
                came_s = 3600 * (hour + rng.random() * 0.99)
                truth.people[hour] += 1
                truth.days[f"{begins:%Y-%m-%d}"] += 1
                for first_s, last_s, values in _visits(rng, came_s, shares, truth):
                    visits.append(
                        (last_s, {"first_seen_s": first_s, "last_seen_s": last_s} | values)
                    )
        visits.sort(key=lambda each: each[0])
        truth.records.append(list(_records(begins, run, camera, visits)))
    return truth


def _visits(
    rng: np.random.Generator, came_s: float, shares: Any, truth: Week
) -> Iterator[tuple[float, float, Record]]:
    """One person's visits: one, or two where the tracker lost them."""
    faces = np.array(confusion(), np.float64)
    group = int(rng.choice(10, p=shares))
    told = int(rng.choice(10, p=faces[group] / faces[group].sum()))
    age = rng.uniform(*AGES[GROUPS[told][1]])
    lost = rng.random() < LOST
    truth.twice += lost
    first_s = came_s
    for _ in range(1 + lost):
        stay_s = float(rng.lognormal(2.0, 0.8))
        truth.groups[GROUPS[group]] += 1
        looks = bool(rng.random() < LOOKING)
        truth.looking += looks
        low, high = AGES[GROUPS[told][1]]
        values = {
            "age_years": round(float(np.clip(age + rng.normal(0, 1.5), low, high)), 2),
            "female_prob": 0.9 if GROUPS[told][0] is Gender.FEMALE else 0.1,
            "gender": str(GROUPS[told][0]) if rng.random() < 0.93 else "unsure",
            "watched": looks,
            "attention_s": round(stay_s / 3, 2) if looks else 0.0,
            "face_px": round(float(rng.gamma(8, 12)), 1),
            "evidence": round(float(rng.beta(4, 3)), 2),
            "lines": {"door": {"in": int(rng.random() < 0.5), "out": 0}},
            "zones": {"shelf": round(stay_s / 2, 1) if rng.random() < 0.3 else 0.0},
        }
        yield first_s, first_s + stay_s, values
        first_s += stay_s + rng.uniform(0.3, 7.0)


def _records(
    begins: datetime, run: str, camera: str, visits: list[tuple[float, Record]]
) -> Iterator[Record]:
    def head(kind: str, day_s: float) -> Record:
        utc = (begins + timedelta(seconds=day_s)).isoformat(timespec="milliseconds")
        return {"schema": 2, "type": kind, "run": run, "camera": camera, "utc": utc}

    def state(name: str, day_s: float) -> Record:
        source = {"state": name, "detail": "", "reconnects": 0}
        return head("source", day_s) | {"source": source}

    yield state("live", 3600 * OPEN - 60)
    yield state("reconnecting", 3600 * OPEN - 40)
    yield state("live", 3600 * OPEN - 10)
    for number, (last_s, values) in enumerate(visits, start=1):
        seconds = round(last_s - values["first_seen_s"], 3)
        person = {"event": "left", "id": number, "seconds": seconds, "frames": 25, "settled": True}
        spread = {"age_uncertainty_years": 4.0, "samples": 3 + number % 40}
        yield head("person", last_s + 1.2) | person | values | spread
    numbers = {"day": f"{begins:%Y-%m-%d}", "now": 0, "people": len(visits), "step": 1}
    more: Record = {
        "entered": len(visits),
        "dwell_s": None,
        "groups": [],
        "corrected": None,
        "hours": [],
    }
    known = {"error_years": 6.2, "days": [], "confusion": [list(row) for row in confusion()]}
    yield head("aggregate", 3600 * CLOSED) | numbers | more | known


def write(folder: Path, truth: Week, stem: str = "events") -> list[Path]:
    """Write the records, a file a day; returns the files."""
    paths = []
    for day, records in enumerate(truth.records):
        paths.append(folder / f"{stem}-{MONDAY + timedelta(day):%Y%m%d}.jsonl")
        paths[-1].write_text("".join(to_json(record) + "\n" for record in records))
    return paths


def read(path: Path) -> list[Record]:
    """The records of a file."""
    return [json.loads(line) for line in path.read_text().splitlines()]
