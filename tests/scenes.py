"""Images in place of photographs of faces, for tests of how sets are prepared."""

import cv2
import numpy as np

from structures import Image


def scene(seed: int, size: int = 112) -> Image:
    """A random image with coarse and fine shapes, lit like every other one."""
    rng = np.random.default_rng(seed)
    own = np.zeros((size, size, 3))
    for cells in (5, 10, 25):
        grid = rng.integers(0, 256, (cells, cells, 3), np.uint8)
        own += np.asarray(cv2.resize(grid, (size, size), interpolation=cv2.INTER_LINEAR)) / 3.0
    y, x = np.mgrid[-1 : 1 : size * 1j, -1 : 1 : size * 1j]
    face = 200 * np.exp(-2 * (x**2 + y**2))[..., None]
    return np.clip(0.5 * own + 0.5 * face, 0, 255).astype(np.uint8)


def changed(picture: Image) -> Image:
    """The same photograph as it comes back from elsewhere: smaller, darker, recompressed."""
    small = cv2.resize(picture, (70, 70), interpolation=cv2.INTER_AREA)
    darker = (small * np.array([0.7, 0.75, 0.8]) + 10).astype(np.uint8)
    data = cv2.imencode(".jpg", darker, [cv2.IMWRITE_JPEG_QUALITY, 40])[1]
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.uint8)
