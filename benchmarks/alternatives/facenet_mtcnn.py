"""facenet-pytorch's MTCNN with its own settings; detection only, nothing is described."""

import sys
from typing import Any

import cv2

from benchmarks.alternatives.playing import Box, Show, parser, play


def make() -> Show:
    """Load the detector."""
    from facenet_pytorch import MTCNN

    detector = MTCNN(keep_all=True, device="cpu")

    def show(image: Any) -> list[Box]:
        boxes, _ = detector.detect(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        return [] if boxes is None else boxes.tolist()

    return show


if __name__ == "__main__":
    options = parser().parse_args()
    sys.exit(play(options.clip, options.frames, make))
