"""Age and gender by Keras, called the way most published loops do it.

The network is the program's own default in its .keras form, so that only the way of
running it is compared. `model.predict` is made for whole data sets and costs about 100 ms
a call whatever the batch; `predict_on_batch` does the same for one batch without it.
"""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "mobilenetv2_fairface.keras"
SIDE = 96
MARGIN = 0.4  # of the box's side, all around, as is usual
CALLS = ("predict", "predict_on_batch")


class KerasFaces:
    """Describes the faces of a picture.

    Args:
        call: one of `CALLS`.
    """

    def __init__(self, call: str) -> None:
        os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
        os.environ.setdefault("KERAS_BACKEND", "tensorflow")
        import keras

        model = keras.models.load_model(WEIGHTS, compile=False)
        self._call: Any = model.predict_on_batch
        if call == "predict":
            self._call = lambda chips: model.predict(chips, verbose=0)
        for count in (1, 2):  # a second shape makes the graph one for any number of faces
            self._call(np.zeros((count, SIDE, SIDE, 3), np.float32))

    def describe(self, image: Any, boxes: Sequence[Sequence[float]]) -> Any:
        """Estimate all faces of (H, W, 3) uint8 BGR `image` in one call; None without any."""
        if not boxes:
            return None
        return self._call(np.stack([_crop(image, box) for box in boxes]))


def _crop(image: Any, box: Sequence[float]) -> Any:
    """(SIDE, SIDE, 3) float32 RGB: the box with its margin, cut off at the picture's edge."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box
    dx, dy = MARGIN * (x2 - x1), MARGIN * (y2 - y1)
    left, top = max(0, int(x1 - dx)), max(0, int(y1 - dy))
    right, bottom = min(width, int(x2 + dx)), min(height, int(y2 + dy))
    chip = cv2.resize(image[top : max(bottom, top + 1), left : max(right, left + 1)], (SIDE, SIDE))
    return cv2.cvtColor(chip, cv2.COLOR_BGR2RGB).astype(np.float32)
