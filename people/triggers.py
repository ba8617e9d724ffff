"""What `--record-on` waits for, and which clip each frame of a camera belongs to.

A clip begins `BEFORE_S` before a trigger and ends `AFTER_S` after the last moment in which one
holds, in the frames' seconds; what holds meanwhile prolongs it. After `LONGEST_S` the next clip
goes on where it ends.
"""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, NamedTuple

from people.records import Record, Recorder
from people.visits import Visit
from people.wording import rounded
from structures import Frame, FrameResult

BEFORE_S = AFTER_S = 10.0
LONGEST_S = 3600.0
FORMS = "person, zone:NAME, line:NAME or attention>3s"
_UNITS = {"s": 1.0, "m": 60.0, "h": 3600.0}
_SAME_S = 2.0  # what holds again so soon has never ceased


@dataclass(frozen=True, slots=True)
class Trigger:
    """What starts a clip, and prolongs it as long as it holds.

    Attributes:
        kind: person: somebody is in view; zone: somebody is in it; line: somebody crosses it;
            attention: the head of somebody points this way, and has for more than `seconds`.
        name: of the line or zone.
        seconds: of attention.
    """

    kind: str
    name: str = ""
    seconds: float = 0.0

    def __str__(self) -> str:
        return {
            "person": "person",
            "attention": f"attention>{self.seconds:g}s",
        }.get(self.kind, f"{self.kind}:{self.name}")


def parse_triggers(text: str) -> tuple[Trigger, ...]:
    """Read one or several, with commas between; raises ValueError with what is wrong."""
    return tuple(_parsed(part.strip()) for part in text.split(","))


def _parsed(text: str) -> Trigger:
    if text == "person":
        return Trigger("person")
    if found := re.fullmatch(r"(zone|line):([\w-]{1,40})", text):
        return Trigger(found[1], found[2])
    if found := re.fullmatch(r"attention>([0-9]{1,6}(?:\.[0-9]+)?)([smh])", text):
        return Trigger("attention", seconds=float(found[1]) * _UNITS[found[2]])
    if text == "attention":
        raise ValueError(
            "attention for how long? in quotes, or the shell takes the >: 'attention>3s'"
        )
    raise ValueError(f"want {FORMS}, or several with commas, got {text!r}")


class Moment(NamedTuple):
    """A frame's own time, and when it arrived."""

    time_s: float
    utc: datetime

    def as_json(self, name: str) -> Record:
        """Both, as fields of a record."""
        utc = self.utc.isoformat(timespec="milliseconds")
        return {f"{name}_s": rounded(self.time_s, 3), f"{name}_utc": utc}


@dataclass(slots=True)
class Firing:
    """A time for which a trigger holds, and the ids of those who make it hold."""

    trigger: Trigger
    begin: Moment
    end: Moment
    ids: set[int]


@dataclass(slots=True, eq=False)
class Clip:
    """What is told of one clip; nothing changes any more once another, or none, follows it.

    Attributes:
        begin: when the first trigger began to hold.
        last_s: when one held last.
        goes_on: whether it goes on where the clip before ended, and has nothing before its begin.
        visits: of those who were in view.
        firings: in the order of their beginnings.
        told: what is told of it, but for its file; empty while it goes on.
    """

    begin: Moment
    last_s: float
    goes_on: bool
    visits: dict[Visit, None]
    firings: list[Firing] = field(default_factory=list)
    told: Record = field(default_factory=dict)

    def note(self, held: dict[Trigger, set[int]], now: Moment, visits: Iterable[Visit]) -> None:
        """Take in a frame: what holds in it, and who is there."""
        self.visits |= dict.fromkeys(visits)
        for trigger, ids in held.items():
            self.last_s = now.time_s
            newest = next((f for f in reversed(self.firings) if f.trigger == trigger), None)
            is_new = newest is None or now.time_s - newest.end.time_s > _SAME_S
            if newest is None or is_new or trigger.kind == "line":
                self.firings.append(Firing(trigger, now, now, set(ids)))
            else:
                newest.end, newest.ids = now, newest.ids | ids

    def record(self, file: str, begin: Moment, end: Moment) -> Record:
        """The record of docs/events.md; `begin` and `end` are those of the file."""
        head = {name: self.told[name] for name in ("schema", "type", "run", "camera", "utc")}
        return head | {"file": file, **begin.as_json("begin"), **end.as_json("end")} | self.told


class Watch:
    """Says of each frame of one camera which clip it belongs to, if any; for one thread.

    Args:
        triggers: any of which starts a clip.
        recorder: of the crowd that knows the people.
        camera: as results name it.
    """

    def __init__(self, triggers: Collection[Trigger], recorder: Recorder, camera: str = "") -> None:
        self.camera = camera
        self._triggers, self._recorder = triggers, recorder
        self._clip: Clip | None = None
        self._frame: Frame | None = None
        self._near: dict[Visit, None] = {}  # who was there lately
        self._crossed: dict[tuple[Visit, str], int] = {}  # by those here; so far

    def look(self, result: FrameResult, utc: datetime) -> Clip | None:
        """Take in a new frame, which arrived at `utc`, or the last one with another `status`."""
        crowd, frame, before = self._recorder.crowd, result.frame, self._frame
        crowd.update(result)
        if frame is before:
            if result.status.is_over:
                self.end()
            return self._clip
        self._frame, now = frame, Moment(frame.time_s, utc)
        visits = crowd.here(self.camera)
        self._near = {v: None for v in self._near if frame.time_s - v.last_s <= BEFORE_S}
        self._near |= dict.fromkeys(visits)
        held = self._held(result, visits)
        goes_on = self._ends(frame, before, bool(held))
        if held and self._clip is None:
            self._clip = Clip(now, frame.time_s, goes_on, self._near.copy())
        if self._clip is not None:
            self._clip.note(held, now, visits)
        return self._clip

    def _ends(self, frame: Frame, before: Frame | None, holds: bool) -> bool:
        """End the clip if it is over with this frame; returns whether another is to go on."""
        clip = self._clip
        if clip is None:
            return False
        is_long = not 0 <= frame.time_s - clip.begin.time_s < LONGEST_S
        is_over = not 0 <= frame.time_s - clip.last_s <= AFTER_S
        resized = before is not None and before.size_wh != frame.size_wh
        if resized or (is_long if holds else is_over):
            self.end()
        return is_long and not resized

    def _held(self, result: FrameResult, visits: Collection[Visit]) -> dict[Trigger, set[int]]:
        """The triggers that hold, with the ids of those who make them."""
        before = self._crossed
        lines = {trigger.name for trigger in self._triggers if trigger.kind == "line"}
        self._crossed = {(v, name): v.walk.crossings(name) for v in visits for name in lines}

        def holds(trigger: Trigger, visit: Visit) -> bool:
            if trigger.kind == "zone":
                return trigger.name in visit.walk.inside
            if trigger.kind == "line":
                key = visit, trigger.name
                return self._crossed[key] > before.get(key, 0)
            if trigger.kind == "attention":  # a face that is not found looks nowhere
                looks = visit.attention.looking and visit.track_id in result.poses
                return looks and visit.attention.looked_s > trigger.seconds
            return True

        found = {
            trigger: {visit.track_id for visit in visits if holds(trigger, visit)}
            for trigger in self._triggers
        }
        return {trigger: ids for trigger, ids in found.items() if ids}

    def end(self) -> None:
        """End the clip, if there is one; may be called again."""
        clip, self._clip = self._clip, None
        if clip is not None:
            clip.told = self._recorder.clip(self.camera) | {
                "triggers": [_told(firing) for firing in clip.firings],
                "people": [
                    {**self._recorder.person(visit), "left": visit.over} for visit in clip.visits
                ],
            }


def _told(firing: Firing) -> dict[str, Any]:
    times = firing.begin.as_json("begin") | firing.end.as_json("end")
    return {"trigger": str(firing.trigger), **times, "ids": sorted(firing.ids)}
