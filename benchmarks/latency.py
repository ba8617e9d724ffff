"""How old a frame of a network camera is when it is shown, end to end.

    /usr/bin/python3 tests/rtsp_server.py --port 8554 --clock /clock        elsewhere
    python -m benchmarks.latency rtsp://127.0.0.1:8554/clock [--seconds S] [flags of stream.py]

The camera must run on this machine and write the time into its frames, as that server does, so
that the age counts from before encoding. The whole loop of stream.py runs, overlay drawn, with a
stopwatch as its output. "Decoded" is when the frame left the decoder, "shown" when an output
received it. The clock shows no faces: detection is included, estimation is not. The first second
is left out.
"""

import argparse
import contextlib
import threading
import time
from collections.abc import Callable

import numpy as np

from benchmarks.common import BenchmarkError, command, flag, table
from drawing.overlay import Overlay
from program.assemble import Assembly
from program.cameras import open_cameras
from program.load import LoadControl
from program.loop import Loop
from program.options import ModelOptions, TrackingOptions, collect, number
from stream import parse_arguments
from structures import FrameResult, Image

BITS, ROWS = 32, slice(8, 24)  # blocks across the image; rows well inside them
_WARM_S, _SILENCE_S = 1.0, 10.0
_BELIEVABLE_S = 60.0  # an older one is not a clock


def shown_ms(image: Image) -> int:
    """Return the time that an image of the clock shows: `time.monotonic()` in ms, 32 bits.

    `image` is (H, W, 3) uint8 with 32 black and white blocks on top, highest bit first.
    """
    width = image.shape[1] // BITS * BITS
    # (rows, BITS, width of a block, 3) -> (BITS,)
    blocks = image[ROWS, :width].reshape(-1, BITS, width // BITS, 3).mean(axis=(0, 2, 3)) > 128
    return int("".join("01"[int(bit)] for bit in blocks), 2)


def frame_age_s(image: Image, now_s: float) -> float:
    """Return how old an image of the clock is at `now_s` (`time.monotonic()`)."""
    return ((int(1000 * now_s) - shown_ms(image)) & 0xFFFFFFFF) / 1000


class Stopwatch:
    """`outputs.Sink` that notes how old each frame is.

    Args:
        seconds: it closes this long after its first frame, or when no more frames come.
        clock: returns seconds, as `time.monotonic` does.
    """

    wants_picture = True

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._seconds, self._clock = seconds, clock
        self._first_s: float | None = None
        self._newest_s = clock()
        self.decoded_ms: list[float] = []
        self.shown_ms: list[float] = []

    @property
    def closed(self) -> bool:
        """Whether the time is up."""
        now_s = self._clock()
        over = self._first_s is not None and now_s - self._first_s > self._seconds
        return over or now_s - self._newest_s > _SILENCE_S

    def write(self, picture: Image | None, result: FrameResult) -> None:
        """See `outputs.Sink`."""
        now_s, frame = self._clock(), result.frame
        self._newest_s = now_s
        self._first_s = self._first_s or now_s
        if now_s - self._first_s > _WARM_S and frame.arrived_s is not None:
            self.decoded_ms.append(1e3 * frame_age_s(frame.image, frame.arrived_s))
            self.shown_ms.append(1e3 * frame_age_s(frame.image, now_s))

    def refresh(self, picture: Image | None, result: FrameResult) -> None:
        """See `outputs.Sink`; no new frame has come."""

    def close(self) -> None:
        """Nothing to release."""


def measure(options: argparse.Namespace, seconds: float) -> tuple[Stopwatch, int]:
    """Watch the clock for `seconds` with stream.py's options; return the ages, and frames dropped.

    Raises:
        StreamError: the camera cannot be opened, or shows no clock.
    """
    watch, arrived = Stopwatch(seconds), threading.Event()
    assembly = Assembly(collect(ModelOptions, options), collect(TrackingOptions, options))
    with contextlib.ExitStack() as stack:
        pool = stack.enter_context(contextlib.closing(assembly.pool()))
        estimator = assembly.estimator()
        sources = open_cameras(options.cameras, stack, arrived)
        channels = assembly.channels(options.cameras, sources, estimator)
        control = LoadControl(options.max_latency)
        for _ in Loop(channels, pool, estimator, [watch], Overlay(), control, arrived).run():
            pass
    if not watch.shown_ms or np.median(watch.decoded_ms) > 1e3 * _BELIEVABLE_S:
        raise BenchmarkError(
            f"{sources[0].name} shows no clock of this machine; see python -m benchmarks.latency -h"
        )
    return watch, sources[0].dropped


def ages_table(watch: Stopwatch) -> str:
    """Return median, 95th percentile and worst age, as Markdown."""
    return table(
        ["age, ms", "median", "95 of 100", "worst"],
        [
            (name, *(f"{age:.0f}" for age in np.percentile(ages, [50, 95, 100])))
            for name, ages in (("decoded", watch.decoded_ms), ("shown", watch.shown_ms))
        ],
    )


@command(
    "latency",
    __doc__,
    flag("address"),
    flag("--seconds", type=number(float, 2), default=20.0),
    passes_on=True,
)
def main(options: argparse.Namespace) -> None:
    """Print a table, and how many frames were shown and dropped."""
    asked = parse_arguments(["--src", options.address, "--no-window", *options.flags])
    watch, dropped = measure(asked, options.seconds)
    print(ages_table(watch))
    print(f"\n{len(watch.shown_ms)} frames shown, {dropped} dropped")


if __name__ == "__main__":
    raise SystemExit(main())
