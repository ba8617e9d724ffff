"""What is told of a run: the records of docs/events.md, for every output the same.

    frame       every processed frame, with its tracks
    source      the source's state, whenever it changes
    person      somebody appeared (the values have settled) or left
    aggregate   how many people of which age and gender, once a minute

docs/events.schema.json has every field. Records are dicts ready for `json.dumps`.
"""

import json
import math
import secrets
import time
from collections.abc import Callable, Collection
from datetime import UTC, datetime
from typing import Any

from errors import redact
from people.crowd import Aggregates, Crowd
from people.visits import Visit
from structures import ATTRIBUTES, ETHNICITIES, FrameResult, Smoothed, SourceStatus, Track

SCHEMA = 2
AGGREGATE_S = 60.0

Record = dict[str, Any]


def new_run() -> str:
    """A random name for a run: ids of people mean nothing outside of it."""
    return secrets.token_hex(8)


def to_json(record: Record) -> str:
    """One line of JSON, without a line break."""
    return json.dumps(record, separators=(",", ":"), allow_nan=False)


class Recorder:
    """Makes the records of a run out of its frames; one per output.

    Args:
        attributes: which of `structures.ATTRIBUTES` to tell.
        run: from `new_run`, the same for all outputs.
        anonymous: neither frames nor people are told, only states and aggregates.
        clock: seconds, monotonic; when aggregates are due.
    """

    def __init__(
        self,
        attributes: Collection[str] = ATTRIBUTES,
        *,
        run: str,
        anonymous: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.run = run
        self.anonymous = anonymous
        self._attributes = attributes
        self._clock = clock
        self._cameras: dict[str, _Camera] = {}

    def news(self, result: FrameResult) -> list[Record]:
        """The source, person and aggregate records that a frame gives rise to.

        Args:
            result: a new frame's, or the last one's with another `status`.
        """
        camera = self._camera(result.camera)
        records = []
        state = result.status.state, result.status.reconnects
        if state != camera.told:
            camera.told = state
            records.append(self.source(result.camera, result.status))
        changes = camera.crowd.update(result)
        if not self.anonymous:
            records += [self._person(result.camera, "left", v) for v in changes.left]
            records += [self._person(result.camera, "appeared", v) for v in changes.settled]
        if self._clock() >= camera.due_s:
            camera.due_s = self._clock() + AGGREGATE_S
            records.append(self.aggregate(result.camera))
        return records

    def last_news(self) -> list[Record]:
        """The records of the end of the run: everybody leaves, and the last aggregates."""
        records = []
        for name, camera in self._cameras.items():
            left = camera.crowd.end().left
            if not self.anonymous:
                records += [self._person(name, "left", visit) for visit in left]
            records.append(self.aggregate(name))
        return records

    def frame(self, result: FrameResult) -> Record:
        """The record of one frame."""
        frame, people = result.frame, result.people
        latency_ms = result.latency_ms(time.monotonic())
        tracks = [_track(t, people.get(t.track_id), self._attributes) for t in result.tracks]
        return self._head("frame", result.camera) | {
            "index": frame.index,
            "time_s": _rounded(frame.time_s, 6),
            "epoch": frame.epoch,
            "latency_ms": None if latency_ms is None else _rounded(latency_ms, 1),
            "fps": _rounded(result.fps, 2),
            "dropped": result.dropped,
            "source": _status(result.status),
            "load": result.load,
            "tracks": tracks,
        }

    def source(self, camera: str, status: SourceStatus) -> Record:
        """The record of a source's state."""
        return self._head("source", camera) | {"source": _status(status)}

    def program(self, state: str) -> Record:
        """The source record of a state that only the program has: online or offline."""
        return self._head("source") | {"source": {"state": state, "detail": "", "reconnects": 0}}

    def aggregate(self, camera: str) -> Record:
        """The record of who is and was there, in numbers."""
        return self._head("aggregate", camera) | _crowd(self._camera(camera).crowd.crowd())

    def _person(self, camera: str, event: str, visit: Visit) -> Record:
        return self._head("person", camera) | {
            "event": event,
            "id": visit.track_id,
            "first_seen_s": _rounded(visit.first_s, 3),
            "last_seen_s": _rounded(visit.last_s, 3),
            "seconds": _rounded(visit.last_s - visit.first_s, 3),
            "frames": visit.frames,
            "settled": visit.settled,
            **_values(visit.person, self._attributes),
        }

    def _head(self, kind: str, camera: str = "") -> Record:
        utc = datetime.now(UTC).isoformat(timespec="milliseconds")
        return {"schema": SCHEMA, "type": kind, "run": self.run, "camera": camera, "utc": utc}

    def _camera(self, name: str) -> "_Camera":
        if name not in self._cameras:
            crowd = Aggregates(self._attributes, anonymous=self.anonymous, clock=self._clock)
            self._cameras[name] = _Camera(crowd, self._clock() + AGGREGATE_S)
        return self._cameras[name]


class _Camera:
    """What is remembered of one camera."""

    def __init__(self, crowd: Aggregates, due_s: float) -> None:
        self.crowd = crowd
        self.due_s = due_s
        self.told: object = None


def _track(track: Track, person: Smoothed | None, attributes: Collection[str]) -> Record:
    return {
        "id": track.track_id,
        "box": [_rounded(side, 1) for side in track.box],
        "detected": track.time_since_update == 0,
        **_values(person, attributes),
    }


def _values(person: Smoothed | None, attributes: Collection[str]) -> Record:
    record: Record = {"samples": person.samples if person else 0}
    if "age" in attributes:
        record["age_years"] = _rounded(person.age_years, 2) if person else None
        spread = _rounded(person.age_uncertainty_years, 2) if person else None
        record["age_uncertainty_years"] = spread
    if "gender" in attributes:
        record["female_prob"] = _rounded(person.female_prob, 4) if person else None
        record["gender"] = person.gender.value if person else None
    if "ethnicity" in attributes and person and person.ethnicity_probs is not None:
        shares = (_rounded(share, 4) for share in person.ethnicity_probs)
        record["ethnicity"] = dict(zip(ETHNICITIES, shares, strict=True))
    return record


def _status(status: SourceStatus) -> Record:
    detail = redact(status.detail)  # it should hold no secret; this makes sure
    return {"state": status.state.value, "detail": detail, "reconnects": status.reconnects}


def _crowd(crowd: Crowd) -> Record:
    groups: list[Record] = []
    for group in crowd.groups:
        told = {"age": group.age, "gender": group.gender}
        groups.append({k: v for k, v in told.items() if v} | {"people": group.people})
    return {
        "day": crowd.day,
        "now": crowd.now,
        "people": crowd.people,
        "step": crowd.step,
        "groups": groups,
    }


def _rounded(value: float, digits: int) -> float | None:
    """Return a plain float of so many digits; None where JSON has no such number."""
    value = float(value)
    return round(value, digits) if math.isfinite(value) else None
