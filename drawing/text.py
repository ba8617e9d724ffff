"""Text on images: readable plates, and where to put them so that they hide little.

OpenCV's Hershey fonts are strokes, thin and jagged at their final size. A plate is therefore
drawn four times as large and shrunk. Labels are cached, as they repeat in every frame.
"""

from collections.abc import Sequence
from functools import lru_cache

import cv2
import numpy as np

from structures import Float32, Image
from tracking.boxes import shared_areas

Colour = tuple[int, int, int]  # BGR, 0..255

_FONT = cv2.FONT_HERSHEY_SIMPLEX
_SHARPEN = 4  # plates are drawn this many times too large
_UNITS = 34  # a line's height in the font's own units, leading included
_BASELINE = 25  # of which this many lie above the baseline
_STROKE = 3  # stroke width, same units
_PLUS_MINUS_WIDTH = 20
_DARK, _LIGHT = (24, 24, 24), (255, 255, 255)


def text_size(image_wh: tuple[int, int]) -> int:
    """Return the height of a line of text, pixels, that reads well on an image of that size."""
    side = min(image_wh)
    return max(12, min(14, round(side / 38)), round(side / 44))


def _advance(text: str) -> int:
    """Width of `text` in font units; the fonts hold no plus-minus sign, ours is drawn."""
    parts = text.split("±")
    widths = (cv2.getTextSize(part, _FONT, 1, 1)[0][0] for part in parts)
    return sum(widths) + (len(parts) - 1) * _PLUS_MINUS_WIDTH


def _draw_plus_minus(mask: Image, x: float, baseline: float, unit: float, stroke: int) -> None:
    """Draw a plus-minus sign into `mask` with its cell's left edge at `x`, all in mask pixels."""
    for x1, y1, x2, y2 in ((2, -11, 16, -11), (9, -18, 9, -4), (2, 0, 16, 0)):
        start = round(x + x1 * unit), round(baseline + y1 * unit)
        end = round(x + x2 * unit), round(baseline + y2 * unit)
        cv2.line(mask, start, end, 255, stroke)


def _text_mask(text: str, size: int) -> Image:
    """Return the coverage of one line of text, (size, width) uint8, 255 = ink."""
    unit = size * _SHARPEN / _UNITS
    stroke = max(1, round(_STROKE * unit))
    width = max(1, round(_advance(text) * size / _UNITS))
    mask = np.zeros((size * _SHARPEN, width * _SHARPEN), np.uint8)
    x, baseline = 0.0, _BASELINE * unit
    for i, part in enumerate(text.split("±")):
        if i:
            _draw_plus_minus(mask, x, baseline, unit, stroke)
            x += _PLUS_MINUS_WIDTH * unit
        origin = round(x), round(baseline)
        cv2.putText(mask, part, origin, _FONT, unit, 255, stroke)
        x += cv2.getTextSize(part, _FONT, 1, 1)[0][0] * unit
    return np.asarray(cv2.resize(mask, (width, size), interpolation=cv2.INTER_AREA), np.uint8)


def plate_size_wh(lines: Sequence[str], size: int) -> tuple[int, int]:
    """Return the width and height in pixels of the plate for `lines` at text height `size`."""
    pad = max(2, size // 4)
    widest = max(max(1, round(_advance(line) * size / _UNITS)) for line in lines)
    return widest + 2 * pad, len(lines) * size + 2 * (pad // 2)


def wrap(parts: Sequence[str], size: int, width: int, space: str = " ") -> list[str]:
    """Join `parts` by `space` into lines whose plates are no wider than `width` pixels.

    A part that is too wide by itself is cut; no line is empty, and no parts make no lines.
    """
    lines: list[str] = []
    for part in parts:
        longer = f"{lines[-1]}{space}{part}" if lines else part
        if lines and plate_size_wh([longer], size)[0] <= width:
            lines[-1] = longer
            continue
        rest = part
        while rest:
            fits = len(rest)
            while fits > 1 and plate_size_wh([rest[:fits]], size)[0] > width:
                fits -= 1
            lines.append(rest[:fits])
            rest = rest[fits:]
    return lines


@lru_cache(maxsize=512)
def plate(lines: tuple[str, ...], size: int, colour: Colour) -> Image:
    """Return what `draw_plate` does, read-only and cached: for labels."""
    image = draw_plate(lines, size, colour)
    image.flags.writeable = False
    return image


def draw_plate(lines: Sequence[str], size: int, colour: Colour) -> Image:
    """Draw at least one line of text on a filled plate; returns (h, w, 3) uint8 BGR.

    Characters other than ASCII and the plus-minus sign become question marks. `size` is the
    height of a line, pixels; the text is dark or white, whichever contrasts more.
    """
    width, height = plate_size_wh(lines, size)
    pad = max(2, size // 4)
    coverage = np.zeros((height, width, 1), np.float32)
    for i, line in enumerate(lines):
        mask = _text_mask(line, size)
        top = pad // 2 + i * size
        coverage[top : top + size, pad : pad + mask.shape[1], 0] = mask / np.float32(255)
    ink = np.array(_DARK if luminance(colour) > 0.18 else _LIGHT, np.float32)
    ground = np.array(colour, np.float32)
    return np.rint(ground + coverage * (ink - ground)).astype(np.uint8)


def luminance(colour: Colour) -> float:
    """Return the relative luminance of a BGR colour, 0 black .. 1 white (WCAG 2, section 1.4.3)."""
    share = np.array(colour, np.float64) / 255
    linear = np.where(share <= 0.04045, share / 12.92, ((share + 0.055) / 1.055) ** 2.4)
    return float(linear @ (0.0722, 0.7152, 0.2126))


def paste(image: Image, patch: Image, x: int, y: int) -> None:
    """Copy `patch` onto `image` (changed in place) at (x, y); what sticks out is cut off."""
    (height, width), (h, w) = image.shape[:2], patch.shape[:2]
    x1, y1, x2, y2 = max(x, 0), max(y, 0), min(x + w, width), min(y + h, height)
    if x1 < x2 and y1 < y2:
        image[y1:y2, x1:x2] = patch[y1 - y : y2 - y, x1 - x : x2 - x]


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

    Returns:
        N upper left corners; [] for N = 0.
    """
    occupied = [np.array(rect, np.float32) for rect in taken]
    corners: list[tuple[int, int]] = []
    for box, size_wh in zip(boxes, sizes_wh, strict=True):
        rect = _best_place(_candidates(box, *size_wh, gap), size_wh, image_wh, boxes, occupied)
        occupied.append(rect)
        corners.append((int(rect[0]), int(rect[1])))
    return corners


def _best_place(
    spots: Float32,
    size_wh: tuple[int, int],
    image_wh: tuple[int, int],
    boxes: Float32,
    occupied: Sequence[Float32],
) -> Float32:
    """Return the xyxy rectangle at one of the K `spots`, moved inside, that hides least."""
    limit = np.maximum(np.subtract(image_wh, size_wh), 0)
    corners = np.clip(np.rint(spots), 0, limit).astype(np.float32)
    rects = np.hstack([corners, corners + np.array(size_wh, np.float32)])
    cost = shared_areas(rects, boxes).sum(axis=1)
    cost += 1e-3 * size_wh[0] * size_wh[1] * np.arange(len(rects))  # of equals, the first
    if occupied:
        cost += 1e3 * shared_areas(rects, np.stack(occupied)).sum(axis=1)
    return np.asarray(rects[np.argmin(cost)], np.float32)
