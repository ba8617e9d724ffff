import contextlib
import itertools
import threading
from collections.abc import Callable, Generator
from concurrent.futures import Future
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from archive.films import Film, Report, make_folder
from archive.jobs import JobContext, Outcome
from archive.running import FilmJob, run_films
from archive.slices import cut, index_film, read_frames
from outputs.recording.h264 import concatenate
from outputs.recording.sink import Recording
from program.options import TrackingOptions
from sources.open import open_source
from structures import Frame, FrameResult
from tests.archives import OneWorker
from tests.clips import numbered, write_clip
from tests.fakes import grey


class Unheard:
    """Progress that nobody listens to."""

    def count(self, frames: int = 1) -> None:
        pass

    def flush(self) -> None:
        pass


UNHEARD = JobContext(Unheard())


def film_at(path: Path, folder: Path) -> Film:
    return Film(path, folder, path.stem, {})


@pytest.mark.parametrize("every", [1, 3])
@pytest.mark.parametrize(("frames", "slice_s"), [(1000, 5), (1001, 10), (100, 60), (7, 1), (0, 1)])
def test_slices_have_the_say_over_every_frame_exactly_once(
    frames: int, slice_s: int, every: int
) -> None:
    tracking = TrackingOptions(detect_every=every)
    parts = cut(frames, 25.0, slice_s, tracking)
    assert [i for part in parts for i in range(part.own, part.stop)] == list(range(frames))
    for part, following in itertools.pairwise(parts):
        assert part.own <= following.first < following.own == part.stop
        assert following.first % every == 0
        assert following.own - following.first > tracking.max_age


def test_for_hindsight_a_slice_is_analysed_for_a_second_beyond_its_end() -> None:
    plain, strict = (cut(1000, 25.0, 5, TrackingOptions(blur=way)) for way in ("blur", "strict"))
    assert [part.until for part in plain] == [part.stop for part in plain]
    assert [part.until for part in strict] == [min(part.stop + 25, 1000) for part in plain]
    assert [(part.first, part.own, part.stop) for part in strict] == [
        (part.first, part.own, part.stop) for part in plain
    ]


@pytest.mark.parametrize("fps", [10.0, 25.0, 60.0])
def test_the_overlap_outlasts_a_long_max_age_of_25_frames_a_second(fps: float) -> None:
    first, second, *_ = cut(6000, fps, 20, TrackingOptions(max_age=100))
    assert (first.stop - second.first) / fps > 100 / 25


@pytest.mark.parametrize("name", ["b_frames.mp4", "irregular.mp4", "film.mkv", "short_gops.mp4"])
def test_a_stretch_has_the_frames_that_the_whole_film_has_there(name: str, tmp_path: Path) -> None:
    times = [40 * i + (13 * i) % 29 for i in range(60)] if "irregular" in name else None
    settings = {"g": "7"} if "short" in name else {"bf": "3"}
    clip = write_clip(tmp_path / name, numbered(60), times_ms=times, settings=settings)
    with contextlib.closing(open_source(str(clip))) as source:
        whole = list(source)
    film = film_at(clip, tmp_path)
    assert index_film(UNHEARD, film) == len(whole) == 60
    for first, stop in [(0, 60), (1, 5), (6, 8), (25, 60), (59, 60)]:
        with contextlib.closing(read_frames(film, first, stop)) as source:
            part = list(source)
        assert [(f.index, f.time_s) for f in part] == [
            (f.index, f.time_s) for f in whole[first:stop]
        ]
        for frame, same in zip(part, whole[first:stop], strict=True):
            assert np.array_equal(frame.image, same.image)


def test_a_film_whose_times_cannot_be_trusted_is_not_cut(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "film.ts", numbered(20))
    assert index_film(UNHEARD, film_at(clip, tmp_path)) == 0


@pytest.mark.parametrize("uneven", [False, True])
def test_joined_recordings_play_every_picture_once_at_its_own_time(
    uneven: bool, tmp_path: Path
) -> None:
    pictures = [grey(4 * i + 10) for i in range(60)]
    times = [0.04 * i + (0.03 * ((i * 7) % 10) / 10 if uneven else 0) for i in range(60)]
    paths = []
    for first, stop in [(0, 20), (20, 41), (41, 42), (42, 60)]:
        paths.append(tmp_path / f"part-{first}.mp4")
        recording = Recording(paths[-1], 25.0, crf=1)
        for i in range(first, stop):
            recording.write(pictures[i], FrameResult(Frame(pictures[i], i, times[i], int(i >= 30))))
        recording.close()
    concatenate(paths, tmp_path / "whole.mp4")
    with av.open(str(tmp_path / "whole.mp4")) as container:
        shown = [(f.time, f.to_ndarray(format="bgr24")) for f in container.decode(video=0)]
        assert container.streams.video[0].frames == 60
        scenes = [float(each["start"] * (each["time_base"] or 0)) for each in container.chapters()]
    assert scenes == pytest.approx([0, times[30]], abs=0.002)
    assert [round((image.mean() - 8) / 4) for _, image in shown] == list(range(60))
    assert np.allclose([time_s for time_s, _ in shown], times, atol=2e-5)
    with av.open(str(tmp_path / "whole.mp4")) as container:
        container.seek(int(1.5 * av.time_base))
        assert 0.4 < next(container.decode(video=0)).time <= 1.5


def test_a_slice_that_is_done_early_does_not_end_every_wait(tmp_path: Path) -> None:
    """Or the program would turn round and round until the last slice is done."""
    quick: Future[Outcome] = Future()
    slow: Future[Outcome] = Future()
    futures, looks = [quick, slow], []

    class Scripted(OneWorker):
        def submit(self, job: Callable[..., Any], *arguments: Any) -> "Future[Outcome]":
            return futures.pop(0)

    def two_jobs() -> Generator[list[FilmJob], list[str], Report]:
        values = yield [FilmJob(print, ()), FilmJob(print, ())]
        assert values == ["quick", "slow"]
        return Report(frames=1, people=0)

    make_folder(tmp_path)
    film = Film(tmp_path / "film.mp4", tmp_path, "film", {})
    quick.set_result(Outcome(value="quick", began_s=0.0, ended_s=1.0))
    ending = threading.Timer(0.6, slow.set_result, [Outcome("slow", began_s=0.0, ended_s=2.0)])
    ending.start()
    [(_, end)] = run_films([(film, two_jobs())], Scripted(), lambda: looks.append(1))
    ending.join()
    assert len(looks) <= 4
    assert isinstance(end, Report)
    assert end.seconds == 2.0
