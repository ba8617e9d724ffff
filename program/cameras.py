"""The cameras of a run: any `--src`, films too, with its name and its own settings."""

import contextlib
import itertools
import logging
import os
import re
import sys
import threading
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from errors import SourceError, redact
from people.footfall import IN_S, OUT_S, PAST
from people.zones import WHAT_IS_IN, Layout, Line, Zone, parse_line, parse_zone
from program.load import DEFAULT_MAX_LATENCY_MS
from program.options import USUAL_TRACKING, TrackingOptions, flag, number, reading
from sources import Source
from sources.chaos import split_chaos
from sources.live import LiveOptions
from sources.network import escape_user
from sources.open import camera_index, open_source

log = logging.getLogger(__name__)

SAMPLE = Path(__file__).resolve().parent.parent / "samples" / "sample.mp4"
TRY_SAMPLE = "try the bundled sample: python stream.py --src sample"


@dataclass(frozen=True, slots=True)
class SourceOptions:
    """What is read, and where people are counted; of a camera's own, `src` is not looked at."""

    src: Sequence[str] | None = flag(
        None,
        "webcam number, video file, picture, folder of pictures, rtsp:// or http:// address, "
        "test: (a generated pattern), sample (the bundled clip) or chaos:FILE?freeze=5@10 (a "
        "film played as a bad camera); env:NAME is what that variable holds, for passwords "
        "that others must not see; several --src are shown together; door=SOURCE gives it a "
        "name (default: the file's or the host's); default: webcam 0",
        action="append",
        metavar="[NAME=]SOURCE",
    )
    width: int | None = flag(None, "ask a webcam for it", type=number(int, 16), metavar="PX")
    height: int | None = flag(None, "ask a webcam for it", type=number(int, 16), metavar="PX")
    max_frames: int | None = flag(
        None,
        "stop after N frames of each source",
        type=number(int, 1, sys.maxsize),
        metavar="N",
    )
    max_latency: float = flag(
        DEFAULT_MAX_LATENCY_MS,
        "live sources: do less before frames get older than that, drop those that are "
        "(default: %(default)g)",
        type=number(float, 1),
        metavar="MS",
    )
    keep_trying: bool = flag(
        False,
        "wait for a camera that is not there at the start, too; one that breaks off later "
        "is opened again in any case",
        action="store_true",
    )
    line: Sequence[Line] | None = flag(
        None,
        "count who crosses this line, in and out; x and y are fractions of the picture, as in "
        f"door=0.1,0.5,0.9,0.5; {WHAT_IS_IN}; the middle of a face's box counts, once it is "
        f"{PAST:g} of its height past the line; may be given several times",
        action="append",
        type=reading(parse_line),
        metavar="NAME=x1,y1,x2,y2",
    )
    zone: Sequence[Zone] | None = flag(
        None,
        "count who is in this polygon, who entered it and how long they stayed; a stay counts from "
        f"{IN_S:g} s on and ends after {OUT_S:g} s outside; may be given several times",
        action="append",
        type=reading(parse_zone),
        metavar="NAME=x1,y1,x2,y2,x3,y3,...",
    )

    @property
    def layout(self) -> Layout:
        """All lines and zones; raises ValueError where two have one name."""
        return Layout((*(self.line or ()), *(self.zone or ())))


USUAL_SOURCE = SourceOptions()


@dataclass(frozen=True, slots=True)
class Camera:
    """One source of a run.

    Attributes:
        name: of its own in the run, without secrets; on screens, in records and topics.
        address: what `open_source` takes; may hold secrets.
        is_named: whether the user chose the name.
        source: how to open it.
        tracking: how to follow its faces.
    """

    name: str
    address: str
    is_named: bool = False
    source: SourceOptions = USUAL_SOURCE
    tracking: TrackingOptions = USUAL_TRACKING


def names_of(cameras: Sequence[Camera]) -> list[str]:
    """What records, topics and pictures call the cameras: "" for one alone without a name."""
    return [each.name if each.is_named or len(cameras) > 1 else "" for each in cameras]


def split_name(text: str) -> tuple[str, str]:
    """Split a `--src` into the name before = and the address; "" where it has no name.

    A name has letters, digits, - and _. A file that is there is no name and an address.
    """
    found = re.fullmatch(r"([\w-]+)=(.*)", text, re.DOTALL)
    if found is None or _is_there(Path(text)):
        return "", text
    return found[1], found[2]


def _is_there(path: Path) -> bool:
    with contextlib.suppress(OSError, ValueError, RuntimeError):  # it cannot be a path
        return path.expanduser().exists()
    return False


def from_environment(source: str) -> str:
    """Return what the variable holds where `source` is env:NAME, else `source`.

    A command line is seen by everyone on the machine, passwords in it too.

    Raises:
        SourceError: no such variable, or an empty one.
    """
    if not source.startswith("env:"):
        return source
    name = source.removeprefix("env:")
    if not os.environ.get(name):
        raise SourceError(f"--src {source}: there is no such variable; export it first")
    return os.environ[name]


def default_name(address: str) -> str:
    """What to call a source that was given no name: its host, or its file without the ending."""
    address = address.strip()
    if (index := camera_index(address)) is not None:
        return f"camera {index}"
    if address.startswith("test:"):
        return _printable(address)
    if address.startswith("chaos:"):
        address = split_chaos(address)[0]
    if "://" in address:
        with contextlib.suppress(ValueError):  # no address at all
            host = urlsplit(escape_user(address)).hostname
            return _printable(host or address.partition(":")[0])
        return "stream"
    path = Path(address)
    with contextlib.suppress(OSError, ValueError, RuntimeError):
        path = path.expanduser().resolve() if path.name in ("", "..") else path
        return _printable(redact(path.name if path.is_dir() else path.stem)) or "source"
    return "source"


def _printable(text: str) -> str:
    return "".join(c if c.isprintable() else "?" for c in text)


def find_cameras(
    asked: Sequence[tuple[str, SourceOptions, TrackingOptions]],
) -> list[Camera]:
    """Name the sources of a run; those with the same host or file are numbered.

    Args:
        asked: for each, what `--src` says, and its options.

    Raises:
        SourceError: two cameras, or two lines or zones of one, were given the same name, or an
            environment variable is missing.
    """
    found = []
    for text, source, tracking in asked:
        name, address = split_name(text)
        try:
            _ = source.layout
        except ValueError as error:
            raise SourceError(f"--line and --zone: {error}") from None
        if address.startswith("env:"):
            inner, address = split_name(from_environment(address))
            name = name or inner
        found.append((name, address, source, tracking))
    counts = Counter(name for name, *_ in found if name)
    if counts and (most := counts.most_common(1)[0])[1] > 1:
        raise SourceError(f"{most[1]} cameras are called {most[0]}; give each a name of its own")
    cameras, taken = [], set(counts)
    for name, address, source, tracking in found:
        usual = name or default_name(address)
        numbered = itertools.chain([usual], (f"{usual} ({n})" for n in itertools.count(2)))
        own = name or next(each for each in numbered if each not in taken)
        taken.add(own)
        cameras.append(Camera(own, address, bool(name), source, tracking))
    return cameras


def address_of(text: str) -> str:
    """What an address stands for: the path of the bundled clip for `sample`."""
    return str(SAMPLE) if text == "sample" else text


def open_cameras(
    cameras: Sequence[Camera],
    stack: contextlib.ExitStack,
    arrived: threading.Event,
    open_one: Callable[..., Source] = open_source,
) -> list[Source]:
    """Open every camera; a missing webcam is answered with the bundled sample's name.

    Of several cameras one that is not there must not keep the others from being shown.
    """
    return [_opened(camera, len(cameras) > 1, stack, arrived, open_one) for camera in cameras]


def _opened(
    camera: Camera,
    is_one_of_several: bool,
    stack: contextlib.ExitStack,
    arrived: threading.Event,
    open_one: Callable[..., Source],
) -> Source:
    options = camera.source
    live = LiveOptions(
        keep_trying=options.keep_trying or is_one_of_several,
        max_latency_s=options.max_latency / 1e3,
        arrived=arrived,
    )
    address = address_of(camera.address)
    try:
        source = open_one(address, width=options.width, height=options.height, live=live)
    except SourceError as error:
        if camera_index(camera.address) is not None:
            raise SourceError(f"{error}; {TRY_SAMPLE}") from error
        raise
    stack.callback(source.close)
    source.name = camera.name
    return source


def warn_of_sizes(cameras: Sequence[Camera]) -> None:
    """Warn of a size that no webcam is asked for."""
    asked = [camera for camera in cameras if camera.source.width or camera.source.height]
    if asked and all(camera_index(camera.address) is None for camera in asked):
        log.warning("--width and --height have no effect: they ask a webcam, and no source is one")


def frames_expected(cameras: Sequence[Camera], sources: Sequence[Source]) -> int | None:
    """The number of frames that a run will take, None where it is not known."""
    if len(sources) > 1:
        return None
    counts = [sources[0].frame_count, cameras[0].source.max_frames]
    return min((count for count in counts if count is not None), default=None)
