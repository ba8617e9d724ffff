"""One run of one program over one clip, clocked from outside.

The program prints one JSON line per frame as soon as the frame is done, with the boxes that it
shows: `{"tracks": [{"box": [x1, y1, x2, y2], ...}, ...], ...}`, pixels, as `stream.py --events -`
and `alternatives.players` do; lines whose `type` is not `frame` are ignored. No program measures
itself: lines, CPU time and memory are read here, in the same way for all. Linux only.
"""

import json
import re
import signal
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO

import numpy as np

from benchmarks.common import ROOT, BenchmarkError, last_line
from structures import Float32

_PROCESSES = Path("/proc")


@dataclass(frozen=True, slots=True)
class Run:
    """The figures of one run.

    Attributes:
        start_s: from the command to the end of the first frame.
        seconds: from there to the end of the last frame.
        cpu_s: processor time of all threads in that span.
        peak_mb: most memory ever held, up to the last frame.
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
        """Milliseconds of processor time per frame after the first."""
        return 1e3 * self.cpu_s / (len(self.boxes) - 1)


def boxes_of(line: bytes) -> Float32 | None:
    """Return the boxes of a line, (N, 4) float32; None if it is not about a frame."""
    try:
        record = json.loads(line)
        if record.get("type", "frame") != "frame":
            return None
        boxes = [track["box"] for track in record["tracks"]]
        return np.array(boxes, np.float32).reshape(-1, 4)
    except (ValueError, KeyError, TypeError, AttributeError):
        shown = line[:80].decode(errors="replace")
        raise BenchmarkError(f"not a line about a frame: {shown!r}; run it by hand") from None


def measure(command: Sequence[str], frames: int | None = None) -> Run:
    """Run `command` to its end, in the project's folder.

    Args:
        command: the program with its arguments.
        frames: after this many frames, send Ctrl-C to a program that waits for it.

    Raises:
        BenchmarkError: it cannot be started, fails, or processes fewer than two frames; or
            this is not Linux.
    """
    import psutil

    if not (_PROCESSES / "self").exists():
        raise BenchmarkError(f"no {_PROCESSES}, where memory is read; run this on Linux")
    with tempfile.TemporaryFile() as errors:
        begin = time.perf_counter()
        try:
            process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=errors)
        except OSError as error:
            raise BenchmarkError(f"{command[0]}: {error.strerror}; check the command") from error
        boxes: list[Float32] = []
        stamps: list[tuple[float, float]] = []  # seconds by the clock, and of CPU time
        peak_mb = 0.0
        with process:
            for line in process.stdout or ():
                now_s, shown = time.perf_counter(), boxes_of(line)
                if shown is None:
                    continue
                boxes.append(shown)
                stamps.append((now_s, sum(psutil.Process(process.pid).cpu_times()[:2])))
                peak_mb = max(peak_mb, _peak_mb(process.pid))
                if len(boxes) == frames:
                    process.send_signal(signal.SIGINT)
        if process.returncode or len(boxes) < 2:
            raise BenchmarkError(_failure(command, process.returncode, len(boxes), errors))
    (first_s, first_cpu_s), (last_s, last_cpu_s) = stamps[0], stamps[-1]
    return Run(first_s - begin, last_s - first_s, last_cpu_s - first_cpu_s, peak_mb, boxes)


def _peak_mb(pid: int) -> float:
    """Return the most memory that a process has held; 0 once it has ended.

    `ru_maxrss` would not do: a process begins with its parent's.
    """
    status = (_PROCESSES / str(pid) / "status").read_text(encoding="utf-8")
    peak_kib = re.search(r"^VmHWM:\s+(\d+) kB$", status, re.MULTILINE)
    return int(peak_kib[1]) * 1024 / 1e6 if peak_kib else 0.0


def _failure(command: Sequence[str], code: int, frames: int, errors: IO[bytes]) -> str:
    errors.seek(0)
    why = f"it did {frames} frames, want two or more"
    if code:
        why = last_line(errors.read().decode(errors="replace"))
    return f"{' '.join(command)}: exit code {code} ({why}); run it by hand to see more"
