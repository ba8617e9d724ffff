"""How Ctrl-C, SIGTERM and SIGHUP end a run: in good order, always, and within a limit."""

import _thread
import contextlib
import os
import signal
import stat
import sys
import threading
import time
from collections.abc import Callable, Iterator
from types import FrameType

from structures import FrameResult, Image

_IMPORT_S = 0.02  # between two looks whether an import has come to its end
_PATIENCE_S = 1.0  # for the loop to notice; then it is interrupted wherever it is
_CLOSING_S = 75.0  # longer than a recording waits for a disk that hangs


class Ending:
    """A sink that is closed by the first signal: the loop then ends between two frames.

    Interrupted anywhere, it might be in the middle of taking a lock. Only what has not ended
    a second later, or at a second signal, is interrupted by KeyboardInterrupt; before `running`,
    whatever the first one finds. After it, and once `opening` has failed, no signal interrupts
    anything: outputs are being finished. If that takes too long after a signal, the process ends.

    Args:
        give_up: ends the process; tests hand in their own.
        closing_s: how long after a signal finishing may take.

    Attributes:
        asked: whether there was a signal.
    """

    wants_picture = False

    def __init__(
        self, give_up: Callable[[], object] | None = None, closing_s: float = _CLOSING_S
    ) -> None:
        self.asked = False
        self._give_up, self._closing_s = give_up or _end_now, closing_s
        self._is_running = self._is_closing = False
        self._timer: _Alarm | None = None
        self._limit: _Alarm | None = None

    @property
    def closed(self) -> bool:
        """Whether there was a signal."""
        return self.asked

    def write(self, picture: Image | None, result: FrameResult) -> None:
        """Nothing to do. See `outputs.Sink.write`."""

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        """Nothing to do. See `outputs.Sink.refresh`."""

    def close(self) -> None:
        """All is finished: nothing is left to be limited."""
        if self._limit:
            self._limit.cancel()

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """The signals' handler."""
        if hasattr(signal, "SIGHUP") and number == signal.SIGHUP:
            _leave_terminal()
        again, self.asked = self.asked, True
        if self._is_closing:
            self._limit_closing()
        elif self._is_running and not again:
            self._again(number, _PATIENCE_S)
        elif _is_importing(frame):
            # Cut short, it may leave Python's import lock taken for ever.
            self._again(number, _IMPORT_S)
        else:
            if not self._is_running:
                self._begin_closing()
            raise KeyboardInterrupt

    def _again(self, number: int, after_s: float) -> None:
        self._timer = _Alarm(after_s, lambda: _signal_main(number))

    def _limit_closing(self) -> None:
        if self._limit is None:
            self._limit = _Alarm(self._closing_s, self._give_up)

    def _begin_closing(self) -> None:
        self._is_closing = True
        if self._timer:
            self._timer.cancel()
        if self.asked:
            self._limit_closing()

    @contextlib.contextmanager
    def opening(self) -> Iterator[None]:
        """The time in which all is opened and run; what ends it early begins closing."""
        try:
            yield
        except BaseException:
            self._begin_closing()
            raise

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """The time in which a signal is noticed between two frames; afterwards is closing.

        KeyboardInterrupt ends it, and so does what comes of one in the middle of a lock.
        """
        try:
            self._is_running = True
            yield
        except KeyboardInterrupt:
            pass
        except RuntimeError:  # cannot release un-acquired lock
            if not self.asked:
                raise
        finally:
            self._begin_closing()


class _Alarm:
    """Calls a function later, in a thread; can be made in a signal's handler.

    A `threading.Timer` cannot: it waits for ever for a lock of `threading` that the main thread
    holds if the signal came while it was starting a thread.
    """

    def __init__(self, after_s: float, call: Callable[[], object]) -> None:
        self._cancelled = False
        _thread.start_new_thread(self._run, (after_s, call))

    def _run(self, after_s: float, call: Callable[[], object]) -> None:
        time.sleep(after_s)
        if not self._cancelled:
            call()

    def cancel(self) -> None:
        """Call nothing."""
        self._cancelled = True


def _end_now() -> None:
    with contextlib.suppress(OSError):
        os.set_blocking(2, False)
        os.write(2, b"stream.py: an output cannot be finished; ended without it\n")
    os._exit(2)


def _is_importing(frame: FrameType | None) -> bool:
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            return True
        frame = frame.f_back
    return False


def _signal_main(number: int) -> None:
    """Send a signal to the main thread, so that it leaves whatever it waits in."""
    if hasattr(signal, "pthread_kill"):
        signal.pthread_kill(threading.main_thread().ident or 0, number)
    else:
        signal.raise_signal(number)


def _leave_terminal() -> None:
    """Discard what is still written to a terminal that was closed: it would fail."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            number = stream.fileno()
            if stat.S_ISCHR(os.fstat(number).st_mode) and not os.isatty(number):
                os.dup2(os.open(os.devnull, os.O_WRONLY), number)
