"""The classic loop: dlib's HOG detector, then a Keras `predict` on what it found."""

import sys
from typing import Any

import cv2
import dlib

from benchmarks.alternatives.keras_model import CALLS, KerasFaces
from benchmarks.alternatives.playing import Box, Show, parser, play


class Classic:
    """Looks for faces in every Nth frame and describes them in every one.

    Args:
        every: N; between, the last boxes stay where they were.
        fit: largest picture to search (width, height); larger ones are scaled down. None:
            the frame as it is.
        call: of Keras.
    """

    def __init__(self, every: int, fit: tuple[int, int] | None, call: str) -> None:
        self._every, self._fit = every, fit
        self._detector = dlib.get_frontal_face_detector()
        self._faces = KerasFaces(call)
        self._boxes: list[Box] = []
        self._count = 0

    def show(self, image: Any) -> list[Box]:
        """See `playing.Show`."""
        if self._count % self._every == 0:
            self._boxes = self._detect(image)
        self._count += 1
        self._faces.describe(image, self._boxes)
        return self._boxes

    def _detect(self, image: Any) -> list[Box]:
        scale = 1.0
        if self._fit:
            scale = min(1.0, self._fit[0] / image.shape[1], self._fit[1] / image.shape[0])
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        if scale < 1:
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return [
            tuple(side / scale for side in (r.left(), r.top(), r.right() + 1, r.bottom() + 1))
            for r in self._detector(grey, 0)
        ]


def main() -> int:
    """Command line; returns the exit code."""
    arguments = parser()
    arguments.add_argument("--every", type=int, default=1)
    arguments.add_argument("--fit", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"))
    arguments.add_argument("--call", choices=CALLS, default=CALLS[0])
    options = arguments.parse_args()

    def make() -> Show:
        return Classic(options.every, options.fit, options.call).show

    return play(options.clip, options.frames, make)


if __name__ == "__main__":
    sys.exit(main())
