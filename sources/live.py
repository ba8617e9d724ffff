"""Live sources: cameras and streams, read by a thread and opened again when they disconnect.

    connect(stop) -> Connection   opens a camera once; the only part that differs
    Reconnecting.produce          the loop around it, for a reader thread
    Health                        the state of the source, recorded by that loop
    LiveFeed                      the `sources.Source`

A camera that cannot be reached is tried again after half a second, then every two seconds
for about two minutes, finally every thirty. One that refuses the password is tried every
thirty seconds from the start, as cameras lock accounts.
"""

import contextlib
import itertools
import logging
import math
import threading
import time
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass

from errors import PasswordError, RefusedError, SourceError, SourceLostError, StreamError, redact
from sources.feed import NOMINAL_FPS, lost, no_answer, silent
from structures import Frame, Image, SourceState, SourceStatus
from threads import Newest, waits_s

FRESH_PICTURES = 3  # a read that timed out first returns one to three old frames
_PICTURES_MISSED = 3  # a camera of one frame a second is not stalled after one
_SLICE_S = 0.5  # of a long wait; Windows handles Ctrl-C only between waits
_STARVED_S = 0.3  # without a frame: the next one is taken, however old it is
_JOIN_S = 0.5  # a reader inside a read of a frozen camera ends by itself, later

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Arrival:
    """A frame as a connection yields it.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        arrived_s: `time.monotonic()` when it left the decoder.
        late_s: its delay on the way, 0 if it is usual.
        left_out: frames just before it that came too late to be converted.
    """

    image: Image
    arrived_s: float
    late_s: float = 0.0
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Connection:
    """An opened camera.

    Attributes:
        fps: frames per second; nominal where unknown.
        arrivals: ends, or raises `SourceLostError`, when the camera disconnects, and soon
            after the stop event is set; releases the camera at its end.
    """

    fps: float
    arrivals: Generator[Arrival, None, None]


Connect = Callable[[threading.Event], Connection]
"""Opens a camera once; raises `SourceError` where that is impossible."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for a live source, in seconds; tests use shorter times.

    Attributes:
        open_s: for a connection, at the start of the program.
        first_picture_s: for the first frame after it; some cameras send a key frame only
            every ten seconds.
        stale_s: without a frame until the source counts as stalled.
        silence_s: without a frame until it is lost, where it is not opened again.
        retry_s: before the first new attempt; each further one waits 1.5 times longer.
        retry_soon_s: the longest wait during the first `soon_attempts`.
        soon_attempts: number of attempts with short waits.
        retry_late_s: the longest wait later, and the wait after a refusal.
    """

    open_s: float = 4.8
    first_picture_s: float = 20.0
    stale_s: float = 1.0
    silence_s: float = 3.5
    retry_s: float = 0.5
    retry_soon_s: float = 2.0
    soon_attempts: int = 60
    retry_late_s: float = 30.0

    def waits_s(self) -> Iterator[float]:
        """Seconds to wait before each attempt to open a camera again, without end."""
        soon = waits_s(self.retry_s, self.retry_soon_s, growth=1.5, jitter=0.25)
        late = waits_s(self.retry_soon_s, self.retry_late_s, growth=1.5, jitter=0.25)
        return itertools.chain(itertools.islice(soon, self.soon_attempts), late)


PATIENT = Patience()


@dataclass(frozen=True, slots=True)
class LiveOptions:
    """What to do with a live source that fails.

    Attributes:
        reconnect: a camera that disconnects is opened again, without limit; if False it
            raises `SourceLostError`.
        keep_trying: a camera that cannot be opened at the start is tried again, too;
            if False that is a `SourceError`.
        max_latency_s: frames older than this when taken are dropped and counted. If all are,
            one passes now and then, so that a slow machine shows something and measures how
            late it is.
        arrived: set whenever a frame has come; sources that share one can be waited for
            together: `arrived.clear()`, `take(0)` of each, then `arrived.wait(0.1)`.
        patience: the waiting times.
    """

    reconnect: bool = True
    keep_trying: bool = False
    max_latency_s: float | None = None
    arrived: threading.Event | None = None
    patience: Patience = PATIENT

    def __post_init__(self) -> None:
        if self.max_latency_s is not None and not self.max_latency_s > 0:
            raise ValueError(f"max_latency_s must be positive, got {self.max_latency_s}")


class Health:
    """The state of one live source; written by its reader, read by any thread.

    The state follows from the age of the newest frame when it is read, so that it changes
    even while the reader is stuck in a system call; from `stale_s` on the source counts as
    stalled. Times are those of `time.monotonic()`.

    Attributes:
        ever_live: whether it has ever delivered.
        is_open: whether it is connected.
        reconnects: how often it has been opened again.
    """

    def __init__(self, stale_s: float) -> None:
        self.ever_live = False
        self.is_open = False
        self.reconnects = 0
        self._least_stale_s = self._stale_s = stale_s
        self._lock = threading.Lock()
        self._problem = ""
        self._refused = False
        self._heard_s = time.monotonic()
        # Of this connection:
        self._newest_s: float | None = None
        self._was_live = self._is_steady = False
        self._fresh = 0

    def opened(self, now_s: float, fps: float) -> None:
        """Note that it is connected; no frame has come yet."""
        with self._lock:
            self.reconnects += self.ever_live
            self.is_open, self._refused, self._problem = True, False, ""
            self._stale_s = max(self._least_stale_s, _PICTURES_MISSED / fps)
            self._heard_s, self._newest_s = now_s, None
            self._was_live, self._is_steady, self._fresh = False, False, 0

    def disconnected(self, problem: str, refused: bool = False) -> None:
        """Note why it is not connected, in one line without secrets.

        `refused`: by the server, so that retrying will probably not help.
        """
        with self._lock:
            self.is_open, self._refused, self._problem = False, refused, problem

    def picture(self, now_s: float, is_late: bool = False) -> None:
        """Note that a frame has come; late ones and the first after a gap are not fresh."""
        with self._lock:
            gap = self._newest_s is not None and now_s - self._newest_s > self._stale_s
            self._heard_s = self._newest_s = now_s
            self._fresh = 0 if gap or is_late else self._fresh + 1
            needed = FRESH_PICTURES if self.ever_live else 1
            self._is_steady = self._fresh >= needed or (self._is_steady and not gap)
            self._was_live |= self._is_steady
            self.ever_live |= self._is_steady

    def silent_s(self, now_s: float) -> float:
        """Seconds since a frame came or a connection was opened."""
        return now_s - self._heard_s

    def status(self, now_s: float) -> SourceStatus:
        """The source's status at `now_s`."""
        with self._lock:
            state, detail = self._state(now_s)
            delivers = self.is_open and self._newest_s is not None
            return SourceStatus(state, detail, self.reconnects, delivers)

    def _state(self, now_s: float) -> tuple[SourceState, str]:
        opening = SourceState.RECONNECTING if self.ever_live else SourceState.CONNECTING
        if not self.is_open:
            return (SourceState.FAILED if self._refused else opening), self._problem
        if self._newest_s is None:
            return opening, "connected; waiting for the first picture"
        silent_s = now_s - self._newest_s
        if silent_s > self._stale_s:
            return SourceState.STALLED, f"no picture for {silent_s:.0f} s"
        if not self._is_steady:
            state = SourceState.STALLED if self._was_live else opening
            return state, "waiting for steady pictures"
        return SourceState.LIVE, ""


class Reconnecting:
    """Produces the frames of a camera, over as many connections as needed.

    `index` continues over all of them; each begins a new epoch, as does a change of size.
    `name` is without secrets; `health` records the camera's state.

    Attributes:
        fps: of the newest connection; 0 before the first.
        left_out: frames that were never converted, see `Arrival`.
    """

    STEADY_PICTURES = 25  # after so many the waits between attempts are short again

    def __init__(self, connect: Connect, name: str, health: Health, options: LiveOptions) -> None:
        self.fps = 0.0
        self.left_out = 0
        self._connect, self._name = connect, name
        self._health, self._options = health, options
        self._waits_s = options.patience.waits_s()
        self._started_s = time.monotonic()
        self._index, self._epoch = 0, -1
        self._logged = ""

    def produce(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Yield frames until `stop` is set.

        Raises:
            SourceError: it could not be opened, and `keep_trying` is off.
            SourceLostError: it disconnected, and `reconnect` is off.
        """
        while not stop.is_set():
            problem: StreamError = SourceLostError(lost(self._name))
            try:
                yield from self._frames(stop)
            except StreamError as error:
                problem = error
            except Exception as error:  # a camera must not end a program that runs for months
                log.warning("%s: %s: %s", self._name, type(error).__name__, redact(error))
            if stop.is_set():
                return
            options = self._options
            if not (options.reconnect if self._health.ever_live else options.keep_trying):
                raise problem  # not chained to a library's error, which may hold the address
            self._log(problem)
            self._health.disconnected(str(problem), isinstance(problem, RefusedError))
            stop.wait(self._wait_s(problem))

    def _frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Yield the frames of one connection; raises `SourceLostError` at its end."""
        connection = self._connect(stop)
        self.fps = connection.fps
        self._epoch += 1
        self._health.opened(time.monotonic(), self.fps)
        shape, count = None, 0
        with contextlib.closing(connection.arrivals) as arrivals:
            for arrival in arrivals:
                self._epoch += shape not in (None, arrival.image.shape)
                shape = arrival.image.shape
                self._health.picture(arrival.arrived_s, arrival.late_s > 0)
                yield self._frame(arrival)
                count += 1
                if count == self.STEADY_PICTURES:
                    self._waits_s = self._options.patience.waits_s()
                    self._log(None)
        raise SourceLostError(lost(self._name) if count else silent(self._name))

    def _frame(self, arrival: Arrival) -> Frame:
        self.left_out += arrival.left_out
        index = self._index + arrival.left_out
        self._index = index + 1
        time_s, left_s = arrival.arrived_s - self._started_s, arrival.arrived_s - arrival.late_s
        return Frame(arrival.image, index, time_s, self._epoch, left_s)

    def _wait_s(self, problem: StreamError) -> float:
        refused = isinstance(problem, RefusedError)
        # A relay does not know the path while its own camera is away: once seen, it will return.
        if refused and (isinstance(problem, PasswordError) or not self._health.ever_live):
            return self._options.patience.retry_late_s
        return next(self._waits_s)

    def _log(self, problem: StreamError | None) -> None:
        """Log changes only, not each of ten thousand attempts."""
        text = "" if problem is None else str(problem)
        if text != self._logged:
            if problem is None:
                log.warning("%s is back", self._name)
            else:
                log.warning("%s; trying again", text)
        self._logged = text


class LiveFeed:
    """`sources.Source` for cameras: the newest frame wins, and a disconnect is not the end.

    With `keep_trying` it returns at once, and until its first frame `size_wh` is (0, 0) and
    `fps` nominal. Else it waits for the first frame. `name` is without secrets.

    Raises:
        SourceError: it cannot be opened, or sends no frame.
    """

    is_live = True
    frame_count: int | None = None

    def __init__(self, connect: Connect, name: str, options: LiveOptions) -> None:
        self.name = name
        self.fps = NOMINAL_FPS
        self.size_wh = (0, 0)
        self._options = options
        self._too_old = 0
        self._given_s = -math.inf
        self._health = Health(options.patience.stale_s)
        self._camera = Reconnecting(connect, name, self._health, options)
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
        """Set size and rate at the first frame."""
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

    def seek(self, time_s: float) -> bool:
        """See `sources.Source`: a camera has no other time than now."""
        return False

    def take(self, timeout_s: float | None = None) -> Frame | None:
        """See `sources.Source`."""
        end_s = math.inf if timeout_s is None else time.monotonic() + timeout_s
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
        """Raise where the reader hangs in a read of a camera that is not opened again."""
        if self._options.reconnect or not self._health.ever_live:
            return
        if self._health.silent_s(time.monotonic()) > self._options.patience.silence_s:
            raise SourceLostError(lost(self.name))

    def close(self) -> None:
        """Stop the reader; may be called again, and from another thread."""
        self._reader.close(_JOIN_S)
