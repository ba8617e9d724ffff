"""What Home Assistant's own code makes of what is published.

It runs in a Python of its own, as its pinned packages are not ours: HOME_ASSISTANT_PYTHON. For
Python 3.11 that was one with homeassistant 2024.3.3, what this asks for, and what its integrations
import: paho-mqtt 1.6.1, janus 1.0.0, SQLAlchemy 2.0.27, fnv-hash-fast 0.5.0, psutil-home-assistant
0.0.1, PyTurboJPEG 1.7.1.
"""

import importlib.util
import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from outputs.home_assistant import PREFIX, announcements
from outputs.mqtt import MqttPublisher
from people.crowd import Crowd
from people.records import Recorder
from structures import ATTRIBUTES, Gender
from tests.results import passers_by, person, result, track
from tests.test_mqtt import Broker, broker, needs_broker, publisher

__all__ = ["broker"]  # a fixture

PYTHON = os.environ.get("HOME_ASSISTANT_PYTHON", sys.executable)
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        sys.executable == PYTHON and importlib.util.find_spec("homeassistant") is None,
        reason="no Home Assistant: set HOME_ASSISTANT_PYTHON to a Python that has it",
    ),
]
SCRIPT = [PYTHON, str(Path(__file__).with_name("home_assistant_core.py"))]


class Home:
    """A Home Assistant that shows what a broker holds: `shown`, by the end of the unique id."""

    def __init__(self, port: int, log: Path) -> None:
        self.shown: dict[str, dict[str, Any]] = {}
        self.log = log
        self.change = threading.Condition()
        with log.open("wb") as errors:
            self.process = subprocess.Popen(
                [*SCRIPT, str(port)], stdout=subprocess.PIPE, stderr=errors
            )
        self.thread = threading.Thread(target=self._read)
        self.thread.start()

    def _read(self) -> None:
        for line in self.process.stdout or ():
            with self.change:
                told = json.loads(line)
                self.shown[told["id"].split("_", 2)[2]] = told
                self.change.notify_all()

    def states(self) -> dict[str, str]:
        return {name: told["state"] for name, told in self.shown.items() if told["state"]}

    def wait_for(self, wanted: Mapping[str, str]) -> None:
        with self.change:
            found = self.change.wait_for(lambda: self.states() == wanted, 60)
            assert found, f"{self.states()}, {self.log.read_text()}"

    def close(self) -> None:
        self.process.kill()
        self.thread.join()
        self.process.communicate()


@pytest.fixture
def home(broker: Broker, tmp_path: Path) -> Iterator[Home]:
    home = Home(broker.port, tmp_path / "log")
    yield home
    home.close()


def test_every_discovery_message_follows_its_schema() -> None:
    messages = {
        topic: json.loads(text)
        for camera in ("", "door")
        for topic, text in announcements(PREFIX, "house/faces", camera, ATTRIBUTES, True).items()
    }
    asked = json.dumps(messages)
    done = subprocess.run(
        [*SCRIPT, "check"], input=asked, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    problems = json.loads(done.stdout)
    assert set(problems) == set(messages)
    found = {(topic.split("/")[3], problem) for topic, problem in problems.items() if problem}
    assert found <= {("state", "options")}  # which is known since 2024.8


@needs_broker
def test_it_shows_the_numbers_and_a_restart_makes_no_second_entity(
    broker: Broker, home: Home
) -> None:
    there = {"state": "live", "problem": "off", "people_now": "0", "dwell": "unknown"}
    there |= {"entered_today": "0", "female": "0", "male": "0"}
    there |= dict.fromkeys(("mean_age", "mean_age_female", "mean_age_male"), "unknown")
    sink = publisher(broker, discovery=PREFIX)
    sink.write(None, result(0))
    home.wait_for(there)
    entities = {name: told["entity_id"] for name, told in home.shown.items()}
    assert entities["people_now"] == "sensor.faces_people_now"
    for one in (*passers_by(3), *passers_by(1, 50.0, Gender.MALE, first_id=11)):
        sink.write(None, one)
    sink.write(None, result(20, [track(21)], {21: person()}))
    numbers = {"people_now": "1", "entered_today": "5", "dwell": "0.0", "female": "3", "male": "1"}
    numbers |= {"mean_age": "38.2", "mean_age_female": "34.2", "mean_age_male": "50.0"}
    home.wait_for(there | numbers)
    assert home.shown["problem"]["detail"] == ""
    sink.close()
    home.wait_for(dict.fromkeys(there, "unavailable"))
    again = publisher(broker, discovery=PREFIX)
    again.write(None, result(0))
    home.wait_for(there)
    again.close()
    assert {name: told["entity_id"] for name, told in home.shown.items()} == entities
    assert home.log.read_text() == ""
    ages = MqttPublisher(broker.address(), Recorder(Crowd(("age",))), discovery=PREFIX)
    ages.write(None, result(0))
    home.wait_for({name: state for name, state in there.items() if "male" not in name})
    ages.close()
