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
    boxes = np.asarray(boxes, np.float64)
    sides = boxes[..., 2:] - boxes[..., :2]
    width, height = sides[..., 0], sides[..., 1]
    states = np.ones_like(boxes)
    np.add(boxes[..., :2], boxes[..., 2:], out=states[..., :2])
    states[..., :2] /= 2
    np.multiply(width, height, out=states[..., 2])
    np.divide(width, height, out=states[..., 3], where=height != 0)
    return states


def cxcysr_to_xyxy(states: ArrayLike) -> Float64:
    """Convert (..., 4) (cx, cy, s, r), s >= 0 and r > 0, to (..., 4) xyxy."""
    states = np.asarray(states, np.float64)
    half = np.empty_like(states[..., :2])
    np.sqrt(states[..., 2] * states[..., 3], out=half[..., 0])
    np.sqrt(states[..., 2] / states[..., 3], out=half[..., 1])
    half /= 2
    return np.concatenate([states[..., :2] - half, states[..., :2] + half], axis=-1)


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
    sides = [
        np.minimum.outer(a[:, axis + 2], b[:, axis + 2]) - np.maximum.outer(a[:, axis], b[:, axis])
        for axis in (0, 1)
    ]
    shared: NDArray[Float] = np.maximum(sides[0], 0) * np.maximum(sides[1], 0)
    return shared
