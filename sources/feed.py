"""`Feed`: stored media read by a thread as a source; messages that sources share."""

import contextlib
from collections.abc import Callable, Iterator

from errors import SourceError, SourceLostError
from structures import Frame, SourceStatus
from threads import ReadAhead

EPOCHS = 1_000_000  # between two that were gone to; a film has fewer
NOMINAL_FPS = 25.0  # of media that state no rate


class Feed:
    """`sources.Source` for stored media: a running reader; must be closed, also after its end.

    `count_dropped` returns the number of frames that the producer left out; `again` begins anew
    at a time, with all epochs that much higher.

    Raises:
        SourceError: no frame came; the reader is closed.
    """

    is_live = False

    def __init__(
        self,
        reader: ReadAhead[Frame],
        *,
        name: str,
        fps: float,
        frame_count: int | None = None,
        count_dropped: Callable[[], int] = lambda: 0,
        again: Callable[[float, int], ReadAhead[Frame]] | None = None,
    ) -> None:
        self.fps = fps
        self.name = name
        self.frame_count = frame_count
        self._reader = reader
        self._count_dropped = count_dropped
        self._again, self._epoch = again, 0
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(reader.close)
            self.size_wh = self._first().size_wh
            on_failure.pop_all()

    def _first(self) -> Frame:
        try:
            return self._reader.peek()
        except StopIteration:
            problem = (
                f"{self.name} holds no picture that can be decoded; play it elsewhere to check"
            )
        except SourceLostError as error:
            problem = str(error)
        raise SourceError(problem)

    @property
    def dropped(self) -> int:
        """Frames never handed out so far."""
        return self._reader.dropped + self._count_dropped()

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        while True:
            if (frame := self.take()) is not None:
                return frame

    @property
    def status(self) -> SourceStatus:
        """See `sources.Source`."""
        return SourceStatus()

    def take(self, timeout_s: float | None = None) -> Frame | None:
        """See `sources.Source`."""
        try:
            return self._reader.take(timeout_s)
        except TimeoutError:
            return None

    def seek(self, time_s: float) -> bool:
        """See `sources.Source`."""
        if self._again is None:
            return False
        self._epoch += EPOCHS
        self._reader.close()
        self._reader = self._again(time_s, self._epoch)
        return True

    def close(self) -> None:
        """Stop the reader; may be called again, and from another thread."""
        self._reader.close()


def lost(name: str) -> str:
    """Return the message for a camera or stream that disconnected."""
    return f"{name} stopped sending; check its power, cable or network"


def silent(name: str) -> str:
    """Return the message for one that can be opened but sends no image."""
    return f"{name} answers but sends no picture; start it again"


def no_answer(name: str) -> str:
    """Return the message for an address that does not answer in time."""
    return f"{name} did not answer in time; check address, cable and network"
