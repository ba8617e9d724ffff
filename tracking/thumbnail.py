"""The small grey picture of a frame, in which cuts and the motion of the camera are looked for.

It is made once, before the frame is searched, and goes with the frame.
"""

import cv2
import numpy as np

from structures import Frame, Image

Grey = Image  # (h, w) uint8

_WIDTH = 192  # pixels, at most; three for each column in which cuts are looked for


def thumbnail_of(frame: Frame) -> Grey:
    """Return the thumbnail that a frame carries, or a new one: (h, w) uint8, its green.

    A frame of up to `_WIDTH` pixels keeps its size. Of a wider one few pixels are looked at: the
    mean of all of them takes many times as long and finds the same cuts and motion.
    """
    if frame.thumbnail is not None:
        return frame.thumbnail
    width, height = frame.size_wh
    small = frame.image
    if width > _WIDTH:
        size_wh = _WIDTH, max(1, round(_WIDTH * height / width))
        small = cv2.resize(small, size_wh, interpolation=cv2.INTER_LINEAR)
    return np.asarray(cv2.extractChannel(small, 1), np.uint8)
