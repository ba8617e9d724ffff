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

    The end of the iteration is the end of the medium, or of `close()`. A camera has no
    end: one that breaks off raises `errors.SourceLostError` instead.

    Attributes:
        is_live: frames come whether or not anybody takes them; the newest wins.
        fps: frames per second with its fraction (29.97...); nominal where unknown.
        size_wh: of the first frame, pixels. A later frame of another size begins a new epoch.
        name: what to call the source on screens and in logs; without secrets.
        frame_count: of the container's header, for progress: it may be a little off; None
            where unknown.
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
        """How the source is doing at this moment; cheap, never waits."""
        ...

    def take(self, timeout_s: float | None = None) -> Frame | None:
        """Wait for the next frame, but no longer than `timeout_s`.

        Returns:
            The frame, or None where none came in time: try again.

        Raises:
            StopIteration: the medium came to its end, or `close()` was called.
            errors.SourceLostError: it broke off for good.
        """
        ...

    def __iter__(self) -> Iterator[Frame]: ...

    def __next__(self) -> Frame: ...

    def close(self) -> None:
        """Release everything and end the iteration.

        May be called again, and from another thread while `next()` waits.
        """
        ...
