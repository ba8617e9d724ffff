"""Home Assistant's own code, run by a Python that has it, in a process of its own.

    python home_assistant_core.py check    reads {topic: discovery message}, prints {topic: problem}
    python home_assistant_core.py PORT     shows what a broker holds: a line of JSON for each state

Only the core and the MQTT integration are started, with nothing in its configuration.
"""

import asyncio
import json
import logging
import sys
import tempfile
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import homeassistant.core as core  # first: its modules import one another
import voluptuous as vol
from homeassistant import const, loader
from homeassistant.components.mqtt import binary_sensor, sensor
from homeassistant.config_entries import ConfigEntries, ConfigEntry
from homeassistant.helpers import (
    area_registry,
    device_registry,
    entity,
    entity_registry,
    issue_registry,
    restore_state,
    translation,
)

_KINDS = {"sensor": sensor, "binary_sensor": binary_sensor}


def problem(kind: str, message: dict[str, Any]) -> str:
    """What is wrong with a discovery message; keys that are not known are left out silently."""
    try:
        kept = _KINDS[kind].DISCOVERY_SCHEMA(json.loads(json.dumps(message)))
    except vol.Invalid as error:
        return str(error)
    pairs = [(message, kept), *zip(message["availability"], kept["availability"], strict=True)]
    return ", ".join(sorted(key for asked, known in pairs for key in asked.keys() - known))


async def start(folder: Path) -> core.HomeAssistant:
    """A Home Assistant without pages and without any integration."""
    (folder / "configuration.yaml").touch()
    home = core.HomeAssistant(str(folder))
    home.config.config_dir = str(folder)
    loader.async_setup(home)
    home.config_entries = ConfigEntries(home, {})
    await home.config_entries.async_initialize()
    for registry in (area_registry, device_registry, entity_registry, issue_registry):
        await registry.async_load(home)
    await restore_state.async_load(home)
    entity.async_setup(home)
    translation.async_setup(home)
    home.http = MagicMock()  # asked for by kinds of entities that have pictures
    home.config.components.update(("http", "file_upload"))
    return home


async def show(port: int) -> None:
    """Print each state of each entity, until killed."""

    def tell(event: core.Event) -> None:
        entity_id, state = event.data["entity_id"], event.data["new_state"]
        if found := entities.async_get(entity_id):
            ids[entity_id] = found.unique_id
        if entity_id in ids:
            told = {"state": state.state, **state.attributes} if state else {"state": None}
            head = {"id": ids[entity_id], "entity_id": entity_id}
            print(json.dumps(head | told, default=str), flush=True)

    ids: dict[str, str] = {}  # unique ones, also of entities that are gone
    data = {"broker": "127.0.0.1", "port": port, "username": "joe", "password": "s3cr@t:/"}
    broker = ConfigEntry(
        version=1, minor_version=1, domain="mqtt", title="", data=data, source="user"
    )
    with tempfile.TemporaryDirectory() as folder:
        home = await start(Path(folder))
        entities = entity_registry.async_get(home)
        home.bus.async_listen(const.EVENT_STATE_CHANGED, core.callback(tell))
        home.config_entries._entries[broker.entry_id] = broker
        await broker.async_setup(home)
        await asyncio.Event().wait()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING)
    if sys.argv[1] == "check":
        messages = json.load(sys.stdin)
        print(json.dumps({t: problem(t.split("/")[1], m) for t, m in messages.items()}))
    else:
        asyncio.run(show(int(sys.argv[1])))
