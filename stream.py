"""Live age and gender on faces in video: find, follow, describe, smooth, show.

This is the program: what the flags of `stream_options` ask for is opened and put together.
The loop over frames stands in `loop`, what happens to one frame in `pipeline`, what the
stages promise in their packages' `__init__` modules, the values between them in
`structures`.
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
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

from tqdm import tqdm

from detectors import Detector, make_detector
from errors import SinkError, SourceError, StreamError
from estimators import Estimator, make_estimator
from load import LoadControl
from loop import Camera, Loop
from options import check_ethnicity, set_up_logging
from pipeline import Pipeline
from stream_options import parse_arguments
from tracking.places import FacePlaces
from tracking.smoothing import TrackSmoother
from video import Sink, Source
from video.events import EventsWriter
from video.grid import GridSink
from video.live_feed import LiveOptions
from video.mqtt import MqttPublisher
from video.outputs import refuse_overwriting
from video.overlay import Overlay
from video.people import PeopleWriter
from video.recording import Recording
from video.records import Recorder, new_run
from video.sources import open_source
from video.threads import Crew
from video.webhook import Webhook
from video.window import DisplayProbe, Window

SAMPLE = Path(__file__).resolve().parent / "samples" / "sample.mp4"
TRY_SAMPLE = "try the bundled sample: python stream.py --src sample"
MOST_SEARCHES = 4  # at a time; more hardly helps, and each holds a picture


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
        _tell(str(error))
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
    """Open everything that `options` ask for and run; `stack` closes it.

    Returns:
        A summary, and the recordings: they may fail until they are closed.
    """
    probe = None if options.no_window else DisplayProbe()
    crew = Crew(lambda: detector_of(options), crew_size(options))
    stack.callback(crew.close)
    loading = crew.submit(lambda _: estimator_of(options))  # while other things are opened
    arrived = threading.Event()
    sources = open_sources(options, stack, arrived)
    recordings, records = open_files(options, sources)
    pictures: list[Sink] = [*recordings]
    for sink in (*pictures, *records):
        stack.callback(sink.close)
    cameras = make_cameras(options, sources, loading.result())
    overlay = Overlay(attributes=options.attributes, anonymous=options.anonymous)
    window = open_window(options, sources, probe, [*pictures, *records]) if probe else None
    if window:
        stack.callback(window.close)
        pictures.append(window)
    if len(cameras) > 1 and pictures:
        grid = GridSink(pictures, [camera.name for camera in cameras], overlay)
        pictures = [grid]
        if window:
            window.on_digit = grid.select
    control = LoadControl(options.max_latency)
    sinks = [*pictures, *records]
    loop = Loop(cameras, crew, loading.result(), sinks, overlay, control, arrived)
    stack.callback(_ignore_signals)  # called first: a second Ctrl-C does not cut closing short
    return run(loop, sources, window), recordings


def run(loop: Loop, sources: Sequence[Source], window: Window | None) -> str:
    """Go on until the sources end, a window is closed or Ctrl-C; returns a summary."""
    total = sources[0].frame_count if len(sources) == 1 else None
    progress = tqdm(total=total, unit="frame", disable=True if window else None)
    with progress, contextlib.suppress(KeyboardInterrupt):
        for _ in loop.run():
            progress.update()
        if window and loop.shows_photographs:
            window.hold()  # the last one stays until it has been seen
    return loop.summary()


def detector_of(options: argparse.Namespace) -> Detector:
    """A detector as `options` have it; on one thread, for others run beside it.

    What is only perhaps a face is to be hidden, too, though not followed.
    """
    keen = bool(options.blur)
    return make_detector(options.detector, options.min_face, options.upsample, 1, keen)


def estimator_of(options: argparse.Namespace) -> Estimator:
    """The estimator as `options` have it."""
    threads = options.threads or 0
    return make_estimator(options.estimator, options.weights, options.engine, threads)


def crew_size(options: argparse.Namespace) -> int:
    """How many whole pictures to search at a time."""
    return options.threads or min(os.cpu_count() or 1, MOST_SEARCHES)


def make_cameras(
    options: argparse.Namespace, sources: Sequence[Source], estimator: Estimator
) -> list[Camera]:
    """Give each source a tracker and a smoother; ids differ between cameras."""
    from tracking.sort import SortTracker  # scipy's import takes longer than loading networks

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


def camera_names(sources: Sequence[Source]) -> list[str]:
    """What to call each of several sources; one alone needs no name."""
    if len(sources) == 1:
        return [""]
    seen: Counter[str] = Counter()
    names = []
    for source in sources:
        seen[source.name] += 1
        again = f" ({seen[source.name]})" if seen[source.name] > 1 else ""
        names.append(source.name + again)
    return names


def open_sources(
    options: argparse.Namespace, stack: contextlib.ExitStack, arrived: threading.Event
) -> list[Source]:
    """Open every `--src`; a missing webcam is answered with the bundled sample's name.

    Of several cameras one that is not there must not keep the others from being shown.
    """
    sources = []
    live = LiveOptions(
        keep_trying=options.keep_trying or len(options.src) > 1,
        max_latency_s=options.max_latency / 1e3,
        arrived=arrived,
    )
    size = {"width": options.width, "height": options.height}
    for text in options.src:
        try:
            source = open_source(address_of(text), **size, live=live)
        except SourceError as error:
            if text.isdecimal():
                raise SourceError(f"{error}; {TRY_SAMPLE}") from error
            raise
        stack.callback(source.close)
        sources.append(source)
    return sources


def address_of(text: str) -> str:
    """What a `--src` stands for."""
    return str(SAMPLE) if text == "sample" else text


def open_files(
    options: argparse.Namespace, sources: Sequence[Source]
) -> tuple[list[Recording], list[Sink]]:
    """Open what was asked for; nothing is written yet.

    Returns:
        The recording, which takes pictures, and the exports, which take results.

    Raises:
        SinkError: one cannot be made where it was asked for, or two are the same file.
    """
    paths = [p for p in (options.output, options.events, options.people) if p]
    if len({Path(path).absolute() for path in paths}) < len(paths):
        raise SinkError("two outputs name the same file; give each its own")
    for path, text in itertools.product(paths, options.src):
        refuse_overwriting(path, str(Path(address_of(text)).expanduser()))
    recordings = []
    if options.output:
        live = any(source.is_live for source in sources)
        alone = len(sources) == 1 and not live
        film = Path(address_of(options.src[0])).expanduser() if alone else None
        recordings.append(
            Recording(
                options.output,
                sources[0].fps,
                live=live,
                preset=options.preset,
                segment_s=options.segment,
                sound_from=film,
            )
        )
    records = open_deliveries(options)
    if options.people:
        records.append(PeopleWriter(options.people, options.attributes, len(sources) > 1))
    return recordings, records


def open_deliveries(options: argparse.Namespace) -> list[Sink]:
    """Open what the records of docs/events.md go to; nothing is sent yet.

    Raises:
        SinkError: a file cannot be made, or an address not be used.
    """
    run = new_run()

    def recorder() -> Recorder:
        return Recorder(options.attributes, run=run, anonymous=options.anonymous)

    sinks: list[Sink] = []
    if options.events:
        sinks.append(EventsWriter(options.events, recorder()))
    if options.mqtt:
        password = os.environ.get("MQTT_PASSWORD", "")
        sinks.append(MqttPublisher(options.mqtt, recorder(), options.mqtt_qos, password))
    if options.webhook:
        secret = options.webhook_secret or os.environ.get("WEBHOOK_SECRET", "")
        sinks.append(Webhook(options.webhook, recorder(), secret))
    return sinks


def open_window(
    options: argparse.Namespace,
    sources: Sequence[Source],
    probe: DisplayProbe,
    others: Sequence[Sink],
) -> Window | None:
    """The window, or None where there is no display but something else to do.

    Raises:
        SinkError: there is no display and nothing else to do.
    """
    problem = probe.problem()
    if problem is None:
        one = sources[0] if len(sources) == 1 else None
        title = one.name if one else f"{len(sources)} cameras"
        pace = one is not None and not one.is_live
        folder = None if options.anonymous else options.stills
        return Window(title, pace=pace, folder=folder, notify=_tell)
    if not others:
        raise SinkError(problem)
    _tell(f"{problem}; going on without a window")
    return None


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
