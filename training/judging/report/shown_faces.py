"""Which faces are shown, and what of each: its image, and its age as labelled."""

import numpy as np

from structures import Image
from training.chips import shrink
from training.judging.accuracy import Ints
from training.judging.results import Result
from training.labels import Face

SIDE = 112  # of a face shown, at most, pixels


def worst(badness: np.ndarray, rows: np.ndarray, most: int) -> Ints:
    """Return at most `most` of the faces that `rows` (N,) bool marks, the worst first.

    `badness` (N,) is larger for worse ones.
    """
    chosen = np.flatnonzero(rows)
    return chosen[np.argsort(-badness[chosen], kind="stable")][:most]


def picture(result: Result, row: int) -> Image:
    """Return the image of a face, (S, S, 3) uint8 BGR, shrunk to 112 pixels if it is larger."""
    image = result.examples.chips.images[row]
    if image.shape[0] > SIDE:
        image = shrink(image[None], SIDE)[0]
    return np.ascontiguousarray(image[..., ::-1])


def labelled_age(face: Face) -> str:
    """Return the labelled age or range in years, "" where there is none."""
    if face.age is None:
        return ""
    low, high = face.age
    return f"{low:g}" if low == high else f"{low:g}-{high:g}"
