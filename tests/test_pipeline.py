import numpy as np
import pytest

from pipeline import Pipeline
from structures import Detections, Estimates, Frame, TrackState
from tests.fakes import ConstantEstimator, ScriptedDetector, film
from tracking.smoothing import TrackSmoother
from tracking.sort import SortTracker

LEFT, RIGHT = [40.0, 60.0, 140.0, 180.0], [300.0, 60.0, 400.0, 180.0]
SIZE = (480, 270)


def pipeline_of(detector, estimator=None, **options) -> Pipeline:
    return Pipeline(
        detector, SortTracker(), estimator or ConstantEstimator(), TrackSmoother(), **options
    )


class PlacedEstimator(ConstantEstimator):
    """Reads the age off the chip: the brightness of the face it was cut from."""

    def estimate(self, chips):
        self.batches.append(len(chips))
        ages = chips[:, 48, 48, 0].astype(np.float32)
        n = len(chips)
        return Estimates(ages, np.full(n, 5, np.float32), np.full(n, 0.9, np.float32))


def test_all_faces_of_a_frame_go_through_the_network_in_one_call():
    estimator = ConstantEstimator()
    pipeline = pipeline_of(ScriptedDetector([[LEFT, RIGHT]]), estimator)
    tracks, people = pipeline.process(film(1, SIZE)[0])
    assert len(tracks) == len(people) == 2
    assert estimator.batches == [2]


def test_what_is_said_of_a_face_belongs_to_the_track_on_that_face():
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


def test_between_detections_faces_stay_and_the_detector_rests():
    detector = ScriptedDetector([[LEFT]] * 4)
    pipeline = pipeline_of(detector, detect_every=3)
    shown = [len(pipeline.process(frame)[0]) for frame in film(12, SIZE)]
    assert detector.calls == 4
    assert shown == [1] * 12


def test_a_new_epoch_starts_with_a_detection_and_with_nobody_known():
    detector = ScriptedDetector([[LEFT]] * 5)
    pipeline = pipeline_of(detector, detect_every=4)
    before = [pipeline.process(frame) for frame in film(2, SIZE)]
    image = film(1, SIZE)[0].image
    tracks, people = pipeline.process(Frame(image, 2, 0.08, epoch=1))
    assert detector.calls == 2
    assert tracks[0].track_id != before[0][0][0].track_id
    assert people[tracks[0].track_id].samples == 1


def test_only_confirmed_tracks_are_shown_and_described():
    estimator = ConstantEstimator()
    pipeline = pipeline_of(ScriptedDetector([[]] * 10 + [[LEFT]] * 3), estimator)
    for frame in film(11, SIZE):
        tracks, _ = pipeline.process(frame)
    assert tracks == ()
    assert sum(estimator.batches) == 0
    for frame in film(13, SIZE)[11:]:
        tracks, _ = pipeline.process(frame)
    assert [track.state for track in tracks] == [TrackState.CONFIRMED]


def test_a_settled_track_is_estimated_less_often_and_the_saving_is_counted():
    estimator = ConstantEstimator()
    pipeline = pipeline_of(ScriptedDetector([[LEFT]] * 200), estimator)
    for frame in film(200, SIZE):
        tracks, people = pipeline.process(frame)
    assert people[tracks[0].track_id].converged
    assert pipeline.smoother.estimates_made == sum(estimator.batches)
    assert pipeline.smoother.estimates_made + pipeline.smoother.estimates_saved == 200
    assert pipeline.smoother.estimates_saved > 100


def test_ethnicity_goes_no_further_unless_it_was_asked_for():
    class Telling(ConstantEstimator):
        has_ethnicity = True

        def estimate(self, chips):
            told = super().estimate(chips)
            shares = np.full((len(chips), 5), 0.2, np.float32)
            return Estimates(told.age_years, told.age_spread_years, told.female_prob, shares)

    for asked in (False, True):
        pipeline = pipeline_of(ScriptedDetector([[LEFT]]), Telling(), ethnicity=asked)
        _, people = pipeline.process(film(1, SIZE)[0])
        assert (people[1].ethnicity_probs is not None) == asked


def test_a_frame_without_faces_costs_no_network_call():
    estimator = ConstantEstimator()
    assert pipeline_of(ScriptedDetector([[]]), estimator).process(film(1, SIZE)[0]) == ((), {})
    assert estimator.batches == []


def test_detecting_on_every_zeroth_frame_is_refused():
    with pytest.raises(ValueError, match="got 0"):
        pipeline_of(ScriptedDetector([]), detect_every=0)


def test_detections_without_landmarks_are_followed_but_not_described():
    class Blind(ScriptedDetector):
        def detect(self, image):
            found = super().detect(image)
            return Detections(found.boxes, found.scores)

    tracks, people = pipeline_of(Blind([[LEFT]])).process(film(1, SIZE)[0])
    assert len(tracks) == 1
    assert people == {}
