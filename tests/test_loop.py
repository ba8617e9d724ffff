import itertools
import threading
from collections.abc import Iterator, Sequence
from concurrent.futures import Future
from dataclasses import replace
from typing import Never

import numpy as np
import pytest

from detectors import Detector
from drawing.hiding import USUAL_HIDING
from drawing.overlay import Overlay
from errors import SourceLostError
from outputs import Sink
from program.load import LoadControl
from program.loop import Channel, Loop, Tally
from program.pipeline import Pipeline
from sources import Source
from structures import (
    Detections,
    Float32,
    Frame,
    FrameResult,
    Image,
    SourceState,
    SourceStatus,
)
from tests.fakes import ConstantEstimator, ListSource, ScriptedDetector, failing_source, film
from threads import DetectorPool
from tracking.memory import PeopleMemory
from tracking.places import FacePlaces
from tracking.recall import Recall
from tracking.smoothing import TrackSmoother
from tracking.sort import SortTracker

LEFT, RIGHT = [40.0, 60.0, 140.0, 180.0], [300.0, 60.0, 400.0, 180.0]
SIZE = (480, 270)
Pool = DetectorPool[Detector]


class ListSink:
    """Keeps what it is given; closes itself after `most` frames."""

    wants_picture = False

    def __init__(self, most: int | None = None) -> None:
        self.results: list[FrameResult] = []
        self.refreshed: list[FrameResult] = []
        self._most = most
        self.most_refreshed: int | None = None

    @property
    def closed(self) -> bool:
        full = self._most is not None and len(self.results) >= self._most
        return full or len(self.refreshed) == self.most_refreshed

    def write(self, picture: Image | None, result: FrameResult) -> None:
        assert picture is None
        self.results.append(result)

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        self.refreshed.append(result)

    def close(self) -> None:
        pass


class PlacedDetector(ScriptedDetector):
    """Finds a face as far to the right as the picture is bright: each picture has its own."""

    def __init__(self) -> None:
        super().__init__([])

    def detect(self, image: Image, coarse: float = 1.0) -> Detections:
        self.calls += 1
        return self._found(self._boxes(image))

    def detect_near(self, image: Image, boxes: Float32) -> Detections:
        self.near_calls += 1
        return self._found(self._boxes(image)[: len(boxes)])

    def _boxes(self, image: Image) -> Float32:
        x = 2.0 * float(image[0, 0, 0])
        return np.array([[x, 60, x + 100, 180]], np.float32)


@pytest.fixture
def pool() -> Iterator[Pool]:
    pool = Pool(PlacedDetector, 3)
    yield pool
    pool.close()


def channel_on(
    source: Source, every: int | None = 1, name: str = "", max_frames: int | None = None
) -> Channel:
    pipeline = Pipeline(
        PlacedDetector(), SortTracker(), ConstantEstimator(), TrackSmoother(), every
    )
    return Channel(source, pipeline, name, max_frames)


def loop_of(
    channels: Sequence[Channel],
    pool: Pool,
    sinks: Sequence[Sink],
    control: LoadControl | None = None,
) -> Loop:
    return Loop(channels, pool, ConstantEstimator(), sinks, Overlay(), control)


class Book(ListSource):
    """A film that can be opened at any page."""

    epoch = 0

    def seek(self, time_s: float) -> bool:
        pages = film(60, SIZE)[round(25 * time_s) :]
        self.epoch += 1
        self._frames = iter([replace(page, epoch=self.epoch) for page in pages])
        return True


def test_a_film_is_gone_on_and_back_in_and_its_people_are_new_there(pool: Pool) -> None:
    loop = loop_of([channel_on(Book(film(60, SIZE)))], pool, [])
    results = loop.run()
    first = [next(results) for _ in range(5)]
    assert (loop.seek(1.0), loop.seek(0.2)) == ("to 0:01", "to 0:01")
    there = next(results)
    assert there.frame.index == 4 + 30 and there.frame.epoch == 2
    assert loop.seek(-100.0) == "to 0:00"
    again = [next(results) for _ in range(5)]
    assert [result.frame.index for result in again] == list(range(5))
    ids = [
        {track.track_id for result in part for track in result.tracks} for part in (first, again)
    ]
    assert ids[0] and ids[1] and not ids[0] & ids[1]
    assert len(list(results)) == 55


def test_what_has_ended_is_told_as_ended_with_the_last_words(pool: Pool) -> None:
    sink = ListSink()
    loop = loop_of([channel_on(ListSource(film(5, SIZE)))], pool, [sink])
    list(loop.run())
    assert loop.ended and loop.seconds == pytest.approx(5 / 25)
    sink.most_refreshed = 1
    loop.linger("2 people")
    (last,) = sink.refreshed
    assert last.status == SourceStatus(SourceState.ENDED, "2 people") and last.fps == 0
    assert last.frame is sink.results[-1].frame


def test_a_camera_has_no_other_place_to_go_to(pool: Pool) -> None:
    live = channel_on(ListSource(film(3, SIZE), is_live=True))
    assert "only films" in loop_of([live], pool, []).seek(5.0)


class Stalled(ListSource):
    """A film of which no frame comes; keeps for how long one was waited for."""

    def __init__(self) -> None:
        super().__init__(film(3, SIZE))
        self.waits_s: list[float | None] = []

    def take(self, timeout_s: float | None = None) -> Frame | None:
        self.waits_s.append(timeout_s)
        return None


def test_a_film_that_stalls_keeps_no_camera_waiting(pool: Pool) -> None:
    live, stalled = ListSource(film(6, SIZE), is_live=True), Stalled()
    channels = [channel_on(source) for source in (live, stalled)]
    results = list(itertools.islice(loop_of(channels, pool, []).run(), 6))
    assert [result.frame.index for result in results] == list(range(6))
    assert set(stalled.waits_s) == {0.0}


def test_photographs_have_been_shown_though_one_could_not_be_read(pool: Pool) -> None:
    album = ListSource([replace(frame, epoch=frame.index) for frame in film(4, SIZE)])
    album.frame_count, album.dropped = 5, 1
    loop = loop_of([channel_on(album)], pool, [])
    assert len(list(loop.run())) == 4
    assert loop.shows_photographs


@pytest.mark.parametrize("every", [1, 4, None])
def test_every_frame_of_a_film_comes_once_in_order_with_its_own_faces(
    pool: Pool, every: int | None
) -> None:
    sink = ListSink()
    results = list(loop_of([channel_on(ListSource(film(60, SIZE)), every)], pool, [sink]).run())
    assert results == sink.results
    assert [r.frame.index for r in results] == list(range(60))
    for result in results:
        (track,) = result.tracks
        assert track.box[0] == pytest.approx(2 * result.frame.index, abs=4)


def test_with_threads_a_film_gives_the_same_as_frame_by_frame(pool: Pool) -> None:
    frames = film(40, SIZE)
    alone = channel_on(ListSource(frames), 3).pipeline
    want = [alone.process(frame) for frame in frames]
    got = list(loop_of([channel_on(ListSource(frames), 3)], pool, []).run())
    for (tracks, people), result in zip(want, got, strict=True):
        assert [t.track_id for t in tracks] == [t.track_id for t in result.tracks]
        for a, b in zip(tracks, result.tracks, strict=True):
            np.testing.assert_array_equal(a.box, b.box)
        assert {i: p.age_years for i, p in people.items()} == {
            i: p.age_years for i, p in result.people.items()
        }


def test_it_ends_after_as_many_frames_as_were_asked_for(pool: Pool) -> None:
    channel = channel_on(ListSource(film(60, SIZE)), max_frames=7)
    assert len(list(loop_of([channel], pool, []).run())) == 7


def test_it_ends_without_waiting_for_one_frame_more(pool: Pool) -> None:
    class Silent(ListSource):
        def take(self, timeout_s: float | None = None) -> Frame | None:
            frame = next(self._frames, None)
            assert frame is not None, "asked for a frame too many"
            return frame

    channel = channel_on(Silent(film(3, SIZE), is_live=True), max_frames=3)
    assert len(list(loop_of([channel], pool, []).run())) == 3


def test_a_sink_that_closes_ends_it(pool: Pool) -> None:
    sink = ListSink(most=5)
    list(loop_of([channel_on(ListSource(film(60, SIZE)))], pool, [sink]).run())
    assert len(sink.results) == 5


def test_a_lost_source_is_an_error_after_all_its_frames(pool: Pool) -> None:
    sink = ListSink()
    loop = loop_of([channel_on(failing_source(5, SourceLostError("lost")))], pool, [sink])
    with pytest.raises(SourceLostError):
        list(loop.run())
    assert len(sink.results) == 5


def test_what_a_search_raises_is_raised_in_the_loop() -> None:
    def broken() -> Never:
        raise RuntimeError("no detector")

    pool = Pool(broken, 1)
    with pytest.raises(RuntimeError, match="no detector"):
        list(loop_of([channel_on(ListSource(film(3, SIZE)))], pool, []).run())
    pool.close()


class SilentSource(ListSource):
    """Live; has nothing to give until it is let go, then ends."""

    status = SourceStatus(SourceState.STALLED, "no picture for 2 s")

    def __init__(self) -> None:
        super().__init__(film(1, SIZE), is_live=True)
        self.let_go = threading.Event()

    def take(self, timeout_s: float | None = None) -> Frame | None:
        if self.let_go.wait(timeout_s):
            raise StopIteration
        return None


def test_while_no_frame_comes_the_sinks_receive_the_state(pool: Pool) -> None:
    source = SilentSource()

    class Impatient(ListSink):
        def refresh(self, picture: Image | None, result: FrameResult) -> None:
            super().refresh(picture, result)
            if len(self.refreshed) == 3:
                source.let_go.set()

    sink = Impatient()
    assert list(loop_of([channel_on(source)], pool, [sink]).run()) == []
    assert {r.status.state for r in sink.refreshed} == {SourceState.STALLED}


def test_a_lost_camera_counts_as_connected_for_the_frames_in_hand(pool: Pool) -> None:
    class Broken(ListSource):
        def take(self, timeout_s: float | None = None) -> Frame | None:
            frame = next(self._frames, None)
            if frame is not None and frame.index == 2:
                self.status = SourceStatus(SourceState.RECONNECTING, connected=False)
            return frame

    sink = ListSink(most=3)
    list(loop_of([channel_on(Broken(film(3, SIZE), is_live=True))], pool, [sink]).run())
    last = sink.results[-1].status
    assert [r.status.connected for r in sink.results] == [True, True, False]
    assert last.state is SourceState.RECONNECTING


def test_a_silent_camera_does_not_hold_up_the_others(pool: Pool) -> None:
    silent, film_source = SilentSource(), ListSource(film(30, SIZE))
    sink = ListSink(most=30)
    channels = [channel_on(silent, name="yard"), channel_on(film_source, name="door")]
    list(loop_of(channels, pool, [sink]).run())
    assert [r.frame.index for r in sink.results] == list(range(30))
    assert {r.camera for r in sink.results} == {"door"}


def test_two_cameras_take_turns(pool: Pool) -> None:
    channels = [channel_on(ListSource(film(20, SIZE)), name=name) for name in ("one", "two")]
    order = [r.camera for r in loop_of(channels, pool, []).run()]
    assert len(order) == 40
    assert abs(order[:20].count("one") - 10) <= 5


def test_what_may_be_a_face_is_hidden_before_any_output_sees_the_picture(
    pool: Pool,
) -> None:
    """Also where the tracker does not call it a person, or lost it a moment ago."""

    class Watching(ListSink):
        wants_picture = True

        def __init__(self) -> None:
            super().__init__()
            self.pictures: list[Image | None] = []

        def write(self, picture: Image | None, result: FrameResult) -> None:
            self.pictures.append(picture)
            self.results.append(result)

    noise = np.random.default_rng(5).integers(0, 256, (270, 480, 3), np.uint8)
    frames = [Frame(noise, i, i / 25) for i in range(8)]
    script = [[], [], [LEFT], [LEFT], [], [], [], []]
    detector = ScriptedDetector(script)
    tracker = SortTracker(min_hits=100, max_age=0, start_score=1.0)
    pipeline = Pipeline(
        detector, tracker, ConstantEstimator(), TrackSmoother(), places=FacePlaces()
    )
    channel, sink = Channel(ListSource(frames), pipeline, hide="pixelate"), Watching()
    one = Pool(lambda: detector, 1)
    list(Loop([channel], one, ConstantEstimator(), [sink], Overlay(status=False)).run())
    one.close()
    inside = np.s_[60:180, 40:140]
    for picture, result in zip(sink.pictures, sink.results, strict=True):
        assert result.tracks == ()
        assert picture is not None
        for image in (picture, result.frame.image):
            changed = (image[inside] != noise[inside]).any(axis=2).mean()
            assert (changed > 0.95) == (result.frame.index >= 2)
        assert result.hidden  # also while nobody is there
    assert (frames[3].image == noise).all()


def test_faces_can_be_hidden_and_shown_again_while_it_runs() -> None:
    noise = np.random.default_rng(5).integers(0, 256, (270, 480, 3), np.uint8)
    frames = [Frame(noise, i, i / 25) for i in range(60)]
    detector = ScriptedDetector([[LEFT]] * 200)
    pipeline = Pipeline(detector, SortTracker(), ConstantEstimator(), TrackSmoother(), None)
    channel, pool = Channel(ListSource(frames), pipeline), Pool(lambda: detector, 1)
    inside, changed, told = np.s_[60:180, 40:140], [], []
    for result in Loop([channel], pool, ConstantEstimator(), [ListSink()], Overlay()).run():
        changed.append((result.frame.image[inside] != noise[inside]).any())
        told.append(result.hidden)
        if result.frame.index in (19, 39):
            channel.hide(USUAL_HIDING if result.frame.index == 19 else "")
    pool.close()
    assert not any(changed[:20]) and all(changed[25:40]) and not any(changed[45:])
    assert told == [20 <= i < 40 for i in range(60)]
    assert (frames[30].image == noise).all()


def test_late_frames_of_a_live_source_make_all_cameras_do_less(
    pool: Pool,
) -> None:
    frames = [Frame(f.image, f.index, f.time_s, arrived_s=-1e6) for f in film(3, SIZE)]
    channels = [channel_on(ListSource(frames, is_live=True)), channel_on(ListSource(film(3, SIZE)))]
    list(loop_of(channels, pool, [], LoadControl(100)).run())
    assert all(channel.pipeline.effort.label for channel in channels)


def tiny(index: int, epoch: int = 0) -> Frame:
    return Frame(np.zeros((4, 4, 3), np.uint8), index, index / 25, epoch)


def test_a_track_is_counted_once_however_long_it_stays() -> None:
    counted = Tally()
    for index, here in enumerate(([1], [1, 2], [2], [2, 5], [])):
        counted.count(tiny(index), set(here))
    assert (counted.frames, counted.tracks) == (5, 3)
    assert "5 frames" in counted.summary(3, 1)
    assert "(25 %)" in counted.summary(3, 1)


def test_photographs_are_no_film_and_two_frames_that_belong_together_are() -> None:
    counted = Tally()
    for index in range(3):
        counted.count(tiny(index, epoch=index), set())
    assert not counted.is_film
    counted.count(tiny(3, epoch=2), set())
    assert counted.is_film


def test_the_rate_follows_the_clock_and_is_nought_while_unknown() -> None:
    now = 100.0
    counted = Tally(clock=lambda: now)
    counted.count(tiny(0), set())
    assert counted.fps == 0
    for interval, want in ((0.04, 25), (0.1, 10), (60, 10), (1.5, 1 / 1.5)):
        for index in range(3 if interval > 1 else 30):
            now += interval
            counted.count(tiny(index), set())
        assert counted.fps == pytest.approx(want, rel=0.05)


def test_a_pause_counts_neither_for_the_rate_nor_for_the_summary() -> None:
    now = 100.0
    counted = Tally(clock=lambda: now)
    for interval in [0.1] * 10 + [60.0] + [0.1] * 10:
        now += interval
        counted.count(tiny(0), set())
    assert counted.fps == pytest.approx(10)
    assert counted.summary(0, 0).startswith("21 frames in 2.0 s")


def test_while_the_page_stays_after_the_end_nobody_is_remembered() -> None:
    memory = PeopleMemory(3600)
    memory.learn(1, np.ones(128, np.float32))
    detector, estimator = ScriptedDetector([]), ConstantEstimator()
    recall = Recall(memory, itertools.count(1), lambda _: Future(), 8)
    pipeline = Pipeline(detector, SortTracker(), estimator, TrackSmoother(), recall=recall)
    pool: Pool = DetectorPool(lambda: detector, 1)
    loop = Loop([Channel(ListSource([]), pipeline)], pool, estimator, [ListSink(0)], Overlay())
    loop.linger("")
    pool.close()
    assert len(memory) == 0
