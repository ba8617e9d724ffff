"""From a photograph to a chip: find the face, align it, encode it.

It is the only face, or the one in the box that the set gives.

Several processes share the work; the chips are the same bytes in the order of the images,
whatever the number of processes.
"""

import itertools
import multiprocessing
from collections.abc import Generator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from detectors import MIN_FACE, Detector, make_detector
from errors import DatasetError, SourceError
from estimators.crops import align
from sources.photographs import load_picture
from structures import Detections, Float32, Image
from threads import blocked_sigint, end_with_parent
from tracking.boxes import iou_matrix
from training.chips import shrink
from training.fitting.batches import in_order
from training.labels import Box

CANONICAL_MARGIN = 0.25  # in the sense of `with_margin`; as for all weights here
NO_FACE, SEVERAL, DAMAGED = "no face", "several faces", "damaged picture"
NOT_IN_BOX = "no face in the labelled box"
NOT_SQUARE = "not square, so not aligned"
SUFFIX = ".webp"

_QUALITY = 95  # of WebP: 5 kB per chip of 112 pixels
_LONG_SIDE = 800  # pixels to which larger images are reduced for the search
_IN_A_JOB = 16  # images; less than a second's work, so Ctrl-C loses little
_AHEAD = 3  # jobs queued per process
_SAME_FACE = 0.3  # least overlap (IoU) with the labelled box; detectors' boxes differ

Photo = tuple[Path, Box | None]  # a file, and which of its faces is meant
Outcome = bytes | str  # the chip's file, or the reason why there is none


@dataclass(frozen=True, slots=True)
class Cut:
    """How chips are made; what their bytes depend on.

    Attributes:
        size: side of the chips, pixels.
        margin: see `with_margin`.
        detector: a key of `detectors.DETECTORS`.
        min_face: smallest face to look for, pixels (mtcnn), in an image whose long side is
            up to 800 pixels; in larger ones proportionally larger.
        several: "refuse" images with several faces, or use the "largest".
        aligned: the images are chips already: they are only resized.
    """

    size: int = 112
    margin: float = CANONICAL_MARGIN
    detector: str = "mtcnn"
    min_face: int = MIN_FACE
    several: str = "refuse"
    aligned: bool = False


def with_margin(template: Float32, margin: float) -> Float32:
    """Return a detector's points, (5, 2) float32, in a chip with another margin.

    The margin is dlib's `padding`: each side of the tight chip is extended by this share of
    its length, at least 0. The canonical chip, in which `template` lies, has 0.25.
    """
    tight = template * (1 + 2 * CANONICAL_MARGIN) - CANONICAL_MARGIN
    return ((tight + margin) / (1 + 2 * margin)).astype(np.float32)


class Cutter:
    """Makes chips of images; without a detector given, by the one that `cut` names."""

    def __init__(self, cut: Cut, detector: Detector | None = None) -> None:
        self._cut = cut
        if detector is None and not cut.aligned:
            # One thread per process: there is one process per core.
            detector = make_detector(cut.detector, cut.min_face, threads=1)
        self._detector = detector

    def __call__(self, path: Path, box: Box | None = None) -> Outcome:
        """Return the chip of the image at `path`, or why there is none.

        `box` is of the face that is meant; None = the only face, or the largest. It is not
        used for images that are chips already.
        """
        if not is_whole(path):
            return DAMAGED
        try:
            image = load_picture(path, path.name)
        except SourceError:
            return DAMAGED
        detector = self._detector
        chip = self._resized(image) if detector is None else self._found(image, detector, box)
        return chip if isinstance(chip, str) else encode(chip)

    def _found(self, image: Image, detector: Detector, box: Box | None) -> Image | str:
        """Return the face's chip, (size, size, 3) uint8 RGB, or why there is none."""
        coarse = max(1.0, max(image.shape) / _LONG_SIDE)
        faces = find_faces(image, detector, coarse)
        if not len(faces):
            return NO_FACE
        if box is None and len(faces) > 1 and self._cut.several == "refuse":
            return SEVERAL
        points = largest_face(faces) if box is None else _face_in(faces, box)
        if points is None:
            return NOT_IN_BOX
        template = with_margin(detector.landmark_template, self._cut.margin)
        return align(image, points, template, self._cut.size)[0]

    def _resized(self, image: Image) -> Image | str:
        if image.shape[0] != image.shape[1]:
            return NOT_SQUARE
        return shrink(image[None, ..., ::-1], self._cut.size)[0]


def find_faces(image: Image, detector: Detector, coarse: float = 1.0) -> Detections:
    """Return the faces that may start a track; for `coarse` see `Detector.detect`.

    `image` is (H, W, 3) uint8 BGR.
    """
    return detector.detect(image, coarse).above(detector.starting_score)


def largest_face(faces: Detections) -> Float32:
    """Return the landmarks `(1, 5, 2)` of the largest of some faces."""
    areas = (faces.boxes[:, 2:] - faces.boxes[:, :2]).prod(axis=1)  # (N,)
    largest = int(areas.argmax())
    return faces.landmarks[largest : largest + 1]


def _face_in(faces: Detections, box: Box) -> Float32 | None:
    """Return the landmarks `(1, 5, 2)` of the face that a labelled box shows, or None."""
    overlaps = iou_matrix(faces.boxes, [box])[:, 0]  # (N,)
    nearest = int(overlaps.argmax())
    if overlaps[nearest] < _SAME_FACE:
        return None
    return faces.landmarks[nearest : nearest + 1]


def encode(chip: Image) -> bytes:
    """Return the WebP file of a chip, (S, S, 3) uint8 RGB."""
    bgr = cv2.cvtColor(chip, cv2.COLOR_RGB2BGR)
    return cv2.imencode(SUFFIX, bgr, [cv2.IMWRITE_WEBP_QUALITY, _QUALITY])[1].tobytes()


def is_whole(path: Path) -> bool:
    """Whether an image file exists and, if it is a JPEG, is complete.

    OpenCV reads a truncated one as an image with a grey lower part. The end marker must come
    after the last scan's; both also occur in embedded previews, which lie before it.
    """
    try:
        data = path.read_bytes()
    except OSError:
        return False
    is_jpeg = data.startswith(b"\xff\xd8")
    return bool(data) and not (is_jpeg and data.rfind(b"\xff\xd9") < data.rfind(b"\xff\xda"))


def cut_all(photos: Sequence[Photo], cut: Cut, workers: int) -> Generator[Outcome, None, None]:
    """Yield the outcome of each image, in order, cut by `workers` processes; 1 = this one.

    Raises:
        EngineError, WeightsError: the detector is not available.
        DatasetError: a process was killed.
    """
    if workers == 1:
        yield from itertools.starmap(Cutter(cut), photos)
        return
    jobs = (photos[i : i + _IN_A_JOB] for i in range(0, len(photos), _IN_A_JOB))
    # Forked processes would lack OpenVINO's threads.
    spawn = multiprocessing.get_context("spawn")
    pool = ProcessPoolExecutor(workers, spawn, _start, (cut,))
    try:
        for done in in_order((_submit(pool, job) for job in jobs), workers * _AHEAD):
            yield from done
    except BrokenProcessPool as error:
        raise DatasetError(
            "a worker was killed, perhaps because memory ran out; rerun the command with fewer "
            "--workers to resume"
        ) from error
    finally:
        pool.shutdown(wait=False, cancel_futures=True)


def _submit(pool: ProcessPoolExecutor, job: Sequence[Photo]) -> Future[list[Outcome]]:
    with blocked_sigint():  # Ctrl-C is for the program, not for its workers
        return pool.submit(_run, job)


_cut: Cut  # of this process, if it is a worker
_cutter: Cutter | None = None


def _start(cut: Cut) -> None:
    """Set up a worker process; whatever can fail is left to the first job, which reports it."""
    global _cut
    _cut = cut
    cv2.setNumThreads(1)
    end_with_parent()


def _run(photos: Sequence[Photo]) -> list[Outcome]:
    global _cutter
    if _cutter is None:
        _cutter = Cutter(_cut)
    return [_cutter(path, box) for path, box in photos]
