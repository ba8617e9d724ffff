"""Where frames come from: the contract of sources.

    sources.open.open_source(text) -> Source   files, photographs, webcams, network streams

Implementations do not inherit from it.
"""

from collections.abc import Iterator
from typing import Protocol

import cv2  # noqa: F401  before PyAV, whose libxcb otherwise hangs OpenCV's windows

from structures import Frame, SourceStatus


class Source(Protocol):
    """An iterator of frames.

    It ends with the medium or at `close()`. A camera has no end: one that disconnects raises
    `errors.SourceLostError` instead.

    Attributes:
        is_live: frames come whether or not they are taken; the newest wins.
        fps: frames per second with its fraction (29.97...); nominal where unknown.
        size_wh: of the first frame, pixels. A later frame of another size begins a new epoch.
        name: of the source on screens and in logs; without secrets.
        frame_count: from the container's header, approximate; None where unknown.
        dropped: frames never handed out: overwritten by newer ones (live), or unreadable
            pictures of a folder.
    """

    is_live: bool
    fps: float
    size_wh: tuple[int, int]
    name: str
    frame_count: int | None

    @property
    def dropped(self) -> int: ...  # noqa: D102

    @property
    def status(self) -> SourceStatus:
        """The source's current state; cheap, never waits."""
        ...

    def take(self, timeout_s: float | None = None) -> Frame | None:
        """Wait for the next frame for up to `timeout_s`; None = none came in time, try again.

        Raises:
            StopIteration: the medium ended, or `close()` was called.
            errors.SourceLostError: it disconnected and is not opened again.
        """
        ...

    def seek(self, time_s: float) -> bool:
        """Go on with the frame at `time_s`, in a new epoch; False = this source cannot."""
        ...

    def __iter__(self) -> Iterator[Frame]: ...

    def __next__(self) -> Frame: ...

    def close(self) -> None:
        """Release everything and end the iteration.

        May be called again, and from another thread while `next()` waits.
        """
        ...
