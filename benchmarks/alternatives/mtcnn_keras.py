"""The package `mtcnn`, then a Keras `predict` on what it found.

The package keeps its own settings: smallest face 20 pixels. From 30 on its pyramid goes
wrong and it finds nothing.
"""

import sys
from typing import Any

import cv2

from benchmarks.alternatives.keras_model import CALLS, KerasFaces
from benchmarks.alternatives.playing import Box, Show, parser, play


def make(call: str) -> Show:
    """Load both; `call` is Keras'."""
    faces = KerasFaces(call)
    from mtcnn import MTCNN

    detector = MTCNN()

    def show(image: Any) -> list[Box]:
        found = detector.detect_faces(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        corners = [face["box"] for face in found]
        boxes: list[Box] = [(x, y, x + width, y + height) for x, y, width, height in corners]
        faces.describe(image, boxes)
        return boxes

    return show


def main() -> int:
    """Command line; returns the exit code."""
    arguments = parser()
    arguments.add_argument("--call", choices=CALLS, default=CALLS[0])
    options = arguments.parse_args()
    return play(options.clip, options.frames, lambda: make(options.call))


if __name__ == "__main__":
    sys.exit(main())
