"""Cameras of this machine, as scripted stand-ins; no real one was at hand."""

import itertools
import logging
import threading
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from errors import SourceLostError
from sources.live import LiveOptions
from sources.open import open_source
from structures import Image, SourceState
from tests.clips import Open, endless, number_of, numbered, opening, paced, problem_of
from tests.fakes import HASTY, ScriptedCamera, grey, wait_for

opened = pytest.fixture(opening)
ONCE = LiveOptions(reconnect=False, patience=HASTY)


def test_a_camera_is_live_and_gives_its_newest_picture(opened: Open) -> None:
    camera = ScriptedCamera(endless(numbered(3, (80, 60))))
    source = opened(0, open_camera=lambda index: camera)
    assert (source.is_live, source.fps, source.frame_count) == (True, 30.0, None)
    assert (source.size_wh, source.name) == ((80, 60), "camera 0")
    first = next(source)
    threading.Event().wait(0.1)
    second = next(source)
    assert second.index - first.index - 1 == source.dropped > 0
    assert number_of(second.image) == 2
    assert second.time_s > first.time_s
    source.close()
    assert camera.released


def test_the_camera_asked_for_is_opened(opened: Open) -> None:
    asked = []

    def open_camera(index: int) -> ScriptedCamera:
        asked.append(index)
        return ScriptedCamera(endless(numbered(1)))

    opened(3, open_camera=open_camera)
    opened("/dev/video2", open_camera=open_camera)
    assert asked == [3, 2]


def test_a_camera_that_grants_another_size_is_taken_as_it_is(
    opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    camera = ScriptedCamera(endless(numbered(1, (80, 60))), fps=0)
    with caplog.at_level(logging.WARNING):
        source = opened(0, width=1280, height=720, fps=15, open_camera=lambda index: camera)
    assert camera.asked == {
        cv2.CAP_PROP_FRAME_WIDTH: 1280,
        cv2.CAP_PROP_FRAME_HEIGHT: 720,
        cv2.CAP_PROP_FPS: 15,
    }
    assert source.size_wh == next(source).size_wh == (80, 60)
    assert source.fps == 15
    assert "camera 0 delivers 80x60" in caplog.text


def test_a_camera_that_is_slow_to_start_is_waited_for(opened: Open) -> None:
    camera = ScriptedCamera(itertools.chain([None] * 5, endless(numbered(1))))
    assert next(opened(0, open_camera=lambda index: camera)).index == 0


def test_an_unplugged_camera_is_lost_not_ended(opened: Open) -> None:
    camera = ScriptedCamera(numbered(5))
    source = opened(0, open_camera=lambda index: camera, live=ONCE)
    with pytest.raises(SourceLostError, match="camera 0 stopped sending; check its power"):
        list(source)
    assert camera.released


def test_a_camera_whose_driver_raises_is_lost(opened: Open) -> None:

    def script() -> Iterator[Image]:
        yield grey(0)
        raise cv2.error("select timeout")

    camera = ScriptedCamera(script())
    with pytest.raises(SourceLostError, match="camera 0 stopped sending"):
        list(
            opened(
                0,
                open_camera=lambda index: camera,
                live=ONCE,
            )
        )


def test_a_camera_unplugged_and_plugged_in_again_continues_in_a_new_epoch(opened: Open) -> None:
    plugs = [
        ScriptedCamera(paced(numbered(5))),
        ScriptedCamera([], opens=False),
        ScriptedCamera([], opens=False),
        ScriptedCamera(endless(numbered(9))),
    ]
    left = iter(plugs)
    source = opened(0, open_camera=lambda index: next(left), live=LiveOptions(patience=HASTY))
    seen = [next(source)]
    seen += itertools.takewhile(lambda frame: frame.epoch == 0, source)
    later = next(source)
    assert {frame.epoch for frame in seen} == {0}
    assert later.epoch == 1
    assert later.index > seen[-1].index
    assert later.time_s > seen[-1].time_s
    assert wait_for(source, SourceState.LIVE).reconnects == 1
    assert all(camera.released for camera in plugs[:3])


def test_a_camera_that_hangs_when_opened_is_an_error_that_comes_in_time() -> None:
    hung = threading.Event()

    def open_camera(index: int) -> ScriptedCamera:
        hung.wait(10)
        return ScriptedCamera([], opens=False)

    live = LiveOptions(patience=replace(HASTY, open_s=0.05))
    assert "camera 0 did not answer" in problem_of(0, open_camera=open_camera, live=live)
    hung.set()


def test_a_read_that_hangs_blocks_neither_the_consumer_nor_the_status_nor_close() -> None:
    hung = threading.Event()

    def script() -> Iterator[Image]:
        yield grey(0)
        hung.wait(10)

    live = LiveOptions(patience=HASTY)
    source = open_source(0, open_camera=lambda index: ScriptedCamera(script()), live=live)
    assert next(source).index == 0
    assert source.take(0.01) is None
    assert wait_for(source, SourceState.STALLED).detail.startswith("no picture for")
    threads = threading.active_count()
    source.close()
    with pytest.raises(StopIteration):
        source.take(0.01)
    hung.set()
    while threading.active_count() == threads:
        hung.wait(0.001)


def test_a_busy_camera_is_an_error_with_a_remedy() -> None:
    camera = ScriptedCamera([], opens=False)
    assert problem_of(0, open_camera=lambda index: camera).startswith("camera 0")
    assert camera.released


def test_a_camera_that_gives_no_picture_is_an_error() -> None:
    camera, live = ScriptedCamera([]), LiveOptions(patience=replace(HASTY, open_s=0.05))
    assert "camera 0" in problem_of(0, open_camera=lambda index: camera, live=live)
    assert camera.released


@pytest.mark.skipif(Path("/dev/video9").exists(), reason="there is a camera 9 here")
def test_a_camera_that_is_not_there_is_named_without_remarks_of_opencv(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert "camera 9" in problem_of(9)
    assert capfd.readouterr() == ("", "")
