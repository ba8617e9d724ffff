"""Results of frames, made up for tests of what is told of them."""

from dataclasses import replace

import numpy as np

from structures import (
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


def person(age=34.25, gender=Gender.FEMALE, shares=None, converged=True):
    return Smoothed(age, 3.9, 0.93, gender, 12, converged, shares)


def track(track_id, misses=0, box=(10.25, 20, 80.5, 101)):
    state = TrackState.CONFIRMED
    row = None if misses else 0
    return Track(track_id, np.array(box, np.float32), state, misses, row, 9)


def result(index=0, tracks=(), people=None, epoch=0, time_s=None, fps=24.9, camera=""):
    time_s = index / 25 if time_s is None else time_s
    frame = Frame(PICTURE, index, time_s, epoch)
    return FrameResult(frame, tuple(tracks), people or {}, fps, 3, camera=camera)


def with_state(result, state, detail="", reconnects=0):
    """The same result while no new frame comes."""
    return replace(result, status=SourceStatus(SourceState(state), detail, reconnects))


def passers_by(count, age=34.25, gender=Gender.FEMALE, first_id=1):
    """Results of `count` people who come and leave one after the other, and an empty one."""
    ids = range(first_id, first_id + count)
    for i in ids:
        yield result(i, [track(i)], {i: person(age, gender)})
    yield result(first_id + count, [])
