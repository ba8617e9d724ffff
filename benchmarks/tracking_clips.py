"""Clips with known people: scripted scenes of faces, and pedestrians in MOT layout.

A scene is NAME.mp4 with NAME.json.gz beside it: `{"fps", "size": [w, h], "frames": [[{"id",
"box": [x1, y1, x2, y2], "visible", "gender", ...}]]}`, `visible` being the part of the box that
is inside the image and not covered.

`TUD-Campus` has real detections. The MOT17 sequences have only truth: their detections are
simulated from it with a fixed seed (`simulate`), so their figures compare trackers and say nothing
about a detector. Pedestrians are not faces, but free ground truth exists for them.
"""

import gzip
import json
from collections.abc import Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import ArrayLike, NDArray

from benchmarks.common import BenchmarkError
from benchmarks.tracking_scores import People
from detectors import Detector
from sources.open import open_source
from structures import Detections, Estimates, Float32, Frame, Image, SourceStatus

REAL = "TUD-Campus"
SIMULATED = ("MOT17-02-FRCNN", "MOT17-09-FRCNN", "MOT17-11-FRCNN")
SEED = 16020763
CENTRE_JITTER, SIZE_JITTER = 0.03, 0.05  # standard deviations, of each side
MISSED, FALSE_PER_FRAME = 0.08, 0.3
HIDDEN_BELOW = 0.3  # visible fraction below which the simulated detector misses
COUNTED_FROM = 0.4  # visible fraction from which a face of a scene should have a box

_POINTS = np.array([[0.3, 0.3], [0.7, 0.3], [0.5, 0.5], [0.3, 0.7], [0.7, 0.7]], np.float32)


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A clip to be played.

    Attributes:
        name: in tables.
        fps: frames per second.
        people: frame by frame; empty where they are not known.
        cuts: the first frames of new shots.
        film: the file, or None where only detections exist.
        detections: those that come with the clip, frame by frame, if there is no film.
        size_wh: pixels, of the images that stand in for a missing film.
    """

    name: str
    fps: float
    people: Sequence[People] = ()
    cuts: Sequence[int] = ()
    film: Path | None = None
    detections: Sequence[Detections] = ()
    size_wh: tuple[int, int] = (0, 0)


def read_scenes(folder: Path) -> list[Clip]:
    """Read all scenes of a folder; BenchmarkError if there are none."""
    films = sorted(folder.glob("*.mp4"))
    scenes = [read_scene(film) for film in films if film.with_suffix(".json.gz").is_file()]
    if not scenes:
        raise BenchmarkError(f"{folder}: no NAME.mp4 with NAME.json.gz in it; check --scenes")
    return scenes


def read_scene(film: Path) -> Clip:
    """Read one scene."""
    stored = json.loads(gzip.decompress(film.with_suffix(".json.gz").read_bytes()))
    people = [_people(frame) for frame in stored["frames"]]
    return Clip(film.stem, stored["fps"], people, cuts_between(people), film)


def cuts_between(people: Sequence[People]) -> list[int]:
    """Return the frames in which others stand where somebody was in the two frames before."""
    there = [set(frame.ids.tolist()) for frame in people]
    before = [there[k - 1] | there[max(k - 2, 0)] for k in range(1, len(there))]
    return [k for k, was in enumerate(before, 1) if was and there[k] and not was & there[k]]


def _people(faces: Sequence[dict]) -> People:  # type: ignore[type-arg]
    counted = [face for face in faces if face["visible"] >= COUNTED_FROM]
    ignored = [face["box"] for face in faces if face["visible"] < COUNTED_FROM]
    return People(
        np.array([face["id"] for face in counted], np.int64),
        np.array([face["box"] for face in counted], np.float32).reshape(-1, 4),
        tuple(face["gender"] for face in counted),
        np.array(ignored, np.float32).reshape(-1, 4),
    )


def read_pedestrians(folder: Path) -> Clip:
    """Read one MOT sequence, with its own detections or simulated ones."""
    settings = dict(
        line.split("=", 1) for line in (folder / "seqinfo.ini").read_text().split() if "=" in line
    )
    rows = read_rows(folder / "gt" / "gt.txt")
    if folder.name != REAL:
        rows = rows[(rows[:, 6] == 1) & (rows[:, 7] == 1)]  # counted, and a pedestrian
    frames = by_frame(rows, int(rows[:, 0].max()))
    people = [People(r[:, 1].astype(np.int64), r[:, 2:6].astype(np.float32)) for r in frames]
    if folder.name == REAL:
        found = by_frame(read_rows(folder / "det" / "det.txt"), len(people))
        detections = [detected(r[:, 2:6], r[:, 6]) for r in found]
    else:
        visible = [r[:, 8] for r in frames]
        detections = simulate(people, visible, np.random.default_rng(SEED))
    size_wh = int(settings["imWidth"]), int(settings["imHeight"])
    fps = float(settings["frameRate"])
    return Clip(folder.name, fps, people, detections=detections, size_wh=size_wh)


def read_rows(path: Path) -> NDArray[np.float64]:
    """Read a MOT file into (N, columns) rows, columns 2..5 converted from tlwh to xyxy."""
    rows = np.loadtxt(path, delimiter=",", ndmin=2)
    rows[:, 4:6] += rows[:, 2:4]
    return rows


def by_frame(rows: NDArray[np.float64], frames: int) -> list[NDArray[np.float64]]:
    """Split rows by their first column, a frame's number from 1 on."""
    return [rows[rows[:, 0] == number] for number in range(1, frames + 1)]


def simulate(
    people: Sequence[People], visible: Sequence[NDArray[np.float64]], rng: np.random.Generator
) -> list[Detections]:
    """Simulate detections: jitter, random misses, misses of hidden people, false boxes.

    False boxes have the size of a person of the clip and lie anywhere in 1920 x 1080.
    """
    everyone = np.concatenate([frame.boxes for frame in people])
    made = []
    for frame, seen in zip(people, visible, strict=True):
        found = frame.boxes[(seen >= HIDDEN_BELOW) & (rng.random(len(seen)) >= MISSED)]
        sizes = found[:, 2:] - found[:, :2]
        centres = found[:, :2] + sizes * (0.5 + rng.normal(0, CENTRE_JITTER, sizes.shape))
        sizes = sizes * np.exp(rng.normal(0, SIZE_JITTER, sizes.shape))
        false = rng.choice(everyone, rng.poisson(FALSE_PER_FRAME))
        false_sizes = false[:, 2:] - false[:, :2]
        centres = np.concatenate([centres, rng.uniform((0, 0), (1920, 1080), false_sizes.shape)])
        sizes = np.concatenate([sizes, false_sizes])
        boxes = np.concatenate([centres - sizes / 2, centres + sizes / 2], 1)
        made.append(detected(boxes, np.ones(len(boxes))))
    return made


def walkers(count: int, frames: int, seed: int = SEED) -> list[Detections]:
    """Make detections of `count` boxes that wander over 1920 x 1080; some are missed."""
    rng = np.random.default_rng(seed)
    centres, step = rng.uniform((0, 0), (1920, 1080), (count, 2)), rng.normal(0, 3, (count, 2))
    sides = rng.uniform(40, 120, (count, 1))
    made = []
    for _ in range(frames):
        step = np.where((centres < 0) | (centres > (1920, 1080)), -step, step)
        centres = centres + step
        at = centres + rng.normal(0, 0.03, centres.shape) * sides
        seen = rng.random(count) >= MISSED
        made.append(
            detected(np.hstack([at - sides / 2, at + sides / 2])[seen], np.ones(seen.sum()))
        )
    return made


def detected(boxes: ArrayLike, scores: ArrayLike) -> Detections:
    """Make detections of boxes (N, 4) and scores (N,), with five points in each box."""
    found, sure = np.asarray(boxes, np.float32), np.asarray(scores, np.float32)
    order = np.argsort(-sure, kind="stable")
    found, sure = found[order], sure[order]
    sides = found[:, None, 2:] - found[:, None, :2]
    return Detections(found, sure, found[:, None, :2] + sides * _POINTS)


class BlankFilm:
    """A source that stands in for a missing film: one texture, numbered in its first pixels."""

    is_live, name, dropped, status = False, "blank", 0, SourceStatus()

    def __init__(self, size_wh: tuple[int, int], fps: float, frames: int) -> None:
        self.size_wh, self.fps = size_wh, fps
        self.frame_count: int | None = frames
        shape = (size_wh[1], size_wh[0], 3)
        self._texture = np.random.default_rng(SEED).integers(0, 255, shape, np.uint8)
        self._left = iter(range(frames))

    def __iter__(self) -> Iterator[Frame]:
        return self

    def __next__(self) -> Frame:
        index = next(self._left)
        image = self._texture.copy()
        image[0, 0] = (*divmod(index, 256), 0)
        return Frame(image, index, index / self.fps)

    def seek(self, time_s: float) -> bool:
        """See `sources.Source`."""
        return False

    def take(self, timeout_s: float | None = None) -> Frame:
        """See `sources.Source`."""
        return next(self)

    def close(self) -> None:
        """End the film."""
        self._left = iter(())


class KnownFaces:
    """A detector that finds given detections in the images of `BlankFilm`."""

    landmark_template, landmark_depths = _POINTS, np.zeros(5, np.float32)
    starting_score, confident_score = 0.0, 1.0

    def __init__(self, detections: Sequence[Detections]) -> None:
        self._detections = detections

    def detect(self, image: Image, coarse: float = 1.0) -> Detections:
        """See `detectors.Detector`."""
        return self._detections[int(image[0, 0, 0]) * 256 + int(image[0, 0, 1])]

    def detect_near(self, image: Image, boxes: Float32) -> Detections:
        """See `detectors.Detector`; it finds all."""
        return self.detect(image)


class NoEstimates:
    """An estimator that says the same of every chip."""

    input_size, has_ethnicity = 8, False

    def estimate(self, chips: Image) -> Estimates:
        """See `estimators.Estimator`."""
        value = np.full(len(chips), 0.5, np.float32)
        return Estimates(value, value, value)


def search_film(film: Path, detector: Detector) -> list[Detections]:
    """Search every frame of a film for faces."""
    with closing(open_source(str(film))) as source:
        return [detector.detect(frame.image) for frame in source]
