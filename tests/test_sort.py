import itertools

import numpy as np
import pytest

from structures import Detections, TrackState
from tracking.boxes import iou_matrix
from tracking.sort import SortTracker


def found(*boxes):
    found = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections.of_boxes(found, np.ones(len(boxes), np.float32))


def face(x, y=100.0, side=60.0):
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


def states(tracks):
    return {track.track_id: track.state for track in tracks}


def settled(frames=10, x=200.0, **options):
    """A tracker that has followed one face at rest for `frames` frames."""
    tracker = SortTracker(**options)
    for _ in range(frames):
        tracker.update(found(face(x)))
    return tracker


def two_faces(every, tracker, frames=80, noise=1.5):
    """Follow two faces that pass each other; yield truth centres and tracks per frame.

    The lower one is hidden while their boxes overlap by a half.
    """
    rng = np.random.default_rng(every)
    for index in range(frames):
        a, b = face(60 + 6 * index, 100), face(540 - 6 * index, 112)
        boxes = [a] if iou_matrix([a], [b])[0, 0] > 0.5 else [a, b]
        if index % every:
            tracks = tracker.predict()
        else:
            tracks = tracker.update(
                found(*(np.array(boxes) + rng.normal(0, noise, (len(boxes), 4))))
            )
        yield np.array([a, b]), tracks


def test_in_the_first_frames_after_start_and_reset_faces_are_confirmed_at_once() -> None:
    tracker = SortTracker(min_hits=3)
    assert states(tracker.update(found(face(100)))) == {1: TrackState.CONFIRMED}
    settled_states = [states(tracker.update(found(face(100)))) for _ in range(5)][-1]
    assert settled_states == {1: TrackState.CONFIRMED}
    tracker.reset()
    assert states(tracker.update(found(face(100)))) == {2: TrackState.CONFIRMED}


def test_ids_are_never_used_again_after_a_reset_or_a_loss() -> None:
    tracker = SortTracker(max_age=1)
    seen = []
    for _ in range(4):
        seen += [track.track_id for track in tracker.update(found(face(100), face(300)))]
        tracker.reset()
    assert seen == list(range(1, 9))
    assert [t.track_id for t in SortTracker().update(found(face(100)))] == [1]


def test_with_detection_on_every_frame_min_hits_matches_confirm_a_track() -> None:
    tracker = settled(min_hits=3)
    got = [states(tracker.update(found(face(200), face(500))))[2] for _ in range(4)]
    assert got == ["tentative", "tentative", "confirmed", "confirmed"]


def test_with_min_hits_of_one_a_single_detection_confirms_a_track_at_any_time() -> None:
    assert states(settled(min_hits=1).update(found(face(500))))[2] is TrackState.CONFIRMED


def test_with_detection_on_every_fifth_frame_the_second_match_confirms_a_track() -> None:
    tracker = settled(min_hits=3)
    got = []
    for index in range(10):
        tracks = tracker.predict() if index % 5 else tracker.update(found(face(200), face(500)))
        got.append(states(tracks)[2])
    assert got == ["tentative"] * 5 + ["confirmed"] * 5


def test_a_tentative_track_ends_at_the_first_run_that_misses_it_but_not_between_runs() -> None:
    tracker = settled()
    tracker.update(found(face(200), face(500)))
    assert [sorted(states(tracker.predict())) for _ in range(4)] == [[1, 2]] * 4
    assert sorted(states(tracker.update(found(face(200))))) == [1]


@pytest.mark.parametrize("max_age", [0, 1, 4, 10])
def test_a_confirmed_track_is_returned_for_max_age_missed_frames_and_then_ends(
    max_age: int,
) -> None:
    tracker = settled(max_age=max_age)
    for missed in range(1, max_age + 1):
        (track,) = tracker.update(found())
        assert track.state is TrackState.CONFIRMED
        assert (track.time_since_update, track.detection_index) == (missed, None)
    assert tracker.update(found()) == []


@pytest.mark.parametrize("max_age, lasts", [(0, 4), (3, 9), (5, 9), (12, 12)])
def test_with_detection_on_every_fifth_frame_age_counts_frames_and_two_runs_must_miss(
    max_age: int, lasts: int
) -> None:
    tracker = settled(max_age=max_age)
    shown = 0
    for index in range(1, 30):
        tracks = tracker.predict() if index % 5 else tracker.update(found())
        shown += len(tracks)
    assert shown == lasts


def test_one_missed_run_makes_no_flicker_and_the_face_keeps_its_id() -> None:
    tracker = settled(max_age=3)
    ids, fates = set(), set()
    for index in range(40):
        (track,) = tracker.update(found() if index % 4 == 3 else found(face(200 + 3 * index)))
        ids.add(track.track_id)
        fates.add(track.state)
    assert (ids, fates) == ({1}, {TrackState.CONFIRMED})


@pytest.mark.parametrize("every", [1, 2, 3, 4, 5])
def test_two_faces_that_cross_keep_their_ids_however_often_detection_runs(every: int) -> None:
    tracker = SortTracker(min_hits=3)
    for index, (truth, tracks) in enumerate(two_faces(every, tracker)):
        assert sorted(states(tracks)) == [1, 2]
        if index % every == 0 and not 30 <= index < 50:
            overlap = iou_matrix([t.box for t in tracks], truth)
            assert (np.diag(overlap) > 0.5).all()


def test_between_runs_boxes_move_by_the_filter_and_are_never_fed_old_detections() -> None:
    tracker = SortTracker()
    for step in range(10):
        tracker.update(found(face(100 + 8 * step)))
    for ahead in range(1, 5):
        (track,) = tracker.predict()
        assert track.box[[0, 2]].mean() == pytest.approx(172 + 8 * ahead, abs=2)
        assert (track.time_since_update, track.detection_index) == (ahead, None)
        assert track.frames_seen == 10 + ahead


def test_detection_index_is_the_row_of_this_frame() -> None:
    tracker = SortTracker()
    tracker.update(found(face(100), face(300)))
    tracks = tracker.update(found(face(500), face(301), face(101)))
    assert {t.track_id: t.detection_index for t in tracks} == {1: 2, 2: 1, 3: 0}
    assert all(t.box.dtype == np.float32 for t in tracks)


def test_a_fast_face_whose_boxes_no_longer_overlap_enough_is_matched_at_second_try() -> None:
    tracker = settled()
    (track,) = tracker.update(found(face(200 + 45)))
    assert iou_matrix([face(200)], [face(245)])[0, 0] < 0.3
    assert (track.track_id, track.detection_index) == (1, 0)


def test_a_face_far_away_is_a_new_track() -> None:
    tracker = settled()
    assert sorted(states(tracker.update(found(face(400))))) == [1, 2]


def test_a_lost_face_does_not_sail_away() -> None:
    tracker = SortTracker(max_age=100)
    for step in range(20):
        tracker.update(found(face(100 + 10 * step)))
    for _ in range(100):
        (track,) = tracker.update(found())
    assert track.box[[0, 2]].mean() < 290 + 10 / (1 - 0.85) + 15


def test_a_face_that_shrank_to_nothing_ends_early_and_is_never_nan() -> None:
    tracker = SortTracker(max_age=200)
    for side in (100, 80, 62, 46, 32, 20, 12, 6):
        tracker.update(found(face(300, side=side)))
    for _ in range(60):
        tracks = tracker.update(found())
        assert all(np.isfinite(track.box).all() for track in tracks)
        assert all((track.box[2:] > track.box[:2]).all() for track in tracks)
    assert tracks == []


def test_a_face_that_left_by_the_left_edge_ends_before_max_age() -> None:
    tracker = SortTracker(max_age=50)
    for step in range(12):
        tracker.update(found(face(120 - 12 * step)))
    remaining = [len(tracker.update(found())) for _ in range(10)]
    assert remaining[-1] == 0


def test_equal_detections_are_two_tracks_and_stay_two() -> None:
    tracker = SortTracker()
    for _ in range(5):
        tracks = tracker.update(found(face(100), face(100)))
        assert sorted(states(tracks)) == [1, 2]
        assert sorted(t.detection_index for t in tracks) == [0, 1]


def test_boxes_without_area_are_passed_over() -> None:
    assert SortTracker().update(found([5, 5, 5, 9], [5, 5, 9, 5], [9, 9, 5, 5])) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_box_that_is_not_finite_is_refused_and_leaves_the_tracker_as_it_was(bad) -> None:
    tracker = settled()
    with pytest.raises(ValueError, match="finite, got"):
        tracker.update(found(face(200), [0, 0, bad, 10]))
    (track,) = tracker.update(found(face(200)))
    assert (track.track_id, track.frames_seen) == (1, 11)


def test_two_hundred_faces_are_followed_and_the_detections_left_alone() -> None:
    grid = [face(100 * i, 100 * j) for i in range(20) for j in range(10)]
    detections = found(*grid)
    before = detections.boxes.copy()
    tracker = SortTracker()
    for _ in range(3):
        tracks = tracker.update(detections)
    assert [t.track_id for t in tracks] == list(range(1, 201))
    assert [t.detection_index for t in tracks] == list(range(200))
    np.testing.assert_array_equal(detections.boxes, before)


def test_frames_without_faces_give_no_tracks() -> None:
    tracker = SortTracker()
    assert tracker.predict() == tracker.update(found()) == []


@pytest.mark.parametrize("options", [{"max_age": -1}, {"min_hits": 0}, {"iou_threshold": 0.0}])
def test_settings_out_of_range_are_refused(options) -> None:
    with pytest.raises(ValueError, match="got"):
        SortTracker(**options)


def test_where_tracks_will_be_is_told_without_moving_them() -> None:
    tracker = SortTracker()
    for x in range(0, 100, 10):
        tracker.update(found(face(x)))
    before = tracker.predicted_boxes()
    np.testing.assert_array_equal(before, tracker.predicted_boxes())
    (track,) = tracker.predict()
    np.testing.assert_allclose(before, [track.box], atol=1e-4)
    assert SortTracker().predicted_boxes().shape == (0, 4)


def test_a_weak_detection_carries_a_track_on_but_begins_none() -> None:
    def scored(score):
        boxes = found(face(100)).boxes
        return Detections.of_boxes(boxes, np.full(len(boxes), score, np.float32))

    tracker = SortTracker(start_score=0.9)
    assert tracker.update(scored(0.7)) == []
    (track,) = tracker.update(scored(0.95))
    (again,) = tracker.update(scored(0.7))
    assert (again.track_id, again.time_since_update) == (track.track_id, 0)


def test_trackers_that_share_ids_use_none_twice() -> None:
    ids = itertools.count(5)
    one, two = SortTracker(ids=ids), SortTracker(ids=ids)
    assert [t.track_id for t in one.update(found(face(10), face(300)))] == [5, 6]
    assert [t.track_id for t in two.update(found(face(10)))] == [7]
