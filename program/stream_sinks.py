"""What stream.py shows, records, exports, sends and serves, as its flags ask for it."""

import argparse
import contextlib
import itertools
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from drawing.overlay import Overlay
from errors import SinkError
from files import refuse_overwriting
from outputs import Sink
from outputs.grid import GridSink
from outputs.jsonl import EventsWriter
from outputs.mqtt import MqttPublisher
from outputs.recording.sink import Recording
from outputs.webhook import Webhook
from outputs.window import DisplayProbe, Window
from people.crowd import Crowd
from people.records import Recorder
from people.table import PeopleWriter
from program.loop import Camera
from program.stream_sources import address_of
from sources import Source


def open_files(
    options: argparse.Namespace, sources: Sequence[Source], crowd: Crowd, run: str
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
        heard = alone and not options.anonymous  # a voice tells who speaks
        film = Path(address_of(options.src[0])).expanduser() if heard else None
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
    records = open_deliveries(options, crowd, run)
    if options.people:
        records.append(PeopleWriter(options.people, crowd, len(sources) > 1))
    return recordings, records


def open_deliveries(options: argparse.Namespace, crowd: Crowd, run: str) -> list[Sink]:
    """Open what the records of docs/events.md go to; nothing is sent yet.

    Raises:
        SinkError: a file cannot be made, or an address not be used.
    """
    sinks: list[Sink] = []
    if options.events:
        sinks.append(EventsWriter(options.events, Recorder(crowd, run)))
    if options.mqtt:
        password = os.environ.get("MQTT_PASSWORD", "")
        sinks.append(MqttPublisher(options.mqtt, Recorder(crowd, run), options.mqtt_qos, password))
    if options.webhook:
        secret = options.webhook_secret or os.environ.get("WEBHOOK_SECRET", "")
        sinks.append(Webhook(options.webhook, Recorder(crowd, run), secret))
    return sinks


def open_page(
    options: argparse.Namespace,
    cameras: Sequence[Camera],
    stack: contextlib.ExitStack,
    recorder: Recorder,
) -> Sink:
    """Serve the page in the browser; `stack` closes it.

    Raises:
        SinkError: the address cannot be had, or a token is missing.
    """
    from web.view import WebView  # aiohttp takes a third of a second to import

    def estimates() -> tuple[int, int]:
        smoothers = [camera.pipeline.smoother for camera in cameras]
        return sum(s.estimates_made for s in smoothers), sum(s.estimates_saved for s in smoothers)

    token = options.token or os.environ.get("FACES_TOKEN") or None
    title = cameras[0].source.name if len(cameras) == 1 else f"{len(cameras)} cameras"
    page = WebView(options.serve, recorder, token, title=title, estimates=estimates)
    stack.callback(page.close)
    tell(f"page: {page.url}")
    return page


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
        return Window(title, pace=pace, folder=folder, notify=tell)
    if not others:
        raise SinkError(problem)
    tell(f"{problem}; going on without a window")
    return None


def on_screen(
    sinks: list[Sink], cameras: Sequence[Camera], overlay: Overlay, window: Window | None
) -> list[Sink]:
    """Put a grid in front of the sinks that take one picture, where there are several cameras."""
    if len(cameras) == 1 or not sinks:
        return sinks
    grid = GridSink(sinks, [camera.name for camera in cameras], overlay)
    if window:
        window.on_digit = grid.select
    return [grid]


def tell(text: str) -> None:
    """Say one line on stderr, in the program's name."""
    print(f"stream.py: {text}", file=sys.stderr)
