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
import logging
import sys
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from tqdm import tqdm

from drawing.hiding import STRICT
from drawing.overlay import Overlay
from errors import StreamError
from files import check_apart, created_with, sole_writer
from outputs import Sink, failure_of
from outputs.keeping import Keeper
from outputs.pace import Metronome
from outputs.recording.sink import Recording
from outputs.window import DisplayProbe, Window
from people.crowd import Crowd
from people.story import story, words
from program.assemble import Assembly
from program.cameras import (
    SourceOptions,
    address_of,
    frames_expected,
    names_of,
    open_cameras,
    warn_of_sizes,
)
from program.clips import check_clips
from program.completion import add_completion
from program.config import Config, cameras_of, read_config, to_toml
from program.ending import Ending
from program.endpoints import (
    OutputOptions,
    Reporting,
    open_files,
    open_keeper,
    open_page,
    say,
)
from program.law import check_purpose, write_notice
from program.layouts import Draughtsman
from program.load import LoadControl
from program.loop import Loop
from program.options import (
    GeneralOptions,
    MemoryOptions,
    ModelOptions,
    OneLineParser,
    PictureOptions,
    TrackingOptions,
    add_flags,
    add_shared_flags,
    collect,
    set_up_logging,
    settle_privacy,
    signals_handled,
)
from program.replay import Replay, ReplayOptions, open_full_events, the_film
from program.screens import on_screen, open_window
from program.together import check_together
from sources import Source
from sources.open import files_of, open_source

EPILOG = """\
in the window: h shows the keys (pause, seek, speed, labels, blur, size of text, lines and
zones, stills, full screen), q or Esc quits; with several cameras 1 to 9 show one of them, 0
shows all.
Ctrl-C ends a run without a window; recordings and tables are finished first.

files that are there already: of a camera, events are appended, tables and recordings are kept
and the new ones named after the time. Of a film, they are replaced if this program made them;
others are never touched. With --keep the old ones of a camera are deleted.

examples:
  python stream.py --src 0                                     the first webcam
  python stream.py --src film.mp4 --output annotated.mp4       a film, watched and recorded
  python stream.py --src rtsp://user:password@camera/stream --no-window \\
                   --events events.jsonl --people people.csv   a camera, exported
  python stream.py --src 0 --src door=rtsp://door/stream       two cameras, one with a name
  python stream.py --config faces.toml                         flags and cameras from a file
  python stream.py --src 0 --no-window --serve 8080            a page in the browser
  python stream.py --doctor                                    what works here?
"""


log = logging.getLogger(__name__)
OF_THIS_RUN = ("asked", "config", "print_config", "doctor", "notice", "json")  # no file says this


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
    add_flags(parser.add_argument_group("looking again"), ReplayOptions)
    add_shared_flags(parser)
    add_flags(parser.add_argument_group("recognising people"), MemoryOptions)
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
    add_flags(parser, GeneralOptions)
    add_completion(parser)
    parser.add_argument(
        "--config", metavar="FILE.toml", help="take flags and cameras from there, too"
    )
    parser.add_argument(
        "--print-config", action="store_true", help="print these flags as such a file, and exit"
    )
    options = parser.parse_args(arguments)
    try:
        options.asked = Config.of_flags(arguments)
        if options.config is not None:
            options.asked = read_config(options.config).under(options.asked)
            own = {name: getattr(options, name) for name in OF_THIS_RUN}
            options = parser.parse_args(options.asked.words(), argparse.Namespace(**own))
        check_together(options)
        settle_privacy(options)
        options.cameras = cameras_of(options.asked, options, parser)
        check_clips(options, collect(OutputOptions, options).triggers)
    except StreamError as error:
        parser.error(str(error))
    options.src = [camera.address for camera in options.cameras]
    return options


def main(arguments: Sequence[str] | None = None, factories: Factories = USUAL) -> int:
    """Run the program.

    Returns:
        The exit code: 0, also after Ctrl-C, or 2 after one line on what is wrong, also
        where only an output failed and everything else continued.
    """
    options = parse_arguments(arguments)
    set_up_logging(options.verbose)
    if options.print_config:
        return print_config(options.asked)
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
            with contextlib.ExitStack() as stack, ending.opening():
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


def print_config(config: Config) -> int:
    """Print a configuration file that asks for the same; returns the exit code."""
    try:
        print(to_toml(config), end="")
    except StreamError as error:
        say(str(error))
        return 2
    if config.holds_secrets:
        say("it holds a password: let nobody else read the file, or use env:NAME")
    return 0


def tracking_of(options: argparse.Namespace) -> TrackingOptions:
    """How faces are followed where a camera says nothing else; all share one detector."""
    hidden = [camera.tracking.blur for camera in options.cameras if camera.tracking.blur]
    hidden.sort(key=lambda way: way != STRICT)
    tracking = collect(TrackingOptions, options)
    return replace(tracking, blur=hidden[0]) if hidden else tracking


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
    replay = stack.enter_context(contextlib.closing(Replay(options))) if options.replay else None
    assembly = factories.assembly(collect(ModelOptions, options), tracking_of(options))
    assembly = replay.assembly(assembly) if replay else assembly
    pool = assembly.pool()
    stack.callback(pool.close)
    memory = collect(MemoryOptions, options)  # networks are loaded while other things are opened
    loading = pool.submit(lambda _: (assembly.estimator(), assembly.recognition(memory)))
    arrived = threading.Event()
    warn_of_sizes(options.cameras)
    sources = open_cameras(options.cameras, stack, arrived, factories.source)
    check_purpose(options, sources)
    if options.events_full:
        the_film(options.cameras, sources, "--events-full")
    sources = [replay.film(options.cameras, sources)] if replay else sources
    confusion = replay.confusion if replay else assembly.confusion()
    outputs = collect(OutputOptions, options)
    report = Reporting.of(outputs, confusion)
    for name, camera in zip(names_of(options.cameras), options.cameras, strict=True):
        report.crowd.lay_out(name, camera.source.layout)
    overlay, window_overlay = overlays(options, report.crowd)
    recordings, records, keeper = open_outputs(options, sources, report, stack, factories.recording)
    from tracking import sort  # noqa: F401  scipy takes longer than loading networks: beside that

    estimator, recognition = loading.result()
    if recognition:
        stack.callback(recognition.close)
    channels = assembly.channels(
        options.cameras, sources, estimator, recognition, outputs.attention
    )
    if options.events_full:
        records.append(open_full_events(options, channels[0], report.run, confusion))
        stack.callback(records[-1].close)
    config = None if options.config is None else Path(options.config)
    drawer = Draughtsman(report.crowd, options.cameras, config, say)
    pages = [open_page(outputs, channels, stack, report, keeper, drawer)] if options.serve else []
    others: list[Sink] = [*recordings, *records, *pages]
    window = open_window(outputs, sources, probe, others) if probe else None
    if window:
        stack.callback(window.close)
        window.drawn = drawer.draw
    elif pages:
        records.append(Metronome())
    apart = bool(outputs.triggers)
    screens = on_screen(recordings, channels, overlay, window, window_overlay, apart)
    sinks = [*screens, *pages, *records, ending]
    control = LoadControl(options.max_latency)
    loop = Loop(channels, pool, estimator, sinks, overlay, control, arrived)
    if window and not others:
        window.seek = loop.seek
    total = frames_expected(options.cameras, sources)
    return run(loop, total, window, ending, report.crowd, stay=bool(pages)), others


def overlays(options: argparse.Namespace, crowd: Crowd) -> tuple[Overlay, Overlay]:
    """What draws pictures for recordings and the page, and for the window.

    Raises:
        FontError: the font is missing or none.
    """
    style = collect(PictureOptions, options).style
    recorded, seen = (
        Overlay(
            options.hud in huds, options.attributes, style, anonymous=options.anonymous, crowd=crowd
        )
        for huds in (("all",), ("all", "window"))
    )
    return recorded, seen


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
    names = names_of(options.cameras)
    recordings, records = open_files(outputs, sources, inputs, report, record, names)
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
    return [*paths, *(Path(each) for each in (options.weights, options.replay) if each)]


def run(
    loop: Loop,
    total: int | None,
    window: Window | None,
    ending: Ending,
    crowd: Crowd,
    stay: bool = False,
) -> str:
    """Run until the sources end, a window is closed or Ctrl-C; returns a summary for people.

    `total` is the number of frames to come, for the progress bar; None = unknown. `crowd`
    counts the people, also where no output does.
    With `stay` the page keeps showing the last frames until Ctrl-C or the window is closed.
    """
    progress = tqdm(total=total, unit="frame", disable=True if window else None)
    with progress, ending.running():
        for result in loop.run():
            crowd.update(result)
            progress.update()
        if window and loop.shows_photographs and not ending.asked:
            window.hold()  # the last one stays until it has been seen
        crowd.end()
        if stay and loop.ended:
            say("all sources have ended; the page stays until Ctrl-C")
            loop.linger(story(crowd, loop.seconds))
    counts = "" if crowd.anonymous else loop.summary()  # of tracks and estimates, exactly
    log.info("%s", "\n".join(filter(None, [counts, words(crowd)])))
    return story(crowd, loop.seconds)


if __name__ == "__main__":
    sys.exit(main())
