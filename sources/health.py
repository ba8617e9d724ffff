"""How a live source is doing, as seen from outside its reader.

The reader notes what happens; anybody may ask at any time. The state is worked out from
the age of the newest picture at the moment of asking, so that a reader stuck inside a
system call cannot keep it from changing.
"""

import threading
import time

from structures import SourceState, SourceStatus

FRESH_PICTURES = 3  # a read that timed out first hands over one to three old ones
_PICTURES_MISSED = 3  # a camera of one picture a second is not stalled after one


class Health:
    """The state of one live source; used by its reader and by everyone who asks.

    Moments are those of `time.monotonic()`.

    Args:
        stale_s: age of the newest picture from which the source counts as stalled.

    Attributes:
        ever_live: whether it has ever delivered.
        is_open: whether a connection stands.
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
        """Note that a connection stands; no picture has come yet."""
        with self._lock:
            self.reconnects += self.ever_live
            self.is_open, self._refused, self._problem = True, False, ""
            self._stale_s = max(self._least_stale_s, _PICTURES_MISSED / fps)
            self._heard_s, self._newest_s = now_s, None
            self._was_live, self._is_steady, self._fresh = False, False, 0

    def broke_off(self, problem: str, refused: bool = False) -> None:
        """Note that there is no connection, and why.

        Args:
            problem: one line for people, without secrets.
            refused: the other side said no, which waiting hardly mends.
        """
        with self._lock:
            self.is_open, self._refused, self._problem = False, refused, problem

    def picture(self, now_s: float, is_late: bool = False) -> None:
        """Note that a picture has come; late ones and the first after a gap are not fresh."""
        with self._lock:
            gap = self._newest_s is not None and now_s - self._newest_s > self._stale_s
            self._heard_s = self._newest_s = now_s
            self._fresh = 0 if gap or is_late else self._fresh + 1
            needed = FRESH_PICTURES if self.ever_live else 1
            self._is_steady = self._fresh >= needed or (self._is_steady and not gap)
            self._was_live |= self._is_steady
            self.ever_live |= self._is_steady

    def silent_s(self, now_s: float) -> float:
        """Seconds since a picture came or a connection was opened."""
        return now_s - self._heard_s

    def status(self, now_s: float) -> SourceStatus:
        """How the source is doing at `now_s`."""
        with self._lock:
            state, detail = self._state(now_s)
            return SourceStatus(state, detail, self.reconnects)

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
