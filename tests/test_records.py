import json
from collections.abc import Collection
from dataclasses import replace
from pathlib import Path

import jsonschema
import numpy as np
import pytest

from people.crowd import Crowd
from people.records import Record, Recorder, new_run, to_json
from structures import ATTRIBUTES, Frame, FrameResult, HeadPose
from tests.results import PICTURE, passers_by, person, result, track, with_state

SCHEMA = json.loads(
    (Path(__file__).resolve().parent.parent / "docs" / "events.schema.json").read_text()
)
SHARES = np.array([0.1, 0.05, 0.71, 0.1, 0.04], np.float32)


def check(record: Record) -> Record:
    """Raise unless a record, after its way through JSON, is what the schema says."""
    validator = jsonschema.Draft202012Validator(
        SCHEMA, format_checker=jsonschema.Draft202012Validator.FORMAT_CHECKER
    )
    validator.validate(json.loads(to_json(record)))
    return record


def a_run(recorder: Recorder) -> list[Record]:
    """All records of a run in which somebody comes and goes and the source disconnects."""
    records: list[Record] = []
    seen = [track(1), track(2, misses=1)]
    frames = [
        result(0, seen),
        result(1, seen, {1: person(converged=False)}),
        result(2, seen, {1: person(shares=SHARES), 2: person(float("nan"))}),
        result(3, []),
        result(4, [track(3)], {3: person()}, epoch=1),
    ]
    for one in frames:
        records += [recorder.frame(one), *recorder.changes(one)]
    for state in ("stalled", "reconnecting", "reconnecting", "live"):
        records += recorder.changes(
            with_state(frames[-1], state, "no answer", int(state == "live"))
        )
    return records + recorder.last_changes()


def test_the_state_of_a_source_precedes_the_frame_that_it_belongs_to() -> None:
    recorder = Recorder(Crowd())
    first = recorder.all_of(result(0, [track(1)]))
    assert [record["type"] for record in first] == ["source", "frame"]
    assert [record["type"] for record in recorder.all_of(result(1, [track(1)]))] == ["frame"]


@pytest.mark.parametrize("attributes", [ATTRIBUTES, ["age"], ["gender"]])
@pytest.mark.parametrize("anonymous", [True, False])
@pytest.mark.parametrize("attention", [True, False])
def test_every_record_is_what_the_schema_says(
    attributes: Collection[str], anonymous: bool, attention: bool
) -> None:
    clock = iter(range(0, 10**6, 40))
    crowd = Crowd(
        attributes, anonymous=anonymous, attention=attention, clock=lambda: float(next(clock))
    )
    recorder = Recorder(crowd)
    records = a_run(recorder)
    for record in records:
        check(record)
    told = ["attention" in record for record in records if record["type"] == "aggregate"]
    assert told == [attention] * len(told)
    kinds = {record["type"] for record in records}
    assert kinds == {"frame", "source", "aggregate"} | ({"person"} if not anonymous else set())


def test_where_heads_point_is_told_of_frames_people_and_all_together() -> None:
    """One looks this way for a second, one is too small to tell."""
    recorder = Recorder(Crowd(attention=True))
    seen = [track(1), track(2)]
    results = [replace(result(i, seen), poses={1: HeadPose(3.25, -4.0)}) for i in range(26)]
    records = [record for one in [*results, result(26)] for record in recorder.all_of(one)]
    for record in records:
        check(record)
    tracks = next(r for r in records if r["type"] == "frame")["tracks"]
    assert [each.get("yaw_deg") for each in tracks] == [3.2, None]
    assert [each.get("pitch_deg") for each in tracks] == [-4.0, None]
    people = [r for r in records if r["type"] == "person"]
    assert [(r["attention_s"], r["watched"]) for r in people] == [(1.0, True), (None, None)]
    total = check(recorder.aggregate(""))["attention"]
    assert (total["people"], total["watchers"], total["ratio"]) == (1, 1, 1.0)
    assert (total["attention_s"], total["dwell_s"]) == (1.0, 1.0)


def test_without_being_asked_for_no_record_tells_who_looked() -> None:
    records = a_run(Recorder(Crowd()))
    assert not any({"attention", "attention_s", "watched"} & set(record) for record in records)


def test_the_schema_refuses_what_is_not_in_it() -> None:
    record = Recorder(Crowd()).frame(result(0, [track(1)]))
    for change in ({"schema": 1}, {"type": "people"}, {"run": "me"}, {"password": "x"}):
        with pytest.raises(jsonschema.ValidationError):
            check(record | change)


def test_people_appear_when_their_values_settle_and_leave_with_the_last_ones() -> None:
    people = [r for r in a_run(Recorder(Crowd())) if r["type"] == "person"]
    reported = [(r["event"], r["id"], r["settled"]) for r in people]
    assert reported == [
        ("appeared", 1, True),
        ("appeared", 2, True),
        ("left", 1, True),
        ("left", 2, True),
        ("appeared", 3, True),
        ("left", 3, True),
    ]
    appeared, left = people[0], people[2]
    assert (appeared["age_years"], appeared["gender"], appeared["samples"]) == (34.25, "female", 12)
    assert (left["first_seen_s"], left["last_seen_s"], left["seconds"]) == (0.0, 0.08, 0.08)
    assert left["frames"] == 3


def test_a_source_is_reported_first_and_when_its_state_changes() -> None:
    sources = [r["source"] for r in a_run(Recorder(Crowd())) if r["type"] == "source"]
    assert [s["state"] for s in sources] == ["live", "stalled", "reconnecting", "live"]
    assert sources[-1]["reconnects"] == 1 and sources[1]["detail"] == "no answer"


def test_a_state_holds_no_secret_even_if_its_detail_does() -> None:
    leaking = with_state(result(0), "failed", "rtsp://joe:s3cret@camera refused")
    (record,) = Recorder(Crowd()).changes(leaking)
    assert "s3cret" not in to_json(record) and "joe" not in to_json(record)


def test_aggregates_come_once_a_minute() -> None:
    now_s = 0.0
    recorder = Recorder(Crowd(clock=lambda: now_s))
    reported = []
    for second in range(200):
        now_s = float(second)
        reported += [second for r in recorder.changes(result(second)) if r["type"] == "aggregate"]
    assert reported == [60, 120, 180]


def test_anonymous_nothing_is_reported_of_any_one_person() -> None:
    recorder = Recorder(Crowd(anonymous=True))
    records = [r for one in passers_by(4) for r in recorder.changes(one)] + recorder.last_changes()
    assert {r["type"] for r in records} == {"source", "aggregate"}
    assert records[-1]["people"] == 0 and records[-1]["groups"] == []
    assert '"id"' not in "".join(map(to_json, records))


def test_cameras_are_kept_apart() -> None:
    recorder = Recorder(Crowd())
    for i in range(3):
        for camera in ("door", "yard"):
            recorder.changes(result(i, [track(1)], {1: person()}, camera=camera))
    recorder.changes(result(3, [], camera="door"))
    last = recorder.last_changes()
    assert [(r["type"], r["camera"]) for r in last] == [
        ("aggregate", "door"),
        ("person", "yard"),
        ("aggregate", "yard"),
    ]
    assert [r["people"] for r in last if r["type"] == "aggregate"] == [1, 1]


def test_a_live_frame_reports_its_age() -> None:
    live = FrameResult(Frame(PICTURE, 0, 0.0, arrived_s=0.0))
    record = check(Recorder(Crowd()).frame(live))
    assert record["latency_ms"] > 0


def test_runs_have_names_of_their_own() -> None:
    assert len({new_run() for _ in range(100)}) == 100


def test_who_left_has_the_mean_side_of_the_face_and_the_weight_of_the_looks() -> None:
    recorder = Recorder(Crowd())
    seen = replace(person(), evidence=0.456)
    boxes = [(0.0, 0.0, 40.0, 40.0), (0.0, 0.0, 20.0, 80.0), (0.0, 0.0, 55.0, 55.0)]
    for i, box in enumerate(boxes):
        recorder.changes(result(i, [track(1, box=box)], {1: seen}))
    recorder.changes(result(3, [track(1, misses=1, box=(0.0, 0.0, 999.0, 999.0))], {1: seen}))
    left = check(recorder.last_changes()[0])
    assert left["face_px"] == 45.0, "sides 40, 40 and 55; a predicted box does not count"
    assert left["evidence"] == 0.46


def test_aggregates_tell_the_confusion_unless_anonymous() -> None:
    confusion = tuple(tuple(10 * i + j for j in range(10)) for i in range(10))
    told = check(Recorder(Crowd(confusion=confusion)).aggregate(""))
    assert told["confusion"] == [list(row) for row in confusion]
    for crowd in (Crowd(confusion=confusion, anonymous=True), Crowd()):
        assert "confusion" not in check(Recorder(crowd).aggregate(""))
