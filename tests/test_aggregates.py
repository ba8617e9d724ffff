from datetime import date

import numpy as np
import pytest

from people.crowd import AGE_BANDS, Aggregates, Group, age_band
from people.visits import Visits
from structures import Gender
from tests.results import passers_by, person, result, track, with_state


class Hands:
    """A clock and a calendar that are set by hand."""

    def __init__(self) -> None:
        self.now_s, self.day = 1000.0, date(2030, 5, 1)

    def aggregates(self, attributes=("age", "gender"), **options):
        return Aggregates(attributes, clock=lambda: self.now_s, today=lambda: self.day, **options)


def let_pass(aggregates, *groups) -> None:
    first_id = 1
    for count, age, gender in groups:
        for one in passers_by(count, age, gender, first_id):
            aggregates.update(one)
        first_id += count + 1


def test_each_person_is_counted_once_and_with_the_values_last_known() -> None:
    exact = Hands().aggregates(anonymous=False)
    exact.update(result(0, [track(1)]))
    exact.update(result(1, [track(1)], {1: person(17.0, Gender.UNSURE)}))
    exact.update(result(2, [track(1)], {1: person(25.0, Gender.MALE)}))
    assert (exact.crowd().now, exact.crowd().people, exact.crowd().groups) == (1, 0, ())
    exact.update(result(3, []))
    exact.update(result(4, []))
    assert (exact.crowd().now, exact.crowd().people) == (0, 1)
    assert exact.crowd().groups == (Group("20-39", "male", 1),)


def test_groups_of_fewer_than_five_do_not_show() -> None:
    hands = Hands()
    crowd = hands.aggregates()
    let_pass(crowd, (4, 70.0, Gender.MALE), (5, 30.0, Gender.FEMALE))
    hands.now_s += 60
    assert crowd.crowd().groups == (Group("20-39", "female", 5),)
    assert crowd.crowd().people == 5  # nine would tell that four are hidden


def test_no_two_answers_differ_by_fewer_than_five_people() -> None:
    hands, rng = Hands(), np.random.default_rng(3)
    crowd, told = hands.aggregates(), []
    for i in range(1, 400):
        age, gender = float(rng.uniform(0, 90)), list(Gender)[rng.integers(3)]
        crowd.update(result(i, [track(i)], {i: person(age, gender)}))
        hands.now_s += float(rng.uniform(0, 20))
        told.append(crowd.crowd())
    for crowd in told:
        numbers = [crowd.people, *(group.people for group in crowd.groups)]
        assert all(number % 5 == 0 for number in numbers)
        assert sum(numbers[1:]) <= crowd.people
    assert told[-1].people > 350


def test_anonymous_counts_change_once_a_minute_only() -> None:
    hands = Hands()
    crowd = hands.aggregates()
    hands.now_s += 59
    let_pass(crowd, (5, 30.0, Gender.FEMALE))
    assert crowd.crowd().people == 0
    hands.now_s += 1
    assert crowd.crowd().people == 5


def test_the_end_of_the_run_counts_those_who_are_still_there() -> None:
    crowd = Hands().aggregates()
    ids = range(1, 6)
    crowd.update(result(0, [track(i) for i in ids], {i: person() for i in ids}))
    assert (crowd.crowd().now, crowd.crowd().people) == (5, 0)
    assert len(crowd.end().left) == 5
    assert (crowd.crowd().now, crowd.crowd().people) == (0, 5)


def test_a_new_day_begins_with_nobody() -> None:
    hands = Hands()
    crowd = hands.aggregates(anonymous=False)
    let_pass(crowd, (3, 30.0, Gender.FEMALE))
    assert (crowd.crowd().day, crowd.crowd().people) == ("2030-05-01", 3)
    hands.day = date(2030, 5, 2)
    assert (crowd.crowd().day, crowd.crowd().people) == ("2030-05-02", 0)


def test_what_was_not_asked_for_is_not_counted() -> None:
    crowd = Hands().aggregates(["age"], anonymous=False)
    let_pass(crowd, (1, 30.0, Gender.FEMALE), (1, 31.0, Gender.MALE))
    assert crowd.crowd().groups == (Group("20-39", "", 2),)
    crowd = Hands().aggregates(["gender", "ethnicity"], anonymous=False)
    let_pass(crowd, (1, 30.0, Gender.FEMALE), (1, 70.0, Gender.FEMALE))
    assert crowd.crowd().groups == (Group("", "female", 2),)


def test_people_of_whom_nothing_was_told_are_a_group_of_their_own() -> None:
    crowd = Hands().aggregates(anonymous=False)
    crowd.update(result(0, [track(1)]))
    crowd.update(result(1, []))
    assert crowd.crowd().groups == (Group("unknown", "unsure", 1),)


@pytest.mark.parametrize(
    ("age", "band"), [(0, 0), (9.9, 0), (10, 1), (19.9, 1), (20, 2), (40, 3), (59.9, 3), (60, 4)]
)
def test_a_band_begins_with_its_first_year_and_ends_before_the_next_one(
    age: float, band: int
) -> None:
    assert age_band(age) == AGE_BANDS[band]


# visits


def test_a_visit_lasts_from_the_first_detection_to_the_last_one() -> None:
    visits = Visits()
    for i, misses in enumerate([0, 0, 1, 0, 1, 2]):
        assert visits.update(result(i, [track(7, misses)])).left == []
    (visit,) = visits.update(result(6, [])).left
    assert (visit.track_id, visit.first_s, visit.last_s, visit.frames) == (7, 0.0, 3 / 25, 3)


def test_a_visit_settles_once() -> None:
    visits, unsettled = Visits(), person(converged=False)
    steps = [None, unsettled, person(), unsettled, person()]
    changes = [
        visits.update(result(i, [track(1)], {1: p} if p else {})) for i, p in enumerate(steps)
    ]
    assert [len(change.settled) for change in changes] == [0, 0, 1, 0, 0]


def test_a_new_epoch_is_the_end_of_all_visits_whatever_the_ids() -> None:
    visits = Visits()
    visits.update(result(0, [track(1), track(2)]))
    assert [v.track_id for v in visits.update(result(1, [track(1)], epoch=1)).left] == [1, 2]
    assert len(visits) == 1


def test_people_stay_while_a_source_stalls_and_leave_when_it_breaks_off() -> None:
    visits, last = Visits(), result(0, [track(1)])
    visits.update(last)
    assert visits.update(with_state(last, "stalled")).left == []
    assert len(visits.update(with_state(last, "reconnecting")).left) == 1
    assert visits.update(with_state(last, "reconnecting")).left == []
    assert len(visits) == 0
