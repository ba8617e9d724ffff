"""What happens to one frame: detections -> tracks -> chips -> estimates -> smoothed.

The stages come in through the constructor and keep what they know of the frames before; here are
only the known places of faces, the epoch and when the whole image was searched.

`process` takes one frame through all of it. `program.loop` runs the steps apart: `begin` looks
for a cut, then it asks `wants_search`, lets a thread search the image, calls `follow` with the
detections, and `describe` with the looks of several channels, so that all their faces go
through the network in one batch.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np

from detectors import Detector
from estimators import Estimator
from estimators.crops import align, evidence_weights, fit_misfit_and_size
from estimators.pose import head_poses
from program.load import Effort
from structures import (
    NOWHERE,
    SLACK_S,
    Detections,
    Estimates,
    Float32,
    Frame,
    HeadPose,
    Image,
    RawValues,
    Smoothed,
    Track,
    TrackEstimates,
    TrackState,
)
from tracking import Smoother, Tracker
from tracking.camera import CameraMotion
from tracking.cuts import CutFinder
from tracking.places import FacePlaces
from tracking.poses import PoseSmoother
from tracking.recall import Recall


@dataclass(frozen=True, slots=True, eq=False)
class Look:
    """The faces of one frame, followed but not yet described.

    Attributes:
        frame: the frame.
        tracks: all live tracks, tentative ones too.
        places: (N, 4) float32 xyxy, wherever a face is or may be, with or without a confirmed
            track: what to hide. Empty where faces are not hidden.
        remembered: ids of the tracks that live but are not shown.
        due: ids of the B tracks to be estimated.
        chips: (B, S, S, 3) uint8 RGB, theirs; every second one of a track is mirrored, so that
            the smoother averages both views of a face at no cost.
        weights: (B,) float32, how far each chip can be trusted.
        found: all detections of the frame.
        searched: whether they are of the whole image, or from near the known faces.
        rows: of the B detections that are estimated.
        estimates: what `describe` found, None before that and where nothing is due.
        poses: as in `FrameResult`.
    """

    frame: Frame
    tracks: Sequence[Track]
    places: Float32
    remembered: frozenset[int]
    due: Sequence[int]
    chips: Image
    weights: Float32
    found: Detections
    searched: bool
    rows: tuple[int, ...] = ()
    estimates: TrackEstimates | None = None
    poses: dict[int, HeadPose] = field(default_factory=dict)

    @property
    def raw(self) -> RawValues:
        """What the networks said of this frame; complete once it has been described."""
        made = self.estimates
        if made is None:
            return RawValues(self.found, self.searched)
        return RawValues(self.found, self.searched, self.rows, made.estimates, made.weights)


class Pipeline:
    """Finds, follows and describes the faces of one source's successive frames.

    Args:
        detector: finds faces; must return landmarks.
        tracker: follows them.
        estimator: describes their chips.
        smoother: keeps the running estimate of each track.
        detect_every: the whole image is searched on every Nth frame, and near the
            known faces on those between; None = as `effort` says.
        ethnicity: whether ethnicity is kept; if not, it is dropped here.
        places: remembers where faces must be hidden; None where they need not be.
        recall: gives people who come back the id of then; None where nobody is remembered.
        poses: smooths where heads point; None where nobody asks.

    Attributes:
        smoother: as given; it counts the estimates made and saved.
        effort: how much to do for each frame; may be changed at any time.
        hides: whether places to hide are told; likewise. The whole image is then searched in
            every frame, or a new face would be visible until the next search.

    Raises:
        ValueError: `detect_every` below 1.
    """

    def __init__(
        self,
        detector: Detector,
        tracker: Tracker,
        estimator: Estimator,
        smoother: Smoother,
        detect_every: int | None = 1,
        ethnicity: bool = False,
        places: FacePlaces | None = None,
        recall: Recall | None = None,
        poses: PoseSmoother | None = None,
    ) -> None:
        if detect_every is not None and detect_every < 1:
            raise ValueError(f"detect_every must be at least 1, got {detect_every}")
        self.smoother, self.effort = smoother, Effort()
        self._detector, self._tracker, self._estimator = detector, tracker, estimator
        self._detect_every, self._ethnicity = detect_every, ethnicity
        self._places, self._recall, self._poses = places, recall, poses
        self.hides = places is not None
        self._cuts, self._camera = CutFinder(), CameraMotion()
        self._known = NOWHERE  # where faces were in the last frame
        self._epoch: int | None = None
        # When the whole image was last searched in its turn, and how many frames ago that was.
        self._searched_s: float | None = None
        self._since_search = 0
        self._asked_epoch: int | None = None

    def process(self, frame: Frame) -> tuple[tuple[Track, ...], dict[int, Smoothed]]:
        """Take one frame through all stages; returns the same as `result`."""
        frame = self.begin(frame)
        found = self.search(frame, self._detector) if self.wants_search(frame) else None
        look = self.follow(frame, found)
        (look,) = describe(self._estimator, [(self, look)])
        return self.result(look)

    def begin(self, frame: Frame) -> Frame:
        """Return the frame with its thumbnail, in a new epoch after a hard cut.

        The first step, in order.
        """
        return self._cuts.mark(frame)

    def wants_search(self, frame: Frame) -> bool:
        """Whether to search the whole image; to be called once per frame, in order."""
        if frame.raw is not None:
            return False
        self._since_search += 1
        last, before = self._searched_s, self._asked_epoch
        self._asked_epoch = frame.epoch
        if self.hides and self._detect_every is None:
            due = True
        elif self._detect_every is not None:
            due = last is None or self._since_search >= self._detect_every
        else:  # five frames of 0.04 s may be a little less than 0.2 s
            due = last is None or not 0 <= frame.time_s - last < self.effort.search_s - SLACK_S
        if due:
            self._searched_s, self._since_search = frame.time_s, 0
        return due or frame.epoch != before  # a search between does not move the others

    def search(self, frame: Frame, detector: Detector) -> Detections:
        """Search the whole image; any thread may call it with its own detector.

        Where faces are to be hidden, small ones are searched under load, too.
        """
        return detector.detect(frame.image, 1.0 if self.hides else self.effort.coarse)

    def follow(self, frame: Frame, found: Detections | None) -> Look:
        """Follow the faces into the next frame; `found` is of a search, None where none was made.

        Returns the tracks, and the chips of those that are due for an estimate.
        """
        if self.hides != (self._places is not None):
            self._places = FacePlaces() if self.hides else None
        if frame.epoch != self._epoch:
            self._tracker.reset()
            self._camera.reset()
            if self._poses:
                self._poses.reset()
            if self._places:
                self._places.reset()
            if self._recall:
                self._recall.begin_epoch()
            self._epoch = frame.epoch
        moved = self._camera.update(frame, self._known)
        if moved is not None:
            self._tracker.move(moved)
        found, searched = self._found(frame, found)
        tracks: Sequence[Track] = [
            _within(track, frame.size_wh) for track in self._tracker.update(found, frame.time_s)
        ]
        if self._recall:
            tracks = self._recalled(self._recall, tracks, frame, found)
        self.smoother.forget_except({track.track_id for track in tracks})
        seen = [t for t in tracks if t.state is TrackState.CONFIRMED and t.found]
        places = NOWHERE
        if self._places:
            places = self._places.update(found.boxes, tracks, frame.time_s)
        self._known = np.array([t.box for t in tracks], np.float32).reshape(-1, 4)
        lost = frozenset(t.track_id for t in tracks if t.state is TrackState.LOST)
        chips, weights = self._chips(frame, found, [])
        look = Look(frame, tracks, places, lost, (), chips, weights, found, searched)
        if self._poses:
            look = replace(look, poses=self._posed(self._poses, seen, frame, found))
        return self._replayed(look, seen) if frame.raw else self._with_chips(look, seen)

    def _posed(
        self, smoother: PoseSmoother, seen: Sequence[Track], frame: Frame, found: Detections
    ) -> dict[int, HeadPose]:
        """Return where the heads of the tracks that were found point."""
        points = found.landmarks[np.array([t.detection_index for t in seen], int)]
        faces = self._detector.landmark_template, self._detector.landmark_depths
        poses = zip(seen, head_poses(points, *faces), strict=True)
        known = {track.track_id: pose for track, pose in poses if pose is not None}
        return smoother.update(known, frame.time_s)

    def _found(self, frame: Frame, found: Detections | None) -> tuple[Detections, bool]:
        """The detections of a frame, and whether its whole image was searched for them."""
        if frame.raw is not None:
            return frame.raw.detections, frame.raw.searched
        if found is not None:
            return found, True
        near = self._tracker.predicted_boxes(frame.time_s)
        return self._detector.detect_near(frame.image, near), False

    def _with_chips(self, look: Look, seen: Sequence[Track]) -> Look:
        """Add the chips of the tracks that are due, out of those seen in this frame."""
        time_s, gap_s = look.frame.time_s, self.effort.estimate_gap_s
        due = [t for t in seen if self.smoother.is_due(t.track_id, time_s, gap_s)]
        chips, weights = self._chips(look.frame, look.found, [t.detection_index for t in due])
        ids = [t.track_id for t in due]
        self._mirror(chips, ids)
        return replace(look, due=ids, rows=_rows(due), chips=chips, weights=weights)

    def _replayed(self, look: Look, seen: Sequence[Track]) -> Look:
        """Smooth what was estimated of those seen when the frame was recorded; none is due then."""
        said = look.frame.raw
        known = [t for t in seen if said and t.detection_index in said.rows]
        if not said or not said.estimates or not known:
            return look
        places = [said.rows.index(row) for row in _rows(known)]
        look = replace(
            look,
            due=[t.track_id for t in known],
            rows=_rows(known),
            weights=said.weights[places],
        )
        return replace(self.learn(look, said.estimates[places]), due=())

    def _chips(
        self, frame: Frame, found: Detections, rows: Sequence[int | None]
    ) -> tuple[Image, Float32]:
        """Cut the faces of `rows`: B chips, (B, S, S, 3) uint8 RGB, and their weights, (B,)."""
        size = self._estimator.input_size
        if not rows:
            return np.empty((0, size, size, 3), np.uint8), np.empty(0, np.float32)
        points, scores = found.landmarks[np.array(rows)], found.scores[np.array(rows)]
        template = self._detector.landmark_template
        chips = align(frame.image, points, template, size)
        misfit, chip_px = fit_misfit_and_size(points, template)
        sure = self._detector.confident_score
        return chips, evidence_weights(scores, sure, chip_px, misfit, chips)

    def _mirror(self, chips: Image, ids: Sequence[int]) -> None:
        """Mirror the chips, one of each track, that are the second, fourth ... of theirs."""
        for chip, track_id in zip(chips, ids, strict=True):
            known = self.smoother.current(track_id)
            if known is not None and known.samples % 2:
                chip[:] = chip[:, ::-1].copy()

    def _recalled(
        self, recall: Recall, tracks: Sequence[Track], frame: Frame, found: Detections
    ) -> Sequence[Track]:
        """Return the tracks with the ids of people; the smoother goes on with what it knew."""

        def cut(rows: Sequence[int | None]) -> tuple[Image, Float32]:
            points = found.landmarks[np.array(rows, int)]
            chips = align(frame.image, points, self._detector.landmark_template, recall.chip_px)
            return chips, self._chips(frame, found, rows)[1]

        tracks = recall.update(tracks, frame.time_s, cut)
        for person in recall.left:
            recall.memory.store(person, self.smoother.release(person))
        for person in recall.back:
            self.smoother.resume(person, recall.memory.fetch(person), frame.time_s)
        return tracks

    @property
    def detector(self) -> Detector:
        """What finds faces, as given."""
        return self._detector

    def forget_people(self, everybody: bool = False) -> None:
        """Forget the people whose time is over, also while no frame comes, or everybody."""
        if self._recall:
            self._recall.forget(everybody)

    def learn(self, look: Look, estimates: Estimates) -> Look:
        """Smooth the estimates of a look's chips, row by row; returns the look with them."""
        if not self._ethnicity:
            estimates = replace(estimates, ethnicity_probs=None)
        self.smoother.update(look.due, estimates, look.weights, look.frame.time_s)
        return replace(look, estimates=TrackEstimates(tuple(look.due), estimates, look.weights))

    def result(self, look: Look) -> tuple[tuple[Track, ...], dict[int, Smoothed]]:
        """Return the confirmed tracks of a look by id, and what is known of them so far."""
        shown = tuple(t for t in look.tracks if t.state is TrackState.CONFIRMED)
        known = {track.track_id: self.smoother.current(track.track_id) for track in shown}
        return shown, {track_id: value for track_id, value in known.items() if value is not None}


def _rows(tracks: Sequence[Track]) -> tuple[int, ...]:
    """The rows of the frame's detections that tracks were matched to."""
    return tuple(t.detection_index for t in tracks if t.detection_index is not None)


def _within(track: Track, size_wh: tuple[int, int]) -> Track:
    """The track as it may be shown: a box on nobody ends at the edge of the image.

    One that has left by more than half counts as lost.
    """
    if track.found or track.state is not TrackState.CONFIRMED:
        return track
    box = np.clip(track.box, 0, np.tile(size_wh, 2)).astype(np.float32)
    left, whole = (float(np.prod(each[2:] - each[:2])) for each in (box, track.box))
    return replace(track, box=box, state=track.state if 2 * left > whole else TrackState.LOST)


def describe(estimator: Estimator, looks: Sequence[tuple[Pipeline, Look]]) -> list[Look]:
    """Estimate the faces that are due, in one batch for all channels, and smooth the results.

    `estimator` is the one of the pipelines. Returns the looks, in order, with their estimates.
    """
    if not any(look.due for _, look in looks):
        return [look for _, look in looks]
    estimates = estimator.estimate(np.concatenate([look.chips for _, look in looks]))
    described, start = [], 0
    for pipeline, look in looks:
        stop = start + len(look.due)
        described.append(pipeline.learn(look, estimates[start:stop]) if look.due else look)
        start = stop
    return described
