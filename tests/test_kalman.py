import numpy as np
import pytest

from tracking.boxes import xyxy_to_cxcysr
from tracking.kalman import FADE, BoxFilter, measurement_noise, process_noise, transition


def centre(box: np.ndarray) -> np.ndarray:
    return (box[:2] + box[2:]) / 2


def textbook_step(x: np.ndarray, p: np.ndarray, z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predict and correct with the equations of Kalman (1960), written out."""
    f, h = np.eye(7), np.zeros((4, 7))
    f[0, 4] = f[1, 5] = f[2, 6] = 1
    h[range(4), range(4)] = 1
    x, p = f @ x, f @ p @ f.T + process_noise(x[2] ** 0.5, x[2], x[3])
    r = measurement_noise(x[2] ** 0.5, x[2], x[3])
    gain = p @ h.T @ np.linalg.inv(h @ p @ h.T + r)
    return x + gain @ (z - h @ x), (np.eye(7) - gain @ h) @ p


def test_the_filter_follows_the_textbook_equations() -> None:
    rng = np.random.default_rng(3)
    box = np.array([100.0, 80, 160, 150])
    motion = BoxFilter(box)
    x, p = motion.state, motion.covariance
    for _ in range(20):
        box = box + rng.normal([4, -2, 5, -1], 2)
        x, p = textbook_step(x, p, xyxy_to_cxcysr(box))
        motion.predict()
        motion.update(box)
        np.testing.assert_allclose(motion.state, x, rtol=1e-9)
        np.testing.assert_allclose(motion.covariance, p, rtol=1e-6, atol=1e-9)


def test_the_matrices_are_those_of_the_paper() -> None:
    f = transition()
    expected = np.eye(7)
    expected[0, 4] = expected[1, 5] = expected[2, 6] = 1
    np.testing.assert_array_equal(f, expected)
    np.testing.assert_array_equal(np.diag(transition(0.5)), [1, 1, 1, 1, 0.5, 0.5, 0.5])


def test_process_noise_is_that_of_a_random_acceleration_within_a_frame() -> None:
    q = process_noise(40.0, 1600.0, 0.8)
    for position, velocity in ((0, 4), (1, 5), (2, 6)):
        g = np.array([0.5, 1.0])
        pair = q[np.ix_([position, velocity], [position, velocity])]
        np.testing.assert_allclose(pair, np.outer(g, g) * q[velocity, velocity])
    assert np.linalg.eigvalsh(q).min() > -1e-9


def test_noise_grows_with_the_box_so_that_a_face_scaled_up_is_followed_alike() -> None:
    small, large = BoxFilter([10, 10, 34, 34]), BoxFilter([250, 250, 850, 850])
    for step in range(1, 15):
        box = np.array([10 + step, 10, 34 + step, 34 + step % 3], float)
        for motion, scale in ((small, 1), (large, 25)):
            motion.predict()
            motion.update(box * scale)
    np.testing.assert_allclose(large.box, 25 * small.box, rtol=1e-5)


def test_a_face_in_steady_motion_is_followed_through_five_missed_frames() -> None:
    motion = BoxFilter([0, 0, 50, 60])
    for step in range(1, 21):
        motion.predict()
        motion.update([4 * step, 2 * step, 50 + 4 * step, 60 + 2 * step])
    for _ in range(5):
        motion.predict()
    np.testing.assert_allclose(centre(motion.box), [25 + 100, 30 + 50], atol=1.5)


def test_uncertainty_grows_with_each_prediction_and_falls_with_a_measurement() -> None:
    motion = BoxFilter([0, 0, 50, 60])
    before = np.diag(motion.covariance)[:4]
    for _ in range(5):
        motion.predict()
        after = np.diag(motion.covariance)[:4]
        assert (after > before).all()
        before = after
    motion.update([0, 0, 50, 60])
    assert (np.diag(motion.covariance)[:4] < before).all()


def test_a_missed_box_slows_down_and_comes_to_rest_within_a_bounded_distance() -> None:
    motion = BoxFilter([0, 0, 50, 60])
    for step in range(1, 21):
        motion.predict()
        motion.update([10 * step, 0, 50 + 10 * step, 60])
    start, velocity = centre(motion.box)[0], motion.state[4]
    for _ in range(200):
        motion.predict(fading=True)
    assert centre(motion.box)[0] - start == pytest.approx(velocity / (1 - FADE), rel=1e-3)


def test_area_and_ratio_stay_positive_however_fast_a_face_shrinks() -> None:
    motion = BoxFilter([0, 0, 400, 400])
    for side in (300, 200, 120, 60, 20):
        motion.predict()
        motion.update([0, 0, side, side])
        assert (motion.state[2:4] > 0).all()
    for _ in range(100):
        motion.predict()
        assert (motion.state[2:4] > 0).all()
        assert np.isfinite(motion.box).all()
