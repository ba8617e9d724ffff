"""Films whose pixels or times need care before they are what their maker meant."""

import contextlib
import threading
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import av
import numpy as np
import psutil
import pytest

from sources.decoding import Video, open_video, pictures_of, to_image
from structures import Image
from tests.clips import Open, number_of, numbered, opening, with_matrix, write_clip


@pytest.fixture
def opened() -> Iterator[Open]:
    yield from opening()


def quadrants(size_wh: tuple[int, int] = (64, 48)) -> Image:
    """Dark grey, blue, green and red, from the upper left corner row by row."""
    width, height = size_wh
    image = np.full((height, width, 3), 40, np.uint8)
    image[: height // 2, width // 2 :] = (200, 40, 40)
    image[height // 2 :, : width // 2] = (40, 200, 40)
    image[height // 2 :, width // 2 :] = (40, 40, 200)
    return image


@pytest.mark.parametrize(
    ("matrix", "expected"),
    [
        ((-1, 0, 0, 1), quadrants()[:, ::-1]),
        ((1, 0, 0, -1), quadrants()[::-1]),
        ((0, 1, 1, 0), quadrants().swapaxes(0, 1)),
        ((0, -1, -1, 0), quadrants()[::-1, ::-1].swapaxes(0, 1)),
        ((0, 0, 0, 0), quadrants()),
    ],
)
def test_a_mirrored_film_is_shown_as_it_was_seen(
    tmp_path: Path, opened: Open, matrix: tuple[int, int, int, int], expected: Image
) -> None:
    source = opened(with_matrix(write_clip(tmp_path / "clip.mp4", [quadrants()] * 3), matrix))
    assert source.size_wh == (expected.shape[1], expected.shape[0])
    for frame in source:
        assert np.abs(frame.image.astype(int) - expected).mean() < 3


@pytest.mark.parametrize(
    ("aspect", "size_wh"),
    [("2:1", (128, 48)), ("16:11", (93, 48)), ("1:2", (64, 96)), ("1:100", (64, 48))],
)
def test_pixels_that_are_not_square_are_made_so(
    tmp_path: Path, opened: Open, aspect: str, size_wh: tuple[int, int]
) -> None:
    settings = {"x264-params": "sar=" + aspect.replace(":", "/")}
    clip = write_clip(tmp_path / "clip.mp4", [quadrants()] * 3, settings=settings)
    source = opened(clip)
    assert source.size_wh == size_wh
    image = next(source).image.astype(int)
    height, width = image.shape[:2]
    for x, y in ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75)):
        wanted = quadrants()[round(48 * y), round(64 * x)].astype(int)
        assert np.abs(image[round(height * y), round(width * x)] - wanted).max() < 8


@pytest.mark.parametrize(
    ("matrix", "size_wh", "is_709"),
    [
        ("undef", (64, 720), True),
        ("undef", (64, 718), False),
        ("smpte170m", (64, 720), False),
        ("bt709", (64, 718), True),
    ],
)
def test_colours_without_a_tag_are_read_as_players_read_them(
    tmp_path: Path, opened: Open, matrix: str, size_wh: tuple[int, int], is_709: bool
) -> None:
    settings = {"x264-params": f"colormatrix={matrix}"}
    picture = quadrants(size_wh)  # stored with BT.601
    clip = write_clip(tmp_path / "clip.mp4", [picture] * 2, settings=settings)
    wanted = picture
    if is_709:
        stored = av.VideoFrame.from_ndarray(picture, format="bgr24").reformat(format="yuv444p")
        wanted = stored.to_ndarray(format="bgr24", src_colorspace="ITU709")
        assert np.abs(wanted.astype(int) - picture).max() > 20
    assert np.abs(next(opened(clip)).image.astype(int) - wanted).mean() < 2


def test_pictures_that_wait_hold_no_threads_of_their_own(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", numbered(60, (640, 360)))
    with contextlib.closing(open_video(str(clip), "clip")) as video:
        pictures = list(pictures_of(video, threading.Event()))
        to_image(pictures[0], video.reformatter)
        before = psutil.Process().num_threads()
        for picture in pictures:
            to_image(picture, video.reformatter)
        assert psutil.Process().num_threads() <= before


def test_of_several_streams_of_pictures_the_default_one_is_shown(
    tmp_path: Path, opened: Open
) -> None:
    path = tmp_path / "two.mkv"
    with av.open(str(path), "w") as container:
        streams = [container.add_stream("libx264", 25) for _ in range(2)]
        for stream, (width, height) in zip(streams, [(64, 48), (96, 64)], strict=True):
            stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        streams[1].disposition = av.stream.Disposition.default
        for _ in range(10):
            for stream in streams:
                picture = quadrants((stream.width, stream.height))
                container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="bgr24")))
        for stream in streams:
            container.mux(stream.encode(None))
    source = opened(path)
    assert source.size_wh == (96, 64)
    assert len(list(source)) == 10


def test_times_in_avi_grow_evenly_with_b_frames(tmp_path: Path, opened: Open) -> None:
    settings = {"bf": "3", "b_adapt": "0", "rc-lookahead": "10"}
    clip = write_clip(tmp_path / "clip.avi", numbered(40), settings=settings)
    frames = list(opened(clip))
    assert [number_of(frame.image) for frame in frames] == list(range(40))
    assert np.diff([frame.time_s for frame in frames]) == pytest.approx([0.04] * 39)


@pytest.mark.parametrize("starts_s", [(0, 0), (0, 100), (100, 0)])
def test_a_broadcast_whose_clock_leaps_continues_evenly(
    tmp_path: Path, opened: Open, starts_s: tuple[float, float]
) -> None:
    clip, parts = tmp_path / "clip.ts", b""
    for start_s in starts_s:
        options = {"output_ts_offset": str(start_s)}
        write_clip(clip, numbered(20), pixels="yuv420p", options=options)
        parts += clip.read_bytes()
    clip.write_bytes(parts)
    source = opened(clip)
    times = [frame.time_s for frame in source]
    assert times == pytest.approx([index / 25 for index in range(40)], abs=1e-4)
    assert source.frame_count == 40


def test_frames_of_a_long_broadcast_are_counted_by_its_size_where_its_clock_leaps(
    tmp_path: Path, opened: Open
) -> None:
    clip, parts = tmp_path / "clip.ts", b""
    for start_s in (0, 10_000):
        write_clip(clip, numbered(40) * 8, options={"output_ts_offset": str(start_s)})
        parts += clip.read_bytes()
    clip.write_bytes(parts)
    assert opened(clip).frame_count == pytest.approx(640, rel=0.1)


def trimmed(path: Path, start_s: float) -> Path:
    """A copy of a film from `start_s` on, not encoded again: an edit list hides what is before."""
    out = path.with_stem("trimmed")
    with av.open(str(path)) as old, av.open(str(out), "w") as new:
        stream = new.add_stream_from_template(old.streams.video[0])
        for packet in old.demux(video=0):
            if packet.pts is not None and packet.dts is not None and packet.time_base:
                shift = round(start_s / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = stream
                new.mux(packet)
    return out


@pytest.mark.parametrize(("shown_s", "frames"), [(0.03, 1), (1.6, 40), (2.4, 60)])
def test_a_trimmed_film_has_the_frames_that_it_shows_at_least_one(
    shown_s: float, frames: int
) -> None:
    container: Any = SimpleNamespace(duration=round(shown_s * av.time_base))
    stream: Any = SimpleNamespace(frames=60, average_rate=Fraction(25), guessed_rate=0, base_rate=0)
    assert Video(container, stream, "trimmed").frame_count == frames


def test_a_trimmed_film_is_not_called_damaged_but_one_cut_off_is(
    tmp_path: Path, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    clip = write_clip(tmp_path / "clip.mp4", numbered(60), options={"movflags": "+faststart"})
    source = opened(trimmed(clip, 0.8))
    numbers = [number_of(frame.image) for frame in source]
    assert numbers == list(range(20, 60)) and source.frame_count == 40
    assert not caplog.records
    clip.write_bytes(clip.read_bytes()[: clip.stat().st_size // 2])
    assert 0 < len(list(opened(clip))) < 60
    assert "of 60 frames: it may be damaged or cut off" in caplog.text


@pytest.mark.parametrize("within_frame", [True, False])
def test_a_fragmented_film_that_is_cut_off_gives_all_whole_frames_and_a_warning(
    tmp_path: Path, opened: Open, caplog: pytest.LogCaptureFixture, within_frame: bool
) -> None:
    options = {"movflags": "frag_keyframe+empty_moov+default_base_moof"}
    settings = {"g": "25", "bf": "2"}
    clip = write_clip(tmp_path / "clip.mp4", numbered(60), options=options, settings=settings)
    assert len(list(opened(clip))) == 60
    with contextlib.closing(open_video(str(clip), "clip")) as video:
        video.container.seek(1_000_000)
        assert len(list(pictures_of(video, threading.Event()))) < 60
    assert not caplog.records
    with av.open(str(clip)) as container:
        packet = [each for each in container.demux(video=0) if each.size][40]
    assert packet.pos is not None
    clip.write_bytes(clip.read_bytes()[: packet.pos + (packet.size // 2 if within_frame else 0)])
    numbers = [number_of(frame.image) for frame in opened(clip)]
    assert len(numbers) == 40 and set(range(38)) < set(numbers)
    assert "clip.mp4 ends early: it is damaged or cut off" in caplog.text


@pytest.mark.data
def test_the_fragmented_case_gives_as_many_frames_as_ffmpeg(
    cases_dir: Path, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    assert len(list(opened(cases_dir / "fragmented_cut.mp4"))) == 54
    assert "cut off" in caplog.text


@pytest.mark.parametrize(
    ("name", "options"), [("c.mkv", {}), ("c.webm", {}), ("c.mkv", {"live": "1"})]
)
def test_a_matroska_film_that_is_cut_off_says_so(
    name: str,
    options: dict[str, str],
    tmp_path: Path,
    opened: Open,
    caplog: pytest.LogCaptureFixture,
) -> None:
    codec = "libvpx" if name.endswith("webm") else "libx264"
    clip = write_clip(tmp_path / name, numbered(40), codec=codec, pixels="yuv420p", options=options)
    opened(clip)
    assert "cut off" not in caplog.text
    data = clip.read_bytes()
    clip.write_bytes(data[:-100])
    opened(clip)
    told = f"{len(data) - 100} of {len(data)} bytes" in caplog.text
    assert told != bool(options)  # a live one states no size
