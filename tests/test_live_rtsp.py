"""Live sources against a real RTSP server, which is killed, frozen and locked."""

import logging
import threading
import time
from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import VideoReformatter

from benchmarks.latency import frame_age_s
from errors import SourceError
from sources import Source
from sources.decoding import to_image
from sources.live import LiveOptions
from sources.open import open_source
from structures import Frame, Image, SourceState
from tests.clips import Open
from tests.rtsp_camera import RtspCamera, missing

SECRET = "p@ss:w/rd"
SAFETY_S = 20.0  # only ever reached by a test that fails

pytestmark = [
    pytest.mark.rtsp,
    pytest.mark.skipif(bool(why := missing()), reason=why),
]


@pytest.fixture
def camera() -> Iterator[RtspCamera]:
    server = RtspCamera("joe", SECRET)
    yield server
    server.kill()


@pytest.fixture
def opened() -> Iterator[Open]:
    sources = []

    def open_it(address: str, **options: Any) -> Source:
        sources.append(open_source(address, live=LiveOptions(**options)))
        return sources[-1]

    yield open_it
    for source in sources:
        source.close()


def wait_for(source: Source, state: SourceState) -> Frame | None:
    """Take frames until the source is in that state; returns the last one, if any came."""
    frame, end_s = None, time.monotonic() + SAFETY_S
    while time.monotonic() < end_s:
        frame = source.take(0.05) or frame
        if source.status.state is state:
            return frame
    raise AssertionError(f"{state} never came; it is {source.status}")


def test_frames_are_fresh_and_say_when_they_arrived(camera: RtspCamera, opened: Open) -> None:
    source = opened(camera.address())
    ages = []
    for _ in range(25):
        frame = source.take(2.0)
        assert frame is not None and frame.arrived_s is not None
        ages.append(frame_age_s(frame.image, frame.arrived_s))
    assert source.size_wh == (640, 360)
    assert sorted(ages)[12] < 1.0


def test_a_killed_camera_is_opened_again_when_it_is_back(camera: RtspCamera, opened: Open) -> None:
    source = opened(camera.address())
    first = wait_for(source, SourceState.LIVE)
    camera.kill()
    wait_for(source, SourceState.RECONNECTING)
    camera.start()
    again = wait_for(source, SourceState.LIVE)
    assert first is not None and again is not None
    assert again.epoch > first.epoch
    assert again.index > first.index
    assert source.status.reconnects >= 1


def test_a_frozen_camera_is_shown_as_stalled_and_blocks_nobody(
    camera: RtspCamera, opened: Open
) -> None:
    source = opened(camera.address())
    wait_for(source, SourceState.LIVE)
    camera.freeze()
    wait_for(source, SourceState.STALLED)
    assert source.take(0.05) is None
    camera.thaw()
    wait_for(source, SourceState.LIVE)
    camera.freeze()
    wait_for(source, SourceState.STALLED)
    closing = threading.Thread(target=source.close)
    closing.start()
    closing.join(SAFETY_S)
    assert not closing.is_alive()


@pytest.mark.parametrize(
    ("path", "password", "words"),
    [("/clock", "wr@ng:o/ne", "password"), ("/nowhere", SECRET, "nothing at this path")],
)
def test_a_refusal_is_named_without_the_password(
    camera: RtspCamera, caplog: pytest.LogCaptureFixture, path: str, password: str, words: str
) -> None:
    with caplog.at_level(logging.DEBUG), pytest.raises(SourceError, match=words) as caught:
        open_source(camera.address(path, password))
    reported = caplog.text + repr(caught.value) + repr(caught.value.__cause__)
    assert password not in reported
    assert "joe" not in reported


def test_a_camera_that_is_not_there_yet_is_waited_for(camera: RtspCamera, opened: Open) -> None:
    camera.kill()
    with pytest.raises(SourceError, match="nothing listens"):
        open_source(camera.address())
    source = opened(camera.address(), keep_trying=True)
    assert source.status.state is SourceState.CONNECTING
    camera.start()
    wait_for(source, SourceState.LIVE)


def test_a_wrong_password_is_a_failure_that_is_tried_again_slowly(
    camera: RtspCamera, opened: Open, caplog: pytest.LogCaptureFixture
) -> None:
    source = opened(camera.address(password="wr@ng:o/ne"), keep_trying=True)
    wait_for(source, SourceState.FAILED)
    assert "password" in source.status.detail
    assert "wr@ng" not in source.status.detail + caplog.text


def test_a_machine_too_slow_to_convert_each_picture_still_shows_fresh_ones(
    camera: RtspCamera, opened: Open, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slowly(picture: VideoFrame, reformatter: VideoReformatter, aspect: Fraction) -> Image:
        time.sleep(0.08)  # the camera sends one every 40 ms
        return to_image(picture, reformatter, aspect)

    monkeypatch.setattr("sources.network.to_image", slowly)
    source = opened(camera.address())
    ages = []
    for _ in range(60):
        frame = source.take(2.0)
        assert frame is not None and frame.arrived_s is not None
        ages.append(frame_age_s(frame.image, frame.arrived_s))
    assert max(ages[-20:]) < 1.0, "it would be further behind with every picture"
    assert source.dropped > 20
