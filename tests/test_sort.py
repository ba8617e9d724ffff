import itertools
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from structures import Detections, Track, TrackState
from tracking.association import assign
from tracking.boxes import iou_matrix
from tracking.kalman import FADING
from tracking.sort import SHOWN_S, SortTracker


def found(*boxes: ArrayLike) -> Detections:
    found = np.array(boxes, np.float32).reshape(-1, 4)
    return Detections.of_boxes(found, np.ones(len(boxes), np.float32))


class Player:
    """A tracker that is given one frame after the other, `fps` a second."""

    def __init__(self, fps: float = 25.0, **options: Any) -> None:
        self.tracker = SortTracker(**options)
        self.fps, self.frames = fps, 0

    @property
    def time_s(self) -> float:
        """Of the next frame."""
        return self.frames / self.fps

    def update(self, detections: Detections) -> list[Track]:
        tracks = self.tracker.update(detections, self.time_s)
        self.frames += 1
        return tracks

    def predict(self) -> list[Track]:
        tracks = self.tracker.predict(self.time_s)
        self.frames += 1
        return tracks


def face(x: float, y: float = 100.0, side: float = 60.0) -> list[float]:
    return [x - side / 2, y - side / 2, x + side / 2, y + side / 2]


def states(tracks: list[Track]) -> dict[int, TrackState]:
    return {track.track_id: track.state for track in tracks}


def settled(frames: int = 10, x: float = 200.0, fps: float = 25.0, **options: Any) -> Player:
    """A tracker that has followed one face at rest for `frames` frames."""
    tracker = Player(fps, **options)
    for _ in range(frames):
        tracker.update(found(face(x)))
    return tracker


def two_faces(
    every: int, tracker: Player, frames: int = 80, noise: float = 1.5
) -> Iterator[tuple[np.ndarray, list[Track]]]:
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
    tracker = Player(min_hits=3)
    assert states(tracker.update(found(face(100)))) == {1: TrackState.CONFIRMED}
    settled_states = [states(tracker.update(found(face(100)))) for _ in range(5)][-1]
    assert settled_states == {1: TrackState.CONFIRMED}
    tracker.tracker.reset()
    assert states(tracker.update(found(face(100)))) == {2: TrackState.CONFIRMED}


def test_ids_are_never_used_again_after_a_reset_or_a_loss() -> None:
    tracker = Player(max_age=1)
    seen = []
    for _ in range(4):
        seen += [track.track_id for track in tracker.update(found(face(100), face(300)))]
        tracker.tracker.reset()
    assert seen == list(range(1, 9))
    assert [t.track_id for t in Player().update(found(face(100)))] == [1]


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
def test_a_confirmed_track_lives_for_max_age_missed_frames_and_then_ends(max_age: int) -> None:
    tracker = settled(max_age=max_age)
    for missed in range(1, max_age + 1):
        (track,) = tracker.update(found())
        assert track.state is (TrackState.CONFIRMED if missed <= 3 else TrackState.LOST)
        assert track.unseen_s == pytest.approx(missed / 25)
        assert track.detection_index is None
    assert tracker.update(found()) == []


@pytest.mark.parametrize("fps", [2, 5, 10, 25, 30, 60])
def test_a_box_is_shown_on_nobody_for_one_run_or_an_eighth_of_a_second(fps: int) -> None:
    tracker = settled(frames=2 * fps, fps=fps)
    fates = [states(tracker.update(found())).get(1) for _ in range(fps)]
    shown_s = fates.count(TrackState.CONFIRMED) / fps
    assert shown_s <= max(SHOWN_S + 1e-9, 1 / fps)
    assert shown_s > SHOWN_S - 1 / fps
    assert fates[-1] is TrackState.LOST


def test_what_is_lost_behind_another_face_is_not_shown_meanwhile() -> None:
    tracker = Player()
    for _ in range(10):
        tracker.update(found(face(200), face(230, side=80)))
    for overlaps in (True, False):
        shown = states(tracker.update(found(face(230 if overlaps else 300, side=80))))
        assert shown[2] is TrackState.CONFIRMED
        assert (shown[1] is TrackState.LOST) == overlaps


def test_a_lost_face_that_is_found_again_is_the_same_and_shown_at_once() -> None:
    tracker = settled()
    lost = [states(tracker.update(found())) for _ in range(20)][-1]
    assert lost == {1: TrackState.LOST}
    assert states(tracker.update(found(face(205)))) == {1: TrackState.CONFIRMED}


def test_somebody_far_off_and_of_another_size_does_not_get_the_id_of_who_is_lost() -> None:
    tracker = Player()
    for index in range(40):
        tracker.update(found(face(100 + 4 * index, side=85)))
    for _ in range(29):
        tracker.update(found())
    tracks = [tracker.update(found(face(600, y=130, side=60))) for _ in range(4)][-1]
    assert [track.track_id for track in tracks if track.state is TrackState.CONFIRMED] == [2]


def walk(fps: float, seconds: float = 4.0) -> dict[int, list[float]]:
    """Times at which each id is shown: one face walks, hidden from 1.5 to 2.2 s; one comes at 3."""
    tracker, shown = Player(fps), dict[int, list[float]]()
    while (time_s := tracker.time_s) < seconds:
        faces = [] if 1.5 <= time_s < 2.2 else [face(100 + 80 * time_s)]
        faces += [face(500)] if time_s >= 3.0 else []
        for track_id, state in states(tracker.update(found(*faces))).items():
            if state is TrackState.CONFIRMED:
                shown.setdefault(track_id, []).append(time_s)
    return shown


@pytest.mark.parametrize("fps", [5, 10, 15, 30, 60, 120])
def test_a_scene_gives_the_same_tracks_at_any_number_of_frames_a_second(fps: int) -> None:
    usual, other = walk(25), walk(fps)
    assert usual.keys() == other.keys() == {1, 2}
    slack_s = 1 / min(fps, 25) + 0.04
    for track_id, times in usual.items():
        assert other[track_id][0] == pytest.approx(times[0], abs=slack_s)
        hidden, other_hidden = (max(np.diff(each)) for each in (times, other[track_id]))
        assert other_hidden == pytest.approx(hidden, abs=2 * slack_s)


def test_a_frame_whose_time_does_not_grow_counts_as_no_time_passed() -> None:
    tracker = settled()
    for time_s in (0.36, 0.2, 0.36):
        (track,) = tracker.tracker.update(found(), time_s)
        assert track.unseen_s == 0


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
    tracker = Player(min_hits=3)
    for index, (truth, tracks) in enumerate(two_faces(every, tracker)):
        assert sorted(states(tracks)) == [1, 2]
        if index % every == 0 and not 30 <= index < 50:
            overlap = iou_matrix([t.box for t in tracks], truth)
            assert (np.diag(overlap) > 0.5).all()


def test_between_runs_boxes_move_by_the_filter_and_are_never_fed_old_detections() -> None:
    tracker = Player()
    for step in range(10):
        tracker.update(found(face(100 + 8 * step)))
    for ahead in range(1, 5):
        (track,) = tracker.predict()
        assert track.box[[0, 2]].mean() == pytest.approx(172 + 8 * ahead, abs=2)
        assert track.unseen_s == pytest.approx(ahead / 25)
        assert track.detection_index is None
        assert track.lived_s == pytest.approx((9 + ahead) / 25)


def test_detection_index_is_the_row_of_this_frame() -> None:
    tracker = Player()
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
    tracker = Player(max_age=100)
    for step in range(20):
        tracker.update(found(face(100 + 10 * step)))
    for _ in range(100):
        (track,) = tracker.update(found())
    assert track.box[[0, 2]].mean() < 290 + 250 / FADING + 15


def test_a_face_that_shrank_to_nothing_ends_early_and_is_never_nan() -> None:
    tracker = Player(max_age=200)
    for side in (100, 80, 62, 46, 32, 20, 12, 6):
        tracker.update(found(face(300, side=side)))
    for _ in range(60):
        tracks = tracker.update(found())
        assert all(np.isfinite(track.box).all() for track in tracks)
        assert all((track.box[2:] > track.box[:2]).all() for track in tracks)
    assert tracks == []


def test_a_face_that_left_by_the_left_edge_ends_before_max_age() -> None:
    tracker = Player(max_age=50)
    for step in range(12):
        tracker.update(found(face(120 - 12 * step)))
    remaining = [len(tracker.update(found())) for _ in range(10)]
    assert remaining[-1] == 0


def test_equal_detections_are_two_tracks_and_stay_two() -> None:
    tracker = Player()
    for _ in range(5):
        tracks = tracker.update(found(face(100), face(100)))
        assert sorted(states(tracks)) == [1, 2]
        assert {t.detection_index for t in tracks} == {0, 1}


def test_boxes_without_area_are_passed_over() -> None:
    assert Player().update(found([5, 5, 5, 9], [5, 5, 9, 5], [9, 9, 5, 5])) == []


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_a_box_that_is_not_finite_is_refused_and_leaves_the_tracker_as_it_was(
    bad: float,
) -> None:
    tracker = settled()
    with pytest.raises(ValueError, match="finite, got"):
        tracker.update(found(face(200), [0, 0, bad, 10]))
    (track,) = tracker.update(found(face(200)))
    assert track.track_id == 1
    assert track.lived_s == pytest.approx(0.4)


def test_two_hundred_faces_are_followed_and_the_detections_left_alone() -> None:
    grid = [face(100 * i, 100 * j) for i in range(20) for j in range(10)]
    detections = found(*grid)
    before = detections.boxes.copy()
    tracker = Player()
    for _ in range(3):
        tracks = tracker.update(detections)
    assert [t.track_id for t in tracks] == list(range(1, 201))
    assert [t.detection_index for t in tracks] == list(range(200))
    np.testing.assert_array_equal(detections.boxes, before)


def test_frames_without_faces_give_no_tracks() -> None:
    tracker = Player()
    assert tracker.predict() == tracker.update(found()) == []


@pytest.mark.parametrize("options", [{"max_age": -1}, {"min_hits": 0}, {"iou_threshold": 0.0}])
def test_settings_out_of_range_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="got"):
        SortTracker(**options)


def test_where_tracks_will_be_is_told_without_moving_them() -> None:
    tracker = Player()
    for x in range(0, 100, 10):
        tracker.update(found(face(x)))
    before = tracker.tracker.predicted_boxes(tracker.time_s)
    np.testing.assert_array_equal(before, tracker.tracker.predicted_boxes(tracker.time_s))
    (track,) = tracker.predict()
    np.testing.assert_allclose(before, [track.box], atol=1e-4)
    assert SortTracker().predicted_boxes(1.0).shape == (0, 4)


def test_a_weak_detection_carries_a_track_on_but_begins_none() -> None:
    def scored(score: float) -> Detections:
        boxes = found(face(100)).boxes
        return Detections.of_boxes(boxes, np.full(len(boxes), score, np.float32))

    tracker = Player(start_score=0.9)
    assert tracker.update(scored(0.7)) == []
    (track,) = tracker.update(scored(0.95))
    (again,) = tracker.update(scored(0.7))
    assert (again.track_id, again.unseen_s) == (track.track_id, 0)


def test_trackers_that_share_ids_use_none_twice() -> None:
    ids = itertools.count(5)
    one, two = Player(ids=ids), Player(ids=ids)
    assert [t.track_id for t in one.update(found(face(10), face(300)))] == [5, 6]
    assert [t.track_id for t in two.update(found(face(10)))] == [7]


def test_assignment_is_the_best_of_all_permutations_on_small_random_cases() -> None:
    rng = np.random.default_rng(4)
    for rows, columns in itertools.product(range(1, 5), repeat=2):
        overlap = rng.random((rows, columns))
        pairs = assign(overlap, 0.3)
        size = max(rows, columns)
        square = np.zeros((size, size))
        square[:rows, :columns] = np.where(overlap >= 0.3, overlap, 0)
        best = max(
            sum(square[row, column] for row, column in enumerate(order))
            for order in itertools.permutations(range(size))
        )
        assert sum(overlap[pair] for pair in pairs.items()) == pytest.approx(best)
        assert len(set(pairs.values())) == len(pairs)
        assert all(overlap[pair] >= 0.3 for pair in pairs.items())


def test_an_acceptable_pair_is_not_given_up_for_one_below_the_threshold() -> None:
    overlap = np.array([[0.5, 0.29], [0.45, 0.0]])
    assert assign(overlap, 0.3) == {0: 0}
    assert assign(np.array([[0.31, 0.29], [0.29, 0.0]]), 0.3) == {0: 0}


def test_assignment_of_nothing_is_nothing() -> None:
    for shape in ((0, 0), (0, 3), (3, 0)):
        assert assign(np.zeros(shape), 0.3) == {}


def after_gap(gap_s: float, *boxes: ArrayLike, fps: float = 25.0, x: float = 200.0) -> list[Track]:
    """The tracks in the second frame after a gap, before which there was one face at `x`."""
    player = settled(frames=50, fps=fps, x=x)
    tracker, start_s = player.tracker, player.time_s + gap_s
    tracker.update(found(*boxes), start_s)
    return tracker.update(found(*boxes), start_s + 1 / fps)


@pytest.mark.parametrize("gap_s", [1.5, 4.0, 60.0, 3600.0])
def test_after_a_gap_a_face_elsewhere_is_somebody_else(gap_s: float) -> None:
    assert [track.track_id for track in after_gap(gap_s, face(500))] == [2]


@pytest.mark.parametrize("gap_s", [1.5, 4.0, 60.0, 3600.0])
def test_after_a_gap_a_face_at_its_place_keeps_its_id(gap_s: float) -> None:
    (track,) = after_gap(gap_s, face(230, side=66))
    assert (track.track_id, track.state) == (1, TrackState.CONFIRMED)


def test_after_a_gap_no_box_is_shown_on_nobody() -> None:
    player = settled(frames=50)
    assert player.tracker.update(found(), player.time_s + 4) == []


@pytest.mark.parametrize("gap_s", [1.0, 2.0, 4.0])
def test_a_camera_of_few_frames_has_no_gaps(gap_s: float) -> None:
    player = settled(frames=3, fps=1 / gap_s)
    assert [t.track_id for t in player.update(found(face(420)))] == [1]
