"""Keeps OpenCV's own remarks off stderr, where ours say the same in plain words."""

import contextlib
from collections.abc import Iterator

import cv2


@contextlib.contextmanager
def silent_opencv() -> Iterator[None]:
    """Silence OpenCV's log, which is the whole process's, for a moment.

    Not to be used by two threads at a time. libpng's lines do not go through that log.
    """
    level = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
    try:
        yield
    finally:
        cv2.utils.logging.setLogLevel(level)
