"""The records of docs/events.md, the same for every output.

    frame       every processed frame, with its tracks
    source      the source's state, whenever it changes
    person      somebody appeared (the values have settled) or left
    aggregate   how many people of which age and gender, once a minute
    clip        what stands beside each file of --record-on

docs/events.schema.json has every field. Records are dicts ready for `json.dumps`.
"""

import json
import secrets
import time
from datetime import UTC, datetime
from typing import Any

from errors import redact
from people.attention import Attention
from people.crowd import Crowd
from people.visits import Visit
from people.wording import as_json, rounded
from structures import FrameResult, HeadPose, SourceStatus

SCHEMA = 2

Record = dict[str, Any]


def new_run() -> str:
    """A random name for a run; ids of people are unique only within a run."""
    return secrets.token_hex(8)


def to_json(record: Record) -> str:
    """A record as JSON on one line, without a line break."""
    return json.dumps(record, separators=(",", ":"), allow_nan=False)


class Recorder:
    """Makes the records of a run from its frames; one recorder per output.

    Args:
        crowd: counts people and decides what may be reported; shared by all outputs of a run.
        run: from `new_run`, shared likewise; empty = a new one.
        purpose: of estimating ethnicity live, as the user says; told by the source records.
    """

    def __init__(self, crowd: Crowd, run: str = "", purpose: str = "") -> None:
        self.crowd, self.run = crowd, run or new_run()
        self._purpose = {"lawful_purpose": purpose} if purpose else {}
        self._states: dict[str, object] = {}  # by camera, as last reported
        self._visits: dict[Visit, bool] = {}  # not over yet, and whether they were reported
        self._minutes: dict[str, int] = {}

    def all_of(self, result: FrameResult) -> list[Record]:
        """The record of a new frame, unless the crowd is anonymous, and `changes`.

        The state of the source precedes the frame that it belongs to, and all else follows it.
        """
        changes = self.changes(result)
        if self.crowd.anonymous:
            return changes
        before = [change for change in changes if change["type"] == "source"]
        return [*before, self.frame(result), *changes[len(before) :]]

    def changes(self, result: FrameResult) -> list[Record]:
        """The source, person and aggregate records that follow from a result.

        It is of a new frame, or the last one with another `status`.
        """
        records = []
        camera, state = result.camera, (result.status.state, result.status.reconnects)
        if state != self._states.get(camera):
            self._states[camera] = state
            records.append(self.source(camera, result.status))
        minute = self._minutes.setdefault(camera, self.crowd.minute)
        self.crowd.update(result)
        for visit in self.crowd.here(camera):
            self._visits.setdefault(visit, False)
        records += self._people()
        if minute != self.crowd.minute:
            self._minutes[camera] = self.crowd.minute
            records.append(self.aggregate(camera))
        return records

    def last_changes(self) -> list[Record]:
        """The records at the end of the run: all visits end, and the last aggregates."""
        self.crowd.end()
        people, records = self._people(), []
        for camera in self.crowd.cameras:
            records += [record for record in people if record["camera"] == camera]
            records.append(self.aggregate(camera))
        return records

    def frame(self, result: FrameResult) -> Record:
        """The record of one frame."""
        frame = result.frame
        latency_ms = result.latency_ms(time.monotonic())
        return self._head("frame", result.camera) | {
            "index": frame.index,
            "time_s": rounded(frame.time_s, 6),
            "epoch": frame.epoch,
            "latency_ms": None if latency_ms is None else rounded(latency_ms, 1),
            "fps": rounded(result.fps, 2),
            "dropped": result.dropped,
            "source": _status(result.status),
            "load": result.load,
            "tracks": [
                {
                    "id": track.track_id,
                    "box": [rounded(side, 1) for side in track.box],
                    "detected": track.found,
                    **as_json(result.people.get(track.track_id), self.crowd.attributes),
                    **_pose(result.poses.get(track.track_id)),
                }
                for track in result.tracks
            ],
        }

    def source(self, camera: str, status: SourceStatus) -> Record:
        """The record of a source's state."""
        return self._head("source", camera) | self._purpose | {"source": _status(status)}

    def program(self, state: str) -> Record:
        """The source record of a state that only the program has: online or offline."""
        source = {"state": state, "detail": "", "reconnects": 0}
        return self._head("source") | self._purpose | {"source": source}

    def clip(self, camera: str) -> Record:
        """How the record of a clip begins, see `people.triggers`."""
        return self._head("clip", camera)

    def aggregate(self, camera: str) -> Record:
        """The record of who is and was there, in numbers."""
        return self._head("aggregate", camera) | self.crowd.aggregate(camera)

    def _people(self) -> list[Record]:
        """The person records of everything that has changed since the last ones."""
        left = [visit for visit in self._visits if visit.over]
        appeared = [v for v, reported in self._visits.items() if v.settled and not reported]
        for visit in left:
            del self._visits[visit]
        self._visits |= dict.fromkeys(set(appeared) - set(left), True)
        records = [self._person("left", visit) for visit in left]
        return records + [self._person("appeared", v) for v in appeared if not v.over]

    def _person(self, event: str, visit: Visit) -> Record:
        return self._head("person", visit.camera) | {"event": event, **self.person(visit)}

    def person(self, visit: Visit) -> Record:
        """What a person record says of a visit so far."""
        return {
            "id": visit.track_id,
            "first_seen_s": rounded(visit.first_s, 3),
            "last_seen_s": rounded(visit.last_s, 3),
            "seconds": rounded(visit.last_s - visit.first_s, 3),
            "frames": visit.frames,
            "settled": visit.settled,
            "face_px": rounded(visit.sides_px / visit.frames, 1) if visit.frames else None,
            "evidence": rounded(visit.person.evidence, 2) if visit.person else None,
            **as_json(visit.person, self.crowd.attributes),
            **(_attention(visit.attention) if self.crowd.attention else {}),
            **visit.walk.as_json(self.crowd.layout(visit.camera)),
        }

    def _head(self, kind: str, camera: str = "") -> Record:
        utc = datetime.now(UTC).isoformat(timespec="milliseconds")
        return {"schema": SCHEMA, "type": kind, "run": self.run, "camera": camera, "utc": utc}


def _pose(pose: HeadPose | None) -> Record:
    if pose is None:
        return {}
    return {"yaw_deg": rounded(pose.yaw_deg, 1), "pitch_deg": rounded(pose.pitch_deg, 1)}


def _attention(attention: Attention) -> Record:
    seconds = attention.attention_s
    return {
        "attention_s": None if seconds is None else rounded(seconds, 2),
        "watched": attention.watched,
    }


def _status(status: SourceStatus) -> Record:
    detail = redact(status.detail)  # it should hold no secret anyway
    return {"state": status.state.value, "detail": detail, "reconnects": status.reconnects}
