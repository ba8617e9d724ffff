"""How long a user waits: from the command to the first annotated frame.

    python -m benchmarks.startup [--repeat N]

Plays the bundled sample with a recording; the first frame is done when its line of
events has come. Prints the median, least and most seconds.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from options import number

ROOT = Path(__file__).resolve().parent.parent


def first_frame_s(folder: Path) -> float:
    """Start the program once; returns the seconds to its first annotated frame."""
    command = [sys.executable, "stream.py", "--src", "sample", "--no-window", "--events", "-"]
    command += ["--output", str(folder / "startup.mp4"), "--max-frames", "50"]
    start = time.perf_counter()
    with subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL
    ) as process:
        line = process.stdout.readline() if process.stdout else b""
        seconds = time.perf_counter() - start
        process.communicate()
    if not line:
        raise RuntimeError("stream.py ended without a frame; run it by hand to see why")
    return seconds


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.startup")
    parser.add_argument("--repeat", type=number(int, 1), default=7)
    options = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        seconds = [first_frame_s(Path(folder)) for _ in range(options.repeat)]
    print(
        f"first annotated frame after {statistics.median(seconds):.2f} s "
        f"({min(seconds):.2f} to {max(seconds):.2f}, {len(seconds)} starts)"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main())
