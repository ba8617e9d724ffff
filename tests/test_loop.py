import threading
from typing import Never

import numpy as np
import pytest

from drawing.overlay import Overlay
from errors import SourceLostError
from program.load import LoadControl
from program.loop import Camera, Loop
from program.pipeline import Pipeline
from structures import Frame, SourceState, SourceStatus
from tests.fakes import ConstantEstimator, ListSource, ScriptedDetector, failing_source, film
from threads import DetectorPool
from tracking.places import FacePlaces
from tracking.smoothing import TrackSmoother
from tracking.sort import SortTracker

LEFT, RIGHT = [40.0, 60.0, 140.0, 180.0], [300.0, 60.0, 400.0, 180.0]
SIZE = (480, 270)


class ListSink:
    """Keeps what it is given; closes itself after `most` frames."""

    wants_picture = False

    def __init__(self, most: int | None = None) -> None:
        self.results, self.refreshed = [], []
        self._most = most

    @property
    def closed(self) -> bool:
        return self._most is not None and len(self.results) >= self._most

    def write(self, picture, result) -> None:
        assert picture is None
        self.results.append(result)

    def refresh(self, picture, result) -> None:
        self.refreshed.append(result)

    def close(self) -> None:
        pass


class PlacedDetector(ScriptedDetector):
    """Finds a face as far to the right as the picture is bright: each picture has its own."""

    def __init__(self) -> None:
        super().__init__([])

    def detect(self, image, coarse=1.0):
        self.calls += 1
        return self._found(self._boxes(image))

    def detect_near(self, image, boxes):
        self.near_calls += 1
        return self._found(self._boxes(image)[: len(boxes)])

    def _boxes(self, image):
        x = 2.0 * float(image[0, 0, 0])
        return np.array([[x, 60, x + 100, 180]], np.float32)


@pytest.fixture
def crew():
    crew = DetectorPool(PlacedDetector, 3)
    yield crew
    crew.close()


def camera_on(source, every=1, name="", **options) -> Camera:
    pipeline = Pipeline(
        PlacedDetector(), SortTracker(), ConstantEstimator(), TrackSmoother(), every
    )
    return Camera(source, pipeline, name, **options)


def loop_of(cameras, crew, sinks, control=None) -> Loop:
    return Loop(cameras, crew, ConstantEstimator(), sinks, Overlay(), control)


@pytest.mark.parametrize("every", [1, 4, None])
def test_every_frame_of_a_film_comes_once_in_order_with_its_own_faces(
    crew, every: int | None
) -> None:
    sink = ListSink()
    results = list(loop_of([camera_on(ListSource(film(60, SIZE)), every)], crew, [sink]).run())
    assert results == sink.results
    assert [r.frame.index for r in results] == list(range(60))
    for result in results:
        (track,) = result.tracks
        assert track.box[0] == pytest.approx(2 * result.frame.index, abs=4)


def test_with_threads_a_film_gives_the_same_as_frame_by_frame(crew) -> None:
    frames = film(40, SIZE)
    alone = camera_on(ListSource(frames), 3).pipeline
    want = [alone.process(frame) for frame in frames]
    got = list(loop_of([camera_on(ListSource(frames), 3)], crew, []).run())
    for (tracks, people), result in zip(want, got, strict=True):
        assert [t.track_id for t in tracks] == [t.track_id for t in result.tracks]
        for a, b in zip(tracks, result.tracks, strict=True):
            np.testing.assert_array_equal(a.box, b.box)
        assert {i: p.age_years for i, p in people.items()} == {
            i: p.age_years for i, p in result.people.items()
        }


def test_it_ends_after_as_many_frames_as_were_asked_for(crew) -> None:
    camera = camera_on(ListSource(film(60, SIZE)), max_frames=7)
    assert len(list(loop_of([camera], crew, []).run())) == 7


def test_a_sink_that_closes_ends_it(crew) -> None:
    sink = ListSink(most=5)
    list(loop_of([camera_on(ListSource(film(60, SIZE)))], crew, [sink]).run())
    assert len(sink.results) == 5


def test_a_lost_source_is_an_error_after_all_its_frames(crew) -> None:
    sink = ListSink()
    loop = loop_of([camera_on(failing_source(5, SourceLostError("lost")))], crew, [sink])
    with pytest.raises(SourceLostError):
        list(loop.run())
    assert len(sink.results) == 5


def test_what_a_search_raises_is_raised_in_the_loop() -> None:
    def broken() -> Never:
        raise RuntimeError("no detector")

    crew = DetectorPool(broken, 1)
    with pytest.raises(RuntimeError, match="no detector"):
        list(loop_of([camera_on(ListSource(film(3, SIZE)))], crew, []).run())
    crew.close()


class SilentSource(ListSource):
    """Live; has nothing to give until it is let go, then ends."""

    status = SourceStatus(SourceState.STALLED, "no picture for 2 s")

    def __init__(self) -> None:
        super().__init__(film(1, SIZE), is_live=True)
        self.let_go = threading.Event()

    def take(self, timeout_s=None) -> None:
        if self.let_go.wait(timeout_s):
            raise StopIteration
        return


def test_while_no_frame_comes_the_sinks_hear_of_the_state(crew) -> None:
    source = SilentSource()

    class Impatient(ListSink):
        def refresh(self, picture, result) -> None:
            super().refresh(picture, result)
            if len(self.refreshed) == 3:
                source.let_go.set()

    sink = Impatient()
    assert list(loop_of([camera_on(source)], crew, [sink]).run()) == []
    assert {r.status.state for r in sink.refreshed} == {SourceState.STALLED}


def test_a_silent_camera_does_not_hold_up_the_others(crew) -> None:
    silent, film_source = SilentSource(), ListSource(film(30, SIZE))
    sink = ListSink(most=30)
    cameras = [camera_on(silent, name="yard"), camera_on(film_source, name="door")]
    list(loop_of(cameras, crew, [sink]).run())
    assert [r.frame.index for r in sink.results] == list(range(30))
    assert {r.camera for r in sink.results} == {"door"}


def test_two_cameras_take_turns(crew) -> None:
    cameras = [camera_on(ListSource(film(20, SIZE)), name=name) for name in ("one", "two")]
    order = [r.camera for r in loop_of(cameras, crew, []).run()]
    assert len(order) == 40
    assert abs(order[:20].count("one") - 10) <= 5


def test_what_may_be_a_face_is_hidden_before_any_output_sees_the_picture(crew) -> None:
    """Also where the tracker does not call it a person, or lost it a moment ago."""

    class Scripted(ListSink):
        wants_picture = True

        def write(self, picture, result) -> None:
            self.results.append((picture, result))

    noise = np.random.default_rng(5).integers(0, 256, (270, 480, 3), np.uint8)
    frames = [Frame(noise, i, i / 25) for i in range(8)]
    script = [[], [], [LEFT], [LEFT], [], [], [], []]
    detector = ScriptedDetector(script)
    tracker = SortTracker(min_hits=100, max_age=0, start_score=1.0)
    pipeline = Pipeline(
        detector, tracker, ConstantEstimator(), TrackSmoother(), places=FacePlaces()
    )
    camera, sink = Camera(ListSource(frames), pipeline, hide="pixelate"), Scripted()
    one = DetectorPool(lambda: detector, 1)
    list(Loop([camera], one, ConstantEstimator(), [sink], Overlay(status=False)).run())
    one.close()
    inside = np.s_[60:180, 40:140]
    for picture, result in sink.results:
        assert result.tracks == ()
        for image in (picture, result.frame.image):
            changed = (image[inside] != noise[inside]).any(axis=2).mean()
            assert (changed > 0.95) == (result.frame.index >= 2)
    assert (frames[3].image == noise).all()


def test_late_frames_of_a_live_source_make_all_cameras_do_less(crew) -> None:
    frames = [Frame(f.image, f.index, f.time_s, arrived_s=-1e6) for f in film(3, SIZE)]
    cameras = [camera_on(ListSource(frames, is_live=True)), camera_on(ListSource(film(3, SIZE)))]
    list(loop_of(cameras, crew, [], LoadControl(100)).run())
    assert all(camera.pipeline.effort.label for camera in cameras)
