import numpy as np
import pytest

from detectors.boxes import nms
from tracking.boxes import Measure, overlaps


def _by_hand(
    boxes: list[list[float]], scores: np.ndarray, threshold: float, measure: str
) -> list[int]:
    def overlap(a: list[float], b: list[float]) -> float:
        shared = max(0, min(a[2], b[2]) - max(a[0], b[0])) * max(
            0, min(a[3], b[3]) - max(a[1], b[1])
        )
        areas = [(box[2] - box[0]) * (box[3] - box[1]) for box in (a, b)]
        return shared / (min(areas) if measure == "min" else sum(areas) - shared)

    kept: list[int] = []
    for i in sorted(range(len(boxes)), key=lambda i: -scores[i]):
        if all(overlap(boxes[i], boxes[k]) <= threshold for k in kept):
            kept.append(i)
    return kept


@pytest.mark.parametrize("measure", ["union", "min"])
@pytest.mark.parametrize("count", [0, 1, 40, 700])
def test_suppression_equals_the_definition(measure: Measure, count: int) -> None:
    rng = np.random.default_rng(count)
    corners = rng.integers(0, 60, (count, 2))
    boxes = np.concatenate([corners, corners + rng.integers(5, 40, (count, 2))], 1)
    boxes = boxes.astype(np.float32)
    scores = rng.permutation(count).astype(np.float32)
    kept = nms(boxes, scores, 0.53, measure)
    assert kept.tolist() == _by_hand(boxes.tolist(), scores, 0.53, measure)


@pytest.mark.parametrize("measure", ["union", "min"])
@pytest.mark.parametrize("threshold", [0.0, 0.3, 0.5, 0.7, 0.95])
def test_suppression_equals_the_definition_for_boxes_of_all_sizes(
    measure: Measure, threshold: float
) -> None:
    rng = np.random.default_rng(3)
    corners = rng.uniform(-50, 300, (500, 2))
    sides = np.exp(rng.uniform(np.log(2), np.log(300), (500, 1))) * rng.uniform(0.9, 1.1, (500, 2))
    near = rng.normal(0, 0.1, (500, 4)) * np.tile(sides, 2)  # a second one beside each
    once = np.concatenate([corners, corners + sides], 1)
    boxes = np.concatenate([once, once + near, once]).astype(np.float32)
    boxes[::97] = boxes[::97][:, [2, 1, 0, 3]]  # some are inside out
    scores = rng.integers(0, 200, len(boxes)).astype(np.float32)  # many are equal
    order = np.argsort(-scores, kind="stable")
    expected: list[int] = []
    for row in order:
        if not (overlaps(boxes[[row]], boxes[expected], measure) > threshold).any():
            expected.append(int(row))
    assert 10 < len(expected) < 1500
    assert nms(boxes, scores, threshold, measure).tolist() == expected


def test_of_equal_scores_the_earlier_box_stays() -> None:
    boxes = np.array([(0, 0, 10, 10), (1, 0, 11, 10)], np.float32)
    assert nms(boxes, np.ones(2, np.float32), 0.5).tolist() == [0]


def test_a_box_without_area_overlaps_nothing() -> None:
    point, box = np.array([(5, 5, 5, 5)], np.float32), np.array([(0, 0, 9, 9)], np.float32)
    assert overlaps(point, box) == 0
    assert overlaps(point, box, "min") == 0
    assert overlaps(point, point) == 0
