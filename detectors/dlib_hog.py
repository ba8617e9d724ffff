"""dlib's frontal face detector (histograms of oriented gradients) and its five points.

Reference:
    Dalal, Triggs, "Histograms of Oriented Gradients for Human Detection", CVPR 2005;
    King, "Max-Margin Object Detection", 2015; points: Kazemi, Sullivan, "One
    Millisecond Face Alignment with an Ensemble of Regression Trees", CVPR 2014.
"""

import threading
from importlib.util import find_spec
from pathlib import Path

import cv2
import dlib
import numpy as np

from detectors.boxes import check_search, nms
from errors import WeightsError
from structures import Detections, Float32, Image

# As the viewer sees them: outer and inner corner of the eye on the right, then of the eye on
# the left, then the base of the nose.
LANDMARK_TEMPLATE = np.array(
    [(0.75, 0.305), (0.60, 0.313), (0.23, 0.304), (0.38, 0.313), (0.49, 0.585)], np.float32
)
# Of the inner corners and the base of the nose, before the outer corners, which are 90 mm apart
# (Farkas, "Anthropometry of the Head and Face", 1994): 6 and 29 mm. See MTCNN's.
LANDMARK_DEPTHS = np.array([0, 0.034, 0, 0.034, 0.17], np.float32)

_SURROUNDINGS = 0.5  # of a box's side, searched on each of its sides: the detector needs room
_SAME_FACE = 0.4  # overlap from which two boxes are one face, found from two places

_PREDICTOR = "shape_predictor_5_face_landmarks.dat"


class DlibHogDetector:
    """Finds upright frontal faces from about 80 pixels on; deterministic.

    The scores are the margins of dlib's classifier, above 0. The search is on grey images: on
    colour it finds the same faces in 1.4 times the time.

    Args:
        upsample: times the image is doubled before the search: 1 finds faces from 40 pixels
            on and takes four times as long.

    Raises:
        ValueError: a negative `upsample`.
        WeightsError: the landmark model is not installed.
    """

    landmark_template: Float32 = LANDMARK_TEMPLATE
    landmark_depths: Float32 = LANDMARK_DEPTHS
    starting_score: float = 0.0
    confident_score: float = 1.0

    def __init__(self, upsample: int = 0) -> None:
        if upsample < 0:
            raise ValueError(f"upsample must not be negative, got {upsample}")
        self._upsample = upsample
        self._predict = dlib.shape_predictor(str(_predictor_file()))
        self._detector = dlib.get_frontal_face_detector()
        self._lock = threading.Lock()  # dlib keeps the image's features in the detector

    def detect(self, image: Image, coarse: float = 1.0) -> Detections:
        """See `detectors.Detector`."""
        check_search(image, coarse)
        small_wh = [max(1, round(side / coarse)) for side in image.shape[1::-1]]
        if not image.size:
            return Detections.empty()
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        if coarse > 1:
            grey = cv2.resize(grey, small_wh, interpolation=cv2.INTER_AREA)
        boxes, scores, landmarks = self._search(grey)
        zoom = np.divide(image.shape[1::-1], small_wh).astype(np.float32)
        # Landmarks lie on pixel centres, half a pixel from the edges that boxes count from.
        half = np.float32(0.5)
        return Detections(boxes * np.tile(zoom, 2), scores, (landmarks + half) * zoom - half)

    def detect_near(self, image: Image, boxes: Float32) -> Detections:
        """See `detectors.Detector`."""
        check_search(image)
        found = [(np.zeros((0, 4), "f4"), np.zeros(0, "f4"), np.zeros((0, 5, 2), "f4"))]
        for x1, y1, x2, y2 in _surroundings(boxes, (image.shape[1], image.shape[0])):
            grey = cv2.cvtColor(image[y1:y2, x1:x2], cv2.COLOR_BGR2GRAY)
            corner = np.array((x1, y1), np.float32)
            here, scores, landmarks = self._search(grey)
            found.append((here + np.tile(corner, 2), scores, landmarks + corner))
        all_boxes, all_scores, points = (
            np.concatenate(parts) for parts in zip(*found, strict=True)
        )
        once = nms(all_boxes, all_scores, _SAME_FACE)
        return Detections(all_boxes[once], all_scores[once], points[once])

    def _search(self, grey: Image) -> tuple[Float32, Float32, Float32]:
        """Return boxes (N, 4), scores (N,) and points (N, 5, 2) of a grey image, (H, W) uint8."""
        with self._lock:
            found, margins, _ = self._detector.run(grey, self._upsample, 0.0)
        order = np.argsort(-np.array(margins, np.float32), kind="stable")
        shapes = [self._predict(grey, found[i]).parts() for i in order]
        # dlib's rectangles include their last pixel: its far edge is one further.
        boxes = [(r.left(), r.top(), r.right() + 1, r.bottom() + 1) for r in found]
        return (
            np.array(boxes, np.float32).reshape(-1, 4)[order],
            np.array(margins, np.float32)[order],
            np.array([[(p.x, p.y) for p in s] for s in shapes], np.float32).reshape(-1, 5, 2),
        )


def _surroundings(boxes: Float32, image_wh: tuple[int, int]) -> list[list[int]]:
    """Return the areas of the image about `boxes`, xyxy pixels, without empty ones."""
    margins = _SURROUNDINGS * (boxes[:, 2:] - boxes[:, :2])
    areas = np.concatenate([boxes[:, :2] - margins, boxes[:, 2:] + margins], 1)
    areas = np.clip(np.rint(areas), 0, np.tile(image_wh, 2)).astype(int)
    return [area.tolist() for area in areas if (area[2:] > area[:2]).all()]


def _predictor_file() -> Path:
    """Return dlib's five-point model in `face_recognition_models`; WeightsError if missing.

    The package is not imported: that needs setuptools' retired pkg_resources.
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
