"""Threads that write: items are taken from a bounded queue, waiting or dropping."""

import logging
import threading
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")
_JOIN_S = 1.5

log = logging.getLogger(__name__)


class WriterThread(Generic[T]):
    """Calls `write(item)` in a thread of its own, in the order of submission.

    `submit` waits while the queue is full; `offer` never waits. `write` is not called again
    once it raised, nor after `close()`: its file can be finished in the caller's thread.

    Args:
        write: called in the worker with one item at a time.
        depth: limit of waiting items.
        patience_s: how long `submit` and `close` wait for a stuck writer.
        name: of the thread.
    """

    def __init__(
        self, write: Callable[[T], None], depth: int = 8, patience_s: float = 10.0, name: str = ""
    ) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        self._write = write
        self._depth = depth
        self._patience_s = patience_s
        self._queue: deque[T] = deque()
        self._change = threading.Condition()
        self._closing = False
        self._error: BaseException | None = None
        self._reported = False
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name or "writer", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            while True:
                with self._change:
                    self._change.wait_for(lambda: self._queue or self._closing)
                    if not self._queue:
                        return
                    item = self._queue.popleft()
                    self._change.notify_all()
                self._write(item)
        except BaseException as error:  # raised again in `submit` and `close`
            with self._change:
                self._error = error
                self._queue.clear()
        finally:
            with self._change:
                self._stopped = True
                self._change.notify_all()

    @property
    def stopped(self) -> bool:
        """Whether `write` has returned for the last time."""
        return self._stopped

    def submit(self, item: T) -> None:
        """Queue `item`, waiting for room.

        Raises:
            ValueError: after `close()`.
            TimeoutError: the queue stayed full for `patience_s`.
            BaseException: the error of `write` for an earlier item.
        """
        if not self._queue_within(self._patience_s, item):
            raise TimeoutError(f"nothing could be written for {self._patience_s:g} s")

    def offer(self, item: T) -> bool:
        """Queue `item` if there is room now; returns whether there was. Raises as `submit`."""
        return self._queue_within(0.0, item)

    def _queue_within(self, wait_s: float, item: T) -> bool:
        with self._change:
            has_room = self._change.wait_for(
                lambda: len(self._queue) < self._depth or self._closing or self._error, wait_s
            )
            self._raise_error()
            if self._closing:
                raise ValueError(f"want items before close(), got {type(item).__name__} after")
            if has_room:
                self._queue.append(item)
                self._change.notify_all()
            return bool(has_room)

    @property
    def waiting(self) -> int:
        """The number of queued items."""
        return len(self._queue)

    def _raise_error(self) -> None:
        if self._error is not None:
            self._reported = True
            raise self._error

    def close(self) -> None:
        """Write the queued items, stop the worker and join it; may be called again.

        If Ctrl-C interrupts it, the worker continues: see `stopped`.

        Raises:
            TimeoutError: the worker is stuck in `write`.
            BaseException: the error of `write`, unless it was raised already.
        """
        with self._change:
            self._closing = True
            self._change.notify_all()
            # Not by join() and is_alive(): after Ctrl-C in join(), is_alive() is wrong.
            if not self._change.wait_for(lambda: self._stopped, self._patience_s):
                raise TimeoutError(f"nothing could be written for {self._patience_s:g} s")
        self._thread.join()
        if not self._reported:
            self._raise_error()


class Outbox(Generic[T]):
    """Hands items to a worker that may be stuck for long: `put` never waits.

    If the queue is full, its oldest item is dropped and counted; the first loss is logged.

    Args:
        serve: called once, in the worker, with this object; takes items until `closing` is
            set and none is left.
        depth: limit of waiting items.
        name: of the thread, also in the log.

    Attributes:
        dropped: items lost so far.
    """

    def __init__(self, serve: Callable[["Outbox[T]"], None], depth: int, name: str) -> None:
        if depth < 1:
            raise ValueError(f"depth must be at least 1, got {depth}")
        self.dropped = 0
        self._serve = serve
        self._depth = depth
        self._queue: deque[T] = deque()
        self._change = threading.Condition()
        self._closing = False
        self._error: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)
        self._thread.start()

    def _run(self) -> None:
        try:
            self._serve(self)
        except BaseException as error:  # raised by the next `put`
            self._error = error

    @property
    def closing(self) -> bool:
        """Whether `close` was called: the worker delivers the rest and returns."""
        return self._closing

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, items: Iterable[T]) -> None:
        """Queue `items`; raises the worker's error once, later items are ignored."""
        self.check()
        with self._change:
            self._queue.extend(items)
            lost = max(len(self._queue) - self._depth, 0)
            if lost and not self.dropped:
                log.warning("%s: too many are waiting; the oldest are dropped", self._thread.name)
            self.dropped += lost
            for _ in range(lost):
                self._queue.popleft()
            self._change.notify_all()

    def check(self) -> None:
        """Raise the worker's error, once."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def take(self, most: int, timeout_s: float) -> list[T]:
        """For the worker: wait for an item, then return up to `most`; [] if none came in time."""
        with self._change:
            self._change.wait_for(lambda: self._queue or self._closing, timeout_s)
            return [self._queue.popleft() for _ in range(min(most, len(self._queue)))]

    def pause(self, seconds: float) -> None:
        """For the worker: wait so long, or until `close` is called."""
        with self._change:
            self._change.wait_for(lambda: self._closing, seconds)

    def close(self, patience_s: float) -> bool:
        """Let the worker finish; returns whether it did so in time. May be called again."""
        with self._change:
            self._closing = True
            self._change.notify_all()
        self._thread.join(patience_s)
        return not self._thread.is_alive()
