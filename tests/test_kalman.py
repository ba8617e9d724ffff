import copy

import numpy as np
import pytest
from filterpy.kalman import KalmanFilter
from numpy.typing import ArrayLike

from tracking.boxes import Float64, xyxy_to_cxcysr
from tracking.kalman import FADING, BoxFilters, unit_model

STEP_S = 0.04


def filters(*boxes: ArrayLike) -> BoxFilters:
    batch = BoxFilters()
    batch.add(np.array(boxes, np.float32))
    return batch


def step(batch: BoxFilters, *boxes: ArrayLike, dt_s: float = STEP_S, missed: bool = False) -> None:
    """Predict, and correct every box where some are given."""
    batch.predict(dt_s, np.full(len(batch), missed))
    if boxes:
        batch.update(np.arange(len(batch)), np.array(boxes, np.float32))


def centre(batch: BoxFilters) -> Float64:
    (box,) = batch.boxes().astype(np.float64)
    return (box[:2] + box[2:]) / 2


def scaled(dt_s: float, state: Float64, fading: float = 0.0) -> KalmanFilter:
    """filterpy's filter for one box: the unit model in that box's side, area and ratio."""
    model = copy.deepcopy(unit_model(dt_s, fading))
    side, area, ratio = state[2] ** 0.5, state[2], state[3]
    scales = np.array([side, side, area, ratio, side, side, area])
    model.Q *= np.outer(scales, scales)
    model.R *= np.outer(scales[:4], scales[:4])
    return model


def test_a_batch_does_what_filterpy_does_for_one_box_after_the_other() -> None:
    rng = np.random.default_rng(3)
    corners = rng.uniform(0, 800, (6, 2))
    boxes = np.concatenate([corners, corners + rng.uniform(20, 300, (6, 2))], 1).astype("f4")
    batch = filters(*boxes)
    singles = [(batch.x[i].copy(), batch.covariance[i].copy()) for i in range(6)]
    for number in range(30):
        dt_s = float(rng.choice([1 / 60, 0.04, 0.2]))
        missed, hit = rng.random(6) < 0.4, np.flatnonzero(rng.random(6) < 0.7)
        boxes += np.repeat(rng.normal(0, 2, (6, 2)), 2, axis=0).reshape(6, 4).astype("f4")
        batch.predict(dt_s, missed)
        batch.update(hit, boxes[hit])
        for i, (x, p) in enumerate(singles):
            single = scaled(dt_s, x, FADING if missed[i] else 0.0)
            single.x, single.P = x, p
            single.predict()
            if i in hit:
                noise = scaled(dt_s, single.x).R
                single.update(xyxy_to_cxcysr(boxes[i]), R=noise)
            singles[i] = single.x, single.P
            np.testing.assert_allclose(batch.x[i], single.x, rtol=1e-7, err_msg=f"{number}, {i}")
            np.testing.assert_allclose(batch.covariance[i], single.P, rtol=1e-6, atol=1e-7)


def test_the_matrices_are_those_of_the_paper_in_seconds() -> None:
    model = unit_model(0.5)
    expected = np.eye(7)
    expected[0, 4] = expected[1, 5] = expected[2, 6] = 0.5
    np.testing.assert_array_equal(model.F, expected)
    np.testing.assert_array_equal(model.H, np.eye(4, 7))
    assert np.linalg.eigvalsh(model.Q).min() > -1e-9


@pytest.mark.parametrize("fading", [0.0, FADING])
def test_two_steps_move_as_one_of_their_length_does(fading: float) -> None:
    once, one, other = (unit_model(dt_s, fading) for dt_s in (0.1, 0.04, 0.06))
    np.testing.assert_allclose(other.F @ one.F, once.F)
    if not fading:
        np.testing.assert_allclose(other.F @ one.Q @ other.F.T + other.Q, once.Q)


def test_noise_grows_with_the_box_so_that_a_face_scaled_up_is_followed_alike() -> None:
    batch = filters([10, 10, 34, 34], [250, 250, 850, 850])
    for number in range(1, 15):
        box = np.array([10 + number, 10, 34 + number, 34 + number % 3], float)
        step(batch, box, 25 * box)
    small, large = batch.boxes()
    np.testing.assert_allclose(large, 25 * small, rtol=1e-5)


@pytest.mark.parametrize("fps", [5, 25, 60])
def test_a_face_in_steady_motion_is_followed_through_missed_frames(fps: int) -> None:
    batch = filters([0, 0, 50, 60])
    for number in range(1, 4 * fps + 1):
        x, y = 100 * number / fps, 50 * number / fps  # pixels
        step(batch, [x, y, 50 + x, 60 + y], dt_s=1 / fps)
    for _ in range(fps // 5):
        step(batch, dt_s=1 / fps)
    np.testing.assert_allclose(centre(batch), [25 + 420, 30 + 210], atol=1.5)


def test_uncertainty_grows_with_each_prediction_and_falls_with_a_measurement() -> None:
    batch = filters([0, 0, 50, 60])
    before = np.diag(batch.covariance[0])[:4].copy()
    for _ in range(5):
        step(batch)
        after = np.diag(batch.covariance[0])[:4]
        assert (after > before).all()
        before = after.copy()
    batch.update(np.array([0]), np.array([[0, 0, 50, 60]], np.float32))
    assert (np.diag(batch.covariance[0])[:4] < before).all()


@pytest.mark.parametrize("fps", [5, 25, 60])
def test_a_missed_box_slows_down_and_comes_to_rest_within_a_bounded_distance(fps: int) -> None:
    batch = filters([0, 0, 50, 60])
    for number in range(1, 21):
        step(batch, [10 * number, 0, 50 + 10 * number, 60])
    start, velocity = centre(batch)[0], batch.x[0, 4]
    for _ in range(20 * fps):
        step(batch, missed=True, dt_s=1 / fps)
    assert centre(batch)[0] - start == pytest.approx(velocity / FADING, rel=1e-3)


def test_area_and_ratio_stay_positive_however_fast_a_face_shrinks() -> None:
    batch = filters([0, 0, 400, 400])
    for side in (300, 200, 120, 60, 20):
        step(batch, [0, 0, side, side])
        assert (batch.x[:, 2:4] > 0).all()
    for _ in range(100):
        step(batch)
        assert (batch.x[:, 2:4] > 0).all()
        assert np.isfinite(batch.boxes()).all()


def test_where_boxes_will_be_is_told_without_moving_them() -> None:
    batch = filters([0, 0, 50, 60], [200, 90, 300, 180])
    for number in range(1, 6):
        step(batch, [9 * number, 0, 50 + 9 * number, 60], [200, 90, 300, 180])
    missed = np.array([True, False])
    before, ahead = batch.boxes(), batch.boxes_after(0.2, missed)
    np.testing.assert_array_equal(batch.boxes(), before)
    batch.predict(0.2, missed)
    np.testing.assert_allclose(batch.boxes(), ahead, rtol=1e-6)
    batch.keep(~missed)
    np.testing.assert_array_equal(batch.boxes(), ahead[1:])


def test_a_batch_of_none_stays_one() -> None:
    batch = BoxFilters()
    step(batch)
    assert batch.boxes().shape == batch.boxes_after(1.0, np.zeros(0, bool)).shape == (0, 4)


def test_boxes_that_move_with_the_picture_are_those_of_the_moved_picture() -> None:
    turn = 0.9 * np.array([[np.cos(0.3), -np.sin(0.3)], [np.sin(0.3), np.cos(0.3)]])
    matrix = np.column_stack([turn, [30.0, -7.0]])
    still, moved = filters([100, 50, 160, 110]), filters([100, 50, 160, 110])
    for batch in (still, moved):
        batch.x[0, 4:6] = 50, 20
    moved.move(matrix)
    for batch in (still, moved):
        batch.predict(0.2, np.array([False]))
    np.testing.assert_allclose(centre(moved), turn @ centre(still) + matrix[:, 2], atol=0.01)
    np.testing.assert_allclose(moved.x[0, 2], 0.81 * still.x[0, 2])
    assert np.linalg.eigvalsh(moved.covariance[0]).min() > 0
