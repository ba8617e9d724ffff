import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from detectors.boxes import squares
from detectors.mtcnn_cascade import MtcnnDetector, crop, run_on_crops
from detectors.mtcnn_nets import GEOMETRY, Net, NetName
from structures import Image
from tracking.boxes import overlaps

ROOT = Path(__file__).resolve().parent.parent
PORTRAITS = ROOT / "samples" / "portraits"


def read_image(path: Path) -> Image:
    image = cv2.imread(str(path))
    assert image is not None
    return np.asarray(image, np.uint8)


@pytest.fixture(scope="module")
def detector() -> MtcnnDetector:
    return MtcnnDetector(40)


@pytest.fixture(scope="module")
def portrait() -> Image:
    """One face, about 130 wide and 180 high, at (200, 45) of 480 x 440 pixels."""
    return cv2.resize(read_image(PORTRAITS / "barack_obama_2012.jpg"), (480, 600))[:440]


@pytest.mark.parametrize(
    "size", [(0, 0), (1, 1), (11, 11), (1, 500), (500, 1), (13, 900), (90, 90)]
)
def test_a_grey_picture_of_any_size_has_no_faces(
    detector: MtcnnDetector, size: tuple[int, int]
) -> None:
    found = detector.detect(np.full((*size, 3), 128, np.uint8))
    assert found.boxes.shape == (0, 4)
    assert found.scores.shape == (0,)
    assert found.landmarks.shape == (0, 5, 2)


def test_a_picture_of_4k_works(detector: MtcnnDetector, portrait: Image) -> None:
    huge = np.full((2160, 3840, 3), 90, np.uint8)
    huge[1000:1440, 3000:3480] = portrait
    (face,) = detector.detect(huge).boxes
    assert overlaps(face[None] - [3000, 1000, 3000, 1000], detector.detect(portrait).boxes) > 0.8


@pytest.mark.parametrize("name", ["barack_obama_2012.jpg", "eileen_collins.png", "joe_biden.jpg"])
def test_one_face_is_found_with_its_landmarks_in_place(detector: MtcnnDetector, name: str) -> None:
    image = read_image(PORTRAITS / name)
    image = cv2.resize(image, (400, round(400 * image.shape[0] / image.shape[1])))
    found = detector.detect(image)
    (box,), (points,) = found.boxes, found.landmarks
    left_eye, right_eye, nose, left_mouth, right_mouth = points
    assert (points > box[:2]).all() and (points < box[2:]).all()
    assert left_eye[0] < nose[0] < right_eye[0]
    assert left_mouth[0] < nose[0] < right_mouth[0]
    assert max(left_eye[1], right_eye[1]) < nose[1] < min(left_mouth[1], right_mouth[1])


def test_the_landmarks_fit_the_template(detector: MtcnnDetector, portrait: Image) -> None:
    (points,) = detector.detect(portrait).landmarks
    matrix, _ = cv2.estimateAffinePartial2D(points, detector.landmark_template, method=cv2.LMEDS)
    in_chip = points @ matrix[:, :2].T + matrix[:, 2]
    assert np.abs(in_chip - detector.landmark_template).max() < 0.08


def test_the_picture_stays_untouched_and_the_same_picture_gives_the_same(
    detector: MtcnnDetector, portrait: Image
) -> None:
    before = portrait.copy()
    first = detector.detect(portrait)
    detector.detect(portrait[:300])
    again = detector.detect(portrait)
    np.testing.assert_array_equal(portrait, before)
    for field in ("boxes", "scores", "landmarks"):
        np.testing.assert_array_equal(getattr(first, field), getattr(again, field))


def test_a_read_only_picture_and_a_slice_of_a_larger_one_work(
    detector: MtcnnDetector, portrait: Image
) -> None:
    wide = np.concatenate([portrait, portrait], axis=1)
    wide.flags.writeable = False
    half = detector.detect(wide[:, :480])
    np.testing.assert_array_equal(half.boxes, detector.detect(portrait).boxes)


def test_the_best_face_comes_first(detector: MtcnnDetector, portrait: Image) -> None:
    small = cv2.GaussianBlur(cv2.resize(portrait, None, fx=0.3, fy=0.3), (5, 5), 0)
    both = np.zeros((440, 700, 3), np.uint8)
    both[: small.shape[0], : small.shape[1]] = small
    both[:, 220:] = portrait
    found = detector.detect(both)
    assert len(found) == 2
    assert found.scores[0] >= found.scores[1]


def test_a_face_that_moves_moves_its_box_and_landmarks(
    detector: MtcnnDetector, portrait: Image
) -> None:
    here = detector.detect(cv2.copyMakeBorder(portrait, 16, 16, 16, 16, cv2.BORDER_REPLICATE))
    there = detector.detect(cv2.copyMakeBorder(portrait, 16, 16, 32, 0, cv2.BORDER_REPLICATE))
    side = here.boxes[0, 2] - here.boxes[0, 0]
    np.testing.assert_allclose(there.boxes - here.boxes, [[16, 0, 16, 0]], atol=0.06 * side)
    np.testing.assert_allclose(there.landmarks - here.landmarks, [[[16, 0]] * 5], atol=0.05 * side)


def test_the_landmarks_of_the_mirrored_picture_are_the_mirrored_landmarks(
    detector: MtcnnDetector, portrait: Image
) -> None:
    mirrored = detector.detect(np.ascontiguousarray(portrait[:, ::-1])).landmarks[0]
    expected = detector.detect(portrait).landmarks[0][[1, 0, 2, 4, 3]]
    expected[:, 0] = portrait.shape[1] - 1 - expected[:, 0]
    eyes = expected[1, 0] - expected[0, 0]
    np.testing.assert_allclose(mirrored, expected, atol=0.08 * eyes)


@pytest.mark.parametrize("shift", [(0, 0), (0.2, 0), (-0.2, 0), (0, 0.2), (0, -0.2)])
def test_near_the_old_place_a_search_finds_what_the_whole_picture_gives(
    detector: MtcnnDetector, portrait: Image, shift: tuple[float, float]
) -> None:
    whole = detector.detect(portrait)
    side = whole.boxes[0, 2] - whole.boxes[0, 0]
    near = detector.detect_near(
        portrait, whole.boxes + side * np.tile(np.array(shift, np.float32), 2)
    )
    assert overlaps(whole.boxes, near.boxes).shape == (1, 1)
    assert overlaps(whole.boxes, near.boxes)[0, 0] > 0.8
    eyes = float(np.linalg.norm(whole.landmarks[0, 1] - whole.landmarks[0, 0]))
    np.testing.assert_allclose(near.landmarks, whole.landmarks, atol=0.1 * eyes)


def test_near_no_face_nothing_is_found(detector: MtcnnDetector, portrait: Image) -> None:
    far = np.array([(0, 300, 80, 380), (-500, -500, -400, -400)], np.float32)
    assert len(detector.detect_near(portrait, far)) == 0
    assert len(detector.detect_near(portrait, np.zeros((0, 4), np.float32))) == 0


def test_a_coarse_search_passes_over_small_faces_only(
    detector: MtcnnDetector, portrait: Image
) -> None:
    small = cv2.resize(portrait, None, fx=0.4, fy=0.4, interpolation=cv2.INTER_AREA)
    assert len(detector.detect(small)) == 1
    assert len(detector.detect(small, coarse=3)) == 0
    whole, coarse = detector.detect(portrait), detector.detect(portrait, coarse=3)
    assert overlaps(whole.boxes, coarse.boxes)[0, 0] > 0.8


def test_a_coarseness_below_one_is_refused(detector: MtcnnDetector, portrait: Image) -> None:
    with pytest.raises(ValueError, match=r"got 0\.5"):
        detector.detect(portrait, coarse=0.5)


def test_a_face_at_the_edge_of_the_picture_is_found_and_its_box_may_leave_it(
    detector: MtcnnDetector, portrait: Image
) -> None:
    box = detector.detect(portrait).boxes[0]
    left = int(box[0] + 0.08 * (box[2] - box[0]))
    (cut,) = detector.detect(np.ascontiguousarray(portrait[:, left:])).boxes
    assert overlaps(cut[None] + [left, 0, left, 0], box[None]) > 0.6


@pytest.mark.parametrize(
    "arguments",
    [
        {"min_face": 11},
        {"scale_factor": 1.0},
        {"scale_factor": 0.0},
        {"thresholds": (0.6, 0.7)},
        {"thresholds": (0.6, 0.7, 1.0)},
        {"threads": -1},
    ],
)
def test_arguments_out_of_range_are_refused(arguments: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="got"):
        MtcnnDetector(**{"min_face": 40} | arguments)


@pytest.mark.parametrize("image", [np.zeros((9, 9), np.uint8), np.zeros((9, 9, 3), np.float32)])
def test_what_is_no_bgr_picture_is_refused(detector: MtcnnDetector, image: Image) -> None:
    with pytest.raises(ValueError, match=r"got \(9, 9"):
        detector.detect(image)


def test_tensorflow_is_not_imported() -> None:
    script = "import sys; from detectors import make_detector; make_detector('mtcnn')"
    script += "; sys.exit('tensorflow' in sys.modules or 'mtcnn' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", script], cwd=ROOT).returncode == 0


@pytest.mark.data
def test_the_faces_of_group_photographs_are_found(detector: MtcnnDetector, data_dir: Path) -> None:
    hits = faces = 0
    rows = np.genfromtxt(
        data_dir / "boxes" / "dlib_faces" / "boxes.csv", delimiter=",", dtype=None, encoding="utf8"
    )[1:]
    for name in np.unique(rows[:, 0]):
        tlwh = rows[rows[:, 0] == name, 1:5].astype(np.float32)
        truth = np.concatenate([tlwh[:, :2], tlwh[:, :2] + tlwh[:, 2:]], 1)
        image = read_image(data_dir / "boxes" / "dlib_faces" / name)
        found = detector.detect(image).boxes
        hits += int((overlaps(truth, found).max(1) >= 0.5).sum())
        faces += len(truth)
    assert faces == 43
    assert hits >= 41


def test_a_crop_samples_the_pixels_under_its_box_and_is_grey_outside() -> None:
    image = np.zeros((20, 20, 3), np.uint8)
    image[:] = (10 * np.arange(20))[None, :, None]  # 10 times the pixel's x
    inside, outside = crop(
        image, np.array([(2.5, 4, 8.5, 10), (-30, -30, -10, -10)], np.float32), 7
    )
    np.testing.assert_array_equal(inside[..., 0], np.tile(np.arange(20, 90, 10), (7, 1)))
    assert (outside == 128).all()


@pytest.mark.parametrize("name", ["rnet", "onet"])
def test_a_batch_equals_its_crops_one_by_one(portrait: Image, name: NetName) -> None:
    net, side = Net(name), GEOMETRY[name].side
    rng = np.random.default_rng(0)
    corners = rng.uniform(-30, 300, (133, 2)).astype(np.float32)  # more than one chunk
    boxes = np.concatenate([corners, corners + rng.uniform(20, 200, (133, 1))], 1, dtype=np.float32)
    together = run_on_crops(net, portrait, boxes, side)
    one_by_one = [run_on_crops(net, portrait, box[None], side)[0] for box in boxes]
    np.testing.assert_allclose(together, one_by_one, rtol=1e-4, atol=1e-4)


def test_squares_keep_the_centre_and_the_longer_side() -> None:
    boxes = np.array([(0, 0, 10, 20), (5, 5, 9, 6)], np.float32)
    np.testing.assert_array_equal(squares(boxes), [(-5, 0, 15, 20), (5, 3.5, 9, 7.5)])


def test_threads_that_share_a_detector_find_the_faces_of_their_own_images(
    detector: MtcnnDetector, portrait: Image
) -> None:
    images = [portrait, np.ascontiguousarray(portrait[:, ::-1])]
    alone = [detector.detect(image).boxes for image in images]

    def is_own(k: int) -> bool:
        return np.array_equal(detector.detect(images[k]).boxes, alone[k])

    with ThreadPoolExecutor(2) as pool:
        assert all(pool.map(is_own, [0, 1] * 15))


@pytest.mark.slow
def test_no_face_of_a_large_crowd_is_lost() -> None:
    portrait = read_image(PORTRAITS / "eileen_collins.png")
    (found,) = MtcnnDetector(40).detect(portrait).boxes
    x, y = (found[:2] + found[2:]) / 2
    side = 0.95 * (found[2:] - found[:2]).max()
    x1, y1, x2, y2 = (int(v) for v in (x - side, y - side, x + side, y + side))
    tile = cv2.resize(portrait[max(y1, 0) : y2, max(x1, 0) : x2], (60, 60))
    crowd = np.tile(np.hstack([tile, tile[:, ::-1]]), (30, 15, 1))
    faces = MtcnnDetector(20).detect(crowd)
    centres = (faces.boxes[:, :2] + faces.boxes[:, 2:]) / 2
    cells = np.unique((centres // 60).astype(int), axis=0)
    assert len(cells) == 900  # the best 1024 boxes alone are too few
