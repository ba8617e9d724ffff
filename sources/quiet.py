"""Keeps OpenCV's own remarks off stderr, where ours say the same in plain words."""

import contextlib
import threading
from collections.abc import Iterator

import cv2

_lock = threading.Lock()
_inside = 0
_level_before = 0


@contextlib.contextmanager
def silent_opencv() -> Iterator[None]:
    """Silence OpenCV's log, which is the whole process's, for a moment.

    Several threads may do so at a time: the last one out restores it. libpng's lines do
    not go through that log.
    """
    global _inside, _level_before
    with _lock:
        if not _inside:
            _level_before = cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)
        _inside += 1
    try:
        yield
    finally:
        with _lock:
            _inside -= 1
            if not _inside:
                cv2.utils.logging.setLogLevel(_level_before)
