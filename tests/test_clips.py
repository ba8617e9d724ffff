"""The files of `--record-on`, read back."""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from av.packet import Packet

from outputs.recording.clips import ClipFiles, beside, is_told, told_beside
from outputs.recording.encoder import TICKS_PER_S, Encoding
from outputs.recording.h264 import is_recording
from outputs.recording.preroll import PreRoll, Shot
from outputs.recording.sink import Recording
from people.crowd import Crowd
from people.records import Recorder
from people.triggers import Clip, Moment, Watch, parse_triggers
from structures import FrameResult, Image
from tests.recordings import FINISHED, boxes, grey, level, levels, names, read, run_child, shot
from tests.results import track, with_state
from tests.test_full_disk import full_disk
from tests.test_records import check

FPS = 5
NOON = datetime(2026, 1, 31, 12, tzinfo=UTC)
Span = tuple[float, float]


def shots(*spans: Span, end_s: float = 60.0, **options: Any) -> list[tuple[Image, FrameResult]]:
    """Pictures of a film in which somebody is in view at these times."""
    made = []
    for i in range(round(end_s * FPS)):
        picture, one = shot(i, i / FPS, **options)
        there = [n for n, (a, b) in enumerate(spans, start=1) if a <= i / FPS < b]
        made.append((picture, replace(one, tracks=tuple(map(track, there)))))
    return made


def recording(path: Path, live: bool = False, **options: Any) -> Recording:
    watch = Watch(parse_triggers("person"), Recorder(Crowd()))
    return Recording(path, FPS, live=live, watch=watch, **options)


def record(path: Path, taken: Iterable[tuple[Image, FrameResult]], **options: Any) -> Recording:
    made = recording(path, **options)
    for picture, one in taken:
        made.write(picture, one)
    made.close()
    return made


def told(path: Path) -> dict[str, Any]:
    """What stands beside a clip, which the schema must know."""
    return check(json.loads(beside(path).read_text()))


def check_clip(path: Path, begin_s: float, end_s: float) -> None:
    """A clip is finished, says from when to when it is, and holds just those pictures."""
    record, seen = told(path), read(path)
    assert boxes(path) == FINISHED and is_recording(path) and is_told(beside(path))
    assert record["file"] == path.name
    first, last = round(record["begin_s"] * FPS), round(record["end_s"] * FPS)
    assert abs(first / FPS - begin_s) < 1.01 and first / FPS <= begin_s  # at a key frame
    assert last / FPS == pytest.approx(end_s, abs=1 / FPS)
    assert len(seen) == last - first + 1
    assert [frame.time for frame in seen] == pytest.approx(np.arange(len(seen)) / FPS, abs=1e-4)
    for frame, index in zip(seen, range(first, last + 1), strict=True):
        assert abs(level(frame) - grey(index)) <= 3


def test_a_clip_begins_ten_seconds_before_and_ends_ten_seconds_after(tmp_path: Path) -> None:
    record(tmp_path / "cam.mp4", shots((20, 22)))
    assert names(tmp_path) == ["cam-001.json", "cam-001.mp4"]
    check_clip(tmp_path / "cam-001.mp4", 10.0, 31.8)


def test_one_that_begins_at_once_and_one_that_the_end_cuts_off_are_whole(tmp_path: Path) -> None:
    record(tmp_path / "cam.mp4", shots((0, 1), (50, 60)))
    check_clip(tmp_path / "cam-001.mp4", 0.0, 10.8)
    check_clip(tmp_path / "cam-002.mp4", 40.0, 59.8)


def test_what_overlaps_is_one_clip_and_each_of_two_is_whole(tmp_path: Path) -> None:
    record(tmp_path / "cam.mp4", shots((14, 15), (20, 21), (38, 39)))
    assert len(names(tmp_path)) == 4
    check_clip(tmp_path / "cam-001.mp4", 4.0, 30.8)
    check_clip(tmp_path / "cam-002.mp4", 28.0, 48.8)  # the last seconds of the first one, too


def test_nothing_is_written_where_nothing_happens(tmp_path: Path) -> None:
    record(tmp_path / "cam.mp4", shots())
    assert not names(tmp_path)


@pytest.mark.parametrize("name", ["cam.mkv", "cam.mov"])
def test_other_kinds_of_files_hold_clips_too(tmp_path: Path, name: str) -> None:
    record(tmp_path / name, shots((12, 13), end_s=30))
    path = next(each for each in tmp_path.iterdir() if each.suffix != ".json")
    assert len(read(path)) == round((told(path)["end_s"] - told(path)["begin_s"]) * FPS) + 1


def test_clips_of_a_camera_are_named_after_the_time_they_begin_at(tmp_path: Path) -> None:
    now_s, before = time.monotonic(), datetime.now(UTC)
    taken = [
        (picture, replace(one, frame=replace(one.frame, arrived_s=now_s + one.frame.time_s - 60)))
        for picture, one in shots((20, 22))
    ]
    made = recording(tmp_path / "cam.mp4", live=True)
    for item in taken:
        while made._writer.waiting > 4:  # a real camera gives the encoder time
            time.sleep(1e-3)
        made.write(*item)
    made.close()
    (path,) = tmp_path.glob("*.mp4")
    check_clip(path, 10.0, 31.8)
    begin = datetime.fromisoformat(told(path)["begin_utc"])
    assert path.name == f"cam-{begin:%Y%m%d-%H%M%S}.mp4"
    since_s = (begin - before).total_seconds() + 60
    assert since_s == pytest.approx(told(path)["begin_s"], abs=1)


def test_a_clip_is_finished_when_its_camera_is_lost(tmp_path: Path) -> None:
    made, taken = recording(tmp_path / "cam.mp4"), shots((20, 40))
    for item in taken[:110]:
        made.write(*item)
    picture, last = taken[109]
    path, deadline_s = tmp_path / "cam-001.mp4", time.monotonic() + 30
    while not beside(path).exists():
        assert time.monotonic() < deadline_s
        made.refresh(picture, with_state(last, "reconnecting"))
    check_clip(path, 10.0, 21.8)
    for item in taken[150:]:
        made.write(*item)
    made.close()
    assert told(tmp_path / "cam-002.mp4")["triggers"][0]["begin_s"] == 30.0
    assert made.failed is None and made.writing is None


def test_pictures_of_another_size_begin_another_clip(tmp_path: Path) -> None:
    small = shots((1, 6), end_s=6)
    large = shots((0, 60), size_wh=(320, 180), epoch=1)[30:50]
    record(tmp_path / "cam.mp4", [*small, *large])
    sizes = [read(tmp_path / f"cam-00{i}.mp4")[0].width for i in (1, 2)]
    assert sizes == [160, 320]
    assert told(tmp_path / "cam-002.mp4")["begin_s"] == 6.0


def test_an_odd_size_is_made_even(tmp_path: Path) -> None:
    record(tmp_path / "cam.mp4", shots((1, 2), end_s=15, size_wh=(161, 91)))
    (shown, *_) = read(tmp_path / "cam-001.mp4")
    assert (shown.width, shown.height) == (162, 92)


def test_a_full_disk_ends_a_clip_and_the_next_one_is_tried(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    made, taken = recording(tmp_path / "cam.mp4"), shots((2, 3), (40, 41))
    with full_disk(4000):
        for item in taken[:120]:
            made.write(*item)
        while made._writer.waiting:
            time.sleep(1e-3)
    for item in taken[120:]:
        made.write(*item)
    made.close()
    assert "cannot be written" in str(made.failed) and len(caplog.messages) == 1
    assert not beside(tmp_path / "cam-001.mp4").exists()
    check_clip(tmp_path / "cam-002.mp4", 30.0, 50.8)


def test_pictures_of_other_cameras_are_passed_over(tmp_path: Path) -> None:
    taken = shots((12, 13), end_s=30)
    watch = Watch(parse_triggers("person"), Recorder(Crowd()), "door")
    made = Recording(tmp_path / "cam.mp4", FPS, watch=watch)
    for picture, one in taken:
        made.write(picture, replace(one, camera="door"))
        made.write(255 - picture, replace(one, camera="yard", tracks=(track(1),)))
    made.close()
    check_clip(tmp_path / "cam-001.mp4", 2.0, 22.8)


def clip(goes_on: bool = False) -> Clip:
    made = Clip(Moment(0.0, NOON), 0.0, goes_on, {})
    made.told = Recorder(Crowd()).clip("") | {"triggers": [], "people": []}
    return made


def write(files: ClipFiles, of: Callable[[int], Clip | None], count: int, noisy: bool) -> None:
    rng = np.random.default_rng(0)
    for i in range(count):
        picture, one = shot(i, i / FPS)
        if noisy:
            picture = rng.integers(0, 255, picture.shape, np.uint8)
        files.write(picture, one.frame, "superfast", of(i), NOON + timedelta(seconds=i / FPS))
    files.close()


def test_a_clip_that_goes_on_begins_where_the_one_before_ended(tmp_path: Path) -> None:
    files = ClipFiles(tmp_path / "cam.mp4", Encoding("superfast", 25, FPS), live=False)
    first, second = clip(), clip(goes_on=True)
    write(files, lambda i: first if i < 58 else second, 100, noisy=False)
    shown = [
        round((level - 20) / 7) for k in (1, 2) for level in levels(tmp_path / f"cam-00{k}.mp4")
    ]
    assert shown == [i % 30 for i in range(100)]


@pytest.mark.parametrize(("most", "earliest"), [(60_000, 40), (1, 58)])
def test_large_packets_shorten_what_is_before_and_lose_nothing_else(
    tmp_path: Path, most: int, earliest: int
) -> None:
    encoding = Encoding("superfast", 25, FPS)
    files = ClipFiles(tmp_path / "cam.mp4", encoding, live=False, most_bytes=most)
    late = clip()
    write(files, lambda i: late if i >= 58 else None, 100, noisy=True)
    begin_s = json.loads((tmp_path / "cam-001.json").read_text())["begin_s"]
    assert earliest <= begin_s * FPS <= 58
    assert len(read(tmp_path / "cam-001.mp4")) == 100 - begin_s * FPS


def packet(index: int, size: int, is_key: bool) -> Shot:
    made = Packet(size)
    made.pts, made.is_keyframe = index * TICKS_PER_S // FPS, is_key
    return Shot(made, Moment(index / FPS, NOON))


def test_memory_is_bounded_whatever_the_packets_and_groups_are_whole() -> None:
    rng, kept = np.random.default_rng(1), PreRoll(10.0, 32 * 2**20)
    longest = 0.0
    for i in range(1000):
        size = int(rng.integers(1, 2 ** rng.integers(10, 24)))
        kept.add(packet(i, size, is_key=bool(rng.random() < 0.3)))
        shots = list(kept.shots())
        assert kept.bytes == sum(each.packet.size for each in shots) <= 32 * 2**20
        assert not shots or shots[0].packet.is_keyframe
        indices = [round(each.moment.time_s * FPS) for each in shots]
        assert indices == list(range(i + 1 - len(shots), i + 1))
        longest = max(longest, len(shots) / FPS)
    assert longest > 1


def test_small_packets_are_kept_for_ten_seconds_and_a_group() -> None:
    kept = PreRoll(10.0, 32 * 2**20)
    for i in range(500):
        kept.add(packet(i, 1000, is_key=i % FPS == 0))
        first = next(kept.shots()).moment.time_s
        assert i < 50 or 10 <= i / FPS - first < 11


def test_a_packet_larger_than_the_limit_is_not_kept() -> None:
    kept = PreRoll(10.0, 1000)
    kept.add(packet(0, 2000, is_key=True))
    kept.add(packet(1, 10, is_key=False))
    assert not kept and not kept.bytes


def test_a_killed_process_leaves_a_clip_that_plays(tmp_path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
from tests.test_clips import recording, shots
made = recording(Path(sys.argv[1]))
for item in shots((12, 30), end_s=30):
    made.write(*item)
while made._writer.waiting:
    pass
os._exit(9)
"""
    assert run_child(script, tmp_path / "cam.mp4").returncode == 9
    assert names(tmp_path) == ["cam-001.mp4"]
    assert len(read(tmp_path / "cam-001.mp4")) > 20 * FPS


def test_nothing_of_others_is_replaced(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    foreign = tmp_path / "cam-001.json"
    foreign.write_text('{"notes": "of the user"}')
    made = record(tmp_path / "cam.mp4", shots((12, 13), (40, 41)))
    assert names(tmp_path) == ["cam-001.json", "cam-002.json", "cam-002.mp4"]
    assert foreign.read_text() == '{"notes": "of the user"}'
    assert "cam-001.json: is there already" in str(made.failed) and len(caplog.messages) == 1


def test_clips_of_an_earlier_run_are_replaced_with_what_is_told_of_them(tmp_path: Path) -> None:
    record(tmp_path / "cam.mp4", shots((12, 13), end_s=30))
    record(tmp_path / "cam.mp4", shots((14, 15), end_s=30))
    check_clip(tmp_path / "cam-001.mp4", 4.0, 24.8)
    assert told_beside(tmp_path / "cam-001.mp4") == tmp_path / "cam-001.json"
