"""Threads that read: a producer's items are handed over through a bounded slot."""

import contextlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Generator
from typing import Generic, TypeVar

T = TypeVar("T")
Producer = Callable[[threading.Event], Generator[T, None, None]]

_DEPTH = 4  # items read ahead; a 4K frame takes 25 MB
_JOIN_S = 1.5

log = logging.getLogger(__name__)


class _Reader(Generic[T]):
    """Runs a producer in a thread and hands its items over through a bounded slot.

    The generator is advanced and closed in that thread only, so that what it opened is
    released where it was used. It checks the stop event wherever it may loop for long.
    `arrived` is set whenever an item or the end has come; several readers may share one.

    Attributes:
        dropped: items overwritten by newer ones since the first `take`.
    """

    _keeps_all: bool

    def __init__(
        self, produce: Producer[T], name: str = "reader", arrived: threading.Event | None = None
    ) -> None:
        self.dropped = 0
        self._taken = False
        self._produce = produce
        self._arrived = arrived
        self._slots: deque[T] = deque()
        self._change = threading.Condition()
        self._stop = threading.Event()
        self._finished = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            with contextlib.closing(self._produce(self._stop)) as items:
                for item in items:
                    if not self._offer(item):
                        break
        except BaseException as error:  # raised again in the consumer
            self._error = error
        with self._change:
            self._finished = True
            self._announce()

    def _announce(self) -> None:
        """Wake all waiting threads; the condition is held."""
        self._change.notify_all()
        if self._arrived is not None:
            self._arrived.set()

    def _offer(self, item: T) -> bool:
        """Put `item` into a slot; False once the reader was closed."""
        with self._change:
            if self._keeps_all:
                self._change.wait_for(lambda: len(self._slots) < _DEPTH or self._stop.is_set())
            else:
                self.dropped += len(self._slots) if self._taken else 0
                self._slots.clear()
            if self._stop.is_set():
                return False
            self._slots.append(item)
            self._announce()
            return True

    def _await_item(self, timeout_s: float | None) -> None:
        """Wait for an item; raise as `take` does. The condition is held."""
        arrived = self._change.wait_for(
            lambda: self._slots or self._finished or self._stop.is_set(), timeout_s
        )
        if self._stop.is_set():
            raise StopIteration
        if not arrived:
            raise TimeoutError(f"nothing arrived for {timeout_s:g} s")
        if not self._slots:
            raise self._error or StopIteration

    def peek(self, timeout_s: float | None = None) -> T:
        """Return what `take` would return, without removing it. Raises as `take` does."""
        with self._change:
            self._await_item(timeout_s)
            return self._slots[0]

    def take(self, timeout_s: float | None = None) -> T:
        """Wait for the next item and return it; `timeout_s` None waits without limit.

        Raises:
            TimeoutError: nothing arrived in time; it may be tried again.
            StopIteration: the producer ended, or the reader was closed.
            BaseException: the producer's error, after its last item.
        """
        with self._change:
            self._await_item(timeout_s)
            self._taken = True
            self._change.notify_all()
            return self._slots.popleft()

    def close(self, join_s: float | None = None) -> None:
        """Stop the worker and join it; may be called again, and from any thread.

        A worker inside a read is waited for `join_s` (None = 1.5 s), and stops after that read.
        """
        self._stop.set()
        with self._change:
            self._slots.clear()
            self._change.notify_all()
        if self._thread is not threading.current_thread():
            self._thread.join(_JOIN_S if join_s is None else join_s)
            if self._thread.is_alive():
                log.debug("%s is still inside a read and will stop after it", self._thread.name)


class ReadAhead(_Reader[T]):
    """Reads a few items ahead; none is lost, the producer waits for room."""

    _keeps_all = True


class Newest(_Reader[T]):
    """Keeps the newest item only, so that a slow consumer never falls behind."""

    _keeps_all = False
