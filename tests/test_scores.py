import dataclasses
from typing import Any

import numpy as np
import pytest

from structures import Estimates
from tests.evaluations import answers, chips_of, faces
from training.judging.accuracy import Ratio
from training.judging.scores import FEW, Score, groups_of, measure, ratio_scores
from training.labels import Face


def share_scores(right: Any, people: Any, resamples: int = 2000) -> Score:
    parts = {"share": Ratio(np.asarray(right, float), np.ones(len(right)))}
    rows = np.ones(len(right), bool)
    return ratio_scores(parts, np.asarray(people).astype(str), rows, resamples)["share"]


def test_the_interval_of_a_share_is_about_that_of_the_binomial() -> None:
    right = np.arange(400) % 5 > 0
    score = share_scores(right, np.arange(400))
    half = 1.96 * np.sqrt(0.8 * 0.2 / 400)
    assert score.value == 0.8
    assert (score.low, score.high) == pytest.approx((0.8 - half, 0.8 + half), abs=0.006)


def test_photographs_of_one_person_count_as_one() -> None:
    right = np.arange(100) % 5 > 0
    single = share_scores(right, np.arange(100))
    tenfold = share_scores(np.repeat(right, 10), np.repeat(np.arange(100), 10))
    assert (tenfold.rows, tenfold.people) == (1000, 100)
    width = single.high - single.low
    assert tenfold.high - tenfold.low == pytest.approx(width, rel=0.1)
    assert share_scores(np.repeat(right, 10), np.arange(1000)).high < tenfold.high


def test_all_right_is_no_proof_of_perfection() -> None:
    score = share_scores(np.ones(30), np.arange(30))
    assert (score.value, score.high) == (1, 1)
    assert score.low**30 == pytest.approx(0.025)
    assert share_scores(np.zeros(30), np.arange(30)).high == pytest.approx(1 - score.low)


def test_one_person_has_no_interval_and_few_are_unsure() -> None:
    assert np.isnan(share_scores([1, 0, 1], ["a", "a", "a"]).low)
    assert share_scores(np.ones(FEW - 1), np.arange(FEW - 1)).unsure
    assert not share_scores(np.ones(FEW), np.arange(FEW)).unsure


def test_each_group_has_the_figures_of_its_own_faces() -> None:
    some = faces(150)
    chips = chips_of(some)
    told = answers(chips)
    groups = groups_of(chips)
    scores = measure(chips, told, groups, (7,), resamples=20)
    assert list(scores)[:4] == ["all", "male", "female", "White"]
    for group in groups:
        rows = np.flatnonzero(group.rows)
        own, said = (
            chips.take(rows),
            Estimates(*(getattr(told, n)[rows] for n in Estimates.__slots__)),
        )
        alone = measure(own, said, [dataclasses.replace(groups[0], rows=np.ones(len(rows), bool))],
                        (7,), resamples=0)["all"]  # fmt: skip
        found = scores[group.name]
        assert {name: found[name].value for name in found} == pytest.approx(
            {name: alone[name].value for name in alone}
        )
        for score in found.values():
            assert np.isnan(score.low) or score.low <= score.high


def test_a_range_counts_to_the_band_of_its_middle() -> None:
    chips = chips_of([Face("a", (18, 24)), Face("b", (70, 100)), Face("c", (9.5, 9.5)), Face("d")])
    bands = {group.name: group.rows.tolist() for group in groups_of(chips) if group.kind == "age"}
    assert bands == {
        "0-9": [False, False, True, False],
        "20-29": [True, False, False, False],
        "70+": [False, True, False, False],
    }


def test_what_is_not_labelled_or_not_told_has_no_figure() -> None:
    chips = chips_of([Face(f"{i}", None, bool(i % 2)) for i in range(30)])
    scores = measure(chips, answers(chips, ethnicity=False), groups_of(chips), (7,), 50)
    assert set(scores["all"]) == {"gender", "gender_auc", "gender_too_sure"}
    assert set(scores["male"]) == {"gender", "gender_too_sure"}
    assert set(scores) == {"all", "male", "female"}


def test_the_same_seed_gives_the_same_intervals() -> None:
    chips = chips_of(faces())
    told = answers(chips)
    one, two, other = (measure(chips, told, groups_of(chips), (), 50, seed)["all"]
                       for seed in (1, 1, 2))  # fmt: skip
    assert one == two
    assert one["mae_years"].low != other["mae_years"].low
