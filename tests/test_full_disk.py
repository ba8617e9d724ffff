"""A disk without room: one warning, nothing in part, and on again when there is room."""

import csv
import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from errors import SinkError
from files import Outage
from outputs.jsonl import EventsWriter
from outputs.recording.sink import Recording
from people.crowd import Crowd
from people.records import Recorder
from people.table import PeopleWriter
from structures import FrameResult
from tests.fakes import ListSource, film
from tests.results import person, result, track
from tests.test_stream import reading, run_main

resource = pytest.importorskip("resource")
ROOM = 3000  # bytes


@contextmanager
def full_disk(room: int = ROOM) -> Iterator[None]:
    """No file grows beyond `room` bytes."""
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, limits[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)


@pytest.mark.parametrize("live", [False, True])
def test_events_leave_whole_records_out_until_there_is_room(
    live: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "e.jsonl"
    sink = EventsWriter(path, Recorder(Crowd()), live)
    with full_disk():
        for i in range(50):
            sink.write(None, result(i))
    assert 0 < path.stat().st_size <= ROOM
    sink.write(None, result(50))
    sink.close()
    records = [json.loads(line) for line in path.read_text().splitlines()]
    frames = [record["index"] for record in records if record["type"] == "frame"]
    assert frames[:5] == [0, 1, 2, 3, 4] and frames[-1] == 50 and len(frames) < 50
    assert caplog.text.count("File too large; records are left out until there is room") == 1
    assert caplog.text.count("records were left out") == 1
    assert sink.failed


def test_the_table_waits_for_room_and_then_has_everybody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "p.csv"
    sink = PeopleWriter(path, Crowd(), refresh_s=0.0)
    with full_disk(600):
        for i in range(20):  # a new person every minute
            sink.write(None, result(i, [track(i + 1)], {i + 1: person()}, time_s=60.0 * i))
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert rows and all(row["gender"] for row in rows), "a row is there in part"
    sink.close()
    rows = list(csv.DictReader(path.read_text().splitlines()))
    assert [row["id"] for row in rows] == [str(i + 1) for i in range(20)]
    assert caplog.text.count("the table waits until there is room") == 1


def test_a_full_disk_costs_the_exit_code_and_nothing_else(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], caplog: pytest.LogCaptureFixture
) -> None:
    outputs = ["--events", str(tmp_path / "e.jsonl"), "--people", str(tmp_path / "p.csv")]
    with full_disk(50):
        source = reading(ListSource(film(40)))
        assert run_main("--no-window", *outputs, factories=source) == 2
    assert "1 person in 2 s" in capsys.readouterr().err
    assert caplog.text.count("File too large") == 2


def test_a_full_disk_is_told_of_once_a_day(caplog: pytest.LogCaptureFixture) -> None:
    now_s = 0.0
    outage = Outage("so be it", clock=lambda: now_s)
    for _ in range(7 * 24):  # every hour of a week
        outage.note(SinkError("no room"))
        now_s += 3600.0
    assert caplog.messages == ["no room; so be it"] * 7


def test_a_recording_without_room_for_a_byte_leaves_no_file(tmp_path: Path) -> None:
    sink = Recording(tmp_path / "o.mp4", fps=25.0)
    with full_disk(0):
        for frame in film(10):
            sink.write(np.array(frame.image), FrameResult(frame))
        sink.close()
    assert sink.failed
    assert list(tmp_path.iterdir()) == []
