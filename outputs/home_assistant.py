"""Announces what is published over MQTT to Home Assistant, which then shows it by itself.

Each camera becomes a device. Source: Home Assistant, "MQTT", sections "MQTT Discovery",
"MQTT sensor" and "MQTT binary sensor".
"""

import hashlib
import json
import re
from typing import Any

from errors import SinkError
from structures import SourceState
from version import VERSION

PREFIX = "homeassistant"  # where Home Assistant looks unless it is told otherwise

_STATES = [*SourceState, "online", "offline"]
_TROUBLE = [SourceState.STALLED, SourceState.RECONNECTING, SourceState.FAILED]
_ONLINE = "{{ 'offline' if value_json.source.state == 'offline' else 'online' }}"

# Object id, name, icon, unit, class of statistics, and where the value stands.
_NUMBERS = (
    ("people_now", "People now", "mdi:account-group", "people", "measurement", "now"),
    ("entered_today", "Entered today", "mdi:login", "people", "total_increasing", "entered"),
    ("dwell", "Time in view", "mdi:timer-outline", "s", "measurement", "dwell_s"),
)


def check_prefix(prefix: str) -> None:
    """Raise SinkError unless `prefix` can begin a topic of Home Assistant's."""
    if not re.fullmatch(r"[\w-]+(/[\w-]+)*", prefix):
        raise SinkError(
            f"--home-assistant {prefix}: want its discovery prefix, of letters, digits, - and _; "
            f"usually {PREFIX}"
        )


def announcements(
    prefix: str, topic: str, camera: str, attributes: Any, attention: bool = False
) -> dict[str, str]:
    """The retained messages that make a device of one camera.

    Args:
        prefix: Home Assistant's discovery prefix.
        topic: the prefix of what is published.
        camera: name of the camera; empty where there is only one.
        attributes: out of `structures.ATTRIBUTES`, what is reported of people.
        attention: whether it is reported who looked this way.

    Returns:
        Topic -> JSON. The ids in it depend on `topic` and `camera` only, so that a restart
        changes none.
    """
    of_camera = "/".join(filter(None, (topic, re.sub(r"[+#/\x00]", "-", camera))))
    identity = "faces_" + hashlib.sha256(of_camera.encode()).hexdigest()[:12]
    shared = {
        "availability": [{"topic": f"{topic}/status", "value_template": _ONLINE}],
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
    numbers = [*_numbers(of_camera, attributes), *(_looks(of_camera) if attention else [])]
    for kind, name, config in [*numbers, *_health(of_camera)]:
        unique = {"unique_id": f"{identity}_{name}", "object_id": f"{identity}_{name}"}
        text = json.dumps(config | unique | shared, separators=(",", ":"))
        messages[f"{prefix}/{kind}/{identity}/{name}/config"] = text
    return messages


def _numbers(topic: str, attributes: Any) -> list[tuple[str, str, dict[str, Any]]]:
    """The sensors of people: kind, object id and configuration of each."""
    found = []
    for name, title, icon, unit, state_class, field in _NUMBERS:
        template = f"{{{{ value_json.{field} }}}}"
        found.append((name, title, icon, unit, state_class, template))
    if "gender" in attributes:
        for gender, icon in (("female", "mdi:gender-female"), ("male", "mdi:gender-male")):
            template = (
                f"{{{{ value_json.groups | selectattr('gender', 'eq', '{gender}') "
                "| map(attribute='people') | sum }}"
            )
            title = f"{gender.capitalize()}, left today"
            found.append((gender, title, icon, "people", "total_increasing", template))
    return [
        (
            "sensor",
            name,
            {
                "name": title,
                "icon": icon,
                "state_topic": f"{topic}/people",
                "value_template": template,
                "unit_of_measurement": unit,
                "state_class": state_class,
            },
        )
        for name, title, icon, unit, state_class, template in found
    ]


def _looks(topic: str) -> list[tuple[str, str, dict[str, Any]]]:
    """The sensor of the attraction ratio, likewise; unknown until somebody has left."""
    config = {
        "name": "Looked this way",
        "icon": "mdi:eye-outline",
        "state_topic": f"{topic}/people",
        "value_template": "{{ (100 * value_json.attention.ratio) | round "
        "if value_json.attention.ratio is not none else none }}",
        "unit_of_measurement": "%",
        "state_class": "measurement",
    }
    return [("sensor", "attraction", config)]


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
