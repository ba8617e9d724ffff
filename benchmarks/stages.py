"""Where the time of a frame goes: each stage of this program by itself.

    python -m benchmarks.stages CLIP... [--frames N] [--repeat N]

In the program decoding and encoding run in their own threads, next to the rest; here each runs
alone, so that the sum is more than a frame takes. Detecting, tracking, estimating and smoothing
are timed around the calls that `program.pipeline.Pipeline` makes; the rest of its time (choosing,
aligning, weighing) is "align, rest". Figures are medians of the repetitions, in which the clips
take turns because machines drift.
"""

import argparse
import json
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import common
from benchmarks.common import flag, frames_of
from drawing.overlay import Overlay
from outputs.recording.sink import Recording
from program.assemble import Assembly
from program.options import number
from program.pipeline import Pipeline
from structures import FrameResult, Image
from tracking.smoothing import TrackSmoother

STAGES = ("decode", "detect", "track", "align, rest", "estimate", "smooth", "draw", "encode")
_ENCODED = 30  # images kept in memory, 6 MB each at 1920x1080
_OF_TRACKER = ("update", "predict", "predicted_boxes")
_OF_SMOOTHER = ("update", "is_due", "forget_except", "current")


class Timer:
    """Adds up the time of stages; `spent_s` is stage -> seconds."""

    def __init__(self) -> None:
        self.spent_s: dict[str, float] = defaultdict(float)

    @contextmanager
    def timing(self, stage: str) -> Iterator[None]:
        """Add the time of the block to a stage."""
        start = time.perf_counter()
        yield
        self.spent_s[stage] += time.perf_counter() - start

    def around(self, inner: Any, stage: str, methods: Sequence[str]) -> Any:
        """Return a proxy for `inner`; time spent in some of its methods counts for a stage."""
        timing = self.timing

        class Timed:
            def __getattr__(self, name: str) -> Any:
                value = getattr(inner, name)
                return timing(stage)(value) if name in methods else value

        return Timed()


def spend(clip: str, frames: int, detector: Any, estimator: Any) -> dict[str, float]:
    """Return milliseconds per frame of each of `STAGES` in one pass over a clip."""
    timer, overlay = Timer(), Overlay()
    with timer.timing("decode"):
        count = sum(1 for _ in frames_of(clip, frames))
    pipeline = Pipeline(
        timer.around(detector, "detect", ("detect", "detect_near")),
        timer.around(Assembly().tracker(detector), "track", _OF_TRACKER),
        timer.around(estimator, "estimate", ("estimate",)),
        timer.around(TrackSmoother(), "smooth", _OF_SMOOTHER),
    )
    drawn: list[tuple[Image, FrameResult]] = []
    for frame in frames_of(clip, frames):
        with timer.timing("align, rest"):
            result = FrameResult(frame, *pipeline.process(frame))
        with timer.timing("draw"):
            image = overlay.draw(result)
        if len(drawn) < _ENCODED:
            drawn.append((image.copy(), result))
    with timer.timing("encode"):
        _encode(drawn)
    spent_s = timer.spent_s
    spent_s["align, rest"] -= sum(spent_s[s] for s in ("detect", "track", "estimate", "smooth"))
    spent_s["encode"] *= count / len(drawn)
    return {stage: 1e3 * spent_s[stage] / count for stage in STAGES}


def _encode(drawn: Sequence[tuple[Image, FrameResult]]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        recording = Recording(Path(folder) / "stages.mp4", 25.0)
        for image, result in drawn:
            recording.write(image, result)
        recording.close()


def measure_stages(clips: Sequence[str], frames: int, repeat: int) -> dict[str, dict[str, float]]:
    """Return clip -> stage -> median milliseconds per frame."""
    assembly = Assembly()
    networks = assembly.detector(threads=0), assembly.estimator()
    rounds = [{clip: spend(clip, frames, *networks) for clip in clips} for _ in range(repeat)]
    return {
        clip: {s: statistics.median(each[clip][s] for each in rounds) for s in STAGES}
        for clip in clips
    }


@common.command(
    "stages",
    __doc__,
    flag("clips", nargs="+", metavar="CLIP"),
    flag("--frames", type=number(int, 1), default=600),
    common.REPEAT,
    flag("--json", action="store_true", help="print JSON instead of a table"),
)
def main(options: argparse.Namespace) -> None:
    """Print a table, or JSON."""
    spent_ms = measure_stages(options.clips, options.frames, options.repeat)
    names = {Path(clip).stem: stages for clip, stages in spent_ms.items()}
    print(json.dumps(spent_ms) if options.json else common.stage_table(names))


if __name__ == "__main__":
    raise SystemExit(main())
