"""Arithmetic on boxes: the tracker's parametrisation of them, growing, and overlap.

Boxes are xyxy pixels, x right, y down, as everywhere in the project. The tracker's
filter sees them as (cx, cy, s, r): centre in pixels, area s in square pixels, aspect
ratio r = width / height. Results are float64; no function changes its arguments.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

Float64 = NDArray[np.float64]


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
    """Return the intersection over union of every box of `a` with every box of `b`.

    Args:
        a: (N, 4) xyxy.
        b: (M, 4) xyxy.

    Returns:
        (N, M) in 0..1; (0, M) and (N, 0) where a side is empty. A box without area
        overlaps nothing, not even itself.
    """
    first = np.asarray(a, np.float64).reshape(-1, 1, 4)
    second = np.asarray(b, np.float64).reshape(1, -1, 4)
    low = np.maximum(first[..., :2], second[..., :2])
    high = np.minimum(first[..., 2:], second[..., 2:])
    shared = np.prod(np.maximum(high - low, 0.0), axis=-1)
    total = _areas(first) + _areas(second) - shared
    overlap = np.zeros_like(shared)
    np.divide(shared, total, out=overlap, where=shared > 0)
    return overlap


def _areas(boxes: Float64) -> Float64:
    areas: Float64 = np.prod(np.maximum(boxes[..., 2:] - boxes[..., :2], 0.0), axis=-1)
    return areas
