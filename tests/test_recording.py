import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from errors import SinkError
from outputs.recording.h264 import is_recording
from outputs.recording.parts import part_path
from outputs.recording.sink import Recording
from structures import Frame, FrameResult
from tests.recordings import (
    FINISHED,
    boxes,
    grey,
    level,
    levels,
    names,
    read,
    record,
    shot,
    times_of,
    uneven_times,
)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_every_frame_comes_back_in_order_at_its_time(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    times = uneven_times(80)
    record(path, times)
    frames = read(path)
    assert np.abs(np.array([f.time for f in frames]) - times).max() < 0.001
    assert [level(f) for f in frames] == pytest.approx([grey(i) for i in range(80)], abs=3)
    assert names(tmp_path) == [path.name]


def test_it_is_h264_as_browsers_want_it_with_a_key_frame_each_second(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    times = uneven_times(100)
    record(path, times)
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        context = stream.codec_context
        assert (context.name, context.pix_fmt) == ("h264", "yuv420p")
        assert (context.color_range, context.colorspace) == (1, 1)  # limited, BT.709
        assert float(file.duration / av.time_base) == pytest.approx(times[-1], abs=0.15)
        keys = [p.pts * stream.time_base for p in file.demux(video=0) if p.is_keyframe]
    assert np.diff(np.array(keys, float)).min() >= 1.0
    assert np.diff(np.array(keys, float)).max() < 1.0 + 0.12
    assert boxes(path) == FINISHED


def test_colours_come_back(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    image = np.zeros((64, 96, 3), np.uint8)
    image[:, :32], image[:, 32:64], image[:, 64:] = (200, 60, 30), (30, 60, 200), (40, 180, 60)
    recording = Recording(path, 25, crf=10)
    recording.write(image, FrameResult(Frame(image, 0, 0.0)))
    recording.close()
    back = read(path)[0].to_ndarray(format="bgr24").astype(int)
    for x in (16, 48, 80):
        assert np.abs(back[32, x] - image[32, x]).max() <= 12


@pytest.mark.parametrize("size_wh", [(161, 90), (160, 91), (161, 91), (17, 17)])
def test_odd_sizes_get_their_last_column_or_row_doubled(
    tmp_path: Path, size_wh: tuple[int, int]
) -> None:
    path = tmp_path / "out.mp4"
    record(path, [0.0, 0.04], size_wh=size_wh)
    width, height = size_wh
    for frame in read(path):
        assert (frame.width, frame.height) == (width + width % 2, height + height % 2)
        picture = frame.to_ndarray(format="bgr24")
        assert np.ptp(picture) <= 3  # no dark rim


def test_times_that_stand_still_or_run_back_still_grow_in_the_file(tmp_path: Path) -> None:
    path = tmp_path / "out.mp4"
    recording = Recording(path, 25)
    seen = [(0.0, 0), (0.04, 0), (0.04, 0), (0.03, 0), (5.0, 0), (0.0, 1), (0.04, 1)]
    for index, (time_s, epoch) in enumerate(seen):
        recording.write(*shot(index, time_s, epoch=epoch))
    recording.close()
    times = times_of(path)
    assert len(times) == len(seen) and (np.diff(times) > 0).all()
    assert times[5] - times[4] == pytest.approx(0.04, abs=0.001)  # a new epoch follows on
    assert times[6] - times[5] == pytest.approx(0.04, abs=0.001)


@pytest.mark.parametrize("name", ["out.mp4", "out.mkv"])
def test_each_scene_is_a_chapter(tmp_path: Path, name: str) -> None:
    path = tmp_path / name
    recording = Recording(path, 25)
    for index in range(30):
        recording.write(*shot(index, index / 25, epoch=(index >= 10) + (index >= 24)))
    recording.close()
    with av.open(str(path)) as file:
        chapters = file.chapters()
        starts = [float(each["start"] * (each["time_base"] or 0)) for each in chapters]
        assert starts == pytest.approx([0, 10 / 25, 24 / 25], abs=0.002)
        assert [each["metadata"]["title"] for each in chapters] == ["scene 1", "scene 2", "scene 3"]


def test_a_recording_of_one_scene_has_no_chapters(tmp_path: Path) -> None:
    record(tmp_path / "out.mp4", [i / 25 for i in range(5)])
    with av.open(str(tmp_path / "out.mp4")) as file:
        assert file.chapters() == []


def test_media_time_is_kept_and_live_time_begins_with_the_first_frame(tmp_path: Path) -> None:
    clock = [1000.0, 1000.1, 1000.3]
    record(tmp_path / "live.mp4", clock, live=True)
    assert times_of(tmp_path / "live.mp4") == pytest.approx([0.0, 0.1, 0.3], abs=0.001)
    record(tmp_path / "file.mp4", [2.0, 2.1, 2.3])
    assert times_of(tmp_path / "file.mp4") == pytest.approx([2.0, 2.1, 2.3], abs=0.001)


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
@pytest.mark.parametrize(("gap_s", "repeats"), [(23_000.0, 0), (24_500.0, 1), (100_000.0, 4)])
def test_a_gap_of_hours_is_as_long_in_the_recording(
    tmp_path: Path, suffix: str, gap_s: float, repeats: int
) -> None:
    path = tmp_path / f"out{suffix}"
    times = [index / 25 + gap for gap in (0.0, gap_s) for index in range(10)]
    record(path, times)
    with av.open(str(path)) as file:
        assert file.duration / av.time_base == pytest.approx(gap_s + 0.4, abs=0.05)
    repeats = 0 if suffix == ".mkv" else repeats  # the picture from before stands still
    seen = times_of(path)
    assert len(seen) == 20 + repeats
    assert seen[10 + repeats :] == pytest.approx(times[10:], abs=0.001)
    grey_levels = [grey(index) for index in [*range(10), *[9] * repeats, *range(10, 20)]]
    assert levels(path) == pytest.approx(grey_levels, abs=3)


def test_a_new_picture_size_begins_a_new_part_and_loses_nothing(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "out.mp4", 25)
    sizes = [(160, 90)] * 5 + [(96, 64)] * 4 + [(160, 90)] * 3
    for index, size_wh in enumerate(sizes):
        recording.write(*shot(index, index / 25, size_wh))
    recording.close()
    parts = [read(tmp_path / name) for name in ("out.mp4", "out-2.mp4", "out-3.mp4")]
    assert [len(part) for part in parts] == [5, 4, 3]
    assert [(p[0].width, p[0].height) for p in parts] == [(160, 90), (96, 64), (160, 90)]
    assert [level(part[0]) for part in parts] == pytest.approx([grey(0), grey(5), grey(9)], abs=3)
    assert parts[1][0].time == 0


def test_a_name_with_a_colon_is_a_file_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    record(Path("2026-01-31T12:30.mp4"), [0.0, 0.04])
    assert len(read(tmp_path / "2026-01-31T12:30.mp4")) == 2
    assert names(tmp_path) == ["2026-01-31T12:30.mp4"]


def test_a_place_that_cannot_be_written_is_refused_before_the_first_frame(tmp_path: Path) -> None:
    (tmp_path / "folder.mp4").mkdir()
    wrong: list[tuple[str | Path, str]] = [
        (tmp_path / "folder.mp4", "is a folder"),
        (tmp_path / "missing" / "out.mp4", "there is no folder"),
        (tmp_path / "out.avi", r"must end in \.mp4, \.mov, \.mkv"),
        (tmp_path / ("x" * 300 + ".mp4"), "cannot be written"),
        ("rtsp://me:secret@host/out.mp4", r"rtsp://\*\*\*@host/out\.mp4: an output is a file"),
    ]
    for path, why in wrong:
        with pytest.raises(SinkError, match=why):
            Recording(path, 25)
    assert names(tmp_path) == ["folder.mp4"]


@pytest.mark.skipif(os.name != "posix", reason="needs named pipes")
def test_what_is_no_ordinary_file_is_refused(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.mp4")
    (tmp_path / "null.mp4").symlink_to(os.devnull)
    for name in names(tmp_path):
        with pytest.raises(SinkError, match="is a pipe or a device; name an ordinary file"):
            Recording(tmp_path / name, 25)


def test_a_live_recording_leaves_pictures_out_and_counts_them(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (360, 640, 3), np.uint8)
    recording = Recording(tmp_path / "out.mp4", 25, live=True, preset="placebo", crf=0)
    for index in range(40):
        recording.write(np.roll(noise, index), shot(index, index / 25)[1])
    recording.close()
    assert recording.dropped > 0 and recording.failed is None
    assert len(read(tmp_path / "out.mp4")) == 40 - recording.dropped
    assert "the encoder is behind" in caplog.text
    assert f"out.mp4: {recording.dropped} pictures were left out" in caplog.text


def test_a_film_leaves_none_out(tmp_path: Path) -> None:
    recording = record(tmp_path / "out.mp4", np.arange(60) / 25, size_wh=(640, 360))
    assert recording.dropped == 0
    assert len(read(tmp_path / "out.mp4")) == 60


def test_without_frames_there_is_no_file_and_an_existing_one_is_left_alone(tmp_path: Path) -> None:
    old = tmp_path / "old.mp4"
    old.write_text("precious")
    for path in (old, tmp_path / "new.mp4"):
        recording = Recording(path, 25)
        recording.close()
        recording.close()
        assert recording.closed
    assert old.read_text() == "precious"
    assert names(tmp_path) == ["old.mp4"]


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_a_recording_of_ours_is_replaced_and_nothing_else(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"out{suffix}"
    for count in (3, 2):
        record(path, [index / 25 for index in range(count)])
        assert is_recording(path) and len(read(path)) == count
    path.write_text("of the user")
    recording = record(path, [0.0, 0.04])
    assert "this program did not make it" in str(recording.failed)
    assert path.read_text() == "of the user"


def test_a_live_recording_keeps_every_file_that_exists(tmp_path: Path) -> None:
    for text in ("out.mp4", "out-2.mp4"):
        (tmp_path / text).write_text("of the user")
    recording = Recording(tmp_path / "out.mp4", 25, live=True)
    for index, size_wh in enumerate([(160, 90), (80, 46)]):
        recording.write(*shot(index, index / 25, size_wh, arrived_s=time.monotonic()))
    recording.close()
    assert recording.failed is None
    new = [name for name in names(tmp_path) if name not in ("out.mp4", "out-2.mp4")]
    assert len(new) == 2 and all(is_recording(tmp_path / name) for name in new)
    assert (tmp_path / "out.mp4").read_text() == "of the user"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fps": 0.0}, "fps must be positive, got 0.0"),
        ({"fps": float("nan")}, "got nan"),
        ({"fps": 25, "preset": "quick"}, "preset must be one of ultrafast.*got 'quick'"),
        ({"fps": 25, "crf": 52}, "crf must be 0..51, got 52"),
        ({"fps": 25, "segment_s": 0}, "segment_s must be positive, got 0"),
    ],
)
def test_wrong_arguments_are_refused(tmp_path: Path, options: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Recording(tmp_path / "out.mp4", **options)


def test_a_recording_wants_pictures(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "out.mp4", 25)
    assert recording.wants_picture
    with pytest.raises(ValueError, match="got None"):
        recording.write(None, shot(0, 0.0)[1])
    recording.close()


def test_segments_follow_on_each_other_and_each_is_whole(tmp_path: Path) -> None:
    times = np.arange(80) / 25
    recording = record(tmp_path / "out.mp4", times, segment_s=1)
    assert recording.failed is None
    assert names(tmp_path) == [f"out-00{number}.mp4" for number in (1, 2, 3, 4)]
    seen = []
    for name in names(tmp_path):
        frames = read(tmp_path / name)
        assert frames[0].time == 0
        seen += levels(tmp_path / name)
        assert boxes(tmp_path / name) == FINISHED
    assert seen == pytest.approx([grey(i) for i in range(80)], abs=3)


def test_live_segments_are_called_after_the_time_of_their_first_picture(tmp_path: Path) -> None:
    recording = Recording(tmp_path / "out.mkv", 25, live=True, segment_s=60)
    before = datetime.now(UTC).replace(microsecond=0)
    recording.write(*shot(0, 500.0, arrived_s=time.monotonic()))
    recording.close()
    (name,) = names(tmp_path)
    named = datetime.strptime(name, "out-%Y%m%d-%H%M%S.mkv").replace(tzinfo=UTC)
    assert before <= named <= datetime.now(UTC)


def test_names_of_files(tmp_path: Path) -> None:
    path = tmp_path / "door.mp4"
    began = datetime(2026, 1, 31, 12, 0, 5, tzinfo=UTC)
    assert part_path(path, 1, segments=False).name == "door.mp4"
    assert part_path(path, 2, segments=False).name == "door-2.mp4"
    assert part_path(path, 12, segments=True).name == "door-012.mp4"
    named = part_path(path, 3, segments=True, began=began)
    assert named.name == "door-20260131-120005.mp4"
    named.touch()
    assert part_path(path, 4, segments=True, began=began).name == "door-20260131-120005-2.mp4"
