"""People who walk by script past lines and through zones, for tests of what is counted there."""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from outputs import Sink
from people.crowd import Crowd
from people.records import Recorder
from people.zones import Layout, parse_line, parse_zone
from structures import Frame, FrameResult, Smoothed, Track, TrackState
from tests.fakes import grey

Float64 = NDArray[np.float64]

SIZE_WH = (640, 480)
FACE = 60.0  # pixels, width and height
DOOR = parse_line("door=0.25,0.5,0.75,0.5")  # x from 160 to 480 at y = 240; in is down
HALL = parse_zone("hall=0.25,0.25,0.75,0.25,0.75,0.75,0.25,0.75")  # 160..480, 120..360
NOON = time.mktime((2030, 3, 10, 12, 0, 0, 0, 0, -1))

Way = Callable[[float], Float64 | None]  # seconds -> the middle of a face, None = hidden


def straight(*corners: Sequence[float]) -> Way:
    """A way through points (s, x, y), at a steady pace between each two."""
    times, xs, ys = np.transpose(corners)

    def at(time_s: float) -> Float64 | None:
        if not times[0] <= time_s <= times[-1]:
            return None
        return np.array([np.interp(time_s, times, xs), np.interp(time_s, times, ys)])

    return at


def hidden(way: Way, begin_s: float, end_s: float) -> Way:
    return lambda time_s: None if begin_s <= time_s < end_s else way(time_s)


def trembling(way: Way, pixels: float, seed: int = 0) -> Way:
    rng = np.random.default_rng(seed)

    def at(time_s: float) -> Float64 | None:
        there = way(time_s)
        return None if there is None else there + rng.uniform(-pixels, pixels, 2)

    return at


class Place:
    """A crowd whose people walk by script; everybody is remembered for 1.2 s."""

    def __init__(self, *shapes: Any, **options: Any) -> None:
        self.now_s = NOON
        self.crowd = Crowd(
            ("age", "gender"), clock=lambda: self.now_s, utc=lambda: self.now_s, **options
        )
        self.recorder = Recorder(self.crowd)
        self.crowd.lay_out("", Layout(shapes))
        self.records: list[dict[str, Any]] = []
        self.sinks: list[Sink] = []
        self._index, self.media_s = 0, 0.0

    def watch(
        self,
        ways: dict[int, Way],
        fps: float = 25.0,
        seconds: float = 10.0,
        people: dict[int, Smoothed] | None = None,
        epoch: int = 0,
        size_wh: tuple[int, int] = SIZE_WH,
    ) -> "Place":
        """Show the crowd these people on their ways; everybody has left afterwards."""
        seen_s: dict[int, float] = {}
        scale = size_wh[0] / SIZE_WH[0]
        for i in range(round(seconds * fps) + 1):
            tracks, lost = [], set()
            for number, way in ways.items():
                if (there := way(i / fps)) is not None:
                    seen_s[number] = i / fps
                    middle = np.tile(there, 2) + np.array([-1, -1, 1, 1]) * FACE / 2
                    box = (scale * middle).astype(np.float32)
                    tracks.append(Track(number, box, TrackState.CONFIRMED, 0.0, 0, 9))
                elif number in seen_s and i / fps - seen_s[number] < 1.2:
                    lost.add(number)
            self.show(tracks, lost, i / fps, people or {}, epoch, size_wh)
        self.show([], set(), seconds + 2, {}, epoch, size_wh)
        self.media_s += seconds + 2
        return self

    def show(
        self,
        tracks: Iterable[Track],
        lost: set[int],
        time_s: float,
        people: dict[int, Smoothed],
        epoch: int,
        size_wh: tuple[int, int] = SIZE_WH,
    ) -> None:
        self._index += 1
        self.now_s = NOON + self.media_s + time_s
        frame = Frame(grey(0, size_wh), self._index, self.media_s + time_s, epoch)
        one = FrameResult(frame, tuple(tracks), people, remembered=frozenset(lost))
        self.records += self.recorder.changes(one)
        for sink in self.sinks:
            sink.write(None, one)

    @property
    def door(self) -> tuple[int, int]:
        """In and out."""
        door = self.crowd.aggregate("")["lines"]["door"]
        return door["in"], door["out"]

    @property
    def hall(self) -> dict[str, Any]:
        """What the aggregate record says of the zone."""
        hall: dict[str, Any] = self.crowd.aggregate("")["zones"]["hall"]
        return hall

    @property
    def left(self) -> list[dict[str, Any]]:
        """The person records of those who left."""
        return [r for r in self.records if r["type"] == "person" and r["event"] == "left"]


DOWN, UP = straight((0, 320, 100), (4, 320, 400)), straight((0, 320, 400), (4, 320, 100))
