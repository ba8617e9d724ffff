import numpy as np
import pytest

from benchmarks.attention import FACES, angles, looked_s, project, projected, shrunk
from estimators.pose import head_poses, mean_face
from tests.fakes import grey
from tests.test_pose import turned


def test_heads_are_projected_as_opencv_projects_them() -> None:
    poses = np.array([(30.0, -10.0, 20.0), (-50.0, 15.0, 0.0)])
    rng = np.random.default_rng(0)
    ours = project(poses, mean_face(*FACES["mtcnn"]), 0.0, rng)
    for one, pose in zip(ours, poses, strict=True):
        yaw, pitch, roll = pose.tolist()
        theirs = turned("mtcnn", yaw, pitch, roll, eyes_px=100)[0]
        np.testing.assert_allclose(one - one.mean(0), theirs - theirs.mean(0), atol=0.2)


def test_without_noise_there_is_no_error_and_it_grows_with_the_noise() -> None:
    yaw, pitch = projected("mtcnn", 0.0, 20)
    assert max(yaw.max(), pitch.max()) < 0.5
    assert projected("mtcnn", 0.02, 20)[0].mean() < projected("mtcnn", 0.06, 20)[0].mean()


@pytest.mark.parametrize("fps", [5, 25])
def test_heads_that_turn_look_as_long_as_the_script_says(fps: int) -> None:
    truth_s, mean_s, spread_s = looked_s(fps, 0.02, heads=3)
    assert mean_s == pytest.approx(truth_s, abs=0.4)
    assert spread_s < 0.3


def test_a_shrunk_picture_has_a_margin_and_noise() -> None:
    small = shrunk(grey(128, (100, 80)), 0.5, np.random.default_rng(0))
    assert small.shape == (40 + 40, 50 + 40, 3)
    assert 1 < small[20:-20, 20:-20].std() < 12


def test_unknown_poses_are_not_numbers() -> None:
    (pose,) = head_poses(turned("mtcnn", 10, 0), *FACES["mtcnn"])
    found = angles([pose, None])
    assert found[0] == pytest.approx((10, 0), abs=0.5)
    assert np.isnan(found[1]).all()
    assert angles([]).shape == (0, 2)
