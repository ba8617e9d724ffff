"""The command line of stream.py."""

import argparse
import os
import sys
from collections.abc import Sequence

from outputs.recording.encoding import PRESETS
from program.load import DEFAULT_MAX_LATENCY_MS
from program.options import (
    OneLineParser,
    OutputOptions,
    add_general_options,
    add_model_options,
    add_privacy_options,
    add_tracking_options,
    duration,
    number,
    settle_privacy,
)

DESCRIPTION = "Live age and gender on faces in video: find, follow, describe, smooth, show."

EPILOG = """\
in the window: q or Esc quits, space pauses, s saves a still, f is full screen; with
several cameras 1 to 9 show one of them, 0 shows all.
Ctrl-C ends a run without a window; recordings and tables are finished first.

examples:
  python stream.py --src 0                                     the first webcam
  python stream.py --src film.mp4 --output annotated.mp4       a film, watched and recorded
  python stream.py --src rtsp://user:password@camera/stream --no-window \\
                   --events events.jsonl --people people.csv   a camera, exported
  python stream.py --src 0 --src rtsp://door/stream            two cameras
  python stream.py --src 0 --no-window --serve 8080            a page in the browser
  python stream.py --doctor                                    what works here?
"""


def parse_arguments(arguments: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line; bad values end the program with one line and exit code 2."""
    parser = OneLineParser(
        prog="stream.py",
        description=DESCRIPTION,
        epilog=EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    _add_source_options(parser)
    add_model_options(parser)
    add_tracking_options(parser)
    _add_output_options(parser)
    add_privacy_options(parser)
    _add_other_options(parser)
    options = parser.parse_args(arguments)
    try:
        options.src = [from_environment(text) for text in options.src or ["0"]]
    except KeyError as error:
        parser.error(f"--src env:{error.args[0]}: there is no such variable; export it first")
    if not options.output and (options.segment or options.preset):
        parser.error("--segment and --preset are about a recording: add --output FILE.mp4")
    if options.anonymous and options.people:
        parser.error("--people tells of each person, which --anonymous forbids; leave one out")
    settle_privacy(options)
    return options


def from_environment(source: str) -> str:
    """Return what the variable holds where `source` is env:NAME, else `source`.

    A command line is seen by everyone on the machine, passwords in it too.

    Raises:
        KeyError: no such variable, or an empty one; the name is its argument.
    """
    if not source.startswith("env:"):
        return source
    name = source.removeprefix("env:")
    if not os.environ.get(name):
        raise KeyError(name)
    return os.environ[name]


def _add_source_options(parser: argparse.ArgumentParser) -> None:
    source = parser.add_argument_group("source")
    source.add_argument(
        "--src",
        action="append",
        metavar="SOURCE",
        help="webcam number, video file, picture, folder of pictures, rtsp:// or http:// address, "
        "test: (a generated pattern), sample (the bundled clip) or chaos:FILE?freeze=5@10 (a "
        "film played as a bad camera); env:NAME is what that variable holds, for passwords "
        "that others must not see; several --src are shown together; default: webcam 0",
    )
    source.add_argument("--width", type=number(int, 16), metavar="PX", help="ask a webcam for it")
    source.add_argument("--height", type=number(int, 16), metavar="PX", help="ask a webcam for it")
    source.add_argument(
        "--max-frames",
        type=number(int, 1, sys.maxsize),
        metavar="N",
        help="stop after N frames of each source",
    )
    source.add_argument(
        "--max-latency",
        type=number(float, 1),
        default=DEFAULT_MAX_LATENCY_MS,
        metavar="MS",
        help="live sources: do less before frames get older than that, drop those that are "
        "(default: %(default)g)",
    )
    source.add_argument(
        "--keep-trying",
        action="store_true",
        help="wait for a camera that is not there at the start, too; one that breaks off later "
        "is opened again in any case",
    )


def _add_output_options(parser: argparse.ArgumentParser) -> None:
    out = parser.add_argument_group("output")
    out.add_argument("--no-window", action="store_true", help="show nothing on the screen")
    out.add_argument("--output", metavar="FILE.mp4", help="record the annotated picture (H.264)")
    out.add_argument(
        "--segment",
        type=duration,
        metavar="TIME",
        help="start a new file every TIME, e.g. 30s, 10m or 1h; the parts are numbered, or "
        "named after the time they begin (UTC) where the source is live",
    )
    out.add_argument(
        "--preset",
        choices=PRESETS,
        help="how hard the recording's encoder tries: quick and large to slow and small "
        "(default: superfast; live sources by the load: veryfast or superfast)",
    )
    out.add_argument(
        "--events", metavar="FILE.jsonl", help="one JSON object a frame; - is standard output"
    )
    out.add_argument("--people", metavar="FILE.csv", help="one row a person")
    out.add_argument(
        "--serve",
        metavar="[HOST:]PORT",
        help="show everything on a page in the browser, to this machine only unless HOST says "
        "otherwise; films then play at their own speed",
    )
    out.add_argument(
        "--token",
        metavar="SECRET",
        help="what the page asks for; needed where others reach it; can be FACES_TOKEN instead",
    )
    _add_delivery_options(out)
    out.add_argument(
        "--stills", default=".", metavar="DIR", help="where s saves stills (default: here)"
    )


def _add_delivery_options(group: argparse._ArgumentGroup) -> None:
    """Add where records go over the network."""
    group.add_argument(
        "--mqtt",
        metavar="ADDRESS",
        help="publish states, people and numbers: mqtt[s]://[user[:password]@]host[:port]/prefix; "
        "the password may stand in MQTT_PASSWORD instead",
    )
    group.add_argument(
        "--mqtt-qos",
        type=int,
        choices=(0, 1, 2),
        default=OutputOptions().mqtt_qos,
        help="default: %(default)s",
    )
    group.add_argument(
        "--webhook", metavar="URL", help="POST what happens to people and the source as JSON"
    )
    group.add_argument(
        "--webhook-secret",
        metavar="TEXT",
        help="sign what is posted (HMAC-SHA256); others cannot read it in WEBHOOK_SECRET",
    )


def _add_other_options(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--doctor", action="store_true", help="try what works here, for --src too, and end"
    )
    parser.add_argument("--json", action="store_true", help="with --doctor: as JSON")
    add_general_options(parser)
