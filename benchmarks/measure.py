"""One run of one program over one clip, clocked from outside.

The program prints one JSON line a frame as soon as the frame is done, with the boxes that
it shows: `{"tracks": [{"box": [x1, y1, x2, y2], ...}, ...], ...}`, pixels. That is what
`stream.py --events -` does, and `alternatives.playing`; lines whose `type` is not `frame`
tell of something else. Nobody measures himself: lines,
CPU time and memory are all read here, in the same way for all. Linux and macOS only.
"""

import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np
import psutil

from errors import StreamError
from structures import Float32

ROOT = Path(__file__).resolve().parent.parent
_MB = 1e6


class BenchmarkError(StreamError):
    """A program that was to be measured failed, or a clip cannot be measured."""


@dataclass(frozen=True, slots=True)
class Run:
    """What one run gave.

    Attributes:
        start_s: from the command to the first frame done.
        seconds: from the first frame done to the last.
        cpu_s: processor time of all threads in that span.
        peak_mb: most memory ever held, whole run (at least that of the caller).
        boxes: of each frame, (N, 4) float32 xyxy pixels.
    """

    start_s: float
    seconds: float
    cpu_s: float
    peak_mb: float
    boxes: list[Float32] = field(repr=False)

    @property
    def fps(self) -> float:
        """Frames per second after the first."""
        return (len(self.boxes) - 1) / self.seconds

    @property
    def cpu_ms(self) -> float:
        """Milliseconds of processor time a frame after the first."""
        return 1e3 * self.cpu_s / (len(self.boxes) - 1)


@dataclass(slots=True)
class _Clock:
    """Notes when lines come and what the process has used by then."""

    process: psutil.Process
    times_s: list[float] = field(default_factory=list)
    cpu_s: list[float] = field(default_factory=list)
    boxes: list[Float32] = field(default_factory=list)

    def tick(self, line: bytes) -> None:
        now = time.perf_counter()
        boxes = boxes_of(line)
        if boxes is None:
            return
        self.times_s.append(now)
        self.boxes.append(boxes)
        used = self.process.cpu_times()
        self.cpu_s.append(used.user + used.system)


def boxes_of(line: bytes) -> Float32 | None:
    """(N, 4) float32: the boxes of a line, None where it does not tell of a frame.

    Raises:
        BenchmarkError: not such a line.
    """
    try:
        record = json.loads(line)
        if record.get("type", "frame") != "frame":
            return None
        boxes = [track["box"] for track in record["tracks"]]
        return np.array(boxes, np.float32).reshape(-1, 4)
    except (ValueError, KeyError, TypeError, AttributeError):
        shown = line[:80].decode(errors="replace")
        raise BenchmarkError(f"not a line about a frame: {shown!r}; run it by hand") from None


def measure(command: Sequence[str], cwd: Path = ROOT, frames: int | None = None) -> Run:
    """Run `command` to its end.

    Args:
        command: the program with its arguments.
        cwd: where to run it.
        frames: how many there will be, where it then waits for Ctrl-C: it gets it.

    Raises:
        BenchmarkError: it cannot be started, fails, or does fewer than two frames.
    """
    with tempfile.TemporaryFile() as errors:
        begin = time.perf_counter()
        try:
            process = subprocess.Popen(command, cwd=cwd, stdout=subprocess.PIPE, stderr=errors)
        except OSError as error:
            raise BenchmarkError(f"{command[0]}: {error.strerror}; check the command") from error
        with process:
            clock = _Clock(psutil.Process(process.pid))
            for line in process.stdout or ():
                clock.tick(line)
                if len(clock.boxes) == frames:
                    process.send_signal(signal.SIGINT)
                    frames = None
            peak_mb = _wait(process)
        if process.returncode or len(clock.boxes) < 2:
            raise BenchmarkError(_failure(command, process.returncode, len(clock.boxes), errors))
    times_s, cpu_s = clock.times_s, clock.cpu_s
    return Run(
        start_s=times_s[0] - begin,
        seconds=times_s[-1] - times_s[0],
        cpu_s=cpu_s[-1] - cpu_s[0],
        peak_mb=peak_mb,
        boxes=clock.boxes,
    )


def _wait(process: subprocess.Popen[bytes]) -> float:
    """Wait for the end; returns the most memory ever held, MB."""
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    unit = 1 if sys.platform == "darwin" else 1024
    return usage.ru_maxrss * unit / _MB


def _failure(command: Sequence[str], code: int, frames: int, errors: IO[bytes]) -> str:
    errors.seek(0)
    said = [line for line in errors.read().decode(errors="replace").splitlines() if line.strip()]
    why = said[-1].strip() if said and code else f"it did {frames} frames, want two or more"
    return f"{' '.join(command)}: exit code {code} ({why}); run it by hand to see more"
