"""How many faces `--blur` leaves visible.

    python -m benchmarks.blur CLIP... [--min-face PX] [--frames N]

The reference is MTCNN down to 20 pixels with the published thresholds in every frame. A few of
its faces are false, so those with a score of at least 0.9 are also counted on their own; but the
real faces that are hard to find are among the others. A face counts as hidden if the places that
the program hides, with their margin, cover nine tenths of its box.

The reference is no better than its networks: faces that MTCNN misses, for example in profile, are
not counted, and with `--min-face 20` the program looks for exactly the same ones.
"""

import argparse
from collections.abc import Sequence

import numpy as np

from benchmarks.common import command, flag, frames_of, row, table
from detectors.mtcnn_cascade import MtcnnDetector
from drawing.hiding import MARGIN
from program.assemble import Assembly
from program.options import USUAL_MODELS, ModelOptions, TrackingOptions, number
from structures import Detections, Float32, Frame
from tracking.boxes import grow

HIDDEN = 0.9  # of a face's box
EVERY = (1, 5)  # --detect-every
SURE = (0.7, 0.9)  # least scores of the reference
_GRID = 12  # points across a box, to measure what covers it


def covered_share(face: Float32, places: Float32) -> float:
    """Return the share of a face's box, (4,) xyxy, that the grown `places`, (N, 4), cover."""
    left, top, right, bottom = face.tolist()
    x, y = np.meshgrid(np.linspace(left, right, _GRID), np.linspace(top, bottom, _GRID))
    x1, y1, x2, y2 = grow(places, MARGIN).T[:, :, None, None]  # (N, 1, 1) each
    return float(((x >= x1) & (x <= x2) & (y >= y1) & (y <= y2)).any(0).mean())


def seen_faces(
    frames: Sequence[Frame], faces: Sequence[Detections], models: ModelOptions, every: int
) -> Float32:
    """Return the scores of the reference's faces that stay visible."""
    assembly = Assembly(models, TrackingOptions(detect_every=every, blur="pixelate"))
    detector = assembly.detector(threads=0)
    pipeline = assembly.pipeline(detector, assembly.estimator())
    seen = []
    for frame, reference in zip(frames, faces, strict=True):
        found = pipeline.search(frame, detector) if pipeline.wants_search(frame) else None
        places = pipeline.follow(frame, found).places
        shares = np.array([covered_share(box, places) for box in reference.boxes])
        seen.append(reference.scores[shares < HIDDEN])
    return np.concatenate(seen)


@command(
    "blur",
    __doc__,
    flag("clips", nargs="+", metavar="CLIP"),
    flag("--min-face", type=number(int, 20), default=USUAL_MODELS.min_face),
    flag("--frames", type=number(int, 1), default=450),
)
def main(options: argparse.Namespace) -> None:
    """Print a table."""
    reference = MtcnnDetector(20, thresholds=(0.6, 0.7, SURE[0]))
    models = ModelOptions(min_face=options.min_face, estimator="ssrnet")
    seen_at = [f"seen, --detect-every {every}" for every in EVERY]
    print(table(["clip", "score of at least", "faces", *seen_at]))
    for clip in options.clips:
        frames = list(frames_of(clip, options.frames))
        faces = [reference.detect(frame.image) for frame in frames]
        scores = np.concatenate([found.scores for found in faces])
        seen = [seen_faces(frames, faces, models, every) for every in EVERY]
        for sure in SURE:
            total = int((scores >= sure).sum())
            counts = [int((left >= sure).sum()) for left in seen]
            shares = [f"{n} ({100 * n / max(total, 1):.1f} %)" for n in counts]
            print(row(clip, sure, total, *shares))


if __name__ == "__main__":
    raise SystemExit(main())
