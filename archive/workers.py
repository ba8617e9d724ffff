"""Worker processes of this machine.

Each is a pool of one process, so that one that dies loses only its own job; a pool of
threads hands out the jobs.
"""

import multiprocessing
import queue
from collections.abc import Callable
from concurrent.futures import Future, ProcessPoolExecutor, ThreadPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from typing import Any, Protocol

from archive.jobs import JobContext, Outcome, Stopped, run_job
from threads import blocked_sigint, end_with_parent

WORKER_DIED = "its worker was killed, perhaps out of memory; try again with fewer --workers"
_PATIENCE_S = 20.0  # for jobs to notice that the run was stopped
_SPAWN = multiprocessing.get_context("spawn")  # forked, OpenVINO's threads would be missing


class Workers(Protocol):
    """Runs jobs, up to `count` at a time."""

    count: int

    def submit(self, job: Callable[..., Any], *arguments: Any) -> Future[Outcome]:
        """Call `run_job` with a job in a worker."""
        ...

    def cancel(self, future: Future[Outcome]) -> None:
        """Drop a job that has not begun yet."""
        ...

    def frames(self) -> int:
        """The number of frames counted so far."""
        ...

    def stop(self) -> None:
        """Stop running jobs and wait until nothing half-done is left."""
        ...

    def close(self) -> None:
        """Release the workers."""
        ...


class _Counted:
    """The progress of a job in a worker process: a counter and a flag shared by all."""

    def __init__(self, counter: Any, stopped: Any) -> None:
        self._counter, self._stopped = counter, stopped

    def count(self, frames: int = 1) -> None:
        """See `jobs.Progress`."""
        if self._stopped.is_set():
            raise Stopped
        with self._counter.get_lock():
            self._counter.value += frames

    def flush(self) -> None:
        """Nothing is held back."""


_context: JobContext  # of this process, if it is a worker


def _start(counter: Any, stopped: Any) -> None:
    """Prepare a worker process."""
    global _context
    _context = JobContext(_Counted(counter, stopped))
    end_with_parent()


def _run(job: Callable[..., Any], arguments: tuple[Any, ...]) -> Outcome:
    return run_job(_context, job, arguments)


class LocalWorkers:
    """`count` processes on this machine. See `Workers`."""

    def __init__(self, count: int) -> None:
        self.count = count
        self._counter = _SPAWN.Value("q", 0)
        self._stopped = _SPAWN.Event()
        self._pools: queue.SimpleQueue[ProcessPoolExecutor] = queue.SimpleQueue()
        for _ in range(count):
            self._pools.put(self._new_pool())
        self._running: set[Future[Outcome]] = set()
        self._threads = ThreadPoolExecutor(count, thread_name_prefix="worker")

    def _new_pool(self) -> ProcessPoolExecutor:
        return ProcessPoolExecutor(1, _SPAWN, _start, (self._counter, self._stopped))

    def submit(self, job: Callable[..., Any], *arguments: Any) -> Future[Outcome]:
        """See `Workers`."""
        future = self._threads.submit(self._hand_over, job, arguments)
        self._running.add(future)
        future.add_done_callback(self._running.discard)
        return future

    def _hand_over(self, job: Callable[..., Any], arguments: tuple[Any, ...]) -> Outcome:
        """Run a job in a free process; replace one that dies."""
        pool = self._pools.get()
        try:
            with blocked_sigint():  # Ctrl-C is for the program, not for its workers
                running = pool.submit(_run, job, arguments)
            return running.result()
        except BrokenProcessPool:
            pool.shutdown()
            pool = self._new_pool()
            return Outcome(error=WORKER_DIED)
        finally:
            self._pools.put(pool)

    def cancel(self, future: Future[Outcome]) -> None:
        """See `Workers`."""
        future.cancel()

    def frames(self) -> int:
        """See `Workers`."""
        return int(self._counter.value)

    def stop(self) -> None:
        """See `Workers`; a worker that does not stop is killed after a while."""
        self._stopped.set()
        self._threads.shutdown(wait=False, cancel_futures=True)
        wait(self._running, _PATIENCE_S)
        for process in multiprocessing.active_children():
            process.kill()
        self.close()

    def close(self) -> None:
        """See `Workers`."""
        self._threads.shutdown()
        while not self._pools.empty():
            self._pools.get().shutdown()
