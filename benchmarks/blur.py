"""How many faces `--blur` and `--blur strict` leave visible, and what else they hide.

    python -m benchmarks.blur CLIP... [--min-face PX] [--frames N]

The reference is MTCNN down to 20 pixels with the published thresholds in every frame. A few of
its faces are false, so those with a score of at least 0.9 are also counted on their own; but the
real faces that are hard to find are among the others. A face counts as hidden if the places that
the program hides, with their margin, cover nine tenths of its box.

The reference is no better than its networks: faces that MTCNN misses, for example in profile, are
not counted, and with `--min-face 20` the program looks for exactly the same ones, as
`--blur strict` always does. So the reference also looks at each frame in a mirror, where it finds
other faces, and other false ones.

The second table says at which price: how many frames are hidden as a whole; how much of the
others is hidden outside of the reference's faces with the margin of `drawing.hiding`, as a share
of their area (a face that the reference misses counts as no face); and the processor's time for
finding, following and hiding, that of `--blur` being 1.
"""

import argparse
import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from benchmarks.common import command, flag, frames_of, row, table
from detectors.mtcnn_cascade import MtcnnDetector
from drawing.hiding import MARGIN, STRICT, USUAL_HIDING, hide_faces
from program.assemble import Assembly
from program.delay import Delay
from program.options import USUAL_MODELS, ModelOptions, TrackingOptions, number
from structures import Detections, Float32, Frame, FrameResult, Image
from tracking.boxes import grow

HIDDEN = 0.9  # of a face's box
SURE = (0.7, 0.9)  # least scores of the reference
WAYS = {
    "`--blur`": TrackingOptions(detect_every=1, blur=USUAL_HIDING),
    "`--blur --detect-every 5`": TrackingOptions(detect_every=5, blur=USUAL_HIDING),
    "`--blur strict`": TrackingOptions(detect_every=1, blur=STRICT),
}
_GRID = 12  # points across a box, to measure what covers it


class Hidden(NamedTuple):
    """What is hidden in each frame, (N, 4) xyxy, and the processor's seconds for all frames."""

    places: Sequence[Float32]
    seconds: float


def covered_share(face: Float32, places: Float32) -> float:
    """Return the share of a face's box, (4,) xyxy, that the grown `places`, (N, 4), cover."""
    left, top, right, bottom = face.tolist()
    x, y = np.meshgrid(np.linspace(left, right, _GRID), np.linspace(top, bottom, _GRID))
    x1, y1, x2, y2 = grow(places, MARGIN).T[:, :, None, None]  # (N, 1, 1) each
    return float(((x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)).any(0).mean())


def hide_all(frames: Sequence[Frame], models: ModelOptions, tracking: TrackingOptions) -> Hidden:
    """Hide the faces of a clip as the program does."""
    assembly = Assembly(models, tracking)
    detector = assembly.detector(threads=0)
    pipeline = assembly.pipeline(detector, assembly.estimator())
    delay = Delay(detector.starting_score, is_live=False)
    places, start_s = [], time.process_time()
    for turn, frame in enumerate(frames, 1):
        frame = pipeline.begin(frame)
        found = pipeline.search(frame, detector) if pipeline.wants_search(frame) else None
        look = pipeline.follow(frame, found)
        if tracking.blur == STRICT:
            delay.put(FrameResult(frame), look.found)
            places += [each.places for each in delay.due(everything=turn == len(frames))]
        else:
            hide_faces(frame, look.places, tracking.blur)
            places.append(look.places)
    return Hidden(places, time.process_time() - start_s)


def seen_scores(faces: Sequence[Detections], hidden: Hidden) -> Float32:
    """Return the scores of the reference's faces that stay visible."""
    seen = []
    for reference, places in zip(faces, hidden.places, strict=True):
        shares = np.array([covered_share(box, places) for box in reference.boxes])
        seen.append(reference.scores[shares < HIDDEN])
    return np.concatenate(seen)


def is_whole(places: Float32, size_wh: tuple[int, int]) -> bool:
    """Whether one of the places, (N, 4), is the whole image."""
    return bool(((places[:, :2] <= 0) & (places[:, 2:] >= size_wh)).all(axis=1).any())


def other_share(faces: Float32, places: Float32, size_wh: tuple[int, int]) -> float:
    """Return the share of an image that `places` hide outside of `faces`, both (N, 4)."""
    return float((_mask(places, size_wh) & ~_mask(faces, size_wh)).mean())


def _mask(boxes: Float32, size_wh: tuple[int, int]) -> NDArray[np.bool_]:
    """What `drawing.hiding` hides of an image for `boxes`, (N, 4): (H, W)."""
    mask = np.zeros((size_wh[1], size_wh[0]), bool)
    grown = grow(boxes, MARGIN)
    low = np.clip(np.floor(grown[:, :2]), 0, size_wh).astype(int)
    high = np.clip(np.ceil(grown[:, 2:]), 0, size_wh).astype(int)
    for (x1, y1), (x2, y2) in zip(low.tolist(), high.tolist(), strict=True):
        mask[y1:y2, x1:x2] = True
    return mask


def in_mirror(image: Image, reference: MtcnnDetector) -> Detections:
    """Return what the reference finds in the mirrored image, (H, W, 3), where that is in it."""
    found = reference.detect(np.ascontiguousarray(image[:, ::-1]))
    boxes = found.boxes.copy()
    boxes[:, [0, 2]] = image.shape[1] - boxes[:, [2, 0]]
    return replace(found, boxes=boxes)


def prices(
    frames: Sequence[Frame], faces: Sequence[Detections], hidden: Hidden
) -> tuple[float, float]:
    """Return the share of frames hidden as a whole, and `other_share` of the others."""
    sizes = [frame.size_wh for frame in frames]
    whole = [is_whole(*each) for each in zip(hidden.places, sizes, strict=True)]
    shares = [
        other_share(found.boxes, places, size_wh)
        for found, places, size_wh, skip in zip(faces, hidden.places, sizes, whole, strict=True)
        if not skip
    ]
    return sum(whole) / len(whole), float(np.mean(shares)) if shares else 0.0


@command(
    "blur",
    __doc__,
    flag("clips", nargs="+", metavar="CLIP"),
    flag("--min-face", type=number(int, 20), default=USUAL_MODELS.min_face),
    flag("--frames", type=number(int, 1), default=450),
)
def main(options: argparse.Namespace) -> None:
    """Print two tables."""
    reference = MtcnnDetector(20, thresholds=(0.6, 0.7, SURE[0]))
    models = ModelOptions(min_face=options.min_face, estimator="ssrnet")
    seen_by = [f"seen, {way}" for way in WAYS]
    print(table(["clip", "reference", "score of at least", "faces", *seen_by]))
    costs = []
    for clip in options.clips:
        frames = list(frames_of(clip, options.frames))
        ways = [hide_all(frames, models, tracking) for tracking in WAYS.values()]
        upright = [reference.detect(frame.image) for frame in frames]
        mirrored = [in_mirror(frame.image, reference) for frame in frames]
        for kind, faces in (("as filmed", upright), ("mirrored", mirrored)):
            scores = np.concatenate([found.scores for found in faces])
            seen = [seen_scores(faces, hidden) for hidden in ways]
            for sure in SURE:
                total = int((scores >= sure).sum())
                counts = [int((left >= sure).sum()) for left in seen]
                shares = [f"{n} ({100 * n / max(total, 1):.1f} %)" for n in counts]
                print(row(clip, kind, sure, total, *shares), flush=True)
        for way, hidden in zip(WAYS, ways, strict=True):
            whole, other = (f"{100 * share:.1f} %" for share in prices(frames, upright, hidden))
            costs.append([clip, way, whole, other, f"{hidden.seconds / ways[0].seconds:.2f}"])
    print()
    print(table(["clip", "", "frames hidden as a whole", "other area", "time"], costs))


if __name__ == "__main__":
    raise SystemExit(main())
