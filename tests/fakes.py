"""Small scripted stand-ins for the stages, for tests of what lies between them."""

import threading
import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from typing import Any

import cv2
import numpy as np

from sources import Source
from sources.live import Arrival, Connection, Patience
from structures import (
    Detections,
    Estimates,
    Float32,
    Frame,
    Image,
    SourceState,
    SourceStatus,
)
from tracking.boxes import overlaps

FIVE_POINTS = np.array(
    [[0.32, 0.30], [0.67, 0.30], [0.49, 0.51], [0.33, 0.67], [0.65, 0.67]], np.float32
)

FIVE_DEPTHS = np.array([0, 0, 0.2, 0.03, 0.03], np.float32)


def grey(level: int, size_wh: tuple[int, int] = (64, 48)) -> Image:
    """An image of one grey level."""
    return np.full((size_wh[1], size_wh[0], 3), level, np.uint8)


def film(count: int, size_wh: tuple[int, int] = (64, 48), fps: float = 25.0) -> list[Frame]:
    """`count` frames whose grey level is their index."""
    return [Frame(grey(index % 256, size_wh), index, index / fps) for index in range(count)]


class ListSource:
    """Gives the given frames, then ends, or raises `error` instead."""

    def __init__(
        self,
        frames: Sequence[Frame],
        *,
        fps: float = 25.0,
        is_live: bool = False,
        error: BaseException | None = None,
    ) -> None:
        self.is_live = is_live
        self.fps = fps
        self.size_wh = frames[0].size_wh if frames else (64, 48)
        self.name = "list"
        self.frame_count = None if is_live else len(frames)
        self.dropped = 0
        self.closed = False
        self._frames = iter(frames)
        self._error = error

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        if self.closed:
            raise StopIteration
        for frame in self._frames:
            return frame
        if self._error is not None:
            raise self._error
        raise StopIteration

    status = SourceStatus()

    def seek(self, time_s: float) -> bool:
        return False

    def take(self, timeout_s: float | None = None) -> Frame | None:
        return next(self)

    def close(self) -> None:
        self.closed = True


def failing_source(good: int, error: Exception) -> ListSource:
    """A live source that gives `good` frames, then raises `error`."""
    return ListSource(film(good), is_live=True, error=error)


class ScriptedDetector:
    """Returns the n-th list of boxes for the n-th image, nothing after the last one.

    Scores fall from 0.99 in steps of 0.01; five landmarks lie in each box. A search near
    known faces takes the next list, too, and finds those of its boxes that overlap them.
    """

    landmark_template = FIVE_POINTS
    landmark_depths = FIVE_DEPTHS
    starting_score = 0.8
    confident_score = 0.9

    def __init__(self, boxes_per_frame: Iterable[Sequence[Sequence[float]]]) -> None:
        self.calls = 0
        self.near_calls = 0
        self._script = iter(boxes_per_frame)

    def detect(self, image: Image, coarse: float = 1.0) -> Detections:
        self.calls += 1
        return self._found(np.array(next(self._script, ()), np.float32).reshape(-1, 4))

    def detect_near(self, image: Image, boxes: Float32) -> Detections:
        self.near_calls += 1
        there = np.array(next(self._script, ()), np.float32).reshape(-1, 4)
        near = (overlaps(there, boxes) > 0).any(1)
        return self._found(there[near])

    def _found(self, boxes: Float32) -> Detections:
        scores = np.float32(0.99) - np.float32(0.01) * np.arange(len(boxes), dtype=np.float32)
        sides = boxes[:, None, 2:] - boxes[:, None, :2]
        return Detections(boxes, scores, boxes[:, None, :2] + sides * FIVE_POINTS)


class ConstantEstimator:
    """Gives the same estimate for every chip; records how many chips each call had."""

    input_size = 96
    has_ethnicity = False

    def __init__(
        self, age_years: float = 30.0, female_prob: float = 0.9, spread: float = 5.0
    ) -> None:
        self.batches: list[int] = []
        self._values = (age_years, spread, female_prob)

    def estimate(self, chips: Image) -> Estimates:
        self.batches.append(len(chips))
        return Estimates(*(np.full(len(chips), value, np.float32) for value in self._values))


class ScriptedCamera:
    """Stands in for `cv2.VideoCapture`: gives the script's images, then always fails.

    None in the script is one read that fails. A requested size is ignored, as cameras may do.
    """

    def __init__(
        self, script: Iterable[Image | None], opens: bool = True, fps: float = 30.0
    ) -> None:
        self.released = False
        self.asked: dict[int, float] = {}
        self._script = iter(script)
        self._opens = opens
        self._fps = fps

    def isOpened(self) -> bool:
        return self._opens

    def set(self, prop: int, value: float) -> bool:
        self.asked[prop] = value
        return True

    def get(self, prop: int) -> float:
        return self._fps if prop == cv2.CAP_PROP_FPS else 0.0

    def read(self) -> tuple[bool, Image | None]:
        image = next(self._script, None)
        return image is not None, image

    def release(self) -> None:
        self.released = True


HASTY = Patience(
    open_s=2,
    first_picture_s=0.1,
    stale_s=0.05,
    silence_s=0.1,
    retry_s=0.001,
    retry_soon_s=0.01,
    retry_late_s=0.02,
)


class ScriptedConnections:
    """Connects as the script says: an exception fails, a list is what a camera gives.

    A list holds images, `pause(seconds)`, `TAKEN` and exceptions; at its end the camera
    disconnects. After the last list nothing more comes, but the connection stays open.

    Attributes:
        taken: released by a test for every image that it took; `TAKEN` waits for that.
    """

    def __init__(self, *script: Exception | list[Any], fps: float = 100.0) -> None:
        self.attempts = 0
        self.closed = 0
        self.taken = threading.Semaphore(0)
        self._script = iter(script)
        self._fps = fps

    def connect(self, stop: threading.Event) -> Connection:
        self.attempts += 1
        step = next(self._script, [pause(3600)])
        if isinstance(step, Exception):
            raise step
        return Connection(self._fps, self._pictures(step, stop))

    def _pictures(self, items: list[Any], stop: threading.Event) -> Generator[Arrival, None, None]:
        try:
            for item in items:
                if isinstance(item, Exception):
                    raise item
                if isinstance(item, float):
                    stop.wait(item)
                if item is TAKEN:
                    self.taken.acquire(timeout=10)
                if stop.is_set():
                    return
                if isinstance(item, np.ndarray):
                    item = Arrival(item, time.monotonic())
                if isinstance(item, Arrival):
                    yield item
        finally:
            self.closed += 1


TAKEN = object()  # in a script: nothing comes until the image before has been taken


def pause(seconds: float) -> float:
    """In a script: nothing comes for that long."""
    return float(seconds)


def wait_for(source: Source, state: SourceState) -> SourceStatus:
    """Take frames until the source is in `state`; its status then."""
    end_s = time.monotonic() + 10  # only ever reached by a test that fails
    while (status := source.status).state is not state:
        assert time.monotonic() < end_s, f"still {status}"
        source.take(0.002)
    return status
