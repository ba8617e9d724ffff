from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import ArrayLike

from structures import Estimates
from tests.evaluations import answers, chips_of, faces
from training.judging.age_limits import limit_ratios
from training.judging.calibration import calibrations, errors_in_spreads, interval_curve
from training.judging.scores import (
    gender_at_18_30,
    groups_of,
    measure,
    six_year_bands,
    spread_over,
)
from training.labels import Face


def estimated(age_years: ArrayLike, spread: float = 4.0) -> Estimates:
    years = np.asarray(age_years, np.float32)
    return Estimates(years, np.full_like(years, spread), np.full_like(years, 0.5), None)


def limits(
    labels: Sequence[tuple[float, float] | None], years: ArrayLike
) -> dict[str, tuple[float, float]]:
    """Name -> (faces with the property, faces that count)."""
    chips = chips_of([Face(f"{i}.png", label) for i, label in enumerate(labels)])
    parts = limit_ratios(chips, estimated(years))
    return {k: (part.top.sum(), part.bottom.sum()) for k, part in parts.items()}


def test_a_face_counts_where_its_label_lies_on_one_side_by_the_age_shown() -> None:
    labels = [(15, 15), (3, 9), (10, 19), (17, 17), (18, 18), None]
    found = limits(labels, [17.6, 18.5, 40, 17.4, 17.4, 50])
    assert found["minors_adult"] == (2, 3)
    assert found["teens_adult"] == (1, 2)
    assert found["adults_minor"] == (1, 1)


def test_a_year_of_age_lasts_until_the_next_one() -> None:
    found = limits([(17.9, 17.9), (18.0, 18.0), (16.4, 16.4), (17.2, 18.4)], [20, 20, 15.8, 20])
    assert found["minors_adult"] == (1, 2) and found["teens_adult"] == (1, 2)
    assert found["adults_minor"] == (0, 1)
    assert found["right_13_16"] == (1, 1)


def test_challenge_25_has_those_it_misses_and_a_price() -> None:
    labels = [(13, 13), (14, 14), (17, 17), (24, 24), (25, 25), (30, 39), (20, 29), (16, 16)]
    found = limits(labels, [40, 24.6, 24.4, 10, 24.4, 24, 24, 26])
    assert found["challenge_missed"] == (2, 3)
    assert found["challenged_25"] == (2, 2)
    assert found["challenged_30"] == (1, 1)
    assert found["right_13_16"] == (0, 3)
    assert limits([(13, 13), (16, 16), (13, 16)], [12.6, 16.6, 16.4])["right_13_16"] == (2, 3)


def test_the_mean_over_bands_weights_years_not_faces() -> None:
    ages = [2] * 90 + [40] * 9 + [86, 95]
    errors = np.array([1.0] * 90 + [4.0] * 9 + [16, 99])
    chips = chips_of([Face(f"{i}.png", (age, age)) for i, age in enumerate(ages)])
    said = estimated(np.array(ages) - errors)
    score = measure(chips, said, groups_of(chips)[:1], resamples=200)["all"]["bands_years"]
    assert score.value == pytest.approx((1 + 4 + 16) / 3)
    assert score.rows == 100  # who is over 89 is in no band
    assert score.low <= score.value <= score.high
    bands = measure(chips, said, six_year_bands(chips), resamples=0)
    assert {name: one["mae_years"].value for name, one in bands.items()} == {
        "0-5": 1, "36-41": 4, "84-89": 16,
    }  # fmt: skip


def test_bands_agree_with_counting_face_by_face() -> None:
    chips = chips_of(faces(300))
    said = answers(chips)
    score = measure(chips, said, groups_of(chips)[:1], resamples=0)["all"]["bands_years"]
    by_band: dict[int, list[float]] = {}
    for low, high, years in zip(chips.age_low, chips.age_high, said.age_years, strict=True):
        if low == high and low < 90:
            by_band.setdefault(int(low // 6), []).append(abs(float(years) - float(low)))
    assert score.value == pytest.approx(np.mean([np.mean(errors) for errors in by_band.values()]))


def test_men_and_women_of_18_to_30_are_groups() -> None:
    some = [Face("a", (18, 18), True), Face("b", (30, 30), False), Face("c", (31, 31), False)]
    some += [Face("d", (20, 29), True), Face("e", (20, 20))]
    groups = gender_at_18_30(chips_of(some))
    assert {group.name: np.flatnonzero(group.rows).tolist() for group in groups} == {
        "male 18-30": [1],
        "female 18-30": [0, 3],
    }


def test_the_spread_over_groups_is_the_worst_over_the_geometric_mean() -> None:
    ages, years = [20, 20, 20, 20], [22, 22, 28, 28]
    some = [Face(f"{i}", (age, age), i > 1) for i, age in enumerate(ages)]
    chips = chips_of(some)
    scores = measure(chips, estimated(years), groups_of(chips), resamples=0)
    assert spread_over(scores, ["male", "female"], "mae_years") == pytest.approx(8 / 4)
    assert spread_over(scores, ["male"], "mae_years") == 1
    assert np.isnan(spread_over(scores, [], "mae_years"))
    assert np.isnan(spread_over(scores, ["male", "White"], "mae_years"))
    # Of shares that are correct the errors are compared, if there are any.
    assert np.isnan(spread_over(scores, ["male", "female"], "gender"))


def test_intervals_of_a_normal_error_are_reliable_and_narrow_ones_are_not() -> None:
    rng = np.random.default_rng(0)
    ages = rng.integers(20, 60, 20_000)
    chips = chips_of([Face(str(i), (age, age)) for i, age in enumerate(ages)])
    years = ages + rng.normal(0, 5, len(ages))
    right, narrow = (calibrations(chips, estimated(years, spread))[0] for spread in (5.0, 2.5))
    assert right.age_error < 0.01
    assert right.within == pytest.approx((0.683, 0.899), abs=0.01)
    assert narrow.age_error > 0.15
    assert narrow.within[0] == pytest.approx(0.383, abs=0.01)


def test_a_range_is_met_by_an_interval_that_touches_it() -> None:
    chips = chips_of([Face("a", (20, 29)), Face("b", (30, 39)), Face("c"), Face("d", (50, 50))])
    off = errors_in_spreads(chips, estimated([25, 26, 30, 58], 4))
    np.testing.assert_allclose(off, [0, 1, np.nan, 2])
    assert [one.rows for one in interval_curve(off)] == [3] * 10
    assert interval_curve(np.array([np.nan])) == []


def test_calibration_is_by_estimated_age() -> None:
    chips = chips_of(faces(300))
    said = answers(chips)
    found = {one.ages: one for one in calibrations(chips, said)}
    assert list(found) == ["all", "0-12", "13-17", "18-24", "25-39", "40-59", "60+"]
    assert sum(one.rows for one in found.values()) == 600
    assert all(0 <= one.gender_error <= 1 for one in found.values())
