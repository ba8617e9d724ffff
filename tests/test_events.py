import csv
import io
import json
import signal
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from errors import SinkError
from outputs.jsonl import EventsWriter
from people import table as people
from people.records import Recorder, to_json
from people.table import PeopleWriter, columns
from structures import ATTRIBUTES, ETHNICITIES, Gender
from tests.results import person, result, track

ROOT = Path(__file__).resolve().parent.parent
RUN = "0123456789abcdef"
SHARES = np.array([0.1, 0.05, 0.71, 0.1, 0.04], np.float32)


def recorder(attributes=ATTRIBUTES, **options):
    return Recorder(attributes, run=RUN, **options)


def events_writer(path, attributes=ATTRIBUTES):
    return EventsWriter(path, recorder(attributes))


def records_of(path, kind="frame"):
    records = [json.loads(line) for line in path.read_text().splitlines()]
    return [record for record in records if record["type"] == kind]


def rows(path):
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def write_all(sink, results) -> None:
    for one in results:
        sink.write(None, one)
    sink.close()


# events


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
    text = to_json(recorder().frame(broken))
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


def run_child(code, *args, **kwargs):
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
from test_events import PeopleWriter, events_writer, person, result, track
events, people = events_writer(sys.argv[1]), PeopleWriter(sys.argv[2])
for i in range(5):
    events.write(None, result(i, [track(1)]))
    people.write(None, result(i, [track(1)], {1: person()}))
print("written", flush=True)
sys.stdin.read()
"""


def test_a_killed_process_leaves_all_its_lines_and_a_sound_table(tmp_path: Path) -> None:
    events, table = tmp_path / "events.jsonl", tmp_path / "people.csv"
    with run_child(WRITE_AND_WAIT, str(events), str(table), stdin=subprocess.PIPE) as child:
        assert child.stdout.readline() == "written\n"
        child.send_signal(signal.SIGKILL)
    assert [record["index"] for record in records_of(events)] == list(range(5))
    assert [row["id"] for row in rows(table)] == ["1"]


BROKEN_PIPE = """
import os, sys
sys.path.insert(0, "tests")
from test_events import SinkError, events_writer, result
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
    child.stdout.close()
    child.stdin.close()
    message = child.stderr.read()
    child.stderr.close()
    assert child.wait() == 0
    assert message == "standard output: cannot be written: Broken pipe"


@pytest.mark.parametrize("writer", [events_writer, PeopleWriter])
def test_a_place_that_cannot_be_written_is_refused_before_the_first_frame(
    writer, tmp_path: Path
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


@pytest.mark.parametrize("writer", [events_writer, PeopleWriter])
def test_without_frames_an_existing_file_is_left_alone_and_none_is_made(
    writer, tmp_path: Path
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


@pytest.mark.parametrize("writer", [events_writer, PeopleWriter])
def test_a_full_disk_is_a_sink_error_once(writer) -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full on this system")
    sink = writer(full)
    with pytest.raises(SinkError, match="/dev/full: cannot be written"):
        sink.write(None, result(0, [track(1)]))
    sink.close()


# people


def test_each_person_gets_one_row_with_the_values_last_known(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    write_all(
        PeopleWriter(path),
        [
            result(0, [track(1)]),
            result(1, [track(1), track(2)], {1: person(30.0, Gender.UNSURE), 2: person()}),
            result(2, [track(1), track(2, misses=1)], {1: person(36.04, shares=SHARES)}),
            result(3, [track(5)]),
        ],
    )
    one, two, five = rows(path)
    assert list(one) == columns(ATTRIBUTES)
    assert datetime.fromisoformat(one["first_seen_utc"]).tzinfo is not None
    assert (one["id"], one["first_seen_s"], one["last_seen_s"]) == ("1", "0.000", "0.080")
    assert (one["frames"], one["age_years"], one["gender"]) == ("3", "36.0", "female")
    assert (one["ethnicity"], one["ethnicity_prob"]) == ("Asian", "0.7100")
    assert (two["frames"], two["last_seen_s"], two["age_years"]) == ("1", "0.040", "34.2")
    assert two["age_uncertainty_years"] == "3.9" and two["female_prob"] == "0.9300"
    assert (five["samples"], five["age_years"], five["gender"]) == ("0", "", "")


def test_a_table_of_people_needs_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(SinkError, match="name a file"):
        PeopleWriter("-")
    assert list(tmp_path.iterdir()) == []


def interrupt_at(line_number):
    """A trace function that raises at so-many-th line run of the sink's module."""
    seen = 0

    def trace(frame, event, _):
        nonlocal seen
        if frame.f_code.co_filename != people.__file__:
            return None
        seen += event == "line"
        if seen == line_number:
            sys.settrace(None)
            raise KeyboardInterrupt
        return trace

    return trace


def test_ctrl_c_at_any_moment_neither_loses_nor_doubles_a_person(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "_REFRESH_S", 0.0)
    path = tmp_path / "people.csv"
    frames = [result(0, [track(1), track(2)]), result(1, [track(3)], time_s=60.0)]
    last = result(2, [track(3)], time_s=120.0, epoch=1)
    outer, line, interrupted = sys.gettrace(), 0, True
    while interrupted:
        sink, line, interrupted = PeopleWriter(path), line + 1, False
        for frame in frames:
            sink.write(None, frame)
        sys.settrace(interrupt_at(line))
        try:
            sink.write(None, last)
        except KeyboardInterrupt:
            interrupted = True
        finally:
            sys.settrace(outer)
        sink.close()
        noted = [row["id"] for row in rows(path)]  # 3 comes back under its id after the cut
        assert noted in (["1", "2", "3"], ["1", "2", "3", "3"]), line
    assert noted == ["1", "2", "3", "3"] and line > 20


def test_rows_of_people_gone_are_final_and_no_longer_held(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    sink = PeopleWriter(path)
    for i in range(200):  # a new person every minute
        sink.write(None, result(i, [track(i + 1)], {i + 1: person()}, time_s=60.0 * i))
        assert len(sink._rows) <= 2
    assert [row["id"] for row in rows(path)] == [str(i + 1) for i in range(200)]
    sink.close()
    assert [row["id"] for row in rows(path)] == [str(i + 1) for i in range(200)]


def test_a_person_who_is_still_followed_is_not_gone_however_slow_the_frames(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    misses = [result(i, [track(1, misses=i)], time_s=30.0 * i) for i in range(5)]
    write_all(PeopleWriter(path), [*misses, result(5, [track(1)], time_s=150.0)])
    (row,) = rows(path)
    assert (row["frames"], row["last_seen_s"]) == ("2", "150.000")


def test_a_new_epoch_ends_all_rows(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    frames = [result(0, [track(1)], time_s=5.0), result(1, [track(1)], epoch=1, time_s=5.1)]
    write_all(PeopleWriter(path), frames)
    assert [(r["id"], r["first_seen_s"]) for r in rows(path)] == [("1", "5.000"), ("1", "5.100")]


def test_the_table_always_equals_one_written_at_the_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(people, "_REFRESH_S", 0.0)  # rewrite the tail with every frame
    path = tmp_path / "people.csv"
    rng = np.random.default_rng(5)
    sink = PeopleWriter(path)
    seen = {}
    for i in range(300):
        here = sorted({1 + i // 20 + int(k) for k in rng.integers(0, 4, 3)})
        for track_id in here:
            seen.setdefault(track_id, []).append(i)
        sink.write(None, result(i, [track(k) for k in here], time_s=i * 0.5))
        table = {int(row["id"]): row for row in rows(path)}
        assert table.keys() == seen.keys()
        assert all(int(table[k]["frames"]) == len(seen[k]) for k in seen)
    sink.close()
    assert len(rows(path)) == len(seen)


def test_values_are_quoted_as_csv_wants_it(tmp_path: Path) -> None:
    path = tmp_path / "people.csv"
    write_all(PeopleWriter(path), [result(0, [track(1)], {1: person(shares=SHARES)})])
    data = path.read_bytes()
    assert b"\r" not in data and data.endswith(b"\n")
    assert len(list(csv.reader(io.StringIO(data.decode())))) == 2


def test_what_was_not_asked_for_is_in_no_file(tmp_path: Path) -> None:
    events, people = tmp_path / "events.jsonl", tmp_path / "people.csv"
    one = result(0, [track(1)], {1: person(shares=SHARES)})
    write_all(events_writer(events, ["age"]), [one])
    write_all(PeopleWriter(people, ["age"]), [one])
    assert "age_years" in events.read_text() and "age_years" in people.read_text()
    for word in ("female", "Asian", "ethnicity", "gender"):
        assert word not in events.read_text()
        assert word not in people.read_text()


def test_of_several_cameras_each_row_names_its_own_and_a_cut_ends_only_its_people(
    tmp_path: Path,
) -> None:
    path = tmp_path / "people.csv"
    door, yard = (replace(result(0, [track(i)]), camera=c) for i, c in ((1, "door"), (2, "yard")))
    cut = replace(door, frame=replace(door.frame, epoch=1, index=1), tracks=(track(3),))
    write_all(PeopleWriter(path, several=True), [door, yard, cut, yard])
    assert [(row["camera"], row["id"]) for row in rows(path)] == [
        ("door", "1"),
        ("yard", "2"),
        ("door", "3"),
    ]
