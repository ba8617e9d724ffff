"""An image pyramid packed on one canvas, so that a sliding net runs once for all levels."""

from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from structures import Float32, Image

CELL = 12  # side of P-Net's window, pixels
_ROUNDING = 1e-6  # 47 * (12 / 47) is less than 12
STRIDE = 2  # between neighbouring windows, pixels
GREY = 128  # where no level lies: P-Net's zero


class Level(NamedTuple):
    """Where a level lies on the canvas, pixels; `x` and `y` are multiples of the stride."""

    x: int
    y: int
    width: int
    height: int


def level_sizes(width: int, height: int, min_face: float, factor: float) -> list[tuple[int, int]]:
    """Return the levels' widths and heights, largest first.

    A face of `min_face` pixels is one cell high in the first level; each further level is
    smaller by `factor`; the last is at least one cell wide and high. Empty for an image
    smaller than `min_face`.
    """
    sizes = []
    scale = CELL / min_face
    while min(width, height) * scale > CELL - _ROUNDING:
        sizes.append((round(width * scale), round(height * scale)))
        scale *= factor
    return sizes


def place_levels(sizes: list[tuple[int, int]]) -> list[Level]:
    """Place levels on a canvas as wide as the first, each on the first shelf with room."""
    levels: list[Level] = []
    shelves: list[tuple[int, int]] = []  # x where free, y
    bottom = 0
    canvas_width = _even(sizes[0][0])
    for width, height in sizes:
        roomy = (i for i, (x, _) in enumerate(shelves) if x + width <= canvas_width)
        shelf = next(roomy, len(shelves))
        if shelf == len(shelves):
            shelves.append((0, bottom))
            bottom += _even(height)
        x, y = shelves[shelf]
        levels.append(Level(x, y, width, height))
        shelves[shelf] = (x + _even(width), y)
    return levels


def _even(length: int) -> int:
    return -(-length // STRIDE) * STRIDE


class Pyramid:
    """The plan of a canvas for images of one size.

    Windows that reach over a level's edge are ignored, so the levels need no gaps and
    faces at an image's edge look as they would without the packing.

    Args:
        size_wh: the images' width and height, pixels.
        min_face: smallest face side to look for, pixels.
        factor: ratio of a level's size to the one before, 0 < factor < 1.

    Attributes:
        levels: largest first; empty if the image is too small for a face.
        outside: (h, w) bool, true for each window of the canvas not within one level.
    """

    def __init__(self, size_wh: tuple[int, int], min_face: float, factor: float) -> None:
        sizes = level_sizes(*size_wh, min_face, factor)
        self.levels = place_levels(sizes) if sizes else []
        right = max((level.x + level.width for level in self.levels), default=CELL)
        bottom = max((level.y + level.height for level in self.levels), default=CELL)
        self._canvas_hw = (_even(bottom), _even(right))
        rows, columns = ((side - CELL) // STRIDE + 1 for side in self._canvas_hw)
        index = np.full((rows, columns), -1, np.int16)
        for i, level in enumerate(self.levels):
            index[_windows(level.y, level.height), _windows(level.x, level.width)] = i
        self.outside: NDArray[np.bool_] = index < 0
        self._level_index = index
        self._origins = np.array([level[:2] for level in self.levels], np.float32)
        self._zooms = np.array(
            [(size_wh[0] / level.width, size_wh[1] / level.height) for level in self.levels],
            np.float32,
        )

    def pack(self, image: Image) -> Image:
        """Return the canvas (1, H, W, 3) uint8 with the levels of `image` on it."""
        canvas = np.full((1, *self._canvas_hw, 3), GREY, np.uint8)
        level_image = image
        # Exact areas of a large image take 25 times as long and find no more faces; from
        # the first level on they are cheap.
        method = cv2.INTER_LINEAR
        for x, y, width, height in self.levels:
            level_image = cv2.resize(level_image, (width, height), interpolation=method)
            canvas[0, y : y + height, x : x + width] = level_image
            method = cv2.INTER_AREA
        return canvas

    def boxes(self, rows: NDArray[np.intp], columns: NDArray[np.intp]) -> Float32:
        """Return windows of the canvas as (N, 4) float32 xyxy boxes of the image."""
        level = self._level_index[rows, columns]
        corners = STRIDE * np.stack([columns, rows], 1) - self._origins[level]
        zoom = self._zooms[level]
        return np.concatenate([corners * zoom, (corners + CELL) * zoom], 1).astype(np.float32)


def _windows(start: int, length: int) -> slice:
    """Return the windows that lie within `length` pixels from `start` on."""
    return slice(start // STRIDE, (start + length - CELL) // STRIDE + 1)
