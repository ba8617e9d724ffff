"""Workers through Ray: of a cluster, or of this machine; Ray is imported only when needed."""

import importlib
import os
import socket
import time
from collections.abc import Callable
from concurrent.futures import Future, wait
from pathlib import Path
from typing import Any

from archive.jobs import JobContext, Outcome, Stopped, run_job
from errors import EngineError

LOCAL = "local"
_ROOT = Path(__file__).resolve().parents[__name__.count(".")]  # where this program is imported from
_ANSWER_S = 5.0
_REPORT_S = 0.5  # between two messages of a job to the board
_PATIENCE_S = 20.0
# `ray start` makes a token and wants it back, but an address alone does not make Ray look.
_TOKEN = "if it wants a token, set RAY_AUTH_MODE=token and have its ~/.ray/auth_token here"
_REMEDY = "start one with: ray start --head, or use --ray local"


class _Board:
    """Counts the frames of jobs on all machines; one actor of the cluster."""

    def __init__(self) -> None:
        self._frames = 0
        self._stopped = False

    def count(self, frames: int) -> bool:
        """Add to the count; returns whether the run was stopped."""
        self._frames += frames
        return self._stopped

    def frames(self) -> int:
        """The number counted so far."""
        return self._frames

    def stop(self) -> None:
        """Stop the run."""
        self._stopped = True


class _Reported:
    """The progress of a job on some machine. See `jobs.Progress`."""

    def __init__(self, ray: Any, board: Any) -> None:
        self._ray, self._board = ray, board
        self._frames = 0
        self._reported_s = 0.0

    def count(self, frames: int = 1) -> None:
        """Report to the board twice a second."""
        self._frames += frames
        if time.monotonic() - self._reported_s > _REPORT_S and self._report():
            raise Stopped

    def _report(self) -> bool:
        frames, self._frames = self._frames, 0
        self._reported_s = time.monotonic()
        return bool(self._ray.get(self._board.count.remote(frames)))

    def flush(self) -> None:
        """Report the rest."""
        self._report()


def _run(board: Any, umask: int, job: Callable[..., Any], arguments: tuple[Any, ...]) -> Outcome:
    os.umask(umask)  # Ray's workers are no children of ours
    return run_job(JobContext(_Reported(_import_ray(), board)), job, arguments)


class RayWorkers:
    """The processors that Ray has. See `workers.Workers`.

    A job whose worker or machine is lost is tried once more elsewhere.

    Args:
        address: of a running cluster, host:port or ray://host:port, or "local": Ray is
            started here and ends with the program.
        count: workers of "local"; a cluster has its own number.
        threads: processors per job.

    Raises:
        EngineError: Ray is not installed, or nothing answers there.
    """

    def __init__(self, address: str, count: int, threads: int) -> None:
        self._ray = ray = _import_ray()
        quiet = {"logging_level": "ERROR", "log_to_driver": False}
        where: dict[str, Any] = {"address": address}
        if address == LOCAL:
            where |= {"num_cpus": count * threads, "include_dashboard": False}
        else:
            _knock(address)
        environment = {"env_vars": {"PYTHONPATH": str(_ROOT)}}
        try:
            ray.init(**where, **quiet, runtime_env=environment)
        except (ConnectionError, RuntimeError, ValueError, TimeoutError) as error:
            reason = " ".join(str(error).split())[:200]
            raise EngineError(
                f"Ray at {address} rejected the connection: {reason}; {_TOKEN}"
            ) from error
        self.count = max(1, int(ray.cluster_resources().get("CPU", 1)) // threads)
        self._board = ray.remote(num_cpus=0)(_Board).remote()
        self._task = ray.remote(num_cpus=threads, max_retries=1)(_run)
        self._refs: dict[Future[Outcome], Any] = {}
        self._umask = os.umask(0o077)  # it can only be read by setting it
        os.umask(self._umask)

    def submit(self, job: Callable[..., Any], *arguments: Any) -> "Future[Outcome]":
        """See `workers.Workers`."""
        ref = self._task.remote(self._board, self._umask, job, arguments)
        future: Future[Outcome] = ref.future()
        self._refs[future] = ref
        future.add_done_callback(lambda done: self._refs.pop(done, None))
        return future

    def cancel(self, future: "Future[Outcome]") -> None:
        """See `workers.Workers`."""
        if (ref := self._refs.get(future)) is not None:
            self._ray.cancel(ref, force=False)

    def frames(self) -> int:
        """See `workers.Workers`."""
        return int(self._ray.get(self._board.frames.remote()))

    def stop(self) -> None:
        """See `workers.Workers`."""
        self._ray.get(self._board.stop.remote())
        wait(set(self._refs), _PATIENCE_S)
        self.close()

    def close(self) -> None:
        """See `workers.Workers`."""
        self._ray.shutdown()


def _import_ray() -> Any:
    try:
        return importlib.import_module("ray")
    except ModuleNotFoundError:
        raise EngineError("--ray needs the package ray; pip install '.[ray]'") from None


def _knock(address: str) -> None:
    """Raise EngineError at once where nothing answers: Ray itself tries for half a minute."""
    host, colon, port = address.rpartition("://")[2].rpartition(":")
    if not colon or not port.isdecimal():
        raise EngineError(f"--ray {address}: want host:port, ray://host:port or local")
    try:
        socket.create_connection((host, int(port)), _ANSWER_S).close()
    except (OSError, OverflowError):
        raise EngineError(f"no Ray cluster answers at {address}; {_REMEDY}") from None
