"""Make a clip of 720 lines out of another one, for measuring what a recording costs.

python -m benchmarks.scaling CLIP --out FILE.mp4 [--frames N]
"""

import argparse
import sys
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import cv2

from benchmarks.systems import LINES
from errors import StreamError
from outputs.recording.sink import Recording
from program.options import number
from sources.open import open_source
from structures import FrameResult


def scale(clip: str, out: Path, frames: int | None) -> None:
    """Write the first `frames` frames of `clip`, `LINES` high and of the same aspect."""
    source = open_source(clip)
    width, height = source.size_wh
    size = 2 * round(width * LINES / height / 2), LINES
    recording = Recording(out, source.fps, crf=18)
    try:
        for frame in islice(source, frames):
            picture = cv2.resize(frame.image, size, interpolation=cv2.INTER_AREA)
            recording.write(picture, FrameResult(frame))
    finally:
        recording.close()
        source.close()


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.scaling")
    parser.add_argument("clip")
    parser.add_argument("--out", type=Path, required=True, metavar="FILE.mp4")
    parser.add_argument("--frames", type=number(int, 1))
    options = parser.parse_args(arguments)
    try:
        scale(options.clip, options.out, options.frames)
    except StreamError as error:
        print(f"scaling: {error}", file=sys.stderr)
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main())
