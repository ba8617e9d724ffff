"""What every detector refuses."""

import numpy as np

from structures import Image


def check_search(image: Image, coarse: float = 1.0) -> None:
    """Raise ValueError unless `image` is (H, W, 3) uint8 and `coarse` at least 1."""
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
        raise ValueError(f"image: want (H, W, 3) uint8, got {image.shape} {image.dtype}")
    if not coarse >= 1:
        raise ValueError(f"coarse must be at least 1, got {coarse}")
