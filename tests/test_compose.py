"""The files of deploy/ for containers name what there is."""

import json
import re
import time
from pathlib import Path
from typing import Any

import pytest
import yaml

import stream
from outputs.keeping import Storage
from tests.web_parts import ask, person, result, served, write

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"


def loaded(name: str) -> Any:
    """A YAML file of the folder."""
    return yaml.safe_load((DEPLOY / name).read_text("utf-8"))


def test_the_dashboard_asks_for_metrics_and_labels_that_exist() -> None:
    panels = json.loads((DEPLOY / "grafana/dashboards/faces.json").read_text())["panels"]
    one = {"events": 1}
    with served(storage=lambda: Storage(one, one, one, {"events": True})) as view:
        write(view, result(0, {1: person()}, arrived_s=time.monotonic()))
        text = ask(view, "metrics")[2]
    labels = {name: set[str]() for name in re.findall(r"^(faces_\w+)[ {]", text, re.M)}
    for name, inside in re.findall(r"^(faces_\w+)\{(.+)\} ", text, re.M):
        labels[name] |= set(re.findall(r'(\w+)="', inside))
    targets = [target for panel in panels for target in panel["targets"]]
    assert targets
    for target in targets:
        asked = re.findall(r"\bfaces_\w+", target["expr"])
        assert asked
        assert set(asked) <= set(labels), target
        used = re.findall(r'(\w+)=~?"', target["expr"])
        used += re.findall(r"by \((\w+)\)", target["expr"])
        used += re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])
        assert set(used) <= set.union(*(labels[name] for name in asked)), target
    places = [panel["gridPos"] for panel in panels]
    assert all(place["x"] + place["w"] <= 24 for place in places)


def test_compose_starts_the_program_with_flags_that_it_knows(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    services = loaded("compose.yaml")["services"]
    monkeypatch.setenv("FACES_SOURCE", "rtsp://door/stream")
    options = stream.parse_arguments(services["faces"]["command"])
    assert [camera.address for camera in options.cameras] == ["rtsp://door/stream"]
    assert options.mqtt == "mqtt://broker/faces"
    assert "broker" in services


def test_every_file_that_compose_mounts_is_there() -> None:
    compose = loaded("compose.yaml")
    mounted = [v for service in compose["services"].values() for v in service.get("volumes", ())]
    paths = [v.partition(":")[0] for v in mounted]
    own = [p for p in paths if p.startswith("./")]
    assert own
    assert [p for p in own if not (DEPLOY / p).exists()] == []
    assert {p for p in paths if not p.startswith(".")} == set(compose["volumes"])


def test_prometheus_asks_the_program_with_the_token_and_grafana_asks_prometheus() -> None:
    (job,) = loaded("prometheus.yml")["scrape_configs"]
    compose = loaded("compose.yaml")
    (target,) = job["static_configs"][0]["targets"]
    assert target.partition(":")[0] in compose["services"]
    (secret,) = compose["services"]["prometheus"]["secrets"]
    assert job["authorization"]["credentials_file"] == f"/run/secrets/{secret['target']}"
    (source,) = loaded("grafana/provisioning/datasources/prometheus.yaml")["datasources"]
    panels = json.loads((DEPLOY / "grafana/dashboards/faces.json").read_text())["panels"]
    assert {panel["datasource"]["uid"] for panel in panels} == {source["uid"]}
