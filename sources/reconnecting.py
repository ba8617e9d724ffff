"""Keeps a live source going: opens it again whenever it breaks off.

    connect(stop) -> Connection     what opens a camera, once; the only thing that differs
    Reconnecting.produce            the loop around it, for a reader thread
    Health                          what that loop notes down, for everyone else

A camera that cannot be reached is tried again after half a second, then ever more rarely:
every two seconds for about two minutes, every thirty at last. One that refuses the
password is asked every thirty seconds at once, for cameras lock accounts.
"""

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Generator
from dataclasses import dataclass

from errors import PasswordError, RefusedError, SourceLostError, StreamError, redact
from sources.feed import lost, silent
from sources.health import Health
from sources.lateness import Lateness
from structures import Frame, Image
from threads.backoff import Backoff

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """What a connection gives.

    Attributes:
        image: (H, W, 3) uint8 BGR.
        arrived_s: `time.monotonic()` when it left the decoder.
        media_s: the sender's time stamp in seconds; None where there is none.
        left_out: pictures just before that were too late to be worth converting.
    """

    image: Image
    arrived_s: float
    media_s: float | None = None
    left_out: int = 0


@dataclass(frozen=True, slots=True)
class Connection:
    """An opened camera.

    Attributes:
        fps: frames per second; nominal where unknown.
        pictures: comes to its end, or raises `SourceLostError`, when the camera breaks
            off, and soon after the stop event is set; releases the camera at its end.
    """

    fps: float
    pictures: Generator[Picture, None, None]


Connect = Callable[[threading.Event], Connection]
"""Opens a camera once; raises `SourceError` where that is impossible."""


@dataclass(frozen=True, slots=True)
class Patience:
    """How long a live source is waited for, in seconds; tests are less patient.

    Attributes:
        open_s: for a connection, at the start of the program.
        first_picture_s: for the first picture after it; some cameras send a key frame
            only every ten seconds.
        stale_s: without a picture until the source counts as stalled.
        silence_s: without a picture until it is lost, where it is not opened again.
        retry_s: before the first new attempt; each further one waits 1.5 times longer.
        retry_soon_s: the longest wait during the first `soon_attempts`.
        soon_attempts: how many those are.
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

    @property
    def backoff(self) -> Backoff:
        """The waits before each attempt to open a camera again."""
        return Backoff(
            self.retry_s,
            self.retry_late_s,
            growth=1.5,
            jitter=0.25,
            early_tries=self.soon_attempts,
            early_longest_s=self.retry_soon_s,
        )


PATIENT = Patience()


class Reconnecting:
    """Produces the frames of a camera, over as many connections as it takes.

    `index` goes on over all of them; each begins a new epoch, as does a change of size.

    Args:
        connect: opens the camera once.
        name: what to call it; without secrets.
        health: is told what happens.
        patience: how long to wait for what.
        keep_trying: go on although it could not be opened at the start.
        reconnect: go on although it broke off.

    Attributes:
        fps: of the newest connection; 0 before the first.
        left_out: pictures that were never made, see `Picture`.
    """

    STEADY_PICTURES = 25  # after so many the next break-off is a new story

    def __init__(
        self,
        connect: Connect,
        name: str,
        health: Health,
        patience: Patience,
        *,
        keep_trying: bool,
        reconnect: bool,
    ) -> None:
        self.fps = 0.0
        self.left_out = 0
        self._connect, self._name = connect, name
        self._health, self._patience = health, patience
        self._keep_trying, self._reconnect = keep_trying, reconnect
        self._backoff = patience.backoff
        self._started_s = time.monotonic()
        self._index, self._epoch = 0, -1
        self._told = ""

    def produce(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Yield frames until `stop` is set.

        Raises:
            SourceError: it could not be opened, and `keep_trying` is off.
            SourceLostError: it broke off, and `reconnect` is off.
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
            goes_on = self._reconnect if self._health.ever_live else self._keep_trying
            if not goes_on:
                raise problem  # here, where no error of a library with the address clings to it
            self._tell(problem)
            self._health.broke_off(str(problem), isinstance(problem, RefusedError))
            stop.wait(self._wait_s(problem))

    def _frames(self, stop: threading.Event) -> Generator[Frame, None, None]:
        """Yield the frames of one connection; raises `SourceLostError` when it breaks off."""
        connection = self._connect(stop)
        self.fps = connection.fps
        self._epoch += 1
        self._health.opened(time.monotonic(), self.fps)
        lateness, shape, count = Lateness(), None, 0
        with contextlib.closing(connection.pictures) as pictures:
            for picture in pictures:
                late_s = lateness.of(picture.media_s, picture.arrived_s)
                self._epoch += shape not in (None, picture.image.shape)
                shape = picture.image.shape
                self._health.picture(picture.arrived_s, late_s > 0)
                yield self._frame(picture, late_s)
                count += 1
                if count == self.STEADY_PICTURES:
                    self._backoff.reset()
                    self._tell(None)
        raise SourceLostError(lost(self._name) if count else silent(self._name))

    def _frame(self, picture: Picture, late_s: float) -> Frame:
        self.left_out += picture.left_out
        self._index += picture.left_out
        time_s = picture.arrived_s - self._started_s
        frame = Frame(picture.image, self._index, time_s, self._epoch, picture.arrived_s - late_s)
        self._index += 1
        return frame

    def _wait_s(self, problem: StreamError) -> float:
        refused = isinstance(problem, RefusedError)
        # A relay knows no such path while its own camera is away: once seen, it will return.
        if refused and (isinstance(problem, PasswordError) or not self._health.ever_live):
            return self._patience.retry_late_s
        return self._backoff.next_s()

    def _tell(self, problem: StreamError | None) -> None:
        """Log what has changed, not each of ten thousand attempts."""
        text = "" if problem is None else str(problem)
        if text != self._told:
            if problem is None:
                log.warning("%s is back", self._name)
            else:
                log.warning("%s; trying again", text)
        self._told = text
