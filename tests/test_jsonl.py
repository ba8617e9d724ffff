import json
import signal
import subprocess
import sys
from collections.abc import Callable, Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from errors import SinkError
from outputs import Sink
from outputs.jsonl import EventsWriter
from people.crowd import Crowd
from people.records import Record, Recorder, to_json
from people.table import PeopleWriter
from structures import ATTRIBUTES, ETHNICITIES
from tests.results import person, result, rows, track, write_all

ROOT = Path(__file__).resolve().parent.parent
RUN = "0123456789abcdef"
SHARES = np.array([0.1, 0.05, 0.71, 0.1, 0.04], np.float32)


def events_writer(path: str | Path, attributes: Collection[str] = ATTRIBUTES) -> EventsWriter:
    return EventsWriter(path, Recorder(Crowd(attributes), RUN))


def people_writer(path: str | Path) -> PeopleWriter:
    return PeopleWriter(path, Crowd())


def records_of(path: Path, kind: str = "frame") -> list[Record]:
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [record for record in records if record["type"] == kind]


def test_every_frame_becomes_one_line_that_says_what_the_result_said(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    first = result(0)
    second = result(7, [track(3), track(4, misses=2)], {3: person(shares=SHARES)}, epoch=1)
    write_all(events_writer(path), [first, second])
    empty, full = records_of(path)
    written = datetime.fromisoformat(empty.pop("utc"))
    assert abs(datetime.now(UTC) - written) < timedelta(minutes=5)
    assert empty == {
        "schema": 2, "type": "frame", "run": RUN, "camera": "", "index": 0, "time_s": 0.0,
        "epoch": 0, "latency_ms": None, "fps": 24.9, "dropped": 3, "load": "", "tracks": [],
        "source": {"state": "live", "detail": "", "reconnects": 0},
    }  # fmt: skip
    assert (full["index"], full["time_s"], full["epoch"]) == (7, 0.28, 1)
    seen, coasting = full["tracks"]
    assert seen["box"] == [10.2, 20.0, 80.5, 101.0]
    assert (seen["id"], seen["detected"], seen["gender"]) == (3, True, "female")
    assert seen["age_years"] == 34.25 and seen["age_uncertainty_years"] == 3.9
    assert seen["female_prob"] == 0.93 and seen["samples"] == 12
    assert list(seen["ethnicity"]) == list(ETHNICITIES)
    assert seen["ethnicity"]["Asian"] == pytest.approx(0.71, abs=1e-4)
    assert (coasting["id"], coasting["detected"], coasting["samples"]) == (4, False, 0)
    assert coasting["age_years"] is None and coasting["gender"] is None
    assert "ethnicity" not in coasting


def test_lines_stay_valid_json_when_a_number_is_not_finite() -> None:
    broken = result(0, [track(1, box=(np.nan, 0, np.inf, 5))], {1: person(age=float("nan"))})
    text = to_json(Recorder(Crowd(), RUN).frame(broken))
    assert json.loads(text)["tracks"][0]["box"] == [None, 0.0, None, 5.0]
    assert json.loads(text)["tracks"][0]["age_years"] is None


def test_a_dash_means_standard_output(capsys: pytest.CaptureFixture[str]) -> None:
    sink = events_writer("-")
    write_all(sink, [result(0), result(1)])
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["index"] for line in lines if line["type"] == "frame"] == [0, 1]
    print("still open")
    assert capsys.readouterr().out == "still open\n"


def test_a_standard_output_that_is_closed_is_a_sink_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdout", None)  # what Python makes of `>&-`
    with pytest.raises(SinkError, match=r"standard output is closed; .* name a file"):
        events_writer("-")


def run_child(code: str, *args: str, **kwargs: Any) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", code, *args],
        cwd=ROOT,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        **kwargs,
    )


WRITE_AND_WAIT = """
import sys
sys.path.insert(0, "tests")
from test_jsonl import events_writer, people_writer, person, result, track
events, people = events_writer(sys.argv[1]), people_writer(sys.argv[2])
for i in range(5):
    events.write(None, result(i, [track(1)]))
    people.write(None, result(i, [track(1)], {1: person()}))
print("written", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_leaves_all_its_lines_and_a_sound_table(tmp_path: Path) -> None:
    events, table = tmp_path / "events.jsonl", tmp_path / "people.csv"
    with run_child(WRITE_AND_WAIT, str(events), str(table), stdin=subprocess.PIPE) as child:
        assert child.stdout and child.stdout.readline() == "written\n"
        child.send_signal(signal.SIGKILL)
    assert [record["index"] for record in records_of(events)] == list(range(5))
    assert [row["id"] for row in rows(table)] == ["1"]


BROKEN_PIPE = """
import os, sys
sys.path.insert(0, "tests")
from test_jsonl import SinkError, events_writer, result
sink = events_writer("-")
sys.stdin.read()
try:
    for i in range(10000):
        sink.write(None, result(i))
except SinkError as error:
    sys.stderr.write(str(error))
"""


def test_a_reader_that_goes_away_is_one_sink_error_and_no_noise_at_exit() -> None:
    child = run_child(BROKEN_PIPE, stdin=subprocess.PIPE)
    assert child.stdout and child.stdin and child.stderr
    child.stdout.close()
    child.stdin.close()
    message = child.stderr.read()
    child.stderr.close()
    assert child.wait() == 0
    assert message == "standard output: cannot be written: Broken pipe"


@pytest.mark.parametrize("writer", [events_writer, people_writer])
def test_a_place_that_cannot_be_written_is_refused_before_the_first_frame(
    writer: Callable[[str | Path], Sink], tmp_path: Path
) -> None:
    with pytest.raises(SinkError, match="is a folder"):
        writer(tmp_path)
    with pytest.raises(SinkError, match="there is no folder"):
        writer(tmp_path / "missing" / "out")
    with pytest.raises(SinkError, match="cannot be written"):
        writer(tmp_path / ("x" * 300))
    with pytest.raises(SinkError, match=r"rtsp://\*\*\*@host/out") as caught:
        writer("rtsp://me:secret@host/out")
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize("writer", [events_writer, people_writer])
def test_without_frames_an_existing_file_is_left_alone_and_none_is_made(
    writer: Callable[[str | Path], Sink], tmp_path: Path
) -> None:
    old = tmp_path / "old"
    old.write_text("precious")
    for path in (old, tmp_path / "new"):
        sink = writer(path)
        sink.close()
        sink.close()
        assert sink.closed
    assert old.read_text() == "precious"
    assert [p.name for p in tmp_path.iterdir()] == ["old"]


@pytest.mark.parametrize("writer", [events_writer, people_writer])
def test_a_full_disk_is_a_sink_error_once(writer: Callable[[str | Path], Sink]) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    sink = writer(full)
    with pytest.raises(SinkError, match="/dev/full: cannot be written"):
        sink.write(None, result(0, [track(1)]))
    sink.close()


def test_what_was_not_asked_for_is_in_no_file(tmp_path: Path) -> None:
    events, people = tmp_path / "events.jsonl", tmp_path / "people.csv"
    one = result(0, [track(1)], {1: person(shares=SHARES)})
    write_all(events_writer(events, ["age"]), [one])
    write_all(PeopleWriter(people, Crowd(["age"])), [one])
    assert "age_years" in events.read_text() and "age_years" in people.read_text()
    for word in ("female", "Asian", "ethnicity", "gender"):
        assert word not in events.read_text()
        assert word not in people.read_text()
