"""Threads for searches, for one call that may hang, and for an asyncio loop."""

import contextlib
import multiprocessing
import os
import random
import signal
import threading
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from typing import Any, Generic, TypeVar

T = TypeVar("T")
R = TypeVar("R")
_JOIN_S = 1.5


class DetectorPool(Generic[T]):
    """Runs calls in `size` threads, each with a tool of its own, made at its first call.

    `make_tool` makes what threads cannot share: a detector.
    """

    def __init__(self, make_tool: Callable[[], T], size: int) -> None:
        self.size = size
        self._make_tool = make_tool
        self._mine = threading.local()
        self._pool = ThreadPoolExecutor(size, thread_name_prefix="detector")
        self._change, self._under_way = threading.Condition(), 0

    def submit(self, call: Callable[[T], R]) -> Future[R]:
        """Call `call(tool)` as soon as a thread is free; returns the future of its result."""
        future = self._pool.submit(self._run, call)
        with self._change:
            self._under_way += 1
        future.add_done_callback(self._count_done)
        return future

    def _count_done(self, _: Future[Any]) -> None:
        with self._change:
            self._under_way -= 1
            self._change.notify_all()

    def _run(self, call: Callable[[T], R]) -> R:
        if not hasattr(self._mine, "tool"):
            self._mine.tool = self._make_tool()
        return call(self._mine.tool)

    def close(self) -> None:
        """Wait for running calls and cancel the others; may be called again.

        If Ctrl-C interrupts it, the calls continue, and Python waits for them at its end.
        """
        self._pool.shutdown(wait=False, cancel_futures=True)
        with self._change:  # after Ctrl-C in join() Python takes a thread for ended that is not
            self._change.wait_for(lambda: not self._under_way)
        self._pool.shutdown()


class LoopThread:
    """An asyncio loop in a thread of its own; `name` is for debuggers."""

    def __init__(self, name: str = "loop") -> None:
        import asyncio  # takes a tenth of a second, and only the web page needs it

        self._asyncio = asyncio
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T], timeout_s: float) -> T:
        """Run `work` in the loop and return its result, or raise what it raises.

        Raises:
            TimeoutError: it took longer than `timeout_s`; it has been cancelled.
        """
        future = self._asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result(timeout_s)
        finally:
            future.cancel()

    def soon(self, function: Callable[[], object]) -> None:
        """Have the loop call `function`; never waits, does nothing after `close()`."""
        with contextlib.suppress(RuntimeError):
            self._loop.call_soon_threadsafe(function)

    def close(self) -> None:
        """Cancel running tasks, stop the loop and join its thread; may be called again."""
        if self._loop.is_closed():
            return
        with contextlib.suppress(TimeoutError):
            self.call(self._cancel_all(), _JOIN_S)
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join(_JOIN_S)
        if not self._thread.is_alive():
            self._loop.close()

    async def _cancel_all(self) -> None:
        others = self._asyncio.all_tasks() - {self._asyncio.current_task()}
        for task in others:
            task.cancel()
        await self._asyncio.gather(*others, return_exceptions=True)


def call_with_deadline(
    function: Callable[[], T], timeout_s: float, discard: Callable[[T], None]
) -> T:
    """Return `function()`, run in a thread of its own, or raise what it raises.

    Ctrl-C works meanwhile. `discard` is called with a result that comes too late.

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


def waits_s(
    first_s: float, longest_s: float = 60.0, growth: float = 2.0, jitter: float = 0.5
) -> Iterator[float]:
    """Yield the seconds to wait before each further attempt, without end.

    Args:
        first_s: before the first.
        longest_s: their limit.
        growth: ratio of each to the one before.
        jitter: largest share by which each is shortened at random, so that many programs do
            not return at the same moment.
    """
    wait_s = first_s
    while True:
        wait_s = min(wait_s, longest_s)
        yield wait_s * random.uniform(1 - jitter, 1)
        wait_s *= growth


@contextlib.contextmanager
def blocked_sigint() -> Iterator[None]:
    """Block SIGINT in processes started within, and only in those (POSIX only)."""
    if os.name != "posix":
        yield
        return
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def end_with_parent() -> None:
    """End this process at once when the one that started it has ended.

    A killed program cannot end its worker processes; they would wait forever. Without effect
    in a process that `multiprocessing` did not start.
    """
    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=watch, name="end-with-parent", daemon=True).start()
