"""Live age and gender on faces in video: find, follow, describe, smooth, show.

This is the program: flags and wiring. The loop over frames stands in `loop`, what happens
to one frame in `pipeline`, what the stages promise in their packages' `__init__` modules,
the values between them in `structures`.
"""

import signal

if __name__ == "__main__":  # the imports take a second; Ctrl-C in them has nothing to finish
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import contextlib
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from detectors import Detector, make_detector
from errors import SinkError, SourceError, StreamError
from estimators import make_estimator
from load import DEFAULT_MAX_LATENCY_MS, LoadControl
from loop import Camera, Loop
from options import (
    OneLineParser,
    add_model_options,
    check_ethnicity,
    number,
    set_up_logging,
)
from pipeline import Pipeline
from tracking.smoothing import TrackSmoother
from tracking.sort import SortTracker
from video import Sink, Source
from video.events import EventsWriter
from video.outputs import refuse_overwriting
from video.overlay import Overlay
from video.people import PeopleWriter
from video.recording import Recording
from video.sources import open_source
from video.threads import Crew
from video.window import DisplayProbe, Window

SAMPLE = Path(__file__).resolve().parent / "samples" / "sample.mp4"
TRY_SAMPLE = "try the bundled sample: python stream.py --src sample"

MOST_SEARCHES = 4  # at a time; more hardly helps, and each holds a picture

EPILOG = """\
in the window: q or Esc quits, space pauses, s saves a still, f is full screen.
Ctrl-C ends a run without a window; recordings and tables are finished first.

examples:
  python stream.py --src 0                                     the first webcam
  python stream.py --src film.mp4 --output annotated.mp4       a film, watched and recorded
  python stream.py --src rtsp://user:password@camera/stream --no-window \\
                   --events events.jsonl --people people.csv   a camera, exported
"""


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; bad values end the program with one line and exit code 2."""
    parser = OneLineParser(
        prog="stream.py",
        description=__doc__.partition("\n")[0],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    source = parser.add_argument_group("source")
    source.add_argument(
        "--src",
        default="0",
        metavar="SOURCE",
        help="webcam number, video file, picture, folder of pictures, rtsp:// or http:// address, "
        "test: (a generated pattern) or sample (the bundled clip); default: webcam 0",
    )
    source.add_argument("--width", type=number(int, 16), metavar="PX", help="ask a webcam for it")
    source.add_argument("--height", type=number(int, 16), metavar="PX", help="ask a webcam for it")
    source.add_argument(
        "--max-frames", type=number(int, 1, sys.maxsize), metavar="N", help="stop after N frames"
    )
    add_model_options(parser)
    _add_tracking_options(parser)
    out = parser.add_argument_group("output")
    out.add_argument("--no-window", action="store_true", help="show nothing on the screen")
    out.add_argument("--output", metavar="FILE.mp4", help="record the annotated picture (H.264)")
    out.add_argument(
        "--events", metavar="FILE.jsonl", help="one JSON object a frame; - is standard output"
    )
    out.add_argument("--people", metavar="FILE.csv", help="one row a person")
    out.add_argument(
        "--stills", default=".", metavar="DIR", help="where s saves stills (default: here)"
    )
    out.add_argument(
        "--doctor", action="store_true", help="try what works here, for --src too, and end"
    )
    out.add_argument("--json", action="store_true", help="with --doctor: as JSON")
    out.add_argument("--verbose", action="store_true", help="tell what is going on")
    return parser.parse_args(arguments)


def every(text: str) -> int | None:
    """An argparse type: a number of frames from 1 on, or `auto`, which is None."""
    if text == "auto":
        return None
    frames: int = number(int, 1)(text)
    return frames


def _add_tracking_options(parser: argparse.ArgumentParser) -> None:
    follow = parser.add_argument_group("following faces")
    follow.add_argument(
        "--detect-every",
        type=every,
        default="auto",
        metavar="N|auto",
        help="search the whole picture in every Nth frame, and between only near the faces that "
        "are known; auto: five times a second, less often under load (default: %(default)s)",
    )
    follow.add_argument(
        "--max-latency",
        type=number(float, 1),
        default=DEFAULT_MAX_LATENCY_MS,
        metavar="MS",
        help="live sources: do less before frames get older than that (default: %(default)g)",
    )
    follow.add_argument(
        "--max-age",
        type=number(int, 0),
        default=SortTracker.MAX_AGE,
        metavar="N",
        help="frames for which a face that is not found again is kept (default: %(default)s)",
    )
    follow.add_argument(
        "--min-hits",
        type=number(int, 1),
        default=SortTracker.MIN_HITS,
        metavar="N",
        help="frames for which a face must be found before it is shown (default: %(default)s)",
    )


def build_loop(
    options: argparse.Namespace, source: Source, sinks: Sequence[Sink], crew: Crew[Detector]
) -> Loop:
    """Load what `options` name and put it together."""
    detector = detector_of(options)
    threads = options.threads or 0
    estimator = make_estimator(options.estimator, options.weights, options.engine, threads)
    ethnicity = check_ethnicity(options, estimator)
    tracker = SortTracker(options.max_age, options.min_hits, start_score=detector.starting_score)
    smoother, every = TrackSmoother(), options.detect_every
    pipeline = Pipeline(detector, tracker, estimator, smoother, every, ethnicity)
    camera = Camera(source, pipeline, max_frames=options.max_frames)
    overlay, control = Overlay(attributes=options.attributes), LoadControl(options.max_latency)
    return Loop([camera], crew, estimator, sinks, overlay, control)


def detector_of(options: argparse.Namespace) -> Detector:
    """A detector as `options` have it; on one thread, for others run beside it."""
    return make_detector(options.detector, options.min_face, options.upsample, threads=1)


def crew_of(options: argparse.Namespace) -> Crew[Detector]:
    """The threads that search whole pictures: as many as there are processors to use."""
    size = options.threads or min(os.cpu_count() or 1, MOST_SEARCHES)
    return Crew(lambda: detector_of(options), size)


def address_of(options: argparse.Namespace) -> str:
    """What `--src` stands for."""
    return str(SAMPLE) if options.src == "sample" else str(options.src)


def open_the_source(options: argparse.Namespace) -> Source:
    """Open `--src`; a missing camera is answered with the bundled sample's name."""
    try:
        return open_source(address_of(options), width=options.width, height=options.height)
    except SourceError as error:
        if options.src.isdecimal():
            raise SourceError(f"{error}; {TRY_SAMPLE}") from error
        raise


def open_files(options: argparse.Namespace, source: Source) -> list[Sink]:
    """Open the recording and the exports that were asked for; nothing is written yet.

    Raises:
        SinkError: one cannot be made where it was asked for, or two are the same file.
    """
    paths = [p for p in (options.output, options.events, options.people) if p]
    if len({Path(path).absolute() for path in paths}) < len(paths):
        raise SinkError("two outputs name the same file; give each its own")
    for path in paths:
        refuse_overwriting(path, str(Path(address_of(options)).expanduser()))
    sinks: list[Sink] = []
    if options.output:
        sinks.append(Recording(options.output, source.fps, live=source.is_live))
    if options.events:
        sinks.append(EventsWriter(options.events, options.attributes))
    if options.people:
        sinks.append(PeopleWriter(options.people, options.attributes))
    return sinks


def open_window(
    options: argparse.Namespace, source: Source, probe: DisplayProbe, others: Sequence[Sink]
) -> Window | None:
    """The window, or None where there is no display but something else to do.

    Raises:
        SinkError: there is no display and nothing else to do.
    """
    problem = probe.problem()
    if problem is None:
        return Window(source.name, pace=not source.is_live, folder=options.stills, notify=_tell)
    if not others:
        raise SinkError(problem)
    _tell(f"{problem}; going on without a window")
    return None


def run(loop: Loop, source: Source, window: Window | None = None) -> str:
    """Go on until the source ends, a window is closed or Ctrl-C; returns a summary."""
    progress = tqdm(total=source.frame_count, unit="frame", disable=True if window else None)
    with progress, contextlib.suppress(KeyboardInterrupt):
        for _ in loop.run():
            progress.update()
        if window and loop.shows_photographs:
            window.hold()  # the last one stays until it has been seen
    return loop.summary()


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Returns:
        The exit code: 0, also after Ctrl-C, or 2 after one line on what is wrong.
    """
    options = parse_arguments(arguments)
    set_up_logging(options.verbose)
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    for each in handlers:
        signal.signal(each, _interrupt)
    try:
        if options.doctor:
            from doctor import main_report

            return main_report(options)
        with contextlib.ExitStack() as stack:
            summary = open_and_run(options, stack)
    except StreamError as error:
        _tell(str(error))
        return 2
    except KeyboardInterrupt:  # while things were still being opened
        return 0
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    print(summary, file=sys.stderr)
    return 0


def open_and_run(options: argparse.Namespace, stack: contextlib.ExitStack) -> str:
    """Open everything that `options` ask for and run; `stack` closes it. Returns a summary."""
    probe = None if options.no_window else DisplayProbe()
    source = open_the_source(options)
    stack.callback(source.close)
    sinks = open_files(options, source)
    for sink in sinks:
        stack.callback(sink.close)
    crew = crew_of(options)
    stack.callback(crew.close)
    loop = build_loop(options, source, sinks, crew)
    window = open_window(options, source, probe, sinks) if probe else None
    if window:
        stack.callback(window.close)
        sinks.append(window)
    stack.callback(_ignore_signals)  # called first: a second Ctrl-C does not cut closing short
    return run(loop, source, window)


def _tell(text: str) -> None:
    print(f"stream.py: {text}", file=sys.stderr)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """Ctrl-C and SIGTERM end the program in good order: recordings are finished."""
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
