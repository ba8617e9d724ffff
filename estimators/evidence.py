"""How much one look at a face is worth: weights for the smoother."""

import cv2
import numpy as np

from structures import Float32, Image

# Faces below 16 px between chip edges carry little; above 48 px more size does not help
# (mean absolute error of the default model: 5.3 years down to 24 px, 5.7 at 16 px).
_FACE_PX = (16.0, 48.0)
# RMS misfit of the five points in chip units: frontal faces 0.02-0.04, half profiles 0.08.
_MISFIT = (0.10, 0.04)
# Standard deviation of the Laplacian of the grey chip: 3 is out of focus, 12 is crisp.
_SHARPNESS = (2.0, 10.0)
_FLOOR = 0.05  # even a poor look counts a little: a person only seen badly still gets a label


def evidence_weights(
    scores: Float32, confident_score: float, chip_px: Float32, misfit: Float32, chips: Image
) -> Float32:
    """Weigh B looks at faces by detection score, size, pose and sharpness.

    Args:
        scores: (B,) detection scores.
        confident_score: the score from which a detection counts in full.
        chip_px: (B,) side of the face's chip in pixels of the picture.
        misfit: (B,) landmark misfit, see `crops.fit_misfit_and_size`.
        chips: (B, S, S, 3) uint8 RGB.

    Returns:
        (B,) float32 in 0.05..1; B = 0 gives (0,).
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
