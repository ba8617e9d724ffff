"""What is counted at lines and in zones, as the outputs tell it."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from outputs.home_assistant import PREFIX, announcements
from outputs.mqtt import MqttPublisher
from people.records import Recorder
from people.story import story
from people.table import PeopleWriter, is_table
from people.zones import Layout, as_text, parse_zone
from program.config import read_config, to_toml
from stream import parse_arguments
from tests.results import person, rows
from tests.test_home_assistant import rendered
from tests.test_records import check
from tests.walks import DOOR, DOWN, HALL, UP, Place
from tests.web_parts import ask, served


@pytest.mark.parametrize("anonymous", [True, False])
def test_records_are_what_the_schema_says(anonymous: bool) -> None:
    place = Place(DOOR, HALL, anonymous=anonymous).watch({1: DOWN, 2: UP}, people={1: person()})
    last = place.recorder.last_changes()
    for record in [*place.records, *last]:
        check(record)
    assert {"lines", "zones"} <= set(last[-1])


def test_the_table_of_people_has_columns_for_each_line_and_zone(tmp_path: Path) -> None:
    place, path = Place(DOOR, HALL), tmp_path / "people.csv"
    table = PeopleWriter(path, place.crowd)
    place.sinks.append(table)
    place.watch({1: DOWN, 2: UP})
    table.close()
    people = rows(path)
    crossed = [(row["line_door_in"], row["line_door_out"]) for row in people]
    assert crossed == [("1", "0"), ("0", "1")] and is_table(path)
    assert float(people[0]["zone_hall_s"]) == pytest.approx(240 / 75, abs=0.1)


def test_a_table_without_lines_and_zones_is_as_it_was(tmp_path: Path) -> None:
    place = Place()
    table = PeopleWriter(tmp_path / "people.csv", place.crowd)
    place.sinks.append(table)
    place.watch({1: DOWN})
    table.close()
    assert "line_" not in (header := (tmp_path / "people.csv").read_text().splitlines()[0])
    assert "zone_" not in header


def entities(layout: Layout) -> dict[str, dict[str, Any]]:
    found = announcements(PREFIX, "faces", "", ("age", "gender"), layout=layout)
    return {topic.split("/")[3]: json.loads(text) for topic, text in found.items() if text}


def test_home_assistant_reads_lines_and_zones_from_the_records() -> None:
    hall = parse_zone(as_text(HALL).replace("hall", "größe"))
    place = Place(DOOR, hall).watch({1: DOWN, 2: DOWN, 3: UP})
    record, found = place.recorder.aggregate(""), entities(Layout((DOOR, hall)))
    told = {name: rendered(config, record) for name, config in found.items() if "_in" in name}
    assert told == {"line_door_in": "2"}
    zone = {c["name"]: rendered(c, record) for c in found.values() if "größe" in c["name"]}
    assert zone["größe, people now"] == "0" and zone["größe, entered today"] == "3"
    for name in found:
        assert re.fullmatch(r"[a-zA-Z0-9_-]+", name)  # as discovery topics want it


def test_home_assistant_is_told_of_a_line_that_is_drawn_later() -> None:
    place = Place(DOOR)
    publisher = MqttPublisher("mqtt://127.0.0.1:9/faces", place.recorder, discovery=PREFIX)
    place.sinks.append(publisher)
    place.watch({1: DOWN}, seconds=1)
    place.crowd.lay_out("", Layout((DOOR, HALL)))
    place.watch({2: DOWN}, seconds=1)
    topics = [topic for topic in publisher._announced if "zone_hall_" in topic]
    assert len(topics) == 3 and all(publisher._announced[topic] for topic in topics)
    place.crowd.lay_out("", Layout((DOOR,)))
    place.watch({3: DOWN}, seconds=1)
    assert [publisher._announced[topic] for topic in topics] == ["", "", ""]
    publisher.close()


def test_metrics_tell_of_the_run_and_never_fall() -> None:
    place = Place(DOOR, HALL)
    with served(crowd=place.crowd) as view:
        place.sinks.append(view)
        place.watch({1: DOWN, 2: UP}, people={1: person(25)})
        _, _, text = ask(view, "metrics")
        assert 'faces_line_in_total{camera="",line="door"} 1.0' in text
        group = 'age_band="20-29",camera="",gender="female",line="door"'
        assert f"faces_line_in_by_group_total{{{group}}} 1.0" in text
        assert 'faces_zone_entered_total{camera="",zone="hall"} 2.0' in text
        place.media_s += 24 * 3600
        place.watch({3: DOWN})
        assert 'faces_line_in_total{camera="",line="door"} 2.0' in ask(view, "metrics")[2]


def test_a_configuration_file_holds_the_lines_of_each_camera(tmp_path: Path) -> None:
    path = tmp_path / "faces.toml"
    path.write_text(
        'no-window = true\n[cameras.door]\nsrc = "sample"\nline = "gate=0.1,0.5,0.9,0.5"\n'
        '[cameras.yard]\nsrc = "sample"\nzone = ["a=0.1,0.1,0.9,0.1,0.9,0.9"]\n'
    )
    again = tmp_path / "again.toml"
    again.write_text(to_toml(read_config(path)))
    for each in (path, again):
        door, yard = parse_arguments(["--config", str(each)]).cameras
        assert [as_text(shape) for shape in door.source.layout.shapes] == ["gate=0.1,0.5,0.9,0.5"]
        assert [shape.name for shape in yard.source.layout.shapes] == ["a"]


@pytest.mark.parametrize(
    ("flags", "reason"),
    [
        (["--line", "a=0.1,0.5,0.9,0.5", "--zone", "a=0,0,1,0,1,1"], "called a"),
        (["--line", "a=0.1,0.5,0.9,0.5", "--line", "a=0.1,0.5,0.9,0.5"], "called a"),
        (["--line", "a=10,50,90,50"], "outside the picture"),
        (["--zone", "a=0,0,1,1"], "two make a line"),
    ],
)
def test_bad_flags_are_refused_in_one_line(
    flags: list[str], reason: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        parse_arguments(["--src", "sample", *flags])
    said = capsys.readouterr().err
    assert ended.value.code == 2 and said.count("\n") == 1 and reason in said


def test_records_of_a_run_that_draws_later_have_the_new_zone() -> None:
    place = Place(DOOR)
    recorder = Recorder(place.crowd)
    assert "zones" not in recorder.aggregate("")
    place.crowd.lay_out("", Layout((DOOR, HALL)))
    assert check(recorder.aggregate(""))["zones"]["hall"]["entered"] == 0


def test_the_end_of_a_run_tells_of_lines_and_zones() -> None:
    place = Place(DOOR, HALL).watch({1: DOWN})
    assert story(place.crowd, 9.0).endswith("; door: 1 in, 0 out; hall: 0 now, 1 entered")
