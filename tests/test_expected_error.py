import pytest

from people.expected_error import SHARE, ExpectedError


def test_the_error_is_a_share_of_the_mean_spread_of_the_last_hour() -> None:
    error = ExpectedError()
    error.note(0.0, [5.0, 7.0])
    error.note(30.0, [6.0])
    error.note(1800.0, [10.0, 12.0])
    assert error.years(1800.0) == pytest.approx(SHARE * 8.0)


def test_of_fewer_than_five_people_nothing_is_said() -> None:
    error = ExpectedError()
    assert error.years(0.0) is None
    error.note(0.0, [5.0] * 4)
    assert error.years(0.0) is None
    error.note(60.0, [5.0])
    assert error.years(60.0) == pytest.approx(SHARE * 5.0)


def test_who_left_more_than_an_hour_ago_does_not_count() -> None:
    error = ExpectedError()
    error.note(0.0, [20.0] * 50)
    error.note(3540.0, [4.0] * 5)
    assert error.years(3540.0) == pytest.approx(SHARE * (20 * 50 + 4 * 5) / 55)
    assert error.years(3600.0) == pytest.approx(SHARE * 4.0)
    assert error.years(7200.0) is None


def test_a_clock_that_was_set_back_loses_nobody() -> None:
    error = ExpectedError()
    error.note(3600.0, [6.0] * 3)
    error.note(0.0, [10.0] * 3)
    assert error.years(0.0) == pytest.approx(SHARE * 8.0)


def test_it_does_not_grow_over_months() -> None:
    error = ExpectedError()
    for minute in range(5000):
        error.note(60.0 * minute, [5.0])
    assert len(error._minutes) == 60


def test_what_was_noted_by_a_clock_that_was_ahead_is_forgotten_after_an_hour_as_all_else() -> None:
    error = ExpectedError()
    error.note(7200.0, [20.0] * 5)
    for minute in range(60):
        error.note(60.0 * minute, [1.0] * 5)
    assert error.years(3599.0) == pytest.approx(SHARE * (5 * 20 + 60 * 5 * 1) / 305)
    error.note(3600.0, [1.0])
    assert error.years(3600.0) == pytest.approx(SHARE * 1.0)
