"""Compare the faces that a program found with the clip's reference, made by `reference`."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from structures import Float32
from tracking.association import assign
from tracking.boxes import iou_matrix

SAME_FACE = 0.4  # overlap from which two boxes are the same face
RULES = 1  # of `reference`: grows when they change, so that old references are not used

Face = Float32  # (M, 4) xyxy pixels: one face's boxes from different detectors


class Reference(NamedTuple):
    """The faces of each frame, and the frame size that they are measured in."""

    size_wh: tuple[int, int]
    frames: list[list[Face]]


class Found(NamedTuple):
    """How a program compares with the reference.

    Attributes:
        found: faces with a box on them.
        faces: faces of the reference.
        extra: boxes on no face, or a second one on the same.
        frames: frames compared.
    """

    found: int
    faces: int
    extra: int
    frames: int


def judge(reference: Reference, shown: Sequence[Float32]) -> Found:
    """Compare frame by frame, over the frames that both have.

    A box finds a face if it overlaps any of the face's boxes by `SAME_FACE`; pairs are one
    to one, as many as possible.
    """
    found = faces = extra = 0
    for truth, boxes in zip(reference.frames, shown, strict=False):
        hits = count_pairs(truth, boxes)
        found, faces, extra = found + hits, faces + len(truth), extra + len(boxes) - hits
    return Found(found, faces, extra, min(len(reference.frames), len(shown)))


def count_pairs(faces: Sequence[Face], boxes: Float32) -> int:
    """Return how many faces at most can each get a box of its own."""
    if not faces or not len(boxes):
        return 0
    overlap = np.stack([iou_matrix(face, boxes).max(axis=0) for face in faces])
    return len(assign((overlap >= SAME_FACE).astype(np.float64), SAME_FACE))


def write(reference: Reference, path: Path) -> None:
    """Write a reference as JSON."""
    frames = [[np.round(face.astype(float), 1).tolist() for face in f] for f in reference.frames]
    path.write_text(json.dumps({"size_wh": reference.size_wh, "frames": frames}))


def read(path: Path) -> Reference:
    """Read what `write` wrote."""
    stored = json.loads(path.read_text())
    frames = [[np.array(face, np.float32).reshape(-1, 4) for face in f] for f in stored["frames"]]
    width, height = stored["size_wh"]
    return Reference((width, height), frames)
