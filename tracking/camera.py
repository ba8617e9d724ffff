"""How the camera moved between two frames: a shift, turn and zoom of the whole image.

Corners of the thumbnail, outside the faces, are followed into the next one (Shi, Tomasi,
"Good Features to Track", CVPR 1994; Lucas, Kanade, "An Iterative Image Registration Technique",
IJCAI 1981, on pyramids after Bouguet, 2001), and RANSAC finds the similarity that most of them
agree on (Fischler, Bolles, "Random Sample Consensus", CACM 1981). Where they do not agree the
camera is taken to stand still: a wrong guess moves every face.
"""

import cv2
import numpy as np

from structures import Float32, Frame, Image
from tracking.boxes import Float64, grow
from tracking.thumbnail import Grey, thumbnail_of

_CORNERS, _FEWEST = 50, 12
_AGREE = 0.65  # the least share of the corners that move as one
_NEAR_PX = 0.8  # of the thumbnail: how exactly
_NOISE, _LEAST_CHANGE = 12, 0.1  # grey levels, share of the points: else nothing moved
_LEAST_PX = 0.4  # likewise: less is no motion worth following
_MOST_ZOOM = 0.2


class CameraMotion:
    """Compares each frame of one source with the one before."""

    def __init__(self) -> None:
        """Start before the first frame."""
        self._before: Grey | None = None

    def reset(self) -> None:
        """Forget the last frame, as at a cut."""
        self._before = None

    def update(self, frame: Frame, faces: Float32) -> Float64 | None:
        """Take in a frame; return how its picture moved.

        None where it did not, where nobody knows, and where there are no faces to be moved.

        Args:
            frame: of this source, the next one.
            faces: (N, 4) xyxy pixels, where faces were in the frame before; they move on their own.

        Returns:
            (2, 3) float64: pixels of the frame before -> pixels of this one.
        """
        before, self._before = self._before, thumbnail_of(frame)
        if not len(faces) or before is None or before.shape != self._before.shape:
            return None
        if float((cv2.absdiff(before, self._before) > _NOISE).mean()) < _LEAST_CHANGE:
            return None
        scale = before.shape[1] / frame.size_wh[0]
        points = _corners(before, faces * scale)
        if points is None or len(points) < _FEWEST:
            return None
        moved, found = _followed(before, self._before, points)
        kept = found[:, 0] == 1
        points, moved = points[kept, 0], moved[kept, 0]
        if len(points) < _FEWEST or np.median(np.abs(moved - points).max(axis=1)) < _LEAST_PX:
            return None
        matrix, agree = cv2.estimateAffinePartial2D(
            points, moved, method=cv2.RANSAC, ransacReprojThreshold=_NEAR_PX, maxIters=200
        )
        if matrix is None or agree.mean() < _AGREE or not _is_plausible(matrix):
            return None
        matrix[:, 2] /= scale
        return matrix


def _followed(before: Grey, after: Grey, points: Float32) -> tuple[Float32, Image]:
    """Return where (K, 1, 2) points went, and (K, 1) uint8: 1 where they were found."""
    stop = (cv2.TERM_CRITERIA_EPS | cv2.TERM_CRITERIA_COUNT, 10, 0.05)
    moved, found, _ = cv2.calcOpticalFlowPyrLK(
        before, after, points, np.empty_like(points), winSize=(11, 11), maxLevel=3, criteria=stop
    )
    return moved, found


def _corners(grey: Grey, faces: Float32) -> Float32 | None:
    """Return corners outside of `faces` and what hangs below them, (K, 1, 2) xy; None = none."""
    mask = np.full(grey.shape, 255, np.uint8)
    for x1, y1, x2, _ in np.clip(grow(faces, 0.8), 0, max(grey.shape)).astype(int).tolist():
        mask[y1:, x1:x2] = 0
    return cv2.goodFeaturesToTrack(grey, _CORNERS, 0.01, 8, mask=mask)


def _is_plausible(matrix: Float64) -> bool:
    zoom = float(np.hypot(matrix[0, 0], matrix[1, 0]))
    return abs(zoom - 1) < _MOST_ZOOM
