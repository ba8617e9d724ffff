"""Speed of the detectors, their recall, and MTCNN compared with the package `mtcnn`.

    python -m benchmarks.detectors [--data DIR] [--repeat N] [--threads N]

The detectors take turns on the same images, so that a busy machine slows all alike: trust the
ratios more than the milliseconds. The package runs on TensorFlow; if either is missing, its rows
are left out with a note.
"""

import argparse
import csv
import math
import os
from collections.abc import Callable
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np

from benchmarks import common
from benchmarks.agreed_faces import SAME_FACE
from benchmarks.common import flag
from detectors.dlib_hog import DlibHogDetector
from detectors.mtcnn_cascade import MtcnnDetector
from errors import SourceError
from program.options import number
from structures import Detections, Float32, Image
from tracking.boxes import overlaps

DATA = Path(os.environ.get("FACES_DATA", common.ROOT.parent / "shared" / "data"))
SIZES = ((640, 360), (1280, 720), (1920, 1080))
Detect = Callable[[Image], Detections]
PACKAGE_MIN_FACE = 20  # its default; from 30 on its pyramid is wrong and it finds nothing


def package_detector() -> Detect:
    """Return the package `mtcnn` with its own settings, as our `detect`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    from mtcnn import MTCNN

    model = MTCNN()

    def detect(image: Image) -> Detections:
        rows = model.detect_faces(
            cv2.cvtColor(image, cv2.COLOR_BGR2RGB),
            min_face_size=PACKAGE_MIN_FACE,
            output_type="numpy",
            box_format="xyxy",
            fit_to_image=False,
        )
        faces = np.asarray(rows, np.float32).reshape(-1, 16)
        points = faces[:, 6:].reshape(-1, 2, 5).transpose(0, 2, 1)  # x x .. y y .. -> (N, 5, 2)
        return Detections(faces[:, 1:5], faces[:, 5], points)

    return detect


class Photograph(NamedTuple):
    """An image and the (N, 4) float32 xyxy boxes of its faces."""

    image: Image
    boxes: Float32


def _read(path: Path) -> Image:
    image = cv2.imread(str(path))
    if image is None:
        raise SourceError(f"{path}: not an image that OpenCV can read; restore the file")
    return image


def image_of_faces(size_wh: tuple[int, int], count: int) -> Image:
    """Return an image of that size made of the portraits, with `count` faces."""
    width, height = size_wh
    columns = math.ceil(math.sqrt(count * width / height))
    wide, high = width // columns, height // math.ceil(count / columns)
    image = np.full((height, width, 3), 90, np.uint8)
    names = sorted((common.ROOT / "samples" / "portraits").iterdir())
    for i in range(count):
        portrait = _read(names[i % len(names)])
        side = min(portrait.shape[:2])
        y, x = i // columns * high, i % columns * wide
        image[y : y + high, x : x + wide] = cv2.resize(portrait[:side, :side], (wide, high))
    return image


def read_labelled(folder: Path) -> list[Photograph]:
    """Read the group photographs of `boxes.csv` (file, x, y, w, h, ...)."""
    boxes: dict[str, list[tuple[float, ...]]] = {}
    with (folder / "boxes.csv").open(newline="") as file:
        for row in csv.DictReader(file):
            x, y, w, h = (float(row[key]) for key in "xywh")
            boxes.setdefault(row["file"], []).append((x, y, x + w, y + h))
    return [
        Photograph(_read(folder / name), np.array(rows, np.float32)) for name, rows in boxes.items()
    ]


def recall(found: list[Float32], photographs: list[Photograph], overlap: float) -> str:
    """Return how many of all labelled faces have a box that overlaps by `overlap`."""
    hits = sum(
        int((overlaps(photograph.boxes, boxes) >= overlap).any(1).sum())
        for boxes, photograph in zip(found, photographs, strict=True)
    )
    return f"{hits}/{sum(len(photograph.boxes) for photograph in photographs)}"


def agreement(ours: list[Detections], theirs: list[Detections]) -> str:
    """Return how far the faces and landmarks of two detectors are apart, in words."""
    shared, apart = [], []
    for a, b in zip(ours, theirs, strict=True):
        matrix = overlaps(b.boxes, a.boxes)
        points_a, points_b = a.landmarks, b.landmarks
        for i in np.flatnonzero((matrix >= SAME_FACE).any(1)):
            j = matrix[i].argmax()
            eyes = np.linalg.norm(points_b[i, 0] - points_b[i, 1])
            shared.append(matrix[i, j])
            apart.append(np.linalg.norm(points_a[j] - points_b[i], axis=1).mean() / eyes)
    total = sum(len(b) for b in theirs)
    return (
        f"{len(shared)} of {total} faces in common, IoU {np.median(shared):.3f}, "
        f"landmarks apart {100 * np.median(apart):.1f} % of the eye distance (median)"
    )


def mirrored(detect: Detect, image: Image) -> Detections:
    """Return the faces of the mirrored image, mirrored back."""
    found = detect(np.ascontiguousarray(image[:, ::-1]))
    width = image.shape[1]
    boxes = found.boxes.copy()
    boxes[:, [0, 2]] = width - found.boxes[:, [2, 0]]
    points = found.landmarks[:, [1, 0, 2, 4, 3]]
    points[..., 0] = width - 1 - points[..., 0]
    return Detections(boxes, found.scores, points)


def print_speed(repeat: int, threads: int, package: Detect | None) -> None:
    """Print a table of times by image size."""
    calls: dict[str, Detect] = {
        "mtcnn, min face 40": MtcnnDetector(40, threads=threads).detect,
        "mtcnn, min face 80": MtcnnDetector(80, threads=threads).detect,
        "dlib HOG": DlibHogDetector().detect,
        "dlib HOG, upsample 1": DlibHogDetector(1).detect,
    }
    if package is not None:
        calls[f"mtcnn, min face {PACKAGE_MIN_FACE}"] = MtcnnDetector(
            PACKAGE_MIN_FACE, threads=threads
        ).detect
        calls["package mtcnn"] = package
    tables = []
    for size in SIZES:
        image = image_of_faces(size, 5)
        timed = {name: partial(call, image) for name, call in calls.items()}
        tables.append(common.medians_ms(timed, repeat, warm=1))
    print(f"{'median ms, five faces':24}" + "".join(f"{w}x{h}".rjust(12) for w, h in SIZES))
    for name in calls:
        print(f"{name:24}" + "".join(f"{table[name]:12.1f}" for table in tables))
    if package is not None:
        for name in calls:
            if name.startswith("mtcnn"):
                ratios = "".join(f"{t['package mtcnn'] / t[name]:11.1f}x" for t in tables)
                print(f"{'package / ' + name:24}{ratios}")


def print_recall(folder: Path, threads: int, package: Detect | None) -> None:
    """Print the recall on labelled photographs, and the agreement with the package."""
    photographs = read_labelled(folder)
    detectors: dict[str, Detect] = {
        f"mtcnn, min face {side}": MtcnnDetector(side, threads=threads).detect for side in (20, 40)
    }
    detectors |= {f"dlib HOG, upsample {n}": DlibHogDetector(n).detect for n in (0, 1)}
    if package is not None:
        detectors["package mtcnn"] = package
    found = {name: [detect(p.image) for p in photographs] for name, detect in detectors.items()}
    print(f"\n{'recall':24}{'IoU 0.4':>12}{'IoU 0.5':>12}{'found':>12}")
    for name, results in found.items():
        boxes = [result.boxes for result in results]
        hits = [recall(boxes, photographs, overlap) for overlap in (0.4, 0.5)]
        print(f"{name:24}{hits[0]:>12}{hits[1]:>12}{sum(map(len, boxes)):>12}")
    print()
    for name, results in found.items():
        if "mtcnn" not in name:
            continue
        if package is not None and name != "package mtcnn":
            print(f"{name} and the package: {agreement(results, found['package mtcnn'])}")
        turned = [mirrored(detectors[name], each.image) for each in photographs]
        print(f"{name} and itself on mirrored images: {agreement(turned, results)}")


@common.command(
    "detectors",
    __doc__,
    flag("--data", type=Path, default=DATA, help="folder with boxes/dlib_faces"),
    flag("--repeat", type=number(int, 1), default=20, help="timed runs of each"),
    flag("--threads", type=int, default=0, help="of OpenVINO, 0 = all cores"),
)
def main(options: argparse.Namespace) -> None:
    """Print the tables."""
    package = None
    if find_spec("mtcnn") and find_spec("tensorflow"):
        package = package_detector()
    else:
        print("the package mtcnn with TensorFlow is not installed: no comparison with it\n")
    print_speed(options.repeat, options.threads, package)
    folder = options.data / "boxes" / "dlib_faces"
    if folder.is_dir():
        print_recall(folder, options.threads, package)
    else:
        print(f"\nno labelled photographs in {folder}: no recall")


if __name__ == "__main__":
    raise SystemExit(main())
