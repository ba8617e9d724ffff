import gc
import json
import logging
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from errors import SinkError
from outputs.delivery import DeliveryLimits
from outputs.mqtt import MqttPublisher
from people.crowd import Crowd
from people.records import Record, Recorder
from tests.results import passers_by, person, result, track, with_state
from tests.test_records import check

ROOT = Path(__file__).resolve().parent.parent
needs_broker = pytest.mark.mqtt
PREFIX = "house/faces"


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


class Broker:
    """Mosquitto on a free port of this machine; user joe, password s3cr@t:/."""

    def __init__(self, folder: Path) -> None:
        program = shutil.which("mosquitto") or shutil.which("mosquitto", path="/usr/sbin")
        if program is None:
            pytest.skip("no broker: apt-get install mosquitto")
        self.port = free_port()
        passwords, config = folder / "passwords", folder / "mosquitto.conf"
        hashing = ["mosquitto_passwd", "-b", "-c", str(passwords), "joe", "s3cr@t:/"]
        subprocess.run(hashing, check=True, capture_output=True)
        passwords.chmod(0o644)
        config.write_text(
            f"listener {self.port} 127.0.0.1\nallow_anonymous false\n"
            f"password_file {passwords}\nuser root\n"
        )
        self._command = [program, "-c", str(config)]
        self.start()

    def start(self) -> None:
        self.process = subprocess.Popen(
            self._command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        until = time.monotonic() + 10
        while time.monotonic() < until:
            try:
                socket.create_connection(("127.0.0.1", self.port), 1).close()
                return
            except OSError:
                time.sleep(0.02)
        raise RuntimeError("Mosquitto does not start")

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    def address(self, password: str = "s3cr@t:/") -> str:
        return f"mqtt://joe:{password}@127.0.0.1:{self.port}/{PREFIX}"


class Listener:
    """Hears everything that is published: `retained` by topic, `heard` in order."""

    def __init__(self, broker: Broker) -> None:
        from paho.mqtt.client import Client
        from paho.mqtt.enums import CallbackAPIVersion

        self.heard: list[tuple[str, Record]] = []
        self.retained: dict[str, Record] = {}
        self.change = threading.Condition()
        listening = threading.Event()
        self.client = Client(CallbackAPIVersion.VERSION2)
        self.client.username_pw_set("joe", "s3cr@t:/")
        self.client.on_message = self._note
        self.client.on_connect = lambda client, *_: client.subscribe("#", 1)
        self.client.on_subscribe = lambda *_: listening.set()
        self.client.connect("127.0.0.1", broker.port)
        self.client.loop_start()
        assert listening.wait(10), "the broker does not answer"  # events before it are not heard

    def _note(self, _client: object, _data: object, message: Any) -> None:
        with self.change:
            record = json.loads(message.payload)
            if message.topic.startswith(PREFIX):  # not what Home Assistant is told
                check(record)
            self.heard.append((message.topic, record))
            if message.retain or not message.topic.endswith("/events"):
                self.retained[message.topic] = record
            self.change.notify_all()

    def wait_for(self, truth: Callable[["Listener"], object]) -> None:
        with self.change:
            assert self.change.wait_for(lambda: truth(self), 10), self.heard

    def events(self, kind: str = "person") -> list[tuple[str, int]]:
        events = [r for topic, r in self.heard if topic.endswith("/events")]
        return [(r["event"], r["id"]) for r in events if r["type"] == kind]

    def state(self, camera: str = "") -> str | None:
        topic = "/".join(filter(None, (PREFIX, camera, "status")))
        return self.retained.get(topic, {}).get("source", {}).get("state")

    def close(self) -> None:
        self.client.disconnect()
        self.client.loop_stop()
        self.client.on_message = None  # a cycle, which would leave open sockets lying about


Listen = Callable[[], Listener]


@pytest.fixture
def broker(tmp_path: Path) -> Iterator[Broker]:
    running = Broker(tmp_path)
    yield running
    running.kill()


@pytest.fixture
def listen(broker: Broker) -> Iterator[Listen]:
    listeners: list[Listener] = []

    def start() -> Listener:
        listeners.append(Listener(broker))
        return listeners[-1]

    yield start
    for listener in listeners:
        listener.close()


def publisher(broker: Broker, password: str = "s3cr@t:/", **options: Any) -> MqttPublisher:
    recorder = Recorder(Crowd(anonymous=options.pop("anonymous", False)))
    return MqttPublisher(broker.address(password), recorder, limits=DeliveryLimits(0.05), **options)


def visit(sink: MqttPublisher, first_id: int = 1) -> None:
    for one in passers_by(1, first_id=first_id):
        sink.write(None, one)


@needs_broker
@pytest.mark.parametrize("qos", [0, 1, 2])
def test_events_arrive_in_order_and_states_are_retained(
    qos: int, broker: Broker, listen: Listen
) -> None:
    early, sink = listen(), publisher(broker, qos=qos)
    visit(sink)
    sink.write(None, result(7, [track(8), track(9)], {8: person()}))
    early.wait_for(lambda heard: ("appeared", 8) in heard.events())
    late = listen()
    late.wait_for(lambda heard: len(heard.retained) == 2)
    assert late.state() == "live"
    assert late.retained[f"{PREFIX}/people"]["now"] == 2
    assert late.retained[f"{PREFIX}/people"]["people"] == 1
    sink.close()
    sink.close()
    late.wait_for(lambda heard: heard.state() == "offline")
    assert late.retained[f"{PREFIX}/status"]["utc"] is not None
    early.wait_for(lambda heard: len(heard.events()) == 5)
    assert early.events()[:3] == [("appeared", 1), ("left", 1), ("appeared", 8)]
    assert sorted(early.events()[3:]) == [("left", 8), ("left", 9)]


@needs_broker
def test_a_state_that_changes_while_no_frame_comes_is_told(broker: Broker, listen: Listen) -> None:
    heard, sink = listen(), publisher(broker)
    sink.write(None, result(0))
    sink.refresh(None, with_state(result(0), "reconnecting", "no answer"))
    heard.wait_for(lambda heard: heard.state() == "reconnecting")
    assert heard.retained[f"{PREFIX}/status"]["source"]["detail"] == "no answer"
    sink.close()


@needs_broker
def test_what_a_killed_broker_missed_arrives_when_it_is_back(
    broker: Broker, listen: Listen, caplog: pytest.LogCaptureFixture
) -> None:
    sink = publisher(broker)
    sink.write(None, result(0, [track(1)], {1: person()}))
    first = listen()
    first.wait_for(lambda heard: heard.state() == "live")
    first.close()
    broker.kill()
    visit(sink, 11)
    waiting = time.monotonic() + 20
    while "trying again" not in caplog.text and time.monotonic() < waiting:
        time.sleep(0.01)
    broker.start()
    back = listen()
    # It has forgotten what was retained: both are told anew.
    back.wait_for(lambda heard: len(heard.retained) == 2 and heard.state() == "live")
    sink.write(None, result(99, [track(21)], {21: person()}))
    back.wait_for(lambda heard: ("appeared", 21) in heard.events())
    sink.close()
    assert [r.getMessage().rpartition(": ")[2] for r in caplog.records][-1] == "works again"
    assert len(caplog.records) == 2


DIE = """
import sys
sys.path.insert(0, ".")
from tests.results import result
from outputs.mqtt import MqttPublisher
from people.crowd import Crowd
from people.records import Record, Recorder
sink = MqttPublisher(sys.argv[1], Recorder(Crowd()))
sink.write(None, result(0))
sys.stdin.read()
"""


@needs_broker
def test_the_broker_says_offline_for_a_program_that_was_killed(
    broker: Broker, listen: Listen
) -> None:
    heard = listen()
    command = [sys.executable, "-c", DIE, broker.address()]
    with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE) as child:
        heard.wait_for(lambda heard: heard.state() == "live")
        child.send_signal(signal.SIGKILL)
    heard.wait_for(lambda heard: heard.state() == "offline")
    assert heard.retained[f"{PREFIX}/status"]["utc"] is None


@needs_broker
def test_a_wrong_password_is_one_line_and_no_secret(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    sink = publisher(broker, "wr0ng")
    until = time.monotonic() + 20
    with pytest.raises(SinkError, match="check the user name and password") as caught:
        while time.monotonic() < until:
            sink.write(None, result(0))
            time.sleep(0.01)
    sink.close()
    shown = str(caught.value) + caplog.text + repr(sink) + sink.name
    assert "wr0ng" not in shown and "joe" not in shown
    assert "\n" not in str(caught.value)


@needs_broker
def test_a_password_may_come_from_elsewhere(broker: Broker, listen: Listen) -> None:
    heard = listen()
    address = f"mqtt://joe@127.0.0.1:{broker.port}/{PREFIX}/"
    sink = MqttPublisher(address, Recorder(Crowd()), password="s3cr@t:/")
    heard.wait_for(lambda heard: heard.state() == "online")
    sink.close()


@needs_broker
def test_cameras_have_topics_of_their_own(broker: Broker, listen: Listen) -> None:
    heard, sink = listen(), publisher(broker)
    for camera in ("door", "yard/+#"):
        sink.write(None, result(0, [track(1)], {1: person()}, camera=camera))
    heard.wait_for(lambda heard: heard.state("door") == heard.state("yard---") == "live")
    sink.close()
    cameras = ("", "door", "yard---")
    heard.wait_for(lambda heard: {heard.state(camera) for camera in cameras} == {"offline"})


@needs_broker
def test_anonymous_no_event_is_about_a_person(broker: Broker, listen: Listen) -> None:
    heard, sink = listen(), publisher(broker, anonymous=True)
    visit(sink)
    sink.close()
    heard.wait_for(lambda heard: heard.state() == "offline")
    assert {r["type"] for _, r in heard.heard} == {"source", "aggregate"}


def test_a_broker_that_is_not_there_delays_neither_the_loop_nor_the_end(
    caplog: pytest.LogCaptureFixture,
) -> None:
    address, limits = f"mqtt://127.0.0.1:{free_port()}", DeliveryLimits(depth=10)
    sink = MqttPublisher(address, Recorder(Crowd()), limits=limits)
    for i in range(50):
        visit(sink, 2 * i + 1)
    assert len(sink._outbox) == 10
    sink.close()
    lines = [r.getMessage() for r in caplog.records]
    assert sum("trying again" in line for line in lines) == 1
    assert sum("the oldest are dropped" in line for line in lines) == 1
    assert "101 events were not delivered" in lines[-1]


@needs_broker
def test_a_closed_sink_keeps_no_socket_open_until_garbage_is_collected(broker: Broker) -> None:
    gc.disable()
    try:
        before = len(list(Path("/proc/self/fd").iterdir()))
        sink = publisher(broker)
        visit(sink)
        sink.close()
        assert len(list(Path("/proc/self/fd").iterdir())) == before
    finally:
        gc.enable()


@pytest.mark.parametrize(
    "address",
    [
        "", "broker", "http://host", "mqtt://", "mqtt://joe:s3cret@", "mqtt://joe:s3cret@h:99999",
        "mqtt://joe:s3cret@foo..bar", "mqtt://joe:s3cret@host/\udcff",
    ],
)  # fmt: skip
def test_an_address_that_cannot_be_used_is_refused_without_being_told(address: str) -> None:
    with pytest.raises(SinkError, match="mqtt://user:password@host") as caught:
        MqttPublisher(address, Recorder(Crowd()))
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("prefix", ["faces/+", "#", "faces/#", "faces?"])
def test_a_prefix_with_wildcards_is_refused(prefix: str) -> None:
    with pytest.raises(SinkError, match="no \\+, # or \\?"):
        MqttPublisher(f"mqtt://joe:p+#?w@host/{prefix}", Recorder(Crowd()))


def test_a_missing_package_is_one_line_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "paho.mqtt.client", None)
    with pytest.raises(SinkError, match="pip install paho-mqtt"):
        MqttPublisher("mqtt://host", Recorder(Crowd()))
