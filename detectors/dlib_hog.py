"""dlib's frontal face detector (histograms of oriented gradients) and its five points.

Reference:
    Dalal, Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005;
    King, "Max-Margin Object Detection", 2015; points: Kazemi, Sullivan, "One
    Millisecond Face Alignment with an Ensemble of Regression Trees", CVPR 2014.
"""

from importlib.util import find_spec
from pathlib import Path

import cv2
import dlib
import numpy as np

from errors import WeightsError
from structures import Detections, Float32, Image

# As the viewer sees them: outer and inner corner of the eye on the right, then of the eye on
# the left, then the base of the nose.
LANDMARK_TEMPLATE = np.array(
    [(0.75, 0.305), (0.60, 0.313), (0.23, 0.304), (0.38, 0.313), (0.49, 0.585)], np.float32
)

_PREDICTOR = "shape_predictor_5_face_landmarks.dat"


class DlibHogDetector:
    """Finds upright frontal faces from about 80 pixels on; deterministic, not thread-safe.

    The scores are the margins of dlib's classifier, above 0. Works on grey pictures: on
    colour it finds the same faces in 1.4 times the time.

    Args:
        upsample: times the picture is doubled before the search: 1 finds faces from 40 pixels
            on and takes four times as long.

    Raises:
        ValueError: a negative `upsample`.
        WeightsError: the file of the points is not installed.
    """

    landmark_template: Float32 = LANDMARK_TEMPLATE
    confident_score: float = 1.0

    def __init__(self, upsample: int = 0) -> None:
        if upsample < 0:
            raise ValueError(f"upsample must not be negative, got {upsample}")
        self._upsample = upsample
        self._predict = dlib.shape_predictor(str(_predictor_file()))
        self._detector = dlib.get_frontal_face_detector()

    def detect(self, image: Image) -> Detections:
        """Find the faces of `image`, (H, W, 3) uint8 BGR; see `detectors.Detector`.

        Raises:
            ValueError: not such an image.
        """
        if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8:
            raise ValueError(f"image: want (H, W, 3) uint8, got {image.shape} {image.dtype}")
        if not image.size:
            return Detections.empty()
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        found, margins, _ = self._detector.run(grey, self._upsample, 0.0)
        order = np.argsort(-np.array(margins, np.float32), kind="stable")
        shapes = [self._predict(grey, found[i]).parts() for i in order]
        # dlib's rectangles include their last pixel: its far edge is one further.
        boxes = [(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in found]
        return Detections(
            np.array(boxes, np.float32).reshape(-1, 4)[order],
            np.array(margins, np.float32)[order],
            np.array([[(p.x, p.y) for p in s] for s in shapes], np.float32).reshape(-1, 5, 2),
        )


def _predictor_file() -> Path:
    """Return dlib's model of five points in the package `face_recognition_models`.

    The package is not imported: that needs setuptools' retired pkg_resources.

    Raises:
        WeightsError: the package or the file is missing.
    """
    spec = find_spec("face_recognition_models")
    if spec is not None and spec.origin is not None:
        path = Path(spec.origin).parent / "models" / _PREDICTOR
        if path.is_file():
            return path
    raise WeightsError(
        f"dlib's landmarks: {_PREDICTOR} of the package face_recognition_models is not "
        "installed; run `pip install -r requirements-live.txt`"
    )
