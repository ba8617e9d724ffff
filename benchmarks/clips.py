"""The whole program on real clips: frames per second, where the time goes, what is found.

    python -m benchmarks.clips CLIP... [--repeat N] [--detect-every N] [--detector NAME]

Frames per second are those of `stream.py --no-window` on the same options, start-up not
counted; medians of the repetitions, which go round the clips in turn because machines
drift. Detection time is measured around the detector's call within the same runs.
"""

import argparse
import statistics
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from detectors import DETECTORS, Detector, make_detector
from errors import StreamError
from estimators import make_estimator
from options import number
from pipeline import Pipeline
from structures import Detections, Float32, Image
from tracking.smoothing import TrackSmoother
from tracking.sort import SortTracker
from video.sources import open_source


class TimedDetector:
    """Another detector that notes how long each call took and how many faces it found."""

    def __init__(self, detector: Detector) -> None:
        self._detector = detector
        self.landmark_template = detector.landmark_template
        self.starting_score = detector.starting_score
        self.confident_score = detector.confident_score
        self.calls_ms: list[float] = []
        self.faces = 0

    def detect(self, image: Image, coarse: float = 1.0) -> Detections:
        """See `detectors.Detector`."""
        start = time.perf_counter()
        found = self._detector.detect(image, coarse)
        self.calls_ms.append(1e3 * (time.perf_counter() - start))
        self.faces += len(found)
        return found

    def detect_near(self, image: Image, boxes: Float32) -> Detections:
        """See `detectors.Detector`; not timed."""
        return self._detector.detect_near(image, boxes)


@dataclass
class Runs:
    """What the repetitions on one clip gave."""

    fps: list[float] = field(default_factory=list)
    detect_ms: list[float] = field(default_factory=list)
    frames: int = 0
    faces_a_look: float = 0
    tracks: int = 0
    saved: float = 0


def run_clip(clip: Path, detector: Detector, options: argparse.Namespace, runs: Runs) -> None:
    """Play `clip` once through the pipeline and add the figures to `runs`."""
    timed = TimedDetector(detector)
    pipeline = Pipeline(timed, SortTracker(), options.model, TrackSmoother(), options.detect_every)
    source = open_source(str(clip))
    seen: set[int] = set()
    frames, start = 0, time.perf_counter()
    for frame in source:
        tracks, _ = pipeline.process(frame)
        seen |= {track.track_id for track in tracks}
        frames += 1
    runs.fps.append(frames / (time.perf_counter() - start))
    source.close()
    runs.detect_ms.append(statistics.median(timed.calls_ms))
    runs.frames, runs.tracks = frames, len(seen)
    runs.faces_a_look = timed.faces / len(timed.calls_ms)
    made, saved = pipeline.smoother.estimates_made, pipeline.smoother.estimates_saved
    runs.saved = saved / max(made + saved, 1)


def show(results: dict[Path, Runs]) -> None:
    """Print the table, in Markdown."""
    print(
        "| clip | frames | frames/s (min-max) | detection ms | faces a look | tracks "
        "| estimates saved |"
    )
    print("|---|---|---|---|---|---|---|")
    for clip, runs in results.items():
        fps = statistics.median(runs.fps)
        print(
            f"| {clip.stem} | {runs.frames} | {fps:.0f} ({min(runs.fps):.0f}-{max(runs.fps):.0f}) "
            f"| {statistics.median(runs.detect_ms):.1f} | {runs.faces_a_look:.2f} "
            f"| {runs.tracks} | {100 * runs.saved:.0f} % |"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.clips")
    parser.add_argument("clips", nargs="+", type=Path)
    parser.add_argument("--repeat", type=number(int, 1), default=3)
    parser.add_argument("--detect-every", type=number(int, 1), default=1)
    parser.add_argument("--detector", choices=DETECTORS, default="mtcnn")
    parser.add_argument("--estimator", default="mobilenetv2")
    options = parser.parse_args(arguments)
    try:
        detector = make_detector(options.detector)
        options.model = make_estimator(options.estimator)
        results = {clip: Runs() for clip in options.clips}
        for _ in range(options.repeat):
            for clip, runs in results.items():
                run_clip(clip, detector, options, runs)
    except StreamError as error:
        print(f"clips: {error}", file=sys.stderr)
        return 2
    show(results)
    return 0


if __name__ == "__main__":
    sys.exit(main())
