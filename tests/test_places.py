import numpy as np

from structures import Float32, Track, TrackState
from tracking.places import FacePlaces

NONE = np.zeros((0, 4), np.float32)


def boxes(*corners: tuple[float, float], side: float = 20) -> Float32:
    return np.array([(x, y, x + side, y + side) for x, y in corners], np.float32).reshape(-1, 4)


def track(box: Float32, state: TrackState = TrackState.TENTATIVE, unseen_s: float = 0) -> Track:
    return Track(1, box, state, unseen_s, None, 1)


def test_every_detection_and_every_track_is_a_place() -> None:
    found, coasting = boxes((0, 0), (50, 0)), boxes((100, 0), (200, 0))
    tracks = [track(coasting[0]), track(coasting[1], TrackState.CONFIRMED, unseen_s=0.1)]
    places = FacePlaces().update(found, tracks, 0.0)
    assert places.dtype == np.float32
    assert places.tolist() == [*found.tolist(), *coasting.tolist()]
    assert FacePlaces().update(NONE, [], 0.0).shape == (0, 4)


def test_where_a_face_was_lost_stays_a_place_for_a_second() -> None:
    places = FacePlaces(keep_s=1.0)
    places.update(boxes((10, 10)), [], 0.0)
    shown = [len(places.update(NONE, [], i / 10)) for i in range(1, 15)]
    assert shown == [1] * 10 + [0] * 4


def test_a_face_that_moves_on_leaves_no_places_behind() -> None:
    places = FacePlaces()
    for i in range(30):
        assert len(places.update(boxes((5 * i, 0)), [], i / 25)) == 1


def test_a_face_that_jumps_is_hidden_in_both_places() -> None:
    places = FacePlaces()
    places.update(boxes((0, 0)), [], 0.0)
    assert len(places.update(boxes((100, 0)), [], 0.04)) == 2


def test_one_of_two_faces_is_lost() -> None:
    places = FacePlaces()
    places.update(boxes((0, 0), (100, 0)), [], 0.0)
    shown = places.update(boxes((2, 0)), [], 0.04)
    assert shown.tolist() == [*boxes((2, 0)).tolist(), *boxes((100, 0)).tolist()]


def test_after_a_reset_there_is_none() -> None:
    places = FacePlaces()
    places.update(boxes((0, 0)), [], 0.0)
    places.update(NONE, [], 0.1)
    places.update(boxes((50, 50)), [], 0.2)
    places.reset()
    assert len(places.update(NONE, [], 0.3)) == 0


def test_what_is_lost_is_hidden_where_it_may_be_by_now_for_a_second() -> None:
    places = FacePlaces(keep_s=1.0)
    places.update(boxes((0, 0)), [], 0.0)
    hidden = []
    for i in range(1, 15):
        lost = track(boxes((20 * i, 0))[0], TrackState.LOST, i / 10)
        hidden.append(places.update(NONE, [lost], i / 10).tolist())
    assert all(boxes((20 * i, 0)).tolist()[0] in hidden[i - 1] for i in range(1, 11))
    assert hidden[10:] == [[]] * 4
