"""How many people are and were there, as the page, /metrics and the records report it."""

import time
from dataclasses import replace
from datetime import date
from typing import Any

import pytest

from people.bands import AGE_BANDS, RECORD_BANDS
from people.crowd import TABLE_ROWS, Crowd
from people.expected_error import SHARE
from people.hours import Span, Timeline, together
from people.story import words
from structures import Gender, HeadPose, Smoothed, SourceState, SourceStatus
from tests.web_parts import person, result

NOON = time.mktime((2030, 3, 10, 12, 0, 0, 0, 0, -1))
DAY_S = 24 * 3600


class Hall:
    """A crowd whose clocks are set by hand."""

    def __init__(self, *attributes: str, **options: Any) -> None:
        self.now_s = NOON
        asked = attributes or ("age", "gender")
        self.crowd = Crowd(asked, clock=lambda: self.now_s, utc=lambda: self.now_s, **options)
        self._index = 0

    def see(self, people: dict[int, Smoothed | None], wait_s: float = 0.0, **more: Any) -> None:
        """Show the crowd a new frame after a while, with these people by id."""
        self.now_s += wait_s
        self._index += 1
        self.crowd.update(result(self._index, people, **more))

    def groups(self) -> dict[tuple[str, str], int | None]:
        """Those of the page that are not empty."""
        return {key: number for key, number in self.crowd.summary().groups.items() if number}

    def left(self) -> dict[tuple[str, str], int | None]:
        """Those of /metrics that are not empty."""
        return {key: number for key, number in self.crowd.summary().left.items() if number}

    def aggregate(self, camera: str = "") -> dict[str, Any]:
        """What an aggregate record would hold."""
        return self.crowd.aggregate(camera)

    def record_groups(self) -> dict[tuple[str, str], int]:
        """Those of aggregate records."""
        groups = self.aggregate()["groups"]
        return {(g.get("gender", ""), g.get("age", "")): g["people"] for g in groups}


def test_nobody_is_in_view_of_a_film_that_has_ended() -> None:
    hall = Hall()
    last = result(1, {1: person(), 2: person()})
    hall.crowd.update(last)
    hall.crowd.update(replace(last, status=SourceStatus(SourceState.ENDED)))
    summary = hall.crowd.summary()
    assert (summary.now_total, summary.seen) == (0, 2)


def test_who_is_in_view_is_known_as_soon_as_images_come_again() -> None:
    hall = Hall()
    back = SourceStatus(SourceState.RECONNECTING, "waiting for steady pictures")
    for state, now in ((back, {"": 2}), (replace(back, connected=False), {})):
        hall.crowd.update(replace(result(1, {1: person(), 2: person()}), status=state))
        assert hall.crowd.summary().now == now


def test_people_in_view_and_people_seen_are_counted_apart() -> None:
    hall = Hall()
    hall.see({1: person(), 2: None})
    hall.see({2: None, 3: None}, wait_s=1)
    summary = hall.crowd.summary()
    assert (summary.now, summary.now_total) == ({"": 2}, 2)
    assert (summary.today, summary.seen) == (3, 3)


def test_a_result_counts_once_however_often_it_is_shown() -> None:
    hall = Hall()
    one, two = result(0, {1: person()}), result(1)
    for shown in (one, one, two, two):
        hall.crowd.update(shown)
    assert hall.crowd.summary().seen == 1
    assert hall.aggregate()["people"] == 1


def test_numbers_of_several_cameras_do_not_get_mixed_up() -> None:
    hall = Hall()
    hall.see({1: person()}, camera="door")
    hall.see({1: person(), 2: person()}, camera="yard")
    hall.see({}, camera="door")
    summary = hall.crowd.summary()
    assert (summary.now, summary.now_total, summary.seen) == ({"door": 0, "yard": 2}, 2, 3)
    assert {(v.camera, v.track_id) for v in summary.newest} == {
        ("door", 1), ("yard", 1), ("yard", 2),
    }  # fmt: skip
    assert [hall.aggregate(camera)["people"] for camera in hall.crowd.cameras] == [1, 0]
    assert [hall.aggregate(camera)["now"] for camera in hall.crowd.cameras] == [0, 2]


def test_a_person_counts_once_and_with_the_values_last_known() -> None:
    hall = Hall()
    hall.see({1: None})
    hall.see({1: person(29.9, Gender.UNSURE)})
    hall.see({1: person(30.0, Gender.MALE)})
    assert hall.groups() == {("male", "30-39"): 1}
    assert (hall.aggregate()["now"], hall.aggregate()["people"]) == (1, 0)
    hall.see({})
    hall.see({})
    assert (hall.aggregate()["now"], hall.aggregate()["people"]) == (0, 1)
    assert hall.record_groups() == {("male", "20-39"): 1}


@pytest.mark.parametrize(
    ("age", "fine", "wide"),
    [
        (-1.0, "0-9", "0-9"), (9.4, "0-9", "0-9"), (9.6, "10-19", "10-19"),
        (20.0, "20-29", "20-39"), (39.4, "30-39", "20-39"), (39.6, "40-49", "40-59"),
        (59.4, "50-59", "40-59"), (79.6, "80+", "60+"), (100, "80+", "60+"),
    ],
)  # fmt: skip
def test_a_band_is_that_of_the_whole_years_that_labels_show(
    age: float, fine: str, wide: str
) -> None:
    assert (AGE_BANDS.of(age), RECORD_BANDS.of(age)) == (fine, wide)
    hall = Hall()
    hall.see({1: person(age)})
    assert hall.groups() == {("female", fine): 1}
    hall.see({})
    assert hall.record_groups() == {("female", wide): 1}


def test_people_without_an_estimate_have_a_group_in_records_and_none_on_the_page() -> None:
    hall = Hall()
    hall.see({1: None, 2: person(float("nan"))})
    hall.see({})
    assert hall.crowd.summary().today == 2
    assert hall.groups() == hall.left() == {}
    assert hall.record_groups() == {("unsure", "unknown"): 1, ("female", "unknown"): 1}


def test_what_was_not_asked_for_is_summed_over() -> None:
    people: dict[int, Smoothed | None] = {1: person(30.0), 2: person(31.0, Gender.MALE)}
    people[3] = person(71.0, Gender.MALE)
    wanted: dict[tuple[str, ...], list[dict[tuple[str, str], int]]] = {
        ("age",): [{("", "30-39"): 2, ("", "70-79"): 1}, {("", "20-39"): 2, ("", "60+"): 1}],
        ("gender",): [{("female", ""): 1, ("male", ""): 2}] * 2,
        ("ethnicity",): [{("", ""): 3}] * 2,
    }
    for attributes, (fine, wide) in wanted.items():
        hall = Hall(*attributes)
        hall.see(people)
        hall.see({})
        assert hall.groups() == hall.left() == fine
        assert hall.record_groups() == wide


def test_who_left_goes_into_the_counts_that_never_fall() -> None:
    hall = Hall()
    hall.see({1: person(25.0)})
    assert hall.left() == {}
    hall.see({}, wait_s=1)
    assert hall.left() == hall.groups() == {("female", "20-29"): 1}
    hall.see({}, wait_s=DAY_S)
    assert hall.left() == {("female", "20-29"): 1}, "what Prometheus counts does not restart"
    assert hall.groups() == {}


def test_a_new_epoch_lets_everybody_of_that_camera_go() -> None:
    hall = Hall()
    hall.see({1: person()}, camera="a")
    hall.see({1: person()}, camera="b")
    hall.see({2: person()}, camera="a", epoch=1)
    assert hall.left() == {("female", "30-39"): 1}
    assert hall.crowd.summary().seen == 3


def test_the_end_of_the_run_counts_those_who_are_still_there() -> None:
    hall = Hall()
    hall.see({i: person() for i in range(5)})
    assert (hall.aggregate()["now"], hall.aggregate()["people"]) == (5, 0)
    hall.crowd.end()
    hall.crowd.end()
    assert (hall.aggregate()["now"], hall.aggregate()["people"]) == (0, 5)


def test_the_newest_visits_are_bounded_and_come_first() -> None:
    hall = Hall()
    for number in range(1, 200):
        hall.see({number: person()}, wait_s=1, epoch=number)
    summary = hall.crowd.summary()
    assert [v.track_id for v in summary.newest] == list(range(199, 199 - TABLE_ROWS, -1))
    assert summary.seen == 199


def test_who_is_in_view_of_a_camera_without_images_is_unknown() -> None:
    hall = Hall()
    hall.see({1: person()})
    hall.see({1: person()}, state=SourceState.STALLED)
    summary = hall.crowd.summary()
    assert (summary.now, summary.now_total) == ({}, None)
    assert not summary.newest[0].over


def test_at_midnight_the_count_of_the_day_restarts_with_those_in_view() -> None:
    hall = Hall()
    hall.see({1: person(), 2: person()})
    hall.see({2: person()}, wait_s=60)
    assert (hall.aggregate()["day"], hall.aggregate()["people"]) == ("2030-03-10", 1)
    hall.see({2: person()}, wait_s=DAY_S)
    summary = hall.crowd.summary()
    assert (summary.today, summary.seen, hall.groups()) == (
        1,
        2,
        {("female", "30-39"): 1},
    )
    assert (hall.aggregate()["day"], hall.aggregate()["people"]) == ("2030-03-11", 0)
    hall.see({2: person(), 3: person()}, wait_s=60)
    record = hall.aggregate()
    assert record["entered"] == sum(hour["entered"] for hour in record["hours"]) == 1
    assert [(day["begins"], day["entered"]) for day in record["days"]] == [("2030-03-10", 2)]
    assert date.fromtimestamp(hall.now_s).isoformat() == "2030-03-11"


def test_a_summary_does_not_change_behind_the_readers_back() -> None:
    hall = Hall()
    young = person(20.0)
    hall.see({1: young})
    before = hall.crowd.summary()
    hall.see({1: person(60.0), 2: person()}, wait_s=1)
    assert before.newest[0].person is young
    assert before.now == {"": 1}


def test_a_minute_is_over_with_the_first_frame_after_it() -> None:
    hall, minutes = Hall(), []
    for wait_s in (0, 59, 1, 59, 200, 59, 1):
        hall.see({}, wait_s=wait_s)
        minutes.append(hall.crowd.minute)
    assert minutes == [0, 0, 1, 1, 2, 2, 3]


def test_the_timelines_hold_the_most_people_in_view_of_each_step() -> None:
    hall = Hall()
    for count, wait_s in ((1, 0.0), (3, 1.0), (2, 1.0), (0, 10.0)):
        hall.see({i: person() for i in range(count)}, wait_s=wait_s)
    assert hall.crowd.summary().recent[-3:] == (3, None, 0)
    assert hall.crowd.summary().day[-1] == 3


def test_a_timeline_keeps_the_largest_number_of_each_step() -> None:
    timeline = Timeline(5.0, 4)
    for now_s, number in ((100, 1), (104, 3), (102, 2), (106, 0), (118, 7)):
        timeline.note(now_s, number)
    assert timeline.series(119) == (3, 0, None, 7)
    assert timeline.series(125) == (None, 7, None, None)


def test_the_hour_that_comes_twice_in_autumn_is_told_in_the_order_of_time() -> None:
    begins = [
        f"2026-10-25T0{hour}+0{zone}:00" for hour, zone in (("2:00", 2), ("2:00", 1), ("3:00", 1))
    ]
    spans = [Span(each, 1) for each in begins]
    assert [span.begins for span in together([spans[::-1], spans])] == begins


def test_a_clock_that_was_ahead_at_the_start_costs_the_timeline_nothing() -> None:
    timeline = Timeline(5.0, 120)
    timeline.note(NOON + 7200, 3)
    for i in range(100):
        timeline.note(NOON + 5 * i, 2)
    assert timeline.series(NOON + 495) == (*20 * [None], 3, *99 * [2])


def test_who_comes_and_goes_is_entered_hour_by_hour_and_day_by_day() -> None:
    hall = Hall()
    hall.see({1: person(), 2: person()})
    hall.see({2: person()}, wait_s=10)
    hall.see({2: person(), 3: person()}, wait_s=3600)
    hall.see({}, wait_s=1)
    hours = hall.aggregate()["hours"]
    assert [(h["begins"][:16], h["entered"], h["left"]) for h in hours] == [
        ("2030-03-10T12:00", 2, 1), ("2030-03-10T13:00", 1, 2),
    ]  # fmt: skip
    assert (hall.aggregate()["entered"], hall.aggregate()["people"]) == (3, 3)
    hall.see({4: person()}, wait_s=DAY_S)
    today = hall.aggregate()
    assert (today["day"], today["entered"], today["people"]) == ("2030-03-11", 1, 0)
    assert [h["begins"][:10] for h in today["hours"]] == ["2030-03-11"]
    before = {"begins": "2030-03-10", "entered": 3, "left": 3}
    assert [{k: v for k, v in d.items() if k != "dwell_s"} for d in today["days"]] == [before]
    assert [d["entered"] for d in hall.crowd.summary().days] == [3, 1]


def test_the_mean_stay_is_that_of_those_who_left() -> None:
    hall = Hall()
    hall.crowd.update(result(0, {1: person(), 2: person()}))
    hall.crowd.update(result(50, {1: person()}))  # 25 frames a second: two seconds later
    hall.crowd.update(result(100, {}))
    assert hall.aggregate()["dwell_s"] == pytest.approx((2.0 + 0.0) / 2)
    summary = hall.crowd.summary()
    assert summary.gone == 2
    assert summary.stays_s == pytest.approx(2.0)


def test_the_hours_of_several_cameras_add_up_and_are_bounded() -> None:
    hall = Hall()
    for hour in range(100):
        for camera in ("door", "yard"):
            hall.see({hour: person()}, camera=camera, wait_s=3600 * (camera == "door"))
    summary = hall.crowd.summary()
    assert len(summary.hours) == 48
    assert summary.hours[0]["entered"] == 2
    assert sum(day["entered"] for day in summary.days) == summary.seen == 200


def test_groups_are_corrected_by_the_errors_of_the_network() -> None:
    # Every fifth woman is taken for a man, no man for a woman.
    mistaken = [[1000 * (i == j) for j in range(10)] for i in range(10)]
    for i in range(5):
        mistaken[i][i], mistaken[i][i + 5] = 800, 200
    hall = Hall(confusion=tuple(map(tuple, mistaken)))
    people: dict[int, Smoothed | None] = {i: person(30.0) for i in range(80)}
    people |= {i: person(30.0, Gender.MALE) for i in range(80, 180)}
    hall.see(people)
    hall.see({})
    told = {(g["gender"], g["age"]): g["people"] for g in hall.aggregate()["groups"]}
    assert told == {("female", "20-39"): 80, ("male", "20-39"): 100}
    corrected = {
        (c.get("gender"), c.get("age")): (c["low"], c["people"], c["high"])
        for c in hall.aggregate()["corrected"]
    }
    low, number, high = corrected["female", None]
    assert 80 < low < number < high < 120
    assert abs(number - 100) <= 2
    assert "female 80, male 100; corrected: female " in words(hall.crowd)


def test_without_known_errors_nothing_is_corrected_and_the_last_line_says_so() -> None:
    hall = Hall()
    hall.see({1: person()})
    hall.see({})
    assert hall.aggregate()["corrected"] is None
    assert hall.crowd.summary().groups_corrected is None
    assert words(hall.crowd) == (
        "people: 1 seen; in view for 0.0 s on average; female 1; "
        "not corrected: the errors of these weights are not known"
    )


def test_the_last_line_is_empty_where_nobody_was_seen_and_anonymous_tells_of_groups_only() -> None:
    assert words(Hall().crowd) == ""
    hall = Hall(anonymous=True)
    hall.see({i: person() for i in range(7)})
    hall.see({})
    hall.crowd.end()
    assert words(hall.crowd) == "people: 5 seen; female 5"


def test_counting_from_zero_forgets_stays_and_keeps_the_hours() -> None:
    hall = Hall()
    hall.crowd.update(result(0, {1: person()}))
    hall.crowd.update(result(50, {1: person()}))
    hall.crowd.update(result(100, {}))
    hall.crowd.reset()
    summary = hall.crowd.summary()
    assert (summary.gone, summary.stays_s) == (0, 0.0)
    assert [hour["left"] for hour in summary.hours] == [1]


def test_who_comes_back_with_the_same_id_is_one_person_a_day() -> None:
    hall = Hall()
    hall.see({1: person(), 2: person()})
    hall.see({2: person()}, wait_s=10)
    hall.see({2: person(), 1: person()}, wait_s=10)
    summary, record = hall.crowd.summary(), hall.aggregate()
    assert (summary.now_total, summary.seen, summary.gone) == (2, 2, 1)
    assert (record["now"], record["entered"], record["people"]) == (2, 2, 1)
    hall.see({}, wait_s=10)
    summary, record = hall.crowd.summary(), hall.aggregate()
    assert (summary.seen, summary.gone, record["people"]) == (2, 2, 2)
    assert [(span["entered"], span["left"]) for span in record["hours"]] == [(2, 2)]
    hall.see({1: person()}, wait_s=DAY_S)
    assert hall.aggregate()["entered"] == 1


def test_who_was_there_over_midnight_and_comes_back_counts_once_on_the_new_day() -> None:
    hall = Hall()
    hall.see({1: person()}, wait_s=DAY_S / 2 - 600)
    hall.see({1: person()}, wait_s=1200)
    hall.see({}, wait_s=2)
    hall.see({1: person()}, wait_s=600)
    hall.see({}, wait_s=30)
    record = hall.aggregate()
    assert (record["day"], record["people"], hall.crowd.summary().gone) == ("2030-03-11", 1, 1)


def test_the_mean_stay_is_that_of_first_visits_everywhere() -> None:
    hall = Hall()
    for first, last in ((0, 250), (2000, 4500)):
        hall.crowd.update(result(first, {1: person()}))
        hall.crowd.update(result(last, {1: person()}))
        hall.crowd.update(result(last + 1, {}))
    summary = hall.crowd.summary()
    assert (summary.gone, summary.stays_s, hall.aggregate()["dwell_s"]) == (1, 10.0, 10.0)


def test_after_a_reset_everybody_counts_anew() -> None:
    hall = Hall(attention=True)
    hall.see({1: person()})
    hall.see({}, wait_s=10)
    hall.see({1: person()}, wait_s=10)  # recognised
    hall.crowd.reset()
    summary, record = hall.crowd.summary(), hall.aggregate()
    assert (record["now"], record["entered"], record["people"]) == (1, 1, 0)
    assert (record["dwell_s"], summary.seen, summary.audiences) == (None, 1, {})
    hall.see({}, wait_s=10)
    hall.see({1: person()}, wait_s=10)
    record = hall.aggregate()
    assert (record["entered"], record["people"], hall.crowd.summary().gone) == (1, 1, 1)
    assert [(hour["entered"], hour["left"]) for hour in record["hours"]] == [(2, 2)]


def test_who_looked_this_way_is_counted_by_camera_and_day_and_since_the_beginning() -> None:
    hall, ahead, aside = Hall(attention=True), HeadPose(0, 0), HeadPose(60, 0)

    def visit(camera: str, **poses: HeadPose) -> None:
        """People named a1, a2 ... who stay for ten frames, 0.36 s."""
        ids = {int(name[1:]): pose for name, pose in poses.items()}
        for _ in range(10):
            hall.see(dict.fromkeys(ids, person()), poses=ids, camera=camera)
        hall.see({}, camera=camera)

    visit("door", a1=ahead, a2=aside, a3=aside)
    visit("yard", a4=ahead)
    door, yard = (hall.aggregate(camera)["attention"] for camera in ("door", "yard"))
    assert (door["people"], door["watchers"], door["ratio"]) == (3, 1, 0.3333)
    assert (door["attention_s"], door["dwell_s"]) == (0.4, 0.4)
    assert (yard["people"], yard["watchers"]) == (1, 1)
    hall.now_s += DAY_S
    visit("door", a5=aside)
    assert hall.aggregate("door")["attention"]["people"] == 1
    summary = hall.crowd.summary()
    assert summary.audience is not None and summary.audience.people == 1
    told = {name: (each.people, each.watchers) for name, each in summary.audiences.items()}
    assert told == {"door": (4, 1), "yard": (1, 1)}


def test_who_came_before_counts_once_as_an_audience_too() -> None:
    """Ids that come again are of people who are recognised."""
    hall, poses = Hall(attention=True), {1: HeadPose(0, 0)}
    for _ in range(2):
        for _ in range(10):
            hall.see({1: person()}, poses=poses)
        hall.see({})
    assert hall.aggregate()["attention"]["people"] == 1


def test_nothing_is_told_of_attention_unless_asked_for() -> None:
    hall = Hall()
    for poses in [{1: HeadPose(0, 0)}] * 10 + [{}]:
        hall.see(dict.fromkeys(poses, person()), poses=poses)
    assert "attention" not in hall.aggregate()
    assert (hall.crowd.summary().audience, hall.crowd.summary().audiences) == (None, {})


@pytest.mark.parametrize("anonymous", [False, True])
def test_the_error_of_ages_is_told_of_five_people_and_more(anonymous: bool) -> None:
    hall = Hall(anonymous=anonymous)
    unsure = replace(person(), age_uncertainty_years=10.0)
    hall.see({1: unsure, 2: unsure, 3: unsure, 4: unsure})
    hall.see({})
    assert hall.aggregate()["error_years"] is None
    hall.see({5: unsure, 6: None})
    hall.see({}, wait_s=60)
    expected = None if anonymous else round(10 * SHARE, 1)
    assert hall.aggregate()["error_years"] == expected
    assert hall.crowd.summary().errors_years == {"": expected}
    assert Hall("gender").aggregate()["error_years"] is None
