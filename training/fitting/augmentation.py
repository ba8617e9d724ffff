"""Random variants of chips, so that a network learns faces and not photographs."""

import cv2
import numpy as np
from numpy.typing import NDArray


def augment(
    images: NDArray[np.uint8], size: int, rng: np.random.Generator, strength: float = 1.0
) -> NDArray[np.uint8]:
    """Makes one random variant of every chip: pose, light, colour, resolution, noise.

    The whole similarity, flip and resize is one warp; light and colour are one matrix.

    Args:
        images: `(N, S, S, 3)` uint8, RGB; not changed.
        size: Side of the result in pixels.
        rng: Source of all chance.
        strength: Multiplies spreads and probabilities (not the flip); 0 leaves the chip.

    Returns:
        `(N, size, size, 3)` uint8, RGB.
    """
    out = np.empty((len(images), size, size, 3), np.uint8)
    for i, image in enumerate(images):
        warp = _random_warp(image.shape[0], size, rng, strength)
        flags = cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP
        chip = cv2.warpAffine(image, warp, (size, size), None, flags, cv2.BORDER_REFLECT_101)
        chip = cv2.transform(chip, _random_colour(rng, strength))
        if rng.random() < 0.3 * strength:
            small = int(np.exp(rng.uniform(np.log(size * 0.3), np.log(size))))
            chip = cv2.resize(chip, (small, small), interpolation=cv2.INTER_AREA)
            chip = cv2.resize(chip, (size, size), interpolation=cv2.INTER_LINEAR)
        if rng.random() < 0.4 * strength:
            noise = rng.standard_normal(chip.shape, np.float32) * rng.uniform(1.0, 10.0)
            chip = np.clip(chip + noise, 0, 255).astype(np.uint8)
        if rng.random() < 0.3 * strength:
            _erase(chip, rng)
        out[i] = chip
    return out


def _random_warp(
    side: int, size: int, rng: np.random.Generator, strength: float
) -> NDArray[np.float64]:
    """Draws a map `(2, 3)` float64 from pixels of the result to pixels of the chip."""
    turn, zoom, aspect, *shift = rng.standard_normal(5) * strength
    angle = np.deg2rad(6.0 * turn)
    scale = side / size * np.exp(0.09 * zoom)
    stretch = np.exp(0.02 * aspect * np.array([1.0, -1.0]))
    if rng.random() < 0.5:
        stretch[0] = -stretch[0]
    cos, sin = np.cos(angle), np.sin(angle)
    linear = np.array([[cos, -sin], [sin, cos]]) * stretch * scale
    centre = side / 2 - 0.5 + 0.035 * side * np.array(shift)
    return np.column_stack([linear, centre - linear @ np.full(2, size / 2 - 0.5)])


def _random_colour(rng: np.random.Generator, strength: float) -> NDArray[np.float32]:
    """Draws a colour matrix `(3, 4)` float32 on (R, G, B, 1): light, contrast, tint, grey."""
    bright, contrast, *tint = rng.standard_normal(5) * strength
    slope = np.exp(0.15 * contrast)
    gain = np.exp(0.2 * bright) * np.exp(0.05 * np.array(tint))
    mix = np.eye(3)
    if rng.random() < 0.08 * strength:
        mix = np.tile([0.299, 0.587, 0.114], (3, 1))
    middle = 127.5 * (1 - slope)
    return np.column_stack([gain[:, None] * slope * mix, gain * middle]).astype(np.float32)


def _erase(chip: NDArray[np.uint8], rng: np.random.Generator) -> None:
    """Fills a random rectangle of 4 to 20 % of the area with one colour, in place."""
    side = chip.shape[0]
    area = rng.uniform(0.04, 0.2) * side * side
    height = int(np.clip(np.sqrt(area * np.exp(rng.uniform(-0.7, 0.7))), 1, side))
    width = int(np.clip(area / height, 1, side))
    y, x = rng.integers(0, side - height + 1), rng.integers(0, side - width + 1)
    chip[y : y + height, x : x + width] = rng.integers(0, 256, 3)
