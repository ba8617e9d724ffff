"""Arithmetic on boxes: overlap, growing, and the tracker's parametrisation of them.

Boxes are xyxy pixels, x right, y down. The tracker's filter sees them as (cx, cy, s, r):
centre in pixels, area s in square pixels, aspect ratio r = width / height. No function
changes its arguments.
"""

from typing import Literal, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64 = NDArray[np.float64]
Float = TypeVar("Float", np.float32, np.float64)
Measure = Literal["union", "min"]


def xyxy_to_cxcysr(boxes: ArrayLike) -> Float64:
    """Convert (..., 4) xyxy to (..., 4) (cx, cy, s, r); a box without height gets r = 1."""
    x1, y1, x2, y2 = np.moveaxis(np.asarray(boxes, np.float64), -1, 0)
    width, height = x2 - x1, y2 - y1
    flat = height == 0
    ratio = np.where(flat, 1.0, width / np.where(flat, 1.0, height))
    return np.stack([(x1 + x2) / 2, (y1 + y2) / 2, width * height, ratio], axis=-1)


def cxcysr_to_xyxy(states: ArrayLike) -> Float64:
    """Convert (..., 4) (cx, cy, s, r), s >= 0 and r > 0, to (..., 4) xyxy."""
    cx, cy, area, ratio = np.moveaxis(np.asarray(states, np.float64), -1, 0)
    half_w, half_h = np.sqrt(area * ratio) / 2, np.sqrt(area / ratio) / 2
    return np.stack([cx - half_w, cy - half_h, cx + half_w, cy + half_h], axis=-1)


def grow(boxes: ArrayLike, fraction: float) -> Float64:
    """Push every side of (..., 4) xyxy boxes outwards by `fraction` of the box's extent."""
    boxes = np.asarray(boxes, np.float64)
    margin = (boxes[..., 2:] - boxes[..., :2]) * fraction
    return np.concatenate([boxes[..., :2] - margin, boxes[..., 2:] + margin], axis=-1)


def iou_matrix(a: ArrayLike, b: ArrayLike) -> Float64:
    """Return the intersection over union of (N, 4) and (M, 4) boxes: (N, M), in 0..1."""
    first, second = (np.asarray(boxes, np.float64).reshape(-1, 4) for boxes in (a, b))
    return overlaps(first, second)


def overlaps(a: NDArray[Float], b: NDArray[Float], measure: Measure = "union") -> NDArray[Float]:
    """Return how much each box of `a` overlaps each box of `b`.

    Args:
        a: (N, 4) xyxy, float32 or float64; so is the result.
        b: (M, 4) xyxy, of the same dtype.
        measure: "union" for intersection over union; "min" for intersection over the
            smaller of the two areas, 1 where one box lies inside the other.

    Returns:
        (N, M) in 0..1; (0, M) and (N, 0) where a side is empty. A box without area
        overlaps nothing, not even itself.
    """
    shared = shared_areas(a, b)  # (N, M)
    area_a = (a[:, None, 2:] - a[:, None, :2]).clip(min=0).prod(-1)  # (N, 1)
    area_b = (b[None, :, 2:] - b[None, :, :2]).clip(min=0).prod(-1)  # (1, M)
    whole = np.minimum(area_a, area_b) if measure == "min" else area_a + area_b - shared
    return np.divide(shared, whole, out=np.zeros_like(shared), where=shared > 0)


def shared_areas(a: NDArray[Float], b: NDArray[Float]) -> NDArray[Float]:
    """Return the area, (N, M), that each of (N, 4) boxes shares with each of (M, 4)."""
    low = np.maximum(a[:, None, :2], b[None, :, :2])  # (N, M, 2)
    high = np.minimum(a[:, None, 2:], b[None, :, 2:])
    return (high - low).clip(min=0).prod(-1)
