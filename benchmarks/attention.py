"""How well five landmarks tell where a head points, and for how long it points here.

    python -m benchmarks.attention [CLIP ...] [--every N] [--mesh]

- Mean faces, turned by known angles and projected, with landmarks off by some per cent of the
  distance of the eyes: mean error of yaw and pitch in degrees, and what 95 of 100 stay below.
- Heads that turn to and fro as scripted, the landmarks off by 4 %: seconds of looking, and the
  truth, at several frame rates.
- With clips, faces that MTCNN finds in every Nth frame, shrunk until their eyes are so many pixels
  apart, as noisy and as compressed as bad cameras have them, and found again: how far yaw and pitch
  are from those at full size.
- With `--mesh`, how far they are from MediaPipe's face mesh (`python -m
  benchmarks.alternatives.setup mediapipe`): mean, median difference and the spread about it.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from benchmarks.alternatives.setup import interpreter
from benchmarks.common import ROOT, command, existing, flag, frames_of, output_of, row, table
from detectors import Detector, dlib_hog, make_detector, mtcnn_cascade
from estimators.pose import EYE_DISTANCE, fit_rotations, head_poses, mean_face
from people.attention import YAW_DEG, Attention
from program.options import number
from structures import Float32, HeadPose, Image
from tracking.poses import PoseSmoother

Float64 = NDArray[np.float64]

FACES = {
    "mtcnn": (mtcnn_cascade.LANDMARK_TEMPLATE, mtcnn_cascade.LANDMARK_DEPTHS),
    "dlib": (dlib_hog.LANDMARK_TEMPLATE, dlib_hog.LANDMARK_DEPTHS),
}
NOISE = (0.02, 0.04, 0.06)  # of the distance of the eyes
YAWS, EYES_PX = (0, 20, 40, 60), (8, 10, 12, 15, 20, 30)
HEADS, RATES = 1000, (5, 25, 60)
_CROP, _MARGIN = 384, 0.9  # pixels, and of a box's longer side about its middle
_TURN_S, _LOOK_S, _AWAY_DEG = 0.4, 4.0, 60.0


def project(poses: Float64, face: Float64, noise: float, rng: np.random.Generator) -> Float32:
    """Return the landmarks, (N, 5, 2), of mean faces of `poses`, (N, 3) yaw, pitch, roll degrees.

    The eyes are 1 pixel apart times 100; `noise` is in parts of that.
    """
    yaw, pitch, roll = np.radians(poses).T
    one, zero = np.ones_like(yaw), np.zeros_like(yaw)
    cos, sin = np.cos, np.sin
    turns = (
        ((cos(roll), -sin(roll), zero), (sin(roll), cos(roll), zero), (zero, zero, one)),
        ((cos(yaw), zero, -sin(yaw)), (zero, one, zero), (sin(yaw), zero, cos(yaw))),
        ((one, zero, zero), (zero, cos(pitch), sin(pitch)), (zero, -sin(pitch), cos(pitch))),
    )
    first, second, third = (np.moveaxis(np.array(each), 2, 0) for each in turns)
    seen = np.einsum("nij,kj->nki", first @ second @ third, 100 / EYE_DISTANCE * face)[..., :2]
    return (seen + rng.normal(0, 100 * noise, seen.shape)).astype(np.float32)


def projected(detector: str, noise: float, yaw: float) -> tuple[Float64, Float64]:
    """Return the errors in yaw and pitch of many heads that do not roll."""
    rng, face = np.random.default_rng(0), mean_face(*FACES[detector])
    pitch = rng.uniform(-15, 15, HEADS)
    points = project(np.column_stack([np.full(HEADS, yaw), pitch, 0 * pitch]), face, noise, rng)
    found = angles(head_poses(points, *FACES[detector]))
    return np.abs(found[:, 0] - yaw), np.abs(found[:, 1] - pitch)


def angles(poses: Sequence[HeadPose | None]) -> Float64:
    """Return (N, 2) yaw and pitch, not a number where there is none."""
    unknown = (np.nan, np.nan)
    pairs = [(pose.yaw_deg, pose.pitch_deg) if pose else unknown for pose in poses]
    return np.array(pairs, np.float64).reshape(-1, 2)


def looked_s(fps: int, noise: float, heads: int = 20) -> tuple[float, float, float]:
    """Return seconds of looking: the truth, the mean of heads that turn alike, its spread."""
    period_s = 2 * (_TURN_S + _LOOK_S)
    edges = np.cumsum([0, _LOOK_S, _TURN_S, _LOOK_S, _TURN_S])
    times_s = np.arange(round(3 * period_s * fps)) / fps
    script = (edges, (_AWAY_DEG, _AWAY_DEG, 0, 0, _AWAY_DEG))
    fine_s = np.arange(0, 3 * period_s, 1e-3)
    truth_s = 1e-3 * (np.interp(fine_s % period_s, *script) <= sum(YAW_DEG) / 2).sum()
    yaw = np.repeat(np.interp(times_s % period_s, *script), heads)
    rng, face = np.random.default_rng(0), mean_face(*FACES["mtcnn"])
    points = project(np.column_stack([yaw, 0 * yaw, 0 * yaw]), face, noise, rng)
    poses = head_poses(points, *FACES["mtcnn"])
    smoother, looks = PoseSmoother(), dict.fromkeys(range(heads), Attention())
    for i, time_s in enumerate(times_s.tolist()):
        here = enumerate(poses[heads * i : heads * (i + 1)])
        known = {head: pose for head, pose in here if pose is not None}
        for head, pose in smoother.update(known, time_s).items():
            looks[head] = looks[head].after(pose, time_s)
    seconds = [each.looked_s for each in looks.values()]
    return truth_s, float(np.mean(seconds)), float(np.std(seconds))


def crops_of(clip: Path, every: int, detector: Detector) -> Iterator[tuple[Image, Float32]]:
    """Yield the faces of every Nth frame: a square image of each, and its landmarks in that."""
    for frame in frames_of(clip):
        if frame.index % every:
            continue
        found = detector.detect(frame.image).above(0.95)
        for box, points in zip(found.boxes, found.landmarks, strict=True):
            middle, half = (box[:2] + box[2:]) / 2, _MARGIN * float((box[2:] - box[:2]).max())
            zoom = _CROP / (2 * half)
            corner = middle - half
            matrix = np.array([[zoom, 0, -zoom * corner[0]], [0, zoom, -zoom * corner[1]]])
            crop = cv2.warpAffine(frame.image, matrix, (_CROP, _CROP), flags=cv2.INTER_AREA)
            yield np.asarray(crop, np.uint8), ((points - corner) * zoom).astype(np.float32)


def shrunk(crop: Image, zoom: float, rng: np.random.Generator) -> Image:
    """A smaller picture with the noise and the blocks of a bad camera, and a margin."""
    small = cv2.resize(crop, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    noisy = np.clip(small + rng.normal(0, 8, small.shape), 0, 255).astype(np.uint8)
    blocks = cv2.imdecode(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 40])[1], 1)
    return np.asarray(cv2.copyMakeBorder(blocks, *(20,) * 4, cv2.BORDER_REPLICATE), np.uint8)


def found_again(image: Image, detector: Detector, eyes_px: float) -> Float32 | None:
    """The landmarks, (1, 5, 2), of the face in the middle; None if none is found there."""
    found = detector.detect(image)
    middle = np.array(image.shape[1::-1]) / 2
    away = np.hypot(*((found.boxes[:, :2] + found.boxes[:, 2:]) / 2 - middle).T)
    if not len(found) or away.min() > 1.2 * eyes_px:
        return None
    return found.landmarks[[int(away.argmin())]]


def poses_when(eyes_px: float, crops: Sequence[Image], points: Float32) -> Float64:
    """Return (N, 2) yaw and pitch of faces that were shrunk; not a number where not found."""
    detector, rng = make_detector("mtcnn", 20), np.random.default_rng(0)
    face = mean_face(*FACES["mtcnn"])
    own_px = EYE_DISTANCE * np.linalg.norm(fit_rotations(points, face)[:, 0], axis=1)
    found = np.full((len(crops), 2), np.nan)
    for i, (crop, own) in enumerate(zip(crops, own_px, strict=True)):
        again = found_again(shrunk(crop, eyes_px / own, rng), detector, eyes_px)
        if again is not None:  # a thousand times larger: `head_poses` refuses small ones
            found[i] = angles(head_poses(1000 * again, *FACES["mtcnn"]))
    return found


def mesh_poses(crops: Sequence[Image]) -> Float64:
    """Return (N, 2) yaw and pitch by MediaPipe's mesh; BenchmarkError if that is not installed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "faces.npy"
        np.save(path, np.stack(crops)[..., ::-1])
        start = [str(interpreter("mediapipe")), "-m", "benchmarks.alternatives.meshes", str(path)]
        text = output_of(start, PYTHONPATH=str(ROOT))
    return np.array([pose or (np.nan, np.nan) for pose in json.loads(text)], np.float64)


def differences(ours: Float64, theirs: Float64) -> list[str]:
    """Cells of a table: how many faces both have, and how far apart they are."""
    apart = (ours - theirs)[np.isfinite(ours - theirs).all(axis=1)]
    if not len(apart):
        return ["0", "", ""]
    cells = [
        f"{np.abs(one).mean():.1f} ({np.percentile(np.abs(one), 95):.0f}), "
        f"{np.median(one):+.1f}, ±{one.std():.1f}"
        for one in apart.T
    ]
    return [str(len(apart)), *cells]


@command(
    "attention",
    __doc__,
    flag("clips", nargs="*", type=Path, metavar="CLIP"),
    flag("--every", type=number(int, 1), default=10, metavar="N", help="frame (default: 10)"),
    flag("--mesh", action="store_true", help="compare with MediaPipe's face mesh, too"),
)
def main(options: argparse.Namespace) -> None:
    """Print the tables."""
    clips = existing(options.clips)
    print(table(["landmarks of", "off by", *(f"yaw at {yaw}°" for yaw in YAWS), "pitch"]))
    for detector in FACES:
        for noise in NOISE:
            errors = [projected(detector, noise, yaw) for yaw in YAWS]
            cells = [*(yaw for yaw, _ in errors), np.concatenate([pitch for _, pitch in errors])]
            texts = [f"{each.mean():.1f} ({np.percentile(each, 95):.0f})" for each in cells]
            print(row(detector, f"{100 * noise:.0f} %", *texts))
    print("\n" + table(["frames a second", "looked, s", "truth", "spread of heads"]))
    for fps in RATES:
        truth_s, mean_s, spread_s = looked_s(fps, 0.04)
        print(row(fps, f"{mean_s:.2f}", f"{truth_s:.2f}", f"{spread_s:.2f}"))
    if clips:
        print("\n" + of_clips(clips, options.every, options.mesh))


def of_clips(clips: Sequence[Path], every: int, mesh: bool) -> str:
    """Return the table of the faces of clips."""
    detector = make_detector("mtcnn", 40)
    faces = [face for clip in clips for face in crops_of(clip, every, detector)]
    crops, points = [crop for crop, _ in faces], np.stack([points for _, points in faces])
    whole = angles(head_poses(points, *FACES["mtcnn"]))
    lines = [table(["faces", "found", "yaw: mean (95 %), median, spread", "pitch"])]
    for eyes_px in EYES_PX:
        small = poses_when(eyes_px, crops, points)
        lines.append(row(f"eyes {eyes_px} px apart", *differences(small, whole)))
    if mesh:
        theirs, dlib = mesh_poses(crops), make_detector("dlib")
        lines.append(row("beside MediaPipe", *differences(whole, theirs)))
        again = [found_again(crop, dlib, EYE_DISTANCE * _CROP) for crop in crops]
        unknown = np.full((1, 5, 2), np.nan, np.float32)
        others = np.concatenate([unknown if each is None else each for each in again])
        ours = angles(head_poses(others, *FACES["dlib"]))
        lines.append(row("dlib's beside MediaPipe", *differences(ours, theirs)))
    return "\n".join(lines)


if __name__ == "__main__":
    raise SystemExit(main())
