"""Greedy non-maximum suppression of boxes; numpy only."""

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from structures import Float32

Measure = Literal["union", "min"]

_BLOCK = 256  # boxes compared with one another at a time: bounds the memory, 256 KiB a matrix


def overlaps(a: Float32, b: Float32, measure: Measure = "union") -> Float32:
    """Return how much each box of `a` overlaps each box of `b`.

    Args:
        a: (N, 4) float32 xyxy.
        b: (M, 4) float32 xyxy.
        measure: "union" for intersection over union; "min" for intersection over the
            smaller of the two areas, 1 where one box lies inside the other.

    Returns:
        (N, M) float32 in 0..1; 0 where a box has no area.
    """
    a, b = a[:, None], b[None]
    sides = np.minimum(a[..., 2:], b[..., 2:]) - np.maximum(a[..., :2], b[..., :2])
    shared = sides.clip(min=0).prod(-1)
    area_a = (a[..., 2:] - a[..., :2]).clip(min=0).prod(-1)
    area_b = (b[..., 2:] - b[..., :2]).clip(min=0).prod(-1)
    whole = np.minimum(area_a, area_b) if measure == "min" else area_a + area_b - shared
    return np.divide(shared, whole, out=np.zeros_like(shared), where=whole > 0)


def nms(
    boxes: Float32, scores: Float32, threshold: float, measure: Measure = "union"
) -> NDArray[np.intp]:
    """Return the rows to keep: the best box, then the best that overlaps none kept, ...

    Args:
        boxes: (N, 4) float32 xyxy.
        scores: (N,) float32; among equals the earlier row wins.
        threshold: a box goes when it overlaps a kept one by more than this.
        measure: see `overlaps`.

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
