"""The values that flow between the stages; imports numpy only.

    Frame -> Detections -> Track -> (chips) -> Estimates -> Smoothed -> FrameResult

All are frozen, slotted dataclasses whose constructors check shapes. Arrays are stored
without a copy; `Frame.image` becomes a read-only view, on which OpenCV refuses to draw.
Boxes are `xyxy` pixels in the full frame: x right, y down, (x1, y1) the upper left corner,
and may leave the image.
"""

from dataclasses import dataclass, field
from enum import StrEnum

import numpy as np
from numpy.typing import NDArray

Float32 = NDArray[np.float32]
Image = NDArray[np.uint8]

ETHNICITIES = ("White", "Black", "Asian", "Indian", "Others")
SLACK_S = 1e-3  # times of frames are rounded: by so much they may be off
NOWHERE: Float32 = np.zeros((0, 4), np.float32)
AGE_BINS = 101  # whole years 0..100
ATTRIBUTES = ("age", "gender", "ethnicity")  # what can be reported of a person


def _check(name: str, array: np.ndarray, shape: tuple[int | None, ...], dtype: type) -> None:
    """Raise ValueError unless `array` has `shape` (None = any length) and `dtype`."""
    if array.shape == shape and array.dtype == dtype:  # as a track's box: often, so quickly
        return
    fits = len(array.shape) == len(shape) and all(
        want is None or want == got for want, got in zip(shape, array.shape, strict=True)
    )
    if not fits or array.dtype != dtype:
        want = f"({', '.join('N' if n is None else str(n) for n in shape)}) {np.dtype(dtype)}"
        raise ValueError(f"{name}: want {want}, got {array.shape} {array.dtype}")


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """A decoded picture of a source with its time.

    Attributes:
        image: (H, W, 3) uint8, BGR, read-only.
        index: position in the source's order, from 0; a gap means dropped frames.
        time_s: seconds since the source began: media time for files, a monotonic
            clock for live sources.
        epoch: grows at every break in the sequence (a reconnect, the next photograph):
            tracks must not cross it.
        arrived_s: `time.monotonic()` when a live source's frame left the decoder; None
            for stored media, which cannot be late.
        raw: what the networks said of it in an earlier run, where that is replayed; None =
            they are to be asked.
        thumbnail: (h, w) uint8, its green made small by `tracking.thumbnail`; None = not yet.
    """

    image: Image
    index: int
    time_s: float
    epoch: int = 0
    arrived_s: float | None = None
    raw: "RawValues | None" = None
    thumbnail: Image | None = None

    def __post_init__(self) -> None:
        _check("Frame.image", self.image, (None, None, 3), np.uint8)
        view = self.image.view()
        view.flags.writeable = False
        object.__setattr__(self, "image", view)

    @property
    def size_wh(self) -> tuple[int, int]:
        """Width and height in pixels."""
        return self.image.shape[1], self.image.shape[0]


@dataclass(frozen=True, slots=True, eq=False)
class Detections:
    """The faces that a detector found in one frame, best score first.

    Attributes:
        boxes: (N, 4) float32, xyxy pixels.
        scores: (N,) float32, on the detector's own scale.
        landmarks: (N, 5, 2) float32 xy pixels, in the order of the detector's
            `landmark_template`.
    """

    boxes: Float32
    scores: Float32
    landmarks: Float32

    def __post_init__(self) -> None:
        _check("Detections.boxes", self.boxes, (None, 4), np.float32)
        _check("Detections.scores", self.scores, (len(self.boxes),), np.float32)
        _check("Detections.landmarks", self.landmarks, (len(self.boxes), 5, 2), np.float32)

    def __len__(self) -> int:
        return len(self.boxes)

    def above(self, score: float) -> "Detections":
        """Return those that score at least `score`."""
        rows = self.scores >= score
        return Detections(self.boxes[rows], self.scores[rows], self.landmarks[rows])

    @classmethod
    def of_boxes(cls, boxes: Float32, scores: Float32) -> "Detections":
        """For trackers, which look at boxes and scores only; all landmarks are NaN."""
        return cls(boxes, scores, np.full((len(boxes), 5, 2), np.nan, np.float32))

    @classmethod
    def empty(cls) -> "Detections":
        """No faces: (0, 4) boxes, (0,) scores, (0, 5, 2) landmarks."""
        return cls.of_boxes(np.zeros((0, 4), np.float32), np.zeros(0, np.float32))


class TrackState(StrEnum):
    """`TENTATIVE` until the face was found often enough, then `CONFIRMED`.

    `LOST` while it is not found: no longer shown, but remembered; found again, it is `CONFIRMED`.
    """

    TENTATIVE = "tentative"
    CONFIRMED = "confirmed"
    LOST = "lost"


@dataclass(frozen=True, slots=True, eq=False)
class Track:
    """One followed face as it stands in the current frame.

    Attributes:
        track_id: unique within a tracker instance, from 1; below 0 it is nobody's so far.
        box: (4,) float32 xyxy, the filter's estimate.
        state: tentative, confirmed or lost.
        unseen_s: seconds since a detection was matched; 0 in this frame, and where time stands.
        detection_index: the row of this frame's `Detections` it was matched to, or None.
        lived_s: seconds since the track was born.
    """

    track_id: int
    box: Float32
    state: TrackState
    unseen_s: float
    detection_index: int | None
    lived_s: float

    def __post_init__(self) -> None:
        _check("Track.box", self.box, (4,), np.float32)

    @property
    def found(self) -> bool:
        """Whether a detection was matched in this frame."""
        return self.detection_index is not None


@dataclass(frozen=True, slots=True, eq=False)
class Estimates:
    """What a network says of B chips; row i belongs to chip i.

    Attributes:
        age_years: (B,) float32, the expected apparent age.
        age_spread_years: (B,) float32, one standard deviation of a single estimate.
        female_prob: (B,) float32 in 0..1, perceived gender.
        ethnicity_probs: (B, 5) float32 over `ETHNICITIES`, or None where the network
            has no such head.
    """

    age_years: Float32
    age_spread_years: Float32
    female_prob: Float32
    ethnicity_probs: Float32 | None = None

    def __post_init__(self) -> None:
        n = len(self.age_years)
        for name in ("age_years", "age_spread_years", "female_prob"):
            _check(f"Estimates.{name}", getattr(self, name), (n,), np.float32)
        if self.ethnicity_probs is not None:
            shape = (n, len(ETHNICITIES))
            _check("Estimates.ethnicity_probs", self.ethnicity_probs, shape, np.float32)

    def __len__(self) -> int:
        return len(self.age_years)

    def __getitem__(self, rows: slice | list[int]) -> "Estimates":
        """Return the estimates of some rows; of a slice, views of the same arrays."""
        ethnicity = None if self.ethnicity_probs is None else self.ethnicity_probs[rows]
        values = self.age_years[rows], self.age_spread_years[rows], self.female_prob[rows]
        return Estimates(*values, ethnicity)


@dataclass(frozen=True, slots=True, eq=False)
class TrackEstimates:
    """The estimates of B chips of one frame; row i belongs to `track_ids[i]`.

    `weights`, (B,) float32 in 0..1, say how far each chip can be trusted.
    """

    track_ids: tuple[int, ...]
    estimates: Estimates
    weights: Float32

    def __post_init__(self) -> None:
        _check("TrackEstimates.weights", self.weights, (len(self.track_ids),), np.float32)
        if len(self.estimates) != len(self.track_ids):
            raise ValueError(f"want {len(self.track_ids)} estimates, got {len(self.estimates)}")


@dataclass(frozen=True, slots=True)
class HeadPose:
    """Where a head points, in degrees: 0, 0 is straight at the camera.

    `yaw_deg` grows to the right in the image, as the viewer sees it, `pitch_deg` upwards.
    """

    yaw_deg: float
    pitch_deg: float


@dataclass(frozen=True, slots=True, eq=False)
class RawValues:
    """What the networks said of one frame, before anything is made of it.

    Attributes:
        detections: all of them, those too weak to start a track, too.
        searched: whether they are of the whole image, or from near the known faces.
        rows: of the B detections that were estimated.
        estimates: of B chips, in that order; None where B = 0.
        weights: (B,) float32 in 0..1, how far each chip can be trusted.
    """

    detections: Detections
    searched: bool
    rows: tuple[int, ...] = ()
    estimates: Estimates | None = None
    weights: Float32 = field(default_factory=lambda: np.zeros(0, np.float32))

    def __post_init__(self) -> None:
        _check("RawValues.weights", self.weights, (len(self.rows),), np.float32)
        if len(self.rows) != (0 if self.estimates is None else len(self.estimates)):
            raise ValueError(f"want an estimate for each of the rows, got {self.rows}")
        if not set(self.rows) <= set(range(len(self.detections))):
            raise ValueError(f"want rows of {len(self.detections)} detections, got {self.rows}")


class Gender(StrEnum):
    """Perceived gender as shown; `UNSURE` while the evidence is thin or contradictory."""

    FEMALE = "female"
    MALE = "male"
    UNSURE = "unsure"

    @classmethod
    def of(cls, female_prob: float, sure: float = 0.65) -> "Gender":
        """The label of a single estimate: unsure unless one side has at least `sure`.

        Between 0.35 and 0.65 the default model is right in 6 cases of 10 (UTKFace test rows).
        """
        if max(female_prob, 1 - female_prob) < sure:
            return cls.UNSURE
        return cls.FEMALE if female_prob > 0.5 else cls.MALE


@dataclass(frozen=True, slots=True, eq=False)
class Smoothed:
    """The running estimate of one live track.

    Attributes:
        age_years: apparent age.
        age_uncertainty_years: one standard deviation of `age_years`.
        female_prob: 0..1, from accumulated log-odds.
        gender: the label with hysteresis, or unsure.
        samples: how many estimates went in.
        converged: more estimates would barely change the age or the label.
        ethnicity_probs: (5,) float32 over `ETHNICITIES`, or None.
        evidence: mean evidence weight of the estimates, 0..1.
    """

    age_years: float
    age_uncertainty_years: float
    female_prob: float
    gender: Gender
    samples: int
    converged: bool
    ethnicity_probs: Float32 | None = None
    evidence: float = 1.0


class SourceState(StrEnum):
    """How a source is doing; stored media are `LIVE` until they have `ENDED`."""

    CONNECTING = "connecting"  # no frame yet
    LIVE = "live"
    STALLED = "stalled"  # connected, but the newest frame is getting old
    RECONNECTING = "reconnecting"  # disconnected, being opened again
    ENDED = "ended"  # its last frame has been processed
    FAILED = "failed"  # refused for a reason that retrying will not fix: wrong password ...


@dataclass(frozen=True, slots=True)
class SourceStatus:
    """How a source is doing.

    Attributes:
        state: for users; a camera counts as live again only after some steady frames.
        detail: why; one line without secrets, or empty.
        reconnects: how often it was opened again.
        connected: whether it has delivered since it was opened the last time, and still may.
    """

    state: SourceState = SourceState.LIVE
    detail: str = ""
    reconnects: int = 0
    connected: bool = True

    @property
    def is_over(self) -> bool:
        """Whether no frame will continue the last one: the source has ended or disconnected."""
        return self.state is SourceState.ENDED or not self.connected


@dataclass(frozen=True, slots=True, eq=False)
class FrameResult:
    """Everything known of one processed frame: what overlays draw and sinks write.

    Attributes:
        frame: its image shows no faces where they are to be hidden.
        tracks: confirmed tracks only, by id.
        people: track_id -> smoothed values, for the tracks that have any.
        fps: processed frames per second, running mean; 0 while unknown.
        dropped: frames of a live source never processed, so far.
        status: of the source.
        load: what is being done less often to keep up, for users; empty = nothing.
        camera: the source's name, without secrets, where there are several or it was given one;
            else empty.
        places: (N, 4) float32 xyxy, wherever a face is or may be; empty unless faces are to be
            hidden.
        estimates: made in this frame, None where there were none; to be smoothed again.
        remembered: ids of those who are not found at the moment but may come back: not shown,
            and still there.
        poses: track_id -> where the head points, smoothed, of the faces found in this frame;
            without those too small to tell, empty unless asked for.
        raw: what the networks said of this frame; None where that is not known any more.
        hidden: faces are to be hidden, whether or not there are any.
        unlabelled: nothing is drawn on anybody: no box, no label.
        held_s: seconds that it was held back on purpose, which are no lateness.
    """

    frame: Frame
    tracks: tuple[Track, ...] = ()
    people: dict[int, Smoothed] = field(default_factory=dict)
    fps: float = 0.0
    dropped: int = 0
    status: SourceStatus = SourceStatus()
    load: str = ""
    camera: str = ""
    places: Float32 = field(default_factory=lambda: NOWHERE)
    estimates: TrackEstimates | None = None
    remembered: frozenset[int] = frozenset()
    poses: dict[int, HeadPose] = field(default_factory=dict)
    raw: RawValues | None = None
    hidden: bool = False
    unlabelled: bool = False
    held_s: float = 0.0

    @property
    def living(self) -> set[int]:
        """The ids of all who are there, shown or remembered."""
        return {track.track_id for track in self.tracks} | self.remembered

    def latency_ms(self, now_s: float) -> float | None:
        """How late the frame is at `now_s` (`time.monotonic()`): its age without `held_s`.

        None for stored media and at the end.
        """
        arrived_s = self.frame.arrived_s
        is_over = self.status.state is SourceState.ENDED
        return None if arrived_s is None or is_over else 1e3 * (now_s - arrived_s - self.held_s)
