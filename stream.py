"""Live age and gender on faces in video: find, follow, describe, smooth, show.

`program.endpoints` and `program.assemble` open and connect what the flags ask for;
`program.loop` runs over the frames, and `program.pipeline` takes one frame through the stages.
"""

import atexit
import os
import signal

if __name__ == "__main__":  # during the imports and after `main` there is nothing to finish
    for _name in ("SIGINT", "SIGTERM", "SIGHUP"):
        _number = getattr(signal, _name, None)
        # nohup has SIGHUP ignored
        if _number and (_name != "SIGHUP" or signal.getsignal(_number) != signal.SIG_IGN):
            signal.signal(_number, lambda *_: os._exit(0))
            atexit.register(signal.signal, _number, signal.SIG_IGN)  # called last

import argparse
import contextlib
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from tqdm import tqdm

from drawing.overlay import Overlay
from errors import StreamError
from files import check_apart, created_with, sole_writer
from outputs import Sink, failure_of
from outputs.keeping import Keeper
from outputs.recording.sink import Recording
from outputs.window import DisplayProbe, Metronome, Window
from program.assemble import Assembly
from program.ending import Ending
from program.endpoints import (
    OutputOptions,
    Reporting,
    SourceOptions,
    address_of,
    from_environment,
    on_screen,
    open_files,
    open_keeper,
    open_page,
    open_sources,
    open_window,
    say,
)
from program.law import check_purpose, write_notice
from program.load import LoadControl
from program.loop import Loop
from program.options import (
    ModelOptions,
    OneLineParser,
    TrackingOptions,
    add_flags,
    add_general_options,
    add_shared_flags,
    collect,
    set_up_logging,
    settle_privacy,
    signals_handled,
)
from sources import Source
from sources.open import files_of, open_source

EPILOG = """\
in the window: q or Esc quits, space pauses, s saves a still, f is full screen; with
several cameras 1 to 9 show one of them, 0 shows all.
Ctrl-C ends a run without a window; recordings and tables are finished first.

files that are there already: of a camera, events are appended, tables and recordings are kept
and the new ones named after the time. Of a film, they are replaced if this program made them;
others are never touched. With --keep the old ones of a camera are deleted.

examples:
  python stream.py --src 0                                     the first webcam
  python stream.py --src film.mp4 --output annotated.mp4       a film, watched and recorded
  python stream.py --src rtsp://user:password@camera/stream --no-window \\
                   --events events.jsonl --people people.csv   a camera, exported
  python stream.py --src 0 --src rtsp://door/stream            two cameras
  python stream.py --src 0 --no-window --serve 8080            a page in the browser
  python stream.py --doctor                                    what works here?
"""


@dataclass(frozen=True, slots=True)
class Factories:
    """What makes the parts of a run; tests hand in their own."""

    assembly: Callable[[ModelOptions, TrackingOptions], Assembly] = Assembly
    source: Callable[..., Source] = open_source
    recording: Callable[..., Recording] = Recording
    ending: Callable[[], Ending] = Ending


USUAL = Factories()


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; bad values end the program with one line and exit code 2."""
    parser = OneLineParser(
        prog="stream.py",
        description=__doc__.partition("\n")[0],
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add_flags(parser.add_argument_group("source"), SourceOptions)
    add_shared_flags(parser)
    add_flags(parser.add_argument_group("output"), OutputOptions)
    parser.add_argument(
        "--doctor", action="store_true", help="check what works here, --src included, and exit"
    )
    parser.add_argument(
        "--notice",
        metavar="FILE.html",
        help="write a sign for those who are filmed, to print and hang up, and exit; give the "
        "other flags too, it says what they do",
    )
    parser.add_argument("--json", action="store_true", help="with --doctor: as JSON")
    add_general_options(parser)
    options = parser.parse_args(arguments)
    try:
        options.src = [from_environment(text) for text in options.src or ["0"]]
    except KeyError as error:
        parser.error(f"--src env:{error.args[0]}: there is no such variable; export it first")
    if not options.output and (options.segment or options.preset):
        parser.error("--segment and --preset are about a recording: add --output FILE.mp4")
    for option in ("output", "events", "people"):
        if getattr(options, option) == "":
            parser.error(f"--{option} is empty; name a file")
    if not options.serve and (options.tls or options.behind_proxy):
        parser.error("--tls and --behind-proxy are about the page: add --serve [HOST:]PORT")
    if options.keep and not collect(OutputOptions, options).files:
        parser.error("--keep is about files: add --output, --events or --people")
    if options.home_assistant and not options.mqtt:
        parser.error("--home-assistant is told by a broker: add --mqtt mqtt://host/prefix")
    if options.lawful_purpose is not None and not options.lawful_purpose.strip():
        parser.error("--lawful-purpose is empty; say what entitles you")
    if options.anonymous and options.people:
        parser.error("--people reports each person, which --anonymous forbids; leave one out")
    settle_privacy(options)
    return options


def main(arguments: Sequence[str] | None = None, factories: Factories = USUAL) -> int:
    """Run the program.

    Returns:
        The exit code: 0, also after Ctrl-C, or 2 after one line on what is wrong, also
        where only an output failed and everything else continued.
    """
    options = parse_arguments(arguments)
    set_up_logging(options.verbose)
    ending = factories.ending()
    with (
        created_with(options.file_mode),
        contextlib.closing(ending),
        signals_handled(ending.on_signal),
    ):
        try:
            check_purpose(options)
            if options.notice:
                write_notice(options.notice, options)
                say(f"{options.notice}: open it in a browser, fill in the lines and print it")
                return 0
            if options.doctor:
                from doctor import main_report

                return main_report(options)
            with contextlib.ExitStack() as stack:
                summary, outputs = open_and_run(options, stack, factories, ending)
        except StreamError as error:
            say(str(error))
            return 2
        except (KeyboardInterrupt, RuntimeError) as error:  # while things were being opened
            if isinstance(error, RuntimeError) and not ending.asked:
                raise
            return 0
        print(summary, file=sys.stderr)
    return 2 if any(map(failure_of, outputs)) else 0


def open_and_run(
    options: argparse.Namespace,
    stack: contextlib.ExitStack,
    factories: Factories,
    ending: Ending,
) -> tuple[str, list[Sink]]:
    """Open what the options ask for and run; `stack` closes it.

    Returns:
        A summary, and the outputs: they may fail until they are closed.
    """
    probe = None if options.no_window else DisplayProbe()
    assembly = factories.assembly(collect(ModelOptions, options), collect(TrackingOptions, options))
    pool = assembly.pool()
    stack.callback(pool.close)
    loading = pool.submit(lambda _: assembly.estimator())  # while other things are opened
    arrived = threading.Event()
    sources = open_sources(collect(SourceOptions, options), stack, arrived, factories.source)
    check_purpose(options, sources)
    outputs = collect(OutputOptions, options)
    report = Reporting.of(outputs)
    recordings, records, keeper = open_outputs(options, sources, report, stack, factories.recording)
    import tracking.sort  # noqa: F401  scipy takes longer than loading networks: beside that

    estimator = loading.result()
    channels = assembly.channels(sources, estimator, options.max_frames)
    overlay = Overlay(attributes=options.attributes, anonymous=options.anonymous)
    pages = [open_page(outputs, channels, stack, report, keeper)] if options.serve else []
    others: list[Sink] = [*recordings, *records, *pages]
    window = open_window(outputs, sources, probe, others) if probe else None
    if window:
        stack.callback(window.close)
    elif pages:
        records.append(Metronome())
    screens = on_screen([*recordings, *([window] if window else [])], channels, overlay, window)
    sinks = [*screens, *pages, *records, ending]
    control = LoadControl(options.max_latency)
    loop = Loop(channels, pool, estimator, sinks, overlay, control, arrived)
    total = frames_expected(sources, options.max_frames)
    return run(loop, total, window, ending, stay=bool(pages)), others


def open_outputs(
    options: argparse.Namespace,
    sources: Sequence[Source],
    report: Reporting,
    stack: contextlib.ExitStack,
    record: Callable[..., Recording],
) -> tuple[list[Recording], list[Sink], Keeper | None]:
    """Open the files and exports, which no other run may have; `stack` closes them."""
    outputs, inputs = collect(OutputOptions, options), files_read(options)
    check_apart(outputs.files, inputs)
    stack.enter_context(sole_writer(outputs.files))
    recordings, records = open_files(outputs, sources, inputs, report, record)
    for sink in (*recordings, *records):
        stack.callback(sink.close)
    keeper = open_keeper(outputs, [*recordings, *records], any(x.is_live for x in sources))
    if keeper:
        stack.callback(keeper.close)
        records.append(keeper)
    return recordings, records, keeper


def files_read(options: argparse.Namespace) -> list[Path]:
    """The files that a run reads, the sources first."""
    paths = [path for text in options.src for path in files_of(address_of(text))]
    return [*paths, *([Path(options.weights)] if options.weights else [])]


def frames_expected(sources: Sequence[Source], max_frames: int | None) -> int | None:
    """The number of frames that a run will take, None where it is not known."""
    counts = [source.frame_count for source in sources]
    if max_frames is not None:
        counts = [max_frames if count is None else min(count, max_frames) for count in counts]
    return counts[0] if len(counts) == 1 else None


def run(
    loop: Loop,
    total: int | None,
    window: Window | None,
    ending: Ending,
    stay: bool = False,
) -> str:
    """Run until the sources end, a window is closed or Ctrl-C; returns a summary.

    `total` is the number of frames to come, for the progress bar; None = unknown.
    With `stay` the page keeps showing the last frames until Ctrl-C or the window is closed.
    """
    progress = tqdm(total=total, unit="frame", disable=True if window else None)
    with progress, ending.running():
        for _ in loop.run():
            progress.update()
        if window and loop.shows_photographs and not ending.asked:
            window.hold()  # the last one stays until it has been seen
        if stay and loop.ended:
            say("all sources have ended; the page stays until Ctrl-C")
            loop.linger()
    return loop.summary()


if __name__ == "__main__":
    sys.exit(main())
