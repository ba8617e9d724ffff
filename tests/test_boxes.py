from collections.abc import Sequence

import numpy as np
import pytest

from tracking.boxes import cxcysr_to_xyxy, grow, iou_matrix, xyxy_to_cxcysr


def pixel_iou(a: Sequence[int], b: Sequence[int]) -> float:
    """Count the pixels that boxes of whole numbers cover together and apart."""
    canvas = np.zeros((2, 64, 64), bool)
    for layer, (x1, y1, x2, y2) in zip(canvas, (a, b), strict=True):
        layer[y1:y2, x1:x2] = True
    either = np.logical_or(*canvas).sum()
    return np.logical_and(*canvas).sum() / either if either else 0.0


def test_iou_is_the_share_of_pixels_covered_by_both() -> None:
    corners = np.sort(np.random.default_rng(1).integers(0, 64, (2, 30, 2, 2)), axis=2)
    first, second = corners.reshape(2, 30, 4)
    counted = [[pixel_iou(a, b) for b in second] for a in first]
    np.testing.assert_allclose(iou_matrix(first, second), counted, atol=1e-12)


def test_iou_of_a_box_with_itself_is_one_and_of_touching_boxes_is_zero() -> None:
    boxes = np.array([[0, 0, 10, 10], [10, 0, 20, 10]], np.float32)
    np.testing.assert_array_equal(iou_matrix(boxes, boxes), np.eye(2))


@pytest.mark.parametrize("n, m", [(0, 0), (0, 3), (3, 0)])
def test_iou_with_nothing_is_an_empty_matrix(n: int, m: int) -> None:
    assert iou_matrix(np.zeros((n, 4)), np.zeros((m, 4))).shape == (n, m)


def test_a_box_without_area_overlaps_nothing_not_even_itself() -> None:
    boxes = np.array([[5, 5, 5, 9], [5, 5, 5, 5], [9, 9, 2, 2]], np.float32)
    around = np.array([[0, 0, 20, 20]], np.float32)
    assert not iou_matrix(boxes, np.concatenate([boxes, around])).any()


def test_conversion_to_centre_area_and_ratio_and_back_gives_the_same_box() -> None:
    rng = np.random.default_rng(2)
    low = rng.uniform(-100, 1000, (50, 2))
    boxes = np.concatenate([low, low + rng.uniform(1, 600, (50, 2))], axis=1)
    np.testing.assert_allclose(cxcysr_to_xyxy(xyxy_to_cxcysr(boxes)), boxes)
    np.testing.assert_array_equal(xyxy_to_cxcysr(boxes)[7], xyxy_to_cxcysr(boxes[7]))


def test_centre_area_and_ratio_are_what_they_say() -> None:
    np.testing.assert_array_equal(xyxy_to_cxcysr([10, 20, 50, 40]), [30, 30, 800, 2])
    assert xyxy_to_cxcysr(np.zeros((0, 4))).shape == (0, 4)
    assert np.isfinite(xyxy_to_cxcysr([3, 3, 3, 3])).all()


def test_growing_pushes_each_side_out_by_the_fraction_and_leaves_the_input_alone() -> None:
    box = np.array([10.0, 20.0, 50.0, 40.0])
    np.testing.assert_array_equal(grow(box, 0.5), [-10, 10, 70, 50])
    np.testing.assert_array_equal(box, [10, 20, 50, 40])
