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
from structures import ATTRIBUTES, SourceState, SourceStatus
from tests.results import passers_by
from tests.test_mqtt import Broker, Listen, broker, listen, needs_broker, publisher

__all__ = ["broker", "listen"]  # fixtures


def configs(camera: str = "", **more: Any) -> dict[str, dict[str, Any]]:
    """The configuration of each entity, by its object id."""
    asked = more.pop("attributes", ATTRIBUTES), more.pop("attention", False)
    found = announcements(PREFIX, "house/faces", camera, *asked)
    return {topic.split("/")[3]: json.loads(text) for topic, text in found.items()}


def rendered(config: dict[str, Any], payload: dict[str, Any], key: str = "value_template") -> str:
    """What Home Assistant makes of a payload."""
    text = jinja2.Environment(undefined=jinja2.StrictUndefined).from_string(config[key])
    return text.render(value_json=json.loads(json.dumps(payload)))


def test_each_value_is_read_from_the_records_as_they_are() -> None:
    crowd = Crowd()
    recorder = Recorder(crowd)
    for one in passers_by(3):
        recorder.changes(one)
    crowd.end()
    record = recorder.aggregate("")
    found = configs()
    assert rendered(found["people_now"], record) == str(record["now"]) == "0"
    assert rendered(found["entered_today"], record) == str(record["entered"]) == "3"
    assert rendered(found["dwell"], record) == str(record["dwell_s"])
    people = sum(int(rendered(found[gender], record)) for gender in ("female", "male"))
    assert people == sum(g["people"] for g in record["groups"] if g["gender"] != "unsure")
    assert people > 0


@pytest.mark.parametrize("state", SourceState)
def test_the_state_is_among_the_options_and_trouble_is_a_problem(state: SourceState) -> None:
    record = Recorder(Crowd()).source("", SourceStatus(state, 'a "detail"'))
    found = configs()
    assert rendered(found["state"], record) == state
    assert state in found["state"]["options"]
    trouble = state not in (SourceState.LIVE, SourceState.CONNECTING, "ended")
    assert rendered(found["problem"], record) == ("ON" if trouble else "OFF")


def test_all_are_unavailable_once_the_program_is_offline() -> None:
    recorder = Recorder(Crowd())
    for config in configs("door").values():
        (source,) = config["availability"]
        assert source["topic"] == "house/faces/status"
        for state in ("online", "offline"):
            assert rendered(source, recorder.program(state)) == state
        live = recorder.source("", SourceStatus())
        assert rendered(source, live) == "online"


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


def test_gender_is_left_out_where_it_is_not_reported() -> None:
    assert "female" not in configs(attributes=("age",))


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
    wanted = announcements(PREFIX, "house/faces", "", ATTRIBUTES)
    late.wait_for(lambda each: set(wanted) <= set(each.retained))
    assert {topic: late.retained[topic] for topic in wanted} == {
        topic: json.loads(text) for topic, text in wanted.items()
    }
