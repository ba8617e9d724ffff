"""`Feed`: the source that every medium becomes once a thread reads it."""

import contextlib
from collections.abc import Callable, Iterator

from errors import SourceError, SourceLostError
from structures import Frame, SourceStatus
from video.threads import Newest, ReadAhead

NOMINAL_FPS = 25.0


def _no_drops() -> int:
    return 0


class Feed:
    """A running reader with its description: the one implementation of `video.Source`.

    `next()` hands out the reader's frames. It must be closed, also after its end.
    """

    def __init__(
        self,
        reader: ReadAhead[Frame] | Newest[Frame],
        *,
        name: str,
        fps: float,
        frame_count: int | None = None,
        first_s: float | None = None,
        patience_s: float | None = None,
        count_dropped: Callable[[], int] = _no_drops,
    ) -> None:
        """Wait for the first frame; the reader is closed when none comes.

        Args:
            reader: yields the frames; a `Newest` makes the source live.
            name: what to call the source; without secrets.
            fps: frames per second; nominal where unknown.
            frame_count: how many frames there will be, None where unknown.
            first_s: how long to wait for the first frame, None without limit.
            patience_s: how long for each later one.
            count_dropped: frames left out by the producer (the reader counts its own).

        Raises:
            SourceError: no frame came, in time or at all.
        """
        self.is_live = isinstance(reader, Newest)
        self.fps = fps
        self.name = name
        self.frame_count = frame_count
        self._reader = reader
        self._patience_s = patience_s
        self._count_dropped = count_dropped
        with contextlib.ExitStack() as on_failure:
            on_failure.callback(reader.close)
            self.size_wh = self._first(first_s).size_wh
            on_failure.pop_all()

    def _first(self, first_s: float | None) -> Frame:
        try:
            return self._reader.peek(first_s)
        except StopIteration:
            problem = (
                f"{self.name} holds no picture that can be decoded; play it elsewhere to check"
            )
        except TimeoutError:
            problem = (
                f"{self.name} answers but sent no picture within {first_s:g} s; start it again"
            )
        except SourceLostError as error:
            problem = str(error)
        raise SourceError(problem) from None

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
        """See `video.Source`."""
        return SourceStatus()

    def take(self, timeout_s: float | None = None) -> Frame | None:
        """See `video.Source`."""
        patience_s = self._patience_s
        until_lost = patience_s is not None and (timeout_s is None or timeout_s >= patience_s)
        try:
            frame = self._reader.take(patience_s if until_lost else timeout_s)
        except TimeoutError:
            if until_lost:
                raise SourceLostError(lost(self.name)) from None
            return None
        return frame

    def close(self) -> None:
        """Stop the reader; may be called again, and from another thread."""
        self._reader.close()


def lost(name: str) -> str:
    """Return what a user reads when the camera or stream called `name` broke off."""
    return f"{name} stopped sending; check its power, cable or network, then start again"
