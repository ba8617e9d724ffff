"""The sound of a film in recordings of it."""

import contextlib
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from outputs.recording.encoder import Encoding
from outputs.recording.h264 import H264File
from outputs.recording.sink import Recording
from sources.open import open_source
from structures import FrameResult
from tests.recordings import (
    flashes_and_clicks,
    lengths,
    read,
    record,
    shot,
    write_clicks,
)


def copied(film: Path, path: Path, **options: Any) -> Recording:
    """A recording of `film` with its own pictures, as the program would make it."""
    recording = Recording(path, 25, sound_from=film, **options)
    for index, frame in enumerate(read(film)):
        picture = frame.to_ndarray(format="bgr24")
        recording.write(picture, shot(index, frame.time)[1])
    recording.close()
    return recording


@pytest.mark.parametrize("suffix", [".mp4", ".mov", ".mkv"])
def test_the_sound_of_a_film_is_kept_in_time(tmp_path: Path, suffix: str) -> None:
    film = write_clicks(tmp_path / "film.mp4")
    copied(film, tmp_path / f"out{suffix}")
    flashes, clicks = flashes_and_clicks(tmp_path / f"out{suffix}")
    assert flashes == pytest.approx([1.0, 2.0], abs=0.002)
    assert clicks == pytest.approx(flashes, abs=0.005)


def test_sound_is_copied_packet_by_packet(tmp_path: Path) -> None:
    film = write_clicks(tmp_path / "film.mp4")
    copied(film, tmp_path / "out.mp4")

    def packets(path: Path) -> list[bytes]:
        with av.open(str(path)) as file:
            return [bytes(packet) for packet in file.demux(audio=0) if packet.size]

    theirs, ours = packets(film), packets(tmp_path / "out.mp4")
    assert len(ours) > 100 and ours == theirs[1 : len(ours) + 1]  # the first lies before zero


def test_sound_ends_with_the_pictures(tmp_path: Path) -> None:
    film = write_clicks(tmp_path / "film.mp4", seconds=4)
    record(tmp_path / "out.mp4", np.arange(40) / 25, sound_from=film)
    ends = lengths(tmp_path / "out.mp4")
    assert ends["video"] == pytest.approx(1.6, abs=0.05)
    assert ends["audio"] == pytest.approx(1.6, abs=0.05)


def test_each_segment_has_its_own_sound_in_time(tmp_path: Path) -> None:
    film = write_clicks(tmp_path / "film.mp4", seconds=5)
    copied(film, tmp_path / "out.mp4", segment_s=1.3)
    heard = []
    for number in (1, 2, 3, 4):
        flashes, clicks = flashes_and_clicks(tmp_path / f"out-00{number}.mp4")
        assert clicks == pytest.approx(flashes, abs=0.005)
        heard += clicks
    assert heard == pytest.approx([1.0, 2.0 - 1.32, 3.0 - 2.6, 4.0 - 3.92], abs=0.03)


def test_a_film_whose_times_begin_late_keeps_its_sound_in_time(tmp_path: Path) -> None:
    film, late = write_clicks(tmp_path / "film.mkv"), tmp_path / "late.mkv"
    with av.open(str(film)) as old, av.open(str(late), "w") as new:
        streams = [new.add_stream_from_template(stream) for stream in old.streams]
        for packet in old.demux():
            if packet.dts is not None:
                shift = round(Fraction(7) / packet.time_base)
                packet.pts, packet.dts = packet.pts + shift, packet.dts + shift
                packet.stream = streams[packet.stream.index]
                new.mux(packet)
    recording = Recording(tmp_path / "out.mp4", 25, sound_from=late)
    for index, frame in enumerate(read(late)):  # a film's time begins at 0
        picture = frame.to_ndarray(format="bgr24")
        recording.write(picture, shot(index, frame.time - 7)[1])
    recording.close()
    flashes, clicks = flashes_and_clicks(tmp_path / "out.mp4")
    assert flashes == pytest.approx([1.0, 2.0], abs=0.002)
    assert clicks == pytest.approx(flashes, abs=0.005)


def test_sound_that_the_file_cannot_hold_is_left_out_and_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    film = write_clicks(tmp_path / "film.mkv", codec="pcm_u8", rate=8000)
    copied(film, tmp_path / "out.mp4")
    assert "its sound (pcm_u8) is left out" in caplog.text
    assert set(lengths(tmp_path / "out.mp4")) == {"video"}
    caplog.clear()
    copied(film, tmp_path / "out.mkv")
    assert set(lengths(tmp_path / "out.mkv")) == {"video", "audio"}
    assert not caplog.records


def test_where_there_is_no_sound_nothing_is_said(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    film = tmp_path / "silent.mp4"
    record(film, [0.0, 0.04])
    copied(film, tmp_path / "out.mp4")
    assert set(lengths(tmp_path / "out.mp4")) == {"video"}
    record(tmp_path / "out2.mp4", [0.0, 0.04], sound_from=tmp_path / "gone.mp4")
    assert not caplog.records


def test_sound_that_is_gone_at_the_end_is_reported_and_the_pictures_are_kept(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    film = write_clicks(tmp_path / "film.mp4")
    recording = Recording(tmp_path / "out.mp4", 25, sound_from=film)
    film.unlink()
    for index in range(10):
        recording.write(*shot(index, index / 25))
    recording.close()
    assert len(read(tmp_path / "out.mp4")) == 10
    assert "out.mp4: the sound is left out" in caplog.text


def test_sound_in_the_form_of_mpeg_ts_is_kept_too(tmp_path: Path) -> None:
    film = write_clicks(tmp_path / "film.ts")
    for suffix in (".mp4", ".mov", ".mkv"):
        recording = copied(film, tmp_path / f"out{suffix}")
        assert recording.failed is None
        flashes, clicks = flashes_and_clicks(tmp_path / f"out{suffix}")
        assert len(flashes) == 2 and clicks == pytest.approx(flashes, abs=0.03)


def test_sound_that_ends_early_holds_no_pictures_back(tmp_path: Path) -> None:
    film = write_clicks(tmp_path / "film.mp4", seconds=1)
    file = H264File(tmp_path / "out.mp4", (160, 90), Encoding("ultrafast", 25, 25.0), 0.0, film)
    for index in range(100):
        file.write(shot(index, 0.0)[0], index / 25, 0)
    assert len(read(file.path)) > 75
    file.finish()
    assert len(read(file.path)) == 100


def test_the_sound_of_a_broadcast_whose_clock_restarts_continues(tmp_path: Path) -> None:
    film = write_clicks(tmp_path / "film.ts")
    film.write_bytes(2 * film.read_bytes())
    recording = Recording(tmp_path / "out.mp4", 25, sound_from=film)
    with contextlib.closing(open_source(str(film))) as source:
        for frame in source:
            recording.write(frame.image, FrameResult(frame))
    recording.close()
    flashes, clicks = flashes_and_clicks(tmp_path / "out.mp4")
    assert flashes == pytest.approx([1.0, 2.0, 4.0, 5.0], abs=0.1)
    assert clicks == pytest.approx(flashes, abs=0.1)
