"""`--blur strict` in the loop: what leaves it, when, and with which faces hidden."""

import argparse
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, replace

import numpy as np
import pytest

from detectors import Detector
from drawing.hiding import STRICT
from drawing.overlay import Overlay
from errors import SourceLostError
from outputs import Sink
from people.crowd import Crowd
from program.assemble import Assembly
from program.cameras import Camera
from program.delay import Delay
from program.load import LoadControl
from program.loop import Channel, Loop
from program.options import ModelOptions, TrackingOptions
from program.pipeline import Pipeline
from stream import tracking_of
from structures import (
    ATTRIBUTES,
    Detections,
    Frame,
    FrameResult,
    Image,
    SourceState,
    SourceStatus,
    Track,
    TrackState,
)
from tests.fakes import ConstantEstimator, ListSource, ScriptedDetector
from threads import DetectorPool
from tracking.places import FacePlaces
from tracking.smoothing import TrackSmoother
from tracking.sort import SortTracker

FACE = [40.0, 60.0, 140.0, 180.0]
INSIDE = np.s_[60:180, 40:140]
NOISE = np.random.default_rng(5).integers(0, 256, (270, 480, 3), np.uint8)


def noise_film(count: int, fps: float = 25.0) -> list[Frame]:
    return [Frame(NOISE, i, i / fps) for i in range(count)]


class Watching:
    """Keeps all it is shown; closes itself after `most` frames."""

    wants_picture = True

    def __init__(self, most: int | None = None) -> None:
        self.pictures: list[Image] = []
        self.results: list[FrameResult] = []
        self.refreshed: list[FrameResult] = []
        self._most = most

    @property
    def closed(self) -> bool:
        return self._most is not None and len(self.results) >= self._most

    def write(self, picture: Image | None, result: FrameResult) -> None:
        assert picture is not None
        self.pictures.append(picture)
        self.results.append(result)

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        self.refreshed.append(result)

    def close(self) -> None:
        pass

    @property
    def indices(self) -> list[int]:
        return [result.frame.index for result in self.results]


def shows_face(image: Image) -> bool:
    return bool((image[INSIDE] == NOISE[INSIDE]).all(axis=2).mean() > 0.05)


class Scene:
    """A loop over one source with a scripted detector; closed by the fixture."""

    def __init__(
        self,
        source: ListSource,
        script: Sequence[Sequence[Sequence[float]]],
        sinks: Sequence[Sink],
        control: LoadControl | None = None,
        max_frames: int | None = None,
    ) -> None:
        detector = ScriptedDetector(script)
        tracker, estimator = SortTracker(start_score=0.9), ConstantEstimator()
        pipeline = Pipeline(detector, tracker, estimator, TrackSmoother(), places=FacePlaces())
        self.channel = Channel(source, pipeline, hide=STRICT, max_frames=max_frames)
        self.pool: DetectorPool[Detector] = DetectorPool(lambda: detector, 1)
        overlay = Overlay(status=False)
        self.loop = Loop([self.channel], self.pool, estimator, sinks, overlay, control)


@pytest.fixture
def scenes() -> Iterator[list[Scene]]:
    made: list[Scene] = []
    yield made
    for scene in made:
        scene.pool.close()


def test_every_frame_of_a_film_comes_once_and_no_face_is_ever_seen(scenes: list[Scene]) -> None:
    sink = Watching()
    # First found late, lost in between, and there until the end.
    script = [[] if i < 15 or 40 <= i < 55 else [FACE] for i in range(80)]
    scenes.append(Scene(ListSource(noise_film(80)), script, [sink]))
    results = list(scenes[0].loop.run())
    assert results == sink.results and sink.indices == list(range(80))
    for picture, result in zip(sink.pictures, sink.results, strict=True):
        assert not shows_face(picture) and not shows_face(result.frame.image)
        assert result.hidden
        assert result.frame.time_s == result.frame.index / 25
    assert any(result.tracks for result in sink.results)  # records tell of people as ever


def test_neither_boxes_nor_labels_are_drawn_on_those_who_are_hidden(scenes: list[Scene]) -> None:
    sink = Watching()
    scenes.append(Scene(ListSource(noise_film(40)), [[FACE]] * 40, [sink]))
    list(scenes[0].loop.run())
    for picture, result in zip(sink.pictures, sink.results, strict=True):
        np.testing.assert_array_equal(picture, result.frame.image)


def test_a_film_shorter_than_the_delay_comes_whole(scenes: list[Scene]) -> None:
    sink = Watching()
    scenes.append(Scene(ListSource(noise_film(60)), [[]] * 4 + [[FACE]], [sink], max_frames=5))
    list(scenes[0].loop.run())
    assert sink.indices == list(range(5)) and not any(map(shows_face, sink.pictures))


def test_of_a_lost_camera_all_frames_come_before_the_error(scenes: list[Scene]) -> None:
    sink = Watching()
    lost = ListSource(noise_film(30), is_live=True, error=SourceLostError("lost"))
    scenes.append(Scene(lost, [[]] * 29 + [[FACE]], [sink]))
    with pytest.raises(SourceLostError):
        list(scenes[0].loop.run())
    assert sink.indices == list(range(30)) and not shows_face(sink.pictures[-1])


def test_a_window_that_is_closed_is_shown_nothing_more(scenes: list[Scene]) -> None:
    sink = Watching(most=10)
    scenes.append(Scene(ListSource(noise_film(20)), [[FACE]] * 20, [sink]))
    assert len(list(scenes[0].loop.run())) == 10
    assert not any(map(shows_face, sink.pictures))


class Book(ListSource):
    """A film that can be opened at any page."""

    def seek(self, time_s: float) -> bool:
        pages = noise_film(100)[round(25 * time_s) :]
        self._frames = iter([replace(page, epoch=1) for page in pages])
        return True


def test_after_a_seek_no_frame_of_the_place_that_was_left_comes(scenes: list[Scene]) -> None:
    sink = Watching()
    scenes.append(Scene(Book(noise_film(100)), [[FACE]] * 300, [sink]))
    results = scenes[0].loop.run()
    assert [next(results).frame.index for _ in range(3)] == [0, 1, 2]
    assert scenes[0].loop.seek(2.0) == "to 0:02"
    assert [result.frame.index for result in results] == list(range(52, 100))
    assert not any(map(shows_face, sink.pictures))


class Clock:
    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


FOUND = Detections.of_boxes(np.array([FACE], np.float32), np.full(1, 0.99, np.float32))


def test_what_a_camera_gave_is_shown_a_second_later_though_nothing_follows() -> None:
    clock = Clock()
    delay = Delay(0.9, is_live=True, clock=clock)
    delay.put(FrameResult(Frame(NOISE, 0, 0.0, arrived_s=99.95)), FOUND)
    assert not list(delay.due()) and delay.holds_any
    clock.now_s += 1
    (result,) = delay.due()
    assert not delay.holds_any and not shows_face(result.frame.image)
    # It is as late as it was when it was put in: a second of delay is none of lateness.
    assert result.latency_ms(clock.now_s) == pytest.approx(50)


def test_a_film_waits_for_its_own_time_however_long_that_takes() -> None:
    clock = Clock()
    delay = Delay(0.9, is_live=False, clock=clock)
    shown = []
    for frame in noise_film(40):
        clock.now_s += 5
        delay.put(FrameResult(frame), FOUND)
        shown.append(len(list(delay.due())))
    assert shown == [0] * 25 + [1] * 15


def test_a_photograph_need_not_wait_once_the_next_one_is_there() -> None:
    delay = Delay(0.9, is_live=False)
    delay.put(FrameResult(Frame(NOISE, 0, 0.0, epoch=0)), FOUND)
    delay.put(FrameResult(Frame(NOISE, 1, 0.5, epoch=1)), FOUND)
    assert [result.frame.index for result in delay.due()] == [0]
    assert [result.frame.index for result in delay.due(everything=True)] == [1]


def test_no_more_images_are_held_than_there_is_room_for() -> None:
    delay = Delay(0.9, is_live=True, clock=Clock(), most_bytes=3 * NOISE.nbytes)
    shown = []
    for frame in noise_film(10):
        delay.put(FrameResult(frame), FOUND)
        shown += list(delay.due())
        assert len(shown) == max(0, frame.index - 2)
    assert not any(shows_face(result.frame.image) for result in shown)


def test_the_delay_makes_nobody_do_less_and_dates_nobody_later(scenes: list[Scene]) -> None:
    class Instant(ListSource):
        def take(self, timeout_s: float | None = None) -> Frame:
            return replace(next(self), arrived_s=time.monotonic())

    control = LoadControl(max_latency_ms=900)
    sink = Watching()
    scenes.append(
        Scene(Instant(noise_film(60), is_live=True), [[FACE]] * 60, [sink], control=control)
    )
    list(scenes[0].loop.run())
    assert not control.effort.label and len(sink.results) == 60

    crowd = Crowd(utc=lambda: 1000.0)
    shown = FrameResult(sink.results[0].frame, sink.results[0].tracks, held_s=1.0)
    crowd.update(shown)
    (visit,) = crowd.here("")
    assert visit.first_utc_s == 999.0


def test_while_frames_are_held_a_lost_connection_is_not_told_before_them() -> None:
    class Broken(ListSource):
        status = SourceStatus(SourceState.LIVE)

        def take(self, timeout_s: float | None = None) -> Frame | None:
            frame = next(self._frames, None)
            if frame is None:
                self.status = SourceStatus(SourceState.RECONNECTING)
            return frame

    sink = Watching(most=3)
    scene = Scene(Broken(noise_film(3), is_live=True), [[FACE]] * 3, [sink])
    list(scene.loop.run())
    scene.pool.close()
    assert sink.indices == [0, 1, 2]
    told = [each for each in sink.refreshed if each.frame.size_wh == (480, 270)]
    told = [each for each in told if each.frame.index < 2]  # after the last one it may be
    assert {result.status.state for result in told} <= {SourceState.LIVE}
    assert not any(shows_face(each.frame.image) for each in told)


def test_strictly_hidden_faces_are_searched_for_where_they_are_small_and_doubtful() -> None:
    asked: list[dict[str, object]] = []

    def make(name: str, **wishes: object) -> Detector:
        asked.append(wishes)
        return ScriptedDetector([])

    for min_face, blur in ((40, ""), (40, "blur"), (40, STRICT), (12, STRICT)):
        tracking = TrackingOptions(blur=blur)
        Assembly(ModelOptions(min_face=min_face), tracking, make_detector=make).detector()
    assert [(each["min_face"], each["keen"]) for each in asked] == [
        (40, 0), (40, 1), (20, 2), (12, 2),
    ]  # fmt: skip


def test_one_strict_camera_makes_the_detector_of_all_strict() -> None:
    texts = [("a=0", "blur"), ("b=1", STRICT), ("c=2", "")]
    cameras = [
        Camera(text, text, tracking=TrackingOptions(detect_every=1, blur=way))
        for text, way in texts
    ]
    options = argparse.Namespace(cameras=cameras, **asdict(TrackingOptions()))
    assert tracking_of(options).blur == STRICT


def test_the_page_draws_nothing_on_anybody_either() -> None:
    from web.streaming import _head

    track = Track(3, np.array(FACE, np.float32), TrackState.CONFIRMED, 0.0, 0, 1.0)
    shown = FrameResult(Frame(NOISE, 0, 0.0), (track,))
    assert len(_head(shown, ATTRIBUTES)["faces"]) == 1
    assert _head(replace(shown, unlabelled=True), ATTRIBUTES)["faces"] == []


def test_before_the_first_picture_is_due_a_camera_is_still_connecting() -> None:
    class Starting(ListSource):
        status = SourceStatus(SourceState.CONNECTING)

        def take(self, timeout_s: float | None = None) -> Frame | None:
            self.status = SourceStatus(SourceState.LIVE)
            return next(self._frames, None)

    sink = Watching(most=1)
    scene = Scene(Starting(noise_film(1), is_live=True), [[FACE]], [sink])
    list(scene.loop.run())
    scene.pool.close()
    before = [each for each in sink.refreshed if each.frame.size_wh != (480, 270)]
    assert {each.status.state for each in before} == {SourceState.CONNECTING}
