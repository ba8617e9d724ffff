"""Live age and gender on faces in video: find, follow, describe, smooth, show.

This is the program: flags, wiring and the frame loop. What happens to one frame stands
in `pipeline`, what the stages promise in their packages' `__init__` modules, the values
between them in `structures`.
"""

import argparse
import contextlib
import itertools
import signal
import sys
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from detectors import make_detector
from errors import SinkError, SourceError, StreamError
from estimators import make_estimator
from options import (
    OneLineParser,
    add_model_options,
    check_ethnicity,
    number,
    set_up_logging,
)
from pipeline import Pipeline
from structures import FrameResult
from tally import Tally
from tracking.smoothing import TrackSmoother
from tracking.sort import SortTracker
from video import Sink, Source
from video.events import EventsWriter
from video.outputs import refuse_overwriting
from video.overlay import Overlay
from video.people import PeopleWriter
from video.recording import Recording
from video.sources import open_source
from video.window import DisplayProbe, Window

SAMPLE = Path(__file__).resolve().parent / "samples" / "sample.mp4"
TRY_SAMPLE = "try the bundled sample: python stream.py --src sample"

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
    out.add_argument("--verbose", action="store_true", help="tell what is going on")
    return parser.parse_args(arguments)


def _add_tracking_options(parser: argparse.ArgumentParser) -> None:
    follow = parser.add_argument_group("following faces")
    follow.add_argument(
        "--detect-every",
        type=number(int, 1),
        default=1,
        metavar="N",
        help="look for faces in every Nth frame and predict between (default: %(default)s)",
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


def build_pipeline(options: argparse.Namespace) -> Pipeline:
    """Load what `options` name and put it together."""
    detector = make_detector(options.detector, options.min_face, options.upsample, options.threads)
    estimator = make_estimator(options.estimator, options.weights, options.engine, options.threads)
    ethnicity = check_ethnicity(options, estimator)
    tracker = SortTracker(max_age=options.max_age, min_hits=options.min_hits)
    return Pipeline(detector, tracker, estimator, TrackSmoother(), options.detect_every, ethnicity)


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


def run(
    source: Source,
    pipeline: Pipeline,
    sinks: Sequence[Sink],
    overlay: Overlay,
    max_frames: int | None = None,
) -> str:
    """The frame loop: until the source ends, a window is closed or Ctrl-C; returns a summary."""
    tally = Tally()
    wants_picture = any(sink.wants_picture for sink in sinks)
    windows = [sink for sink in sinks if isinstance(sink, Window)]
    progress = tqdm(total=source.frame_count, unit="frame", disable=True if windows else None)
    with progress, contextlib.suppress(KeyboardInterrupt):
        for frame in itertools.islice(source, max_frames):
            tracks, people = pipeline.process(frame)
            tally.count(frame, tracks)
            result = FrameResult(frame, tracks, people, tally.fps, source.dropped)
            picture = overlay.draw(result) if wants_picture else None
            for sink in sinks:
                sink.write(picture, result)
            progress.update()
            if any(sink.closed for sink in sinks):
                break
        else:
            if not tally.is_film and tally.frames == source.frame_count:
                for window in windows:  # the last photograph stays until it has been seen
                    window.hold()
    smoother = pipeline.smoother
    return tally.summary(smoother.estimates_made, smoother.estimates_saved)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Returns:
        The exit code: 0, also after Ctrl-C, or 2 after one line on what is wrong.
    """
    options = parse_arguments(arguments)
    set_up_logging(options.verbose)
    handlers = {each: signal.getsignal(each) for each in (signal.SIGINT, signal.SIGTERM)}
    signal.signal(signal.SIGTERM, _interrupt)
    try:
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
    pipeline = build_pipeline(options)
    if probe and (window := open_window(options, source, probe, sinks)):
        stack.callback(window.close)
        sinks.append(window)
    stack.callback(_ignore_signals)  # called first: a second Ctrl-C does not cut closing short
    return run(source, pipeline, sinks, Overlay(attributes=options.attributes), options.max_frames)


def _tell(text: str) -> None:
    print(f"stream.py: {text}", file=sys.stderr)


def _interrupt(_signal: int, _frame: FrameType | None) -> None:
    """SIGTERM ends the program as Ctrl-C does: recordings are finished."""
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
