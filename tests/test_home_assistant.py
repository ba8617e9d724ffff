"""What Home Assistant is told, rendered as it would: its templates are Jinja."""

import json
from pathlib import Path
from typing import Any

import jinja2
import pytest

from errors import SinkError
from outputs.home_assistant import PREFIX, announcements, check_prefix
from outputs.mqtt import MqttPublisher
from people.attention import Audience
from people.crowd import Crowd
from people.records import Recorder
from structures import ATTRIBUTES, Gender, SourceState, SourceStatus
from tests.results import passers_by, person, result, track
from tests.test_mqtt import Broker, Listen, broker, listen, needs_broker, publisher

__all__ = ["broker", "listen"]  # fixtures


def configs(camera: str = "", **more: Any) -> dict[str, dict[str, Any]]:
    """The configuration of each entity that is reported, by its object id."""
    asked = more.pop("attributes", ATTRIBUTES), more.pop("attention", False)
    found = announcements(PREFIX, "house/faces", camera, *asked)
    return {topic.split("/")[3]: json.loads(text) for topic, text in found.items() if text}


def rendered(config: dict[str, Any], payload: dict[str, Any], key: str = "value_template") -> str:
    """What Home Assistant makes of a payload."""
    text = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(config[key])
    return text.render(value_json=json.loads(json.dumps(payload)))


def shown(record: dict[str, Any], attributes: tuple[str, ...]) -> dict[str, str]:
    """The value of each sensor of people."""
    found = configs(attributes=attributes).items()
    return {n: rendered(c, record) for n, c in found if c["state_topic"].endswith("/people")}


def test_each_value_is_read_from_the_records_as_they_are() -> None:
    recorder = Recorder(Crowd())
    unsure = passers_by(2, 60.0, Gender.UNSURE, first_id=21)
    men = passers_by(1, 49.0, Gender.MALE, first_id=11)
    for one in (*passers_by(3, 20.0), *men, *unsure, result(30, [track(31)], {31: person()})):
        recorder.changes(one)
    told = shown(recorder.aggregate(""), ATTRIBUTES)
    counts = {"people_now": "1", "entered_today": "7", "female": "3", "male": "1", "dwell": "0.0"}
    means = {"mean_age": "38.2", "mean_age_female": "20.0", "mean_age_male": "49.0"}
    assert told == counts | means


@pytest.mark.parametrize("attributes", [("age",), ("gender",), (), ATTRIBUTES])
def test_without_people_counts_are_zero_and_means_unknown(attributes: tuple[str, ...]) -> None:
    recorder = Recorder(Crowd(attributes))
    recorder.changes(result(0))
    told = shown(recorder.aggregate(""), attributes)
    assert {"people_now", "entered_today", "dwell"} <= set(told)
    # Home Assistant takes "None" for unknown.
    means = {name for name in told if name == "dwell" or name.startswith("mean_age")}
    assert told == dict.fromkeys(told, "0") | dict.fromkeys(means, "None")


@pytest.mark.parametrize("state", SourceState)
def test_the_state_is_among_the_options_and_trouble_is_a_problem(state: SourceState) -> None:
    record = Recorder(Crowd()).source("", SourceStatus(state, 'a "detail"'))
    found = configs()
    assert rendered(found["state"], record) == state
    assert state in found["state"]["options"]
    trouble = state not in (SourceState.LIVE, SourceState.CONNECTING, "ended")
    assert rendered(found["problem"], record) == ("ON" if trouble else "OFF")


def availability(camera: str, program: dict[str, Any], own: dict[str, Any]) -> set[bool]:
    """Whether each entity of a camera is available, by the last records of both topics."""
    topics = {"house/faces/status": program, f"house/faces/{camera}/status": own}
    found = set()
    for config in configs(camera).values():
        assert config["availability_mode"] == "all"
        said = [rendered(each, topics[each["topic"]]) for each in config["availability"]]
        found.add(set(said) == {"online"})
    return found


@pytest.mark.parametrize("state", SourceState)
def test_all_are_available_while_program_and_camera_run(state: SourceState) -> None:
    recorder = Recorder(Crowd())
    online, offline = recorder.program("online"), recorder.program("offline")
    camera = recorder.source("", SourceStatus(state))
    assert availability("door", online, camera) == {True}
    assert availability("door", offline, camera) == {False}  # it was killed
    assert availability("door", online, offline) == {False}  # it has other cameras now
    assert availability("", camera, {}) == {True}
    assert availability("", offline, {}) == {False}
    assert availability("", online, {}) == {False}  # its cameras have names now


def test_ids_survive_a_restart_and_differ_between_cameras() -> None:
    ids = [
        {config["unique_id"] for config in configs(camera).values()}
        for camera in ("", "door", "yard", "door")
    ]
    assert ids[1] == ids[3]
    assert not ids[0] & ids[1]
    assert not ids[1] & ids[2]
    assert len(ids[0]) == len(configs())


def test_topics_are_those_of_the_publisher() -> None:
    assert configs("door")["people_now"]["state_topic"] == "house/faces/door/people"
    assert configs("a/b+c")["state"]["state_topic"] == "house/faces/a-b-c/status"
    assert all(t.startswith(f"{PREFIX}/") for t in announcements(PREFIX, "f", "", ATTRIBUTES))


@pytest.mark.parametrize(
    ("attributes", "left_out"),
    [
        (("age",), {"female", "male", "mean_age_female", "mean_age_male"}),
        (("gender",), {"mean_age", "mean_age_female", "mean_age_male"}),
        (("age", "gender"), set()),
    ],
)
def test_what_is_not_reported_is_taken_back(
    attributes: tuple[str, ...], left_out: set[str]
) -> None:
    for attention in (False, True):
        found = announcements(PREFIX, "house/faces", "", attributes, attention)
        names = {topic.split("/")[3] for topic, text in found.items() if not text}
        assert names == left_out | (set() if attention else {"attraction"})


@pytest.mark.parametrize(("watchers", "people", "shown"), [(0, 0, "None"), (1, 3, "33.0")])
def test_who_looked_this_way_is_told_where_it_is_asked_for(
    watchers: int, people: int, shown: str
) -> None:
    assert "attraction" not in configs()
    record = {"attention": Audience(people, watchers).as_json()}
    assert rendered(configs(attention=True)["attraction"], record) == shown


@pytest.mark.parametrize("prefix", ["home/#", "a b", "", "/x", "x/", "a+"])
def test_a_bad_prefix_is_refused(prefix: str) -> None:
    with pytest.raises(SinkError, match="--home-assistant"):
        check_prefix(prefix)


@needs_broker
def test_a_device_appears_at_the_broker_and_stays(
    broker: Broker, listen: Listen, tmp_path: Path
) -> None:
    sink: MqttPublisher = publisher(broker, discovery=PREFIX)
    for one in passers_by(1):
        sink.write(None, one)
    sink.close()
    late = listen()
    found = announcements(PREFIX, "house/faces", "", ATTRIBUTES)
    wanted = {topic: text for topic, text in found.items() if text}
    late.wait_for(lambda each: set(wanted) <= set(each.retained))
    assert {topic: late.retained[topic] for topic in wanted} == {
        topic: json.loads(text) for topic, text in wanted.items()
    }
