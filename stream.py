"""Live age and gender on faces in video: find, follow, describe, smooth, show.

This is the program: what the flags of `program.stream_options` ask for is opened and put
together. The loop over frames stands in `program.loop`, what happens to one frame in
`program.pipeline`, what the stages promise in their packages' `__init__` modules, the values
between them in `structures`.
"""

import signal

if __name__ == "__main__":  # the imports take a second; Ctrl-C in them has nothing to finish
    signal.signal(signal.SIGINT, signal.SIG_DFL)

import argparse
import contextlib
import itertools
import os
import sys
import threading
from collections.abc import Sequence
from types import FrameType

from tqdm import tqdm

from detectors import Detector, make_detector
from drawing.overlay import Overlay
from errors import StreamError
from estimators import Estimator, make_estimator
from outputs.recording.sink import Recording
from outputs.window import DisplayProbe, Metronome, Window
from people.crowd import Crowd
from people.records import Recorder, new_run
from program.load import LoadControl
from program.loop import Camera, Loop
from program.options import check_ethnicity, set_up_logging
from program.pipeline import Pipeline
from program.stream_options import parse_arguments
from program.stream_sinks import on_screen, open_files, open_page, open_window, tell
from program.stream_sources import camera_names, open_sources
from sources import Source
from threads import DetectorPool
from tracking.places import FacePlaces
from tracking.smoothing import TrackSmoother

MOST_SEARCHES = 4  # at a time; more hardly helps, and each holds a picture
_ASK_AGAIN_S = 0.02


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the program.

    Returns:
        The exit code: 0, also after Ctrl-C, or 2 after one line on what is wrong; a
        recording that failed while all else went on counts, too.
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
            summary, recordings = open_and_run(options, stack)
    except StreamError as error:
        tell(str(error))
        return 2
    except KeyboardInterrupt:  # while things were still being opened
        return 0
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
    print(summary, file=sys.stderr)
    return 2 if any(recording.failed for recording in recordings) else 0


def open_and_run(
    options: argparse.Namespace, stack: contextlib.ExitStack
) -> tuple[str, list[Recording]]:
    """Open everything that `program.options` ask for and run; `stack` closes it.

    Returns:
        A summary, and the recordings: they may fail until they are closed.
    """
    probe = None if options.no_window else DisplayProbe()
    crew = DetectorPool(lambda: detector_of(options), crew_size(options))
    stack.callback(crew.close)
    loading = crew.submit(lambda _: estimator_of(options))  # while other things are opened
    arrived = threading.Event()
    sources = open_sources(options, stack, arrived)
    crowd, name = Crowd(options.attributes, anonymous=options.anonymous), new_run()
    recordings, records = open_files(options, sources, crowd, name)
    for sink in (*recordings, *records):
        stack.callback(sink.close)
    import tracking.sort  # noqa: F401  scipy takes longer than loading networks: beside that

    estimator = loading.result()
    cameras = make_cameras(options, sources, estimator)
    overlay = Overlay(attributes=options.attributes, anonymous=options.anonymous)
    pages = [open_page(options, cameras, stack, Recorder(crowd, name))] if options.serve else []
    others = [*recordings, *records, *pages]
    window = open_window(options, sources, probe, others) if probe else None
    if window:
        stack.callback(window.close)
    elif pages:
        records.append(Metronome())
    screens = on_screen([*recordings, *([window] if window else [])], cameras, overlay, window)
    sinks = [*screens, *pages, *records]
    control = LoadControl(options.max_latency)
    loop = Loop(cameras, crew, estimator, sinks, overlay, control, arrived)
    stack.callback(_ignore_signals)  # called first: a second Ctrl-C does not cut closing short
    return run(loop, sources, window, stay=bool(pages)), recordings


def run(loop: Loop, sources: Sequence[Source], window: Window | None, stay: bool = False) -> str:
    """Go on until the sources end, a window is closed or Ctrl-C; returns a summary.

    With `stay` the last pictures stay on the page until Ctrl-C or the window is closed.
    """
    total = sources[0].frame_count if len(sources) == 1 else None
    progress = tqdm(total=total, unit="frame", disable=True if window else None)
    with progress, contextlib.suppress(KeyboardInterrupt):
        for _ in loop.run():
            progress.update()
        if window and loop.shows_photographs:
            window.hold()  # the last one stays until it has been seen
        if stay and loop.ended:
            tell("that was the end; the page stays until Ctrl-C")
            loop.linger()
    return loop.summary()


def detector_of(options: argparse.Namespace) -> Detector:
    """A detector as `program.options` have it; on one thread, for others run beside it.

    What is only perhaps a face is to be hidden, too, though not followed.
    """
    keen = bool(options.blur)
    where = options.device, options.precision
    return make_detector(options.detector, options.min_face, options.upsample, 1, keen, *where)


def estimator_of(options: argparse.Namespace) -> Estimator:
    """The estimator as `program.options` have it."""
    where = options.threads or 0, options.device, options.precision
    return make_estimator(options.estimator, options.weights, options.engine, *where)


def crew_size(options: argparse.Namespace) -> int:
    """How many whole pictures to search at a time."""
    return options.threads or min(os.cpu_count() or 1, MOST_SEARCHES)


def make_cameras(
    options: argparse.Namespace, sources: Sequence[Source], estimator: Estimator
) -> list[Camera]:
    """Give each source a tracker and a smoother; ids differ between cameras."""
    from tracking.sort import SortTracker

    detector = detector_of(options)
    ethnicity = check_ethnicity(options, estimator)
    ids = itertools.count(1)
    cameras = []
    for source, name in zip(sources, camera_names(sources), strict=True):
        score = detector.starting_score
        tracker = SortTracker(options.max_age, options.min_hits, start_score=score, ids=ids)
        stages = detector, tracker, estimator, TrackSmoother()
        places = FacePlaces() if options.blur else None
        pipeline = Pipeline(*stages, options.detect_every, ethnicity, places)
        cameras.append(Camera(source, pipeline, name, options.max_frames, options.blur))
    return cameras


def _interrupt(number: int, frame: FrameType | None) -> None:
    """Ctrl-C and SIGTERM end the program in good order: recordings are finished.

    An import comes to its end first: one that is cut short may leave Python's import lock
    taken, on which a thread that imports something, too, would wait for ever.
    """
    while frame:
        if frame.f_code.co_filename.startswith("<frozen importlib"):
            threading.Timer(_ASK_AGAIN_S, signal.raise_signal, [number]).start()
            return
        frame = frame.f_back
    raise KeyboardInterrupt


def _ignore_signals() -> None:
    for each in (signal.SIGINT, signal.SIGTERM):
        signal.signal(each, signal.SIG_IGN)


if __name__ == "__main__":
    sys.exit(main())
