"""Films and names: each frame once and in order, at its true time, or a plain reason why not."""

import logging
import shutil
import threading
from fractions import Fraction
from functools import partial
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from sources.open import files_of, open_source
from tests.clips import (
    Open,
    endless,
    level,
    number_of,
    numbered,
    opening,
    problem_of,
    with_matrix,
    write_clip,
    write_sound,
)
from tests.fakes import ScriptedCamera, grey

opened = pytest.fixture(opening)


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("clip.mp4", "libx264", "yuv444p"),
        ("clip.mkv", "libx264", "yuv444p"),
        ("clip.avi", "mjpeg", "yuvj444p"),
        ("clip.webm", "libvpx-vp9", "yuv444p"),
    ],
)
def test_a_film_gives_every_frame_once_in_order_at_its_time(
    tmp_path: Path, opened: Open, name: str, codec: str, pixels: str
) -> None:
    fps = Fraction(30000, 1001)
    source = opened(write_clip(tmp_path / name, numbered(60), fps, codec=codec, pixels=pixels))
    frames = list(source)
    assert [number_of(frame.image) for frame in frames] == list(range(60))
    assert [frame.index for frame in frames] == list(range(60))
    times = [frame.time_s for frame in frames]  # Matroska keeps whole milliseconds
    assert times == pytest.approx([float(i / fps) for i in range(60)], abs=0.00101)
    assert {frame.epoch for frame in frames} == {0}
    assert source.fps == pytest.approx(29.97, abs=0.001)
    assert (source.is_live, source.size_wh, source.frame_count) == (False, (64, 48), 60)
    assert source.dropped == 0


def test_a_variable_frame_rate_keeps_its_true_times(tmp_path: Path, opened: Open) -> None:
    times_ms = [0, 40, 80, 480, 500, 1500, 1501, 2000]
    clip = write_clip(tmp_path / "vfr.mp4", numbered(8), times_ms=times_ms)
    frames = list(opened(clip))
    assert [frame.time_s * 1000 for frame in frames] == pytest.approx(times_ms, abs=0.01)
    assert [number_of(frame.image) for frame in frames] == list(range(8))


def test_media_time_counts_from_the_start_of_the_container(tmp_path: Path, opened: Open) -> None:
    """Transport streams begin at 1.4 s or anywhere else."""
    options = {"output_ts_offset": "1.4"}
    clip = write_clip(tmp_path / "clip.ts", numbered(10), pixels="yuv420p", options=options)
    with av.open(str(clip)) as container:
        assert container.start_time > 0
    times = [frame.time_s for frame in opened(clip)]
    assert times == pytest.approx([i / 25 for i in range(10)], abs=1e-4)


def test_raw_h264_without_timestamps_is_timed_by_its_rate(tmp_path: Path, opened: Open) -> None:
    clip = write_clip(tmp_path / "clip.h264", numbered(10))
    source = opened(clip)
    assert [frame.time_s for frame in source] == [i / source.fps for i in range(10)]


CLOCKWISE = {90: (0, 1, -1, 0), 180: (-1, 0, 0, -1), 270: (0, -1, 1, 0)}


@pytest.mark.parametrize("degrees", [90, 180, 270])
def test_a_phone_film_is_turned_upright(tmp_path: Path, opened: Open, degrees: int) -> None:
    picture = grey(40, (64, 48))
    picture[:16, :24] = (200, 120, 60)
    clip = with_matrix(write_clip(tmp_path / "clip.mp4", [picture] * 3), CLOCKWISE[degrees])
    source = opened(clip)
    images = [frame.image for frame in source]
    upright = np.rot90(picture, -degrees // 90)  # rot90 turns counter-clockwise
    assert source.size_wh == (upright.shape[1], upright.shape[0])
    for image in images:
        assert np.abs(image.astype(int) - upright).mean() < 3
    capture = cv2.VideoCapture(str(clip))  # a second opinion
    _, theirs = capture.read()
    capture.release()
    assert np.abs(images[0].astype(int) - theirs).mean() < 3


def test_odd_sizes_keep_every_column(tmp_path: Path, opened: Open) -> None:
    picture = grey(60, (65, 49))
    picture[:, -1] = 220
    source = opened(write_clip(tmp_path / "odd.mkv", [picture] * 2, codec="ffv1", pixels="bgr0"))
    assert source.size_wh == (65, 49)
    np.testing.assert_array_equal(next(source).image, picture)


def test_colours_are_blue_green_red_and_read_only(tmp_path: Path, opened: Open) -> None:
    picture = np.zeros((48, 64, 3), np.uint8)
    picture[:] = (230, 120, 10)
    frame = next(opened(write_clip(tmp_path / "c.mkv", [picture], codec="ffv1", pixels="bgr0")))
    assert frame.image[20, 20].tolist() == [230, 120, 10]
    with pytest.raises(ValueError, match="read-only"):
        frame.image[0, 0] = 0


def test_a_change_of_size_begins_a_new_epoch(tmp_path: Path, opened: Open) -> None:
    small = write_clip(tmp_path / "a.h264", numbered(6, (64, 48)))
    large = write_clip(tmp_path / "b.h264", numbered(5, (96, 64)))
    both = tmp_path / "both.h264"
    both.write_bytes(small.read_bytes() + large.read_bytes())
    frames = list(opened(both))
    assert [frame.size_wh for frame in frames] == [(64, 48)] * 6 + [(96, 64)] * 5
    assert [frame.epoch for frame in frames] == [0] * 6 + [1] * 5
    assert [number_of(frame.image) for frame in frames] == [*range(6), *range(5)]


@pytest.mark.parametrize("name", ["clip.mp4", "clip.mkv"])
def test_a_film_cut_off_gives_what_is_there_and_a_warning(
    tmp_path: Path, opened: Open, caplog: pytest.LogCaptureFixture, name: str
) -> None:
    noise = np.random.default_rng(0).integers(0, 60, (60, 48, 64, 3), np.uint8)
    pictures = [picture // 2 + level(i) for i, picture in enumerate(noise)]
    options = {"movflags": "faststart"} if name.endswith("mp4") else {}
    clip = write_clip(tmp_path / name, pictures, options=options)
    whole = [frame.image for frame in opened(clip)]
    with clip.open("r+b") as file:
        file.truncate(clip.stat().st_size * 6 // 10)
    with caplog.at_level(logging.WARNING):
        frames = list(opened(clip))
    assert 20 < len(frames) < 60
    for frame, before in zip(
        frames[:-1], whole, strict=False
    ):  # the last one may be half a picture
        np.testing.assert_array_equal(frame.image, before)
    if name.endswith("mp4"):  # a Matroska file may end anywhere
        assert "damaged" in caplog.text


def test_a_film_with_damaged_packets_continues_after_them(
    tmp_path: Path, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    clip = write_clip(tmp_path / "clip.avi", numbered(30), codec="png", pixels="rgb24")
    data = bytearray(clip.read_bytes())
    starts = [i for i in range(len(data)) if data[i : i + 8] == b"\x89PNG\r\n\x1a\n"]
    assert len(starts) == 30
    for start in starts[10:13]:
        data[start + 16 : start + 24] = bytes(8)  # width and height
    clip.write_bytes(data)
    with caplog.at_level(logging.WARNING):
        frames = list(opened(clip))
    assert [number_of(frame.image) for frame in frames] == [*range(10), *range(13, 30)]
    assert "clip.avi: 3 damaged packets were skipped" in caplog.text


def test_sound_beside_the_pictures_changes_nothing(tmp_path: Path, opened: Open) -> None:
    silent = write_clip(tmp_path / "silent.mp4", numbered(20))
    with_sound = tmp_path / "sound.mp4"
    sound = write_sound(tmp_path / "sound.m4a")
    with av.open(str(silent)) as a, av.open(str(sound)) as b, av.open(str(with_sound), "w") as out:
        streams = [out.add_stream_from_template(each.streams[0]) for each in (a, b)]
        for container, stream in zip((a, b), streams, strict=True):
            for packet in container.demux(container.streams[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    out.mux(packet)
    assert [number_of(frame.image) for frame in opened(with_sound)] == list(range(20))


def test_files_without_pictures_are_named_as_what_they_are(tmp_path: Path) -> None:
    text = tmp_path / "notes.txt"
    text.write_text("not a film\n" * 50)
    disguised = tmp_path / "film.mp4"
    shutil.copy(text, disguised)
    empty = tmp_path / "empty.mp4"
    empty.touch()
    folder = tmp_path / "folder"
    folder.mkdir()
    fake_picture = tmp_path / "fake.jpg"
    shutil.copy(text, fake_picture)
    assert "is not a video" in problem_of(text)
    assert "is not a video" in problem_of(disguised)
    assert "is empty (0 bytes)" in problem_of(empty)
    assert "audio only" in problem_of(write_sound(tmp_path / "song.m4a"))
    assert "holds no pictures" in problem_of(folder)
    assert "damaged or not a picture" in problem_of(fake_picture)
    assert "no such file or folder" in problem_of(tmp_path / "missing.mp4")
    assert "neither a file nor a folder" in problem_of("/dev/null")
    assert "no name" in problem_of("")
    assert "unknown kind of address" in problem_of("ftp://host/film.mp4")
    assert "~nosuch-user is nobody's home" in problem_of("~nosuch-user/film.mp4")


def test_a_file_name_with_a_colon_or_a_line_break_is_a_file_name(
    tmp_path: Path, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write_clip(tmp_path / "clip.mp4", numbered(2)).rename(tmp_path / "rtsp:clip\n.mp4")
    source = opened("rtsp:clip\n.mp4")
    assert len(list(source)) == 2
    assert source.name == "rtsp:clip?.mp4"


def test_a_name_may_end_in_a_blank_and_a_film_may_be_called_a_picture(
    tmp_path: Path, opened: Open
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", numbered(5))
    for name in ("clip.mp4 ", "film.jpg", "film.PNG"):
        shutil.copy(clip, tmp_path / name)
        assert [number_of(frame.image) for frame in opened(tmp_path / name)] == list(range(5))
        assert files_of(str(tmp_path / name)) == [tmp_path / name]
    assert len(list(opened(f" {clip} "))) == 5


def with_codec(path: Path, old: bytes, new: bytes) -> Path:
    path.write_bytes(path.read_bytes().replace(old, new))
    return path


def test_films_that_cannot_be_played_are_named_as_what_they_are(tmp_path: Path) -> None:
    for name, old, new in (
        ("a.mp4", b"avc1", b"zzz1"),
        ("b.mkv", b"V_MPEG4/ISO/AVC", b"V_MPEG4/ISO/XXX"),
    ):
        clip = with_codec(write_clip(tmp_path / name, numbered(5)), old, new)
        assert "is in a format that FFmpeg lacks; convert it" in problem_of(clip)
    for name in ("empty.mp4", "empty.mkv"):
        with av.open(str(tmp_path / name), "w") as container:
            stream = container.add_stream("libx264", 25)
            stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
            container.start_encoding()
        assert "holds no frames at all" in problem_of(tmp_path / name)
    srt = problem_of("srt://127.0.0.1:9000")
    assert "FFmpeg is built without SRT; send RTSP" in srt
    assert "srt" not in problem_of("ftp://host/film.mp4")


def test_a_film_of_a_fast_camera_keeps_its_rate(tmp_path: Path, opened: Open) -> None:
    source = opened(write_clip(tmp_path / "clip.mp4", numbered(20), fps=Fraction(2000)))
    assert (source.fps, source.frame_count) == (2000, 20)
    assert [frame.time_s for frame in source] == pytest.approx([i / 2000 for i in range(20)])


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="width must be positive, got 0"):
        open_source("0", width=0)


@pytest.mark.parametrize("gop", ["1", "12", "250"])
@pytest.mark.parametrize("name", ["clip.mp4", "clip.ts", "clip.h264"])
def test_a_film_goes_on_from_a_time_that_is_sought_in_a_new_epoch(
    tmp_path: Path, opened: Open, name: str, gop: str
) -> None:
    clip = write_clip(tmp_path / name, numbered(50), options=None, settings={"g": gop})
    source = opened(str(clip))
    first = next(source)
    epochs = [first.epoch]
    for time_s, number in ((1.2, 30), (0.0, 0), (0.48, 12)):
        assert source.seek(time_s)
        frame = next(source)
        assert number_of(frame.image) == number
        assert frame.time_s == pytest.approx(number / 25)
        assert number_of(next(source).image) == number + 1
        epochs.append(frame.epoch)
    assert len(set(epochs)) == 4
    assert len(list(source)) == 50 - 14


@pytest.mark.parametrize(
    ("name", "codec", "gop"), [("clip.ts", "libx264", "250"), ("clip.mpg", "mpeg1video", "12")]
)
def test_a_long_film_without_an_index_goes_on_from_the_time_that_is_sought(
    tmp_path: Path, opened: Open, name: str, codec: str, gop: str
) -> None:
    write = partial(write_clip, pixels="yuv420p", codec=codec, settings={"g": gop})
    clip = write(tmp_path / name, numbered(50) * 12)
    source = opened(str(clip))
    for time_s in (22.0, 1.0, 15.2, 11.0, 23.6):
        assert source.seek(time_s)
        frame = next(source)
        assert frame.time_s == pytest.approx(time_s, abs=0.021)
        assert number_of(frame.image) == pytest.approx(round(time_s * 25) % 50, abs=1)


def test_after_its_end_a_film_can_still_be_gone_back_in(tmp_path: Path, opened: Open) -> None:
    source = opened(str(write_clip(tmp_path / "clip.mp4", numbered(10))))
    assert len(list(source)) == 10
    assert source.seek(0.2) and len(list(source)) == 5


def test_the_test_pattern_has_no_other_place_to_go_to(opened: Open) -> None:
    assert not opened("test:64x48,duration=1").seek(0.5)


def test_closing_ends_the_iteration(tmp_path: Path, opened: Open) -> None:
    source = opened(write_clip(tmp_path / "clip.mp4", numbered(60)))
    assert next(source).index == 0
    source.close()
    assert list(source) == []


def test_the_test_pattern_moves_and_ends(opened: Open) -> None:
    source = opened("test:320x180@30000/1001,duration=0.5")
    frames = list(source)
    assert len(frames) == source.frame_count == 15
    assert source.size_wh == (320, 180)
    assert source.fps == pytest.approx(30000 / 1001)
    assert not source.is_live
    assert not np.array_equal(frames[0].image, frames[1].image)
    assert [frame.time_s for frame in frames] == pytest.approx(
        [i * 1001 / 30000 for i in range(15)]
    )


@pytest.mark.parametrize(
    ("text", "size_wh", "fps", "count"),
    [
        ("test:", (640, 360), 25, 250),
        ("test:duration=4", (640, 360), 25, 100),
        ("test:1280x720@30", (1280, 720), 30, 300),
        ("test:@12.5", (640, 360), 12.5, 125),
    ],
)
def test_the_test_pattern_takes_its_options_from_its_address(
    opened: Open, text: str, size_wh: tuple[int, int], fps: float, count: int
) -> None:
    source = opened(text)
    assert (source.size_wh, source.fps, source.frame_count) == (size_wh, fps, count)
    assert next(source).size_wh == size_wh


@pytest.mark.parametrize(
    "text", ["test:big", "test:0x0", "test:@0", "test:@1/0", "test:duration=0"]
)
def test_a_test_pattern_that_cannot_be_is_refused(text: str) -> None:
    assert text in problem_of(text)


def open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_fifty_openings_leave_no_thread_and_no_file_open(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", numbered(30))
    camera = numbered(2)

    def cycle() -> None:
        for text in (str(clip), "test:64x48"):
            source = open_source(text)
            next(source)
            source.close()
        source = open_source(0, open_camera=lambda index: ScriptedCamera(endless(camera)))
        next(source)
        source.close()

    cycle()
    before = threading.active_count(), open_files()
    for _ in range(50):
        cycle()
    assert (threading.active_count(), open_files()) == before


@pytest.mark.data
def test_a_real_clip_agrees_with_opencv_frame_by_frame(data_dir: Path, opened: Open) -> None:
    path = data_dir / "clips" / "talking_head_small.mp4"
    frames = list(opened(path))
    capture = cv2.VideoCapture(str(path))
    for frame in frames:
        arrived, theirs = capture.read()
        assert arrived
        theirs = cv2.resize(theirs, frame.size_wh)  # OpenCV leaves pixels of 12:11 as they are
        assert np.abs(frame.image.astype(int) - theirs).mean() < 2
    assert not capture.read()[0]
    capture.release()
