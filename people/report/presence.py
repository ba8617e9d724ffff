"""The numbers of the report, worked out of the sums of a `Tally`."""

import math
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import reduce
from itertools import pairwise
from typing import NamedTuple

from estimators.weights import Confusion
from people.attention import NOBODY, Audience
from people.bands import RECORD_BANDS
from people.correction import GROUPS, Corrected, Counts, corrected
from people.report.doubles import Span95, Twice, counted_twice
from people.report.groups import merged
from people.report.tally import CameraRun, Flaw, Passage, Tally
from people.report.times import Cell, Step, Times, cells_of
from structures import Gender

_SEXES = Gender.FEMALE, Gender.MALE
# Groups where one of the two was not estimated, by what is known.
_ONE = {gender: (str(gender), "") for gender in Gender} | {b: ("", b) for b in RECORD_BANDS.names}
_STAY_NAMES = [
    Step("up to 2 s", "0 s", "2 s", "0–2 s"),
    Step("2 – 5 s", "2 s", "5 s", "2–5 s"),
    Step("5 – 10 s", "5 s", "10 s", "5–10 s"),
    Step("10 – 30 s", "10 s", "30 s", "10–30 s"),
    Step("30 – 60 s", "30 s", "60 s", "½–1 min"),
    Step("1 – 5 min", "1 min", "5 min", "1–5 min"),
    Step("over 5 min", "5 min", "longer", "> 5 min"),
]


class GroupRow(NamedTuple):
    """People of one gender and age band, "" = all of either: as told, and corrected if known."""

    gender: str
    band: str
    told: int
    corrected: Corrected | None


class CameraRow(NamedTuple):
    """One camera, or those that have so few people that they are told together."""

    names: str
    people: int
    stay_s: float | None
    different: Span95 | None


class Uptime(NamedTuple):
    """How long a camera was asked for images, gave none, how often, and nothing ran in between."""

    name: str
    watched_s: float
    offline_s: float
    outages: int
    pause_s: float
    error_years: float | None


@dataclass(frozen=True, slots=True)
class Presence:
    """Everything that the page says.

    Attributes:
        people: counted, all cameras together.
        began: of the first record; ended: of the last one; local.
        runs: how many there were; rounded: how many of them are anonymous.
        twice: how many people were probably counted twice; None = there are too few to say.
        times: when they came.
        stays: people by how long they stayed.
        stay_s: how long they stayed on average.
        groups: people by gender and age band.
        known: how many people could be corrected.
        flaws: by name, as in `Tally`.
        unknown: people without an estimate.
    """

    people: int
    began: datetime
    ended: datetime
    runs: int
    rounded: int
    twice: Twice | None
    times: Times
    stays: list[Cell]
    stay_s: float
    groups: list[GroupRow]
    known: int
    attention: Audience
    lines: dict[str, Passage]
    zones: dict[str, Passage]
    cameras: list[CameraRow]
    uptimes: list[Uptime]
    flaws: dict[str, Flaw]
    unknown: int


def presence_of(tally: Tally) -> Presence | None:
    """Work out what the page says; None = there was no record of a camera."""
    if not tally.runs:
        return None
    runs, cameras = tally.runs.values(), tally.cameras.values()
    by_camera = {name: _hours(tally, name) for name in tally.cameras}
    hours = sum(by_camera.values(), Counter[str]())
    twice = counted_twice(run.doubles for run in runs)
    began_s, ended_s = min(run.began_s for run in runs), max(run.ended_s for run in runs)
    stays = [sum(counts) for counts in zip(*(each.stays for each in cameras), strict=True)]
    sums, known = _corrected(runs)
    return Presence(
        people=hours.total(),
        began=datetime.fromtimestamp(began_s).astimezone(),
        ended=datetime.fromtimestamp(ended_s).astimezone(),
        runs=len({run for run, _ in tally.runs}),
        rounded=len({run for (run, _), each in tally.runs.items() if each.days}),
        twice=twice,
        times=Times.of(hours, twice),
        stays=cells_of(_STAY_NAMES, stays),
        stay_s=sum(each.stayed_s for each in cameras) / max(1, sum(stays)),
        groups=_groups(tally, sums),
        known=known,
        attention=reduce(Audience.plus, (each.attention for each in cameras), NOBODY),
        lines=_passages(tally, "lines"),
        zones=_passages(tally, "zones"),
        cameras=_cameras(tally, by_camera, twice),
        uptimes=[_uptime(tally, name) for name in sorted(tally.cameras)],
        flaws=_flaws(tally),
        unknown=sum(each.unknown for each in cameras),
    )


def _hours(tally: Tally, name: str) -> Counter[str]:
    """One camera's people by hour, those of anonymous runs too."""
    hours = tally.cameras[name].hours.copy()
    for (_, camera), run in tally.runs.items():
        for day in run.days.values() if camera == name else ():
            hours.update(day.hours)
    return hours


def _corrected(runs: Collection[CameraRun]) -> tuple[Counts, int]:
    """Correct the counts of those whose network's errors are known, and how many those are.

    Where there are several networks, their errors are independent: squares of them add up.
    """
    by_network = dict[Confusion, list[int]]()
    for run in runs:
        if run.confusion is not None and any(run.told):
            sums = by_network.setdefault(run.confusion, [0] * len(GROUPS))
            by_network[run.confusion] = [a + b for a, b in zip(sums, run.told, strict=True)]
    parts = [corrected(told, confusion) for confusion, told in by_network.items()]
    counts = {key: _together([part[key] for part in parts]) for key in (parts[0] if parts else ())}
    return counts, sum(sum(told) for told in by_network.values())


def _together(parts: Sequence[Corrected]) -> Corrected:
    people = sum(part.people for part in parts)
    low = people - math.hypot(*(part.people - part.low for part in parts))
    high = people + math.hypot(*(part.high - part.people for part in parts))
    return Corrected(people, math.floor(low), math.ceil(high))


def _groups(tally: Tally, sums: Counts) -> list[GroupRow]:
    """People by gender and band, or by the one of them that was estimated."""
    told = Counter[tuple[str, str]]()
    for run in tally.runs.values():
        told.update(dict(zip(GROUPS, run.told, strict=True)))
        for day in run.days.values():
            for (gender, band), number in day.groups.items():
                told["" if gender == Gender.UNSURE else gender, band] += number
    for camera in tally.cameras.values():
        told.update({_ONE[name]: number for name, number in camera.alone.items()})
    for gender in _SEXES if any(told[group] for group in GROUPS) else ():
        told[gender, ""] += sum(told[gender, band] for band in RECORD_BANDS.names)
    keys = (*_ONE.values(), *GROUPS)
    rows = [GroupRow(*key, told[key], sums.get(key)) for key in keys]
    with_bands = {row.gender for row in rows if row.band and row.told}
    return [row for row in rows if row.told or (row.band and row.gender in with_bands)]


def _passages(tally: Tally, kind: str) -> dict[str, Passage]:
    """Lines or zones of all cameras, by name, that of the camera in front where there is one."""
    return {
        f"{camera}: {name}" if camera else name: passage
        for camera, sums in sorted(tally.cameras.items())
        for name, passage in sorted(getattr(sums, kind).items())
    }


def _cameras(
    tally: Tally, by_camera: dict[str, Counter[str]], twice: Twice | None
) -> list[CameraRow]:
    """The cameras, those with most people first; with fewer than five they are put together."""
    order = sorted(by_camera, key=lambda name: -by_camera[name].total())
    rows = []
    for first, last, people in merged([by_camera[name].total() for name in order]):
        names = order[first : last + 1]
        sums = [tally.cameras[name] for name in names]
        timed = sum(sum(each.stays) for each in sums)
        stay_s = sum(each.stayed_s for each in sums) / timed if timed else None
        different = twice.different(people) if twice and people else None
        rows.append(CameraRow(", ".join(map(_name, names)), people, stay_s, different))
    return rows


def _name(camera: str) -> str:
    return camera or "without a name"


def _uptime(tally: Tally, name: str) -> Uptime:
    runs = sorted(
        (run for (_, camera), run in tally.runs.items() if camera == name),
        key=lambda run: run.began_s,
    )
    pauses = (after.began_s - before.ended_s for before, after in pairwise(runs))
    return Uptime(
        name,
        sum(run.ended_s - run.began_s for run in runs),
        sum(run.offline_s(run.ended_s) for run in runs),
        sum(run.outages for run in runs),
        sum(max(pause, 0.0) for pause in pauses),
        tally.cameras[name].error_years,
    )


def _flaws(tally: Tally) -> dict[str, Flaw]:
    known, found = Counter[str](), Counter[str]()
    for camera in tally.cameras.values():
        for name, flaw in camera.flaws.items():
            known[name] += flaw.known
            found[name] += flaw.found
    return {name: Flaw(known[name], found[name]) for name in known}
