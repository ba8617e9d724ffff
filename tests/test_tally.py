import numpy as np
import pytest

from program import tally
from program.tally import Tally
from structures import Frame, Track, TrackState


def frame(index, epoch=0):
    return Frame(np.zeros((4, 4, 3), np.uint8), index, index / 25, epoch)


def tracks(*ids):
    box = np.zeros(4, np.float32)
    return [Track(i, box, TrackState.CONFIRMED, 0, 0, 5) for i in ids]


def test_a_track_is_counted_once_however_long_it_stays() -> None:
    counted = Tally()
    for index, here in enumerate(([1], [1, 2], [2], [2, 5], [])):
        counted.count(frame(index), tracks(*here))
    assert (counted.frames, counted.tracks) == (5, 3)
    assert "5 frames" in counted.summary(3, 1)
    assert "(25 %)" in counted.summary(3, 1)


def test_photographs_are_no_film_and_two_frames_that_belong_together_are() -> None:
    counted = Tally()
    for index in range(3):
        counted.count(frame(index, epoch=index), [])
    assert not counted.is_film
    counted.count(frame(3, epoch=2), [])
    assert counted.is_film


def test_the_rate_follows_the_clock_and_is_nought_while_unknown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(tally.time, "monotonic", lambda: now)
    counted = Tally()
    counted.count(frame(0), [])
    assert counted.fps == 0
    for interval, want in ((0.04, 25), (0.1, 10), (60, 10), (1.5, 1 / 1.5)):
        for index in range(3 if interval > 1 else 30):
            now += interval
            counted.count(frame(index), [])
        assert counted.fps == pytest.approx(want, rel=0.05)


def test_a_pause_counts_neither_for_the_rate_nor_for_the_summary(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(tally.time, "monotonic", lambda: now)
    counted = Tally()
    for interval in [0.1] * 10 + [60.0] + [0.1] * 10:
        now += interval
        counted.count(frame(0), [])
    assert counted.fps == pytest.approx(10)
    assert counted.summary(0, 0).startswith("21 frames in 2.0 s")
