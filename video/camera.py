"""Cameras attached to this machine, through OpenCV."""

import logging
import os
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Protocol

import cv2

from errors import SourceError, SourceLostError
from structures import Frame
from video.feed import NOMINAL_FPS, Feed, lost
from video.quiet import silent_opencv
from video.threads import Newest, call_with_deadline

log = logging.getLogger(__name__)

OPEN_S = 4.5
SILENCE_S = 2.0  # a running camera without a picture for so long is lost
RETRY_S = 0.02


class Capture(Protocol):
    """What is used of `cv2.VideoCapture`."""

    def isOpened(self) -> bool: ...  # noqa: D102

    def set(self, prop: int, value: float) -> bool: ...  # noqa: D102

    def get(self, prop: int) -> float: ...  # noqa: D102

    def read(self) -> tuple[bool, Any]: ...  # noqa: D102

    def release(self) -> None: ...  # noqa: D102


def open_capture(index: int) -> Capture:
    """Open camera `index` without OpenCV's own remarks on stderr."""
    with silent_opencv():
        return cv2.VideoCapture(index)


def open_webcam(
    index: int,
    *,
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
    open_camera: Callable[[int], Capture] = open_capture,
) -> Feed:
    """Open a camera of this machine; the newest frame only.

    Args:
        index: 0 is the first camera.
        width: wish, pixels; a camera that has no such size gives another.
        height: wish, pixels.
        fps: wish.
        open_camera: gives the capture of an index.

    Raises:
        SourceError: there is no such camera, it is busy, or it gives no picture.
    """
    name = f"camera {index}"
    wishes = {
        cv2.CAP_PROP_FRAME_WIDTH: width,
        cv2.CAP_PROP_FRAME_HEIGHT: height,
        cv2.CAP_PROP_FPS: fps,
    }
    capture = _opened(index, name, open_camera)
    for prop, value in wishes.items():
        if value is not None:
            capture.set(prop, value)
    granted = capture.get(cv2.CAP_PROP_FPS)
    feed = Feed(
        Newest(lambda stop: _frames(capture, name, stop), name="camera-reader"),
        name=name,
        fps=granted if 0 < granted <= 1000 else fps or NOMINAL_FPS,
        first_s=OPEN_S,
        patience_s=SILENCE_S + 1.5,
    )
    if (width or feed.size_wh[0], height or feed.size_wh[1]) != feed.size_wh:
        log.warning("%s gives %dx%d, not the size asked for", name, *feed.size_wh)
    return feed


def _opened(index: int, name: str, open_camera: Callable[[int], Capture]) -> Capture:
    try:
        capture = call_with_deadline(lambda: open_camera(index), OPEN_S, Capture.release)
    except TimeoutError:
        raise SourceError(f"{name} does not answer; unplug it and plug it in again") from None
    if not capture.isOpened():
        capture.release()
        raise SourceError(_why(index))
    return capture


def _frames(capture: Capture, name: str, stop: threading.Event) -> Generator[Frame, None, None]:
    """Read until stopped; some cameras give nothing at first, and a lost one for ever."""
    started = time.monotonic()
    index, limit_s, latest = 0, OPEN_S, started
    try:
        while not stop.is_set():
            arrived, image = _read(capture)
            now = time.monotonic()
            if arrived and image is not None:
                yield Frame(image, index, now - started)
                index, limit_s, latest = index + 1, SILENCE_S, now
            elif now - latest > limit_s:
                raise SourceLostError(lost(name))
            else:
                stop.wait(RETRY_S)
    finally:
        capture.release()


def _read(capture: Capture) -> tuple[bool, Any]:
    try:
        return capture.read()
    except cv2.error:  # some drivers raise where others return False
        return False, None


def _why(index: int) -> str:
    """Name cause and remedy where camera `index` cannot be opened."""
    devices = sorted(str(path) for path in Path("/dev").glob("video*"))
    device = f"/dev/video{index}"
    if not devices:
        return f"camera {index} cannot be opened: no camera is attached; give a file or an address"
    if device not in devices:
        return f"there is no camera {index}; those there are: {', '.join(devices)}"
    if not os.access(device, os.R_OK | os.W_OK):
        return f"camera {index}: this user may not use {device}; join the group that owns it"
    return f"camera {index} is busy or no camera; close other programs that use {device}"
