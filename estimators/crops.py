"""Aligned face chips: the one geometry that models are trained on and served with.

The canonical unit chip (x right, y down, 0..1 both ways, as the viewer sees it) has the eyes
at a height of 0.305 and the nose base at (0.49, 0.585). Each detector declares where its own
five points lie in it (`landmark_template`), and a face is warped there by the similarity
(rotation, one scale, shift) that fits its points best. The fit, and the chip's size and
sharpness, decide the weight of its estimate in the smoother.
"""

import cv2
import numpy as np
from numpy.typing import NDArray

from structures import Float32, Image

_SHRINK_FIRST = 1.5  # image pixels per chip pixel above which bilinear sampling aliases
# Faces below 16 px between chip edges carry little; above 48 px more size does not help
# (mean absolute error of the default model: 5.3 years down to 24 px, 5.7 at 16 px).
_FACE_PX = (16.0, 48.0)
# RMS misfit of the five points in chip units: frontal faces 0.02-0.04, half profiles 0.08.
_MISFIT = (0.10, 0.04)
# Standard deviation of the Laplacian of the grey chip: 3 is out of focus, 12 is crisp.
_SHARPNESS = (2.0, 10.0)
_FLOOR = 0.05  # a poor chip counts a little: a person only seen badly still gets a label


def fit_similarity(points: Float32, template: Float32) -> NDArray[np.float64]:
    """Return the least-squares similarities that carry `points` onto `template`.

    With points as complex numbers a similarity is z -> a z + b, so the fit is a
    one-dimensional complex regression; reflections cannot occur.

    Args:
        points: (N, 5, 2) float32, pixels; N may be 0.
        template: (5, 2) float32, the same points in the chip.

    Returns:
        (N, 2, 3) float64 affine matrices, pixels -> chip units.

    Raises:
        ValueError: wrong shapes.

    Reference:
        Umeyama, "Least-squares estimation of transformation parameters between two
        point patterns", PAMI 1991. Differs: the closed form for the plane.
    """
    if points.ndim != 3 or points.shape[1:] != template.shape:
        raise ValueError(f"points: want (N, {len(template)}, 2), got {points.shape}")
    z = points[..., 0].astype(np.float64) + 1j * points[..., 1]
    w = template[:, 0].astype(np.float64) + 1j * template[:, 1]
    z_mean, w_mean = z.mean(axis=1, keepdims=True), w.mean()
    power = np.maximum((np.abs(z - z_mean) ** 2).sum(axis=1), 1e-9)
    a = (np.conj(z - z_mean) * (w - w_mean)).sum(axis=1) / power
    b = w_mean - a * z_mean[:, 0]
    rows = [np.stack([a.real, -a.imag, b.real], -1), np.stack([a.imag, a.real, b.imag], -1)]
    return np.stack(rows, axis=1)


def fit_misfit_and_size(points: Float32, template: Float32) -> tuple[Float32, Float32]:
    """Return how badly the best similarity fits, and how large the face is, (N,) float32 each.

    The misfit is the RMS distance in chip units: about 0.02 for a frontal face, more as the
    head turns away; the size is the chip's side in pixels of the image.

    Args:
        points: (N, 5, 2) float32, pixels.
        template: (5, 2) float32, unit chip.
    """
    matrices = fit_similarity(points, template)
    moved = points @ matrices[:, :, :2].transpose(0, 2, 1) + matrices[:, None, :, 2]
    misfit = np.sqrt(((moved - template) ** 2).sum(-1).mean(-1))
    size = 1.0 / np.maximum(np.hypot(matrices[:, 0, 0], matrices[:, 1, 0]), 1e-9)
    return misfit.astype(np.float32), size.astype(np.float32)


def align(image: Image, points: Float32, template: Float32, size: int) -> Image:
    """Cut the faces out of `image`, upright and in the canonical geometry.

    Returns (N, size, size, 3) uint8 chips, **RGB**, black beyond the image; N may be 0.

    Args:
        image: (H, W, 3) uint8 BGR; not changed.
        points: (N, 5, 2) float32 landmarks, pixels; may lie outside the image.
        template: (5, 2) float32, where they lie in the unit chip.
        size: chip side in pixels.
    """
    chips = np.empty((len(points), size, size, 3), np.uint8)
    for chip, matrix in zip(chips, fit_similarity(points, template) * size, strict=True):
        cv2.cvtColor(_warp(image, matrix, size), cv2.COLOR_BGR2RGB, dst=chip)
    return chips


def _warp(image: Image, matrix: NDArray[np.float64], size: int) -> Image:
    """Sample one chip; large faces are shrunk first, so that nothing aliases."""
    step = 1.0 / max(np.hypot(matrix[0, 0], matrix[1, 0]), 1e-9)  # image px per chip px
    if step > _SHRINK_FIRST:
        image, matrix = _shrunk(image, matrix, size, step)
    return cv2.warpAffine(image, matrix, (size, size), flags=cv2.INTER_LINEAR)


def _shrunk(
    image: Image, matrix: NDArray[np.float64], size: int, step: float
) -> tuple[Image, NDArray[np.float64]]:
    """Return the part of `image` under the chip at chip resolution, and its matrix."""
    corners = np.array([[0, 0], [size, 0], [0, size], [size, size]], np.float64)
    inverse = cv2.invertAffineTransform(matrix)
    area = corners @ inverse[:, :2].T + inverse[:, 2]
    height, width = image.shape[:2]
    x1, y1 = np.clip(np.floor(area.min(0) - step), 0, (width, height)).astype(int)
    x2, y2 = np.clip(np.ceil(area.max(0) + step), 0, (width, height)).astype(int)
    if x2 - x1 < step or y2 - y1 < step:
        return image, matrix  # almost none of the face is in the image
    small_wh = max(round((x2 - x1) / step), 1), max(round((y2 - y1) / step), 1)
    small = cv2.resize(image[y1:y2, x1:x2], small_wh, interpolation=cv2.INTER_AREA)
    back = np.diag([(x2 - x1) / small_wh[0], (y2 - y1) / small_wh[1], 1.0])
    back[:2, 2] = x1, y1
    # Pixel centres: a pixel of the small image is centred half a pixel off its corner.
    back[:2, 2] += 0.5 * np.diag(back)[:2] - 0.5
    return small, (np.vstack([matrix, [0, 0, 1]]) @ back)[:2]


def evidence_weights(
    scores: Float32, confident_score: float, chip_px: Float32, misfit: Float32, chips: Image
) -> Float32:
    """Weigh B chips by detection score, size, pose and sharpness: (B,) float32 in 0.05..1.

    Args:
        scores: (B,) detection scores; B may be 0.
        confident_score: the score from which a detection counts in full.
        chip_px: (B,) side of the face's chip in pixels of the image.
        misfit: (B,) landmark misfit, see `fit_misfit_and_size`.
        chips: (B, S, S, 3) uint8 RGB.
    """
    sharpness = np.array([_sharpness(chip) for chip in chips], np.float32)
    weights = (
        np.clip(scores / confident_score, 0, 1)
        * _ramp(chip_px, *_FACE_PX)
        * _ramp(misfit, *_MISFIT)
        * _ramp(sharpness, *_SHARPNESS)
    )
    return np.maximum(weights, _FLOOR).astype(np.float32)


def _ramp(values: Float32, zero: float, one: float) -> Float32:
    """0 at `zero`, 1 at `one`, linear between and flat beyond; either may be the larger."""
    return np.clip((values - zero) / (one - zero), 0, 1).astype(np.float32)


def _sharpness(chip: Image) -> float:
    """Standard deviation of the Laplacian (Pech-Pacheco et al., ICPR 2000, use its square)."""
    grey = cv2.cvtColor(chip, cv2.COLOR_RGB2GRAY)
    return float(cv2.Laplacian(grey, cv2.CV_16S).std())
