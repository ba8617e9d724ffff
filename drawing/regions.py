"""Lines and zones drawn over a picture, with their names and counts."""

from collections.abc import Mapping, Sequence

import cv2
import numpy as np

from drawing.text import Colour, Pen, lay, place_labels
from people.zones import Layout, Line, Point, Shape
from structures import NOWHERE, Image

Rect = tuple[int, int, int, int]  # xyxy pixels
_INK: Colour = (255, 255, 255)
_HALO: Colour = (24, 24, 24)  # under every line: shows on white, too
_FILL = 0.1  # how much of the ink lies over a zone
_ARROW = 1.6  # length of what points in, in sizes of the text


def draw_layout(
    image: Image, layout: Layout, told: Mapping[str, str], pen: Pen, taken: Sequence[Rect] = ()
) -> list[Rect]:
    """Draw lines and zones onto `image`, (H, W, 3) uint8 BGR, changed in place.

    Args:
        image: is drawn on.
        layout: what to draw; nothing where it is empty.
        told: name -> what its plate says.
        pen: writes the plates.
        taken: rectangles that plates avoid.

    Returns:
        The rectangles of the plates.
    """
    for shape in layout.shapes:
        draw_outline(image, shape.points, pen.size, closed=not isinstance(shape, Line))
        if isinstance(shape, Line):
            _draw_arrow(image, shape, pen.size)
    plates = [pen.plate([told.get(shape.name, shape.name)]) for shape in layout.shapes]
    size_wh = image.shape[1], image.shape[0]
    boxes = np.array([_around(shape, size_wh, pen.size / 3) for shape in layout.shapes], np.float32)
    sizes, gap = [plate.size_wh for plate in plates], max(2, pen.size // 5)
    corners = place_labels(boxes.reshape(-1, 4), sizes, size_wh, taken, gap, faces=NOWHERE)
    for plate, (x, y) in zip(plates, corners, strict=True):
        lay(image, plate, x, y)
    return [(x, y, x + w, y + h) for (x, y), (w, h) in zip(corners, sizes, strict=True)]


def draw_outline(image: Image, points: Sequence[Point], size: int, closed: bool) -> None:
    """Draw straight lines through points, in fractions of the image, which is changed in place.

    `size` is that of the text, pixels; what is `closed` is filled a little.
    """
    at = _pixels(points, image)
    if closed:
        left, top = np.maximum(at.min(axis=0), 0)
        right, bottom = at.max(axis=0) + 1
        around = image[top:bottom, left:right]
        filled = around.copy()
        cv2.fillPoly(filled, [at - [left, top]], _INK)
        cv2.addWeighted(filled, _FILL, around, 1 - _FILL, 0, dst=around)
    for tint, thick in ((_HALO, max(4, size // 4)), (_INK, max(2, size // 8))):
        cv2.polylines(image, [at], closed, tint, thick, cv2.LINE_AA)


def _draw_arrow(image: Image, line: Line, size: int) -> None:
    """Point from the middle of a line to its side "in"."""
    begin, end = _pixels(line.points, image).astype(float)
    along = (end - begin) / max(np.hypot(*(end - begin)), 1)
    middle = (begin + end) / 2
    tip = middle + _ARROW * size * np.array([-along[1], along[0]])
    start, stop = (tuple(int(v) for v in np.rint(point)) for point in (middle, tip))
    for tint, thick in ((_HALO, max(4, size // 4)), (_INK, max(2, size // 8))):
        cv2.arrowedLine(image, start, stop, tint, thick, cv2.LINE_AA, tipLength=0.4)


def _around(shape: Shape, size_wh: tuple[int, int], reach: float) -> list[float]:
    """The box that a shape's plate belongs to, xyxy pixels: a line's beginning, a whole zone."""
    points = np.multiply(shape.points, size_wh)
    if isinstance(shape, Line):
        return [*(points[0] - reach), *(points[0] + reach)]
    return [*points.min(axis=0), *points.max(axis=0)]


def _pixels(points: Sequence[Point], image: Image) -> np.ndarray:
    """(N, 2) int32 pixels of points in fractions of an image."""
    size_wh = image.shape[1] - 1, image.shape[0] - 1
    return np.rint(np.multiply(points, size_wh)).astype(np.int32).reshape(-1, 2)
