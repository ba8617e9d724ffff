"""How a live source behaves if its camera fails, with a real RTSP server.

    python -m benchmarks.soak [--cycles N] [--minutes M] [--slow-seconds S]

Needs the RTSP server of the tests (`apt-get install python3-gi gir1.2-gst-rtsp-server-1.0
gstreamer1.0-plugins-{base,good,bad,ugly}`). Prints, as Markdown:

- how soon a freeze, a kill and the return are noticed, and a wrong password or path reported;
- how soon `take` and `close` return while the camera is frozen;
- how old frames are for a consumer of five frames per second, by the camera's own clock;
- threads, file descriptors and memory over `--cycles` kills and restarts;
- over `--minutes`, with a fault each minute (the camera killed or frozen for five seconds, in
  turns): frames per second of the whole program between faults, its memory's slope, and the
  number of errors printed.
"""

import argparse
import json
import statistics
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator

import numpy as np
import psutil

from benchmarks import common
from benchmarks.common import BenchmarkError, flag, row, table
from benchmarks.latency import frame_age_s
from errors import SourceError
from program.options import number
from sources.live import LiveOptions
from sources.open import open_source
from structures import SourceState
from tests.rtsp_camera import RtspCamera, missing

FPS = 25.0
_FAULT_S, _SETTLE_S = 5.0, 10.0  # of each minute; then the time to recover


def seconds(work: Callable[[], object]) -> float:
    """Return how long `work` takes."""
    began_s = time.monotonic()
    work()
    return time.monotonic() - began_s


def seconds_until(done: Callable[[], bool], limit_s: float = 60.0) -> float:
    """Return how long it takes until `done()`; infinite if it never happens."""
    began_s = time.monotonic()
    while not done():
        if time.monotonic() - began_s > limit_s:
            return float("inf")
        time.sleep(0.01)
    return time.monotonic() - began_s


def reactions(camera: RtspCamera) -> Iterator[tuple[str, float]]:
    """Yield pairs of an event and the seconds until it shows."""
    source = open_source(camera.address(), live=LiveOptions())

    def until(*states: SourceState) -> float:
        def reached() -> bool:
            source.take(0.0)
            return source.status.state in states

        return seconds_until(reached)

    def refused(path: str, password: str | None = None) -> None:
        try:
            open_source(camera.address(path, password)).close()
        except SourceError:
            return
        raise BenchmarkError(f"{path} was opened, which should have been refused")

    off = SourceState.STALLED, SourceState.RECONNECTING
    until(SourceState.LIVE)
    time.sleep(2)
    camera.freeze()
    yield "frozen: stalled", until(*off)
    worst_s = max(seconds(lambda: source.take(0.1)) for _ in range(20))
    yield "frozen: take(0.1), worst of 20", worst_s
    camera.thaw()
    yield "thawed: live", until(SourceState.LIVE)
    time.sleep(2)
    camera.kill()
    yield "killed: stalled or reconnecting", until(*off)
    time.sleep(5)
    camera.start()
    yield "back: live", until(SourceState.LIVE)
    camera.freeze()
    until(*off)
    yield "frozen: close", seconds(source.close)
    camera.thaw()
    yield "wrong password reported", seconds(lambda: refused("/clock", "wrong"))
    yield "unknown path reported", seconds(lambda: refused("/nowhere"))


def slow_consumer(camera: RtspCamera, span_s: float) -> list[float]:
    """Return the ages in ms of the frames that a consumer of five per second receives."""
    source = open_source(camera.address(), live=LiveOptions())
    ages, end_s = [], time.monotonic() + span_s
    while time.monotonic() < end_s:
        if (frame := source.take(1.0)) is not None:
            ages.append(1e3 * frame_age_s(frame.image, time.monotonic()))
        time.sleep(0.2)
    source.close()
    return ages[5:]


def cycles(camera: RtspCamera, count: int) -> list[tuple[int, int, float]]:
    """Return (threads, file descriptors, MB) after every tenth kill and restart."""
    source = open_source(camera.address(), live=LiveOptions())
    process, rows = psutil.Process(), []
    for cycle in range(count + 1):
        alive = seconds_until(lambda: source.take(0.0) is not None)
        if alive == float("inf"):
            raise BenchmarkError("the camera never came back; try again")
        if cycle % 10 == 0:
            memory = process.memory_info().rss / 1e6
            rows.append((threading.active_count(), process.num_fds(), memory))
        camera.kill()
        camera.start()
    source.close()
    return rows


def soak(camera: RtspCamera, minutes: int) -> tuple[list[float], list[float], int]:
    """Return the program's frames per second and MB by minute, and its lines with an error."""
    command = common.stream_command(camera.address(), "--events", "-")
    rates, memory = [], []
    with tempfile.TemporaryFile("w+") as errors:
        process = subprocess.Popen(
            command, cwd=common.ROOT, stdout=subprocess.PIPE, stderr=errors, text=True
        )
        times: list[float] = []

        def listen() -> None:
            for line in process.stdout or ():
                if json.loads(line)["type"] == "frame":
                    times.append(time.monotonic())

        listener = threading.Thread(target=listen, daemon=True)
        listener.start()
        seconds_until(lambda: len(times) > FPS)
        for minute in range(minutes):
            (camera.kill if minute % 2 else camera.freeze)()
            time.sleep(_FAULT_S)
            (camera.start if minute % 2 else camera.thaw)()
            time.sleep(_SETTLE_S)
            began_s = time.monotonic()
            time.sleep(60 - _FAULT_S - _SETTLE_S)
            now_s = time.monotonic()
            rates.append(sum(began_s < t <= now_s for t in times) / (now_s - began_s))
            memory.append(psutil.Process(process.pid).memory_info().rss / 1e6)
            times.clear()
        process.terminate()
        process.wait()
        listener.join()
        errors.seek(0)
        bad = sum("Traceback" in line or "Error" in line for line in errors)
    return rates, memory, bad


def report_faults(camera: RtspCamera, minutes: int) -> None:
    """Print the results of `soak`."""
    rates, memory, bad = soak(camera, minutes)
    slope = 60 * np.polyfit(range(len(memory)), memory, 1)[0] if len(memory) > 1 else 0.0
    print(
        f"\n{minutes} minutes, a fault in each: frames/s {min(rates):.1f} to "
        f"{max(rates):.1f}, median {statistics.median(rates):.1f}; memory {memory[0]:.0f} "
        f"to {memory[-1]:.0f} MB, slope {slope:.1f} MB/h; {bad} errors printed"
    )


@common.command(
    "soak",
    __doc__,
    flag("--cycles", type=number(int, 0), default=100),
    flag("--minutes", type=number(int, 0), default=30),
    flag("--slow-seconds", type=number(float, 0), default=60.0),
)
def main(options: argparse.Namespace) -> None:
    """Print the results of each trial."""
    if why := missing():
        raise BenchmarkError(f"{why}; see python -m benchmarks.soak --help")
    camera = RtspCamera("joe", "p@ss:w/rd")
    try:
        print(table(["what", "s"]))
        for what, took_s in reactions(camera):
            print(row(what, f"{took_s:.2f}"), flush=True)
        if options.slow_seconds:
            ages = slow_consumer(camera, options.slow_seconds)
            median, late = np.percentile(ages, [50, 95])
            print(f"\n5 frames/s taken: age median {median:.0f} ms, 95 of 100 {late:.0f} ms")
        if options.cycles:
            print("\n" + table(["cycles", "threads", "file descriptors", "MB"]))
            for i, (threads, files, mb) in enumerate(cycles(camera, options.cycles)):
                print(row(10 * i, threads, files, f"{mb:.0f}"), flush=True)
        if options.minutes:
            report_faults(camera, options.minutes)
    finally:
        camera.kill()


if __name__ == "__main__":
    raise SystemExit(main())
