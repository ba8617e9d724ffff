"""An archive for tests: films of bright squares, who finds them, and workers in this process."""

import json
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import batch
from archive.jobs import JobContext, Outcome, Stopped, run_job
from program.assemble import Assembly
from program.options import ModelOptions, TrackingOptions
from structures import Detections, Float32, Image
from tests.assemblies import scripted
from tests.clips import write_clip
from tests.fakes import FIVE_DEPTHS, FIVE_POINTS, grey
from tracking.boxes import iou_matrix


class BrightSquares:
    """A detector of bright squares: the same image gives the same boxes, in any order.

    Attributes:
        searched: how many images all of them searched.
    """

    landmark_template = FIVE_POINTS
    landmark_depths = FIVE_DEPTHS
    starting_score = 0.8
    confident_score = 0.9
    searched = 0

    def detect_near(self, image: Image, boxes: Float32) -> Detections:
        found = self._find(image)
        rows = (iou_matrix(found.boxes, boxes) > 0).any(1)
        return Detections(found.boxes[rows], found.scores[rows], found.landmarks[rows])

    def detect(self, image: Image, coarse: float = 1.0) -> Detections:
        BrightSquares.searched += 1
        return self._find(image)

    def _find(self, image: Image) -> Detections:
        mask = (image[..., 0] > 120).astype(np.uint8)
        _, _, stats, _ = cv2.connectedComponentsWithStats(mask)
        found = [(x, y, x + w, y + h) for x, y, w, h, area in stats[1:].tolist() if area > 50]
        boxes = np.array(found, np.float32).reshape(-1, 4)
        points = boxes[:, None, :2] + (boxes[:, None, 2:] - boxes[:, None, :2]) * FIVE_POINTS
        return Detections(boxes, np.full(len(boxes), 0.99, np.float32), points)


QUICK = scripted(BrightSquares)


class OneWorker:
    """Does each job at once, in the test's own process.

    Args:
        ctrl_c_after: Ctrl-C comes after so many frames.
        assemble: makes the stages.
    """

    count = 2

    def __init__(
        self,
        _: int = 1,
        ctrl_c_after: int | None = None,
        assemble: Callable[[ModelOptions, TrackingOptions], Assembly] = QUICK,
    ) -> None:
        self.counted = 0
        self.stopped = False
        self._ctrl_c_after = ctrl_c_after
        self._context = JobContext(_Counter(self), assemble)

    def submit(self, job: Callable[..., Any], *arguments: Any) -> "Future[Outcome]":
        future: Future[Outcome] = Future()
        if self.stopped:
            future.cancel()
        else:
            future.set_result(run_job(self._context, job, arguments))
        return future

    def count_frames(self, frames: int) -> None:
        self.counted += frames
        if self._ctrl_c_after is not None and self.counted > self._ctrl_c_after:
            self.stopped = True
            raise Stopped

    def cancel(self, future: "Future[Outcome]") -> None:
        future.cancel()

    def frames(self) -> int:
        if self.stopped:
            raise KeyboardInterrupt
        return self.counted

    def stop(self) -> None:
        pass

    close = stop


class _Counter:
    """The progress that `OneWorker` hands to its jobs."""

    def __init__(self, worker: OneWorker) -> None:
        self._worker = worker

    def count(self, frames: int = 1) -> None:
        self._worker.count_frames(frames)

    def flush(self) -> None:
        pass


def run_batch(*arguments: object, **options: Any) -> int:
    """The exit code of batch.py, however it ends; `options` are those of `OneWorker`."""
    try:
        return batch.main([str(each) for each in arguments], partial(OneWorker, **options))
    except SystemExit as end:
        return int(end.code or 0)


def scene(index: int) -> Image:
    """Two squares that cross, one above the other, and a third that comes later."""
    picture = grey(20, (160, 120))
    moved = index * 3 // 4
    places = [(10 + moved, 10), (130 - moved, 60)] + ([(70, 90)] if index >= 60 else [])
    for x, y in places:
        picture[y : y + 24, x : x + 24] = 200
    return picture


def make_film(path: Path, frames: int = 160) -> Path:
    path.parent.mkdir(exist_ok=True, parents=True)
    write_clip(path, [scene(i) for i in range(frames)])
    return path


def records_of(path: Path, kind: str = "frame") -> list[dict[str, Any]]:
    """The records of a kind in a file of events, without run ids and times of the clock."""
    records = [json.loads(line) for line in path.read_text().splitlines()]
    chosen = [record for record in records if record["type"] == kind]
    for record in chosen:
        for name in ("utc", "run", "fps", "latency_ms"):
            record.pop(name, None)
    return chosen


def visible(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if not path.name.startswith("."))
