from dataclasses import replace

from people.visits import Visit, Visits
from structures import FrameResult
from tests.results import person, result, track, with_state


def after(visits: Visits, one: FrameResult, utc_s: float = 0.0) -> list[Visit]:
    """Who has left with this result."""
    return visits.update(one, utc_s)


def test_a_visit_lasts_from_the_first_detection_to_the_last_one() -> None:
    visits = Visits()
    for i, misses in enumerate([0, 0, 1, 0, 1, 2]):
        assert after(visits, result(i, [track(7, misses)]), 100.0 + i) == []
    (visit,) = after(visits, result(6, []))
    assert (visit.track_id, visit.first_s, visit.last_s, visit.frames) == (7, 0.0, 3 / 25, 3)
    assert (visit.first_utc_s, visit.last_utc_s, visit.over) == (100.0, 103.0, True)


def test_who_is_remembered_has_not_left_and_stays_until_the_last_detection() -> None:
    visits = Visits()
    after(visits, result(0, [track(7)]), 100.0)
    for i in range(1, 20):
        assert after(visits, replace(result(i), remembered=frozenset({7})), 100.0 + i) == []
    after(visits, result(20, [track(7)]), 120.0)
    assert after(visits, replace(result(21), remembered=frozenset({7})), 121.0) == []
    (visit,) = after(visits, result(22), 122.0)
    assert (visit.last_s, visit.last_utc_s, visit.frames) == (20 / 25, 120.0, 2)


def test_a_visit_settles_for_good() -> None:
    visits, unsettled = Visits(), person(converged=False)
    settled = []
    for i, values in enumerate([None, unsettled, person(), unsettled]):
        after(visits, result(i, [track(1)], {1: values} if values else {}))
        settled.append(visits.here[1].settled)
    assert settled == [False, False, True, True]


def test_a_new_epoch_is_the_end_of_all_visits_whatever_the_ids() -> None:
    visits = Visits()
    after(visits, result(0, [track(1), track(2)]))
    assert [v.track_id for v in after(visits, result(1, [track(1)], epoch=1))] == [1, 2]
    assert len(visits.here) == 1


def test_people_stay_while_a_source_stalls_and_leave_when_it_disconnects() -> None:
    visits, last = Visits(), result(0, [track(1)])
    after(visits, last)
    assert after(visits, with_state(last, "stalled")) == []
    assert len(after(visits, with_state(last, "reconnecting"))) == 1
    assert after(visits, with_state(last, "reconnecting")) == []
    assert len(visits.here) == 0


def test_a_camera_that_is_back_keeps_its_people_while_it_is_not_steady_yet() -> None:
    visits = Visits()
    after(visits, result(0, [track(1)]))
    left = []
    for i in (1, 2, 3):  # two outputs pass on each frame
        one = with_state(result(i, [track(2)], epoch=1), "reconnecting", connected=True)
        left += after(visits, one) + after(visits, one)
    assert [(visit.track_id, visit.epoch) for visit in left] == [(1, 0)]
    assert [(visit.track_id, visit.frames) for visit in visits.here.values()] == [(2, 3)]
