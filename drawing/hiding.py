"""Hides faces in frames, before anything else sees the image."""

from dataclasses import replace

import cv2
import numpy as np

from structures import Float32, Frame, Image
from tracking.boxes import grow

USUAL_HIDING, STRICT = "pixelate", "strict"  # strict is pixelated, too, but with hindsight
# How each kind enlarges the few mean colours that it leaves of a face.
HIDING = {USUAL_HIDING: cv2.INTER_NEAREST, "blur": cv2.INTER_CUBIC, STRICT: cv2.INTER_NEAREST}
MARGIN = 0.25  # of the box's extent, on every side: hair and ears, and a box that lags behind
CELLS = 8  # across the grown box, so five or six across the face


def hide_faces(frame: Frame, boxes: Float32, kind: str) -> Frame:
    """Return the frame with its faces hidden in a new image, without thumbnail; see `hide`."""
    image = frame.image.copy()
    hide(image, boxes, kind)
    return replace(frame, image=image, thumbnail=None)


def hide(image: Image, boxes: Float32, kind: str) -> None:
    """Hide what lies in and around `boxes`; `image` is changed in place.

    `CELLS` x `CELLS` mean colours of each grown box remain, whatever its size; fewer of one
    that is partly outside.

    Args:
        image: (H, W, 3) uint8 BGR, writable.
        boxes: (N, 4) float32 xyxy pixels; may leave the image. Any not finite is left out.
        kind: out of `HIDING`.
    """
    height, width = image.shape[:2]
    grown = grow(boxes[np.isfinite(boxes).all(axis=1)], MARGIN)
    low = np.clip(np.floor(grown[:, :2]), 0, (width, height)).astype(int)
    high = np.clip(np.ceil(grown[:, 2:]), 0, (width, height)).astype(int)
    cell = (grown[:, 2:] - grown[:, :2]) / CELLS  # (N, 2) width and height
    for (x1, y1), (x2, y2), cell_wh in zip(low, high, cell, strict=True):
        region = image[y1:y2, x1:x2]
        if region.size:
            sides = np.array([x2 - x1, y2 - y1])
            cells = np.clip(np.round(sides / cell_wh), 1, np.minimum(CELLS, sides)).astype(int)
            few = cv2.resize(region, cells.tolist(), interpolation=cv2.INTER_AREA)
            cv2.resize(few, (x2 - x1, y2 - y1), dst=region, interpolation=HIDING[kind])
