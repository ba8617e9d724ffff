"""Counts corrected by a network's errors."""

import math

import numpy as np
import pytest
from numpy.typing import NDArray

from estimators.weights import Confusion
from people.bands import RECORD_BANDS
from people.correction import GROUPS, Corrected, Correction, corrected, group_of, told_counts
from people.visits import Key
from structures import Gender

PERFECT = tuple(tuple(1_000_000 * (i == j) for j in range(10)) for i in range(10))


def confusing(female_right: float, male_right: float, faces: int = 100_000) -> Confusion:
    """A confusion of gender alone: ages are always right."""
    rows = np.zeros((10, 10), np.int64)
    for group, (gender, _) in enumerate(GROUPS):
        right = female_right if gender is Gender.FEMALE else male_right
        rows[group, group] = round(faces * right)
        rows[group, (group + 5) % 10] = round(faces * (1 - right))
    return tuple(map(tuple, rows.tolist()))


def told(**people: int) -> list[int]:
    """Counts of people told to be 20-39 years old, by gender."""
    counts = [0] * 10
    for gender, number in people.items():
        counts[GROUPS.index((Gender(gender), "20-39"))] = number
    return counts


def test_a_network_without_errors_needs_no_correction() -> None:
    people = [7, 0, 120, 31, 5, 0, 2, 90, 44, 1]
    counts = corrected(people, PERFECT)
    for group, number in zip(GROUPS, people, strict=True):
        assert counts[group] == Corrected(number, number, number)
    assert counts["female", ""].people == 163
    assert counts["", "20-39"].people == 210


def test_the_correction_inverts_the_confusion() -> None:
    # 300 of 400 are women; of them 80 % are told so, and 10 % of the men.
    counts = corrected(told(female=250, male=150), confusing(0.8, 0.9))
    women = counts["female", ""]
    assert abs(women.people - 300) <= 3
    assert women.low < 300 < women.high
    # The variance of a count inverted: sum of the told ones' over the determinant squared.
    spread = math.sqrt(300 * 0.8 * 0.2 + 100 * 0.9 * 0.1) / 0.7
    assert (women.high - women.low) / 2 == pytest.approx(1.96 * spread, rel=0.15)


def test_a_confusion_that_few_faces_made_leaves_more_open() -> None:
    widths = []
    for faces in (100_000, 100):
        one = corrected(told(female=2500, male=1500), confusing(0.8, 0.9, faces))["female", ""]
        widths.append(one.high - one.low)
    assert widths[1] > 2 * widths[0]


def test_the_groups_add_up_and_stay_between_none_and_all() -> None:
    counts = corrected(told(female=3, male=40), confusing(0.8, 0.9))
    assert counts["female", ""].people + counts["male", ""].people == 43
    assert all(0 <= c.low <= c.people <= c.high <= 43 for c in counts.values())
    assert counts["female", ""].people < 3, "four of 40 men would be told to be women"


def test_nobody_is_corrected_to_nobody() -> None:
    assert set(corrected([0] * 10, PERFECT).values()) == {Corrected(0, 0, 0)}


def test_the_interval_holds_the_truth_in_about_95_of_100_mixes() -> None:
    rng = np.random.default_rng(5)
    real = _blurred()
    held, naive, errors = 0, [], []
    for _ in range(25):
        seen = np.stack([rng.multinomial(1500, row) for row in real])  # rows it never learnt from
        true = rng.multinomial(400, rng.dirichlet(np.ones(10)))
        people = rng.multinomial(true, real).sum(axis=0)
        women = corrected(people.tolist(), tuple(map(tuple, seen.tolist())))["female", ""]
        truth = true[:5].sum()
        held += women.low <= truth <= women.high
        errors.append(women.people - truth)
        naive.append(people[:5].sum() - truth)
    assert held >= 21, "24 of 25 are expected; fewer than 21 in one of 150 cases"
    assert np.std(errors) < 0.6 * np.std(naive)


def _blurred() -> NDArray[np.float64]:
    """A confusion of gender and of neighbouring ages, (10, 10) float, rows add up to 1."""
    ages = 0.75 * np.eye(5) + 0.125 * (np.eye(5, k=1) + np.eye(5, k=-1))
    whole = np.kron([[0.8, 0.2], [0.1, 0.9]], ages / ages.sum(axis=1, keepdims=True))
    return np.asarray(whole / whole.sum(axis=1, keepdims=True))


def test_the_unsure_count_for_the_gender_they_lean_to_and_the_unknown_not_at_all() -> None:
    people = {
        Key("door", Gender.FEMALE, "20-29", True): 3,
        Key("yard", Gender.UNSURE, "30-39", True): 2,
        Key("yard", Gender.UNSURE, "80+", False): 1,
        Key("yard", Gender.UNSURE, "unknown", False): 9,
    }
    counts = dict(zip(GROUPS, told_counts(people), strict=True))
    assert {key: n for key, n in counts.items() if n} == {
        ("female", "20-39"): 5,
        ("male", "60+"): 1,
    }


def test_groups_are_two_genders_by_the_bands_of_records() -> None:
    assert [b for _, b in GROUPS] == 2 * list(RECORD_BANDS.names)
    assert GROUPS[group_of(False, 60.0)] == (Gender.MALE, "60+")


def test_numbers_are_corrected_anew_after_ten_seconds_or_when_records_are_due() -> None:
    now_s = 0.0
    correction = Correction(PERFECT, clock=lambda: now_s)

    def women(number: int) -> int:
        counts = correction.of("today", told(female=number))
        assert counts is not None
        return counts["female", ""].people

    assert [women(1), women(2)] == [1, 1]
    now_s = 10.0
    assert [women(3), women(4)] == [3, 3]
    correction.refresh()
    assert women(5) == 5


@pytest.mark.parametrize(
    ("attributes", "wanted"),
    [
        (("gender",), {("female", ""), ("male", "")}),
        (("age",), {("", band) for band in RECORD_BANDS.names}),
    ],
)
def test_only_what_was_asked_for_is_corrected(
    attributes: tuple[str, ...], wanted: set[tuple[str, str]]
) -> None:
    counts = Correction(PERFECT, attributes).of("today", told(female=4))
    assert counts is not None
    assert set(counts) == wanted


def test_nothing_is_corrected_where_the_errors_are_not_known_or_no_group_was_asked_for() -> None:
    assert Correction(None).of("today", told(female=4)) is None
    assert Correction(PERFECT, ("ethnicity",)).of("today", told(female=4)) is None


def test_a_corrected_count_reads_like_a_measurement() -> None:
    assert str(Corrected(312, 291, 330)) == "312 ± 21"
