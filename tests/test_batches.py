import itertools
from typing import Any

import numpy as np
import pytest

from errors import DatasetError
from tests import chip_sets
from training.fitting.batches import BatchPlan, Loader
from training.fitting.held_out import fold_rows, hold_out


def plan(**changes: Any) -> BatchPlan:
    values = {"rows": np.arange(2, 40), "chances": None, "batch": 6, "size": 24, "strength": 1.0}
    return BatchPlan(**(values | {"seed": 5} | changes))


def all_batches(
    workers: int, epoch: int = 0, start: int = 0, **changes: Any
) -> list[tuple[Any, Any]]:
    with Loader(chip_sets.images(40), plan(**changes), workers) as loader:
        return list(loader.batches(epoch, start))


def test_batches_are_the_same_with_any_number_of_processes() -> None:
    alone, helped = all_batches(0), all_batches(2)
    assert len(alone) == len(helped) == 38 // 6
    for one, other in zip(alone, helped, strict=True):
        np.testing.assert_array_equal(one[0], other[0])
        np.testing.assert_array_equal(one[1], other[1])
    assert alone[0][0].shape == (6, 24, 24, 3)
    assert alone[0][0].dtype == np.uint8


def test_batches_from_the_middle_are_those_of_the_whole_epoch() -> None:
    for one, other in zip(all_batches(0)[4:], all_batches(0, start=4), strict=True):
        np.testing.assert_array_equal(one[0], other[0])


def test_each_epoch_shows_every_row_once_in_an_order_of_its_own() -> None:
    orders = [plan(batch=19).order(epoch).ravel() for epoch in (0, 1)]
    for order in orders:
        assert sorted(order) == list(range(2, 40))
    assert (orders[0] != orders[1]).any()
    assert (plan(seed=6).order(0) != plan().order(0)).any()


def test_a_short_epoch_shows_other_rows_each_time() -> None:
    short = plan(most_steps=2)
    orders = [short.order(epoch) for epoch in range(30)]
    assert short.steps == 2 and all(order.shape == (2, 6) for order in orders)
    assert all(len(set(order.ravel())) == 12 for order in orders)
    assert set(np.concatenate(orders).ravel()) == set(range(2, 40))
    assert plan(most_steps=99).steps == plan().steps


def test_rows_are_drawn_by_their_chances() -> None:
    chances = np.r_[np.full(19, 0.9 / 19), np.full(19, 0.1 / 19)]
    drawn = np.concatenate([plan(chances=chances).order(epoch).ravel() for epoch in range(50)])
    assert (drawn < 21).mean() == pytest.approx(0.9, abs=0.03)
    assert drawn.min() >= 2


def test_an_epoch_that_is_left_early_leaves_no_work_behind() -> None:
    with Loader(chip_sets.images(40), plan(), 0) as loader:
        first = list(itertools.islice(loader.batches(0), 1))
        again = list(loader.batches(0))
    np.testing.assert_array_equal(first[0][0], again[0][0])


GROUPS = np.array([f"g{i // 3}" for i in range(60)] + ["big"] * 12)


def test_no_group_is_in_two_folds_and_every_row_is_in_one() -> None:
    parts = fold_rows(GROUPS, 4, seed=1)
    assert sorted(np.concatenate([held for _, held in parts])) == list(range(72))
    for learnt, held in parts:
        assert sorted([*learnt, *held]) == list(range(72))
        assert not set(GROUPS[learnt]) & set(GROUPS[held])
        assert 15 <= len(held) <= 21


def test_no_group_is_on_both_sides_of_what_is_held_out() -> None:
    learnt, held = hold_out(GROUPS, 0.2, seed=1)
    assert not set(GROUPS[learnt]) & set(GROUPS[held])
    assert 15 <= len(held) <= 26
    assert sorted([*learnt, *held]) == list(range(72))
    assert (hold_out(GROUPS, 0.2, seed=2)[1] != held).any()


def test_too_few_groups_are_refused() -> None:
    with pytest.raises(DatasetError, match="too few"):
        hold_out(np.array(["a"] * 9), 0.1, 0)
    with pytest.raises(DatasetError, match="3 groups of faces do not make 4 folds"):
        fold_rows(np.array(["a", "b", "c"]), 4, 0)
