"""Cameras attached to this machine, through OpenCV."""

import logging
import os
import threading
import time
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any, Protocol

import cv2

from errors import SourceError
from sources.feed import NOMINAL_FPS
from sources.live import Arrival, Connection, LiveFeed, LiveOptions, Patience
from sources.photographs import silent_opencv
from structures import Image

log = logging.getLogger(__name__)

OPEN_S = 4.5
SILENCE_S = 2.0  # a running camera without a frame for so long is lost
RETRY_S = 0.02


class Capture(Protocol):
    """The methods used of `cv2.VideoCapture`."""

    def isOpened(self) -> bool: ...  # noqa: D102

    def set(self, prop: int, value: float) -> bool: ...  # noqa: D102

    def get(self, prop: int) -> float: ...  # noqa: D102

    def read(self) -> tuple[bool, Any]: ...  # noqa: D102

    def release(self) -> None: ...  # noqa: D102


def open_capture(index: int) -> Capture:
    """Open camera `index` without OpenCV's messages on stderr."""
    with silent_opencv():
        return cv2.VideoCapture(index)


def open_webcam(
    index: int,
    options: LiveOptions,
    *,
    width: int | None = None,
    height: int | None = None,
    fps: float | None = None,
    open_camera: Callable[[int], Capture] = open_capture,
) -> LiveFeed:
    """Open a camera of this machine, 0 = the first; the newest frame only.

    `width`, `height` (pixels) and `fps` are requests; a camera may choose other values.

    Raises:
        SourceError: the camera does not exist, is busy, or delivers no frame.
    """
    name = f"camera {index}"
    wishes = {
        cv2.CAP_PROP_FRAME_WIDTH: width,
        cv2.CAP_PROP_FRAME_HEIGHT: height,
        cv2.CAP_PROP_FPS: fps,
    }

    def connect(stop: threading.Event) -> Connection:
        capture = open_camera(index)
        if not capture.isOpened():
            capture.release()
            raise SourceError(_why(index))
        for prop, value in wishes.items():
            if value is not None:
                capture.set(prop, value)
        granted = capture.get(cv2.CAP_PROP_FPS)
        return Connection(
            granted if 0 < granted <= 1000 else fps or NOMINAL_FPS,
            _pictures(capture, name, (width, height), options.patience, stop),
        )

    return LiveFeed(connect, name, options)


def _pictures(
    capture: Capture,
    name: str,
    wish_wh: tuple[int | None, int | None],
    patience: Patience,
    stop: threading.Event,
) -> Generator[Arrival, None, None]:
    """Read until it disconnects; some cameras deliver nothing at first."""
    limit_s, latest_s, is_first = min(OPEN_S, patience.open_s), time.monotonic(), True
    try:
        while not stop.is_set():
            arrived, image = _read(capture)
            now_s = time.monotonic()
            if arrived and image is not None:
                if is_first:
                    _compare(wish_wh, image, name)
                yield Arrival(image, now_s)
                limit_s, latest_s, is_first = min(SILENCE_S, patience.silence_s), now_s, False
            elif now_s - latest_s > limit_s:
                return
            else:
                stop.wait(RETRY_S)
    finally:
        capture.release()


def _compare(wish_wh: tuple[int | None, int | None], image: Image, name: str) -> None:
    height, width = image.shape[:2]
    if (wish_wh[0] or width, wish_wh[1] or height) != (width, height):
        log.warning("%s delivers %dx%d, not the requested size", name, width, height)


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
