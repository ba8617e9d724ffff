"""Operations on detectors' boxes: suppress doubles, move corners, make squares; numpy only."""

import numpy as np
from numpy.typing import NDArray

from structures import Float32, Image
from tracking.boxes import Measure, overlaps

_FEW = 256  # boxes, all compared with one another
_BLOCK = 64  # boxes compared with those near them at a time


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
    better, worse = _clashes(boxes[order], threshold, measure)
    by_better = np.argsort(better, kind="stable")
    better, worse = better[by_better], worse[by_better]
    starts = np.searchsorted(better, np.arange(len(order) + 1))
    alive = np.ones(len(order), np.bool_)
    for row in np.unique(better):
        if alive[row]:
            alive[worse[starts[row] : starts[row + 1]]] = False
    return order[alive]


def _clashes(
    boxes: Float32, threshold: float, measure: Measure
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the pairs of rows, the earlier one first, that overlap by more than `threshold`.

    Two boxes of which one is by more than 1 / threshold as wide as the other do not (union), nor
    do those whose left sides are too far apart. So each is compared with the few near it, sorted
    from left to right, of its class of width and the next.
    """
    if len(boxes) <= _FEW:
        earlier, later = np.nonzero(np.triu(overlaps(boxes, boxes, measure) > threshold, 1))
        return earlier, later
    least = 0.99 * threshold if measure == "union" else 0.0  # of the width of both; for rounding
    widths = np.maximum(boxes[:, 2] - boxes[:, 0], 1e-3)
    with np.errstate(divide="ignore"):
        classes = np.floor(np.log(widths) / -np.log(np.float64(least)))
    by_left = np.argsort(boxes[:, 0], kind="stable")
    members = {each: by_left[classes[by_left] == each] for each in np.unique(classes)}
    pairs = [np.zeros((2, 0), np.intp)]
    for number, rows in members.items():
        for others in (rows, members.get(number + 1, rows[:0])):
            reach = (1 - least) * max(widths[rows].max(), widths[others].max(initial=0))
            left = boxes[others, 0]
            for start in range(0, len(rows), _BLOCK):
                block = rows[start : start + _BLOCK]
                ends = boxes[block[[0, -1]], 0] + np.array([-reach, reach])
                near = others[slice(*np.searchsorted(left, ends))]
                clash = overlaps(boxes[block], boxes[near], measure) > threshold
                one, other = np.nonzero(clash)
                pairs.append(np.sort(np.stack([block[one], near[other]]), 0))
    better, worse = np.concatenate(pairs, 1)
    return better[better < worse], worse[better < worse]


def moved(boxes: Float32, offsets: Float32) -> Float32:
    """Return (N, 4) boxes with their corners moved by `offsets`, (N, 4) fractions of the sides."""
    sides = boxes[:, 2:] - boxes[:, :2]
    return boxes + offsets * np.tile(sides, 2)


def squares(boxes: Float32) -> Float32:
    """Return the (N, 4) squares about the boxes' centres with their longer sides."""
    half = (boxes[:, 2:] - boxes[:, :2]).max(1, keepdims=True) / 2
    centres = (boxes[:, 2:] + boxes[:, :2]) / 2
    return np.concatenate([centres - half, centres + half], 1)
