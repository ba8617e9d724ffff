import itertools

import numpy as np
import pytest

from tracking.sort import assign


def test_assignment_is_the_best_of_all_permutations_on_small_random_cases() -> None:
    rng = np.random.default_rng(4)
    for rows, columns in itertools.product(range(1, 5), repeat=2):
        overlap = rng.random((rows, columns))
        pairs = assign(overlap, 0.3)
        size = max(rows, columns)
        square = np.zeros((size, size))
        square[:rows, :columns] = np.where(overlap >= 0.3, overlap, 0)
        best = max(
            sum(square[row, column] for row, column in enumerate(order))
            for order in itertools.permutations(range(size))
        )
        assert sum(overlap[pair] for pair in pairs.items()) == pytest.approx(best)
        assert len(set(pairs.values())) == len(pairs)
        assert all(overlap[pair] >= 0.3 for pair in pairs.items())


def test_an_acceptable_pair_is_not_given_up_for_one_below_the_threshold() -> None:
    overlap = np.array([[0.5, 0.29], [0.45, 0.0]])
    assert assign(overlap, 0.3) == {0: 0}
    assert assign(np.array([[0.31, 0.29], [0.29, 0.0]]), 0.3) == {0: 0}


def test_assignment_of_nothing_is_nothing() -> None:
    for shape in ((0, 0), (0, 3), (3, 0)):
        assert assign(np.zeros(shape), 0.3) == {}
