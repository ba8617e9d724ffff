"""Text on images: plates in a real font, and where to put them so that they hide little.

The font that comes with the program is Open Sans Semibold: Latin, Greek and Cyrillic. Plates
are cached, as labels repeat in every frame.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

import cv2
import numpy as np
from numpy.typing import NDArray

from errors import FontError
from structures import Float32, Image
from tracking.boxes import shared_areas

if TYPE_CHECKING:
    from PIL.ImageFont import FreeTypeFont

Float64 = NDArray[np.float64]
Colour = tuple[int, int, int]  # BGR, 0..255

FONT = Path(__file__).parent / "fonts" / "OpenSans-Semibold.ttf"
GROUND: Colour = (24, 24, 24)  # of plates
_OPACITY = 0.76  # of a plate's ground: white text has a contrast of 7 even on a white image
_DARK, _LIGHT = (24, 24, 24), (255, 255, 255)
_DOUBTFUL = 0.62  # how much of the ink a doubtful word has


def text_size(image_wh: tuple[int, int], scale: float = 1.0) -> int:
    """Return the height of a line of text, pixels, that reads well on an image of that size."""
    side = min(image_wh)
    return max(8, round(scale * max(13, min(16, side / 24), side / 42)))


@lru_cache(maxsize=32)
def load_font(path: Path, height: int) -> "FreeTypeFont":
    """Return a font whose lines are about `height` pixels high.

    Raises:
        FontError: the file is missing or no font.
    """
    from PIL import ImageFont  # takes a tenth of a second

    layout = ImageFont.Layout.BASIC  # complex scripts need a library that is not everywhere
    try:
        font = ImageFont.truetype(str(path), max(4, round(height / 1.36)), layout_engine=layout)
    except OSError as error:
        remedy = "get the whole program again" if path == FONT else "name a .ttf or .otf file"
        reason = "is no font" if path.is_file() else "is not there"
        raise FontError(f"the font {path} {reason}; {remedy}") from error
    return font


@dataclass(frozen=True, slots=True, eq=False)
class Plate:
    """Text on a rounded, translucent ground, ready to be laid over an image.

    Attributes:
        ink: (h, w, 3) uint8 BGR, the plate's own light.
        kept: (h, w, 3) uint8, how much of the image below shows, 255 = all.
    """

    ink: Image
    kept: Image

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.ink.shape[1], self.ink.shape[0]


@dataclass(frozen=True, slots=True)
class Pen:
    """Writes lines of `size` pixels' height in the font of a file."""

    size: int
    font: Path = FONT

    @property
    def _pad(self) -> int:
        return max(3, self.size // 4)

    def width(self, text: str) -> int:
        """Width of one line of text in pixels."""
        return max(1, round(load_font(self.font, self.size).getlength(text)))

    def plate_size_wh(self, lines: Sequence[str]) -> tuple[int, int]:
        """Return the width and height in pixels of the plate for `lines`."""
        widest = max(map(self.width, lines))
        return widest + 3 * self._pad, len(lines) * self.size + 2 * (self._pad // 2)

    def wrap(self, parts: Sequence[str], width: int, space: str = " ") -> list[str]:
        """Join `parts` by `space` into lines whose plates are no wider than `width` pixels.

        A part that is too wide by itself is cut; no line is empty, and no parts make no lines.
        """
        lines: list[str] = []
        for part in parts:
            longer = f"{lines[-1]}{space}{part}" if lines else part
            if lines and self.plate_size_wh([longer])[0] <= width:
                lines[-1] = longer
                continue
            rest = part
            while rest:
                fits = len(rest)
                while fits > 1 and self.plate_size_wh([rest[:fits]])[0] > width:
                    fits -= 1
                lines.append(rest[:fits])
                rest = rest[fits:]
        return lines

    def plate(
        self, lines: Sequence[str], ground: Colour = GROUND, edge: Colour | None = None
    ) -> Plate:
        """Return at least one line of text on a rounded plate; cached.

        Words that end in a question mark are doubtful and fainter. The text is white or dark,
        whichever contrasts more with `ground`; `edge` colours a bar on the left.
        """
        return _plate(self, tuple(lines), ground, edge)


@lru_cache(maxsize=512)
def _plate(pen: Pen, lines: tuple[str, ...], ground: Colour, edge: Colour | None) -> Plate:
    width, height = pen.plate_size_wh(lines)
    text = _text_coverage(pen, lines, (width, height))[..., None]
    shape = _rounded((width, height), pen.size / 4)[..., None]
    colours = np.tile(np.array(ground, np.float32), (height, width, 1))
    opacity = np.full((height, width, 1), _OPACITY, np.float32)
    if edge is not None:
        bar = max(2, pen.size // 6)
        colours[:, :bar], opacity[:, :bar] = edge, 1
    opacity = np.maximum(opacity, text) * shape
    colours += text * (np.array(_DARK if luminance(ground) > 0.18 else _LIGHT) - colours)
    kept = np.repeat(255 * (1 - opacity), 3, axis=2)
    return Plate(np.rint(colours * opacity).astype(np.uint8), np.rint(kept).astype(np.uint8))


def _text_coverage(pen: Pen, lines: Sequence[str], size_wh: tuple[int, int]) -> Float32:
    """Return how much of each pixel is ink, (h, w) float32 in 0..1."""
    from PIL import Image as Canvas
    from PIL import ImageDraw

    canvas = Canvas.new("L", size_wh)
    draw, font = ImageDraw.Draw(canvas), load_font(pen.font, pen.size)
    left, top = 3 * pen._pad // 2 + pen._pad // 4, pen._pad // 2
    for i, line in enumerate(lines):
        middle = top + (i + 0.5) * pen.size
        x = float(left)
        for word in line.split(" "):
            tint = round(255 * _DOUBTFUL) if word.endswith("?") else 255
            # Placed by the middle of its capitals, so that the accents of one line never move it.
            draw.text((x, middle + 0.36 * font.size), word, tint, font, anchor="ls")
            x += font.getlength(word + " ")
    return np.asarray(canvas, np.float32) / np.float32(255)


def _rounded(size_wh: tuple[int, int], radius: float) -> Float32:
    """Return how much of each pixel lies in a rectangle with round corners, (h, w) in 0..1."""
    outside = []
    for length in size_wh:
        from_middle = np.abs(np.arange(length) + 0.5 - length / 2)
        outside.append(np.maximum(from_middle - (length / 2 - radius), 0))
    distance = np.hypot(outside[0][None, :], outside[1][:, None]) - radius
    return np.clip(0.5 - distance, 0, 1).astype(np.float32)


def luminance(colour: Colour) -> float:
    """Return the relative luminance of a BGR colour, 0 black .. 1 white (WCAG 2, section 1.4.3)."""
    share = np.array(colour, np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.0722, 0.7152, 0.2126))


def lay(image: Image, plate: Plate, x: int, y: int) -> None:
    """Lay a plate over `image` (changed in place) at (x, y); what sticks out is cut off."""
    (height, width), (w, h) = image.shape[:2], plate.size_wh
    x1, y1, x2, y2 = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    if x1 < x2 and y1 < y2:
        region = image[y1:y2, x1:x2]
        own = slice(y1 - y, y2 - y), slice(x1 - x, x2 - x)
        cv2.multiply(region, plate.kept[own], dst=region, scale=1 / 255)
        cv2.add(region, plate.ink[own], dst=region)


def _candidates(box: Float32, w: int, h: int, gap: int) -> Float32:
    """Return the upper left corners, (K, 2), where a label of `box` may go, best first."""
    x1, y1, x2, y2 = box
    above, below = y1 - h - gap, y2 + gap
    right = x2 - w
    return np.array(
        [
            (x1, above), (x1, below), (right, above), (right, below),
            (x2 + gap, y1), (x1 - w - gap, y1),
            (x1, y2 - h), (x1, y1),
            (x1, above - h), (x1, below + h), (x1, above - 2 * h), (x1, below + 2 * h),
        ],
        np.float32,
    )  # fmt: skip


def place_labels(
    boxes: Float32,
    sizes_wh: Sequence[tuple[int, int]],
    image_wh: tuple[int, int],
    taken: Sequence[tuple[int, int, int, int]] = (),
    gap: int = 1,
    faces: Float32 | None = None,
) -> list[tuple[int, int]]:
    """Choose where the labels go: above, else below, beside, inside or further off.

    Greedy, in the order given. Another label is covered only where every place covers
    one; of the rest, the place that hides least of the faces wins.

    Args:
        boxes: (N, 4) xyxy pixels.
        sizes_wh: of the N labels.
        image_wh: labels are moved inside; one larger than the image starts at its corner.
        taken: xyxy rectangles that labels avoid, too.
        gap: pixels between box and label.
        faces: (M, 4) xyxy pixels, what the labels should not hide; None = `boxes`.

    Returns:
        N upper left corners; [] for N = 0.
    """
    faces = boxes if faces is None else faces
    others = np.concatenate([faces, np.array(taken, np.float32).reshape(-1, 4)])
    corners: list[tuple[int, int]] = []
    for box, size_wh in zip(boxes, sizes_wh, strict=True):
        costs = np.where(np.arange(len(others)) < len(faces), 1, 1e3)
        rect = _best_place(_candidates(box, *size_wh, gap), size_wh, image_wh, others, costs)
        others = np.concatenate([others, rect[None]])
        corners.append((int(rect[0]), int(rect[1])))
    return corners


def _best_place(
    spots: Float32,
    size_wh: tuple[int, int],
    image_wh: tuple[int, int],
    others: Float32,
    costs: Float64,
) -> Float32:
    """Return the xyxy rectangle at one of the K `spots`, moved inside, that costs least.

    `costs`, (M,), are those of a pixel of each of the (M, 4) `others` that is covered.
    """
    limit = np.maximum(np.subtract(image_wh, size_wh), 0)
    corners = np.minimum(np.maximum(np.rint(spots), 0), limit).astype(np.float32)
    rects = np.hstack([corners, corners + np.array(size_wh, np.float32)])
    cost = shared_areas(rects, others) @ costs
    cost += 1e-3 * size_wh[0] * size_wh[1] * np.arange(len(rects))  # of equals, the first
    return np.asarray(rects[np.argmin(cost)], np.float32)
