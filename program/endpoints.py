"""What a run writes to, and the flags that say so; what it reads from: `program.cameras`."""

import contextlib
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

from drawing.hiding import USUAL_HIDING
from estimators.weights import Confusion
from files import check_ours, check_writable, is_special, is_taken
from outputs import Sink
from outputs.audience import AudienceWriter
from outputs.full_events import is_full_events
from outputs.home_assistant import PREFIX
from outputs.jsonl import EventsWriter, is_events, of_day
from outputs.keeping import Keeper, Limit, Output
from outputs.mqtt import MqttPublisher
from outputs.recording.clips import told_beside
from outputs.recording.encoder import PRESETS
from outputs.recording.h264 import is_recording
from outputs.recording.parts import part_path
from outputs.recording.sink import Recording
from outputs.webhook import Webhook
from people.crowd import Crowd
from people.hours_table import HoursWriter, is_hours
from people.records import Recorder, new_run
from people.report.page import is_report
from people.table import PeopleWriter, is_table
from people.triggers import AFTER_S, BEFORE_S, FORMS, Trigger, parse_triggers
from program.clips import check_first_clips, open_clips
from program.layouts import Draughtsman
from program.loop import Channel
from program.options import ReportOptions, duration, flag, kept, reading
from sources import Source

HUDS = ("window", "all", "none")


@dataclass(frozen=True, slots=True)
class OutputOptions(ReportOptions):
    """Where results go, and what they may report."""

    no_window: bool = flag(False, "show nothing on the screen", action="store_true")
    output: str | None = flag(None, "record the annotated picture (H.264)", metavar="FILE.mp4")
    segment: float | None = flag(
        None,
        "start a new file every TIME, e.g. 30s, 10m or 1h; the parts are numbered, or "
        "named after the time they begin (UTC) where the source is live",
        type=duration,
        metavar="TIME",
    )
    record_on: Sequence[tuple[Trigger, ...]] | None = flag(
        None,
        f"record only where something happens, each time into a file of its own, with a JSON file "
        f"beside it: {FORMS} (in quotes; so long somebody has looked this way), or several with "
        f"commas; from {BEFORE_S:g} s before to {AFTER_S:g} s after it, without sound; of several "
        "cameras each on its own; may be given twice",
        action="append",
        type=reading(parse_triggers),
        metavar="EVENT,...",
    )
    preset: str | None = flag(
        None,
        "how hard the recording's encoder tries: quick and large to slow and small "
        "(default: superfast; live sources by the load: veryfast or superfast)",
        choices=PRESETS,
    )
    events: str | None = flag(
        None, "one JSON object a frame; - is standard output", metavar="FILE.jsonl"
    )
    events_full: str | None = flag(
        None,
        "of a film: all that the networks say of each face in each frame, for --replay; no "
        "pictures and no embeddings; FILE.jsonl.gz is compressed",
        metavar="FILE.jsonl",
    )
    people: str | None = flag(None, "one row a person", metavar="FILE.csv")
    hours: str | None = flag(
        None, "one row an hour: who came, who left, how long they stayed", metavar="FILE.csv"
    )
    report: str | None = flag(
        None,
        "write a page about who was here: people by hour and day, age and gender with the "
        "network's own error taken out, stays, how far all that can be trusted; groups under five "
        "are never shown; of a live source renewed every ten minutes (of events that are there "
        "already: python -m people.report)",
        metavar="FILE.html",
    )
    attention: bool = flag(
        False,
        "report who looked this way and how long: the direction of the head, from five points of "
        "the face, not the gaze and not interest (docs/events.md)",
        action="store_true",
    )
    keep: Sequence[Limit] | None = flag(
        None,
        "of a live source: delete this program's own finished files of these outputs, the "
        "oldest first, once they are older (30d, 12h) or all together larger (50GB, 500MB); "
        "with --segment or --record-on, and for events a file a day; may be given twice",
        action="append",
        type=kept,
        metavar="30d|50GB",
    )
    serve: str | None = flag(
        None,
        "show everything on a page in the browser, to this machine only unless HOST says "
        "otherwise; films then play at their own speed",
        metavar="[HOST:]PORT",
    )
    token: str | None = flag(
        None,
        "what the page asks for; needed where others reach it; can be FACES_TOKEN instead",
        metavar="SECRET",
    )
    tls: tuple[str, str] | None = flag(
        None,
        "serve the page by https, with these files (PEM)",
        nargs=2,
        metavar=("CERT", "KEY"),
    )
    behind_proxy: bool = flag(
        False,
        "a proxy on this machine passes the page on; it says who asks (X-Forwarded-For)",
        action="store_true",
    )
    mqtt: str | None = flag(
        None,
        "publish states, people and numbers: mqtt[s]://[user[:password]@]host[:port]/prefix; "
        "the password may stand in MQTT_PASSWORD instead",
        metavar="ADDRESS",
    )
    mqtt_qos: int = flag(1, "default: %(default)s", type=int, choices=(0, 1, 2))
    home_assistant: str = flag(
        "",
        f"with --mqtt: announce each camera to Home Assistant (its discovery prefix, {PREFIX} "
        "unless said otherwise)",
        nargs="?",
        const=PREFIX,
        metavar="PREFIX",
    )
    webhook: str | None = flag(
        None, "POST what happens to people and the source as JSON", metavar="URL"
    )
    webhook_secret: str | None = flag(
        None,
        "sign what is posted (HMAC-SHA256); others cannot read it in WEBHOOK_SECRET",
        metavar="TEXT",
    )
    hud: str = flag(
        "window",
        "where frames per second, number of faces and time stand in the picture; all: in the "
        "recording and on the page, too (default: %(default)s)",
        choices=HUDS,
    )
    stills: str = flag(".", "where s saves stills (default: here)", metavar="DIR")

    @property
    def limit(self) -> Limit | None:
        """What is kept, all `--keep` together; None = everything."""
        if not self.keep:
            return None
        return Limit(min(x.seconds for x in self.keep), min(x.bytes for x in self.keep))

    @property
    def triggers(self) -> tuple[Trigger, ...]:
        """What `--record-on` waits for; none = everything is recorded."""
        return tuple(dict.fromkeys(each for some in self.record_on or () for each in some))

    @property
    def files(self) -> list[Path]:
        """The files that are written; not standard output."""
        tables = self.people, self.hours, self.report
        names = self.output, self.events, self.events_full, *tables
        return [Path(name) for name in names if name and name != "-"]


@dataclass(frozen=True, slots=True)
class Reporting:
    """What all outputs of a run report: the same people, under the same name of the run."""

    crowd: Crowd
    run: str
    purpose: str = ""

    @classmethod
    def of(cls, options: OutputOptions, confusion: Confusion | None = None) -> "Reporting":
        """The reporting of a new run; `confusion` is the estimator's, to correct counts by."""
        crowd = Crowd(
            options.attributes,
            anonymous=options.anonymous,
            confusion=confusion,
            attention=options.attention,
        )
        return cls(crowd, new_run(), options.lawful_purpose or "")

    def recorder(self) -> Recorder:
        """Makes the records for one output."""
        return Recorder(self.crowd, self.run, self.purpose)


def open_files(
    options: OutputOptions,
    sources: Sequence[Source],
    paths: Sequence[Path],
    report: Reporting,
    record: Callable[..., Recording] = Recording,
    names: Sequence[str] = ("",),
) -> tuple[list[Recording], list[Sink]]:
    """Open the outputs that were asked for; nothing is written yet.

    Args:
        options: which.
        sources: of the run.
        paths: of the files that are read, the sources first: no output may replace one.
        report: what the exports report.
        record: makes a recording.
        names: of the sources, as results have them.

    Returns:
        The recordings, which take drawn frames, and the exports, which take results.

    Raises:
        SinkError: one cannot be made where it was asked for, or would replace what this
            program did not make.
    """
    live = any(source.is_live for source in sources)
    settle_existing(options, live)
    recordings = []
    if options.output:
        record = partial(record, live=live, preset=options.preset, inputs=paths)
        if triggers := options.triggers:
            recordings = open_clips(
                options.output, triggers, sources, names, report.recorder, record
            )
            if not live:
                check_first_clips(recordings, say)
        else:
            audible = len(sources) == 1 and not live and not options.anonymous
            sound_from = paths[0] if audible and paths else None
            segment_s, fps = options.segment, sources[0].fps
            recordings = [record(options.output, fps, segment_s=segment_s, sound_from=sound_from)]
    return recordings, open_exports(options, report, several=len(sources) > 1, live=live)


def settle_existing(options: OutputOptions, live: bool) -> None:
    """Say what becomes of outputs that are there already: the rule of docs/events.md.

    Raises:
        SinkError: one would be replaced that this program did not make.
    """
    kinds = {
        None if options.triggers else options.output: is_recording,
        options.events: is_events,
        options.events_full: is_full_events,
        options.people: is_table,
        options.hours: is_hours,
        options.report: is_report,
    }
    for name, is_ours in kinds.items():
        path = Path(name or "-")
        if name == options.output and options.segment:
            path = part_path(path, 1, segments=True)  # those of cameras are always new
        if name == options.events and live and options.keep:
            path = of_day(path, datetime.now(UTC))
        if str(path) == "-" or not is_taken(path):
            continue
        if not live:
            check_ours(path, is_ours)
            say(f"{path}: replaces that of an earlier run")
        elif name == options.events and is_ours(path):
            say(f"{path}: is appended to")
        else:
            say(f"{path}: is kept; that of this run is named after the time")


def open_exports(
    options: OutputOptions, report: Reporting, several: bool = False, live: bool = False
) -> list[Sink]:
    """Open what takes results only; nothing is written or sent yet.

    Args:
        options: which.
        report: what they report.
        several: whether there are several channels.
        live: whether the source is: nothing that exists is replaced then.

    Raises:
        SinkError: a file cannot be made, or an address not be used.
    """
    sinks: list[Sink] = []
    for name in (options.people, options.hours):
        if name and not is_special(Path(name)):
            check_writable(name, (".csv",))
    if options.events:
        daily = live and options.limit is not None
        sinks.append(EventsWriter(options.events, report.recorder(), live, daily))
    if options.mqtt:
        password = os.environ.get("MQTT_PASSWORD", "")
        recorder, qos = report.recorder(), options.mqtt_qos
        sinks.append(MqttPublisher(options.mqtt, recorder, qos, password, options.home_assistant))
    if options.webhook:
        secret = options.webhook_secret or os.environ.get("WEBHOOK_SECRET", "")
        sinks.append(Webhook(options.webhook, report.recorder(), secret))
    if options.people:
        sinks.append(PeopleWriter(options.people, report.crowd, several, live))
    if options.hours:
        sinks.append(HoursWriter(options.hours, report.crowd, several, live))
    if options.report:
        sinks.append(AudienceWriter(options.report, report.recorder(), live))
    return sinks


def open_keeper(options: OutputOptions, sinks: Sequence[Sink], live: bool) -> Keeper | None:
    """What watches the files that `sinks` write and deletes old ones; None if there are none."""
    kinds = {
        Recording: ("recording", options.output, is_recording),  # or its camera's clips
        EventsWriter: ("events", options.events, is_events),
        PeopleWriter: ("people", options.people, is_table),
        HoursWriter: ("hours", options.hours, is_hours),
    }
    outputs = []
    for sink in sinks:
        kind, name, is_ours = kinds.get(type(sink), ("", None, is_table))
        if name and name != "-" and not is_special(Path(name)):
            path = sink.path if isinstance(sink, Recording) else Path(name)
            beside = {"beside": told_beside} if kind == "recording" else {}
            outputs.append(Output(kind, path, is_ours, sink, **beside))
    if options.limit and not live:
        say("--keep does nothing here: no source is live, and its files are replaced anyway")
    return Keeper(outputs, options.limit if live else None) if outputs else None


def open_page(
    options: OutputOptions,
    channels: Sequence[Channel],
    stack: contextlib.ExitStack,
    report: Reporting,
    keeper: Keeper | None = None,
    drawer: Draughtsman | None = None,
) -> Sink:
    """Serve the page in the browser; `stack` closes it.

    Raises:
        SinkError: the address cannot be used, or a token is missing.
    """
    from web.controls import Controls
    from web.view import WebView  # aiohttp takes a third of a second to import

    shown = [channel for channel in channels if not channel.hides]  # of the start

    def hide(wanted: bool) -> None:
        for channel in shown:
            channel.hide(USUAL_HIDING if wanted else "")

    def estimates() -> tuple[int, int]:
        smoothers = [channel.pipeline.smoother for channel in channels]
        return sum(s.estimates_made for s in smoothers), sum(s.estimates_saved for s in smoothers)

    page = WebView(
        options.serve or "",
        report.recorder(),
        options.token or os.environ.get("FACES_TOKEN") or None,
        title=title_of([channel.source for channel in channels]),
        estimates=estimates,
        storage=keeper.storage if keeper else None,
        tls=options.tls,
        behind_proxy=options.behind_proxy,
        controls=Controls(report.crowd, not shown, hide, drawer),
    )
    stack.callback(page.close)
    say(f"page: {page.url}")
    return page


def title_of(sources: Sequence[Source]) -> str:
    """What window and page are called."""
    return sources[0].name if len(sources) == 1 else f"{len(sources)} cameras"


def say(text: str) -> None:
    """Print one line on stderr, in the program's name."""
    print(f"stream.py: {text}", file=sys.stderr)
