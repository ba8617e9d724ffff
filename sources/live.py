"""`LiveFeed`: the source that a camera becomes once a thread reads it."""

import contextlib
import math
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass

from errors import SourceError, SourceLostError
from sources.decoding import no_answer
from sources.feed import NOMINAL_FPS, lost, silent
from sources.health import Health
from sources.reconnecting import PATIENT, Connect, Patience, Reconnecting
from structures import Frame, SourceStatus
from threads import Newest

_SLICE_S = 0.5  # of a long wait; Windows hears Ctrl-C between waits only
_STARVED_S = 0.3  # without a frame: the next one is taken, however old it is
_JOIN_S = 0.5  # a reader inside a read of a frozen camera ends by itself, later


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """What becomes of a live source when all is not well.

    Attributes:
        reconnect: a camera that breaks off is opened again, for ever; where False it
            raises `SourceLostError`.
        keep_trying: a camera that cannot be opened at the start is tried again, too;
            where False that is a `SourceError`.
        max_latency_s: frames older than this when they are taken are dropped and counted;
            but for one now and then, where all are: a machine that is too slow for the
            camera shows something, and gets to know how late it is.
        arrived: set whenever a frame has come; sources that share one can be waited for
            together: `arrived.clear()`, `take(0)` of each, then `arrived.wait(0.1)`.
        patience: how long to wait for what.
    """

    reconnect: bool = True
    keep_trying: bool = False
    max_latency_s: float | None = None
    arrived: threading.Event | None = None
    patience: Patience = PATIENT

    def __post_init__(self) -> None:
        if self.max_latency_s is not None and not self.max_latency_s > 0:
            raise ValueError(f"max_latency_s must be positive, got {self.max_latency_s}")


class LiveFeed:
    """`sources.Source` for cameras: the newest frame wins, and breaking off is no end.

    With `keep_trying` it is there at once, and until its first frame `size_wh` is (0, 0)
    and `fps` nominal.
    """

    is_live = True
    frame_count: int | None = None

    def __init__(self, connect: Connect, name: str, options: LiveOptions) -> None:
        """Begin to read; without `keep_trying`, wait for the first frame.

        Args:
            connect: opens the camera once.
            name: what to call it; without secrets.
            options: what becomes of it when all is not well.

        Raises:
            SourceError: it cannot be opened, or sends no picture.
        """
        self.name = name
        self.fps = NOMINAL_FPS
        self.size_wh = (0, 0)
        self._options = options
        self._too_old = 0
        self._given_s = -math.inf
        self._health = Health(options.patience.stale_s)
        self._camera = Reconnecting(
            connect,
            name,
            self._health,
            options.patience,
            keep_trying=options.keep_trying,
            reconnect=options.reconnect,
        )
        self._reader = Newest(self._camera.produce, "live-reader", options.arrived)
        if not options.keep_trying:
            with contextlib.ExitStack() as on_failure:
                on_failure.callback(self.close)
                self._describe(self._first(options.patience))
                on_failure.pop_all()

    def _first(self, patience: Patience) -> Frame:
        problem = no_answer(self.name)
        try:
            with contextlib.suppress(TimeoutError):
                return self._reader.peek(patience.open_s)
            if self._health.is_open:
                problem = silent(self.name)
                with contextlib.suppress(TimeoutError):
                    return self._reader.peek(patience.first_picture_s)
        except SourceLostError as error:
            problem = str(error)
        raise SourceError(problem)

    def _describe(self, frame: Frame) -> None:
        """Take over what is known since the first frame."""
        if self.size_wh == (0, 0):
            self.size_wh, self.fps = frame.size_wh, self._camera.fps

    @property
    def dropped(self) -> int:
        """Frames never handed out so far."""
        return self._reader.dropped + self._too_old + self._camera.left_out

    @property
    def status(self) -> SourceStatus:
        """See `sources.Source`."""
        return self._health.status(time.monotonic())

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        while True:
            if (frame := self.take(_SLICE_S)) is not None:
                return frame

    def take(self, timeout_s: float | None = None) -> Frame | None:
        """See `sources.Source`."""
        end_s = float("inf") if timeout_s is None else time.monotonic() + timeout_s
        while True:
            left_s = max(0.0, end_s - time.monotonic())
            try:
                frame = self._reader.take(min(left_s, _SLICE_S))
            except TimeoutError:
                self._give_up_if_lost()
                if time.monotonic() >= end_s:
                    return None
                continue
            if self._is_too_old(frame):
                self._too_old += 1
                continue
            self._describe(frame)
            self._given_s = time.monotonic()
            return frame

    def _is_too_old(self, frame: Frame) -> bool:
        limit_s = self._options.max_latency_s
        if limit_s is None or frame.arrived_s is None:
            return False
        now_s = time.monotonic()
        return now_s - frame.arrived_s > limit_s and now_s - self._given_s < _STARVED_S

    def _give_up_if_lost(self) -> None:
        """Raise where a camera must not be opened again and its reader hangs in a read."""
        if self._options.reconnect or not self._health.ever_live:
            return
        if self._health.silent_s(time.monotonic()) > self._options.patience.silence_s:
            raise SourceLostError(lost(self.name))

    def close(self) -> None:
        """Stop the reader; may be called again, and from another thread."""
        self._reader.close(_JOIN_S)
