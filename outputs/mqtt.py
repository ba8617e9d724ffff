"""The sink that publishes records to an MQTT broker.

    PREFIX/status    retained: the last source record; the broker's own "offline" for a dead program
    PREFIX/people    retained: the last aggregate record, whenever its numbers change
    PREFIX/events    person and source records, one after the other

Where there are several cameras, each has these three under PREFIX/CAMERA. Home Assistant can be
told of them, see `home_assistant`.
"""

import logging
import re
import ssl
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from errors import SinkError
from outputs.delivery import (
    LIMITS,
    DeliveryLimits,
    RecordSink,
    Trouble,
    reason_of,
    split_address,
    user_and_password,
)
from outputs.home_assistant import announcements, check_prefix
from people.records import Record, Recorder, to_json
from people.zones import Layout
from threads import Outbox, waits_s

if TYPE_CHECKING:
    from paho.mqtt.client import Client, MQTTMessageInfo
    from paho.mqtt.reasoncodes import ReasonCode

log = logging.getLogger(__name__)

_IN_FLIGHT = 20  # events sent and not yet acknowledged
_KEEPALIVE_S = 15  # a broker that is silent for 1.5 times as long is gone
_POLL_S = 0.1  # the longest that a new record waits to be sent
# What `ReasonCode` says of CONNACK codes 4 and 5, and of version 5's.
_REFUSALS = frozenset({"Bad user name or password", "Not authorized", "Banned"})


class _Event(NamedTuple):
    topic: str
    payload: str


class MqttPublisher(RecordSink):
    """A sink that publishes person, source and aggregate records, not one per frame.

    All traffic runs in a thread of its own: the frame loop never waits. While the broker
    cannot be reached up to 1,000 events wait, and then the oldest are dropped, which
    is counted and logged; the retained topics are published anew after each connection.

    Args:
        address: mqtt:// or mqtts://[user:password@]host[:port][/topic/prefix].
        recorder: makes the records.
        qos: 0, 1 or 2.
        password: where the address names a user without one.
        discovery: prefix of Home Assistant's discovery, to which each camera is announced;
            empty = it is not.
        limits: how long to wait for what, and how many records may wait.

    Raises:
        SinkError: the address cannot be used, or paho-mqtt is not installed. A user name or
            password that the broker refuses at first is raised by a later `write`.
    """

    def __init__(
        self,
        address: str,
        recorder: Recorder,
        qos: int = 1,
        password: str = "",
        discovery: str = "",
        limits: DeliveryLimits = LIMITS,
    ) -> None:
        super().__init__(recorder)
        if discovery:
            check_prefix(discovery)
        self._discovery = discovery
        example = "mqtt://user:password@host:1883/topic/prefix"
        parts = split_address(address, ("mqtt", "mqtts"), "MQTT", example)
        self._prefix = parts.path.strip("/") or "faces"
        if set(address.rpartition("@")[2]) & set("+#?"):  # a URL's fragment begins with #
            raise SinkError("MQTT: a topic prefix holds no +, # or ?; choose another one")
        self._secure = parts.scheme == "mqtts"
        self._host, self._port = parts.hostname or "", parts.port or (1883, 8883)[self._secure]
        self.name = f"{parts.scheme}://{self._host}:{self._port}"
        self._qos, self._limits = qos, limits
        user, own_password = user_and_password(parts)
        self._client = self._make_client(user, own_password or password or None)
        # What the retained topics should say; replaced, never changed, for the thread's sake.
        self._states = {f"{self._prefix}/status": to_json(recorder.program("online"))}
        self._numbers: dict[str, Record] = {}
        self._announced: dict[str, str] = {}  # retained, too
        self._known: dict[str, Layout] = {}  # cameras that were announced, with what they have
        self._answer: ReasonCode | None = None
        self._waiting: list[MQTTMessageInfo] = []  # sent and not yet acknowledged
        self._trouble = Trouble(self.name)
        self._outbox: Outbox[_Event] = Outbox(self._serve, limits.depth, f"MQTT {self.name}")

    def _make_client(self, user: str | None, password: str | None) -> "Client":
        try:
            from paho.mqtt.client import Client
            from paho.mqtt.enums import CallbackAPIVersion
        except ImportError:
            raise SinkError("MQTT needs a package: pip install paho-mqtt") from None
        client = Client(CallbackAPIVersion.VERSION2, client_id=f"faces-{self._recorder.run}")
        if user is not None:
            client.username_pw_set(user, password)
        if self._secure:
            client.tls_set_context(ssl.create_default_context())
        # Left with the broker for when the program dies, at an unknown time.
        will = to_json(self._recorder.program("offline") | {"utc": None})
        client.on_connect = self._note_answer
        client.connect_timeout = self._limits.close_s
        client.will_set(f"{self._prefix}/status", will, self._qos, retain=True)
        return client

    def _take(self, records: Sequence[Record], camera: str | None) -> None:
        """Queue the events, and replace the retained records that have changed."""
        events = []
        for record in records:
            self._announce(record["camera"])
            topic = self._topic(record["camera"], "events")
            if record["type"] == "source":
                self._retain(record, "status")
            if record["type"] == "aggregate":
                self._retain_numbers(record)
            else:
                events.append(_Event(topic, to_json(record)))
        self._outbox.put(events)
        if camera is not None:
            self._announce(camera)
            self._retain_numbers(self._recorder.aggregate(camera))

    def _announce(self, camera: str) -> None:
        """Tell Home Assistant of a camera, once, and again of new lines and zones."""
        crowd = self._recorder.crowd
        if self._discovery and self._known.get(camera) != crowd.layout(camera):
            before, self._known[camera] = self._known.get(camera), crowd.layout(camera)
            device = self._discovery, self._prefix, camera, crowd.attributes, crowd.attention
            found = announcements(*device, self._known[camera])
            if before is not None:  # nothing, retained, takes an entity back
                found = dict.fromkeys(announcements(*device, before), "") | found
            self._announced = self._announced | found

    def _finish(self) -> None:
        """Send what is left, for some seconds, with the state offline at the end."""
        offline = to_json(self._recorder.program("offline"))
        people = {t: text for t, text in self._states.items() if t.endswith("/people")}
        # These are published in order, so offline comes last.
        self._states = people | dict.fromkeys(self._states.keys() - people, offline)
        if self._outbox.close(self._limits.close_s):
            del self._client  # which closes its sockets, now and not some day
        if missing := self._outbox.dropped + len(self._outbox) + len(self._waiting):
            log.warning("%s: %d events were not delivered", self.name, missing)

    def _retain_numbers(self, record: Record) -> None:
        """Retain an aggregate record where more than its time has changed."""
        numbers = record | {"utc": None}
        if numbers != self._numbers.get(record["camera"]):
            self._numbers[record["camera"]] = numbers
            self._retain(record, "people")

    def _retain(self, record: Record, leaf: str) -> None:
        self._states = self._states | {self._topic(record["camera"], leaf): to_json(record)}

    def _topic(self, camera: str, leaf: str) -> str:
        level = re.sub(r"[+#/\x00]", "-", camera)
        return "/".join(part for part in (self._prefix, level, leaf) if part)

    def _serve(self, outbox: Outbox[_Event]) -> None:
        """Connect and publish, again and again until closed; runs in the outbox's thread.

        Raises:
            SinkError: the broker refuses the user at the first connection.
        """
        waits, was_connected = waits_s(self._limits.first_wait_s), False
        while True:
            last = outbox.closing  # one more try, but no more waiting
            problem = self._connect()
            if not problem:
                was_connected = True
                waits = waits_s(self._limits.first_wait_s)
                self._trouble.ends()
                problem = self._converse(outbox)
                if not problem:
                    return
            elif problem in _REFUSALS and not was_connected:
                raise SinkError(f"{self.name}: {problem}; check the user name and password")
            self._trouble.begins(f"{problem}; trying again")
            if last:
                return
            outbox.pause(next(waits))

    def _connect(self) -> str:
        """Connect; returns what went wrong, or nothing."""
        self._answer = None
        try:
            self._client.connect(self._host, self._port, _KEEPALIVE_S)
        except (OSError, ValueError) as error:
            return reason_of(error)
        until = time.monotonic() + self._limits.answer_s
        while self._answer is None and time.monotonic() < until:
            if self._client.loop(_POLL_S):
                break
        if self._answer is None:
            return "no answer in time"
        return str(self._answer) if self._answer.is_failure else ""

    def _converse(self, outbox: Outbox[_Event]) -> str:
        """Publish until all is said after closing; returns what went wrong, or nothing."""
        said: dict[str, str] = {}
        while True:
            closing = outbox.closing  # before the states: the last ones are set before it
            for event in outbox.take(max(_IN_FLIGHT - len(self._waiting), 0), 0.0):
                self._send(event)
            if not (closing and len(outbox)):  # offline comes last
                for topic, payload in (self._announced | self._states).items():
                    if said.get(topic) != payload:
                        self._send(_Event(topic, payload), retain=True)
                        said[topic] = payload
            if closing and not self._waiting and not len(outbox):
                self._client.disconnect()
                return ""
            if self._client.loop(_POLL_S):
                return "the connection broke off"
            self._waiting = [info for info in self._waiting if not _is_over(info)]

    def _send(self, event: _Event, retain: bool = False) -> None:
        """Publish; what the connection loses is sent again by the client, if QoS says so."""
        info = self._client.publish(event.topic, event.payload, self._qos, retain)
        if not _is_over(info):
            self._waiting.append(info)

    def _note_answer(
        self, _client: "Client", _data: Any, _flags: Any, code: "ReasonCode", *_: Any
    ) -> None:
        self._answer = code


def _is_over(info: "MQTTMessageInfo") -> bool:
    """Whether a message needs no more waiting for: acknowledged, or failed."""
    return info.rc != 0 or info.is_published()
