"""The hand-offs between threads: order, newest-wins, errors, and closing at any moment."""

import asyncio
import signal
import threading
from collections.abc import Callable, Generator, Iterable
from typing import Any, Never

import pytest

from threads import (
    DetectorPool,
    LoopThread,
    Newest,
    ReadAhead,
    WriterThread,
    call_with_deadline,
    readers,
)

Kind = type[ReadAhead[Any]] | type[Newest[Any]]
Produce = Callable[[threading.Event], Generator[Any, None, None]]
SAFETY_S = 10.0  # only ever reached by a test that fails


def of(items: Iterable[Any], error: Exception | None = None) -> Produce:
    """A producer of `items` that ends, or raises `error`."""

    def produce(stop: threading.Event) -> Generator[Any, None, None]:
        yield from items
        if error is not None:
            raise error

    return produce


def drain(reader: ReadAhead[Any] | Newest[Any]) -> list[Any]:
    taken = []
    while True:
        try:
            taken.append(reader.take(SAFETY_S))
        except StopIteration:
            return taken


class Gate:
    """A producer of 0, 1, 2 ... that gives `allow(n)` more each time it is called."""

    def __init__(self) -> None:
        self._allowed = threading.Semaphore(0)
        self.asked = threading.Semaphore(0)
        self.left_in: threading.Thread | None = None

    def produce(self, stop: threading.Event) -> Generator[Any, None, None]:
        index = 0
        try:
            while True:
                self.asked.release()
                self._allowed.acquire()
                if stop.is_set():
                    return
                yield index
                index += 1
        finally:
            self.left_in = threading.current_thread()

    def allow(self, count: int) -> None:
        """Let `count` items through and return when they have been handed over."""
        for _ in range(count):
            assert self.asked.acquire(timeout=SAFETY_S)
            self._allowed.release()
        assert self.asked.acquire(timeout=SAFETY_S)
        self.asked.release()

    def open_forever(self) -> None:
        self._allowed.release(1000)


def test_read_ahead_hands_over_every_item_once_and_in_order() -> None:
    reader = ReadAhead(of(range(1000)))
    assert drain(reader) == list(range(1000))
    assert reader.dropped == 0
    reader.close()


def test_read_ahead_is_never_more_than_its_slots_and_one_item_ahead() -> None:
    produced = []

    def produce(stop: threading.Event) -> Generator[Any, None, None]:
        for index in range(100):
            produced.append(index)
            yield index

    reader = ReadAhead(produce)
    for taken in range(20):
        assert reader.take(SAFETY_S) == taken
        assert len(produced) <= taken + 1 + readers._DEPTH + 1
    reader.close()


def test_newest_skips_what_was_overwritten_and_counts_it() -> None:
    gate = Gate()
    reader = Newest(gate.produce)
    gate.allow(1)
    assert reader.take(SAFETY_S) == 0
    gate.allow(5)
    assert reader.take(SAFETY_S) == 5
    assert reader.dropped == 4
    gate.allow(1)
    assert reader.take(SAFETY_S) == 6
    assert reader.dropped == 4
    gate.open_forever()
    reader.close()


def test_newest_counts_no_drops_before_somebody_takes() -> None:
    gate = Gate()
    reader = Newest(gate.produce)
    gate.allow(5)
    assert reader.peek(SAFETY_S) == 4
    assert reader.take(SAFETY_S) == 4
    assert reader.dropped == 0
    gate.open_forever()
    reader.close()


@pytest.mark.parametrize("kind", [ReadAhead, Newest])
def test_what_the_worker_raises_arrives_after_its_items_and_stays(
    kind: Kind,
) -> None:
    reader = kind(of(["last"], OSError("unplugged")))
    assert reader.take(SAFETY_S) == "last"
    for _ in range(2):
        with pytest.raises(OSError, match="unplugged"):
            reader.take(SAFETY_S)
    reader.close()


def test_a_producer_that_cannot_even_start_is_heard_of() -> None:
    def produce(stop: threading.Event) -> Generator[Any, None, None]:
        raise LookupError("nothing to read")

    reader = ReadAhead(produce)
    with pytest.raises(LookupError, match="nothing to read"):
        reader.take(SAFETY_S)
    reader.close()


@pytest.mark.parametrize("kind", [ReadAhead, Newest])
def test_waiting_ends_with_a_timeout_and_may_be_tried_again(
    kind: Kind,
) -> None:
    gate = Gate()
    reader = kind(gate.produce)
    with pytest.raises(TimeoutError, match=r"nothing arrived for 0\.01 s"):
        reader.take(0.01)
    gate.allow(1)
    assert reader.take(SAFETY_S) == 0
    gate.open_forever()
    reader.close()


@pytest.mark.parametrize("kind", [ReadAhead, Newest])
def test_close_ends_a_consumer_that_waits_in_another_thread(
    kind: Kind,
) -> None:
    waiting = threading.Event()

    def produce(stop: threading.Event) -> Generator[Any, None, None]:
        waiting.set()
        stop.wait(SAFETY_S)
        yield from ()

    reader = kind(produce)
    taken = []
    consumer = threading.Thread(target=lambda: taken.extend(drain(reader)))
    consumer.start()
    assert waiting.wait(SAFETY_S)
    reader.close()
    consumer.join(SAFETY_S)
    assert not consumer.is_alive()
    assert taken == []
    reader.close()


def test_close_returns_although_the_worker_is_stuck_in_a_read() -> None:
    unblock, left = threading.Event(), threading.Event()

    def produce(stop: threading.Event) -> Generator[Any, None, None]:
        try:
            unblock.wait(SAFETY_S)
            yield "too late"
        finally:
            left.set()

    reader = Newest(produce)
    reader.close(0.01)
    assert not left.is_set()
    unblock.set()
    assert left.wait(SAFETY_S), "the worker must clean up as soon as its read returns"
    with pytest.raises(StopIteration):
        reader.take(SAFETY_S)


def test_a_consumer_that_raises_leaves_no_thread_behind() -> None:
    before = threading.active_count()
    reader = ReadAhead(of(range(1000)))
    with pytest.raises(ZeroDivisionError):
        try:
            reader.take(SAFETY_S)
            _ = 1 / 0
        finally:
            reader.close()
    assert threading.active_count() == before


def test_the_generator_is_closed_in_the_thread_that_ran_it() -> None:
    gate = Gate()
    reader = ReadAhead(gate.produce)
    gate.open_forever()
    reader.take(SAFETY_S)
    reader.close()
    assert gate.left_in is not None
    assert gate.left_in is not threading.current_thread()


def test_ctrl_c_interrupts_a_consumer_that_waits() -> None:
    gate = Gate()
    reader = Newest(gate.produce)
    main = threading.get_ident()
    timer = threading.Timer(0.1, lambda: signal.pthread_kill(main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        reader.take(SAFETY_S)
    timer.join()
    gate.open_forever()
    reader.close()


def test_the_writer_writes_everything_in_order_before_close_returns() -> None:
    written: list[int] = []
    writer = WriterThread(written.append, depth=2)
    for item in range(200):
        writer.submit(item)
    writer.close()
    writer.close()
    assert written == list(range(200))


def test_submit_waits_while_the_queue_is_full() -> None:
    go, written = threading.Event(), []

    def write(item: Any) -> None:
        go.wait(SAFETY_S)
        written.append(item)

    writer = WriterThread(write, depth=1)
    submitted = threading.Semaphore(0)

    def submit() -> None:
        for item in range(4):
            writer.submit(item)
            submitted.release()

    submitter = threading.Thread(target=submit)
    submitter.start()
    for _ in range(2):  # one inside write, one queued
        assert submitted.acquire(timeout=SAFETY_S)
    assert not submitted.acquire(timeout=0.05)
    go.set()
    submitter.join(SAFETY_S)
    writer.close()
    assert written == [0, 1, 2, 3]


def test_a_stuck_writer_is_reported_by_submit_and_close() -> None:
    go = threading.Event()

    def write(item: int) -> None:
        go.wait(SAFETY_S)

    writer = WriterThread(write, depth=1, patience_s=0.02)
    with pytest.raises(TimeoutError, match="nothing could be written"):
        for item in range(3):
            writer.submit(item)
    with pytest.raises(TimeoutError, match="nothing could be written"):
        writer.close()
    go.set()
    writer.close()


def test_offering_never_waits_and_says_whether_there_was_room() -> None:
    began, go, written = threading.Event(), threading.Event(), []

    def write(item: Any) -> None:
        began.set()
        go.wait(SAFETY_S)
        written.append(item)

    writer = WriterThread(write, depth=2)
    assert writer.offer(0)
    assert began.wait(SAFETY_S)
    assert [writer.offer(item) for item in (1, 2, 3, 4)] == [True, True, False, False]
    assert writer.waiting == 2
    go.set()
    writer.close()
    assert written == [0, 1, 2]
    with pytest.raises(ValueError, match="before close"):
        writer.offer(5)


def test_a_writer_whose_closing_ctrl_c_interrupts_has_stopped_only_when_it_has() -> None:
    begun, go, written = threading.Event(), threading.Event(), []

    def write(item: Any) -> None:
        begun.set()
        assert go.wait(SAFETY_S)
        written.append(item)

    writer = WriterThread(write)
    writer.submit("a picture")
    assert begun.wait(SAFETY_S)
    main = threading.get_ident()
    timer = threading.Timer(0.1, lambda: signal.pthread_kill(main, signal.SIGINT))
    timer.start()
    with pytest.raises(KeyboardInterrupt):
        writer.close()
    timer.join()
    assert not writer.stopped and written == []
    go.set()
    writer.close()
    assert writer.stopped and written == ["a picture"]


def failing_writer() -> WriterThread[Any]:
    failed = threading.Event()

    def write(item: Any) -> Never:
        failed.set()
        raise OSError("disk full")

    writer = WriterThread(write)
    writer.submit("a picture")
    assert failed.wait(SAFETY_S)
    return writer


def test_what_write_raised_is_raised_by_close() -> None:
    with pytest.raises(OSError, match="disk full"):
        failing_writer().close()


def test_what_write_raised_is_raised_by_every_submit_and_not_again_by_close() -> None:
    writer = failing_writer()
    writer._thread.join(SAFETY_S)
    for _ in range(2):
        with pytest.raises(OSError, match="disk full"):
            writer.submit("another")
    writer.close()


def test_nothing_can_be_submitted_after_close() -> None:
    writer = WriterThread(print)
    writer.close()
    with pytest.raises(ValueError, match="got str after"):
        writer.submit("late")


def test_a_writer_needs_a_slot() -> None:
    with pytest.raises(ValueError, match="got 0"):
        WriterThread(print, depth=0)


def test_a_call_in_time_returns_its_result_or_its_error() -> None:
    assert call_with_deadline(lambda: 42, SAFETY_S, print) == 42

    def fail() -> Never:
        raise TimeoutError("the function's own")

    with pytest.raises(TimeoutError, match="the function's own"):
        call_with_deadline(fail, SAFETY_S, print)


def test_a_result_that_comes_too_late_is_discarded() -> None:
    unblock, discarded = threading.Event(), threading.Event()
    late = []

    def slow() -> str:
        unblock.wait(SAFETY_S)
        return "late"

    def discard(result: Any) -> None:
        late.append(result)
        discarded.set()

    with pytest.raises(TimeoutError, match="no answer within"):
        call_with_deadline(slow, 0.01, discard)
    unblock.set()
    assert discarded.wait(SAFETY_S)
    assert late == ["late"]


# a pool


def test_a_pool_closes_after_its_running_calls_and_cancels_the_others() -> None:
    pool, began, unblock = DetectorPool(list[int], 1), threading.Event(), threading.Event()

    def work(tool: list[int]) -> bool:
        began.set()
        return unblock.wait(SAFETY_S)

    running, waiting = pool.submit(work), pool.submit(work)
    assert began.wait(SAFETY_S)
    unblock.set()
    pool.close()
    pool.close()
    assert running.result() and (waiting.cancelled() or waiting.result())


@pytest.mark.skipif(not hasattr(signal, "setitimer"), reason="needs signals")
def test_ctrl_c_while_a_pool_closes_leaves_its_thread_known_as_running() -> None:
    def interrupt(*_: object) -> Never:
        raise KeyboardInterrupt

    pool, threads, unblock = DetectorPool(list[int], 1), list[threading.Thread](), threading.Event()

    def work(tool: list[int]) -> None:
        threads.append(threading.current_thread())
        unblock.wait(SAFETY_S)

    pool.submit(work)
    before = signal.signal(signal.SIGALRM, interrupt)
    try:
        with pytest.raises(KeyboardInterrupt):
            signal.setitimer(signal.ITIMER_REAL, 0.1)
            pool.close()
    finally:
        signal.signal(signal.SIGALRM, before)
    assert threads[0].is_alive()
    unblock.set()
    pool.close()
    assert not threads[0].is_alive()


# a loop beside


def test_a_loop_thread_returns_what_its_work_gives_and_raises_what_it_raises() -> None:
    loop = LoopThread()

    async def double(number: int) -> int:
        await asyncio.sleep(0)
        return 2 * number

    async def fail() -> Never:
        raise OSError("broken")

    assert loop.call(double(21), SAFETY_S) == 42
    with pytest.raises(OSError, match="broken"):
        loop.call(fail(), SAFETY_S)
    loop.close()


def test_work_that_takes_too_long_is_cancelled() -> None:
    loop = LoopThread()
    cancelled = threading.Event()

    async def hang() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()

    with pytest.raises(TimeoutError):
        loop.call(hang(), 0.01)
    assert cancelled.wait(SAFETY_S)
    loop.close()


def test_closing_a_loop_thread_ends_its_work_and_its_thread() -> None:
    threads_before = threading.active_count()
    loop = LoopThread()
    begun, ended = threading.Event(), threading.Event()
    tasks = []

    async def hang() -> None:
        begun.set()
        try:
            await asyncio.Event().wait()
        finally:
            ended.set()

    loop.soon(lambda: tasks.append(asyncio.ensure_future(hang())))
    assert begun.wait(SAFETY_S)
    loop.close()
    loop.close()
    assert ended.is_set()
    assert threading.active_count() == threads_before
    loop.soon(begun.clear)
    assert begun.is_set(), "nothing is called after close()"
