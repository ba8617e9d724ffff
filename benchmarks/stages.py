"""Where the time of a frame goes: each stage of this program by itself.

    python -m benchmarks.stages CLIP... [--frames N] [--repeat N]

Decoding and encoding run in threads of their own beside the rest in the program; here
each runs alone, so that the sum is more than a frame takes. Finding, following,
describing and smoothing are clocked around the calls that `program.pipeline.Pipeline` makes of
them; what is left of its time (choosing, aligning, weighing) is "align, rest". Medians of
the repetitions, which go round the clips in turn because machines drift.
"""

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Sequence
from itertools import islice
from pathlib import Path
from typing import Any

from drawing.overlay import Overlay
from errors import StreamError
from outputs.recording.sink import Recording
from program.assemble import Assembly
from program.options import number
from program.pipeline import Pipeline
from sources.open import open_source
from structures import Frame, FrameResult, Image
from tracking.smoothing import TrackSmoother

STAGES = ("decode", "detect", "track", "align, rest", "estimate", "smooth", "draw", "encode")
_ENCODED = 30  # pictures kept in memory, 6 MB each at 1920x1080
_OF_TRACKER = ("update", "predict", "predicted_boxes")
_OF_SMOOTHER = ("update", "is_due", "forget_except", "current")


class Clocked:
    """Another object, with the time spent in some of its methods added to `spent_s`.

    Args:
        inner: the object; everything but the methods is passed on.
        spent_s: stage -> seconds.
        stages: method -> stage.
    """

    def __init__(self, inner: Any, spent_s: dict[str, float], stages: dict[str, str]) -> None:
        self._inner, self._spent_s, self._stages = inner, spent_s, stages

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if name not in self._stages:
            return value

        def clocked(*arguments: Any, **options: Any) -> Any:
            start = time.perf_counter()
            try:
                return value(*arguments, **options)
            finally:
                self._spent_s[self._stages[name]] += time.perf_counter() - start

        return clocked


def spend(clip: str, frames: int, detector: Any, estimator: Any) -> dict[str, float]:
    """Milliseconds a frame of each of `STAGES` on one pass over a clip."""
    spent_s: dict[str, float] = defaultdict(float)
    count = _decode(clip, frames, spent_s)
    pipeline = _clocked_pipeline(detector, estimator, spent_s)
    overlay, whole_s = Overlay(), 0.0
    pictures: list[tuple[Image, FrameResult]] = []
    for frame in _frames(clip, frames):
        start = time.perf_counter()
        result = FrameResult(frame, *pipeline.process(frame))
        processed = time.perf_counter()
        picture = overlay.draw(result)
        spent_s["draw"] += time.perf_counter() - processed
        whole_s += processed - start
        if len(pictures) < _ENCODED:
            pictures.append((picture.copy(), result))
    inside = sum(spent_s[stage] for stage in ("detect", "track", "estimate", "smooth"))
    spent_s["align, rest"] = whole_s - inside
    spent_s["encode"] = _encode(pictures) * count / len(pictures)
    return {stage: 1e3 * spent_s[stage] / count for stage in STAGES}


def _clocked_pipeline(detector: Any, estimator: Any, spent_s: dict[str, float]) -> Pipeline:
    tracker = Assembly().tracker(detector)
    parts: list[Any] = [
        Clocked(detector, spent_s, {"detect": "detect", "detect_near": "detect"}),
        Clocked(tracker, spent_s, dict.fromkeys(_OF_TRACKER, "track")),
        Clocked(estimator, spent_s, {"estimate": "estimate"}),
        Clocked(TrackSmoother(), spent_s, dict.fromkeys(_OF_SMOOTHER, "smooth")),
    ]
    return Pipeline(*parts)


def _frames(clip: str, frames: int) -> Any:
    source = open_source(clip)
    try:
        yield from islice(source, frames)
    finally:
        source.close()


def _decode(clip: str, frames: int, spent_s: dict[str, float]) -> int:
    start = time.perf_counter()
    count = sum(isinstance(frame, Frame) for frame in _frames(clip, frames))
    spent_s["decode"] += time.perf_counter() - start
    return count


def _encode(pictures: Sequence[tuple[Image, FrameResult]]) -> float:
    """Seconds to encode the pictures and close the file."""
    with tempfile.TemporaryDirectory() as folder:
        start = time.perf_counter()
        recording = Recording(Path(folder) / "stages.mp4", 25.0)
        for picture, result in pictures:
            recording.write(picture, result)
        recording.close()
        return time.perf_counter() - start


def measure_stages(clips: Sequence[str], frames: int, repeat: int) -> dict[str, dict[str, float]]:
    """Clip -> stage -> median milliseconds a frame."""
    assembly = Assembly()
    detector, estimator = assembly.detector(threads=0), assembly.estimator()
    rounds: list[dict[str, dict[str, float]]] = []
    for _ in range(repeat):
        rounds.append({clip: spend(clip, frames, detector, estimator) for clip in clips})
    return {
        clip: {s: statistics.median(each[clip][s] for each in rounds) for s in STAGES}
        for clip in clips
    }


def stage_table(spent_ms: dict[str, dict[str, float]]) -> str:
    """The same in Markdown."""
    lines = [f"| ms a frame | {' | '.join(STAGES)} |", "|---" * (len(STAGES) + 1) + "|"]
    lines += [
        f"| {Path(clip).stem} | {' | '.join(f'{stages[s]:.1f}' for s in STAGES)} |"
        for clip, stages in spent_ms.items()
    ]
    return "\n".join(lines)


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.stages")
    parser.add_argument("clips", nargs="+", metavar="CLIP")
    parser.add_argument("--frames", type=number(int, 1), default=600)
    parser.add_argument("--repeat", type=number(int, 1), default=3)
    parser.add_argument("--json", action="store_true", help="print JSON instead of a table")
    options = parser.parse_args(arguments)
    try:
        spent_ms = measure_stages(options.clips, options.frames, options.repeat)
    except StreamError as error:
        print(f"stages: {error}", file=sys.stderr)
        return 2
    print(json.dumps(spent_ms) if options.json else stage_table(spent_ms))
    return 0


if __name__ == "__main__":
    sys.exit(main())
