"""What the alternatives have in common: play a clip, say which boxes are shown when.

Each frame is answered with one JSON line on standard output as soon as it is done:
`{"tracks": [{"box": [x1, y1, x2, y2]}, ...]}`, pixels of the full frame; the events of
`stream.py` have the same fields and more. Whoever started the program clocks the lines:
nobody measures himself. Whatever a library prints goes to standard error.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from typing import Any

import cv2

Box = Sequence[float]
# (H, W, 3) uint8 BGR -> xyxy boxes. `Any`: every environment has a NumPy of its own.
Show = Callable[[Any], Sequence[Box]]


def parser() -> argparse.ArgumentParser:
    """The arguments that all have."""
    made = argparse.ArgumentParser()
    made.add_argument("clip")
    made.add_argument("--frames", type=int, required=True, help="stop after so many")
    return made


def play(clip: str, frames: int, make: Callable[[], Show]) -> int:
    """Call what `make` gives on each frame and print the lines; returns the exit code.

    Args:
        clip: path of a video that OpenCV reads.
        frames: how many frames at most.
        make: loads everything; not counted as work on a frame.
    """
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    show = make()
    video = cv2.VideoCapture(clip)
    for _ in range(frames):
        more, image = video.read()
        if not more:
            break
        tracks = [{"box": [round(float(side), 1) for side in box]} for box in show(image)]
        print(json.dumps({"tracks": tracks}), file=lines, flush=True)
    if not video.isOpened():
        print(f"{clip}: OpenCV cannot read it", file=sys.stderr)
        return 1
    return 0
