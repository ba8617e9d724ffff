"""Results of frames, made up for tests of what is told of them."""

import csv
from collections.abc import Iterable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np

from outputs import Sink
from structures import (
    Float32,
    Frame,
    FrameResult,
    Gender,
    Smoothed,
    SourceState,
    SourceStatus,
    Track,
    TrackState,
)

PICTURE = np.zeros((48, 64, 3), np.uint8)


def person(
    age: float = 34.25,
    gender: Gender = Gender.FEMALE,
    shares: Float32 | None = None,
    converged: bool = True,
) -> Smoothed:
    return Smoothed(age, 3.9, 0.93, gender, 12, converged, shares)


def track(track_id: int, misses: int = 0, box: tuple[float, ...] = (10.25, 20, 80.5, 101)) -> Track:
    state = TrackState.CONFIRMED
    row = None if misses else 0
    return Track(track_id, np.array(box, np.float32), state, misses, row, 9)


def result(
    index: int = 0,
    tracks: Iterable[Track] = (),
    people: dict[int, Smoothed] | None = None,
    epoch: int = 0,
    time_s: float | None = None,
    fps: float = 24.9,
    camera: str = "",
) -> FrameResult:
    time_s = index / 25 if time_s is None else time_s
    frame = Frame(PICTURE, index, time_s, epoch)
    return FrameResult(frame, tuple(tracks), people or {}, fps, 3, camera=camera)


def with_state(
    result: FrameResult,
    state: str,
    detail: str = "",
    reconnects: int = 0,
    connected: bool | None = None,
) -> FrameResult:
    """The same result while no new frame comes; connected where it is live or stalled."""
    connected = state in ("live", "stalled") if connected is None else connected
    return replace(result, status=SourceStatus(SourceState(state), detail, reconnects, connected))


def passers_by(
    count: int, age: float = 34.25, gender: Gender = Gender.FEMALE, first_id: int = 1
) -> Iterator[FrameResult]:
    """Results of `count` people who come and leave one after the other, and an empty one."""
    ids = range(first_id, first_id + count)
    for i in ids:
        yield result(i, [track(i)], {i: person(age, gender)})
    yield result(first_id + count, [])


def write_all(sink: Sink, results: Iterable[FrameResult]) -> None:
    """Write all results, and close the sink."""
    for one in results:
        sink.write(None, one)
    sink.close()


def rows(path: Path) -> list[dict[str, str]]:
    """The rows of a CSV file."""
    with path.open(newline="") as file:
        return list(csv.DictReader(file))
