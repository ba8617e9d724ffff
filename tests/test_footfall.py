"""Scripted walks past lines and through zones, whose true counts are known."""

import itertools

import numpy as np
import pytest

from people.footfall import OUT_S, PAST
from people.zones import Layout, parse_line
from structures import Gender, Track, TrackState
from tests.results import person
from tests.walks import DOOR, DOWN, FACE, HALL, UP, Place, hidden, straight, trembling

FPS = pytest.mark.parametrize("fps", [5.0, 25.0, 60.0])


@FPS
def test_who_goes_down_comes_in_and_who_goes_up_goes_out(fps: float) -> None:
    assert Place(DOOR).watch({1: DOWN}, fps).door == (1, 0)
    assert Place(DOOR).watch({1: UP}, fps).door == (0, 1)
    assert Place(DOOR).watch({1: DOWN, 2: DOWN, 3: UP}, fps).door == (2, 1)


@FPS
@pytest.mark.parametrize("seed", range(5))
def test_jitter_on_the_line_counts_nothing(fps: float, seed: int) -> None:
    standing = trembling(straight((0, 320, 240), (9, 320, 240)), PAST * FACE - 1, seed)
    assert Place(DOOR).watch({1: standing}, fps).door == (0, 0)


@FPS
@pytest.mark.parametrize("seed", range(5))
def test_who_stops_on_the_line_and_trembles_counts_once(fps: float, seed: int) -> None:
    stops = straight((0, 320, 100), (2, 320, 240), (7, 320, 240), (9, 320, 400))
    assert Place(DOOR).watch({1: trembling(stops, 10, seed)}, fps).door == (1, 0)


@FPS
def test_who_turns_back_on_the_line_has_not_crossed_it(fps: float) -> None:
    short = straight((0, 320, 100), (2, 320, 240 + PAST * FACE - 2), (4, 320, 100))
    assert Place(DOOR).watch({1: short}, fps).door == (0, 0)
    back = straight((0, 320, 100), (2, 320, 240 + 2 * FACE), (4, 320, 100))
    assert Place(DOOR).watch({1: back}, fps).door == (1, 1)


@FPS
def test_nobody_counts_twice_without_going_back_as_far(fps: float) -> None:
    near = 240 - PAST * FACE + 2  # a little back over the line, and on
    hesitating = straight((0, 320, 100), (2, 320, 300), (4, 320, near), (6, 320, 300))
    assert Place(DOOR).watch({1: hesitating}, fps).door == (1, 0)
    far = 240 - FACE
    again = straight((0, 320, 100), (2, 320, 300), (4, 320, far), (6, 320, 300))
    assert Place(DOOR).watch({1: again}, fps).door == (2, 1)


@FPS
def test_passing_beside_the_end_does_not_count(fps: float) -> None:
    beside = straight((0, 150, 100), (4, 150, 400))
    assert Place(DOOR).watch({1: beside}, fps).door == (0, 0)
    round_the_end = straight((0, 100, 200), (2, 100, 300), (5, 320, 300), (8, 320, 100))
    assert Place(DOOR).watch({1: round_the_end}, fps).door == (0, 1)


@FPS
@pytest.mark.parametrize("begin_s", [1.5, 1.7, 1.9])
def test_who_is_hidden_at_the_line_still_crosses_it(fps: float, begin_s: float) -> None:
    assert Place(DOOR).watch({1: hidden(DOWN, begin_s, begin_s + 0.8)}, fps).door == (1, 0)
    beside = hidden(straight((0, 150, 100), (4, 150, 400)), begin_s, begin_s + 0.8)
    assert Place(DOOR).watch({1: beside}, fps).door == (0, 0)


def test_a_predicted_place_crosses_nothing() -> None:
    place = Place(DOOR)
    for i, y in enumerate([180, 200, 220, 260, 300, 220, 180]):
        box = np.array([290, y - 30, 350, y + 30], np.float32)
        unseen_s, row = (0.04, None) if y > 240 else (0.0, 0)
        place.show([Track(1, box, TrackState.CONFIRMED, unseen_s, row, 9)], set(), i / 25, {}, 0)
    assert place.door == (0, 0)


def test_counts_do_not_depend_on_the_size_of_the_picture() -> None:
    for size_wh in ((320, 240), (1280, 960)):
        assert Place(DOOR).watch({1: DOWN}, size_wh=size_wh).door == (1, 0)
        jitter = trembling(straight((0, 320, 240), (9, 320, 240)), PAST * FACE - 1)
        assert Place(DOOR).watch({1: jitter}, size_wh=size_wh).door == (0, 0)


def test_after_a_cut_nobody_has_crossed_from_where_they_were_before() -> None:
    place = Place(DOOR)
    above, below = (np.array([290, y, 350, y + 60], np.float32) for y in (100, 340))
    place.show([Track(1, above, TrackState.CONFIRMED, 0, 0, 9)], set(), 0.0, {}, 0)
    place.show([Track(1, below, TrackState.CONFIRMED, 0, 0, 9)], set(), 0.04, {}, 1)
    assert place.door == (0, 0)


@pytest.mark.parametrize("seed", range(4))
@FPS
def test_random_walkers_count_as_the_truth_does(fps: float, seed: int) -> None:
    """A walker has crossed as often as the way between its stops changes the side far enough."""
    rng = np.random.default_rng(seed)
    ways, truth = {}, [0, 0]
    for number in range(1, 13):
        sides = rng.choice([-1, 1], 4)
        xs = rng.uniform(200, 440, 4)
        ways[number] = trembling(
            straight(*((3 * i, xs[i], 240 + sides[i] * 90) for i in range(4))), 4, number
        )
        for before, after in itertools.pairwise(sides):
            if before != after:
                truth[int(after < 0)] += 1
    assert Place(DOOR).watch(ways, fps, 9.0).door == tuple(truth)


def test_crossings_are_told_by_age_and_gender() -> None:
    people = {1: person(25), 2: person(45, Gender.MALE), 3: person(25)}
    place = Place(DOOR).watch({1: DOWN, 2: DOWN, 3: UP}, people=people)
    assert place.crowd.aggregate("")["lines"]["door"]["groups"] == [
        {"age": "20-39", "gender": "female", "in": 1, "out": 1},
        {"age": "40-59", "gender": "male", "in": 1, "out": 0},
    ]


# zones


@FPS
def test_a_zone_tells_who_entered_and_how_long_they_stayed(fps: float) -> None:
    through = straight((0, 40, 240), (8, 600, 240))  # 70 pixels a second: 4.57 s inside
    place = Place(HALL).watch({1: through}, fps)
    assert (place.hall["now"], place.hall["entered"]) == (0, 1)
    assert place.hall["dwell_s"] == pytest.approx(320 / 70, abs=1 / fps + 0.05)
    assert place.left[0]["zones"]["hall"] == pytest.approx(320 / 70, abs=1 / fps + 0.01)


@FPS
@pytest.mark.parametrize("seed", range(3))
def test_jitter_on_the_border_does_not_split_a_stay(fps: float, seed: int) -> None:
    edge = straight((0, 320, 60), (2, 320, 123), (7, 320, 123), (8, 320, 240), (10, 320, 240))
    place = Place(HALL).watch({1: trembling(edge, 6, seed)}, fps)
    assert place.hall["entered"] == 1
    assert place.left[0]["zones"]["hall"] == pytest.approx(8, abs=0.9)


@FPS
def test_a_short_time_outside_is_none_and_a_long_one_is_a_new_stay(fps: float) -> None:
    for outside_s, stayed_s in ((OUT_S - 0.4, 6.0), (OUT_S + 1.0, 6.0 - OUT_S - 1.0)):
        path = straight(
            (0, 320, 140), (3, 320, 140), (3.001, 320, 100), (3 + outside_s, 320, 100),
            (3.001 + outside_s, 320, 140), (6, 320, 140),
        )  # fmt: skip
        place = Place(HALL).watch({1: path}, fps)
        assert place.hall["entered"] == 1
        assert place.left[0]["zones"]["hall"] == pytest.approx(stayed_s, abs=2 / fps + 0.01)


@FPS
def test_who_is_hidden_in_a_zone_is_still_in_it(fps: float) -> None:
    inside = hidden(straight((0, 320, 240), (6, 320, 240)), 2, 3)
    place = Place(HALL).watch({1: inside}, fps)
    assert place.hall["entered"] == 1
    assert place.left[0]["zones"]["hall"] == pytest.approx(6, abs=0.01)


def test_who_only_touches_a_zone_has_not_entered_it() -> None:
    touching = straight((0, 150, 240), (1, 161, 240), (1.1, 150, 240), (3, 150, 240))
    assert Place(HALL).watch({1: touching}).hall["entered"] == 0


@FPS
def test_who_touches_a_zone_twice_has_not_entered_it_either(fps: float) -> None:
    once, again = (((t, 150, 240), (t + 0.1, 165, 240), (t + 0.2, 150, 240)) for t in (1.0, 1.6))
    touching = straight((0, 150, 240), *once, *again, (3, 150, 240))
    assert Place(HALL).watch({1: touching}, fps).hall["entered"] == 0


def test_people_now_are_those_who_are_inside() -> None:
    place = Place(HALL)
    boxes = [np.array([x - 30, 210, x + 30, 270], np.float32) for x in (320, 200, 80)]
    for i in range(25):
        tracks = [Track(k, b, TrackState.CONFIRMED, 0, 0, 9) for k, b in enumerate(boxes, 1)]
        place.show(tracks, set(), i / 25, {1: person(25)}, 0)
    assert (place.hall["now"], place.hall["entered"], place.hall["dwell_s"]) == (2, 2, None)
    assert place.hall["groups"] == [
        {"age": "20-39", "gender": "female", "now": 1, "entered": 1},
        {"age": "unknown", "gender": "unsure", "now": 1, "entered": 1},
    ]


def test_who_comes_back_into_a_zone_is_counted_once() -> None:
    inside = straight((0, 320, 240), (5, 320, 240))
    place = Place(HALL).watch({1: inside}).watch({1: inside, 2: inside}, epoch=1)
    assert place.hall["entered"] == 2
    assert place.hall["dwell_s"] == pytest.approx(7.5, abs=0.05)  # 10 s and 5 s


# what becomes of the counts


def test_a_line_that_is_drawn_later_counts_from_then_on_and_others_go_on() -> None:
    place = Place(DOOR).watch({1: DOWN})
    gate = parse_line("gate=0.25,0.6,0.75,0.6")
    place.crowd.lay_out("", Layout((DOOR, gate)))
    place.watch({2: DOWN})
    lines = place.crowd.aggregate("")["lines"]
    assert (lines["door"]["in"], lines["gate"]["in"]) == (2, 1)
    moved = parse_line("door=0.25,0.4,0.75,0.4")
    place.crowd.lay_out("", Layout((moved,)))
    assert place.door == (0, 0) and list(place.crowd.aggregate("")["lines"]) == ["door"]


def test_at_midnight_and_on_request_counting_begins_again() -> None:
    place = Place(DOOR, HALL).watch({1: DOWN})
    place.media_s += 24 * 3600
    place.watch({2: UP})
    assert (place.door, place.hall["entered"]) == ((0, 1), 1)
    summary = place.crowd.summary()
    run = summary.places_run[""]["lines"]["door"]
    assert (run["in"], run["out"]) == (1, 1)
    place.crowd.reset()
    assert (place.door, place.hall["entered"]) == ((0, 0), 0)


def test_who_is_inside_at_a_reset_has_entered() -> None:
    place = Place(HALL)
    box = np.array([290, 210, 350, 270], np.float32)
    for i in range(25):
        place.show([Track(1, box, TrackState.CONFIRMED, 0, 0, 9)], set(), i / 25, {}, 0)
    place.crowd.reset()
    assert (place.hall["now"], place.hall["entered"]) == (1, 1)


def test_cameras_have_lines_of_their_own() -> None:
    place = Place(DOOR)
    place.crowd.lay_out("yard", Layout((HALL,)))
    place.watch({1: DOWN})
    assert "zones" not in place.crowd.aggregate("") and "lines" not in place.crowd.aggregate("yard")


def test_records_have_the_fields_only_where_there_are_lines_or_zones() -> None:
    plain = Place().watch({1: DOWN})
    assert not {"lines", "zones"} & set(plain.left[0] | plain.crowd.aggregate(""))
    both = Place(DOOR, HALL).watch({1: DOWN})
    assert both.left[0]["lines"] == {"door": {"in": 1, "out": 0}}


def test_anonymous_numbers_are_in_fives_and_change_once_a_minute() -> None:
    place = Place(DOOR, HALL, anonymous=True)
    told = set()
    for turn in range(12):
        place.watch({10 * turn + i: DOWN for i in range(3)}, seconds=8.0)
        told.add((place.now_s // 60, place.door, place.hall["entered"], place.hall["now"]))
        assert place.hall["dwell_s"] is None
    numbers = [n for _, door, *more in told for n in (*door, *more)]
    assert set(numbers) - {0} and all(n % 5 == 0 for n in numbers)
    for group in place.crowd.aggregate("")["lines"]["door"]["groups"]:
        assert group["in"] % 5 == 0
    place.crowd.end()
    assert place.door == (35, 0)


def test_drawing_does_not_release_the_numbers_of_an_anonymous_minute() -> None:
    place = Place(DOOR, anonymous=True).watch(dict.fromkeys(range(1, 11), DOWN), seconds=5.0)
    assert place.door == (0, 0)
    place.crowd.lay_out("", Layout((DOOR, HALL)))
    assert place.door == (0, 0)
