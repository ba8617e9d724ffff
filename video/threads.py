"""Hand-offs between threads; the only module that starts any.

    ReadAhead      stored media: every item once and in order, the producer waits
    Newest         live media: the newest item wins, those overwritten are counted
    WriterThread   outputs: items are written in order beside the frame loop
    Crew         work that may be done ahead, in threads with a tool each
    Outbox         outputs that may be gone for long: never waits, the oldest items are dropped
    call_with_deadline   one call that might hang (opening a camera, a name look-up)
    end_with_parent      a worker process does not outlive the program that started it

Every queue is bounded, every wait ends when `close()` is called from any thread, and
what a worker raises is raised again where its items are taken or submitted. Workers are
daemons, joined by `close()`; one stuck in a system call stops as soon as that returns.
"""

import contextlib
import logging
import multiprocessing
import os
import threading
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
Producer = Callable[[threading.Event], Generator[T, None, None]]

_DEPTH = 4  # items read ahead; a 4K picture takes 25 MB
_JOIN_S = 1.5

log = logging.getLogger(__name__)


class _Reader(Generic[T]):
    """Runs a producer in a thread and hands its items over through a bounded slot.

    The producer's generator is advanced and closed in the worker only, so that what it
    opened is released by the thread that used it. It looks at the stop event wherever
    it can loop for long without yielding.

    Args:
        produce: gives the items; runs in the thread.
        name: of the thread, for debuggers.
        arrived: set whenever an item or the end has come; several readers may share one,
            so that a single wait is enough for all of them.

    Attributes:
        dropped: items overwritten by newer ones since the first `take` (what arrives
            while the models still load is not a loss).
    """

    _keeps_all: bool

    def __init__(
        self,
        produce: Producer[T],
        name: str = "reader",
        arrived: threading.Event | None = None,
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
        except BaseException as error:  # whatever it was, the consumer must hear of it
            self._error = error
        with self._change:
            self._finished = True
            self._announce()

    def _announce(self) -> None:
        """Wake those who wait; the condition is held."""
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
        """Return when an item is there; raise as `take` does. The condition is held."""
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
        """Return what `take` would return now, and leave it there. Raises as `take` does."""
        with self._change:
            self._await_item(timeout_s)
            return self._slots[0]

    def take(self, timeout_s: float | None = None) -> T:
        """Wait for the next item and return it.

        Args:
            timeout_s: how long to wait; None waits until there is one or none will come.

        Raises:
            TimeoutError: nothing arrived in time; it may be tried again.
            StopIteration: the producer came to its end, or the reader was closed.
            BaseException: what the producer raised, after the items it gave before.
        """
        with self._change:
            self._await_item(timeout_s)
            self._taken = True
            self._change.notify_all()
            return self._slots.popleft()

    def close(self, join_s: float | None = None) -> None:
        """Stop the worker and join it; may be called again, and from any thread.

        Args:
            join_s: how long to wait for a worker inside a read, None = 1.5; it stops by
                itself after that read.
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


class WriterThread(Generic[T]):
    """Calls `write(item)` in a thread of its own, in the order of submission.

    `submit` waits while the queue is full and drops nothing; `offer` never waits. `write`
    is not called again once it raised, nor after `close()`: what it writes to can be
    finished in the caller's thread.

    Args:
        write: called in the worker with one item at a time.
        depth: how many items may wait.
        patience_s: how long `submit` and `close` wait for a writer that is stuck.
        name: of the thread, for debuggers.
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
        except BaseException as error:  # whatever it was, the submitter must hear of it
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
            BaseException: what `write` raised for an earlier item.
        """
        with self._change:
            has_room = self._change.wait_for(
                lambda: len(self._queue) < self._depth or self._closing or self._error,
                self._patience_s,
            )
            self._raise_error()
            if self._closing:
                raise ValueError(f"want submit() before close(), got {type(item).__name__} after")
            if not has_room:
                raise TimeoutError(f"nothing could be written for {self._patience_s:g} s")
            self._queue.append(item)
            self._change.notify_all()

    def offer(self, item: T) -> bool:
        """Queue `item` if there is room now; returns whether there was. Raises as `submit`."""
        with self._change:
            self._raise_error()
            if self._closing:
                raise ValueError(f"want offer() before close(), got {type(item).__name__} after")
            if len(self._queue) >= self._depth:
                return False
            self._queue.append(item)
            self._change.notify_all()
            return True

    @property
    def waiting(self) -> int:
        """How many items are queued."""
        return len(self._queue)

    def _raise_error(self) -> None:
        if self._error is not None:
            self._reported = True
            raise self._error

    def close(self) -> None:
        """Write what is queued, stop the worker and join it; may be called again.

        Where Ctrl-C interrupts it the worker goes on: see `stopped`.

        Raises:
            TimeoutError: the worker is stuck in `write`.
            BaseException: what `write` raised, unless it was raised already.
        """
        with self._change:
            self._closing = True
            self._change.notify_all()
            # Not by join() and is_alive(): after Ctrl-C in the one the other is wrong.
            if not self._change.wait_for(lambda: self._stopped, self._patience_s):
                raise TimeoutError(f"nothing could be written for {self._patience_s:g} s")
        self._thread.join()
        if not self._reported:
            self._raise_error()


class Crew(Generic[T]):
    """Runs calls in threads, each of which makes a tool for itself when it is first needed.

    Args:
        make_tool: makes what the calls need and cannot share: a detector, for one.
        size: how many calls run at a time, at least 1.

    Attributes:
        size: as given.
    """

    def __init__(self, make_tool: Callable[[], T], size: int) -> None:
        self.size = size
        self._make_tool = make_tool
        self._mine = threading.local()
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="crew")

    def submit(self, call: Callable[[T], R]) -> Future[R]:
        """Begin `call(tool)` as soon as a thread is free; the future has what came of it."""
        return self._pool.submit(self._run, call)

    def _run(self, call: Callable[[T], R]) -> R:
        if not hasattr(self._mine, "tool"):
            self._mine.tool = self._make_tool()
        return call(self._mine.tool)

    def close(self) -> None:
        """Let the calls that run come to their end, and no other begin; may be called again."""
        self._pool.shutdown(cancel_futures=True)


class Outbox(Generic[T]):
    """Hands items to a worker that may be stuck for long: `put` never waits.

    Where the queue is full its oldest item is dropped, counted, and the first such loss
    logged. The worker is one call of `serve`, which takes items until `closing` is set and
    nothing is left, or nothing more can be done.

    Attributes:
        dropped: items lost so far because the queue was full.

    Args:
        serve: called once, in the worker, with this object.
        depth: how many items may wait.
        name: of the thread; named in the log too.
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
        except BaseException as error:  # whatever it was, the next `put` must tell it
            self._error = error

    @property
    def closing(self) -> bool:
        """Whether `close` was called: deliver what is left, and return."""
        return self._closing

    def __len__(self) -> int:
        return len(self._queue)

    def put(self, items: Iterable[T]) -> None:
        """Queue `items`.

        Raises:
            BaseException: what the worker raised, once; items are passed over from then on.
        """
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
        """Raise what the worker raised, once."""
        error, self._error = self._error, None
        if error is not None:
            raise error

    def take(self, most: int, timeout_s: float) -> list[T]:
        """For the worker: wait for an item, then return up to `most`; none in time is []."""
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


def call_with_deadline(
    function: Callable[[], T], timeout_s: float, discard: Callable[[T], None]
) -> T:
    """Return `function()`, run in a thread of its own, or raise what it raises.

    Ctrl-C is heard meanwhile. `discard` is called with a result that comes too late.

    Raises:
        TimeoutError: it has not returned within `timeout_s`.
    """
    future: Future[T] = Future()

    def run() -> None:
        try:
            result = function()
        except BaseException as error:
            if future.set_running_or_notify_cancel():
                future.set_exception(error)
            return
        if future.set_running_or_notify_cancel():
            future.set_result(result)
        else:
            discard(result)

    threading.Thread(target=run, name="deadline", daemon=True).start()
    try:
        wait([future], timeout_s)
    finally:
        too_late = future.cancel()
    if too_late:
        raise TimeoutError(f"no answer within {timeout_s:g} s")
    return future.result()


def end_with_parent() -> None:
    """Have this process end at once when the one that started it has ended.

    Killed, a program cannot tell its worker processes; they would wait for ever. Without
    effect in a process that `multiprocessing` did not start.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
