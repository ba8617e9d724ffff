"""What happens to one frame: detections -> tracks -> chips -> estimates -> smoothed.

The stages come in through the constructor, so that tests and benchmarks can put in
their own; the only state kept is the tracker's and the smoother's.
"""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from detectors import Detector
from estimators import Estimator
from estimators.crops import align, fit_misfit_and_size
from estimators.evidence import evidence_weights
from structures import Detections, Frame, Smoothed, Track, TrackState
from tracking import Smoother, Tracker


class Pipeline:
    """Finds, follows and describes the faces of successive frames.

    Attributes:
        smoother: as given; it counts the estimates made and saved.
    """

    def __init__(
        self,
        detector: Detector,
        tracker: Tracker,
        estimator: Estimator,
        smoother: Smoother,
        detect_every: int = 1,
        ethnicity: bool = False,
    ) -> None:
        """Put the stages together.

        Args:
            detector: finds faces; must give landmarks.
            tracker: follows them.
            estimator: describes their chips.
            smoother: keeps the running answer of each track.
            detect_every: detection runs on every Nth frame; tracks are predicted between.
            ethnicity: whether ethnicity is kept; where not, it goes no further than here.

        Raises:
            ValueError: `detect_every` below 1.
        """
        if detect_every < 1:
            raise ValueError(f"detect_every must be at least 1, got {detect_every}")
        self._detector, self._tracker = detector, tracker
        self._estimator, self.smoother = estimator, smoother
        self._detect_every, self._ethnicity = detect_every, ethnicity
        self._epoch: int | None = None
        self._until_detection = 0

    def process(self, frame: Frame) -> tuple[tuple[Track, ...], dict[int, Smoothed]]:
        """Take one frame through all stages.

        Returns:
            The confirmed tracks by id, and what is known of them so far.
        """
        if frame.epoch != self._epoch:
            self._tracker.reset()
            self._epoch, self._until_detection = frame.epoch, 0
        if self._until_detection == 0:
            detections = self._detector.detect(frame.image)
            tracks = self._tracker.update(detections)
            self._describe(frame, detections, tracks)
            self._until_detection = self._detect_every
        else:
            tracks = self._tracker.predict()
        self._until_detection -= 1
        self.smoother.forget_except({track.track_id for track in tracks})
        shown = tuple(track for track in tracks if track.state is TrackState.CONFIRMED)
        known = {track.track_id: self.smoother.current(track.track_id) for track in shown}
        return shown, {track_id: value for track_id, value in known.items() if value is not None}

    def _describe(self, frame: Frame, detections: Detections, tracks: Sequence[Track]) -> None:
        """Estimate the faces found in this frame that are due, in one batch, and smooth."""
        seen = [t for t in tracks if t.state is TrackState.CONFIRMED and t.time_since_update == 0]
        due = [t for t in seen if self.smoother.is_due(t.track_id, frame.index)]
        if not due or detections.landmarks is None:
            return
        rows = np.array([t.detection_index for t in due])
        points, template = detections.landmarks[rows], self._detector.landmark_template
        chips = align(frame.image, points, template, self._estimator.input_size)
        estimates = self._estimator.estimate(chips)
        if not self._ethnicity:
            estimates = replace(estimates, ethnicity_probs=None)
        misfit, chip_px = fit_misfit_and_size(points, template)
        scores = detections.scores[rows]
        weights = evidence_weights(scores, self._detector.confident_score, chip_px, misfit, chips)
        ids = [t.track_id for t in due]
        self.smoother.update(ids, estimates, weights, frame.index)
