"""MTCNN: three small nets, each filtering what the one before lets through.

Reference:
    Zhang, Zhang, Li, Qiao, "Joint Face Detection and Alignment using Multitask
    Cascaded Convolutional Networks", 2016, arXiv 1604.02878, section II.
    Differs: P-Net's suppression within a level keeps the windows that beat their eight
    neighbours (only these overlap by more than half), on all levels at once. Near known
    faces, shifted copies of their boxes replace P-Net's.
"""

import cv2
import numpy as np

from detectors.boxes import check_search, moved, nms, squares
from detectors.mtcnn_nets import GEOMETRY, Net
from detectors.pyramid import CELL, GREY, Pyramid
from engines.choose import ON_CPU, Way
from engines.openvino_engine import has_bfloat16
from structures import Detections, Float32, Image

# Left eye, right eye, nose, left and right mouth corner, as the viewer sees them.
LANDMARK_TEMPLATE = np.array(
    [(0.317, 0.303), (0.671, 0.304), (0.492, 0.512), (0.334, 0.674), (0.652, 0.673)], np.float32
)
# Of the tip of the nose and the corners of the mouth, before the middle of the eyes: what best
# explains how the points of real faces move that turn by up to 60 degrees (the depths of Tomasi,
# Kanade, "Shape and motion from image streams under orthography", IJCV 9, 1992, given the turns).
# With pupils 63 mm apart the tip is 39 mm before them.
LANDMARK_DEPTHS = np.array([0, 0, 0.22, 0.03, 0.03], np.float32)

THRESHOLDS = 0.7, 0.7, 0.7  # of P-, R- and O-Net
_NEIGHBOURS = np.ones((3, 3), np.uint8)
_NMS_THRESHOLD = 0.7
# R-Net sees P-Net's boxes in parts, best first, and goes on while it takes so many of a part for
# faces. So foliage and crowds of up to 100 faces cost one part; a crowd of 1,600, with ten boxes
# a face, is searched to its end.
_PART = 1024
_CROWD = 16
_CHUNK = 128  # faces per run of a net: bounds the memory
_PLANS = 8  # pyramids kept: one for each image size and coarseness
# From frame to frame a face moves by less; with these five starts 99 % of the faces of a
# crowd are found near their last place, with one start 91 %.
_STARTS = np.array([(0, 0), (-0.25, 0), (0.25, 0), (0, -0.25), (0, 0.25)], np.float32)


class MtcnnDetector:
    """Finds faces and five landmarks; deterministic; see `detectors.Detector`.

    The scores are O-Net's probabilities. At the usual threshold, 0.7, backs of heads pass as
    faces; from `starting_score` on a tenth of those remains, and 95 % of the faces, while the
    others are found again where they were a moment ago.

    Boxes may leave the image, and go from pixel edge to pixel edge; a landmark at (0, 0)
    lies on the centre of the first pixel, as in OpenCV.

    Args:
        min_face: smallest face side to look for, pixels, at least 12; the time goes with
            1 / min_face squared.
        scale_factor: ratio of neighbouring pyramid levels, between 0 and 1.
        thresholds: the least probabilities for P-, R- and O-Net, between 0 and 1. The usual
            0.6 for P-Net lets a third more through to R-Net, and no more faces out of it.
        threads: on the CPU, 0 = one per core.
        way: the engine and the device, see `mtcnn_nets.net_ways`.
        exact: P-Net computes in float32 even on CPUs that have bfloat16. With bfloat16 it takes
            0.6 of the time, and boxes stay as exact, as R- and O-Net have the last word.

    Raises:
        ValueError: an argument out of its range.
        EngineError: the engine is not installed, or cannot use the GPU.
        WeightsError: the weights are not installed.
    """

    landmark_template: Float32 = LANDMARK_TEMPLATE
    landmark_depths: Float32 = LANDMARK_DEPTHS
    starting_score: float = 0.9
    confident_score: float = 0.99

    def __init__(
        self,
        min_face: int,
        scale_factor: float = 0.709,
        thresholds: tuple[float, float, float] = THRESHOLDS,
        threads: int = 0,
        way: Way = ON_CPU,
        exact: bool = False,
    ) -> None:
        if min_face < CELL:
            raise ValueError(f"min_face must be at least {CELL}, got {min_face}")
        if not 0 < scale_factor < 1:
            raise ValueError(f"scale_factor must lie between 0 and 1, got {scale_factor}")
        if len(thresholds) != 3 or not all(0 < t < 1 for t in thresholds):
            raise ValueError(f"thresholds must be three between 0 and 1, got {thresholds}")
        if threads < 0:
            raise ValueError(f"threads must not be negative, got {threads}")
        self._min_face = min_face
        self._scale_factor = scale_factor
        odds = np.array(thresholds)
        self._logits = np.log(odds / (1 - odds)).tolist()
        quick = not exact and way.engine == "openvino" and has_bfloat16()
        self._pnet = Net("pnet", threads, way, bfloat16=quick)
        self._rnet, self._onet = Net("rnet", threads, way), Net("onet", threads, way)
        self._pyramids: dict[tuple[int, int, float], Pyramid] = {}

    def detect(self, image: Image, coarse: float = 1.0) -> Detections:
        """See `detectors.Detector`."""
        check_search(image, coarse)
        boxes = self._refine(image, self._propose(image, coarse), every=False)
        return self._output(image, boxes)

    def detect_near(self, image: Image, boxes: Float32) -> Detections:
        """See `detectors.Detector`."""
        check_search(image)
        return self._output(image, self._refine(image, starts(boxes), every=True))

    def _propose(self, image: Image, coarse: float) -> Float32:
        """P-Net: return (N, 4) boxes that may hold a face."""
        pyramid = self._pyramid_for(image, coarse)
        if not pyramid.levels:
            return np.zeros((0, 4), np.float32)
        maps = self._pnet(pyramid.pack(image))[0]
        logits = np.where(pyramid.outside, -np.inf, maps[0])
        peaks = (logits > self._logits[0]) & (logits >= cv2.dilate(logits, _NEIGHBOURS))
        rows, columns = np.nonzero(peaks)
        boxes = moved(pyramid.boxes(rows, columns), maps[1:5, rows, columns].T)
        best = nms(boxes, logits[rows, columns], _NMS_THRESHOLD)
        return boxes[best]

    def _refine(self, image: Image, boxes: Float32, every: bool) -> Float32:
        """R-Net: return those of `boxes`, best first, that look like a face, refined.

        `every`: look at all of them, in whichever order they are.
        """
        parts = [(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))]
        for start in range(0, len(boxes), _PART):
            part = squares(boxes[start : start + _PART])
            outputs = run_on_crops(self._rnet, image, part, GEOMETRY["rnet"].side)
            passed = outputs[:, 0] > self._logits[1]
            parts.append((moved(part[passed], outputs[passed, 1:5]), outputs[passed, 0]))
            if not every and passed.sum() < _CROWD:
                break
        refined, logits = (np.concatenate(each) for each in zip(*parts, strict=True))
        return refined[nms(refined, logits, _NMS_THRESHOLD)]

    def _output(self, image: Image, boxes: Float32) -> Detections:
        """O-Net: return the faces among `boxes` with their landmarks, best first."""
        boxes = squares(boxes)
        outputs = run_on_crops(self._onet, image, boxes, GEOMETRY["onet"].side)
        passed = outputs[:, 0] > self._logits[2]
        boxes, outputs = boxes[passed], outputs[passed]
        faces = moved(boxes, outputs[:, 1:5])
        best = nms(faces, outputs[:, 0], _NMS_THRESHOLD, "min")
        points = outputs[:, 5:15].reshape(-1, 2, 5).transpose(0, 2, 1)  # was x1..x5, y1..y5
        sides = (boxes[:, 2:] - boxes[:, :2])[:, None]
        landmarks = boxes[:, None, :2] + points * sides - 0.5  # from edges to pixel centres
        scores = 1 / (1 + np.exp(-outputs[:, 0]))
        return Detections(faces[best], scores[best], landmarks[best])

    def _pyramid_for(self, image: Image, coarse: float) -> Pyramid:
        """Return the plan for the image's size; a stream needs few."""
        key = image.shape[1], image.shape[0], coarse
        plan = self._pyramids.get(key)
        if plan is None:
            if len(self._pyramids) >= _PLANS:
                self._pyramids.clear()
            plan = Pyramid(key[:2], self._min_face * coarse, self._scale_factor)
            self._pyramids[key] = plan
        return plan


def starts(boxes: Float32) -> Float32:
    """Return (5 N, 4) squares on and next to (N, 4) boxes, where a search begins."""
    about = squares(boxes)
    shifts = _STARTS[:, None] * (about[:, 2:] - about[:, :2])
    return (about + np.tile(shifts, 2)).reshape(-1, 4)


def crop(image: Image, boxes: Float32, side: int) -> Image:
    """Return the contents of (N, 4) xyxy boxes as (N, side, side, 3) uint8, N >= 1.

    Grey outside the image. The outermost pixels' centres lie on the box's edges: with such
    crops the published weights do best.
    """
    steps = np.linspace(0, 1, side, dtype=np.float32)
    # Pixel k covers k..k+1: its centre, which remap calls k, lies at k + 0.5.
    x = boxes[:, 0:1] + (boxes[:, 2:3] - boxes[:, 0:1]) * steps - 0.5
    y = boxes[:, 1:2] + (boxes[:, 3:4] - boxes[:, 1:2]) * steps - 0.5
    shape = (len(boxes), side, side)
    map_x = np.broadcast_to(x[:, None, :], shape).reshape(-1, side)
    map_y = np.broadcast_to(y[:, :, None], shape).reshape(-1, side)
    grey = (GREY, GREY, GREY)
    crops = cv2.remap(image, map_x, map_y, cv2.INTER_LINEAR, None, cv2.BORDER_CONSTANT, grey)
    return crops.reshape(*shape, 3)


def run_on_crops(net: Net, image: Image, boxes: Float32, side: int) -> Float32:
    """Return the net's (N, channels) outputs for the boxes; (0, 15) for N = 0."""
    if not len(boxes):
        return np.zeros((0, 15), np.float32)
    chunks = range(0, len(boxes), _CHUNK)
    outputs = [net(crop(image, boxes[i : i + _CHUNK], side))[:, :, 0, 0].copy() for i in chunks]
    return np.concatenate(outputs)
