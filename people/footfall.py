"""Who crossed the lines of a camera, and who was in its zones and for how long.

The middle of a face's box counts, and only where the face was found: a predicted place proves
nothing. Everything is counted in seconds and in parts of a face's height, so that frame rate and
size of the picture change no count.

A line is crossed once somebody who was at least `PAST` of the height of the face on one side of it
is as far on the other side, and passed between its ends on the way (the last time, if several; what
was hidden is taken for a straight way). Who first appears nearer to it has not come from
either side yet. So jitter on the line counts nothing, and nobody counts twice without going back.

A stay in a zone runs from the first moment inside to the last before `OUT_S` outside, or before the
visit's end. It counts once `IN_S` of it were inside, so that nobody enters who only touches the
zone, however often.
"""

from collections import Counter
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from people.zones import NOTHING, Layout, Line, Point, Zone
from structures import SLACK_S, Frame, Track

PAST = 0.25  # of the height of a face's box
IN_S, OUT_S = 0.2, 1.0
_MOST = 1000  # people of a zone who are kept apart, more than are remembered


class Happening(NamedTuple):
    """Something that counts: `what` is in, out, entered or left; the last has its `seconds`."""

    name: str
    what: str
    seconds: float = 0.0


@dataclass(slots=True)
class _Side:
    """On which side of a line somebody was last for sure, and whether the way led through it."""

    sign: int = 0
    through: bool = False
    distance: float | None = None  # at the last point


@dataclass(slots=True)
class _Stay:
    """A time in a zone; it counts once it was long enough.

    Attributes:
        begin_s: the first moment inside.
        last_s: the last one.
        inside_s: the time between, without that to and from moments outside.
        is_out: whether there was one outside since the last moment inside.
        counts: whether it was long enough.
    """

    begin_s: float
    last_s: float
    inside_s: float = 0.0
    is_out: bool = False
    counts: bool = False

    @property
    def seconds(self) -> float:
        return self.last_s - self.begin_s if self.counts else 0.0


class Walk:
    """The way of one visit past lines and through zones; does not grow."""

    def __init__(self) -> None:
        self._crossings = Counter[tuple[str, str]]()
        self._seconds: dict[str, float] = {}  # of stays that are over
        self._sides: dict[Line, _Side] = {}
        self._stays: dict[Zone, _Stay] = {}
        self._last: Point | None = None

    def step(
        self, layout: Layout, track: Track, size_wh: tuple[int, int], time_s: float
    ) -> list[Happening]:
        """Go on to where a face was found at that time, in an image of that size."""
        x1, y1, x2, y2 = (float(side) for side in track.box)
        at = (x1 + x2) / 2, (y1 + y2) / 2
        happened = []
        for line in layout.lines:
            happened += self._pass(line, at, PAST * (y2 - y1), size_wh)
        for zone in layout.zones:
            happened += self._dwell(zone, zone.holds(at, size_wh), time_s)
        self._last = at
        return happened

    def _pass(
        self, line: Line, at: Point, past: float, size_wh: tuple[int, int]
    ) -> list[Happening]:
        side = self._sides.setdefault(line, _Side())
        last, side.distance = side.distance, line.distance(at, size_wh)
        distance = side.distance
        if self._last and last is not None and (last > 0) != (distance > 0):
            side.through = line.lies_between(self._last, at, size_wh)
        if abs(distance) < past:
            return []
        before, side.sign = side.sign, 1 if distance > 0 else -1
        if not before or before == side.sign or not side.through:
            return []
        what = "in" if distance > 0 else "out"
        self._crossings[line.name, what] += 1
        return [Happening(line.name, what)]

    def _dwell(self, zone: Zone, inside: bool, time_s: float) -> list[Happening]:
        stay = self._stays.get(zone)
        if inside:
            stay = stay or self._stays.setdefault(zone, _Stay(time_s, time_s))
            stay.inside_s += 0.0 if stay.is_out else time_s - stay.last_s
            stay.last_s, stay.is_out = time_s, False
            if not stay.counts and stay.inside_s >= IN_S - SLACK_S:
                stay.counts = True
                return [Happening(zone.name, "entered")]
        elif stay:
            stay.is_out = True
            if time_s - stay.last_s >= OUT_S - SLACK_S:
                return self._leave(zone)
        return []

    def _leave(self, zone: Zone) -> list[Happening]:
        stay = self._stays.pop(zone)
        self._seconds[zone.name] = self._seconds.get(zone.name, 0.0) + stay.seconds
        return [Happening(zone.name, "left", stay.seconds)] if stay.counts else []

    def end(self) -> list[Happening]:
        """Leave all zones, with the end of the visit."""
        return [each for zone in list(self._stays) for each in self._leave(zone)]

    def forget(self, names: Iterable[str]) -> None:
        """Forget what was counted at shapes that are there no more."""
        gone = set(names)
        self._crossings = Counter({k: n for k, n in self._crossings.items() if k[0] not in gone})
        self._seconds = {k: s for k, s in self._seconds.items() if k not in gone}
        self._sides = {k: side for k, side in self._sides.items() if k.name not in gone}
        self._stays = {k: stay for k, stay in self._stays.items() if k.name not in gone}

    def crossings(self, name: str) -> int:
        """How often it has crossed the line of that name, in and out."""
        return self._crossings[name, "in"] + self._crossings[name, "out"]

    @property
    def inside(self) -> list[str]:
        """The names of the zones that it is in."""
        return [zone.name for zone, stay in self._stays.items() if stay.counts]

    def as_json(self, layout: Layout) -> dict[str, Any]:
        """As in person records: crossings of each line, seconds in each zone."""
        stays = {zone.name: stay.seconds for zone, stay in self._stays.items()}
        crossed = {
            line.name: {what: self._crossings[line.name, what] for what in ("in", "out")}
            for line in layout.lines
        }
        seconds = {
            zone.name: round(self._seconds.get(zone.name, 0.0) + stays.get(zone.name, 0.0), 2)
            for zone in layout.zones
        }
        found = {"lines": crossed, "zones": seconds}
        return {kind: values for kind, values in found.items() if values}


Counts = Counter[tuple[Hashable, str, str]]  # by group, name, and in, out, entered, left or now


class Book:
    """What happened since it was opened: by those who left, and by those who are there."""

    def __init__(self) -> None:
        self.ended: Counts = Counter()
        self.seconds: dict[str, float] = {}  # of all stays that are over, by zone
        self.open: dict[int, Counter[tuple[str, str]]] = {}
        self._known: dict[tuple[str, int], bool] = {}  # who entered a zone, and whether they left

    def note(self, track_id: int, happened: Iterable[Happening]) -> None:
        """Enter what happened to somebody; a zone counts each person once."""
        for name, what, seconds in happened:
            if what == "left":
                self.seconds[name] = self.seconds.get(name, 0.0) + seconds
            if what in ("entered", "left"):
                has_left = self._known.get((name, track_id))
                if has_left if what == "left" else has_left is not None:
                    continue
                self._known[name, track_id] = what == "left"
                if len(self._known) > _MOST:
                    del self._known[next(iter(self._known))]
            self.open.setdefault(track_id, Counter())[name, what] += 1

    def close(self, track_id: int, group: Hashable) -> None:
        """Somebody's visit has ended, with that group."""
        for (name, what), number in self.open.pop(track_id, {}).items():
            self.ended[group, name, what] += number

    def forget(self, names: Iterable[str]) -> None:
        """Forget what was counted at shapes that are there no more."""
        gone = set(names)
        self.ended = Counter({k: n for k, n in self.ended.items() if k[1] not in gone})
        self.seconds = {k: s for k, s in self.seconds.items() if k not in gone}
        self._known = {k: left for k, left in self._known.items() if k[0] not in gone}
        for counts in self.open.values():
            for key in [key for key in counts if key[0] in gone]:
                del counts[key]


@dataclass(frozen=True, slots=True)
class Passages:
    """The counts of a moment at the lines and zones of one camera, by group.

    What has no group, None, counts in totals only.
    """

    layout: Layout
    counts: Counts
    seconds: dict[str, float]

    def as_json(
        self,
        group: Callable[[Any], tuple[str, str]],
        rounded: Callable[[int], int],
        exact: bool = True,
    ) -> dict[str, Any]:
        """As in aggregate records; only kinds of which there are any.

        Args:
            group: gender and age band of a group; "" = not to be told.
            rounded: what to tell of a number.
            exact: whether to tell how long people stayed.
        """
        lines = {
            line.name: self._told(line.name, ("in", "out"), group, rounded)
            for line in self.layout.lines
        }
        zones = {}
        for zone in self.layout.zones:
            told = self._told(zone.name, ("now", "entered"), group, rounded)
            left = self.total(zone.name, "left")
            mean_s = self.seconds.get(zone.name, 0.0) / left if left and exact else None
            zones[zone.name] = told | {"dwell_s": None if mean_s is None else round(mean_s, 1)}
        return {kind: found for kind, found in (("lines", lines), ("zones", zones)) if found}

    def total(self, name: str, what: str) -> int:
        """How often something happened at one line or zone."""
        return sum(n for (_, at, did), n in self.counts.items() if (at, did) == (name, what))

    def _told(
        self,
        name: str,
        whats: tuple[str, ...],
        group: Callable[[Any], tuple[str, str]],
        rounded: Callable[[int], int],
    ) -> dict[str, Any]:
        """The numbers of one line or zone, all together and by group."""
        sums: dict[tuple[str, str], Counter[str]] = {}
        for (key, at, what), number in self.counts.items():
            if at == name and what in whats and key is not None:
                sums.setdefault(group(key), Counter())[what] += number
        groups = []
        for (gender, age), counts in sorted(sums.items(), key=lambda each: each[0][::-1]):
            told = {what: rounded(counts[what]) for what in whats}
            if any(told.values()):
                who = {k: v for k, v in (("age", age), ("gender", gender)) if v}
                groups.append(who | told)
        totals = {what: rounded(self.total(name, what)) for what in whats}
        return totals | {"groups": groups}


class Footfall:
    """Counts at the lines and zones of one camera.

    Attributes:
        layout: where it counts.
    """

    def __init__(self) -> None:
        self.layout = NOTHING
        self._today, self._run = Book(), Book()  # since midnight, since the beginning
        self._walks: dict[int, Walk] = {}  # of those who are there

    def lay_out(self, layout: Layout) -> None:
        """Count at these from now on; what is kept keeps its counts."""
        gone = [shape.name for shape in self.layout.shapes if shape not in layout.shapes]
        self.layout = layout
        for book in (self._today, self._run):
            book.forget(gone)
        for walk in self._walks.values():
            walk.forget(gone)

    def follow(self, track: Track, walk: Walk, frame: Frame) -> None:
        """Take in where a face was found in a new frame."""
        if self.layout.shapes:
            self._walks[track.track_id] = walk
            happened = walk.step(self.layout, track, frame.size_wh, frame.time_s)
            self._note(track.track_id, happened)

    def end(self, track_id: int, group: Hashable) -> None:
        """A visit has ended; `group` is that of the person."""
        if (walk := self._walks.pop(track_id, None)) is not None:
            self._note(track_id, walk.end())
        for book in (self._today, self._run):
            book.close(track_id, group)

    def _note(self, track_id: int, happened: list[Happening]) -> None:
        for book in (self._today, self._run):
            book.note(track_id, happened)

    def begin_day(self) -> None:
        """Count today's from zero; who is in a zone has entered it."""
        self._today = self._opened()

    def reset(self) -> None:
        """Count everything from zero, likewise."""
        self._today, self._run = self._opened(), self._opened()

    def _opened(self) -> Book:
        book = Book()
        for track_id, walk in self._walks.items():
            book.note(track_id, [Happening(name, "entered") for name in walk.inside])
        return book

    def passages(self, of_run: bool, groups: Mapping[int, Hashable]) -> Passages:
        """The counts of today, or of the run; `groups` are those of the people who are there."""
        book = self._run if of_run else self._today
        counts = book.ended.copy()
        for track_id, happened in book.open.items():
            for (name, what), number in happened.items():
                counts[groups.get(track_id), name, what] += number
        for track_id, walk in self._walks.items():
            for name in walk.inside:
                counts[groups.get(track_id), name, "now"] += 1
        return Passages(self.layout, counts, dict(book.seconds))
