"""Where results go: the contract of outputs.

Implementations do not inherit from it.
"""

from typing import Protocol

import cv2  # noqa: F401  before PyAV, whose libxcb otherwise hangs OpenCV's windows

from errors import SinkError
from structures import FrameResult, Image


def failure_of(sink: "Sink") -> SinkError | None:
    """Why a file of a sink is not whole though the run went on; None = it is, as far as known."""
    return getattr(sink, "failed", None)


class Sink(Protocol):
    """Takes every processed frame: a window, a recording, an export, a web page.

    Attributes:
        closed: the user closed it (a window) or `close()` was called.
        wants_picture: whether `write` uses its image, read before each frame; where no
            sink does, none is drawn.
    """

    @property
    def wants_picture(self) -> bool: ...  # noqa: D102

    @property
    def closed(self) -> bool: ...  # noqa: D102

    def write(self, picture: Image | None, result: FrameResult) -> None:
        """Take one frame.

        Args:
            picture: (H, W, 3) uint8 BGR, the frame with the overlay drawn on it; None
                where `wants_picture` is False.
            result: everything known of the frame.

        Raises:
            errors.SinkError: it cannot be written; nothing is dropped silently.
        """
        ...

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        """Refresh while no new frame comes: called about ten times a second.

        Args:
            picture: the last frame with its overlay drawn again, as for `write`.
            result: the last result with its current `status`.

        Raises:
            errors.SinkError: as for `write`.
        """
        ...

    def close(self) -> None:
        """Finish and release everything; may be called again."""
        ...
