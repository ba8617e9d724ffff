import time
from datetime import UTC, datetime
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from outputs.recording.parts import part_path
from outputs.recording.sink import Recording
from tests.recordings import (
    flashes_and_clicks,
    grey,
    lengths,
    levels,
    names,
    read,
    record,
    shot,
    write_clicks,
)


def copied(film, path, **options):
    """A recording of `film` with its own pictures, as the program would make it."""
    recording = Recording(path, 25, sound_from=film, **options)
    for index, frame in enumerate(read(film)):
        picture = frame.to_ndarray(format="bgr24")
        recording.write(picture, shot(index, frame.time)[1])
    recording.close()
    return recording


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
        data = (tmp_path / name).read_bytes()
        assert data.index(b"moov") < data.index(b"mdat") and b"moof" not in data
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

    def packets(path):
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


def test_sound_that_is_gone_at_the_end_is_told_and_the_pictures_are_kept(
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
