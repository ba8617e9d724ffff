"""Operations on detectors' boxes: suppress doubles, move corners, make squares; numpy only."""

import numpy as np
from numpy.typing import NDArray

from structures import Float32, Image
from tracking.boxes import Measure, overlaps

_BLOCK = 256  # boxes compared with one another at a time: bounds the memory, 256 KiB a matrix


def check_search(image: Image, coarse: float = 1.0) -> None:
    """Raise ValueError unless `image` is (H, W, 3) uint8 and `coarse` at least 1."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image: want (H, W, 3) uint8, got {image.shape} {image.dtype}")
    if not coarse >= 1:
        raise ValueError(f"coarse must be at least 1, got {coarse}")


def nms(
    boxes: Float32, scores: Float32, threshold: float, measure: Measure = "union"
) -> NDArray[np.intp]:
    """Return the rows to keep: the best box, then the best that overlaps none kept, ...

    Args:
        boxes: (N, 4) float32 xyxy.
        scores: (N,) float32; among equals the earlier row wins.
        threshold: a box is dropped when it overlaps a kept one by more than this.
        measure: see `tracking.boxes.overlaps`.

    Returns:
        Indices into `boxes`, best score first; empty for N = 0.
    """
    order = np.argsort(-scores, kind="stable")
    kept = order[:0]
    for start in range(0, len(order), _BLOCK):
        block = order[start : start + _BLOCK]
        free = ~(overlaps(boxes[block], boxes[kept], measure) > threshold).any(1)
        block = block[free]
        clash = overlaps(boxes[block], boxes[block], measure) > threshold
        alive = np.ones(len(block), np.bool_)
        for i in range(len(block)):
            if alive[i]:
                alive[i + 1 :] &= ~clash[i, i + 1 :]
        kept = np.concatenate([kept, block[alive]])
    return kept


def moved(boxes: Float32, offsets: Float32) -> Float32:
    """Return (N, 4) boxes with their corners moved by `offsets`, (N, 4) fractions of the sides."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return boxes + offsets * np.tile(sides, 2)


def squares(boxes: Float32) -> Float32:
    """Return the (N, 4) squares about the boxes' centres with their longer sides."""
    half = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
    centres = (boxes[:, 2:] + boxes[:, :2]) / 2
    return np.concatenate([centres - half, centres + half], 1)
