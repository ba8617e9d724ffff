"""The faces in a clip, as far as several detectors agree.

    python -m benchmarks.reference CLIP --out FILE.json [--frames N] [--sheet FILE.png]

The clips have no ground truth, so three families of detectors that share neither method nor
training data agree on it, once per clip, at settings too slow for live use:

- MTCNN (cascaded convolutional networks; ours, smallest face 20 pixels),
- dlib's HOG (linear filters on gradients; the image doubled once, small ones twice),
- dlib's MMOD (one convolutional network trained by max-margin).

The first two propose candidates in every frame; boxes that overlap by `SAME_FACE` are one.
Candidates are linked to tracks. In the first frame of a track and in every `LOOK_EVERY`th one, HOG
and MMOD search its surroundings, scaled to the size that they were made for. A look confirms if a
second family has a box on the candidate. A track is a face if at least `CONFIRMED_LOOKS` of its
looks, and `CONFIRMED_SHARE` of them, confirm; it then counts in each of its frames.

Two things follow. A face that neither MTCNN nor HOG proposes counts as nobody's miss. And MTCNN's
candidates count only if another family confirms them, but there are few others: the reference
favours faces that MTCNN finds, whichever program is measured.

`--sheet` draws every track once, to check for both errors: rejected faces (red) and accepted
tracks that are not faces (green). In a busy street the accepted ones are faces; the rejected ones
are mostly faces, too, in profile or half hidden, which only MTCNN finds. So not every box on no
agreed face is an error.

Reference: King, "Max-Margin Object Detection", arXiv 1502.00046, 2015.
"""

import argparse
from collections import defaultdict
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import cv2
import numpy as np

from benchmarks import common
from benchmarks.agreed_faces import SAME_FACE, Face, Reference, write
from detectors import Detector
from detectors.dlib_hog import DlibHogDetector
from detectors.mtcnn_cascade import MtcnnDetector
from errors import WeightsError
from program.options import number
from sources.open import open_source
from structures import Detections, Float32, Image, Track
from tracking import FRAME_S
from tracking.association import assign
from tracking.boxes import iou_matrix
from tracking.sort import SortTracker

Detect = Callable[[Image], Float32]  # (H, W, 3) uint8 BGR -> (N, 4) xyxy

LOOK_EVERY = 4
CONFIRMED_LOOKS, CONFIRMED_SHARE = 2, 0.25
_SMALL = 720  # pixels of the long side up to which HOG doubles the image twice
_FACE, _VIEW = 100, 250  # pixels of the face and of the square around it in a look
_SHOWN, _COLUMNS = 125, 12  # pixels of a view on a sheet, and views in a row
_GREEN, _RED = (0, 160, 0), (0, 0, 220)


def mmod() -> Detect:
    """Return dlib's MMOD, for faces from about 80 pixels on; WeightsError if it is missing."""
    from importlib.util import find_spec

    import dlib

    spec = find_spec("face_recognition_models")
    if spec is None or spec.origin is None:
        raise WeightsError("run `pip install -r requirements-live.txt`")
    path = Path(spec.origin).parent / "models" / "mmod_human_face_detector.dat"
    model = dlib.cnn_face_detection_model_v1(str(path))

    def detect(image: Image) -> Float32:
        found = [each.rect for each in model(cv2.cvtColor(image, cv2.COLOR_BGR2RGB), 0)]
        corners = [(r.left(), r.top(), r.right(), r.bottom()) for r in found]
        return np.array(corners, np.float32).reshape(-1, 4)

    return detect


def boxes_of(detector: Detector) -> Detect:
    """Return a function that finds only a detector's boxes."""
    return lambda image: detector.detect(image).boxes


@dataclass(slots=True)
class Candidate:
    """One possible face in one frame: at most one box of each family."""

    boxes: dict[str, Float32]

    @property
    def box(self) -> Float32:
        """Its box: the first family's."""
        return next(iter(self.boxes.values()))


@dataclass(slots=True)
class History:
    """One track's frames and looks; `views` are (`_VIEW`, `_VIEW`, 3) uint8 BGR."""

    views: list[Image] = field(default_factory=list)
    frames: dict[int, Candidate] = field(default_factory=dict)
    looks: int = 0
    confirmed: int = 0

    @property
    def is_face(self) -> bool:
        """Whether enough looks confirmed."""
        return self.confirmed >= max(CONFIRMED_LOOKS, CONFIRMED_SHARE * self.looks)


def merge(families: dict[str, Float32]) -> list[Candidate]:
    """Merge boxes (N, 4) of each family to candidates; boxes that overlap are one."""
    candidates: list[Candidate] = []
    for family, boxes in families.items():
        known = np.array([c.box for c in candidates], np.float32).reshape(-1, 4)
        pairs = assign(iou_matrix(boxes, known), SAME_FACE)
        for row, box in enumerate(boxes):
            if row in pairs:
                candidates[pairs[row]].boxes[family] = box
            else:
                candidates.append(Candidate({family: box}))
    return candidates


class Jury:
    """The detectors, and the tracks that they agreed on so far, in frames of `size_wh` pixels."""

    def __init__(self, size_wh: tuple[int, int]) -> None:
        hog = DlibHogDetector(2 if max(size_wh) <= _SMALL else 1)
        self._proposers = {"mtcnn": boxes_of(MtcnnDetector(20)), "hog": boxes_of(hog)}
        self._witnesses = {"hog": boxes_of(DlibHogDetector()), "mmod": mmod()}
        self._tracker = SortTracker(max_age=3, min_hits=1)
        self.tracks: defaultdict[int, History] = defaultdict(History)
        self.frames = 0

    def see(self, image: Image) -> None:
        """Take the next frame, (H, W, 3) uint8 BGR."""
        candidates = merge({name: detect(image) for name, detect in self._proposers.items()})
        boxes = np.array([c.box for c in candidates], np.float32).reshape(-1, 4)
        found = Detections.of_boxes(boxes, np.ones(len(boxes), np.float32))
        tracks = self._tracker.update(found, self.frames * FRAME_S)
        for track in tracks:
            if track.detection_index is not None:
                self._follow(image, track, candidates[track.detection_index])
        self.frames += 1

    def _follow(self, image: Image, track: Track, candidate: Candidate) -> None:
        history = self.tracks[track.track_id]
        if len(history.frames) % LOOK_EVERY == 0:
            if not history.views:
                history.views.append(view_of(image, candidate.box)[0])
            for name, detect in self._witnesses.items():
                box = look(image, candidate.box, detect)
                if box is not None:
                    candidate.boxes.setdefault(name, box)
            history.looks += 1
            history.confirmed += len(candidate.boxes) > 1
        history.frames[self.frames] = candidate

    def faces(self) -> list[list[Face]]:
        """Return for each frame seen the faces of tracks that are faces."""
        found: list[list[Face]] = [[] for _ in range(self.frames)]
        for history in self.tracks.values():
            if history.is_face:
                for index, candidate in history.frames.items():
                    found[index].append(np.stack(list(candidate.boxes.values())))
        return found


def look(image: Image, box: Float32, detect: Detect) -> Float32 | None:
    """Return a detector's own box on the face at `box`, scaled to its best size, or None."""
    view, scale, shift = view_of(image, box)
    found = (detect(view) - np.tile(shift, 2)) / scale
    overlap = iou_matrix(box[None], found)[0]
    if not len(overlap) or overlap.max() < SAME_FACE:
        return None
    return found[overlap.argmax()].astype(np.float32)


def view_of(image: Image, box: Float32) -> tuple[Image, float, Float32]:
    """Return the surroundings of `box`, with the face `_FACE` pixels large in the middle.

    Also the scale and then the shift, (2,), of the image's pixels in it.
    """
    centre, side = (box[:2] + box[2:]) / 2, float((box[2:] - box[:2]).max())
    scale = _FACE / max(side, 1.0)
    shift = np.asarray(_VIEW / 2 - scale * centre, np.float32)
    matrix = np.array([[scale, 0, shift[0]], [0, scale, shift[1]]], np.float32)
    view = cv2.warpAffine(image, matrix, (_VIEW, _VIEW), flags=cv2.INTER_CUBIC)
    return np.asarray(view, np.uint8), scale, shift


def sheet(histories: Sequence[History]) -> Image:
    """Draw one view of each track with its looks and frames, the longest tracks first."""
    ordered = sorted(histories, key=lambda h: (not h.is_face, -len(h.frames)))
    rows = max(1, -(-len(ordered) // _COLUMNS))
    drawn = np.full((rows * _SHOWN, _COLUMNS * _SHOWN, 3), 255, np.uint8)
    for place, history in enumerate(ordered):
        colour = _GREEN if history.is_face else _RED
        view = cv2.resize(history.views[0], (_SHOWN, _SHOWN), interpolation=cv2.INTER_AREA)
        cv2.rectangle(view, (0, 0), (_SHOWN - 1, _SHOWN - 1), colour, 2)
        text = f"{history.confirmed}/{history.looks} in {len(history.frames)}"
        cv2.rectangle(view, (0, _SHOWN - 16), (_SHOWN - 1, _SHOWN - 1), colour, cv2.FILLED)
        cv2.putText(view, text, (4, _SHOWN - 4), cv2.FONT_HERSHEY_SIMPLEX, 0.4, (255, 255, 255))
        top, left = _SHOWN * (place // _COLUMNS), _SHOWN * (place % _COLUMNS)
        drawn[top : top + _SHOWN, left : left + _SHOWN] = view
    return drawn


@common.command(
    "reference",
    __doc__,
    common.flag("clip"),
    common.flag("--frames", type=number(int, 1)),
    common.flag("--out", type=Path, required=True, metavar="FILE.json"),
    common.flag("--sheet", type=Path, metavar="FILE.png"),
)
def main(options: argparse.Namespace) -> None:
    """Agree on the faces of the first frames of a clip."""
    with closing(open_source(options.clip)) as source:
        jury = Jury(source.size_wh)
        for frame in islice(source, options.frames):
            jury.see(frame.image)
    if options.sheet is not None:
        cv2.imwrite(str(options.sheet), sheet(list(jury.tracks.values())))
    write(Reference(source.size_wh, jury.faces()), options.out)


if __name__ == "__main__":
    raise SystemExit(main())
