from collections.abc import Iterator, Sequence
from typing import Any

import cv2
import numpy as np
import pytest

from detectors import Detector
from estimators import Estimator
from program.load import Effort
from program.pipeline import Pipeline, describe
from structures import Detections, Estimates, Float32, Frame, Image, TrackState
from tests.fakes import ConstantEstimator, ScriptedDetector, film
from tracking.places import FacePlaces
from tracking.poses import PoseSmoother
from tracking.smoothing import TrackSmoother
from tracking.sort import SortTracker

LEFT, RIGHT = [40.0, 60.0, 140.0, 180.0], [300.0, 60.0, 400.0, 180.0]
SIZE = (480, 270)


def pipeline_of(detector: Detector, estimator: Estimator | None = None, **options: Any) -> Pipeline:
    return Pipeline(
        detector, SortTracker(), estimator or ConstantEstimator(), TrackSmoother(), **options
    )


class PlacedEstimator(ConstantEstimator):
    """Reads the age off the chip: the brightness of the face it was cut from."""

    def estimate(self, chips: Image) -> Estimates:
        self.batches.append(len(chips))
        ages = chips[:, 48, 48, 0].astype(np.float32)
        n = len(chips)
        return Estimates(ages, np.full(n, 5, np.float32), np.full(n, 0.9, np.float32))


def test_all_faces_of_a_frame_go_through_the_network_in_one_call() -> None:
    estimator = ConstantEstimator()
    pipeline = pipeline_of(ScriptedDetector([[LEFT, RIGHT]]), estimator)
    tracks, people = pipeline.process(film(1, SIZE)[0])
    assert len(tracks) == len(people) == 2
    assert estimator.batches == [2]


def test_what_is_said_of_a_face_belongs_to_the_track_on_that_face() -> None:
    image = np.zeros((270, 480, 3), np.uint8)
    image[:, :240], image[:, 240:] = 30, 60
    frames = [Frame(image, i, i / 25) for i in range(10)]
    # The detector names the faces in another order every time.
    script = [[LEFT, RIGHT] if i % 2 else [RIGHT, LEFT] for i in range(10)]
    pipeline = pipeline_of(ScriptedDetector(script), PlacedEstimator())
    for frame in frames:
        tracks, people = pipeline.process(frame)
    for track in tracks:
        want = 30 if track.box[0] < 240 else 60
        assert people[track.track_id].age_years == pytest.approx(want, abs=1)


def test_between_searches_of_the_whole_picture_known_faces_are_looked_for_where_they_are() -> None:
    detector = ScriptedDetector([[LEFT]] * 12)
    pipeline = pipeline_of(detector, detect_every=3)
    shown = [pipeline.process(frame)[0] for frame in film(12, SIZE)]
    assert (detector.calls, detector.near_calls) == (4, 8)
    assert [[track.unseen_s for track in tracks] for tracks in shown] == [[0]] * 12


def test_a_new_face_is_found_by_the_next_search_of_the_whole_picture() -> None:
    script = [[LEFT]] * 4 + [[LEFT, RIGHT]] * 8
    pipeline = pipeline_of(ScriptedDetector(script), detect_every=3)
    seen = [len(pipeline.follow(f, g).tracks) for f, g in searched(pipeline, film(9, SIZE))]
    assert seen == [1, 1, 1, 1, 1, 1, 2, 2, 2]


def searched(
    pipeline: Pipeline, frames: Sequence[Frame]
) -> Iterator[tuple[Frame, Detections | None]]:
    """Each frame with what a search of its whole picture gave, where one was due."""
    for frame in frames:
        due = pipeline.wants_search(frame)
        yield frame, pipeline.search(frame, pipeline._detector) if due else None


@pytest.mark.parametrize(("fps", "search_s", "gap"), [(25, 0.2, 5), (10, 0.2, 2), (30, 0.4, 12)])
def test_left_to_itself_the_whole_picture_is_searched_by_the_clock(
    fps: int, search_s: float, gap: int
) -> None:
    pipeline = pipeline_of(ScriptedDetector([]), detect_every=None)
    pipeline.effort = Effort(search_s=search_s)
    due = [pipeline.wants_search(frame) for frame in film(4 * gap, SIZE, fps)]
    assert due == ([True] + [False] * (gap - 1)) * 4


def test_the_faces_of_two_cameras_go_through_the_network_in_one_call() -> None:
    estimator = ConstantEstimator()
    one, two = (pipeline_of(ScriptedDetector([[LEFT, RIGHT]]), estimator) for _ in range(2))
    frame = film(1, SIZE)[0]
    looks = [(p, p.follow(frame, p.search(frame, p._detector))) for p in (one, two)]
    describe(estimator, looks)
    assert estimator.batches == [4]
    for pipeline, look in looks:
        assert len(pipeline.result(look)[1]) == 2


def test_with_less_effort_faces_are_estimated_less_often() -> None:
    made = []
    for gap_s in (0.0, 0.32):
        pipeline = pipeline_of(ScriptedDetector([[LEFT]] * 24))
        pipeline.effort = Effort(estimate_gap_s=gap_s)
        for frame in film(24, SIZE):
            pipeline.process(frame)
        made.append(pipeline.smoother.estimates_made)
    assert made == [24, 3]


def test_where_faces_are_hidden_small_ones_are_looked_for_under_load_too() -> None:
    class Noting(ScriptedDetector):
        def detect(self, image: Image, coarse: float = 1.0) -> Detections:
            asked.append(coarse)
            return super().detect(image, coarse)

    asked: list[float] = []
    for places in (None, FacePlaces()):
        pipeline = pipeline_of(Noting([]), places=places)
        pipeline.effort = Effort(coarse=2.0)
        pipeline.process(film(1, SIZE)[0])
    assert asked == [2.0, 1.0]


def test_a_new_epoch_starts_with_a_detection_and_with_nobody_known() -> None:
    detector = ScriptedDetector([[LEFT]] * 5)
    pipeline = pipeline_of(detector, detect_every=4)
    before = [pipeline.process(frame) for frame in film(2, SIZE)]
    image = film(1, SIZE)[0].image
    tracks, people = pipeline.process(Frame(image, 2, 0.08, epoch=1))
    assert detector.calls == 2
    assert tracks[0].track_id != before[0][0][0].track_id
    assert people[tracks[0].track_id].samples == 1


def test_only_confirmed_tracks_are_shown_and_described() -> None:
    estimator = ConstantEstimator()
    pipeline = pipeline_of(ScriptedDetector([[]] * 10 + [[LEFT]] * 3), estimator)
    for frame in film(11, SIZE):
        tracks, _ = pipeline.process(frame)
    assert tracks == ()
    assert sum(estimator.batches) == 0
    for frame in film(13, SIZE)[11:]:
        tracks, _ = pipeline.process(frame)
    assert [track.state for track in tracks] == [TrackState.CONFIRMED]


def test_a_settled_track_is_estimated_less_often_and_the_saving_is_counted() -> None:
    estimator = ConstantEstimator()
    pipeline = pipeline_of(ScriptedDetector([[LEFT]] * 200), estimator)
    for frame in film(200, SIZE):
        tracks, people = pipeline.process(frame)
    assert people[tracks[0].track_id].converged
    assert pipeline.smoother.estimates_made == sum(estimator.batches)
    assert pipeline.smoother.estimates_made + pipeline.smoother.estimates_saved == 200
    assert pipeline.smoother.estimates_saved > 100


def test_every_second_chip_of_a_track_is_mirrored_and_its_first_is_not() -> None:
    class Looking(ConstantEstimator):
        def estimate(self, chips: Image) -> Estimates:
            brighter = chips[:, 48, :48].mean((1, 2)) > chips[:, 48, 48:].mean((1, 2))
            seen.extend(brighter.tolist())
            return super().estimate(chips)

    seen: list[bool] = []
    image = np.zeros((270, 480, 3), np.uint8)
    image[:, :90] = 200  # the left half of the face
    pipeline = pipeline_of(ScriptedDetector([[LEFT]] * 8), Looking())
    pipeline.effort = Effort(estimate_gap_s=0.0)
    for index in range(8):
        pipeline.process(Frame(image, index, index / 25))
    assert seen == [True, False] * 4


def test_ethnicity_goes_no_further_unless_it_was_asked_for() -> None:
    class Telling(ConstantEstimator):
        has_ethnicity = True

        def estimate(self, chips: Image) -> Estimates:
            made = super().estimate(chips)
            shares = np.full((len(chips), 5), 0.2, np.float32)
            return Estimates(made.age_years, made.age_spread_years, made.female_prob, shares)

    for asked in (False, True):
        pipeline = pipeline_of(ScriptedDetector([[LEFT]]), Telling(), ethnicity=asked)
        _, people = pipeline.process(film(1, SIZE)[0])
        assert (people[1].ethnicity_probs is not None) == asked


def test_a_frame_without_faces_costs_no_network_call() -> None:
    estimator = ConstantEstimator()
    assert pipeline_of(ScriptedDetector([[]]), estimator).process(film(1, SIZE)[0]) == ((), {})
    assert estimator.batches == []


def test_detecting_on_every_zeroth_frame_is_refused() -> None:
    with pytest.raises(ValueError, match="got 0"):
        pipeline_of(ScriptedDetector([]), detect_every=0)


def texture(seed: int) -> Image:
    """An image unlike those of other seeds."""
    coarse = np.random.default_rng(seed).integers(0, 256, (9, 16, 3), np.uint8)
    return cv2.resize(coarse, SIZE, interpolation=cv2.INTER_CUBIC)


def test_nobody_is_followed_over_a_hard_cut_and_the_frame_after_it_is_searched_whole() -> None:
    detector = ScriptedDetector([[LEFT]] * 12)
    pipeline = pipeline_of(detector, detect_every=100)
    shown = []
    for index in range(12):
        frame = pipeline.begin(Frame(texture(index // 6), index, index / 25))
        found = pipeline.search(frame, detector) if pipeline.wants_search(frame) else None
        look = pipeline.follow(frame, found)
        shown.append([track.track_id for track in pipeline.result(look)[0]])
    assert (detector.calls, detector.near_calls) == (2, 10)
    assert shown == [[1]] * 6 + [[2]] * 6


def test_a_search_because_of_a_cut_does_not_move_the_others() -> None:
    pipeline = pipeline_of(ScriptedDetector([]), detect_every=5)
    frames = [Frame(texture(int(i >= 7)), i, i / 25) for i in range(16)]
    due = [i for i, each in enumerate(frames) if pipeline.wants_search(pipeline.begin(each))]
    assert due == [0, 5, 7, 10, 15]


def test_who_is_not_found_is_remembered_with_what_is_known_and_shown_nowhere() -> None:
    detector = ScriptedDetector([[LEFT]] * 10 + [[]] * 20 + [[LEFT]] * 5)
    pipeline = pipeline_of(detector)
    looks = [pipeline.follow(f, pipeline.search(f, detector)) for f in film(35, SIZE)]
    shown = [len(pipeline.result(look)[0]) for look in looks]
    assert shown == [1] * 13 + [0] * 17 + [1] * 5
    assert [sorted(look.remembered) for look in looks] == [[]] * 13 + [[1]] * 17 + [[]] * 5


def test_a_box_on_nobody_ends_at_the_edge_and_goes_when_more_than_half_has_left() -> None:
    boxes = [[[x, 60.0, x + 60, 130.0]] for x in np.arange(200, 440, 12.0)]
    detector = ScriptedDetector([*boxes, [], [], []])
    pipeline = pipeline_of(detector)
    for frame in film(len(boxes) + 3, SIZE):
        tracks, _ = pipeline.process(frame)
        for track in tracks:
            assert track.unseen_s == 0 or track.box[2] <= SIZE[0]
    assert tracks == ()


class TurnedFaces(ScriptedDetector):
    """Of its faces those on the left have heads that point to the right."""

    def _found(self, boxes: Float32) -> Detections:
        found = super()._found(boxes)
        points = found.landmarks.copy()
        points[:, 2, 0] += np.where(boxes[:, 0] < 200, 10, 0)  # the nose
        return Detections(found.boxes, found.scores, points)


def test_each_track_has_the_pose_of_its_own_head_in_the_frames_that_show_it() -> None:
    detector = TurnedFaces([[LEFT, RIGHT], [RIGHT, LEFT], [RIGHT], [LEFT, RIGHT]])
    pipeline = pipeline_of(detector, poses=PoseSmoother())
    for i, frame in enumerate(film(4, SIZE)):
        look = pipeline.follow(frame, pipeline.search(frame, detector))
        here = {t.track_id: t.box[0] < 200 for t in look.tracks}
        assert len(look.poses) == (1 if i == 2 else 2)
        for track_id, pose in look.poses.items():
            assert (pose.yaw_deg > 10) == here[track_id]


def test_without_being_asked_for_no_pose_is_worked_out() -> None:
    detector = ScriptedDetector([[LEFT, RIGHT]])
    (frame,) = film(1, SIZE)
    assert pipeline_of(detector).follow(frame, detector.detect(frame.image)).poses == {}


@pytest.mark.parametrize("last_s", [0.16, 0.06])
def test_a_face_missed_where_time_stands_or_goes_back_is_not_taken_for_found(last_s: float) -> None:
    detector = TurnedFaces([[LEFT]] * 5 + [[]])
    pipeline = pipeline_of(detector, poses=PoseSmoother())
    image = film(1, SIZE)[0].image
    for i, time_s in enumerate([0.0, 0.04, 0.08, 0.12, 0.16, last_s]):
        look = pipeline.follow(Frame(image, i, time_s), detector.detect(image))
    (track,) = look.tracks
    assert (track.unseen_s, track.found) == (0.0, False)
    assert (list(look.due), look.poses) == ([], {})


def test_nobody_is_followed_over_a_clock_that_is_set_back() -> None:
    detector = ScriptedDetector([[LEFT]] * 10 + [[]] * 2 + [[RIGHT]] * 30)
    pipeline = pipeline_of(detector)
    image = film(1, SIZE)[0].image
    times_s = [60 + i / 25 for i in range(10)] + [i / 25 for i in range(32)]
    for i, time_s in enumerate(times_s):
        tracks, people = pipeline.process(Frame(image, i, time_s))
    (track,) = tracks
    assert (track.track_id, track.found) == (2, True)
    assert track.lived_s == pytest.approx(29 / 25)
    assert people[2].samples > 1


def test_poses_are_not_smoothed_over_a_cut() -> None:
    detector = TurnedFaces([[LEFT], [RIGHT]])
    turned = pipeline_of(detector, poses=PoseSmoother())
    straight = pipeline_of(detector, poses=PoseSmoother())
    image = film(1, SIZE)[0].image
    left, right = (detector.detect(image) for _ in range(2))
    turned.follow(Frame(image, 0, 0.0), left)
    (after,) = turned.follow(Frame(image, 1, 0.04, epoch=1), right).poses.values()
    (alone,) = straight.follow(Frame(image, 0, 0.0), right).poses.values()
    assert after == alone


def test_faces_are_hidden_in_a_frame_that_was_under_way_when_hiding_began() -> None:
    detector = ScriptedDetector([[LEFT]])
    pipeline = pipeline_of(detector)
    frame = pipeline.begin(film(1, SIZE)[0])
    pipeline.hides = True
    look = pipeline.follow(frame, pipeline.search(frame, detector))
    assert len(look.places) and (look.places == LEFT).all()
