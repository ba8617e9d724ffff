"""Where heads point: mean faces that were turned by known angles, and pictures."""

import cv2
import numpy as np
import pytest

from detectors import dlib_hog, mtcnn_cascade
from estimators.pose import EYE_DISTANCE, LEAST_EYES_PX, head_poses, mean_face
from program.cameras import SAMPLE
from sources.open import open_source
from structures import Float32, HeadPose
from tracking.poses import GAP_S, SMOOTHED_S, PoseSmoother

FACES = {
    "mtcnn": (mtcnn_cascade.LANDMARK_TEMPLATE, mtcnn_cascade.LANDMARK_DEPTHS, [1, 0, 2, 4, 3]),
    "dlib": (dlib_hog.LANDMARK_TEMPLATE, dlib_hog.LANDMARK_DEPTHS, [2, 3, 0, 1, 4]),
}
"""Template, depths, and the rows of the points in a mirror."""


def turned(
    detector: str, yaw: float, pitch: float, roll: float = 0.0, eyes_px: float = 60.0
) -> Float32:
    """The landmarks, (1, 5, 2), of the mean face that points there, by OpenCV's projection.

    The camera is so far away that perspective does not matter.
    """
    face = mean_face(*FACES[detector][:2])
    up, right, clock = np.eye(3)[0], np.eye(3)[1], np.eye(3)[2]
    parts = (clock * roll, right * -yaw, up * -pitch)
    rolls, yaws, pitches = (cv2.Rodrigues(np.radians(each))[0] for each in parts)
    away = 1e5
    camera = np.diag([eyes_px / EYE_DISTANCE * away, eyes_px / EYE_DISTANCE * away, 1.0])
    camera[:2, 2] = 320, 240
    axis = cv2.Rodrigues(rolls @ yaws @ pitches)[0]
    seen, _ = cv2.projectPoints(face, axis, np.array([0, 0, away]), camera, None)
    return seen.reshape(1, 5, 2).astype(np.float32)


def pose_of(detector: str, points: Float32) -> HeadPose:
    (pose,) = head_poses(points, *FACES[detector][:2])
    assert pose is not None
    return pose


@pytest.mark.parametrize(("detector", "lowest"), [("mtcnn", -50), ("dlib", -10)])
def test_a_face_turned_by_known_angles_has_these(detector: str, lowest: int) -> None:
    """From 30 degrees down on, dlib's points of the mean face have two readings."""
    for yaw in range(-70, 71, 10):
        for pitch in range(lowest, 51, 10):
            pose = pose_of(detector, turned(detector, yaw, pitch))
            assert (pose.yaw_deg, pose.pitch_deg) == pytest.approx((yaw, pitch), abs=0.5)


@pytest.mark.parametrize("detector", FACES)
def test_a_tilted_head_still_points_at_the_camera(detector: str) -> None:
    for roll in (-170, -60, -20, 20, 60, 170):
        pose = pose_of(detector, turned(detector, 0, 0, roll))
        assert (pose.yaw_deg, pose.pitch_deg) == pytest.approx((0, 0), abs=0.5)


@pytest.mark.parametrize(("row", "detector"), [(2, "mtcnn"), (4, "dlib")])
def test_the_nose_moves_to_where_the_head_points(row: int, detector: str) -> None:
    """As the viewer sees it: yaw to the right, pitch upwards, where y is smaller."""
    points = turned(detector, 0, 0)
    right, up = points.copy(), points.copy()
    right[0, row, 0] += 10
    up[0, row, 1] -= 10
    assert pose_of(detector, right).yaw_deg > 10
    assert pose_of(detector, up).pitch_deg > 10


@pytest.mark.parametrize("detector", FACES)
def test_a_mirrored_face_has_the_mirrored_yaw(detector: str) -> None:
    mirror = FACES[detector][2]
    rng = np.random.default_rng(5)
    for yaw in (-45, -20, 5, 30):
        points = turned(detector, yaw, 10) + rng.normal(0, 1, (1, 5, 2)).astype(np.float32)
        there, here = points[:, mirror] * (-1, 1), points
        one, other = pose_of(detector, here), pose_of(detector, there.astype(np.float32))
        assert other.yaw_deg == pytest.approx(-one.yaw_deg, abs=2.5)
        assert other.pitch_deg == pytest.approx(one.pitch_deg, abs=2.5)


@pytest.mark.parametrize(("detector", "worst_deg"), [("mtcnn", 5.0), ("dlib", 8.0)])
def test_landmarks_with_noise_give_the_stated_error(detector: str, worst_deg: float) -> None:
    """Of 4 % of the distance of the eyes, as in docs/events.md."""
    rng, errors = np.random.default_rng(1), []
    for yaw in np.tile((-30, -15, 0, 15, 30), 60):
        points = turned(detector, yaw, 0) + rng.normal(0, 0.04 * 60, (1, 5, 2))
        errors.append(abs(pose_of(detector, points.astype(np.float32)).yaw_deg - yaw))
    assert 1.0 < np.mean(errors) < worst_deg


def test_of_a_face_too_small_or_without_landmarks_nothing_is_told() -> None:
    small, large = (turned("mtcnn", 40, 0, eyes_px=LEAST_EYES_PX + d) for d in (-0.2, 0.2))
    points = np.concatenate([small, large, large * np.nan, large * 0])
    found = head_poses(points, *FACES["mtcnn"][:2])
    assert [pose is not None for pose in found] == [False, True, False, False]
    assert head_poses(points[:0], *FACES["mtcnn"][:2]) == []


def test_people_who_face_the_camera_do_so_in_the_mirror_too() -> None:
    detector = mtcnn_cascade.MtcnnDetector(40)
    source = open_source(str(SAMPLE))
    source.seek(5.0)
    image = next(source).image
    source.close()
    yaws = []
    for each in (image, np.ascontiguousarray(image[:, ::-1])):
        found = detector.detect(each)
        poses = head_poses(found.landmarks, detector.landmark_template, detector.landmark_depths)
        order = np.argsort(found.boxes[:, 0])
        yaws.append([pose.yaw_deg for i in order if (pose := poses[i]) is not None])
    assert len(yaws[0]) >= 1
    np.testing.assert_allclose(yaws[1][::-1], np.negative(yaws[0]), atol=6)
    assert np.abs(yaws[0]).max() < 30


@pytest.mark.parametrize("fps", [5, 25, 60])
def test_a_turned_head_is_followed_as_fast_at_any_frame_rate(fps: int) -> None:
    smoother = PoseSmoother()
    smoother.update({1: HeadPose(0, 0)}, 0.0)
    for i in range(1, fps + 1):
        shown = smoother.update({1: HeadPose(40, -10)}, i / fps)[1]
        rest = np.exp(-i / fps / SMOOTHED_S)
        assert shown.yaw_deg == pytest.approx(40 * (1 - rest))
        assert shown.pitch_deg == pytest.approx(-10 * (1 - rest))


def test_a_track_without_a_pose_for_a_while_starts_again() -> None:
    smoother = PoseSmoother()
    smoother.update({1: HeadPose(50, 0), 2: HeadPose(10, 0)}, 0.0)
    assert smoother.update({2: HeadPose(20, 0)}, GAP_S / 2)[2].yaw_deg < 20
    assert smoother.update({1: HeadPose(-50, 0)}, GAP_S + 0.1) == {1: HeadPose(-50, 0)}
    assert smoother.update({1: HeadPose(9, 9)}, 0.5) == {1: HeadPose(9, 9)}, "a film seeks back"
