"""Announces what is published over MQTT to Home Assistant, which then shows it by itself.

Each camera becomes a device. Source: Home Assistant, "MQTT", sections "MQTT Discovery",
"MQTT sensor" and "MQTT binary sensor".
"""

import hashlib
import json
import re
from collections.abc import Set
from typing import Any, NamedTuple

from errors import SinkError
from people.zones import NOTHING, Layout
from structures import SourceState
from version import VERSION

PREFIX = "homeassistant"  # where Home Assistant looks unless it is told otherwise

_STATES = [*SourceState, "online", "offline"]
_TROUBLE = [SourceState.STALLED, SourceState.RECONNECTING, SourceState.FAILED]
_RUNS = "{{ 'offline' if value_json.source.state == 'offline' else 'online' }}"
# A camera has states of its own once it is among those of the run.
_TAKES_PART = "{{ 'offline' if value_json.source.state in ['offline', 'online'] else 'online' }}"


class _Number(NamedTuple):
    """A sensor of people."""

    name: str  # its object id
    title: str
    icon: str
    unit: str
    state_class: str  # how Home Assistant keeps statistics of it
    value: str  # how it is read from an aggregate record
    needs: frozenset[str] = frozenset()  # what must be reported


def _of_gender(gender: str) -> tuple[_Number, _Number]:
    """The sensors of those perceived as of one gender."""
    icon, needs = f"mdi:gender-{gender}", frozenset({"gender"})
    own = f"value_json.groups | selectattr('gender', 'eq', '{gender}')"
    left = f"{own} | map(attribute='people') | sum"
    mean = f"value_json.age_years_by_gender.{gender}"
    return (
        _Number(
            gender, f"{gender.capitalize()}, left today", icon, "people", "total_increasing",
            left, needs,
        ),
        _Number(
            f"mean_age_{gender}", f"Mean age today, {gender}", icon, "years", "measurement",
            mean, needs | {"age"},
        ),
    )  # fmt: skip


_NUMBERS = (
    _Number(
        "people_now", "People now", "mdi:account-group", "people", "measurement",
        "value_json.now",
    ),
    _Number(
        "entered_today", "Entered today", "mdi:login", "people", "total_increasing",
        "value_json.entered",
    ),
    _Number(
        "dwell", "Time in view", "mdi:timer-outline", "s", "measurement",
        "value_json.dwell_s",
    ),
    _Number(
        "mean_age", "Mean age today", "mdi:cake-variant", "years", "measurement",
        "value_json.age_years", frozenset({"age"}),
    ),
    _Number(
        "attraction", "Looked this way", "mdi:eye-outline", "%", "measurement",
        "(100 * value_json.attention.ratio) | round "
        "if value_json.attention.ratio is not none else none", frozenset({"attention"}),
    ),
    *_of_gender("female"),
    *_of_gender("male"),
)  # fmt: skip


def check_prefix(prefix: str) -> None:
    """Raise SinkError unless `prefix` can begin a topic of Home Assistant's."""
    if not re.fullmatch(r"[\w-]+(/[\w-]+)*", prefix):
        raise SinkError(
            f"--home-assistant {prefix}: want its discovery prefix, of letters, digits, - and _; "
            f"usually {PREFIX}"
        )


def announcements(
    prefix: str,
    topic: str,
    camera: str,
    attributes: Any,
    attention: bool = False,
    layout: Layout = NOTHING,
) -> dict[str, str]:
    """The retained messages that make a device of one camera.

    Args:
        prefix: Home Assistant's discovery prefix.
        topic: the prefix of what is published.
        camera: name of the camera; empty where there is only one.
        attributes: out of `structures.ATTRIBUTES`, what is reported of people.
        attention: whether it is reported who looked this way.
        layout: the lines and zones of the camera.

    Returns:
        Topic -> JSON, or nothing where an earlier run may have announced what is no longer
        reported. The ids in it depend on `topic` and `camera` only, so that a restart changes
        none.
    """
    of_camera = "/".join(filter(None, (topic, re.sub(r"[+#/\x00]", "-", camera))))
    identity = "faces_" + hashlib.sha256(of_camera.encode()).hexdigest()[:12]
    available = [{"topic": f"{of_camera}/status", "value_template": _TAKES_PART}]
    if of_camera != topic:
        available.append({"topic": f"{topic}/status", "value_template": _RUNS})
    shared = {
        "availability": available,
        "availability_mode": "all",
        "device": {
            "identifiers": [identity],
            "name": f"Faces {camera}".strip(),
            "manufacturer": "faces",
            "model": "Apparent age and perceived gender, live",
            "sw_version": VERSION,
        },
        "origin": {"name": "faces", "sw_version": VERSION},
    }
    messages = {}
    reported = {*attributes, *(("attention",) if attention else ())}
    for kind, name, config in [*_numbers(of_camera, reported, layout), *_health(of_camera)]:
        whole = config | shared | {"unique_id": f"{identity}_{name}"}
        text = json.dumps(whole, separators=(",", ":")) if config else ""
        messages[f"{prefix}/{kind}/{identity}/{name}/config"] = text
    return messages


def _numbers(
    topic: str, reported: Set[str], layout: Layout
) -> list[tuple[str, str, dict[str, Any]]]:
    """The sensors of people: kind, object id and configuration; empty if not reported."""
    found = []
    for number in (*_NUMBERS, *_passages(layout)):
        config = {
            "name": number.title,
            "icon": number.icon,
            "state_topic": f"{topic}/people",
            "value_template": f"{{{{ {number.value} }}}}",
            "unit_of_measurement": number.unit,
            "state_class": number.state_class,
            **({"device_class": "duration"} if number.unit == "s" else {}),
        }
        found.append(("sensor", number.name, config if number.needs <= reported else {}))
    return found


def _passages(layout: Layout) -> list[_Number]:
    """The sensors of what is counted at lines and in zones."""
    found = []
    for line in layout.lines:
        for what, icon in (("in", "mdi:location-enter"), ("out", "mdi:location-exit")):
            name, title = f"{_id_of(f'line_{line.name}')}_{what}", f"{line.name}, {what} today"
            value = f"value_json.lines['{line.name}']['{what}']"
            found.append(_Number(name, title, icon, "people", "total_increasing", value))
    for zone in layout.zones:
        own = f"value_json.zones['{zone.name}']"
        for number in _NUMBERS[:3]:  # now, entered, time
            found.append(
                number._replace(
                    name=f"{_id_of(f'zone_{zone.name}')}_{number.name}",
                    title=f"{zone.name}, {number.title.lower().replace('in view', 'inside')}",
                    value=number.value.replace("value_json", own),
                )
            )
    return found


def _id_of(name: str) -> str:
    """A name as an object id may be: letters other than a to z become a hash."""
    if name.isascii():
        return name
    return f"{name.partition('_')[0]}_{hashlib.sha256(name.encode()).hexdigest()[:12]}"


def _health(topic: str) -> list[tuple[str, str, dict[str, Any]]]:
    """The sensors of the camera itself, likewise."""
    status = f"{topic}/status"
    listed = ", ".join(f"'{state}'" for state in _TROUBLE)
    is_trouble = f"{{{{ 'ON' if value_json.source.state in [{listed}] else 'OFF' }}}}"
    return [
        (
            "sensor",
            "state",
            {
                "name": "State",
                "icon": "mdi:cctv",
                "state_topic": status,
                "value_template": "{{ value_json.source.state }}",
                "device_class": "enum",
                "options": _STATES,
                "entity_category": "diagnostic",
            },
        ),
        (
            "binary_sensor",
            "problem",
            {
                "name": "Problem",
                "state_topic": status,
                "value_template": is_trouble,
                "json_attributes_topic": status,
                "json_attributes_template": "{{ {'detail': value_json.source.detail} | tojson }}",
                "device_class": "problem",
                "entity_category": "diagnostic",
            },
        ),
    ]
