"""Who is here and who was, and what of it may be told where persons may not."""

import time

import numpy as np
import pytest

from people.census import BANDS, GENDERS, TABLE_ROWS, Census, Timeline
from structures import Gender
from tests.web_parts import person, result
from web.state import concealed, grouped

NOON = time.mktime((2026, 3, 10, 12, 0, 0, 0, 0, -1))


def test_people_in_view_and_people_seen_are_counted_apart() -> None:
    census = Census()
    census.note(result(0, {1: person(), 2: None}), NOON)
    census.note(result(1, {2: None, 3: None}), NOON + 1)
    summary = census.summary(NOON + 1)
    assert summary.now == {"": 2}
    assert (summary.today, summary.seen) == (3, 3)


def test_numbers_of_several_cameras_do_not_get_mixed_up() -> None:
    census = Census()
    census.note(result(0, {1: person()}, camera="door"), NOON)
    census.note(result(0, {1: person(), 2: person()}, camera="yard"), NOON)
    summary = census.summary(NOON)
    assert summary.now == {"door": 1, "yard": 2}
    assert summary.seen == 3
    assert {(p.camera, p.track_id) for p in summary.people} == {
        ("door", 1), ("yard", 1), ("yard", 2),
    }  # fmt: skip


def test_a_person_counts_once_and_with_the_newest_values() -> None:
    census = Census()
    census.note(result(0, {1: person(29.9, Gender.UNSURE)}), NOON)
    census.note(result(1, {1: person(30.0, Gender.MALE)}), NOON + 0.1)
    groups = census.summary(NOON + 0.1).groups
    assert groups.sum() == 1
    assert groups[GENDERS.index(Gender.MALE), BANDS.index("30-39")] == 1


@pytest.mark.parametrize(
    ("age", "band"), [(-1.0, "0-9"), (9.99, "0-9"), (10.0, "10-19"), (79.9, "70-79"), (100, "80+")]
)
def test_ages_fall_into_their_bands(age: float, band: str) -> None:
    census = Census()
    census.note(result(0, {1: person(age)}), NOON)
    assert census.summary(NOON).groups[0, BANDS.index(band)] == 1


def test_people_without_an_estimate_are_counted_but_belong_to_no_group() -> None:
    census = Census()
    census.note(result(0, {1: None, 2: person(float("nan"))}), NOON)
    summary = census.summary(NOON)
    assert (summary.today, summary.groups.sum()) == (2, 0)


def test_who_left_goes_into_the_counts_that_never_fall() -> None:
    census = Census()
    census.note(result(0, {1: person(25.0)}), NOON)
    assert census.summary(NOON).left.sum() == 0
    census.note(result(1), NOON + 1)
    assert census.summary(NOON + 1).left.sum() == 0, "a short gap is not leaving"
    census.note(result(2), NOON + 5)
    summary = census.summary(NOON + 5)
    assert summary.left[0, BANDS.index("20-29")] == 1
    assert summary.groups.sum() == 1


def test_a_new_epoch_lets_everybody_of_that_camera_go_at_once() -> None:
    census = Census()
    census.note(result(0, {1: person()}, camera="a"), NOON)
    census.note(result(0, {1: person()}, camera="b"), NOON)
    census.note(result(1, {2: person()}, camera="a", epoch=1), NOON + 0.1)
    summary = census.summary(NOON + 0.1)
    assert summary.left.sum() == 1
    assert summary.seen == 3


def test_the_table_is_bounded_and_the_newest_come_first() -> None:
    census = Census()
    for number in range(1, 200):
        census.note(result(number, {number: person()}, epoch=number), NOON + number)
    summary = census.summary(NOON + 200)
    assert [p.track_id for p in summary.people] == list(range(199, 199 - TABLE_ROWS, -1))
    assert summary.seen == 199


def test_a_person_is_last_seen_when_the_detector_last_found_them() -> None:
    census = Census()
    census.note(result(0, {1: person()}), NOON)
    census.note(result(1, {1: person()}, missed={1}), NOON + 3)
    assert census.summary(NOON + 3).people[0].last_s == NOON


def test_who_is_in_view_of_a_camera_without_pictures_is_unknown() -> None:
    census = Census()
    census.note(result(0, {1: person()}), NOON)
    census.pause("")
    summary = census.summary(NOON)
    assert summary.now == {}
    assert not summary.people[0].here


def test_at_midnight_the_day_begins_anew_with_those_who_are_here() -> None:
    census = Census()
    census.note(result(0, {1: person(), 2: person()}), NOON)
    census.note(result(1, {2: person()}), NOON + 60)
    tomorrow = NOON + 24 * 3600
    census.note(result(2, {2: person()}), tomorrow)
    summary = census.summary(tomorrow)
    assert (summary.today, summary.seen, summary.groups.sum()) == (1, 2, 1)
    assert summary.left.sum() == 1, "what Prometheus counts does not begin anew"


def test_a_summary_does_not_change_behind_the_readers_back() -> None:
    census = Census()
    census.note(result(0, {1: person(20.0)}), NOON)
    before = census.summary(NOON)
    census.note(result(1, {1: person(60.0), 2: person()}), NOON + 1)
    assert before.people[0].smoothed.age_years == 20.0
    assert before.now == {"": 1}


def test_a_timeline_keeps_the_largest_number_of_each_step() -> None:
    timeline = Timeline(5.0, 4)
    for now_s, number in ((100, 1), (104, 3), (102, 2), (106, 0), (118, 7)):
        timeline.note(now_s, number)
    assert timeline.series(119) == (3, 0, None, 7)
    assert timeline.series(125) == (None, 7, None, None)


def test_groups_of_fewer_than_five_are_not_told_and_others_in_fives() -> None:
    assert [concealed(n) for n in (0, 1, 4)] == [None] * 3
    assert [concealed(n) for n in (5, 9, 10, 23)] == [5, 5, 10, 20]


def test_what_was_not_asked_for_is_summed_over() -> None:
    counts = np.arange(27).reshape(3, 9)
    assert grouped(counts, ("age",))["", "0-9"] == 0 + 9 + 18
    assert grouped(counts, ("gender",))["male", ""] == sum(range(9, 18))
    assert len(grouped(counts, ("age", "gender"))) == 27
    assert sum(grouped(counts, ("ethnicity",)).values()) == counts.sum()
