"""`--keep`: old files of this program are deleted, and no others; what /metrics says of files."""

import json
import logging
import os
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from files import sole_writer
from outputs.jsonl import EventsWriter, is_events
from outputs.keeping import Keeper, Limit, Output
from outputs.recording.h264 import is_recording
from outputs.recording.sink import Recording
from people.crowd import Crowd
from people.records import Recorder
from program.options import kept
from stream import parse_arguments
from tests.fakes import ListSource, film
from tests.recordings import shot
from tests.results import result
from tests.test_full_disk import full_disk
from tests.test_stream import one_line, reading, run_main
from web.board import Board
from web.figures import Facts, RunCollector

RECORD = b'{"schema":2,' + b" " * 988  # 1000 bytes


def days_old(path: Path, days: float, data: bytes = RECORD) -> Path:
    path.write_bytes(data)
    then_s = time.time() - days * 86400
    os.utime(path, (then_s, then_s))
    return path


def keeper_of(path: Path, limit: Limit | None, sink: EventsWriter | None = None) -> Keeper:
    sink = sink or EventsWriter(path, Recorder(Crowd()))
    return Keeper([Output("events", path, is_events, sink)], limit)


def look(path: Path, limit: Limit | None, sink: EventsWriter | None = None) -> None:
    keeper = keeper_of(path, limit, sink)
    keeper.look()
    keeper.close()


@pytest.fixture
def week(tmp_path: Path) -> list[Path]:
    """Files of seven days, the oldest first."""
    return [days_old(tmp_path / f"o-2026010{i}.jsonl", 8 - i) for i in range(1, 8)]


def test_what_is_too_old_is_deleted_with_one_line(
    week: list[Path], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    look(tmp_path / "o.jsonl", Limit(seconds=3.5 * 86400))
    assert [path.exists() for path in week] == [False] * 4 + [True] * 3
    assert caplog.messages == ["--keep: deleted 4 old files, 0.0 MB"]
    look(tmp_path / "o.jsonl", Limit(seconds=3.5 * 86400))
    assert len(caplog.messages) == 1


def test_what_is_too_much_is_deleted_the_oldest_first(week: list[Path], tmp_path: Path) -> None:
    look(tmp_path / "o.jsonl", Limit(bytes=3000))
    assert [path.exists() for path in week] == [False] * 4 + [True] * 3


def test_nothing_is_deleted_without_a_limit(week: list[Path], tmp_path: Path) -> None:
    look(tmp_path / "o.jsonl", None)
    assert all(path.exists() for path in week)


def test_nothing_of_others_is_deleted(tmp_path: Path) -> None:
    kept_files = [
        days_old(tmp_path / "o-20260101.jsonl", 900, b"of the user\n"),
        days_old(tmp_path / "o-2.jsonl", 900),  # perhaps of another camera
        days_old(tmp_path / "o-door-20260101.jsonl", 900),
        days_old(tmp_path / "o-20260101.csv", 900),
        days_old(tmp_path / "p-20260101.jsonl", 900),
    ]
    (tmp_path / "o-20260102.jsonl").symlink_to(kept_files[-1])
    (tmp_path / "o-20260103.jsonl").mkdir()
    before = sorted(tmp_path.iterdir())
    look(tmp_path / "o.jsonl", Limit(seconds=1, bytes=1))
    assert sorted(tmp_path.iterdir()) == before


def test_a_file_in_use_is_not_deleted(tmp_path: Path) -> None:
    path = tmp_path / "o.jsonl"
    sink = EventsWriter(path, Recorder(Crowd()), live=True)
    sink.write(None, result(0))
    os.utime(path, (0, 0))
    locked = days_old(tmp_path / "o-20260101.jsonl", 900)
    fresh = tmp_path / "o-20260102.jsonl"
    fresh.write_bytes(RECORD)
    with sole_writer([locked]):
        look(path, Limit(seconds=1, bytes=1), sink)
    assert path.exists() and locked.exists() and fresh.exists()
    look(path, Limit(seconds=1, bytes=1), sink)
    assert path.exists() and not locked.exists() and fresh.exists()
    sink.close()
    os.utime(path, (0, 0))
    look(path, Limit(seconds=1, bytes=1))
    assert not path.exists()
    assert not list(tmp_path.glob(".*"))


def test_events_begin_a_file_a_day_and_lose_no_record(tmp_path: Path) -> None:
    now = datetime(2026, 1, 30, 23, 59, tzinfo=UTC)
    recorder = Recorder(Crowd())
    sink = EventsWriter(tmp_path / "o.jsonl", recorder, live=True, daily=True, clock=lambda: now)
    for i in range(6):
        sink.write(None, result(i))
        now += timedelta(hours=8)
    sink.close()
    files = sorted(tmp_path.iterdir())
    assert [path.name for path in files] == [
        f"o-{day}.jsonl" for day in (20260130, 20260131, 20260201)
    ]
    assert all(map(is_events, files))
    records = [json.loads(line) for path in files for line in path.read_text().splitlines()]
    assert [each["index"] for each in records if each["type"] == "frame"] == list(range(6))


def test_a_camera_cleans_up_after_its_earlier_runs(tmp_path: Path) -> None:
    names = ["--output", str(tmp_path / "o.mp4"), "--events", str(tmp_path / "o.jsonl")]
    names += ["--people", str(tmp_path / "o.csv"), "--segment", "1h"]
    for _ in range(2):
        source = reading(ListSource(film(12), is_live=True))
        assert run_main("--no-window", *names, factories=source) == 0
        time.sleep(1)  # recordings are named by the second
    old = sorted(tmp_path.glob("o*"))
    for path in old:
        os.utime(path, (1, 1))
    foreign = days_old(tmp_path / "o-20200101-000000.mp4", 900, b"of the user")
    source = reading(ListSource(film(12), is_live=True))
    assert run_main("--no-window", *names, "--keep", "30d", factories=source) == 0
    assert not any(path.exists() for path in old if path.suffix != ".csv" or path.stem != "o")
    assert foreign.exists()
    assert len(list(tmp_path.glob("o-*.mp4"))) == 2
    today = f"o-{datetime.now(UTC):%Y%m%d}.jsonl"
    assert [path.name for path in tmp_path.glob("*.jsonl")] == [today]


def test_with_a_table_no_file_of_a_clip_is_deleted(tmp_path: Path) -> None:
    names = ["--people", str(tmp_path / "cam.csv")]
    assert run_main("--no-window", *names, factories=reading(ListSource(film(12)))) == 0
    old = tmp_path / "cam-20260101-120000.csv"
    (tmp_path / "cam.csv").rename(old)
    clip = old.with_suffix(".json")
    clip.write_text('{"schema":1,"type":"clip"}')
    for path in (old, clip):
        os.utime(path, (1, 1))
    camera = reading(ListSource(film(12), is_live=True))
    assert run_main("--no-window", *names, "--keep", "1d", factories=camera) == 0
    assert not old.exists() and clip.exists()


def test_keep_does_nothing_to_a_film(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    old = days_old(tmp_path / "o-20260101.jsonl", 900)
    arguments = ["--events", str(tmp_path / "o.jsonl"), "--keep", "1h"]
    assert run_main("--no-window", *arguments, factories=reading(ListSource(film(3)))) == 0
    assert "--keep does nothing here" in capsys.readouterr().err
    assert sorted(tmp_path.iterdir()) == [old, tmp_path / "o.jsonl"]


def test_limits_are_read_with_their_units() -> None:
    assert kept("30d") == Limit(seconds=30 * 86400)
    assert kept("1.5h") == Limit(seconds=5400)
    assert kept("50GB") == Limit(bytes=50e9)
    assert kept("500MB") == Limit(bytes=500e6)


@pytest.mark.parametrize("text", ["", "30", "d", "0d", "-1d", "30 d", "5TB", "infGB", "1e3d"])
def test_a_bad_limit_is_one_line(text: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse_arguments(["--events", "o.jsonl", f"--keep={text}"])
    assert end.value.code == 2
    assert "want a limit such as 30d, 12h, 500MB or 50GB" in one_line(capsys)


def test_a_limit_without_files_is_one_line(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        parse_arguments(["--events", "-", "--keep", "3d"])
    assert end.value.code == 2
    assert "--keep is about files: add --output, --events, --people or --hours" in one_line(capsys)


@pytest.mark.parametrize("anonymous", [False, True])
def test_metrics_report_disk_use_and_what_was_lost(
    anonymous: bool, week: list[Path], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.CRITICAL)
    path = week[0].with_name("o.jsonl")
    crowd = Crowd(anonymous=anonymous)
    sink = EventsWriter(path, Recorder(Crowd()))
    keeper = keeper_of(path, None, sink)
    facts = Facts("film", crowd, False, 0.0, storage=keeper.storage)
    board = Board(lambda call: call(), crowd)

    def value(name: str) -> float:
        lines = RunCollector(board, facts).text().decode().splitlines()
        return next(
            float(x.split()[1]) for x in lines if x.startswith(f'{name}{{output="events"}}')
        )

    keeper.look()
    assert value("faces_output_bytes") == (0 if anonymous else 7000)  # in whole GB
    free = value("faces_output_free_bytes")
    assert free >= 0 and (free % 1e9 == 0) >= anonymous
    assert value("faces_output_failed") == value("faces_output_records_left_out_total") == 0
    with full_disk(1000):
        for i in range(20):
            sink.write(None, result(i))
    assert value("faces_output_bytes") == (0 if anonymous else 7000 + path.stat().st_size)
    assert value("faces_output_failed") == 1
    assert value("faces_output_records_left_out_total") == sink.left_out > 0
    keeper.close()
    sink.close()


def test_the_file_that_is_open_is_known_where_the_output_was_named_from_here(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    sink = Recording("o.mp4", 25.0, live=True, segment_s=10)
    sink.write(*shot(0, 0.0))
    sink._writer.close()  # the file is open, and nothing comes
    (path,) = tmp_path.iterdir()
    os.utime(path, (1, 1))
    output = Output("recording", Path("o.mp4"), is_recording, sink)
    keeper = Keeper([output], Limit(bytes=1))
    keeper.look()
    assert path.exists() and output.writing == Path(path.name)
    sink.close()
    os.utime(path, (1, 1))
    keeper.look()
    assert not path.exists()
    keeper.close()
