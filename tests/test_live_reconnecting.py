"""Live sources that break off, stall and are refused, through scripted connections."""

import itertools
import logging
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

import pytest

from errors import PasswordError, RefusedError, SourceError, SourceLostError
from sources.live import Arrival, LiveFeed, LiveOptions
from structures import Frame, SourceState
from tests.clips import numbered
from tests.fakes import HASTY, TAKEN, ScriptedConnections, grey, pause, wait_for

Opener = Callable[..., LiveFeed]


@pytest.fixture
def feed() -> Iterator[Opener]:
    """Opens live sources over scripted connections, with little patience, and closes them."""
    threads_before = threading.active_count()
    feeds = []

    def open_it(camera: ScriptedConnections, **options: Any) -> LiveFeed:
        chosen = LiveOptions(**{"patience": HASTY, **options})
        feeds.append(LiveFeed(camera.connect, "the camera", chosen))
        return feeds[-1]

    yield open_it
    for each in feeds:
        each.close()
    assert threading.active_count() == threads_before


def steady(count: int, level: int = 0) -> list[Any]:
    """Pictures that are not missed by a consumer that waits for them."""
    return [item for _ in range(count) for item in (pause(0.005), grey(level))]


def in_step(count: int) -> list[Any]:
    """Pictures that come when the one before has been taken, however long that takes."""
    return [item for _ in range(count) for item in (grey(0), TAKEN)]


def frames_of(
    source: LiveFeed, count: int, camera: ScriptedConnections | None = None
) -> list[Frame]:
    frames = []
    for frame in itertools.islice(source, count):
        frames.append(frame)
        if camera:
            camera.taken.release()
    return frames


def test_a_camera_that_disconnects_continues_in_a_new_epoch(feed: Opener) -> None:
    camera = ScriptedConnections(in_step(4), in_step(4), [*in_step(4), pause(9)])
    source = feed(camera)
    frames = frames_of(source, 12, camera)
    assert [frame.epoch for frame in frames] == [0] * 4 + [1] * 4 + [2] * 4
    assert [frame.index for frame in frames] == list(range(12))
    times = [frame.time_s for frame in frames]
    assert times == sorted(set(times))
    assert wait_for(source, SourceState.LIVE).reconnects == 2
    assert camera.closed == 2


def test_a_change_of_size_begins_a_new_epoch_too(feed: Opener) -> None:
    small, large = numbered(1), numbered(1, (128, 96))
    script = [pause(0.01), *small, pause(0.01), *large, pause(0.01), *large, pause(9)]
    source = feed(ScriptedConnections(script))
    seen = [(frame.epoch, frame.size_wh) for frame in frames_of(source, 3)]
    assert seen == [(0, (64, 48)), (1, (128, 96)), (1, (128, 96))]
    assert source.size_wh == (64, 48)


def test_a_silent_camera_is_stalled_and_live_again_after_three_fresh_pictures(feed: Opener) -> None:
    script = [grey(0), pause(0.3), grey(1), pause(0.01), grey(2), pause(0.3), *steady(200)]
    source = feed(ScriptedConnections(script))
    next(source)
    wait_for(source, SourceState.STALLED)
    states: list[SourceState] = []
    while not states or states[-1] is not SourceState.LIVE:
        if source.take(0.002) is not None:
            states.append(source.status.state)
    assert len(states) > 3, "not live with the first pictures"
    assert set(states[:-1]) == {SourceState.STALLED}


def test_failures_in_a_row_do_not_end_the_iteration(
    feed: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    failures = [SourceError(f"{what}") for what in ("no route", "no route", "busy")]
    odd = [RuntimeError("rtsp://bob:s3cret@camera broke"), OSError("odd")]
    camera = ScriptedConnections(in_step(3), *failures, *odd, [ValueError("odd")], in_step(3))
    source = feed(camera)
    with caplog.at_level(logging.INFO):
        frames = frames_of(source, 6, camera)
    assert [frame.epoch for frame in frames] == [0, 0, 0, 2, 2, 2]
    assert camera.attempts >= 8
    assert caplog.text.count("no route") == 1, "what is known already is not logged again"
    assert "busy; trying again" in caplog.text
    assert "RuntimeError" in caplog.text
    assert "s3cret" not in caplog.text


def test_a_camera_that_is_steady_again_is_said_to_be_back(
    feed: Opener, caplog: pytest.LogCaptureFixture
) -> None:
    source = feed(ScriptedConnections(steady(3), SourceError("off"), [*steady(40), pause(9)]))
    with caplog.at_level(logging.WARNING):
        while "the camera is back" not in caplog.text:
            source.take(0.01)


@pytest.mark.parametrize("error", [PasswordError("wrong password"), RefusedError("no such path")])
def test_a_refusal_is_named_at_once_and_tried_again_slowly(
    feed: Opener, error: SourceError
) -> None:
    patience = replace(HASTY, retry_late_s=30.0)
    camera = ScriptedConnections(error, steady(3))
    source = feed(camera, keep_trying=True, patience=patience)
    status = wait_for(source, SourceState.FAILED)
    assert status.detail == str(error)
    assert source.take(0.05) is None
    assert camera.attempts == 1


def test_a_path_that_was_there_is_looked_for_again_soon_but_a_password_is_not(feed: Opener) -> None:
    patience = replace(HASTY, retry_late_s=30.0)
    no_path, no_password = RefusedError("no such path"), PasswordError("wrong password")
    script = in_step(3), no_path, no_path, in_step(3), no_password, steady(3)
    camera = ScriptedConnections(*script)
    source = feed(camera, patience=patience)
    assert [frame.epoch for frame in frames_of(source, 6, camera)] == [0, 0, 0, 1, 1, 1]
    assert wait_for(source, SourceState.FAILED).detail == "wrong password"
    assert source.take(0.05) is None
    assert camera.attempts == 5


def test_what_cannot_be_opened_at_the_start_is_an_error(feed: Opener) -> None:
    for error in (SourceError("nothing listens"), PasswordError("wrong password")):
        camera = ScriptedConnections(error, steady(3))
        with pytest.raises(SourceError, match=str(error)) as caught:
            feed(camera)
        assert type(caught.value) is type(error)
        assert camera.attempts == 1


def test_one_that_sends_no_picture_at_the_start_is_an_error(feed: Opener) -> None:
    for script in ([], [pause(9)]):
        with pytest.raises(SourceError, match="answers but sends no picture"):
            feed(ScriptedConnections(script), patience=replace(HASTY, open_s=0.05))


def test_keep_trying_waits_for_a_camera_that_is_off_at_the_start(feed: Opener) -> None:
    camera = ScriptedConnections(SourceError("off"), SourceError("off"), [], steady(9), fps=12.5)
    source = feed(camera, keep_trying=True)
    assert source.size_wh == (0, 0)
    assert source.status.state is SourceState.CONNECTING
    frame = next(source)
    assert source.size_wh == frame.size_wh == (64, 48)
    assert source.fps == 12.5
    assert source.status.reconnects == 0


@pytest.mark.parametrize("ending", [[], [pause(9)]])
def test_without_reconnecting_a_lost_camera_is_an_error(feed: Opener, ending: list[float]) -> None:
    source = feed(ScriptedConnections([*steady(3), *ending], steady(3)), reconnect=False)
    with pytest.raises(SourceLostError, match="the camera stopped sending"):
        list(source)


def test_frames_older_than_the_limit_are_dropped_and_counted(feed: Opener) -> None:
    old_s = time.monotonic() - 3
    late = [Arrival(grey(100 + i), old_s) for i in range(4)]
    steps = [*steady(1), pause(0.05), *late, *steady(1, 50)]
    source = feed(ScriptedConnections([*steps, pause(9)]), max_latency_s=1.0)
    levels = [int(frame.image[0, 0, 0]) for frame in frames_of(source, 2)]
    assert levels == [0, 50]
    assert source.dropped >= 1


def test_where_all_frames_are_too_old_one_is_given_now_and_then(feed: Opener) -> None:
    old_s = time.monotonic() - 3
    late = [Arrival(grey(i), old_s) for i in range(200)]
    steps = [x for old in late for x in (pause(0.005), old)]
    source = feed(ScriptedConnections([*steps, pause(9)]), max_latency_s=1.0)
    assert 2 <= len(frames_of(source, 2)) < 200
    assert source.dropped > 10


def test_a_late_picture_is_as_old_as_it_was_late(feed: Opener) -> None:
    began_s = time.monotonic()
    steps = [pause(0.01), Arrival(grey(0), began_s)]
    steps += [pause(0.02), Arrival(grey(1), began_s + 1.5, late_s=1.0), pause(9)]
    source = feed(ScriptedConnections(steps))
    first, second = frames_of(source, 2)
    assert first.arrived_s == began_s
    assert second.arrived_s == pytest.approx(began_s + 0.5)
    assert second.time_s - first.time_s == pytest.approx(1.5)


def test_options_that_make_no_sense_are_refused() -> None:
    with pytest.raises(ValueError, match="max_latency_s must be positive, got 0"):
        LiveOptions(max_latency_s=0)


def test_one_event_signals_frames_of_any_source(feed: Opener) -> None:
    arrived = threading.Event()
    quiet = feed(ScriptedConnections([pause(9)]), arrived=arrived, keep_trying=True)
    lively = feed(ScriptedConnections(steady(50)), arrived=arrived, keep_trying=True)
    taken = 0
    while taken < 5:
        arrived.clear()
        assert quiet.take(0) is None
        if lively.take(0) is None:
            assert arrived.wait(5)
        else:
            taken += 1


def test_closing_ends_the_iteration_in_every_state(feed: Opener) -> None:
    for script in ([SourceError("off")] * 999, [steady(1)], [[pause(9)]]):
        source = feed(ScriptedConnections(*script), keep_trying=True)
        source.take(0.01)
        source.close()
        assert list(source) == []


def test_a_hundred_reconnects_leave_no_thread_behind(feed: Opener) -> None:
    camera = ScriptedConnections(*[steady(1) for _ in range(100)], [*steady(3), pause(9)])
    source = feed(camera, patience=replace(HASTY, retry_soon_s=0.001, retry_late_s=0.001))
    next(source)
    before = threading.active_count()
    while source.status.reconnects < 100:
        source.take(0.01)
    assert threading.active_count() == before
    assert camera.closed == 100
